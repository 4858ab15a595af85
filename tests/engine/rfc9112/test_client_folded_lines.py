"""Folded field lines of a response (RFC 9112 §5.2): a user agent MUST replace each obs-fold with spaces.

A server refuses them in requests, see test_s05_fields.py.
"""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support.h1_rig import H1ClientRig

STATUS = b"HTTP/1.1 200 OK"
CHUNKS = STATUS + b"\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"


def read(data: bytes, cut: int, limits: Limits | None = None) -> H1ClientRig:
    rig = H1ClientRig(limits)
    rig.send()
    rig.feed(data, cut)
    return rig


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize(
    ("lines", "value"),
    [
        (b"a: b\r\n c", b"b c"),
        (b"a: b\r\n\tc", b"b c"),
        (b"a: b \t\r\n \t c", b"b c"),
        (b"a: b\r\n c\r\n\td", b"b c d"),
        (b"a: b\r\n \r\n\t \r\n c", b"b c"),
        (b"a:\r\n b", b"b"),
        (b"a: b\r\n ", b"b"),
        (b"a: b\r\n c: d", b"b c: d"),
    ],
)
def test_a_folded_value_is_read_as_one_line(lines: bytes, value: bytes, cut: int) -> None:
    """obs-fold = OWS CRLF RWS, in the head and in the trailer section."""
    rig = read(STATUS + b"\r\n" + lines + b"\r\nContent-Length: 2\r\n\r\nok", cut)
    (head,) = rig.of(ev.ResponseReceived)
    assert head.headers[0] == (b"a", value)
    assert rig.content == b"ok" and rig.ended and rig.conn.can_send_request
    rig = read(CHUNKS + lines + b"\r\nb: c\r\n\r\n", cut)
    (trailers,) = rig.of(ev.TrailersReceived)
    assert trailers.headers == [(b"a", value), (b"b", b"c")]
    assert rig.conn.can_send_request


def test_a_folded_field_may_frame_the_message() -> None:
    """It is replaced "prior to interpreting the field value"."""
    rig = read(STATUS + b"\r\nContent-Length:\r\n 2\r\n\r\nok", 0)
    assert rig.content == b"ok" and rig.ended
    rig = read(STATUS + b"\r\nTransfer-Encoding:\r\n chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 0)
    assert rig.content == b"ok" and rig.ended
    for value in (b"2\r\n 3", b"2\r\n ,2"):
        assert read(STATUS + b"\r\nContent-Length: " + value + b"\r\n\r\nok", 0).conn.closed


@pytest.mark.parametrize("lines", [b" a: b\r\n", b"\ta: b\r\n c\r\n", b" \r\n"])
def test_nothing_is_folded_onto_the_line_before_the_fields(lines: bytes) -> None:
    """§2.2 Whitespace behind the start line; and the same behind the last chunk."""
    assert read(STATUS + b"\r\n" + lines + b"Content-Length: 2\r\n\r\nok", 0).conn.closed
    assert read(CHUNKS + lines + b"\r\n", 0).conn.closed


@pytest.mark.parametrize("count", [7, 8])
def test_a_folded_line_counts_among_the_fields(count: int) -> None:
    """So `max_fields` bounds the work of putting them together."""
    limits = Limits(max_fields=9)
    lines = b"a: b\r\n" + b" c\r\n" * count
    assert read(STATUS + b"\r\n" + lines + b"Content-Length: 2\r\n\r\nok", 0, limits).conn.closed == (count == 8)
    limits = Limits(max_fields=8)
    assert read(CHUNKS + lines + b"\r\n", 0, limits).conn.closed == (count == 8)
