"""RFC 9113 §6.8: GOAWAY, given and taken; the shutdown in two phases."""

from __future__ import annotations

import pytest

from headrace.engine import errors
from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import ClientRig, ServerRig

MAX_ID = 2**31 - 1


def drain(rig: ServerRig, seconds: float = 30.0) -> None:
    """Begin a drain now."""
    rig.conn.begin_drain(rig.now, rig.now + seconds)


# --- two phases -----------------------------------------------------------------------------------


def test_first_phase() -> None:
    """§6.8 A server SHOULD send an initial GOAWAY with the last stream identifier 2^31-1 and NO_ERROR; and a PING."""
    rig = ServerRig()
    rig.request(1)
    drain(rig)
    frames = rig.take()
    assert [f.type for f in frames] == [wire.GOAWAY, wire.PING]
    assert (frames[0].last_stream_id, frames[0].code) == (MAX_ID, wire.NO_ERROR)
    assert not rig.conn.closed


def test_requests_in_flight_are_served() -> None:
    """§6.8 Time for in-flight stream creation: requests that arrive before the PING's ACK are served."""
    rig = ServerRig()
    rig.request(1)
    drain(rig)
    ping = rig.take()[-1]
    rig.request(3)
    assert rig.of(ev.RequestReceived, 3)
    rig.feed(wire.ping(ping.payload, ack=True))
    (final,) = [f for f in rig.take() if f.type == wire.GOAWAY]
    assert (final.last_stream_id, final.code) == (3, wire.NO_ERROR)
    for stream_id in (1, 3):
        rig.respond(stream_id, b"done")
    rig.take()
    assert bytes(rig.content[1]) == bytes(rig.content[3]) == b"done"
    assert rig.conn.closed, "with its last stream answered the drained connection is over"


def test_second_phase_without_the_ack() -> None:
    """On the PING's ACK, or after a second, GOAWAY(last id)."""
    rig = ServerRig()
    rig.request(1)
    drain(rig)
    rig.take()
    rig.advance(1.1)
    (final,) = [f for f in rig.take() if f.type == wire.GOAWAY]
    assert final.last_stream_id == 1


def test_later_streams_are_refused_after_the_second_phase() -> None:
    """§6.8: HEADERS above the last id are decoded and refused; running streams go on, HPACK is in step."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    drain(rig)
    ping = rig.take()[-1]
    rig.feed(wire.ping(ping.payload, ack=True))
    rig.take()
    block = wire.literals(wire.request_fields()) + wire.literal(b"k", b"v", index=True)
    rig.feed(wire.headers(3, block), wire.data(3, b"x"), wire.headers(1, wire.indexed(62), end_stream=True))
    rig.take()
    assert rig.of(ev.RequestReceived, 3) == []
    assert rig.reset_code(3) in (wire.REFUSED_STREAM, None)
    assert [e.headers for e in rig.of(ev.TrailersReceived, 1)] == [[(b"k", b"v")]]
    rig.respond(1, b"done")
    rig.take()
    assert bytes(rig.content[1]) == b"done"


def test_last_id_is_never_0_while_streams_run() -> None:
    """GOAWAY in drain with last id 0 while streams run would make clients replay what is being done."""
    rig = ServerRig()
    rig.request(5)
    drain(rig)
    rig.take()
    rig.advance(5)
    rig.take()
    assert [f.last_stream_id for f in rig.frames(wire.GOAWAY)] == [MAX_ID, 5]


def test_last_ids_never_rise() -> None:
    """§6.8 Endpoints MUST NOT increase the value they send in the last stream identifier."""
    rig = ServerRig()
    rig.request(1)
    drain(rig)
    rig.take()
    rig.advance(2)
    rig.request(3)
    rig.feed(wire.data(0, b"fault"))
    rig.take()
    ids = [f.last_stream_id for f in rig.frames(wire.GOAWAY)]
    assert ids == sorted(ids, reverse=True)
    assert rig.goaway_code() == wire.PROTOCOL_ERROR


def test_drain_is_idempotent() -> None:
    """DRAINING is idempotent: a second begin_drain changes nothing on the wire."""
    rig = ServerRig()
    rig.request(1)
    drain(rig)
    rig.take()
    drain(rig)
    assert rig.take() == []


def test_drain_of_an_idle_connection_ends_soon() -> None:
    """Nothing runs: after the PING's ACK (or a second) the drained connection is closed."""
    rig = ServerRig()
    drain(rig)
    rig.take()
    rig.advance(1.5)
    rig.take()
    assert rig.conn.closed
    assert [e.code for e in rig.of(ev.ConnectionEnded)] == [wire.NO_ERROR]


