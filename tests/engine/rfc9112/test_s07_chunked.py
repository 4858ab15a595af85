"""RFC 9112 §7.1: the chunked transfer coding, byte for byte, also against llhttp's reading of it."""

from __future__ import annotations

import random
from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.support.h1_rig import GET, OK, H1Rig, chunked, refusal

END = b"0\r\n\r\n"


def decoded(data: bytes, cut: int = 0) -> bytes:
    rig = H1Rig(auto=True)
    rig.feed(chunked(data) + GET, cut)
    assert len(rig.requests) == 2
    return rig.content


@pytest.mark.parametrize("cut", [0, 1, 2, 7])
@pytest.mark.parametrize(
    ("data", "content"),
    [
        (END, b""),
        (b"5\r\nhello\r\n" + END, b"hello"),
        (b"a\r\n0123456789\r\n" + END, b"0123456789"),
        (b"A\r\n0123456789\r\n" + END, b"0123456789"),
        (b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", b"hello"),
        (b"2\r\n\r\n\r\n" + END, b"\r\n"),
        (b"5\r\n0\r\n\r\n\r\n" + END, b"0\r\n\r\n"),
        (b"1\r\na\r\n" * 100 + END, b"a" * 100),
        (b"400\r\n" + b"x" * 1_024 + b"\r\n" + END, b"x" * 1_024),
        (b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello"),
        (b'5;a="b;c\\"d";e=f;g\r\nhello\r\n' + END, b"hello"),
        (b'5;a=""\r\nhello\r\n' + END, b"hello"),
        (b"5;" + b"e" * 1_023 + b"\r\nhello\r\n" + END, b"hello"),
    ],
)
def test_chunks(data: bytes, content: bytes, cut: int) -> None:
    """§7.1 chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF; the request behind it begins where it ends."""
    assert decoded(data, cut) == content


SIZES = [
    b"",
    b" ",
    b" 5",
    b"5 ",
    b"5\t",
    b"+5",
    b"-5",
    b"0x5",
    b"5h",
    b"5_0",
    b"5.",
    b"5,",
    b"5\x00",
    b"5\x0b",
    b"\xb2",
    b"g",
    b"00000000000000005",  # 17 digits
    b"ffffffffffffffffff",
    b"f" * 1_000_000,
    b"5 ;a",
    b"5; a",
    b"5;a =b",
    b"5;a= b",
    b"5;a ",
    b"5;",
    b"5;;",
    b"5;a;",
    b"5;=b",
    b"5;a=",
    b"5;a=b=c",
    b"5;a b",
    b'5;a="b',
    b'5;a="b"c',
    b'5;a=b"',
    b"5;a\x00",
    b"5;a\x7f",
    b"5;\xff",
    b"5;" + b"e" * 1_024,
    b"5;a\rb",
    b"5;a\nb",
    b"5\r",
    b"5;\r",
]


@pytest.mark.parametrize("size", SIZES, ids=range(len(SIZES)))
@pytest.mark.parametrize("cut", [0, 1])
def test_malformed_sizes_and_extensions(size: bytes, cut: int) -> None:
    """§7.1 chunk-size = 1*HEXDIG and nothing else; §7.1.1 extensions by their grammar, 1 KiB of them: 400 and close."""
    if cut and len(size) > 10_000:
        size = size[:100]
    assert refusal(chunked(b"1\r\nx\r\n" + size + b"\r\nhello\r\n" + END), cut) == 400


@pytest.mark.parametrize(
    "data",
    [
        b"5\nhello\r\n" + END,
        b"5\rhello\r\n" + END,
        b"5\r\nhello\n" + END,
        b"5\r\nhello\r" + END,
        b"5\r\nhello" + END,
        b"5\r\nhelloX\r\n" + END,
        b"5\r\nhell\r\n" + END + b"\r\n",
        b"5\r\nhello\r\r\n" + END,
        b"5\r\nhello\r\n\r\n" + END,
        b"5\r\r\nhello\r\n" + END,
        b"5;a\nhello\r\n" + END,
        b"\r\n5\r\nhello\r\n" + END,
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\r\nhello\r\n0\r\n\rX",
        b"5\r\nhello\r\n0\r\nX",
    ],
)
@pytest.mark.parametrize("cut", [0, 1])
def test_lines_end_with_crlf_and_nothing_else(data: bytes, cut: int) -> None:
    """§7.1, §2.2: the CR and LF of the coding are beyond doubt, or two readers see two messages."""
    rig = H1Rig(auto=True)
    rig.feed(chunked(data) + (b"\r\n\r\n" if data.endswith(b"X") else GET), cut)
    assert rig.conn.closed
    assert len(rig.requests) == 1
    assert rig.responses()[-1].status == 400


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_behind_a_size(byte: int) -> None:
    """§7.1 Digits make the size longer, CR ends it, a semicolon begins extensions; any other byte is a fault."""
    c = bytes((byte,))
    good = c in b"\r;" or c in b"0123456789abcdefABCDEF"
    rig = H1Rig()
    rig.feed(chunked(b"1" + c))
    assert bool(rig.of(ev.PeerFault)) != good


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_an_extension(byte: int) -> None:
    """§7.1.1 A name is a token; a quoted value has no control bytes."""
    c = bytes((byte,))
    quoted = byte == 9 or byte == 0x20 or 0x21 <= byte <= 0x7E or byte >= 0x80
    expected: object = OK if quoted and c not in b'"\\' else 400
    assert refusal(chunked(b'1;a="' + c + b'"\r\nx\r\n' + END)) == expected


def test_extensions_together_are_bounded() -> None:
    """Go CVE-2023-39326 is of this kind: bytes that mean nothing, ever more of them."""
    assert refusal(chunked(b"1;" + b"e" * 1_000 + b"\r\nx\r\n") + b"1;" + b"e" * 1_000 + b"\r\nx\r\n") == OK
    assert refusal(chunked((b"1;" + b"e" * 1_000 + b"\r\nx\r\n") * 66)) == 400


def test_content_before_a_fault_is_handed_over() -> None:
    """The application sees what came, then the reset: as it would if the bytes had come one by one."""
    rig = H1Rig()
    rig.feed(chunked(b"5\r\nhello\r\n3\r\nfoX"))
    assert rig.content == b"hellofoX"
    rig.feed(b"nonsense")
    fault, reset, ended = rig.events[-3:]
    assert isinstance(fault, ev.PeerFault) and fault.scope == "stream" and fault.stream_id == 1
    assert isinstance(reset, ev.StreamReset) and reset.initiator == "local" and reset.section == fault.section
    assert isinstance(ended, ev.ConnectionEnded)


# -- trailers --


@pytest.mark.parametrize("cut", [0, 1])
def test_trailers(cut: int) -> None:
    """§7.1.2 Trailers end the message; names lowered, values without whitespace around them."""
    rig = H1Rig(auto=True)
    rig.feed(chunked(b"5\r\nhello\r\n0\r\nA-B: c \r\nd:\r\nA-B: e\r\n\r\n") + GET, cut)
    (trailers,) = rig.of(ev.TrailersReceived)
    assert trailers.headers == [(b"a-b", b"c"), (b"d", b""), (b"a-b", b"e")]
    assert not any(event.end_stream for event in rig.of(ev.DataReceived))
    assert len(rig.requests) == 2


@pytest.mark.parametrize(
    "line",
    [
        b"a : b",
        b" a: b",
        b"a",
        b": b",
        b"a b: c",
        b"a: b\x00",
        b"a: b\x7f",
        b"a: b\r\n c",
        b"a: b\rc",
        b"a: b\nc",
        b"content-length: 5",
        b"transfer-encoding: chunked",
        b"host: a",
        b"connection: close",
        b"upgrade: websocket",
        b"te: trailers",
        b":path: /",
    ],
)
def test_malformed_and_forbidden_trailers(line: bytes) -> None:
    """RFC 9110 §6.5.1 A field that says how a message is read must not be a trailer."""
    assert refusal(chunked(b"0\r\n" + line + b"\r\n\r\n")) == 400


@pytest.mark.parametrize("count", [8, 9])
def test_number_of_trailers(count: int) -> None:
    """Go CVE-2026-78659: trailers have the limits of fields: 431."""
    assert refusal(chunked(b"0\r\n" + b"a: b\r\n" * count + b"\r\n"), limits=Limits(max_fields=8)) == (
        OK if count == 8 else 431
    )


@pytest.mark.parametrize("cut", [0, 50])
def test_size_of_trailers(cut: int) -> None:
    """The same for their bytes, also for a line that never ends."""
    limits = Limits(max_field_section_size=1_024)
    assert refusal(chunked(b"0\r\na: " + b"b" * 1_000 + b"\r\n\r\n"), cut, limits) == OK
    assert refusal(chunked(b"0\r\na: " + b"b" * 1_100), cut, limits) == 431
    assert refusal(chunked(b"0\r\n" + b"a: bcdefghij\r\n" * 100), cut, limits) == 431


# -- against llhttp --


class Listener:
    """What llhttp says of a message."""

    def __init__(self) -> None:
        self.body = b""
        self.complete = 0

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete += 1


def by_llhttp(data: bytes) -> tuple[bool, bytes, int]:
    """Whether llhttp refuses a message, its content, and how many messages are complete."""
    listener = Listener()
    parser: Any = httptools.HttpRequestParser(listener)
    try:
        parser.feed_data(data)
    except httptools.HttpParserError:
        return True, listener.body, listener.complete
    return False, listener.body, listener.complete


def by_us(data: bytes) -> tuple[bool, bytes, int]:
    rig = H1Rig(auto=True)
    rig.feed(data)
    ends = [event for event in rig.of(ev.DataReceived) if event.end_stream] + rig.of(ev.TrailersReceived)
    return bool(rig.of(ev.PeerFault)), rig.content, len(ends)


def compare(data: bytes) -> None:
    """We never accept what llhttp refuses, and where both accept the content is the same."""
    refused, body, complete = by_llhttp(data)
    ours_refused, ours, ours_complete = by_us(data)
    if not ours_refused:
        assert not refused or complete, data  # behind the message it refuses sooner, as it knows all methods
        assert (ours, ours_complete) == (body, complete), data


PARTS = [
    b"0",
    b"1",
    b"5",
    b"a",
    b"F",
    b"10",
    b"\r\n",
    b"\n",
    b"\r",
    b"hello",
    b"x",
    b";",
    b"a=b",
    b'"',
    b" ",
    b":",
    b"0\r\n\r\n",
]


@given(parts=st.lists(st.sampled_from(PARTS), max_size=12))
@tries(500)
def test_against_llhttp_on_random_bytes(parts: list[bytes]) -> None:
    """Differential: what llhttp refuses we refuse, and a message that both take has one content."""
    compare(chunked(b"".join(parts)))


@given(seed=st.integers(0, 2**32))
@tries(300)
def test_against_llhttp_on_sound_messages_with_one_byte_changed(seed: int) -> None:
    """The same near to what is sound, where a lenient reader is most tempted."""
    rnd = random.Random(seed)
    data = b""
    for _ in range(rnd.randrange(4)):
        size = rnd.randrange(1, 40)
        data += b"%x\r\n" % size + rnd.randbytes(size) + b"\r\n"
    data += b"0\r\n" + (b"a: b\r\n" if rnd.random() < 0.3 else b"") + b"\r\n"
    compare(chunked(data))
    at = rnd.randrange(len(data))
    change = rnd.choice((b"", b"\r", b"\n", b" ", b"0", b";", b"\x00", rnd.randbytes(1)))
    compare(chunked(data[:at] + change + data[at + rnd.randrange(2) :]))
