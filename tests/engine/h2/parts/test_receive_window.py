"""parts/receive_window.py alone. The oracle is a peer that keeps nothing but its own two send windows: RFC 9113 §6.9.1
says what it adds and subtracts, and it never asks the part for a figure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.h2.parts.receive_window import ReceiveWindow, ReceiveWindows
from headrace.engine.limits import DEFAULT_WINDOW, Limits

from tests.properties.profile import tries

STREAMS = 3


class Peer:
    """Sends what its windows allow, and books what it is given."""

    def __init__(self, windows: ReceiveWindows, size: int) -> None:
        self.windows = windows
        self.connection = windows.connection_size
        self.size = size
        self.streams = [ReceiveWindow() for _ in range(STREAMS)]
        self.sent = [0] * STREAMS
        self.given = [0] * STREAMS
        self.unread = [0] * STREAMS

    def available(self, stream: int) -> int:
        return self.size + self.given[stream] - self.sent[stream]

    def send(self, stream: int, length: int) -> None:
        assert self.windows.receive(length), "the connection's window had room"
        assert self.streams[stream].receive(length, self.windows.in_force), "the stream's window had room"
        self.windows.hand_over(self.streams[stream], length)
        self.connection -= length
        self.sent[stream] += length
        self.unread[stream] += length

    def credit(self) -> None:
        self.connection += self.windows.take_connection_increment()
        for stream, window in enumerate(self.streams):
            self.given[stream] += self.windows.take_stream_increment(window)


def acknowledged(limits: Limits) -> ReceiveWindows:
    windows = ReceiveWindows(limits)
    windows.acknowledge_size()
    return windows


STEPS = st.lists(
    st.tuples(st.integers(0, STREAMS - 1), st.sampled_from(("send", "read", "resize")), st.integers(0, 40_000)),
    max_size=60,
)


@given(
    steps=STEPS,
    size=st.sampled_from((1_000, 20_000, 65_535, 262_144)),
    small=st.sampled_from((1_024, 10_000, 32_768)),
    connection=st.sampled_from((65_535, 200_000)),
    most=st.sampled_from((1, 30_000, 4_194_304)),
)
@tries(300)
def test_a_peer_that_keeps_its_windows_is_never_beyond_ours(
    steps: list[tuple[int, str, int]], size: int, small: int, connection: int, most: int
) -> None:
    windows = acknowledged(
        Limits(
            initial_stream_window=size, small_stream_window=small, initial_connection_window=connection, max_unread=most
        )
    )
    peer = Peer(windows, size)
    for now, (stream, kind, count) in enumerate(steps):
        if kind == "send":
            peer.send(stream, max(0, min(count, peer.available(stream), peer.connection)))
        elif kind == "read":
            read = min(count, peer.unread[stream])
            windows.consume(peer.streams[stream], read)
            peer.unread[stream] -= read
        else:
            announced = windows.resize(float(now))
            if announced >= 0:  # the peer applies it at once, and says so
                peer.size = announced
                windows.acknowledge_size()
        peer.credit()
        assert windows.connection.unread == sum(peer.unread)
        assert windows.available() == peer.connection
        for each, window in enumerate(peer.streams):
            assert windows.in_force - window.used == peer.available(each)
            assert peer.available(each) <= windows.in_force, "never more credit than was spent"
            assert peer.unread[each] * 2 >= peer.size or peer.available(each) > 0, "read, and the window stays shut"


def test_credit_goes_back_from_half_a_window_on() -> None:
    window = ReceiveWindow()
    assert window.receive(1_000, 1_000)
    assert not window.receive(1, 1_000), "one byte beyond"
    window.give_back(499)
    assert window.take_increment(1_000) == 0
    window.give_back(1)
    assert window.take_increment(1_000) == 500
    assert (window.used, window.credit) == (501, 0)
    assert window.take_increment(1_000) == 0


def test_a_size_counts_once_it_is_acknowledged() -> None:
    windows = ReceiveWindows(Limits(initial_stream_window=100_000))
    assert windows.in_force == DEFAULT_WINDOW
    windows.acknowledge_size()
    assert windows.in_force == 100_000


def test_windows_become_small_where_much_is_unread_and_large_again_later() -> None:
    windows = acknowledged(Limits(max_unread=1_000, small_stream_window=2_000))
    window = ReceiveWindow()
    assert not windows.hand_over(window, 999)
    assert windows.resize(5.0) == -1
    assert windows.hand_over(window, 1)
    assert windows.resize(5.0) == 2_000
    assert windows.has_room(None) is False, "the peer may not know yet"
    windows.acknowledge_size()
    assert windows.has_room(None)
    windows.consume(window, 751)
    assert windows.hand_over(window, 0), "while they are small, each frame asks"
    assert windows.resize(5.9) == -1, "for a second at least"
    assert windows.resize(6.0) == 262_144


@pytest.mark.parametrize("is_known", [False, True], ids=["under way", "acknowledged"])
def test_the_connections_credit_waits_until_the_peer_knows_of_small_windows(is_known: bool) -> None:
    windows = acknowledged(Limits(max_unread=1_000, initial_connection_window=100_000))
    assert windows.receive(60_000)
    windows.hand_over(ReceiveWindow(), 60_000)
    assert windows.resize(0.0) > 0
    if is_known:
        windows.acknowledge_size()
    assert windows.take_connection_increment() == (60_000 if is_known else 0)


def test_content_of_streams_that_have_ended_counts_as_long_as_it_is_held() -> None:
    windows = acknowledged(Limits(max_unread=1_000))
    window = ReceiveWindow()
    windows.hand_over(window, 1_000)
    windows.hold(1_000)
    windows.release(window)
    assert (windows.connection.unread, window.unread) == (1_000, 0)
    windows.hold(-1_000)
    assert windows.connection.unread == 0
