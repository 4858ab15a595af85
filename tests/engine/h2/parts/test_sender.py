"""parts/sender.py alone, on real parts for output and windows. The oracle is a peer that reads frames with `struct`,
keeps its own windows, and knows what was given to each stream."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.events import Event, SendAccepted
from headrace.engine.h2.frames import write_id
from headrace.engine.h2.parts.allowance import Allowance
from headrace.engine.h2.parts.output_buffer import OutputBuffer
from headrace.engine.h2.parts.send_window import SendWindows
from headrace.engine.h2.parts.sender import OUTPUT_HIGH, Sender
from headrace.engine.h2.settings import Settings
from headrace.engine.h2.states import HALF_CLOSED_REMOTE
from headrace.engine.h2.stream import Stream
from headrace.engine.hpack.encoder import Encoder
from headrace.engine.limits import DEFAULT_WINDOW, Limits

from tests.properties.profile import tries

STREAMS = 3


class House:
    """A sender and the peer that reads from it."""

    def __init__(self, limits: Limits) -> None:
        self.output, self.windows, self.peer = OutputBuffer(), SendWindows(), Settings()
        self.sender = Sender(limits, self.peer, Encoder(), self.output, self.windows, Allowance(limits, 0.0))
        self.streams = {each: Stream(each, write_id(each), HALF_CLOSED_REMOTE) for each in range(1, 2 * STREAMS, 2)}
        self.given = dict.fromkeys(self.streams, b"")
        self.received = dict.fromkeys(self.streams, b"")
        self.space = {0: DEFAULT_WINDOW} | dict.fromkeys(self.streams, DEFAULT_WINDOW)
        self.ended: list[int] = []
        self.events: list[Event] = []

    def send(self, stream_id: int, data: bytes, end_stream: bool = False) -> bool:
        """Send as a connection does; return whether it is accepted."""
        stream = self.streams[stream_id]
        self.given[stream_id] += data
        stream.end_queued = end_stream
        if self.sender.send_now(stream, data, len(data), end_stream):
            return True
        self.sender.add(stream, data)
        return self.sender.accept(stream, len(data))

    def take(self, limit: int = 1_000_000) -> list[int]:
        """Let queued content go and read it as the peer does; return the streams that the sender says are finished."""
        finished = []
        while (stream := self.sender.write_queued(limit)) is not None:
            finished.append(stream.stream_id)
            self.sender.finish(stream, self.events)
        self.sender.accept_waiting(self.events)
        data = b"".join(self.output.take_buffers(0))
        while data:
            length, kind, flags, stream_id = (
                *struct.unpack(">I", b"\0" + data[:3]),
                *struct.unpack(">BBI", data[3:9]),
            )
            payload, data = data[9 : 9 + length], data[9 + length :]
            if kind == 0:
                assert length <= self.peer.max_frame_size
                self.received[stream_id] += payload
                for window in (0, stream_id):
                    self.space[window] -= length
                    assert self.space[window] >= 0, "DATA beyond a window"
            if flags & 1:
                self.ended.append(stream_id)
        return finished

    def open(self, window: int, increment: int) -> None:
        """Send WINDOW_UPDATE."""
        self.space[window] += increment
        if window == 0:
            self.windows.widen(increment)
        else:
            self.windows.widen_stream(self.streams[window], increment)
            self.sender.wake(self.streams[window])

    def accepted(self) -> list[int]:
        found = [event.stream_id for event in self.events if isinstance(event, SendAccepted)]
        self.events.clear()
        return found


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(("send", "take", "open", "connection")), st.integers(0, 2), st.integers(1, 50_000)),
        max_size=40,
    ),
    most=st.sampled_from((1_000, 65_536)),
    all_together=st.sampled_from((1_000, 100_000)),
)
@tries(300)
def test_all_content_arrives_within_windows_and_every_writer_is_let_go(
    steps: list[tuple[str, int, int]], most: int, all_together: int
) -> None:
    house = House(Limits(max_stream_send_buffer=most, max_connection_send_buffer=all_together))
    sender = house.sender
    blocked: set[int] = set()
    for kind, which, amount in steps:
        stream_id = 2 * which + 1
        if kind == "send" and stream_id not in blocked:
            if not house.send(stream_id, bytes([which]) * amount):
                blocked.add(stream_id)
        elif kind == "take":
            house.take(amount)
        elif kind == "open":
            house.open(stream_id, amount)
        else:
            house.open(0, amount)
        for each in house.accepted():
            blocked.remove(each)
        assert sender.queued == sum(stream.queued for stream in house.streams.values())
        assert sender.queued - sender.held <= all_together, "accepted beyond what the connection may keep"
        assert {each for each, stream in house.streams.items() if stream.waiting} == blocked
    house.open(0, 10_000_000)
    for stream_id in house.streams:
        house.open(stream_id, 10_000_000)
    while sender.is_ready():
        house.take()
    assert set(house.accepted()) == blocked
    house.take()
    assert house.received == house.given
    assert (sender.queued, sender.held) == (0, 0)


def test_content_goes_out_at_once_only_where_nobody_waits() -> None:
    house = House(Limits())
    house.send(1, bytes(OUTPUT_HIGH - 1_000 - 9))
    assert house.output.size == 0, "larger than a frame: it is queued"
    house.take()
    house.send(3, b"behind", True)
    assert house.output.size == 9 + 6
    house.open(0, 100_000)
    house.send(1, bytes(20_000))
    assert house.sender.has_turns()
    house.send(5, b"x")
    assert house.streams[5].queued == 1


def test_the_end_follows_the_content() -> None:
    house = House(Limits())
    house.send(1, bytes(60_000))
    house.send(3, bytes(60_000))
    assert not house.sender.end(house.streams[1], None)
    assert not house.sender.end(house.streams[3], [(b"grpc-status", b"0")])
    assert house.take() == [] and house.ended == []
    house.open(0, 100_000)
    assert sorted(house.take()) == [1, 3] == sorted(house.ended)
    assert house.sender.end(house.streams[5], None)
    house.take()
    assert house.ended[-1] == 5


def test_a_stream_that_is_forgotten_makes_room() -> None:
    house = House(Limits(max_connection_send_buffer=1_000))
    house.windows.charge(Stream(99, b"", HALF_CLOSED_REMOTE), DEFAULT_WINDOW)  # the connection's window is used up
    assert house.send(1, bytes(900))
    assert not house.send(3, bytes(900))
    assert house.sender.forget(house.streams[1])
    house.sender.accept_waiting(house.events)
    assert house.accepted() == [3]
    assert (house.sender.queued, house.sender.held) == (900, 0)
    assert not house.sender.forget(house.streams[3]) and not house.sender.has_turns()


def test_pieces_too_small_count_for_more() -> None:
    house = House(Limits(max_stream_send_buffer=1_000))
    house.windows.charge(Stream(99, b"", HALF_CLOSED_REMOTE), DEFAULT_WINDOW)
    assert [house.send(1, b"x") for _ in range(5)] == [True, True, True, True, False]


def test_frames_end_where_a_window_does() -> None:
    house = House(Limits())
    house.open(0, 1_000)
    house.send(1, bytes(DEFAULT_WINDOW))
    house.send(3, bytes(20_000))
    house.take()
    assert (len(house.received[1]) + len(house.received[3])) == DEFAULT_WINDOW + 1_000
    house.open(0, 100_000)
    house.take()
    house.send(1, b"x")
    assert len(house.received[1]) == DEFAULT_WINDOW and not house.sender.has_turns(), "its own window is closed"
    house.open(1, 1)
    assert house.sender.is_ready()


def test_while_much_output_waits_content_is_queued() -> None:
    house = House(Limits())
    house.output.write(bytes(OUTPUT_HIGH))
    house.send(1, b"x")
    assert house.streams[1].queued == 1


def test_nobody_takes_room_before_a_writer_that_waits_for_it() -> None:
    house = House(Limits(max_stream_send_buffer=1_000, max_connection_send_buffer=1_000))
    house.windows.charge(Stream(99, b"", HALF_CLOSED_REMOTE), DEFAULT_WINDOW)
    assert house.send(1, bytes(600))
    assert not house.send(3, bytes(600))
    assert not house.send(5, bytes(100)), "there would be room for it"
    assert house.sender.forget(house.streams[1])
    house.sender.accept_waiting(house.events)
    assert house.accepted() == [3, 5]


def test_a_window_one_byte_short_is_kept_to() -> None:
    house = House(Limits())
    house.windows.charge(house.streams[1], DEFAULT_WINDOW - 101)
    house.windows.charge(house.streams[3], 1)
    house.space |= {0: 100, 1: 101}
    house.send(1, bytes(101))
    house.take()
    assert (len(house.received[1]), house.streams[1].queued) == (100, 1)


def test_a_stream_whose_window_is_closed_has_no_turns() -> None:
    house = House(Limits())
    house.open(0, 100_000)
    house.send(1, bytes(DEFAULT_WINDOW + 5))
    house.take()
    assert house.streams[1].queued == 5 and not house.sender.has_turns()
    house.open(1, 5)
    house.take()
    assert house.received == house.given
