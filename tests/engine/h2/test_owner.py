"""What an HTTP/2 connection tells its owner, and what its owner tells it, beside messages."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.contract import Turns
from headrace.engine.errors import LocalProtocolError
from headrace.engine.h2 import DRAINING, ENDED, ClientConnection, ServerConnection, phases
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import ClientRig, Rig, ServerRig

pytestmark = pytest.mark.engine


def test_how_far_a_connection_has_come() -> None:
    conn = ServerConnection()
    seen = [conn.phase]
    for data in (wire.PREFACE, wire.settings() + wire.settings_ack()):
        conn.receive_data(data, 0.0)
        seen.append(conn.phase)
    conn.receive_data(wire.request(1, end_stream=False), 0.0)
    conn.begin_drain(0.0)
    seen.append(conn.phase)
    conn.close()
    seen.append(conn.phase)
    assert seen == [phases.PREFACE, phases.SETTINGS, phases.OPEN, DRAINING, ENDED]
    assert ClientConnection().phase == phases.SETTINGS


@pytest.mark.parametrize("rig", [ServerRig(), ClientRig()], ids=["server", "client"])
def test_a_transport_that_failed_is_a_peer_that_is_gone(rig: Rig) -> None:
    events = rig.conn.receive_failure(0.0, "TLS: bad record")
    assert [event.kind for event in events] == [ev.ENDED] and events[0].initiator == "remote"
    assert rig.conn.handle_deadline(1e9) == [] and rig.conn.next_deadline() is None


def test_stats_are_of_this_connection() -> None:
    rig = ServerRig()
    rig.request(1)
    rig.feed(wire.request(3, end_stream=False), wire.data(3, b"12345"))
    rig.conn.refuse_stream(1)
    stats = rig.conn.stats()
    assert stats["protocol"] == "HTTP/2"
    assert (stats["streams_opened"], stats["open_streams"], stats["streams_refused"], stats["unread"]) == (2, 1, 1, 5)


def test_there_is_attention_for_events_output_and_a_reason_to_pause() -> None:
    rig = ServerRig(Limits(control_queue_pause=1))
    assert not rig.conn.needs_attention and not rig.conn.bodies_queued
    rig.feed(wire.ping() * 2)
    assert rig.conn.needs_attention and rig.conn.read_paused
    rig.take()
    rig.request(1)
    rig.respond(1, bytes(40_000))
    assert rig.conn.bodies_queued and rig.conn.needs_attention
    rig.take()
    assert not rig.conn.needs_attention and not rig.conn.bodies_queued
    rig.conn.close()
    assert rig.conn.needs_attention


def test_buffers_are_the_output() -> None:
    rigs = [ServerRig(), ServerRig()]
    for rig in rigs:
        rig.request(1)
        rig.respond(1, bytes(range(256)) * 200)
    buffers = rigs[0].conn.take_buffers(now=0.0)
    assert len(buffers) > 1
    assert b"".join(map(bytes, buffers)) == rigs[1].conn.take_output(now=0.0)


def test_work_is_due_at_the_end_of_a_large_field_block() -> None:
    rig = ServerRig()
    assert rig.conn.work_due == 0
    block = wire.literals(wire.request_fields(extra=[(b"x", b"y" * 10_000)]))
    rig.feed(wire.headers(1, block[:9_000], end_headers=False))
    assert rig.conn.work_due >= 100
    rig.feed(wire.continuation(1, block[9_000:], end_headers=True))
    assert rig.conn.work_due == 0 and len(rig.of(ev.RequestReceived)) == 1


def test_a_ping_is_eight_bytes_and_none_goes_out_after_the_end() -> None:
    rig = ServerRig()
    with pytest.raises(ValueError, match="exactly 8"):
        rig.conn.send_ping(b"short")
    rig.conn.send_ping(b"12345678")
    assert [frame.payload for frame in rig.take()] == [b"12345678"]
    rig.conn.close()
    rig.take()
    rig.conn.send_ping(b"12345678")
    assert rig.take() == []


@pytest.mark.parametrize("rig", [ServerRig(), ClientRig()], ids=["server", "client"])
def test_content_that_an_ended_stream_left_to_its_owner_counts_as_unread(rig: Rig) -> None:
    rig.conn.hold_data(1_000)
    assert rig.conn.stats()["unread"] == 1_000
    rig.conn.hold_data(-1_000)
    assert rig.conn.stats()["unread"] == 0


def test_dropping_connection_fields_is_a_setting_that_can_be_asked_for() -> None:
    server, client = ServerRig(), ClientRig()
    for rig in (server, client):
        assert rig.conn.drop_connection_fields is False
        rig.conn.drop_connection_fields = True
        assert rig.conn.drop_connection_fields is True
    hop = [(b"keep-alive", b"1"), (b"x", b"1")]
    server.request(1)
    server.respond(1, headers=hop)
    server.take()
    stream_id = client.send(headers=hop)
    for fields in (server.fields[1][0], client.fields[stream_id][0]):
        assert (b"x", b"1") in fields and all(name != b"keep-alive" for name, _ in fields)


def test_how_much_of_a_response_the_windows_have_let_go() -> None:
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 10})
    rig.request(1)
    rig.conn.send_headers(1, 200, ())
    rig.conn.send_data(1, bytes(100), end_stream=True)
    rig.take()
    assert rig.conn.written(1) == 10
    rig.exchange(wire.window_update(1, 90))
    assert rig.conn.written(1) == 0, "it is over"


def test_verbs_of_a_server_do_nothing_on_a_stream_that_is_gone() -> None:
    rig = ServerRig()
    rig.request(1)
    rig.respond(1)
    rig.take()
    rig.conn.refuse_stream(1)
    rig.conn.reset_stream(1, wire.CANCEL)
    rig.conn.allow_pauses(1, 1.0)
    rig.conn.acknowledge_data(1, 5)
    assert rig.take() == [] and not rig.of(ev.StreamRefused)


@pytest.mark.parametrize(("longest", "ends"), [(0.0, False), (20.0, True)])
def test_an_application_says_how_long_its_upload_may_pause(longest: float, ends: bool) -> None:
    rig = ServerRig(Limits(upload_pause_timeout_s=5, upload_grace_s=1, idle_timeout_s=10_000))
    rig.request(1, end_stream=False)
    rig.conn.allow_pauses(1, longest)
    rig.advance(18)
    assert not rig.of(ev.StreamReset)
    rig.advance(1_000)
    assert bool(rig.of(ev.StreamReset)) == ends


def test_a_writer_that_waits_may_end_its_message_all_the_same() -> None:
    """What it adds waits with it: one SendAccepted for all."""
    rig = ServerRig(Limits(max_stream_send_buffer=10), settings={wire.INITIAL_WINDOW_SIZE: 0})
    rig.request(1)
    rig.conn.send_headers(1, 200, ())
    assert not rig.conn.send_data(1, bytes(20))
    assert not rig.conn.send_trailers(1, [(b"a", b"1")])
    rig.exchange(wire.window_update(1, 20))
    assert len(rig.of(ev.SendAccepted)) == 1
    assert rig.fields[1][-1] == [(b"a", b"1")] and len(rig.content[1]) == 20


@pytest.mark.parametrize("count", [-1, 6])
def test_nothing_is_consumed_that_did_not_come(count: int) -> None:
    rig = ServerRig()
    rig.feed(wire.request(1, end_stream=False), wire.data(1, b"12345"))
    with pytest.raises(LocalProtocolError, match="of 5 unread"):
        rig.conn.acknowledge_data(1, count)


def test_an_early_check_of_the_handshake_waits_for_the_earlier_of_both_limits() -> None:
    conn = ServerConnection(Limits(preface_timeout_s=10, settings_ack_timeout_s=4, keepalive_ping_s=1))
    assert conn.handle_deadline(1.0) == [] and conn.deadline == 4
    assert conn.take_output() and not conn.closed


def test_a_send_without_a_clock_is_dated_by_the_next_deadline() -> None:
    """Workers send between two calls that bring the time: what began there counts from the next one on."""
    rig = ServerRig(Limits(stalled_send_timeout_s=10), settings={wire.INITIAL_WINDOW_SIZE: 0})
    rig.request(1)
    rig.respond(1, b"waits")
    rig.conn.handle_deadline(7.0)
    rig.now = 7.0
    rig.advance(9)
    assert not rig.of(ev.StreamReset)
    rig.advance(2)
    (reset,) = rig.of(ev.StreamReset)
    assert "stalled_send_timeout_s" in reset.reason


@pytest.mark.parametrize("frames", [1, 3])
def test_a_turn_may_be_shared_with_other_connections(frames: int) -> None:
    """Their owner divides its time: what it sets in the one object holds for all."""
    turns = Turns(100)
    rigs = [ServerRig(), ServerRig()]
    for rig in rigs:
        rig.conn.turns = turns
    turns.frames = frames
    for rig in rigs:
        rig.conn.receive_data(b"".join(wire.request(stream_id) for stream_id in range(1, 21, 2)), 0.0)
        assert rig.conn.stats()["streams_opened"] == frames and rig.conn.input_pending


def test_the_work_of_a_field_block_is_by_its_size_and_not_by_its_place() -> None:
    """`frames_per_turn`: 64 bytes of a block count as a frame, also where other frames stand before it in the input."""
    block = wire.request(1, extra=[(b"x", b"y" * 100)])
    alone, behind = (ServerRig(Limits(frames_per_turn=1_000)) for _ in range(2))
    alone.feed(block)
    behind.feed(wire.ping() * 100 + block)
    assert behind.conn.work == alone.conn.work + 100


@pytest.mark.parametrize("rig", [ServerRig(), ClientRig()], ids=["server", "client"])
def test_an_owner_is_told_once_that_a_drain_has_begun(rig: Rig) -> None:
    rig.conn.begin_drain(0.0)
    rig.conn.begin_drain(0.0)
    assert [event.kind for event in rig.conn.take_events()] == [ev.DRAIN]
