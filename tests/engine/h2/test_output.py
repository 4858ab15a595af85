"""What waits to be sent is bounded, whatever its pieces look like."""

from __future__ import annotations

import pytest

from headrace.engine.errors import ErrorCode
from headrace.testing import ServerUnderTest, data_frame, rst_stream_frame

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(("size", "most"), [(2, 300), (1_000, 70), (16_384, 4)])
def test_at_window_0_an_application_blocks_within_the_limit(size: int, most: int) -> None:
    server = ServerUnderTest()
    server.handshake([(4, 0)])
    server.request(1)
    server.connection.send_headers(1, 200, ())
    taken = 0
    while server.connection.send_data(1, bytes(size)):
        taken += 1
        assert taken <= most
    assert taken * size <= 65_536


def test_a_remembered_head_serves_bodies_of_any_length() -> None:
    """RFC 9110 §8.6: the content-length of a response is that of its own content."""
    server = ServerUnderTest()
    server.handshake()
    fields = ((b"content-type", b"text/plain"),)
    for stream_id, body in zip(range(1, 40, 2), [b"a", b"bb", b"bb", b"", b"a"] * 4, strict=True):
        server.request(stream_id)
        server.connection.send_response(stream_id, 200, fields, body)
        head, *data = server.frames()
        sent = dict(server.decode(head.payload))
        assert sent.get(b"content-length", b"0") == b"%d" % len(body)
        assert b"".join(frame.payload for frame in data) == body


def test_after_our_reset_the_peers_own_end_counts() -> None:
    """RFC 9113 §5.1: what was in flight when our RST_STREAM left is ignored; once the peer has reset or ended it
    as well, more frames on it are an error again (h2spec 5.1/9, where the answer may be faster than the reset)."""
    for last, scope in ((rst_stream_frame(1, 8), "RST_STREAM"), (data_frame(1, b"", end_stream=True), "GOAWAY")):
        server = ServerUnderTest()
        server.handshake()
        server.request(1, "POST", end_stream=False)
        server.connection.send_response(1, 200, (), b"early")
        assert [each.kind for each in server.frames()] == ["HEADERS", "DATA", "RST_STREAM"]
        server.feed(data_frame(1, b"in flight"))
        assert server.frames() == []
        server.feed(last)
        server.request(1, "POST")
        answer = server.frames()[-1]
        assert (answer.kind, answer.error_code) == (scope, ErrorCode.STREAM_CLOSED)
