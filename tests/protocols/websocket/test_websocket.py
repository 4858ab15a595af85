"""WebSockets over every wire, behind the router and its middleware, alone and in a crowd of failures."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from typing import Any

import pytest

from headrace import Request, Response, Router, WebSocket, WebSocketResponse
from headrace.server.app import Server
from headrace.server.connection.exchange import error_log
from headrace.server.middleware import BodyLimit, Compression, SecurityHeaders

from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, port, settled
from tests.support.ws_peer import Refused, WSPeer, open_websocket


def websocket(wire: Wire, server: Server, path: str, **options: Any) -> contextlib.AbstractAsyncContextManager[WSPeer]:
    over = "h2" if wire.protocol == "h2" else "h1"
    context = None
    if wire.folder is not None:
        context = ssl.create_default_context(cafile=wire.folder / "localhost-ca.pem")
        context.set_alpn_protocols([wire.protocol])
    return open_websocket(over, port(server), path, tls=context, **options)


async def chat(ws: WebSocket) -> None:
    await ws.send(f"{ws.request.params['room']} {ws.request.scheme} {ws.request.http_version} {ws.request.state}")
    async for message in ws:
        await ws.send(message)


def table() -> Router:
    app = Router(middleware=[Compression(), SecurityHeaders(), BodyLimit(10)])

    @app.websocket("/rooms/{room}", state="its state")
    async def rooms(request: Request) -> WebSocketResponse | Response:
        if request.params["room"] == "closed":
            return Response.text("no", 403)
        return WebSocketResponse(chat)

    @app.get("/")
    async def home(request: Request) -> Response:
        return Response.text("home")

    return app


@pytest.mark.parametrize("compression", [False, True])
def test_a_route_for_websockets(run: Run, wire: Wire, compression: bool) -> None:
    async def main() -> None:
        async with wire.serving(table()) as server:
            async with websocket(wire, server, "/rooms/blue", compression=compression) as ws:
                assert await ws.message() == f"blue {wire.scheme} {wire.version} its state"
                for message in ("text", b"octets" * 50_000, "x" * 200_000):
                    ws.send(message)
                    assert await ws.message() == message
                ws.say_close(1000)
                assert await ws.close_frame() == (1000, "")
                await ws.until_ended()
            for path, status in (("/rooms/closed", 403), ("/nowhere", 404)):
                with pytest.raises(Refused) as caught:
                    async with websocket(wire, server, path):
                        pass
                assert caught.value.status == status
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_asgis_scope_says_ws_or_wss(run: Run, wire: Wire) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": f"{scope['scheme']} {scope['http_version']}"})

    async def main() -> None:
        async with wire.serving(app, lifespan="off") as server, websocket(wire, server, "/") as ws:
            assert await ws.message() == f"{'ws' if wire.scheme == 'http' else 'wss'} {wire.version}"

    run(main())


def left() -> int:
    """WebSockets that something still refers to."""
    gc.collect()
    return sum(type(each) is WebSocket for each in gc.get_objects())


def test_a_crash_storm_leaks_nothing(run: Run, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    # A third of the sockets fail in their handler, a third are torn down by the client, a third succeed.
    lines: list[str] = []  # and not the records, whose tracebacks would keep the sockets
    monkeypatch.setattr(error_log, "handle", lambda record: lines.append(record.getMessage()))

    async def stormy(ws: WebSocket) -> None:
        async for message in ws:
            if message == "fail":
                raise LookupError("on purpose")
            await ws.send(message)

    async def app(request: Request) -> WebSocketResponse:
        return WebSocketResponse(stormy, close_timeout_s=0.05)

    app.takes_websockets = True  # type: ignore[attr-defined]

    async def one(server: Server, number: int) -> bool:
        async with websocket(wire, server, "/") as ws:
            ws.send(f"{number}" * 1000)
            assert await ws.message() == f"{number}" * 1000
            if number % 3 == 0:
                ws.send("fail")
                assert (await ws.close_frame())[0] == 1011
            elif number % 3 == 1:
                ws.send("half", fin=False)
            else:
                ws.say_close()
                assert await ws.close_frame() == (1000, "")
                return True
        return False

    async def main() -> None:
        async with wire.serving(app) as server:
            for _ in range(3):
                results = await asyncio.gather(*(one(server, number) for number in range(30)))
                assert sum(results) == 10
            await settled(lambda: live_handlers(server) == 0)
            assert len(lines) == 30
            await settled(lambda: left() == 0)

    run(main())
