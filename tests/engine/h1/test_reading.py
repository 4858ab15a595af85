"""Input is read by `receive_data` and `take_events`, and by nothing else: no verb and no `take_output` parses."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.h1 import H1ServerConnection
from headrace.engine.limits import Limits

from tests.support.h1_rig import GET, chunked, head, post

UPGRADE = head(
    b"Connection: upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    b"Sec-WebSocket-Version: 13",
)


def begun(data: bytes, **arguments: Any) -> Any:
    """A connection that got these bytes; its events are taken."""
    limits = Limits(frames_per_turn=0, max_stream_send_buffer=131_072)
    conn = H1ServerConnection(limits, **arguments)
    conn.receive_data(data, 0.0)
    conn.take_events()
    return conn


def respond(conn: H1ServerConnection) -> None:
    conn.send_response(1, 200, (), b"")


def respond_in_pieces(conn: H1ServerConnection) -> None:
    conn.send_headers(1, 200, ())
    conn.send_data(1, b"a")
    conn.send_data(1, b"", True)


def end_with_trailers(conn: H1ServerConnection) -> None:
    conn.send_headers(1, 200, ())
    conn.send_trailers(1, [(b"a", b"b")])


def send_past_the_engine(conn: H1ServerConnection) -> None:
    conn.send_headers(1, 200, [(b"content-length", b"1")])
    conn.take_output()
    conn.content_sent(1, 1)


VERBS = [respond, respond_in_pieces, end_with_trailers, send_past_the_engine]


@pytest.mark.parametrize("verb", VERBS)
def test_the_verb_that_ends_a_response_reads_nothing(verb: Any) -> None:
    """The next pipelined request is read when its owner asks for events; until then it counts for nothing."""
    conn = begun(GET * 2)
    verb(conn)
    assert conn.requests == 1 and conn.open_streams == 0
    assert conn.needs_attention, "or nobody would ask"
    (request,) = conn.take_events()
    assert isinstance(request, ev.RequestReceived) and request.stream_id == 3
    assert conn.take_events() == []


def test_take_output_reads_nothing() -> None:
    """Answers that were not taken hold the next request back; taking them alone does not begin it."""
    conn = begun(GET * 2)
    conn.send_response(1, 200, (), b"x" * 65_536)
    assert conn.take_events() == [] and conn.needs_attention
    while conn.output_pending:
        conn.take_output()
        assert conn.requests == 1
    assert conn.needs_attention and not conn.input_pending
    assert [event.stream_id for event in conn.take_events()] == [3]


def test_taking_buffers_reads_nothing() -> None:
    """The same for the other way out; a response that was not accepted ends with it."""
    conn = begun(GET * 2)
    assert not conn.send_response(1, 200, (), b"x" * 1_048_576)
    while conn.output_pending:
        conn.take_buffers()
        assert conn.requests == 1
    accepted, request = conn.take_events()
    assert isinstance(accepted, ev.SendAccepted) and isinstance(request, ev.RequestReceived)


def test_a_tunnel_is_read_when_events_are_taken() -> None:
    """Bytes that came with the request for an upgrade are the tunnel's, once it is open."""
    conn = begun(UPGRADE + b"early", websockets=True)
    assert conn.take_events() == []
    conn.accept_tunnel(1, ())
    (data,) = conn.take_events()
    assert isinstance(data, ev.DataReceived) and data.data == b"early"


@pytest.mark.parametrize("rest", [b"malformed\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_fault_behind_a_response_does_not_come_out_of_its_verb(rest: bytes) -> None:
    """The verb belongs to the request before: the connection is still open when it returns."""
    conn = begun(GET + rest)
    conn.send_response(1, 200, (), b"")
    assert not conn.closed
    fault, ended = conn.take_events()
    assert isinstance(fault, ev.PeerFault) and isinstance(ended, ev.ConnectionEnded) and conn.closed


def test_content_that_is_left_is_forgotten_when_events_are_taken() -> None:
    """A response before the end of its request (RFC 9112 §9.3): the rest, and the request behind it, wait."""
    conn = begun(b"")
    conn.receive_data(post(b"x" * 100)[:-50], 0.0)
    conn.send_response(1, 200, (), b"")
    assert conn.receive_data(b"x" * 50, 0.0) == []
    assert [event.stream_id for event in conn.receive_data(GET, 0.0)] == [3]


def test_chunks_beyond_the_turn_wait_for_the_next_one() -> None:
    """`take_events` goes on within the turn, and never begins another: that is `receive_data`'s."""
    conn: Any = H1ServerConnection(Limits(frames_per_turn=1))
    conn.receive_data(chunked(b"1\r\na\r\n" * 500 + b"0\r\n\r\n") + GET, 0.0)
    assert conn.input_pending
    conn.send_response(1, 200, (), b"")
    assert conn.take_events() == [] and conn.input_pending
    turns = 0
    while conn.input_pending:
        conn.receive_data(b"", 0.0)
        turns += 1
    assert conn.requests == 2 and turns > 1


def test_a_request_that_was_not_read_is_not_begun_when_the_client_has_gone() -> None:
    """It waited for the response before it: no worker has heard of it, and none has to be told of its end."""
    conn = begun(GET * 2)
    conn.send_response(1, 200, (), b"")
    (ended,) = conn.receive_eof(0.0)
    assert isinstance(ended, ev.ConnectionEnded)
    assert not conn.take_events() and conn.requests == 1
