"""How WebSockets go and end, native and ASGI, with the same assertions over every wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace import Request, WebSocket, WebSocketResponse
from headrace.websocket.tunnel import WebSocketClosed

from tests.apps.clients import websocket
from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, settled

BOTH = pytest.mark.parametrize("interface", ["native", "asgi"])


class Echo:
    """Says back what it hears, closes when told so, and writes down how its WebSockets end."""

    def __init__(self) -> None:
        self.ends: list[int] = []

    async def native(self, request: Request) -> WebSocketResponse:
        return WebSocketResponse(self.talk, close_timeout_s=0.2)

    native.takes_websockets = True  # type: ignore[attr-defined]

    async def talk(self, ws: WebSocket) -> None:
        try:
            while True:
                message = await ws.receive()
                if message == "close":
                    await ws.close(4001, "as asked")
                elif message == "fail":
                    raise LookupError("boom")
                else:
                    await ws.send(message)
        except WebSocketClosed as closed:
            self.ends.append(closed.code)

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") == "close":
                await send({"type": "websocket.close", "code": 4001, "reason": "as asked"})
            elif message.get("text") == "fail":
                raise LookupError("boom")
            else:
                await send({**message, "type": "websocket.send"})
        self.ends.append(message["code"])

    def served(self, wire: Wire, interface: str, **settings: Any) -> Any:
        app = self.native if interface == "native" else self.asgi
        return wire.serving(app, interface=interface, lifespan="off", **settings)


@BOTH
def test_messages_fragments_and_pings(run: Run, wire: Wire, interface: str) -> None:
    echo = Echo()

    async def main() -> None:
        async with echo.served(wire, interface) as server:
            async with websocket(wire, server, "/", compression=True) as ws:
                for message in ("", "text", b"", b"octets" * 30_000, "ü" * 70_000):
                    ws.send(message)
                    assert await ws.message() == message
                ws.send("in ", fin=False)
                ws.ping(b"between")
                ws.fragment(b"two", fin=True)
                assert await ws.message() == "in two"
                assert ws.pongs == [b"between"]
                ws.say_close(4000, "enough")
                assert await ws.close_frame() == (4000, "enough")
                await ws.until_ended()
            await settled(lambda: live_handlers(server) == 0)
            assert echo.ends == [4000]

    run(main())


@BOTH
@pytest.mark.parametrize(
    ("said", "code"),
    [("close", 4001), ("fail", 1011), ("too large", 1009), ("violation", 1002), ("not UTF-8", 1007)],
)
def test_the_server_closes(
    run: Run, wire: Wire, interface: str, said: str, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    echo = Echo()

    async def main() -> None:
        async with echo.served(wire, interface, limits={"max_message_size": 1_000}) as server:
            async with websocket(wire, server, "/") as ws:
                ws.send("x" * 1_000)
                assert len(await ws.message()) == 1_000
                if said == "too large":
                    ws.send("x" * 1_001)
                elif said == "violation":
                    ws.raw(b"\xff\x80\x00\x00\x00\x00")
                elif said == "not UTF-8":
                    ws.raw(b"\x81\x81\x00\x00\x00\x00\xff")
                else:
                    ws.send(said)
                assert (await ws.close_frame())[0] == code
                await ws.until_ended()
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    lines = [each.getMessage() for each in caplog.records if each.name == "headrace.error"]
    assert len(lines) == (1 if said == "fail" else 0)
    assert all("LookupError: boom" in line for line in lines)


@BOTH
def test_a_client_that_goes(run: Run, wire: Wire, interface: str) -> None:
    echo = Echo()

    async def main() -> None:
        async with echo.served(wire, interface) as server:
            before = asyncio.all_tasks()
            for _ in range(5):
                async with websocket(wire, server, "/") as ws:
                    ws.send("hello")
                    assert await ws.message() == "hello"
                await settled(lambda: live_handlers(server) == 0)
            assert echo.ends == [1006] * 5
            await settled(lambda: asyncio.all_tasks() <= before)

    run(main())


@BOTH
def test_a_drain_says_1001(run: Run, wire: Wire, interface: str) -> None:
    echo = Echo()

    async def main() -> None:
        async with echo.served(wire, interface) as server, websocket(wire, server, "/") as ws:
            ws.send("hello")
            assert await ws.message() == "hello"
            server.begin_drain()
            assert (await ws.close_frame())[0] == 1001
            await ws.until_ended()
            await server.wait_closed()

    run(main())


def test_a_server_that_ends_at_once_has_said_1001(run: Run, wire: Wire) -> None:
    sockets: list[WebSocket] = []

    async def hang(ws: WebSocket) -> None:
        sockets.append(ws)
        await asyncio.Event().wait()

    async def app(request: Request) -> WebSocketResponse:
        return WebSocketResponse(hang)

    app.takes_websockets = True  # type: ignore[attr-defined]

    async def main() -> None:
        async with wire.serving(app) as server, websocket(wire, server, "/") as ws:
            await settled(lambda: len(sockets) == 1)
            server.abort()
            assert await ws.close_frame() == (1001, "")
            await ws.until_ended()
            await server.wait_closed()
            assert sockets[0].close_code == 1001

    run(main())
