"""What sinks are told of WebSockets: opened and closed, once each, between a request's start and stop."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.server.telemetry.prometheus import Prometheus

from tests.server.telemetry.recorder import Recorder
from tests.support.serving import Run, live_handlers, port, serving, settled
from tests.support.ws_peer import Refused, open_websocket


async def native(request: Request) -> Any:
    async def echo(ws: Any) -> None:
        async for message in ws:
            if message == "crash":
                raise RuntimeError("boom")
            await ws.send(message)

    return Response(403) if request.path == "/no" else WebSocketResponse(echo)


native.takes_websockets = True  # type: ignore[attr-defined]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    if scope["path"] == "/no":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message["text"] == "crash":
            raise RuntimeError("boom")
        await send({"type": "websocket.send", "text": message["text"]})


@pytest.mark.parametrize("over", ["h1", "h2"])
@pytest.mark.parametrize("app", [native, asgi])
def test_a_websocket_is_opened_and_closed(run: Run, app: Any, over: str) -> None:
    recorder = Recorder()
    figures = Prometheus(CollectorRegistry())

    async def main() -> None:
        async with serving(app, telemetry=[recorder, figures], websockets="on") as server:
            async with open_websocket(over, port(server), "/chat") as peer:
                peer.send("hello")
                assert await peer.message() == "hello"
                assert figures.registry.get_sample_value("headrace_websockets_open") == 1
                peer.say_close()
                await peer.close_frame()
            async with open_websocket(over, port(server), "/crash") as peer:
                peer.send("crash")
                await peer.close_frame()
            with pytest.raises(Refused):
                async with open_websocket(over, port(server), "/no"):
                    pass
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert recorder.names(b"/chat") == ["started", "websocket opened", "websocket closed", "stopped"]
    assert recorder.names(b"/crash") == ["started", "websocket opened", "failed", "websocket closed", "stopped"]
    assert recorder.names(b"/no") == ["started", "stopped"]
    assert figures.registry.get_sample_value("headrace_websockets_total") == 2
    assert figures.registry.get_sample_value("headrace_websockets_open") == 0
