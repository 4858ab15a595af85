"""RFC 9113 §5.4 and §7: what an error does, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import LocalError, StreamClosedError
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig


@pytest.mark.parametrize("opened", [0, 1, 3])
def test_goaway_names_the_last_stream_received(opened: int) -> None:
    """§5.4.1 A GOAWAY carries the identifier of the last stream that was successfully received from the peer."""
    rig = ServerRig()
    for n in range(opened):
        rig.request(1 + 2 * n)
    rig.feed(wire.ping(b"short"))
    rig.take()
    (goaway,) = rig.frames(wire.GOAWAY)
    assert goaway.last_stream_id == max(0, 2 * opened - 1)
    assert goaway.code == wire.FRAME_SIZE_ERROR


def test_a_connection_error_ends_the_open_streams() -> None:
    """Each open stream's owner hears of the end, then ConnectionEnded is the last event."""
    rig = ServerRig()
    rig.request(1, end_stream=False)
    rig.request(3)
    rig.feed(wire.ping(b"short"))
    names = [type(e).__name__ for e in rig.events]
    assert names[-1] == "ConnectionEnded"
    assert [e.stream_id for e in rig.of(ev.StreamReset)] == [1, 3]
    assert rig.conn.open_streams == 0


def test_what_was_parsed_in_the_same_batch_stays_valid() -> None:
    """A stream error in the middle of a read batch loses nothing before or behind it."""
    rig = ServerRig()
    block = wire.literals(wire.request_fields(b"/5")) + wire.literal(b"k", b"v", index=True)
    bad = wire.literals(wire.request_fields(b"/7", extra=[(b"UPPER", b"x")])) + wire.literal(b"k2", b"v2", index=True)
    rig.feed(
        wire.request(1, method=b"POST", end_stream=False)
        + wire.request(3)
        + wire.headers(5, block, end_stream=True)
        + wire.headers(7, bad, end_stream=True)
        + wire.headers(
            9, wire.literals(wire.request_fields(b"/9")) + wire.indexed(62) + wire.indexed(63), end_stream=True
        )
        + wire.data(1, b"data", end_stream=True)
        + wire.request(11)[:20]
    )
    assert rig.outcome(7) == ("stream", wire.PROTOCOL_ERROR)
    assert [e.stream_id for e in rig.of(ev.RequestReceived)] == [1, 3, 5, 9]
    assert rig.of(ev.RequestReceived, 9)[0].headers == [(b"k2", b"v2"), (b"k", b"v")]
    assert [e.data for e in rig.of(ev.DataReceived)] == [b"data"]
    rig.feed(wire.request(11)[20:])
    assert rig.of(ev.RequestReceived, 11)


def test_a_connection_error_keeps_what_came_before_it() -> None:
    """§5.4.1 Requests before the fault in the same batch were received: they are events, then the end."""
    rig = ServerRig()
    rig.feed(wire.request(1) + wire.data(0, b"x") + wire.request(3))
    names = [type(e).__name__ for e in rig.events]
    assert names[0] == "RequestReceived"
    assert "ConnectionEnded" in names
    assert rig.of(ev.RequestReceived, 3) == []


def test_responses_ready_before_the_error_are_flushed() -> None:
    """A connection error writes GOAWAY; what had been answered in full goes out before it."""
    rig = ServerRig()
    rig.request(1)
    rig.respond(1, b"answer")
    rig.feed(wire.data(0, b"x"))
    rig.take()
    assert rig.frames(wire.GOAWAY)[0].code == wire.PROTOCOL_ERROR
    assert rig.sent[-1].type == wire.GOAWAY


@pytest.mark.parametrize("code", [0, 8, 13, 14, 0xFF, 2**32 - 1])
def test_unknown_codes_in_rst_stream(code: int) -> None:
    """§7 Unknown or unsupported error codes MUST NOT trigger any special behavior."""
    rig = ServerRig()
    rig.request(1, end_stream=False)
    rig.feed(wire.rst_stream(1, code))
    (event,) = rig.of(ev.StreamReset)
    assert (event.code, event.initiator) == (code, "remote")
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("code", [0, 1, 2, 14, 2**32 - 1])
def test_unknown_codes_in_goaway(code: int) -> None:
    """§7 Unknown codes in GOAWAY are told, no more; running streams go on."""
    rig = ServerRig()
    rig.request(1)
    rig.feed(wire.goaway(0, code, b"debug\xff\0"))
    (event,) = rig.of(ev.GoAwayReceived)
    assert (event.code, event.debug) == (code, b"debug\xff\0")
    rig.respond(1, b"still")
    rig.take()
    assert bytes(rig.content[1]) == b"still"


