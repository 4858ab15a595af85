"""Uploads that no handler reads, and one that is read, on one connection: the one goes on, and memory is bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.client import Client
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response

from tests.client.support.rig import settled
from tests.support.serving import Run, port, serving

IDLERS = 99
LARGE = bytes(2_000_000)


@pytest.mark.parametrize("interface", ["native", "ASGI"])
def test_an_upload_that_is_read_goes_on(run: Run, interface: str) -> None:
    over = asyncio.Event()
    engines: set[Any] = set()

    async def native(request: Request) -> Response:
        engines.add(request._exchange.driver.engine)
        if request.path == "/idle":
            await over.wait()
            return Response(200)
        return Response(200, (), b"%d" % len(await request.read()))

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        size = 0
        if scope["path"] == "/idle":
            await over.wait()
        else:
            while True:
                message = await receive()
                size += len(message["body"])
                if not message["more_body"]:
                    break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % size})

    async def main() -> None:
        async with (
            serving(native if interface == "native" else asgi) as server,
            Client(http1=False, trust_env=False, max_connections=1, timeout=30.0) as client,
        ):
            url = f"http://127.0.0.1:{port(server)}"
            idle = [asyncio.create_task(client.post(url + "/idle", content=LARGE)) for _ in range(IDLERS)]
            (driver,) = await connections(client)
            # The server's window for streams is the small one: so much is unread that it has shrunk them.
            await settled(lambda: driver.engine.peer.initial_window_size == 32_768)
            for _ in range(3):
                assert (await client.post(url + "/read", content=LARGE)).content == b"2000000"
            if interface == "native":
                (engine,) = engines
                assert engine.stats()["unread"] <= 4_194_304 + 1_048_576 + 100 * 32_768
            over.set()
            for task in idle:
                assert (await task).status == 200

    async def connections(client: Client) -> list[Any]:
        links: dict[Any, Any] = client.transport.links  # type: ignore[attr-defined]
        await settled(lambda: bool(links))
        return list(links)

    run(main())
