"""Whoever does not read holds up its own stream and no other, and what is unread is bounded (docs/adr/0026).

The peer is python-hyper's h2, which keeps windows by a code of its own and refuses whatever breaks RFC 9113 §6.9.
"""

from __future__ import annotations

import random
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import events as ev
from headrace.engine.h2 import ClientConnection, ServerConnection
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.support import wire

REQUEST = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]


class Pair:
    """Our engine and an h2 connection, with bytes under way between them that arrive when the test says."""

    def __init__(self, limits: Limits, is_server: bool, *, is_deaf: bool = False) -> None:
        self.limits = limits
        self.is_server = is_server
        self.is_deaf = is_deaf
        self.now = 0.0
        self.ours: Any = ServerConnection(limits, now=0.0) if is_server else ClientConnection(limits, now=0.0)
        self.peer = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=is_server, header_encoding=None, validate_inbound_headers=False)
        )
        self.peer.initiate_connection()
        self.settings_seen = 0
        self.unread: dict[int, int] = {}
        self.received: dict[int, int] = {}
        self.held: dict[int, int] = {}
        self.open: set[int] = set()
        self.settle()

    def carry(self) -> None:
        """Everything that is under way arrives, once each way."""
        for event in self.ours.receive_data(self.peer.data_to_send(), self.now):
            self.on_event(event)
        out = self.ours.take_output()
        if out:
            for peer_event in self.peer.receive_data(self.heard(out) if self.is_deaf else out):
                if isinstance(peer_event, h2.events.StreamReset):
                    self.open.discard(peer_event.stream_id)

    def heard(self, out: bytes) -> bytes:
        """What the peer gets: all but the SETTINGS that come after the first ones."""
        at = len(wire.PREFACE) if out.startswith(wire.PREFACE) else 0
        kept = out[:at]
        while at < len(out):
            end = at + 9 + int.from_bytes(out[at : at + 3], "big")
            if out[at + 3] == wire.SETTINGS and not out[at + 4] & wire.ACK:
                self.settings_seen += 1
                if self.settings_seen > 1:
                    at = end
                    continue
            kept += out[at:end]
            at = end
        return kept

    def settle(self) -> None:
        for _ in range(4):
            self.carry()

    def on_event(self, event: Any) -> None:
        if isinstance(event, ev.DataReceived):
            self.unread[event.stream_id] = self.unread.get(event.stream_id, 0) + event.flow_length
            self.received[event.stream_id] = self.received.get(event.stream_id, 0) + event.flow_length
            if event.end_stream and not self.is_server:
                # The client's stream is gone; what its reader has not taken is told to the connection.
                self.ours.hold_data(self.unread[event.stream_id])
                self.held[event.stream_id] = self.unread.pop(event.stream_id)
        assert not isinstance(event, ev.ConnectionEnded), event
        assert not isinstance(event, ev.StreamReset) or event.initiator == "remote", event

    def begin(self) -> int:
        if self.is_server:
            stream_id: int = self.peer.get_next_available_stream_id()
            self.peer.send_headers(stream_id, REQUEST)
        else:
            stream_id = self.ours.send_request(b"GET", b"http", b"a", b"/", [], end_stream=True)
            self.settle()
            self.peer.send_headers(stream_id, [(":status", "200")])
        self.unread[stream_id] = self.received[stream_id] = 0
        self.open.add(stream_id)
        return stream_id

    def send(self, stream_id: int, most: int = 2**31) -> int:
        """The peer sends what it may, `most` at most."""
        sent = 0
        while (size := min(self.peer.local_flow_control_window(stream_id), 16_384, most - sent)) > 0:
            self.peer.send_data(stream_id, b"x" * size)
            sent += size
        return sent

    def read(self, stream_id: int, count: int | None = None) -> None:
        if stream_id in self.held:
            self.ours.hold_data(-self.held.pop(stream_id))
        elif stream_id in self.unread:
            count = self.unread[stream_id] if count is None else min(count, self.unread[stream_id])
            self.unread[stream_id] -= count
            self.ours.acknowledge_data(stream_id, count)

    def all_unread(self) -> int:
        return sum(self.unread.values()) + sum(self.held.values())

    def bound(self) -> int:
        limits = self.limits
        return (
            limits.max_unread
            + limits.initial_connection_window
            + max(len(self.unread) + len(self.held), 1) * min(limits.small_stream_window, limits.initial_stream_window)
        )


LIMITS = {"initial_stream_window": 20_000, "small_stream_window": 2_000, "initial_connection_window": 65_535}
BUDGETS = {"early_reset_burst": 10_000, "provoked_reset_burst": 10_000, "odd_frame_burst": 1_000_000}


@pytest.mark.parametrize("is_server", [True, False], ids=["server", "client"])
@pytest.mark.parametrize("idlers", [20, 99])
def test_who_reads_goes_on_beside_those_who_do_not(is_server: bool, idlers: int) -> None:
    defaults = Limits() if is_server else Limits(
        initial_stream_window=2_097_152,
        small_stream_window=65_536,
        initial_connection_window=16_777_216,
        max_unread=16_777_216,
    )  # fmt: skip
    pair = Pair(defaults, is_server)
    unread = [pair.begin() for _ in range(idlers)]
    reader = pair.begin()
    pair.settle()
    for _ in range(6):  # the idlers take all that they can get
        for stream_id in unread:
            pair.send(stream_id)
        pair.settle()
    assert pair.all_unread() >= min(defaults.max_unread, idlers * defaults.initial_stream_window)
    for _ in range(20):
        before = pair.received[reader]
        assert pair.send(reader) > 0, "its reader has read everything, and its peer may not send"
        for stream_id in unread:
            pair.send(stream_id)
        pair.settle()
        assert pair.received[reader] > before
        pair.read(reader)
        pair.settle()
    assert pair.all_unread() <= pair.bound()


