"""WebSockets through the proxy, whatever protocol stands on either side."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.websocket.connection import WebSocket

from tests.proxy.conftest import Chain
from tests.support.serving import Run, live_handlers, port, settled
from tests.support.ws_peer import Refused, open_websocket


def over(chain: Chain) -> str:
    return "h2" if chain.front.version == "2" else "h1"


def websockets(handler: Any, **options: Any) -> Any:
    async def app(request: Request) -> Response | WebSocketResponse:
        if request.path == "/no":
            return Response(403, [(b"x-why", b"because")], b"no\n")
        return WebSocketResponse(handler, **options)

    app.takes_websockets = True  # type: ignore[attr-defined]
    return app


async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


@pytest.mark.parametrize("compression", [False, True])
def test_messages_subprotocols_and_compression(run: Run, chain: Chain, compression: bool) -> None:
    async def main() -> None:
        app = websockets(echo, subprotocols=["chat"], compression=compression)
        async with (
            chain.proxied(app) as server,
            open_websocket(over(chain), port(server), subprotocols=["other", "chat"], compression=compression) as ws,
        ):
            fields = dict(ws.headers)
            assert fields[b"sec-websocket-protocol"] == b"chat"
            assert (b"sec-websocket-extensions" in fields) == compression
            for message in ("text", b"octets", "x" * 300_000):
                ws.send(message)
                assert await ws.message() == message
            ws.say_close(1000, "done")
            assert await ws.close_frame() == (1000, "done")
            await ws.until_ended()
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_a_refusal_goes_through(run: Run, chain: Chain) -> None:
    async def main() -> None:
        async with chain.proxied(websockets(echo)) as server:
            with pytest.raises(Refused) as raised:
                async with open_websocket(over(chain), port(server), "/no"):
                    pass
            assert raised.value.status == 403
            assert raised.value.headers[b"x-why"] == b"because"
            if b"content-length" in raised.value.headers:  # the test's client of HTTP/1.1 reads nothing else
                assert raised.value.body == b"no\n"

    run(main())


def test_an_upstream_that_closes_closes_the_client(run: Run, chain: Chain) -> None:
    async def leaves(ws: WebSocket) -> None:
        await ws.send("bye")
        await ws.close(4000, "enough")

    async def main() -> None:
        async with (
            chain.proxied(websockets(leaves)) as server,
            open_websocket(over(chain), port(server)) as ws,
        ):
            assert await ws.message() == "bye"
            assert await ws.close_frame() == (4000, "enough")
            await ws.until_ended()
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_a_client_that_goes_takes_the_upstream_along(run: Run, chain: Chain) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def waits(ws: WebSocket) -> None:
            async for _ in ws:
                pass
            ended.set()

        async with chain.proxied(websockets(waits)) as server:
            async with open_websocket(over(chain), port(server)) as ws:
                ws.send("hello")
            await ended.wait()
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_a_slow_upstream_holds_up_its_own_client_alone(run: Run, chain: Chain) -> None:
    """Window is given back only as the other side takes what came; a sibling on the same connections goes on."""

    async def main() -> None:
        go_on = asyncio.Event()
        taken = 0

        async def slow(ws: WebSocket) -> None:
            nonlocal taken
            if ws.request.path == "/quick":
                await echo(ws)
                return
            await go_on.wait()
            async for message in ws:
                taken += len(message)
                if message == b"last":
                    await ws.send("all")

        async with chain.proxied(websockets(slow)) as server, open_websocket(over(chain), port(server)) as ws:
            for _ in range(40):
                ws.send(b"x" * 100_000)
            ws.send(b"last")
            async with open_websocket(over(chain), port(server), "/quick", on=ws.h2) as sibling:
                sibling.send("still here?")
                assert await sibling.message() == "still here?"
            assert taken == 0
            go_on.set()
            assert await ws.message() == "all"
            assert taken == 4_000_004

    run(main())
