"""A large body comes in large reads, each of which ends within a frame; how they are cut must not be seen."""

from __future__ import annotations

import random

import pytest

from headrace.engine.errors import FRAME_SIZE_ERROR
from headrace.engine.events import DataReceived, Event, PeerFault, StreamReset
from headrace.engine.limits import Limits
from headrace.testing import ServerUnderTest, data_frame, frame, headers_frame

from tests.support import wire

BODY = random.Random(1).randbytes(300_000)


def upload(server: ServerUnderTest) -> bytes:
    """A request with BODY as content, in frames of every size, one of which breaks a rule of its own stream's."""
    block = server.encode_request("POST", "/")
    data = headers_frame(1, block)
    data += headers_frame(3, server.encode_request("POST", "/other"))
    position, size = 0, 1
    while position < len(BODY):
        piece = BODY[position : position + size]
        position += len(piece)
        data += data_frame(1, piece, end_stream=position == len(BODY))
        if position - len(piece) < 100_000 <= position:
            data += frame(wire.WINDOW_UPDATE, 0, 3, bytes(4))  # RFC 9113 §6.9: a stream error
        size = size * 3 % 16_000 + 1
    return data


def take(server: ServerUnderTest, data: bytes, sizes: list[int]) -> list[Event]:
    events: list[Event] = []
    position = 0
    for size in [*sizes, len(data)]:
        events += server.feed(data[position : position + size])
        position += size
    return events


@pytest.mark.parametrize("turn", [0, 1, 2, 100])
@pytest.mark.parametrize("seed", range(8))
def test_any_cut_of_a_large_upload_gives_the_same(turn: int, seed: int) -> None:
    chance = random.Random(seed)
    server = ServerUnderTest(Limits(frames_per_turn=turn, initial_stream_window=400_000))
    server.handshake()
    sizes = [chance.choice((5, 9, 1_000, 16_384, 20_000, 65_536)) for _ in range(40)]
    events = take(server, upload(server), sizes)
    data = [event for event in events if isinstance(event, DataReceived)]
    assert b"".join(event.data for event in data) == BODY
    assert [event.end_stream for event in data].count(True) == 1
    assert data[-1].end_stream
    assert [event.stream_id for event in events if isinstance(event, StreamReset)] == [3]


@pytest.mark.parametrize("turn", [1, 2, 5])
def test_a_turn_is_a_bound_for_a_torn_frame_too(turn: int) -> None:
    server = ServerUnderTest(Limits(frames_per_turn=turn))
    server.handshake()
    server.feed(headers_frame(1, server.encode_request("POST", "/")))
    data = b"".join(data_frame(1, bytes(10_000)) for _ in range(10))
    server.feed(data[:50])
    seen = []
    events = server.connection.receive_data(data[50:], 0.0)
    while events:
        seen.append(len(events))
        events = server.connection.receive_data(b"", 0.0)
    assert max(seen) <= turn
    assert sum(seen) == 10


def test_a_torn_frame_above_the_limit_is_refused_by_its_head() -> None:
    server = ServerUnderTest()
    server.handshake()
    server.feed(headers_frame(1, server.encode_request("POST", "/")))
    server.feed(data_frame(1, bytes(10_000))[:500])
    rest = data_frame(1, bytes(10_000))[500:]
    events = server.feed(rest + data_frame(1, bytes(20_000))[:17_000])
    faults = [event for event in events if isinstance(event, PeerFault)]
    assert [fault.code for fault in faults] == [FRAME_SIZE_ERROR]
    assert server.connection.closed
