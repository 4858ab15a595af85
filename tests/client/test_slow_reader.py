"""A slow reader of a response stops its server, which goes on when the reader does: over each protocol."""

from __future__ import annotations

import asyncio

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Send, StreamResponse

from tests.client.calls.test_websocket import client_of
from tests.protocols.conftest import Wire, certificate, wire
from tests.support.serving import Run, port

__all__ = ["certificate", "wire"]

PIECE = 65_536
PIECES = 1_024


def test_a_download_stops_and_goes_on(run: Run, wire: Wire) -> None:
    """Reading had paused, and nothing resumed it: HTTP/1.1 has no window update to write."""
    sent = 0

    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            nonlocal sent
            for _ in range(PIECES):
                await send(bytes(PIECE))
                sent += 1

        return StreamResponse(200, (), produce)

    async def main() -> None:
        async with (
            wire.serving(app) as server,
            client_of(wire) as client,
            client.stream("GET", f"{wire.scheme}://localhost:{port(server)}/") as response,
        ):
            last = -1
            while last != sent:
                last = sent
                await asyncio.sleep(0.2)
            assert sent < PIECES // 2
            size = 0
            async for piece in response.iter_raw():
                size += len(piece)
            assert size == PIECES * PIECE

    run(main())
