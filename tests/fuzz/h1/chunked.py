"""Content in the chunked coding, sound and not, told to both roles of the engine and to a strict reader of our own."""

from __future__ import annotations

import re
from typing import Any

from headrace.engine import events as ev

from tests.fuzz.source import Source, pieces
from tests.support.h1_rig import H1ClientRig, H1Rig, chunked

LONGEST = 800  # bytes, which stay within every limit of the engine
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
# RFC 9112 §7.1 and §7.1.1, without the whitespace that only bad senders write
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*\r\n")
TRAILER_LINE = re.compile(rb"(" + _TOKEN + rb"):([\t \x21-\x7e\x80-\xff]*)\r\n")
FOLDED_LINE = re.compile(rb"[ \t][\t \x21-\x7e\x80-\xff]*\r\n")
FORBIDDEN = frozenset(  # they say where a message ends, where it goes, or what the connection does (RFC 9110 §6.5.1)
    (b"content-length", b"transfer-encoding", b"host", b"te", b"connection", b"keep-alive", b"proxy-connection",
     b"upgrade")
)  # fmt: skip

ENDS = (b"\r\n", b"\r\r", b"\n", b"\r", b"\n\r", b"\r\r\n", b" \r\n", b"\t\r\n", b"\x00\r\n", b"")
SIZES = (
    b"3", b"03", b"0000000000000003", b"3;a", b"3;a=b;c", b'3;a="b \\""', b"00000000000000003", b"+3", b"-3", b"0x3",
    b"3_", b" 3", b"3 ", b"", b"3;", b"3;=b", b"3;a=", b'3;a="', b"3; a", b"3 ;a", b"3;a =b", b"3g", b"3,3", b"\xb3",
    b"4", b"2", b'3;a="\x00"', b"3;a\rb", b"3;a\nb",
)  # fmt: skip
TRAILERS = (
    b"a: b", b"a:", b"a:\t\xff ", b"Host: a", b"host:", b"Content-Length: 3", b"Transfer-Encoding: chunked",
    b"TE: trailers", b"Connection: close", b"Keep-Alive: 5", b"Proxy-Connection: close", b"Upgrade: h2c", b"a : b",
    b" a: b", b"a", b": b", b"a b: c", b"a: \x00", b"a: b\rc", b"a: b\nc", b"\xff: a", b"a: b\r\n c", b"a: \x7f",
)  # fmt: skip


def read_strictly(data: bytes, *, unfolds: bool) -> bytes | None:
    """Return the content of a message that is whole; None for one that is not, or breaks a rule."""
    content, at = b"", 0
    size = -1
    while size:
        line = SIZE_LINE.match(data, at)
        if line is None:
            return None
        size = int(line[1], 16)
        content += data[line.end() : line.end() + size]
        at = line.end() + size
        if size and data[at : at + 2] != b"\r\n":
            return None
        at += 2 if size else 0
    has_one = False
    while data[at : at + 2] != b"\r\n":
        line = (has_one and unfolds and FOLDED_LINE.match(data, at)) or TRAILER_LINE.match(data, at)
        if line is None or (line.re is TRAILER_LINE and line[1].lower() in FORBIDDEN):
            return None
        has_one = True
        at = line.end()
    return content


def compare(source: Source, *, is_client: bool) -> None:
    """Have the engine read content, in pieces. It takes a message as whole just where the strict reader does."""
    cut = source.pick((0, 1, 7))
    data = content_from(source)
    rig: Any
    if is_client:
        rig = H1ClientRig()
        rig.send()
        data_in = HEAD + data
    else:
        rig = H1Rig()
        data_in = chunked(data)
    for piece in pieces(data_in, cut):
        rig.feed(piece)
        while rig.conn.input_pending:
            rig.feed(b"")
    is_whole = any(event.kind == ev.TRAILERS or (event.kind == ev.DATA and event.end_stream) for event in rig.events)
    expected = read_strictly(data, unfolds=is_client)
    assert is_whole == (expected is not None), f"{data!r} was {'taken' if is_whole else 'not taken'}: {rig.events}"
    assert expected is None or rig.content == expected, f"{data!r} came as {rig.content!r}"


def content_from(source: Source) -> bytes:
    """Return chunks and a trailer section, most lines of which are sound, or other bytes."""
    data = b""
    while source.more and len(data) < LONGEST:
        kind = source.byte()
        if kind >= 0xC0:
            data += source.take(kind % 16)
        elif kind % 4 == 0:
            data += source.pick(SIZES) + source.pick(ENDS) + b"abc" + source.pick(ENDS)
        elif kind % 4 == 1:
            data += b"0" + source.pick(ENDS)
        elif kind % 4 == 2:
            data += source.pick(TRAILERS) + source.pick(ENDS)
        else:
            data += source.pick(ENDS)
    return data[:LONGEST]


def seeds() -> list[bytes]:
    """Return inputs with each size line, each trailer, and each end of a line in each place; all else is sound."""
    found = [bytes((0, 0, size, 0, 0, 1, 0, 3, 0)) for size in range(len(SIZES))]
    found += [bytes((0, 0, 0, 0, 0, 1, 0, 2, trailer, 0, 3, 0)) for trailer in range(len(TRAILERS))]
    sound = (0, 0, 0, 0, 0, 0, 3, 0, 0, 1, 0, 2, 0, 0, 3, 0)
    for place in (3, 4, 7, 8, 10, 13, 15):
        found += [bytes((*sound[:place], end, *sound[place + 1 :])) for end in range(1, len(ENDS))]
    return found