def test_drain_deadline() -> None:
    """At the deadline what is left gets RST_STREAM(CANCEL) and the connection closes."""
    rig = ServerRig()
    rig.request(1)
    rig.request(3, end_stream=False)
    drain(rig, 30)
    rig.take()
    rig.advance(29)
    rig.take()
    assert not rig.conn.closed
    rig.advance(2)
    rig.take()
    assert {f.stream_id: f.code for f in rig.frames(wire.RST_STREAM)} == {1: wire.CANCEL, 3: wire.CANCEL}
    assert sorted(e.stream_id for e in rig.of(ev.StreamReset)) == [1, 3]
    assert rig.conn.closed


def test_drain_is_told() -> None:
    """Handlers can see that a drain has begun: DrainBegan comes out as an event."""
    rig = ServerRig()
    rig.request(1)
    drain(rig)
    rig.feed(wire.ping())
    rig.advance(1.5)
    assert len(rig.of(ev.DrainBegan)) <= 1


def test_drain_before_the_preface() -> None:
    """A connection that has not spoken yet can be drained as well; it does not hang until a deadline."""
    rig = ServerRig(start=False)
    rig.conn.begin_drain(rig.now, rig.now + 30)
    rig.take()
    rig.advance(11)
    rig.take()
    assert rig.conn.closed


def test_drain_does_not_wait_for_a_blocked_peer() -> None:
    """Go CVE-2022-27664: a peer that never opens its window does not hold the drain past its deadline."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 0})
    for n in range(10):
        rig.request(1 + 2 * n)
        rig.respond(1 + 2 * n, b"x" * 10_000)
    drain(rig, 5)
    for _ in range(6):
        rig.feed(wire.ping())
        rig.advance(1)
        rig.take()
    assert rig.conn.closed


def test_close_names_code_and_last_id() -> None:
    """§5.4.1 close() writes GOAWAY with the true last id; once."""
    rig = ServerRig()
    rig.request(3)
    rig.conn.close(wire.ENHANCE_YOUR_CALM, "too much")
    rig.conn.close()
    rig.take()
    (goaway,) = rig.frames(wire.GOAWAY)
    assert (goaway.last_stream_id, goaway.code) == (3, wire.ENHANCE_YOUR_CALM)
    assert rig.conn.closed


# --- a GOAWAY of the peer ---------------------------------------------------------------------------


def test_the_clients_goaway_drops_no_stream() -> None:
    """Streams that run go on after the client's GOAWAY, and so may its uploads."""
    rig = ServerRig()
    rig.request(1)
    rig.request(3, method=b"POST", end_stream=False)
    rig.feed(wire.goaway(0, wire.NO_ERROR, b"bye"))
    assert not rig.conn.closed
    rig.feed(wire.data(3, b"rest", end_stream=True))
    rig.respond(1, b"one")
    rig.respond(3, b"three")
    rig.take()
    assert (bytes(rig.content[1]), bytes(rig.content[3])) == (b"one", b"three")


@pytest.mark.parametrize("drains", [False, True])
def test_the_last_answer_after_the_clients_goaway_is_followed_by_goaway(drains: bool) -> None:
    """§6.8 A receiver of a GOAWAY that has no more use for the connection SHOULD still send one before the end."""
    rig = ServerRig()
    rig.request(1)
    rig.feed(wire.goaway())
    if drains:
        rig.conn.begin_drain(rig.now)
    rig.respond(1, b"one")
    assert rig.conn.closed
    rig.take()
    assert bytes(rig.content[1]) == b"one"
    assert rig.goaway_code() == wire.NO_ERROR
    assert rig.frames(wire.GOAWAY)[-1].last_stream_id == 1
    assert len(rig.frames(wire.GOAWAY)) == 1 + drains


@pytest.mark.parametrize("fault", [True, False])
def test_nothing_follows_the_goaway_of_an_end_that_takes_streams_with_it(fault: bool) -> None:
    """§5.4.1 The GOAWAY of a connection error is the last frame, also when the peer has begun to end the connection."""
    server, client = ServerRig(), ClientRig()
    server.request(1)
    client.send()
    for rig in (server, client):
        rig.feed(wire.goaway(1 if rig is client else 0))  # its stream goes on
        if fault:
            rig.feed(wire.frame(wire.PING, 0, 0, b"short"))
        else:
            rig.conn.close(wire.ENHANCE_YOUR_CALM, "enough")
        rig.take()
        (goaway,) = rig.frames(wire.GOAWAY)
        assert goaway.code == (wire.FRAME_SIZE_ERROR if fault else wire.ENHANCE_YOUR_CALM)


