"""headrace.testing: what a user's test does with a client's engine."""

from __future__ import annotations

import pytest

from headrace.engine.events import (
    DataReceived,
    GoAwayReceived,
    InformationalReceived,
    RequestReceived,
    ResponseReceived,
    StreamReset,
)
from headrace.engine.limits import Limits
from headrace.testing import (
    PREFACE,
    ClientUnderTest,
    Clock,
    H1ClientUnderTest,
    JoinedPair,
    data_frame,
    goaway_frame,
    headers_frame,
    rst_stream_frame,
    split_frames,
)


def test_a_client_of_http_2() -> None:
    """A request as frames, a response that is written by hand, and one that is made."""
    client = ClientUnderTest()
    client.handshake([(3, 2)])
    stream_id = client.request("GET", "/x", [(b"accept", b"*/*")])
    (headers,) = client.frames()
    assert (headers.kind, headers.stream_id, headers.end_stream) == ("HEADERS", stream_id, True)
    assert client.decode(headers.payload)[3:] == [(b":path", b"/x"), (b"accept", b"*/*")]
    client.feed(headers_frame(stream_id, client.encode_response(103)))
    head, data = client.respond(stream_id, 404, [(b"a", b"b")], b"no")
    assert isinstance(head, ResponseReceived) and (head.status, head.headers) == (404, [(b"a", b"b")])
    assert isinstance(data, DataReceived) and data.end_stream
    empty = client.respond(client.request(), 204)
    assert isinstance(empty[0], ResponseReceived) and empty[0].end_stream
    last = client.request(authority="a.example")
    goaway, reset = client.feed(goaway_frame(0))[:2]
    assert isinstance(goaway, GoAwayReceived)
    assert isinstance(reset, StreamReset) and reset.stream_id == last
    assert client.connection.closed


def test_a_clients_clock() -> None:
    """Time passes when the test says so, deadline by deadline."""
    clock = Clock(100.0)
    client = ClientUnderTest(Limits(keepalive_ping_s=5, idle_timeout_s=60), clock=clock)
    client.handshake()
    stream_id = client.request()
    client.respond(stream_id, end_stream=False)
    client.frames()
    client.advance(5.1)
    assert [frame.kind for frame in client.frames()] == ["PING"]
    assert clock.now == 105.1
    client.feed(data_frame(stream_id, b"x"))
    client.advance(20)
    assert client.connection.closed  # nobody acknowledged the PING


def test_a_client_of_http_1() -> None:
    """Bytes out, bytes in."""
    client = H1ClientUnderTest(Limits(idle_timeout_s=60))
    client.request("POST", "/x", [(b"a", b"b")], end_stream=False)
    client.connection.send_data(1, b"hello", True)
    assert client.written() == (
        b"POST /x HTTP/1.1\r\nhost: localhost\r\na: b\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    early, head = client.feed(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    assert isinstance(early, InformationalReceived) and isinstance(head, ResponseReceived)
    client.request()
    client.written()
    reset, _ = client.feed_eof()
    assert isinstance(reset, StreamReset)
    other = H1ClientUnderTest(Limits(idle_timeout_s=60))
    other.advance(61)
    assert other.connection.closed


def test_frames_and_what_is_none() -> None:
    frames = list(split_frames(PREFACE + rst_stream_frame(1, 8) + goaway_frame(0, 11) + data_frame(1, b"x")))
    assert [each.kind for each in frames] == ["RST_STREAM", "GOAWAY", "DATA"]
    assert [each.error_code for each in frames[:2]] == [8, 11]
    with pytest.raises(ValueError, match="a DATA frame has no error code"):
        _ = frames[2].error_code
    with pytest.raises(ValueError, match="10 bytes are left that are not a whole frame"):
        list(split_frames(data_frame(1, b"xy")[:-1]))


def test_more_frames_than_an_engine_parses_in_one_turn_are_all_parsed() -> None:
    clock = Clock()
    assert clock.advance(1.5) == clock.now == 1.5
    client = ClientUnderTest(Limits(frames_per_turn=8))
    client.handshake()
    stream_id = client.request()
    client.feed(headers_frame(stream_id, client.encode_response(200)))
    events = client.feed(b"".join(data_frame(stream_id, b"x" * 300) for _ in range(50)))
    assert sum(isinstance(each, DataReceived) for each in events) == 50
    pair = JoinedPair(Limits(frames_per_turn=8), Limits(frames_per_turn=8))
    pair.exchange()
    for _ in range(50):
        number = pair.client.send_request(b"GET", b"http", b"a", b"/", [], end_stream=True)
        pair.server.send_ping(number.to_bytes(8, "big"))
    pair.exchange()
    assert sum(isinstance(each, RequestReceived) for each in pair.take_server_events()) == 50
    assert not pair.client.input_pending
