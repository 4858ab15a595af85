"""Frames that lawful peers send beside their work are paid for by the work, and small messages are held up, not cut.

The same frames without work are floods, and end as they did: see test_exhaustion.py and client/test_engine.py.
"""

from __future__ import annotations

import tracemalloc

import pytest

from headrace.client.connection.owner import CLIENT_LIMITS
from headrace.engine import events as ev
from headrace.server.connection.inbox import Inbox

from tests.support import wire
from tests.support.h1_rig import H1ClientRig
from tests.support.rig import ClientRig, ServerRig

MESSAGE = b"\0\0\0\0\x14" + b"m" * 20  # a gRPC message of 20 bytes


def quiet(rig: ServerRig | ClientRig) -> None:
    """Forget what has been seen."""
    rig.take()
    rig.events.clear()
    rig.sent.clear()
    rig.fields.clear()
    rig.content.clear()


def test_a_ping_a_round_trip_while_messages_come() -> None:
    """grpc-go measures bandwidth: WINDOW_UPDATE and PING for each read with DATA, 5,000 a second on a fast network."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 2**30})
    rig.feed(wire.window_update(0, 2**30))
    rig.request(1)
    rig.conn.send_headers(1, 200, [])
    for n in range(60_000):
        rig.now += 0.0002
        rig.conn.send_data(1, MESSAGE)
        rig.feed(wire.window_update(0, 25), wire.ping(n.to_bytes(8, "big")))
        if n % 100 == 0:
            quiet(rig)
    assert not rig.conn.closed


def test_pings_without_work_are_a_flood() -> None:
    """The control: the same PINGs with no message between."""
    rig = ServerRig()
    rig.request(1)
    rig.conn.send_headers(1, 200, [])
    for n in range(60_000):
        rig.now += 0.0002
        rig.feed(wire.ping(n.to_bytes(8, "big")))
        if rig.conn.closed:
            break
    rig.take()
    assert rig.goaway_code() == wire.ENHANCE_YOUR_CALM and n < 1_500


def test_early_hints_with_every_response() -> None:
    """A server that sends 103 ahead of each response, 2,000 a second."""
    rig = ClientRig()
    for n in range(20_000):
        rig.now += 0.0005
        stream_id = rig.send()
        rig.feed(
            wire.response(stream_id, b"103", extra=[(b"link", b"</a>")]), wire.response(stream_id, end_stream=True)
        )
        if n % 100 == 0:
            quiet(rig)
    assert not rig.conn.closed


def test_early_hints_with_every_response_h1() -> None:
    """The same over HTTP/1.1."""
    rig = H1ClientRig()
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    for _ in range(20_000):
        rig.now += 0.0005
        rig.send()
        rig.feed(hints + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert not rig.conn.closed
        rig.events.clear()


@pytest.mark.parametrize("what", ["messages", "its own reset", "response in small pieces"])
def test_what_is_under_way_of_a_stream_that_we_end(what: str) -> None:
    """50 calls a second, each ended by us with 40 small frames of the peer's under way: no flood, for minutes."""
    if what == "response in small pieces":
        client = ClientRig()
        rig: ServerRig | ClientRig = client
        late = [wire.data(1, b"x" * 20)] * 40
    else:
        rig = ServerRig()
        late = [wire.data(1, MESSAGE)] * 40 if what == "messages" else [wire.rst_stream(1)]
    stream_id = 1
    for _ in range(6_000):
        rig.advance(0.02)
        if isinstance(rig, ClientRig):
            stream_id = rig.send()
            rig.feed(wire.response(stream_id))
        else:
            rig.request(stream_id, method=b"POST", end_stream=False)
        rig.conn.reset_stream(stream_id, wire.CANCEL)
        rig.feed(*[frame[:5] + stream_id.to_bytes(4, "big") + frame[9:] for frame in late])
        stream_id += 2
        quiet(rig)
    assert not rig.conn.closed


def fill(rig: ServerRig | ClientRig, stream_id: int, window: int) -> int:
    """Send small messages as far as the window goes; returns how many."""
    count = window // len(MESSAGE)
    frame = wire.data(stream_id, MESSAGE)
    for n in range(0, count, 100):
        rig.feed(frame * min(100, count - n))
    return count


def test_small_messages_fill_a_servers_windows() -> None:
    """Client streams of small messages that their handlers do not read for a while: held up by the window, not cut."""
    rig = ServerRig()
    for stream_id in (1, 3, 5):
        rig.request(stream_id, method=b"POST", end_stream=False)
        fill(rig, stream_id, 262_144)
    assert not rig.conn.closed and not rig.of(ev.StreamReset)
    assert len(rig.of(ev.DataReceived)) == 3 * (262_144 // 25)
    rig.assert_siblings_go_on()


def test_small_messages_fill_a_clients_windows() -> None:
    """A server stream of small messages that is read slowly."""
    rig = ClientRig(CLIENT_LIMITS)
    slow = rig.send()
    rig.feed(wire.response(slow))
    fill(rig, slow, CLIENT_LIMITS.initial_stream_window)
    assert not rig.conn.closed and not rig.of(ev.StreamReset)
    rig.assert_siblings_go_on()


def test_crumbs_cost_their_own_stream() -> None:
    """Frames of one byte, which no protocol needs, are beyond the budget before the window is full: one stream."""
    rig = ServerRig()
    rig.request(1, path=b"/sibling", method=b"POST", end_stream=False)
    rig.request(3, method=b"POST", end_stream=False)
    while not rig.of(ev.StreamReset):
        rig.feed(wire.data(3, b"x") * 64)
        rig.events = [e for e in rig.events if not isinstance(e, ev.DataReceived)]
    (reset,) = rig.of(ev.StreamReset)
    assert (reset.stream_id, reset.code) == (3, wire.ENHANCE_YOUR_CALM) and "small_data_budget" in reset.reason
    assert rig.conn.has_stream(1) and not rig.conn.closed
    rig.assert_siblings_go_on()


def test_small_messages_that_wait_are_put_together() -> None:
    """10,000 messages that no handler has taken cost little more than their bytes."""
    inbox = Inbox()
    messages = [n.to_bytes(4, "big") + b"m" * 20 for n in range(10_000)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for message in messages:
            inbox.put(message, 24, False)
        assert tracemalloc.get_traced_memory()[0] - before < 10_000 * 24 * 1.2
    finally:
        tracemalloc.stop()
    assert inbox.take() == b"".join(messages) and inbox.take_owed() == 240_000


def test_refusals_by_busy_handlers_are_paid_for() -> None:
    """A client within its limit of streams whose requests find all places taken by handlers that are slow to end."""
    rig = ServerRig()
    stream_id = 1
    for _ in range(60):
        for _ in range(300):
            rig.request(stream_id)
            rig.conn.refuse_stream(stream_id)
            stream_id += 2
        quiet(rig)
        rig.advance(1)
    assert not rig.conn.closed
