"""A drain as each kind of exchange sees it, side by side: over one connection of HTTP/2, or three of HTTP/1.1."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from headrace import EventStream, Request, Response, StreamResponse, WebSocket, WebSocketResponse
from headrace.bus import LocalBus
from headrace.server.handlers.response import Send

from tests.apps.clients import websocket
from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, settled

CANCEL = 8


def test_a_request_an_event_stream_and_a_websocket_go_through_a_drain(run: Run, wire: Wire) -> None:
    bus = LocalBus()
    go_on = asyncio.Event()
    seen: list[Any] = []

    async def talk(ws: WebSocket) -> None:
        async for message in ws:
            seen.append(message)
        seen.append(ws.close_code)

    async def app(request: Request) -> Response | EventStream | WebSocketResponse:
        if request.path == "/events":
            return EventStream(topics=["news"], bus=bus)
        if request.path == "/ws":
            return WebSocketResponse(talk)
        await go_on.wait()
        assert request.connection.drain_deadline is not None
        return Response.text("finished")

    app.takes_websockets = True  # type: ignore[attr-defined]

    async def main() -> None:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(wire.serving(app))
            one = two = await stack.enter_async_context(wire.peer(server))
            options: dict[str, Any] = {"on": one.inner}
            if wire.protocol != "h2":
                two = await stack.enter_async_context(wire.peer(server))
                options = {}
            ws = await stack.enter_async_context(websocket(wire, server, "/ws", **options))
            ws.send("before")
            request, events = await one.open("/"), await two.open("/events")
            stream = await two.started(events)
            assert bus.publish("news", "first") == 1
            await two.until(lambda: stream.body == b"data: first\n\n")
            await settled(lambda: seen == ["before"] and live_handlers(server) == 3)

            server.begin_drain()
            assert await ws.close_frame() == (1001, "")
            stream = await two.over(events)
            assert (bytes(stream.body), stream.ended, stream.reset) == (b"data: first\n\n", True, None)
            await settled(lambda: live_handlers(server) == 1)
            assert seen == ["before", 1001]

            go_on.set()
            answer = await one.over(request)
            assert (answer.status, answer.body, answer.ended) == (200, b"finished", True)
            assert answer.header(b"connection") == (None if wire.protocol == "h2" else b"close")
            await one.until_closed()
            await server.wait_closed()

    run(main())


@pytest.mark.parametrize("interface", ["native", "asgi"])
def test_a_stream_is_told_nothing_and_cut_off_at_the_end(run: Run, wire: Wire, interface: str) -> None:
    ends: list[str] = []

    async def produce(send: Send) -> None:
        await send(b"part")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    async def native(request: Request) -> StreamResponse:
        return StreamResponse(200, (), produce)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

        async def piece(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True})

        await produce(piece)  # type: ignore[arg-type]

    async def main() -> None:
        app = native if interface == "native" else asgi
        async with (
            wire.serving(app, interface=interface, lifespan="off") as server,
            wire.peer(server) as peer,
            wire.peer(server) as idle,
        ):
            number = await peer.open("/")
            answer = await peer.started(number)
            server.begin_drain()
            await idle.until_closed()
            assert (ends, answer.is_over, live_handlers(server)) == ([], False, 1)
            server.abort()
            answer = await peer.over(number)
            assert (bytes(answer.body), answer.ended) == (b"part", False)
            assert wire.protocol != "h2" or answer.reset == CANCEL
            await server.wait_closed()
            assert ends == ["cancelled"]

    run(main())


def test_a_message_that_waits_when_the_drain_begins_is_not_sent(run: Run, wire: Wire) -> None:
    bus = LocalBus()

    async def app(request: Request) -> EventStream:
        return EventStream(topics=["news"], bus=bus)

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            number = await peer.open("/")
            await peer.started(number)
            assert bus.publish("news", "late") == 1
            server.begin_drain()
            answer = await peer.over(number)
            assert (bytes(answer.body), answer.ended, answer.reset) == (b"", True, None)
            await server.wait_closed()

    run(main())
