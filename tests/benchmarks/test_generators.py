"""The load generators: percentiles, schedules, and the bytes that they read and write."""

from __future__ import annotations

import random
import socket
from fractions import Fraction

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.testing import split_frames

from benchmarks.generators import open_loop, websocket, wire
from benchmarks.generators.wire import Broken
from tests.properties.profile import tries


@tries(100)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=300), st.sampled_from([500, 990, 999, 1, 1000]))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values: list[float], per_mille: int) -> None:
    """By its definition, counted, in fractions: nothing is rounded or interpolated."""
    found = open_loop.percentile(sorted(values), per_mille)
    share = Fraction(per_mille, 1000)
    enough = [each for each in values if Fraction(sum(other <= each for other in values), len(values)) >= share]
    assert found == min(enough)


def test_the_percentiles_of_known_latencies() -> None:
    """Of 1 to 10,000 ms in any order: the last thousandth has ten of them."""
    latencies = [number / 1000 for number in range(1, 10_001)]
    random.Random(1).shuffle(latencies)
    found = open_loop.figures(latencies, [0.000_05] * 10_000)
    assert found == pytest.approx({"p50": 5_000, "p99": 9_900, "p99.9": 9_990, "samples": 10_000, "late": 0.05})


def test_the_schedule_is_fixed_by_its_seed_and_has_the_rate() -> None:
    times = open_loop.schedule(1000.0, 20_000, 7)
    assert times == open_loop.schedule(1000.0, 20_000, 7) != open_loop.schedule(1000.0, 20_000, 8)
    assert times == sorted(times)
    assert times[-1] == pytest.approx(20.0, rel=0.03)


class Stalled:
    """A server with one connection, on a clock of its own, that answers nothing before `until`, then all at once."""

    def __init__(self, until: float, places: int = 1) -> None:
        self.now = 100.0
        self.until = until
        self.places = places
        self.sent: list[tuple[float, float]] = []
        self.open: list[float] = []

    def clock(self) -> float:
        return self.now

    def send(self, due: float) -> None:
        self.places -= 1
        self.sent.append((due, self.now))
        self.open.append(due)

    def readable(self) -> list[Stalled]:
        self.now += 0.01
        return [self] if self.open and self.now >= 100.0 + self.until else []

    def receive(self) -> list[float]:
        answered, self.open = self.open, []
        self.places += len(answered)
        return answered


@pytest.mark.parametrize("places", [1, 100])
def test_a_latency_counts_from_the_time_a_request_was_due(places: int) -> None:
    """A server that stands still for a second keeps all waiting who come in that second, sent or not: no coordinated
    omission, as there would be if only the one that was sent had waited."""
    server = Stalled(1.0, places)
    times = [number / 100 for number in range(1, 101)]
    latencies, late = open_loop.drive([server], times, server.clock, server.readable, 2.0)
    assert len(latencies) == 100
    waits = [1.0 - due for due in times]
    extra = 1.1 if places == 1 else 0.03  # through one place the hundred follow each other, a turn of the clock each
    assert all(wait <= latency + 1e-9 <= wait + extra for wait, latency in zip(waits, latencies, strict=True))
    assert max(late) < 0.02


def test_a_request_without_an_answer_is_a_fault() -> None:
    server = Stalled(1e9)
    with pytest.raises(Broken, match=r"2 of 2 requests were not answered 0\.5 s after the last was due"):
        open_loop.drive([server], [0.1, 0.2], server.clock, server.readable, 0.5)


def test_the_field_sections_say_what_they_should() -> None:
    """By hpack, which is neither ours nor any contender's: and twice the same, so no dynamic table is used."""
    decoder = hpack.Decoder()
    get = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "127.0.0.1")]
    for _ in range(2):
        assert fields(decoder, wire.REQUEST) == get
    assert fields(decoder, wire.REQUEST_TLS)[1] == (":scheme", "https")
    assert fields(decoder, wire.WEBSOCKET) == [
        (":method", "CONNECT"),
        (":scheme", "http"),
        (":path", "/ws"),
        (":authority", "127.0.0.1"),
        (":protocol", "websocket"),
        ("sec-websocket-version", "13"),
    ]
    assert not decoder.header_table.dynamic_entries


def fields(decoder: hpack.Decoder, block: bytes) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in decoder.decode(block)]


def test_frames_are_taken_out_whole_wherever_they_are_cut() -> None:
    stream = wire.frame(wire.DATA, wire.END_STREAM, 1, b"abc") + wire.frame(wire.PING, 0, 0, bytes(8))
    assert [each[2:] for each in wire.frames(bytearray(stream))] == [tuple(each)[2:] for each in split_frames(stream)]
    buffer, found = bytearray(), []
    for byte in stream:
        buffer.append(byte)
        found += list(wire.frames(buffer))
    assert found == [(wire.DATA, wire.END_STREAM, 1, b"abc"), (wire.PING, 0, 0, bytes(8))]
    assert not buffer
    assert wire.content(wire.PADDED, b"\x02abc\x00\x00") == b"abc"


def test_the_message_is_masked_as_a_client_must() -> None:
    head, mask, masked = websocket.MESSAGE[:4], websocket.MESSAGE[4:8], websocket.MESSAGE[8:]
    assert head == b"\x81\xfe\x00\x80"  # FIN and text; a mask, and 128 bytes
    assert bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked)) == websocket.TEXT
    assert websocket.ECHO == b"\x81\x7e\x00\x80" + websocket.TEXT


@pytest.mark.parametrize(
    "text", [b"HTTP/1.1 500 No\r\ncontent-length: 13\r\n\r\nHello, World!", b"HTTP/1.1 200 OK\r\n\r\nHello, Moon!!"]
)
def test_a_wrong_answer_is_a_fault(text: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = open_loop.H1Connection.__new__(open_loop.H1Connection)
        connection.peer, connection.buffer, connection.places, connection.due = ours, bytearray(), 1, 0.0
        connection.send(3.0)
        theirs.sendall(text[:20])
        assert connection.receive() == []
        theirs.sendall(text[20:])
        with pytest.raises(Broken, match="a wrong answer"):
            connection.receive()
        assert connection.places == 0
