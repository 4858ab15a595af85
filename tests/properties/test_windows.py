"""Windows stay within RFC limits, and no byte of credit is lost or made up (overflow, double refund)."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import events as ev
from headrace.engine.errors import LocalError
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.support import wire
from tests.support.rig import ServerRig

MAX = 2**31 - 1


class Ledger:
    """What a peer knows of its send windows towards the engine: every byte sent, every credit received."""

    def __init__(self, rig: ServerRig, conn_window: int, stream_window: int) -> None:
        self.rig = rig
        self.conn = conn_window
        self.initial = stream_window
        self.streams: dict[int, int] = {}
        self.seen = 0

    def settle(self) -> None:
        """Book the credit that arrived; no window may pass 2^31-1."""
        self.rig.take()
        for frame in self.rig.sent[self.seen :]:
            if frame.type == wire.WINDOW_UPDATE:
                if frame.stream_id == 0:
                    self.conn += frame.increment
                else:
                    self.streams[frame.stream_id] += frame.increment
                    assert self.streams[frame.stream_id] <= MAX
        self.seen = len(self.rig.sent)
        assert self.conn <= MAX


@given(seed=st.integers(0, 2**32))
@tries(150)
def test_sum_of_credit_is_invariant(seed: int) -> None:
    """Random uploads, partial reads, resets by both sides, padding: windows promised = bytes taken + what is open.

    The peer never exceeds its windows, so the engine must never see an overrun; and it never gets more credit than
    it spent, so no window exceeds its first size.
    """
    rnd = random.Random(seed)
    stream_window = rnd.choice((1_000, 20_000, 65_535, 262_144))
    conn_window = rnd.choice((65_535, 100_000, 1_048_576))
    limits = Limits(
        initial_stream_window=stream_window,
        initial_connection_window=conn_window,
        max_unread=rnd.choice((1, 50_000, 4_194_304)),
        early_reset_burst=10_000,
        provoked_reset_burst=10_000,
        odd_frame_burst=100_000,
        small_data_budget=10_000_000,
    )
    rig = ServerRig(limits)
    ledger = Ledger(rig, conn_window, stream_window)
    open_ids: list[int] = []
    dead_ids: list[int] = []
    unread: dict[int, int] = {}
    next_id = 1
    for _ in range(120):
        ledger.settle()
        assert rig.goaway_code() is None
        assert ledger.conn <= conn_window, "more connection credit than was ever spent"
        if not any(unread[n] for n in open_ids):
            assert ledger.conn >= conn_window // 2 - 16_384, "nothing is unread, and the credit does not come back"
        kind = rnd.random()
        if kind < 0.2 or not open_ids:
            rig.request(next_id, method=b"POST", end_stream=False)
            open_ids.append(next_id)
            ledger.streams[next_id] = stream_window
            unread[next_id] = 0
            next_id += 2
            continue
        stream_id = rnd.choice(open_ids)
        if kind < 0.6:
            room = min(ledger.conn, ledger.streams[stream_id], 16_384)
            if rnd.random() < 0.1 and dead_ids:
                stream_id = rnd.choice(dead_ids)
                room = min(ledger.conn, 10_000, ledger.streams[stream_id])
            if room <= 0:
                continue
            size = rnd.choice((room, 1 + rnd.randrange(room)))
            pad = rnd.randrange(min(size, 200)) if size > 20 and rnd.random() < 0.3 else None
            payload = size if pad is None else size - pad - 1
            got = rig.feed(wire.data(stream_id, b"x" * payload, pad=pad))
            ledger.conn -= size
            ledger.streams[stream_id] -= size
            for event in got:
                if isinstance(event, ev.DataReceived):
                    assert event.flow_length == size
                    unread[stream_id] += size
        elif kind < 0.85:
            raw = rnd.randrange(unread[stream_id] + 1)
            rig.conn.acknowledge_data(stream_id, raw)
            unread[stream_id] -= raw
        else:
            open_ids.remove(stream_id)
            if kind < 0.9:
                rig.feed(wire.rst_stream(stream_id, wire.CANCEL))
            elif kind < 0.95:
                rig.conn.reset_stream(stream_id, wire.CANCEL)
                dead_ids.append(stream_id)
            else:
                rig.respond(stream_id, b"early")
                dead_ids.append(stream_id)
            if rnd.random() < 0.5:
                rig.conn.acknowledge_data(stream_id, unread[stream_id])
    for stream_id in open_ids:
        rig.conn.acknowledge_data(stream_id, unread[stream_id])
    ledger.settle()
    assert rig.goaway_code() is None
    assert conn_window // 2 - 16_384 <= ledger.conn <= conn_window, "credit was lost: nothing is unread any more"


@given(seed=st.integers(0, 2**32))
@tries(150)
def test_we_never_exceed_the_peers_windows(seed: int) -> None:
    """Random WINDOW_UPDATE and SETTINGS against random responses: DATA fits both windows (RFC 9113 §6.9.1)."""
    rnd = random.Random(seed)
    initial = rnd.choice((0, 1, 100, 65_535, 500_000))
    rig = ServerRig(Limits(odd_frame_burst=100_000), settings={wire.INITIAL_WINDOW_SIZE: initial})
    conn = 65_535
    credit: dict[int, int] = {}
    promised: dict[int, int] = {}
    checked = 0
    next_id = 1
    for _ in range(80):
        kind = rnd.random()
        if kind < 0.3:
            rig.request(next_id)
            size = rnd.choice((0, 1, 1000, 70_000))
            credit[next_id] = 0
            promised[next_id] = size
            if rnd.random() < 0.5:
                rig.respond(next_id, b"x" * size)
            else:
                rig.conn.send_headers(next_id, 200, [])
                rig.conn.send_data(next_id, b"x" * size, end_stream=rnd.random() < 0.7)
            next_id += 2
        elif kind < 0.5:
            step = rnd.choice((1, 10, 1000, 100_000))
            rig.feed(wire.window_update(0, step))
            conn += step
        elif kind < 0.7 and credit:
            stream_id = rnd.choice(list(credit))
            step = rnd.choice((1, 10, 1000, 100_000))
            rig.feed(wire.window_update(stream_id, step))
            credit[stream_id] += step
        elif kind < 0.8:
            initial = rnd.choice((0, 1, 100, 65_535, 500_000))
            rig.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: initial}))
        rig.take()
        for frame in rig.sent[checked:]:
            if frame.type == wire.DATA and frame.payload:
                conn -= len(frame.payload)
                credit[frame.stream_id] -= len(frame.payload)
                assert conn >= 0
                assert initial + credit[frame.stream_id] >= 0
        checked = len(rig.sent)
        for stream_id, size in promised.items():
            got = len(rig.content.get(stream_id, b""))
            if conn > 0 and initial + credit[stream_id] > 0:
                assert got == size, f"stream {stream_id} has a window and bytes, and nothing moves"
    assert rig.goaway_code() is None


@given(seed=st.integers(0, 2**32))
@tries(60)
def test_an_app_is_held_at_the_send_buffer(seed: int) -> None:
    """Whatever the windows do, an app is never ahead of them by more than its buffer and one write."""
    rnd = random.Random(seed)
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: rnd.choice((0, 1000, 100_000))})
    blocked: dict[int, bool] = {}
    given_bytes: dict[int, int] = {}
    for n in range(rnd.randrange(1, 30)):
        rig.request(1 + 2 * n)
        rig.conn.send_headers(1 + 2 * n, 200, [])
        blocked[1 + 2 * n] = False
        given_bytes[1 + 2 * n] = 0
    for _ in range(150):
        stream_id = rnd.choice(list(blocked))
        if not blocked[stream_id]:
            size = rnd.choice((1, 1000, 16_000))
            blocked[stream_id] = not rig.conn.send_data(stream_id, b"x" * size)
            given_bytes[stream_id] += size
        if rnd.random() < 0.3:
            rig.feed(wire.window_update(rnd.choice((0, stream_id)), rnd.choice((300, 20_000))))
        before = len(rig.events)
        rig.take()
        for event in rig.events[before:]:
            if isinstance(event, ev.SendAccepted):
                assert blocked[event.stream_id], "SendAccepted for a write that was not waiting"
                blocked[event.stream_id] = False
        ahead = {n: given_bytes[n] - len(rig.content.get(n, b"")) for n in blocked}
        assert max(ahead.values()) <= 65_536 + 16_000
        assert sum(ahead.values()) <= 1_048_576 + 16_000 * len(blocked)
        for n, data in ahead.items():
            if data == 0:
                assert not blocked[n], "everything is written, and the app still waits"


def test_a_dead_stream_takes_no_verb() -> None:
    """The state machine's other side: verbs on dead streams raise, and the ledger of the connection is not touched."""
    rig = ServerRig()
    rig.request(1, end_stream=False)
    rig.feed(wire.rst_stream(1))
    for _ in range(3):
        try:
            rig.conn.send_data(1, b"x")
        except LocalError:
            continue
        raise AssertionError("a send on a dead stream did not raise")
    assert rig.take() == []
