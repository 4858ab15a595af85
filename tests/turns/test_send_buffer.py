"""`max_connection_send_buffer` bounds what is accepted of all responses together, and keeps nobody from going on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import events as ev
from headrace.engine.h1 import H1ServerConnection
from headrace.engine.h2 import ServerConnection
from headrace.engine.hpack import Encoder
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.support import wire

KIB = 1_024
LIMIT = 256 * KIB
PIECE = 64 * KIB
WRITTEN = 65_536 + 16_384 + 9  # what goes straight into the output when nobody waits is not queued
FIELDS = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]


class Bench:
    """A server's connection with `count` responses begun, and what their client and their applications know of them."""

    def __init__(self, count: int, window: int = 0, **limits: int) -> None:
        self.conn = ServerConnection(Limits(**{"max_connection_send_buffer": LIMIT, **limits}))
        self.reader = wire.FrameReader()
        encoder = Encoder()
        self.streams = list(range(1, 2 * count, 2))
        self.accepted = dict.fromkeys(self.streams, 0)  # as the applications were told
        self.written = dict.fromkeys(self.streams, 0)
        self.read = dict.fromkeys(self.streams, 0)  # as the client saw it
        self.waiting: dict[int, int] = {}
        self.order: list[int] = []  # in which writers went on
        opening = wire.client_preface({wire.INITIAL_WINDOW_SIZE: window}) + wire.window_update(0, 2**30)
        for stream_id in self.streams:
            opening += wire.headers(stream_id, encoder.encode(FIELDS), end_stream=True)
        self.feed(opening + wire.settings_ack())
        for stream_id in self.streams:
            self.conn.send_headers(stream_id, 200, ())
        self.take()

    def feed(self, data: bytes) -> None:
        self.note(self.conn.receive_data(data, 0.0))

    def note(self, events: Iterable[Any]) -> None:
        for event in events:
            if event.kind == ev.ACCEPTED:
                self.accepted[event.stream_id] += self.waiting.pop(event.stream_id)  # once, and who waits
                self.order.append(event.stream_id)
            elif event.kind == ev.RESET:
                self.forget(event.stream_id)

    def forget(self, stream_id: int) -> None:
        self.streams.remove(stream_id)
        self.waiting.pop(stream_id, None)
        del self.accepted[stream_id], self.written[stream_id], self.read[stream_id]

    def take(self, limit: int = 262_144) -> None:
        for frame in self.reader.feed(self.conn.take_output(limit)):
            if frame.type == wire.DATA and frame.stream_id in self.read:
                self.read[frame.stream_id] += len(frame.content)
        self.note(self.conn.take_events())

    def write(self, stream_id: int, size: int) -> None:
        if stream_id in self.waiting:
            return
        self.written[stream_id] += size
        if self.conn.send_data(stream_id, bytes(size)):
            self.accepted[stream_id] += size
        else:
            self.waiting[stream_id] = size

    def queued(self) -> int:
        """Bytes that were accepted and have not been seen by the client, as this side counts them."""
        return sum(max(0, self.accepted[each] - self.read[each]) for each in self.streams)

    def check(self) -> None:
        limit = self.conn.limits.max_connection_send_buffer
        assert self.conn.stats()["send_queued"] <= limit
        assert self.queued() <= limit + WRITTEN
        assert self.conn.stats()["send_waiting"] <= sum(self.waiting.values())


def test_what_is_queued_is_within_the_limit() -> None:
    """100 streams with 64 KiB each: 1 MiB was passed sixfold; now 16 are accepted, and each other writer has its own
    piece in hand, and is accepted in its turn."""
    bench = Bench(100, max_connection_send_buffer=1 << 20)
    for stream_id in bench.streams:
        bench.write(stream_id, PIECE)
    assert len(bench.waiting) == 84
    assert bench.conn.stats()["send_queued"] == bench.queued() == 1 << 20
    for stream_id in bench.streams[:16]:
        bench.feed(wire.window_update(stream_id, PIECE))
        bench.take()
        bench.check()
    assert bench.order == bench.streams[16:32]  # as much as there was room, first come first served