def test_the_client_sends_goaway_behind_the_last_response_after_the_servers() -> None:
    """§6.8 The same of a client, which has taken no stream of the server's."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.goaway(stream_id), wire.response(stream_id, end_stream=True))
    assert rig.conn.closed
    rig.take()
    (goaway,) = rig.frames(wire.GOAWAY)
    assert (goaway.last_stream_id, goaway.code) == (0, wire.NO_ERROR)


def test_streams_below_the_servers_last_id_finish() -> None:
    """§6.8 Activity on streams up to the last id might still complete; higher ones were not processed."""
    rig = ClientRig()
    first, second, third = rig.send(), rig.send(), rig.send()
    rig.feed(wire.goaway(second, wire.NO_ERROR))
    (event,) = rig.of(ev.GoAwayReceived)
    assert event.last_stream_id == second
    resets = rig.of(ev.StreamReset)
    assert [e.stream_id for e in resets] == [third]
    assert resets[0].code == wire.REFUSED_STREAM, "code says: never processed, may be replayed (§8.7)"
    for stream_id in (first, second):
        rig.feed(wire.response(stream_id), wire.data(stream_id, b"ok", end_stream=True))
    assert [e.stream_id for e in rig.of(ev.ResponseReceived)] == [first, second]


def test_nothing_new_starts_after_goaway() -> None:
    """§6.8 Receivers of a GOAWAY MUST NOT open additional streams on the connection."""
    rig = ClientRig()
    rig.send()
    rig.feed(wire.goaway(MAX_ID, wire.NO_ERROR))
    with pytest.raises(errors.LocalError):
        rig.send()


def test_two_phase_goaway_at_the_client() -> None:
    """§6.8 GOAWAY(2^31-1) first, the real last id later: only the second says what was not processed."""
    rig = ClientRig()
    first, second = rig.send(), rig.send()
    rig.feed(wire.goaway(MAX_ID, wire.NO_ERROR))
    assert rig.of(ev.StreamReset) == []
    rig.feed(wire.goaway(first, wire.NO_ERROR))
    assert [e.stream_id for e in rig.of(ev.StreamReset)] == [second]
    rig.feed(wire.response(first, end_stream=True))
    assert [e.stream_id for e in rig.of(ev.ResponseReceived)] == [first]


def test_a_rising_last_id_is_not_believed() -> None:
    """§6.8 A peer MUST NOT increase the last id: streams already given up stay given up, no crash."""
    rig = ClientRig()
    first, second = rig.send(), rig.send()
    rig.feed(wire.goaway(first), wire.goaway(MAX_ID))
    assert [e.stream_id for e in rig.of(ev.StreamReset)] == [second]
    rig.take()
    assert rig.goaway_code() in (None, wire.PROTOCOL_ERROR)


# --- idle -------------------------------------------------------------------------------


def test_idle_ends_with_no_error() -> None:
    """Idle ends with GOAWAY(NO_ERROR) after idle_timeout_s."""
    rig = ServerRig(Limits(idle_timeout_s=75))
    rig.advance(74)
    assert not rig.conn.closed
    rig.advance(2)
    rig.take()
    assert rig.goaway_code() == wire.NO_ERROR
    assert rig.conn.closed


def test_idle_starts_again_after_each_stream() -> None:
    """Idle is counted from the end of the last stream."""
    rig = ServerRig(Limits(idle_timeout_s=75))
    for n in range(5):
        rig.advance(70)
        rig.request(1 + 2 * n)
        rig.respond(1 + 2 * n)
        rig.take()
    assert not rig.conn.closed
    rig.advance(76)
    assert rig.conn.closed


def test_idle_counts_after_a_long_request() -> None:
    """A request that outlasts the idle timeout leaves the idle timer behind it, not a deaf connection."""
    rig = ServerRig(Limits(idle_timeout_s=75))
    rig.advance(70)
    rig.request(1)
    rig.advance(300)
    rig.respond(1, b"late")
    rig.take()
    assert not rig.conn.closed
    rig.advance(74)
    assert not rig.conn.closed
    rig.advance(2)
    assert rig.conn.closed, "the connection stays for ever"


def test_pings_alone_do_not_keep_an_idle_connection() -> None:
    """A connection without streams may be held by PINGs or not; no error comes of it."""
    rig = ServerRig(Limits(idle_timeout_s=75))
    for _ in range(20):
        rig.advance(10)
        if rig.conn.closed:
            break
        rig.feed(wire.ping())
        rig.take()
    rig.take()
    assert rig.goaway_code() in (None, wire.NO_ERROR)
