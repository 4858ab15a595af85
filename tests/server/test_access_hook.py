"""The access hook: once a request, whatever way it ends, and nothing at all without one (trap 30)."""

from __future__ import annotations

import asyncio
from typing import Any

from headrace.server.handler import Request
from headrace.server.response import Response, Send, StreamResponse

from tests.h2_peer import H2Peer
from tests.serving import Run, port, serving, settled


def test_it_is_called_once_a_request(run: Run) -> None:
    records: list[tuple[bytes, int, int, str | None]] = []

    def record(exchange: Any, duration_s: float) -> None:
        assert duration_s >= 0
        assert exchange.driver.client[0] == "127.0.0.1"
        records.append((exchange.head.path, exchange.status, exchange.sent, exchange.gone))

    async def app(request: Request) -> Any:
        async def produce(send: Send) -> None:
            await send(b"12345")
            await send(b"678", end=True)

        match request.path:
            case "/buffered":
                return Response(201, (), b"abc")
            case "/stream":
                return StreamResponse(200, (), produce)
            case "/wait":
                await asyncio.Event().wait()
        raise RuntimeError

    async def main() -> None:
        async with serving(app, record=record) as server, H2Peer.connected(port(server)) as peer:
            for path in ("/buffered", "/stream", "/crash"):
                await peer.get(path)
            peer.reset(peer.open("/wait"))
            await settled(lambda: len(records) == 4)
        assert records[:2] == [(b"/buffered", 201, 3, None), (b"/stream", 200, 8, None)]
        assert records[2][:2] == (b"/crash", 500)
        assert records[3] == (b"/wait", 0, 0, "the peer reset the stream")

    run(main())


def test_without_a_hook_no_clock_is_read(run: Run) -> None:
    seen: list[bool] = []

    async def app(request: Request) -> Response:
        seen.append("started" in vars(request))
        return Response()

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            await peer.get("/")
        assert seen == [False]

    run(main())
