"""HTTP/1.1, the client's engine: a server, an application and time in any order.

Property: the engine raises nothing but LocalError from verbs, and finds no fault with a lawful server. Responses come
as they were sent, content byte for byte; h11 reads the requests as they were sent. Any cut of the input, and turns of
any length, give the same events and output. Output is bounded by input. Content in the chunked coding is whole where a
strict reader of RFC 9112 §7.1 finds it so.
"""

from __future__ import annotations

from tests.fuzz.h1 import chunked
from tests.fuzz.h1.client import ClientSession
from tests.fuzz.source import Source
from tests.fuzz.story import same_in_any_cut, seeds_of, tell

LONGEST = 1_000


def story(data: bytes) -> str:
    """Return all that is seen of a session."""
    return tell(ClientSession, data[1:])


def target(data: bytes) -> None:
    """Play a session, whole and cut; one in four is chunks."""
    if data[:1] and data[0] % 4 == 2:
        chunked.compare(Source(data[1:]), is_client=True)
    else:
        same_in_any_cut(ClientSession, data[1:])


def seeds() -> list[bytes]:
    """Return inputs that reach each verb, and chunks."""
    return [*(b"\0" + each for each in seeds_of(ClientSession)), *(b"\2" + each for each in chunked.seeds())]