def test_a_hundred_streams_without_a_window_hold_nobody_up() -> None:
    """One that has a window goes on, however full the buffer is."""
    bench = Bench(100)
    *others, quick = bench.streams
    for stream_id in others:
        bench.write(stream_id, PIECE)
    bench.feed(wire.window_update(quick, 2**30))
    for n in range(50):
        bench.write(quick, PIECE)
        bench.take()
        assert bench.read[quick] == (n + 1) * PIECE
        assert quick not in bench.waiting
        bench.check()
    assert len(bench.waiting) == len(others) - LIMIT // PIECE


def test_small_writers_do_not_overtake_a_large_one() -> None:
    """Who waits for room gets it before those who come later and need less."""
    bench = Bench(8)
    *first, large, small = bench.streams[:6]
    for stream_id in first:
        bench.write(stream_id, PIECE)
    bench.write(large, PIECE)
    bench.write(small, KIB)
    assert set(bench.waiting) == {large, small}
    for _ in range(8):
        bench.feed(wire.window_update(first[0], 8 * KIB))
        bench.take()
        late = bench.streams[7]
        bench.write(late, KIB)
    assert bench.order[0] == large
    bench.check()


def test_a_reset_makes_room() -> None:
    """Its bytes are forgotten: those who waited behind them go on, although no window has opened."""
    bench = Bench(8)
    for stream_id in bench.streams[:5]:
        bench.write(stream_id, PIECE)
    last = bench.streams[4]
    assert set(bench.waiting) == {last}
    bench.feed(wire.rst_stream(bench.streams[0], 8))
    assert not bench.waiting and bench.order == [last]
    bench.check()


def test_an_application_that_gives_up_makes_room() -> None:
    bench = Bench(8)
    for stream_id in bench.streams[:5]:
        bench.write(stream_id, PIECE)
    bench.conn.reset_stream(1, 8)
    bench.forget(1)
    assert bench.conn.needs_attention
    bench.take()
    assert not bench.waiting


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 11), st.integers(1, 100 * KIB)),
        st.tuples(st.just("window"), st.integers(0, 11), st.integers(1, 100 * KIB)),
        st.tuples(st.just("take"), st.integers(0, 0), st.integers(1, 300 * KIB)),
        st.tuples(st.just("reset"), st.integers(0, 40), st.integers(0, 1)),
        st.tuples(st.just("settings"), st.integers(0, 0), st.integers(0, 70 * KIB)),
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from([KIB, 50 * KIB, LIMIT]))
@tries(200)
def test_any_applications(steps: list[tuple[str, int, int]], limit: int) -> None:
    """What applications were told is accepted, less what the client has seen, is within the limit after every step; and
    when all windows open, everything arrives and nobody is left waiting."""
    bench = Bench(12, max_connection_send_buffer=limit)
    for what, which, size in steps:
        stream_id = bench.streams[which] if which < len(bench.streams) else 0
        if what == "take":
            bench.take(size)
        elif what == "settings":
            bench.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: size}))
        elif not stream_id:
            continue
        elif what == "write":
            bench.write(stream_id, size)
        elif what == "window":
            bench.feed(wire.window_update(stream_id, size))
        elif size:
            bench.feed(wire.rst_stream(stream_id, 8))
        else:
            bench.conn.reset_stream(stream_id, 8)
            bench.forget(stream_id)
        bench.check()
    for stream_id in bench.streams:
        bench.feed(wire.window_update(stream_id, 2**30))
    for _ in range(100):
        bench.take()
        bench.check()
    assert not bench.waiting
    assert bench.read == bench.written == bench.accepted
    assert bench.conn.stats()["send_queued"] == bench.conn.stats()["send_waiting"] == 0


def test_http_1_has_one_response_and_both_limits() -> None:
    conn = H1ServerConnection(Limits(max_connection_send_buffer=10_000))
    conn.receive_data(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", 0.0)
    conn.send_headers(1, 200, [(b"content-length", b"20000")])
    assert conn.send_data(1, bytes(9_000))
    assert not conn.send_data(1, bytes(2_000))