@pytest.mark.parametrize("is_server", [True, False], ids=["server", "client"])
def test_a_peer_that_is_not_told_of_small_windows_starves(is_server: bool) -> None:
    """The control: the same measure, with our second SETTINGS lost on the way."""
    pair = Pair(Limits(max_unread=100_000, **LIMITS), is_server, is_deaf=True)
    unread = [pair.begin() for _ in range(20)]
    reader = pair.begin()
    pair.settle()
    for _ in range(5):
        for stream_id in unread:
            pair.send(stream_id)
        pair.settle()
    assert pair.send(reader) == 0
    assert pair.all_unread() <= pair.bound(), "and even then what is unread is bounded"


def test_windows_are_large_again_when_all_is_read() -> None:
    pair = Pair(Limits(max_unread=50_000, **LIMITS), True)
    several = [pair.begin() for _ in range(6)]
    pair.settle()
    for stream_id in several:
        pair.send(stream_id)
    pair.settle()
    assert pair.peer.remote_settings.initial_window_size == 2_000
    for stream_id in several:
        pair.read(stream_id)
    pair.settle()
    assert pair.send(several[0], 100) == 100
    pair.settle()
    assert pair.peer.remote_settings.initial_window_size == 2_000, "not for a second"
    pair.now = 1.0
    pair.send(several[0], 100)
    pair.settle()
    assert pair.peer.remote_settings.initial_window_size == 20_000
    for stream_id in several:
        pair.read(stream_id)
    pair.settle()
    assert all(pair.peer.local_flow_control_window(stream_id) >= 10_000 for stream_id in several)


def test_an_upload_may_end_while_its_window_is_below_zero() -> None:
    """RFC 9113 §6.9.2: DATA without bytes is allowed in any window."""
    pair = Pair(Limits(max_unread=50_000, **LIMITS), True)
    several = [pair.begin() for _ in range(6)]
    pair.settle()
    for stream_id in several:
        pair.send(stream_id)
    pair.settle()
    assert pair.peer.remote_settings.initial_window_size == 2_000
    for stream_id in several:
        pair.peer.end_stream(stream_id)
    pair.settle()
    assert pair.all_unread() > 50_000


def test_a_peer_that_does_not_acknowledge_small_windows_is_ended() -> None:
    pair = Pair(Limits(max_unread=50_000, settings_ack_timeout_s=5.0, **LIMITS), True, is_deaf=True)
    several = [pair.begin() for _ in range(6)]
    pair.settle()
    pair.now = 100.0
    for stream_id in several:
        pair.send(stream_id)
    pair.carry()
    assert pair.ours.next_deadline() <= 105.0
    assert not pair.ours.handle_deadline(104.9)
    assert [type(event) for event in pair.ours.handle_deadline(105.0)][-1] is ev.ConnectionEnded


@given(seed=st.integers(0, 2**32), is_server=st.booleans())
@tries(150)
def test_any_mix_of_readers_and_others(seed: int, is_server: bool) -> None:
    """Streams come and go, some are read, some a little, some never; bytes arrive late. At every moment what is unread
    is bounded, and whenever nothing is under way a stream whose reader has read everything may be sent on."""
    rnd = random.Random(seed)
    limits = Limits(
        max_unread=rnd.choice((1, 10_000, 100_000, 300_000)),
        initial_stream_window=rnd.choice((1_500, 20_000, 65_535, 100_000)),
        small_stream_window=rnd.choice((1_024, 2_000, 30_000, 200_000)),
        initial_connection_window=rnd.choice((65_535, 150_000)),
        max_concurrent_streams=100,
        small_data_budget=2**31 - 1,
        **BUDGETS,
    )
    pair = Pair(limits, is_server)
    readers: set[int] = set()
    most = 0
    for step in range(60):
        pair.now += rnd.choice((0.0, 0.01, 1.0))
        kind = rnd.random()
        if kind < 0.25 and len(pair.open) < 30:
            stream_id = pair.begin()
            if rnd.random() < 0.4:
                readers.add(stream_id)
        elif kind < 0.6 and pair.open:
            for stream_id in rnd.sample(sorted(pair.open), rnd.randint(1, len(pair.open))):
                pair.send(stream_id, rnd.choice((1, 100, 5_000, 2**31)))
        elif kind < 0.7 and pair.open:
            pair.read(rnd.choice(sorted(pair.open)), rnd.randrange(1, 30_000))
        elif kind < 0.78 and pair.open:
            stream_id = rnd.choice(sorted(pair.open))
            pair.open.discard(stream_id)
            readers.discard(stream_id)
            if rnd.random() < 0.5:
                pair.peer.end_stream(stream_id)
            else:
                pair.peer.reset_stream(stream_id)
                pair.carry()
                pair.unread.pop(stream_id, None)
        else:
            pair.carry()
        assert pair.all_unread() <= pair.bound()
        most = max(most, pair.all_unread())
        if step % 10 == 9:
            for _ in range(3):
                for stream_id in readers:
                    pair.read(stream_id)
                pair.settle()
            for stream_id in readers:
                assert pair.unread[stream_id] == 0
                before = pair.received[stream_id]
                assert pair.send(stream_id) > 0, f"{stream_id} is read, and may not be sent on"
                pair.settle()
                assert pair.received[stream_id] > before
                pair.read(stream_id)
                pair.settle()
