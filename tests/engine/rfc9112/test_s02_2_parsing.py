"""RFC 9112 §2.2: message parsing: lines, empty lines, bytes that no request begins with; any cut of the input."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.support.h1_rig import GET, OK, SILENT, H1Rig, chunked, head, post, refusal

LINES = [
    b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n",
    b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\rHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\nHost: a\r\n\r\n",
]


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("data", LINES)
def test_lines_end_with_crlf(data: bytes, cut: int) -> None:
    """§2.2 A recipient MAY recognize a single LF as a line terminator (we do not), and a bare CR MUST be invalid."""
    assert refusal(data, cut) == 400


def test_a_bare_lf_is_refused_before_the_head_is_whole() -> None:
    """§2.2 A client that ends its lines with LF never sends CRLFCRLF: it must not wait for a deadline."""
    rig = H1Rig()
    rig.feed(b"GET / HTTP/1.1\nHost: a\n\n")
    assert rig.conn.closed
    assert rig.responses()[0].status == 400


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("empty", [1, 2, 8])
def test_empty_lines_before_a_request_are_ignored(empty: int, cut: int) -> None:
    """§2.2 A server SHOULD ignore at least one empty line (CRLF) received prior to the request-line."""
    rig = H1Rig(auto=True)
    rig.feed(b"\r\n" * empty + GET + b"\r\n" * empty + GET, cut)
    assert len(rig.requests) == 2
    assert not rig.of(ev.PeerFault)


@pytest.mark.parametrize("empty", [0, 1, 8])
@pytest.mark.parametrize("rest", [b"Host: a\r\nbad field: x\r\n\r\n", b"Host: a\r\n"])
def test_an_error_answers_head_without_content(empty: int, rest: bytes) -> None:
    """RFC 9110 §9.3.2: of a head that is malformed or late, too, and behind empty lines (RFC 9112 §2.2)."""
    rig = H1Rig()
    rig.feed(b"\r\n" * empty + b"HEAD / HTTP/1.1\r\n" + rest)
    rig.advance(31)
    assert rig.conn.closed
    raw = rig.take()
    assert raw.startswith(b"HTTP/1.1 40") and raw.endswith(b"\r\n\r\n") and b"content-length: 0" not in raw


def test_empty_lines_have_an_end() -> None:
    """§2.2 At least one, not any number: a client that sends nothing else is refused."""
    assert refusal(GET + b"\r\n" * 9 + GET) == 400
    assert refusal(b"\r\n" * 9) == 400


def test_an_empty_line_before_each_request_does_not_add_up() -> None:
    """§2.2 Old clients send CRLF after each content: that is legal for as long as the connection lives."""
    rig = H1Rig(auto=True)
    for _ in range(50):
        rig.feed(b"\r\n")
        rig.feed(GET)
        rig.take()
    assert len(rig.requests) == 50


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize(
    "data",
    [
        b"INVALID CONNECTION PREFACE\r\n\r\n",  # h2spec 3.5/2
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS handshake
        b"\x00\x00\x00\x00",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n"[:5],
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\xffGET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_request_at_all_gets_no_answer(data: bytes, cut: int) -> None:
    """§2.2 When a server listening only for HTTP request messages receives bytes that do not match the grammar, it
    SHOULD respond with 400 and close: but another protocol's first bytes are not met with HTTP (h2spec, too)."""
    assert refusal(data, cut) == SILENT


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize(
    "data",
    [
        b"GET /\r\n\r\n",
        b"GET\r\n\r\n",
        b"FOO BAR HTTP/1.1\r\n\r\n",
        b"G@T / HTTP/1.1\r\n\r\n",
        b"GET / FTP/1.1\r\n\r\n",
    ],
)
def test_what_was_meant_as_a_request_gets_400(data: bytes, cut: int) -> None:
    """§2.2 ... SHOULD respond with a 400 (Bad Request) response and close the connection."""
    assert refusal(data, cut) == 400


def test_after_a_request_everything_wrong_gets_400() -> None:
    """§2.2 A client that has spoken HTTP once is answered in HTTP."""
    assert refusal(GET + b"\x00\x01\x02\r\n\r\n") == 400
    assert refusal(GET + b"INVALID CONNECTION PREFACE\r\n\r\n") == 400


@pytest.mark.parametrize("byte", range(256))
def test_each_first_byte(byte: int) -> None:
    """§3.1 A method is a token: nothing else begins a request but the CR of an empty line."""
    token = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    first = bytes((byte,))
    good = byte in token
    assert refusal(first + b"X / HTTP/1.1\r\nHost: a\r\n\r\n") == (OK if good else SILENT)
    assert refusal(GET + first + b"X / HTTP/1.1\r\nHost: a\r\n\r\n") == (OK if good else 400)


STREAMS = [
    GET * 3,
    b"\r\n" + GET + post(b"hello") + GET,
    chunked(b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nt: v\r\n\r\n") + GET,
    chunked(b"5\r\nhello\r\n0\r\n\r\n") + post(b"x" * 300) + head(b"Connection: close") + GET,
    GET + b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n" + GET,
    GET + head(b"X : y") + GET,
    chunked(b"5\r\nhelloX\r\n0\r\n\r\n") + GET,
    chunked(b"5\r\nhello\r\nG\r\n") + GET,
    chunked(b"3;" + b"e" * 1_100 + b"\r\nabc\r\n0\r\n\r\n"),
    chunked(b"0\r\n" + b"a: b\r\n" * 200 + b"\r\n"),
    b"GET /" + b"a" * 9_000 + b"\r\n\n" + GET,
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 900 + b"\nb: c\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000 + b"\rb\r\n\r\n",
    b"INVALID CONNECTION PREFACE\r\n\r\n" + GET,
    b"FOO /\rx HTTP/1.1\r\n\r\n",
    head(b"Connection: close") + GET,
    head(request=b"GET / HTTP/1.0", host=None) + GET,
    head(b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"0\r\n\r\n" + GET,
    head(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 8"),
]
TIGHT = Limits(max_field_section_size=1_024, max_fields=128)


def story(raw: bytes, cuts: list[int]) -> tuple[list[str], bytes]:
    """What happens when bytes come in these pieces, content put together, and what is written."""
    rig = H1Rig(TIGHT, auto=True, websockets=True)
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    for begin, end in pairwise(places):
        rig.feed(raw[begin:end])
    told: list[str] = []
    content = b""
    for event in rig.events:
        if event.kind == ev.DATA:
            content += event.data
            if event.end_stream:
                told.append(f"{content!r} end")
                content = b""
            continue
        if content:
            told.append(repr(content))
            content = b""
        told.append(repr(event))
    return told, rig.take()


@pytest.mark.parametrize("data", STREAMS, ids=range(len(STREAMS)))
def test_byte_by_byte_is_the_same_as_at_once(data: bytes) -> None:
    """Where TCP cuts the input has no meaning: the same events, the same fault, the same bytes in answer."""
    assert story(data, list(range(len(data)))) == story(data, [])


@given(data=st.sampled_from(STREAMS), cuts=st.lists(st.integers(0, 2**16), max_size=12))
@tries(200)
def test_any_cut_of_the_input_is_the_same(data: bytes, cuts: list[int]) -> None:
    """The same for any cut, and for bytes that nobody thought of (see tests/properties/test_h1.py)."""
    assert story(data, cuts) == story(data, [])