def test_eof_in_the_middle_of_everything() -> None:
    """§5.4.3 The transport ends: open streams end with it, and nothing raises afterwards."""
    rig = ServerRig()
    rig.request(1, end_stream=False)
    rig.feed(wire.request(3)[:12])
    rig.eof()
    assert [e.stream_id for e in rig.of(ev.StreamReset)] == [1]
    assert isinstance(rig.events[-1], ev.ConnectionEnded)
    assert rig.conn.closed
    assert rig.eof() == []
    assert rig.feed(wire.request(5)) == []
    rig.conn.acknowledge_data(1, 10)
    rig.conn.reset_stream(1, wire.CANCEL)


def test_misuse_raises_and_writes_nothing() -> None:
    """Only the caller's own misuse raises; nothing of it reaches the wire."""
    rig = ServerRig()
    rig.request(1)
    misuses: tuple[Callable[[], object], ...] = (
        lambda: rig.conn.send_data(1, b"x"),
        lambda: rig.conn.send_trailers(1, [(b"a", b"b")]),
        lambda: rig.conn.send_headers(1, 103, []),
        lambda: rig.conn.send_informational(1, 200, []),
        lambda: rig.conn.send_informational(1, 101, []),
        lambda: rig.conn.send_headers(99, 200, []),
        lambda: rig.conn.send_headers(0, 200, []),
        lambda: rig.conn.send_headers(1, 1000, []),
        lambda: rig.conn.send_headers(1, 99, []),
    )
    for misuse in misuses:
        with pytest.raises(LocalError):
            misuse()
    assert rig.take() == []
    rig.conn.send_headers(1, 200, [])
    with pytest.raises(LocalError):
        rig.conn.send_headers(1, 200, [])
    with pytest.raises(LocalError):
        rig.conn.send_informational(1, 103, [])
    rig.conn.send_data(1, b"x", end_stream=True)
    with pytest.raises(LocalError):
        rig.conn.send_data(1, b"more")
    rig.take()
    assert bytes(rig.content[1]) == b"x"
    rig.assert_siblings_go_on()


def test_a_send_on_a_dead_stream_raises_stream_closed() -> None:
    """A verb on a stream that is gone raises StreamClosedError, whoever ended it."""
    rig = ServerRig()
    rig.request(1, end_stream=False)
    rig.feed(wire.rst_stream(1))
    rig.request(3)
    rig.conn.reset_stream(3, wire.INTERNAL_ERROR)
    rig.request(5)
    rig.respond(5, b"done")
    rig.take()
    verbs: tuple[Callable[[int], object], ...] = (
        lambda sid: rig.conn.send_headers(sid, 200, []),
        lambda sid: rig.conn.send_data(sid, b"x"),
        lambda sid: rig.conn.send_trailers(sid, []),
        lambda sid: rig.conn.send_response(sid, 200, [], b""),
        lambda sid: rig.conn.send_informational(sid, 103, []),
    )
    for stream_id in (1, 3, 5):
        for verb in verbs:
            with pytest.raises(StreamClosedError):
                verb(stream_id)
    rig.take()
    assert rig.outcome(1) == OK


def test_client_goes_on_after_a_stream_error() -> None:
    """§5.4.2 A stream error does not affect processing of other streams: client role."""
    rig = ClientRig(Limits())
    first, second = rig.send(), rig.send()
    rig.feed(wire.headers(first, [(b"no-status", b"x")]), wire.response(second, end_stream=True))
    assert rig.outcome(first) == ("stream", wire.PROTOCOL_ERROR)
    assert [e.stream_id for e in rig.of(ev.ResponseReceived)] == [second]
    rig.assert_siblings_go_on()


def test_a_dead_connection_has_no_input_pending() -> None:
    """An owner that reads on while input is pending must not spin on a connection that has ended."""
    for fault in (wire.ping(b"short"), wire.data(0, b"x") + wire.ping() * 20):
        rig = ServerRig(Limits(frames_per_turn=2))
        rig.conn.receive_data(wire.ping() * 3 + fault + wire.request(1), rig.now)
        for _ in range(10):
            rig.conn.receive_data(b"", rig.now)
        assert rig.conn.closed
        assert not rig.conn.input_pending
        assert not rig.conn.read_paused or rig.take()
