"""What waits in the two relays of tunnels, of the proxy and of the client through one, costs no more than its bytes."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any, cast

from headrace.client.connect.tunnel_transport import TunnelTransport
from headrace.proxy.relay import Direction, Relay

from tests.support.serving import Run

PIECES = 50_000
LETTERS = b"abcdefghijklmnopqrstuvwxyz" * 2


class Stopped:
    """A tunnel that accepts nothing while `blocked`."""

    def __init__(self) -> None:
        self.blocked = True
        self.written: list[tuple[bytes, bool]] = []
        self.given_back = 0

    def write(self, data: bytes, end: bool) -> None:
        self.written.append((data, end))

    def consumed(self, count: int) -> None:
        self.given_back += count

    def abort(self) -> None:
        pass


class Reader(asyncio.Protocol):
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)


def piece(number: int) -> bytes:
    """Two bytes, as an object of their own."""
    start = number % 26
    return LETTERS[start : start + 2]


def memory_of(on_bytes: Callable[[bytes, int, bool], None]) -> int:
    """Return the bytes of memory that many small pieces take which wait."""
    tracemalloc.start()
    try:
        for number in range(PIECES):
            on_bytes(piece(number), 2, False)
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_small_pieces_that_wait_for_the_other_end_are_put_together(run: Run) -> None:
    async def main() -> None:
        direction = Direction(Relay())
        source, sink = Stopped(), Stopped()
        direction.source, direction.sink = cast("Any", source), cast("Any", sink)
        assert memory_of(direction.on_bytes) <= 5 * PIECES, "beside 100 KB of data"
        assert sink.written == [] and source.given_back == 0, "nor is window given back"
        sink.blocked = False
        direction.pump()
        direction.on_bytes(b"more", 4, False)
        direction.on_bytes(b"", 0, True)
        whole = b"".join(map(piece, range(PIECES)))
        assert sink.written == [(whole, False), (b"more", False), (b"", True)]
        assert source.given_back == 2 * PIECES + 4
        assert direction.has_ended

    run(main())


def test_small_pieces_that_come_while_the_other_end_is_not_there_yet_keep_their_order(run: Run) -> None:
    async def main() -> None:
        direction = Direction(Relay())
        direction.on_bytes(b"one ", 4, False)
        direction.on_bytes(b"two ", 4, False)
        source, sink = Stopped(), Stopped()
        direction.source, direction.sink = cast("Any", source), cast("Any", sink)
        sink.blocked = False
        direction.on_bytes(b"three", 5, True)
        assert sink.written == [(b"one two three", True)]
        assert source.given_back == 13

    run(main())


def test_small_pieces_for_a_protocol_that_does_not_read_are_put_together(run: Run) -> None:
    async def main() -> None:
        class Response:
            def tunnel(self, receiver: Any) -> Stopped:
                return tunnel

        tunnel = Stopped()
        transport = TunnelTransport(cast("Any", Response()))
        reader = Reader()
        transport.attach(reader)
        transport.pause_reading()
        assert memory_of(transport.on_bytes) <= 5 * PIECES, "beside 100 KB of data"
        assert tunnel.given_back == 0
        transport.resume_reading()
        assert reader.pieces == [b"".join(map(piece, range(PIECES)))]
        assert tunnel.given_back == 2 * PIECES

    run(main())
