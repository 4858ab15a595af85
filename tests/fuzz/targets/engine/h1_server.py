"""HTTP/1.1, the server's engine: a client, an application and time in any order.

Property: the engine raises nothing but LocalError from verbs, and finds no fault with a lawful client. Requests come as
they were sent, responses are read back by a strict reader as they were sent, content byte for byte. Any cut of the
input, and turns of any length, give the same events and output. Output is bounded by input. What it takes for a
request, h11 does, too; content in the chunked coding is whole just where a strict reader of RFC 9112 §7.1 finds it so.
"""

from __future__ import annotations

from tests.differential.test_h1_against_h11 import compare
from tests.fuzz.h1 import chunked
from tests.fuzz.h1.server import ServerSession
from tests.fuzz.h1.session import WORDS
from tests.fuzz.source import Source
from tests.fuzz.story import same_in_any_cut, seeds_of, tell

LONGEST = 1_000


def story(data: bytes) -> str:
    """Return all that is seen of a session."""
    return tell(ServerSession, data[1:])


def target(data: bytes) -> None:
    """Play a session, whole and cut; of four, one is bytes alone, which h11 reads as well, and one is chunks."""
    if data[:1] and data[0] % 4 == 2:
        chunked.compare(Source(data[1:]), is_client=False)
    elif data[:1] and data[0] % 4 == 3:
        raw = bytes_of(Source(data[1:]))
        if b"CONNECT" not in raw and b"://" not in raw:  # h11 and this reading of it part there, and name targets apart
            compare(raw)
    else:
        same_in_any_cut(ServerSession, data[1:])


def bytes_of(source: Source) -> bytes:
    """Return bytes that may be requests: words, pieces of what is sound, and others."""
    data = b""
    while source.more and len(data) < 4_000:
        kind = source.byte()
        data += source.take(kind % 16) if kind >= 0xC0 else WORDS[kind % len(WORDS)]
    return data


def seeds() -> list[bytes]:
    """Return inputs that reach each verb, some of bytes alone, and chunks."""
    alone = [b"\x03" + bytes((0, 3, 4, 6, 13, number % 40, 7, number % 11, 25, 14, 30)) for number in range(20)]
    return [*(b"\0" + each for each in seeds_of(ServerSession)), *alone, *(b"\2" + each for each in chunked.seeds())]
