"""The echo handler that Autobahn's fuzzing client tests: natively, and as an ASGI application."""

from __future__ import annotations

from typing import Any

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.websocket.connection import WebSocket

LARGEST = 64 * 1024 * 1024  # case 9.3.1 sends 4 MiB in 65,536 fragments, each of which is charged 256 bytes more


async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


async def app(request: Request) -> Response | WebSocketResponse:
    """Every path is the same WebSocket."""
    if not request.is_websocket:
        return Response.text("an echo over WebSocket\n")
    return WebSocketResponse(echo, max_message_size=LARGEST)


app.takes_websockets = True  # type: ignore[attr-defined]  # what NativeApplication looks at


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """The same in ASGI's words."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
