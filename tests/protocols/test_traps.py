"""Traps that every protocol has, over every wire; tests/traps/README.md has the list."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace import EventStream, LoopResponse, Request, Response, StreamResponse, WebSocket, WebSocketResponse
from headrace.server.connection.exchange import ServerExchange
from headrace.server.handlers.response import Send

from tests.apps.clients import client_context, websocket
from tests.protocols.conftest import Wire
from tests.support import wire as h2
from tests.support.serving import Run, live_handlers, port, settled

OK: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


def body(data: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


@pytest.mark.parametrize("end", ["crash", "client leaves", "half a message", "violation"])
def test_a_websocket_that_ends_badly_leaves_others_alone(run: Run, wire: Wire, end: str) -> None:
    async def echo(ws: WebSocket) -> None:
        async for message in ws:
            if message == "crash":
                raise RuntimeError("boom")
            await ws.send(message)

    async def app(request: Request) -> WebSocketResponse | Response:
        return WebSocketResponse(echo) if request.is_websocket else Response.text("plain")

    app.takes_websockets = True  # type: ignore[attr-defined]

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer, contextlib.AsyncExitStack() as stack:
            # Over HTTP/2 they share the connection with one another and with ordinary requests.
            options = {"on": peer.inner} if wire.protocol == "h2" else {}
            sibling = await stack.enter_async_context(websocket(wire, server, "/", **options))
            async with websocket(wire, server, "/", **options) as bad:
                bad.send("hello")
                assert await bad.message() == "hello"
                if end == "crash":
                    bad.send("crash")
                    assert (await bad.close_frame())[0] == 1011
                elif end == "half a message":
                    bad.send("half", fin=False)
                elif end == "violation":
                    bad.raw(b"\xff" * 100)
                    assert (await bad.close_frame())[0] == 1002
            await settled(lambda: live_handlers(server) == 1)
            sibling.send("still here")
            assert await sibling.message() == "still here"
            assert (await peer.get("/")).body == b"plain"

    run(main())


def whole_requests(wire: Wire) -> list[bytes]:
    """Requests as this protocol has them, short ones too."""
    if wire.protocol == "h2":
        return [h2.client_preface() + h2.settings_ack() + h2.request(1, scheme=wire.scheme.encode())]
    return [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"PUT / HTTP/1.1\r\nhost: a\r\n\r\n"]


def test_a_request_byte_by_byte(run: Run, wire: Wire) -> None:
    """The port of each wire takes both protocols, so in cleartext it has to be told from the first bytes."""

    async def app(request: Request) -> Response:
        return Response.text(f"answered over {request.http_version}")

    async def main() -> None:
        async with wire.serving(app) as server:
            for data in whole_requests(wire):
                context = client_context(wire)
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port(server), ssl=context, server_hostname="localhost" if context else None
                )
                for byte in data:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0)  # the server, on the same loop, gets it now
                version = "1.0" if b"HTTP/1.0" in data else wire.version
                async with asyncio.timeout(10):
                    await reader.readuntil(f"answered over {version}".encode())
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    run(main())


@pytest.mark.parametrize("interface", ["native", "asgi"])
@pytest.mark.parametrize(("declared", "sent", "is_short"), [(10, 4, True), (10, 40, False)])
def test_a_length_that_is_not_kept(
    run: Run, wire: Wire, interface: str, declared: int, sent: int, is_short: bool
) -> None:
    """Too little is cut off; too much is refused to the application, and the client never sees it."""

    async def native(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            await send(b"x" * sent)

        return StreamResponse(200, [("content-length", str(declared))], produce)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({**OK, "headers": [(b"content-length", b"%d" % declared)]})
        await send(body(b"x" * sent, more=True))
        await send(body())

    async def main() -> None:
        app = native if interface == "native" else asgi
        async with wire.serving(app, interface=interface, lifespan="off") as server, wire.peer(server) as peer:
            answer = await peer.get("/")
            assert len(answer.body) == (sent if is_short else 0)
            assert not answer.ended and answer.reset is not None

    run(main())


@pytest.mark.parametrize("status", [100, 101, 103, 199])
@pytest.mark.parametrize("interface", ["native", "asgi"])
def test_a_1xx_is_never_the_final_response(run: Run, wire: Wire, interface: str, status: int) -> None:
    async def native(request: Request) -> Response:
        return Response(status if request.path == "/bad" else 200, (), b"body")

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send({**OK, "status": status if scope["path"] == "/bad" else 200})
        await send(body(b"body"))

    async def main() -> None:
        app = native if interface == "native" else asgi
        async with wire.serving(app, interface=interface, lifespan="off") as server, wire.peer(server) as peer:
            answer = await peer.get("/bad")
            assert (answer.status, answer.informational, answer.ended) == (500, [], True)
            assert (await peer.get("/")).body == b"body"

    run(main())


@pytest.mark.parametrize("interface", ["native", "asgi"])
def test_no_100_continue_behind_the_final_status(run: Run, wire: Wire, interface: str) -> None:
    """The application answers first and reads then: the client learns from the answer that content is wanted."""

    async def native(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            await send(b"answer ")
            await send(await request.read())

        return StreamResponse(200, (), produce)

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send(OK)
        await send(body(b"answer ", more=True))
        data = b""
        while (message := await receive())["more_body"]:
            data += message["body"]
        await send(body(data + message["body"]))

    async def main() -> None:
        app = native if interface == "native" else asgi
        async with wire.serving(app, interface=interface, lifespan="off") as server, wire.peer(server) as peer:
            expect = [("expect", "100-continue"), ("content-length", "7")]
            number = await peer.open("/", "POST", expect, end=False)
            answer = peer.answers[number]
            await peer.until(lambda: answer.body == b"answer ")
            await peer.send(number, b"content", end=True)
            await peer.over(number)
            assert (answer.body, answer.ended, answer.informational) == (b"answer content", True, [])

    run(main())


@pytest.mark.parametrize("interface", ["native", "asgi"])
def test_nothing_is_done_for_a_log_that_is_off(
    run: Run, wire: Wire, monkeypatch: pytest.MonkeyPatch, interface: str
) -> None:
    called: list[str] = []

    async def native(request: Request) -> Response:
        return Response(200, (), b"ok")

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send(OK)
        await send(body(b"ok"))

    def watched(name: str, value: Any) -> Any:
        def call(*_: Any, **__: Any) -> Any:
            called.append(name)
            return value

        return call

    async def main() -> None:
        app = native if interface == "native" else asgi
        async with wire.serving(app, interface=interface, lifespan="off") as server, wire.peer(server) as peer:
            assert (await peer.get("/")).body == b"ok"
            with monkeypatch.context() as patch:
                patch.setattr(ServerExchange, "__str__", watched("str", ""))
                patch.setattr(ServerExchange, "__repr__", watched("repr", ""))
                patch.setattr(time, "perf_counter", watched("clock", 0.0))
                patch.setattr(time, "time", watched("clock", 0.0))
                patch.setattr(logging.Logger, "_log", watched("log", None))
                for _ in range(20):
                    assert (await peer.get("/")).body == b"ok"
            assert called == []

    run(main())


@pytest.mark.parametrize("kind", ["events", "loop", "stream", "asgi"])
def test_a_client_that_goes_ends_what_only_waits(run: Run, wire: Wire, kind: str) -> None:
    ends: list[str] = []

    async def events() -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            ends.append("ended")

    async def native(request: Request) -> Any:
        if kind == "events":
            return EventStream(events())
        if kind == "loop":
            return LoopResponse(
                on_start=lambda mailbox, push, state: push(b"data: first\n\n"),
                on_message=lambda message, push, state: None,
                on_end=lambda reason, state: ends.append("ended"),
            )
        return StreamResponse(200, (), produce)

    async def produce(send: Send) -> None:
        async for event in events():
            await send(f"data: {event}\n\n".encode())

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send(OK)
        async for event in events():
            await send(body(f"data: {event}\n\n".encode(), more=True))

    async def main() -> None:
        app = asgi if kind == "asgi" else native
        interface = "asgi" if kind == "asgi" else "native"
        async with wire.serving(app, interface=interface, lifespan="off") as server:
            before = asyncio.all_tasks()
            for _ in range(5):
                async with wire.peer(server) as peer:
                    number = await peer.open("/")
                    await peer.until(lambda peer=peer, number=number: b"first" in peer.answers[number].body)
                    assert live_handlers(server) == 1
                    peer.reset(number)
                    await settled(lambda: live_handlers(server) == 0)
            assert ends == ["ended"] * 5
            await settled(lambda: asyncio.all_tasks() <= before)
        gc.collect()

    run(main())


def test_the_scope_and_a_send_too_late(run: Run, wire: Wire) -> None:
    scopes: list[Any] = []
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        is_socket = scope["type"] == "websocket"
        await receive()
        if is_socket:
            await send({"type": "websocket.accept"})
            again: Any = {"type": "websocket.send", "text": "again"}
        else:
            await send(OK)
            again = body(b"again", more=True)
        await send(again)
        while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
            pass
        try:
            await send(again)
        except BaseException as error:
            errors.append(error)

    async def main() -> None:
        async with wire.serving(app, interface="asgi", lifespan="off") as server:
            async with wire.peer(server) as peer:
                client = peer.writer.get_extra_info("sockname")
                number = await peer.open("/")
                await peer.until(lambda: peer.answers[number].body == b"again")
                peer.reset(number)
                await settled(lambda: len(errors) == 1)
            async with websocket(wire, server, "/") as ws:
                assert await ws.message() == "again"
            await settled(lambda: len(errors) == 2)
            assert scopes[0]["client"] == client
            for scope, version in zip(scopes, ((2, 4), (2, 3)), strict=True):
                assert isinstance(scope["client"][0], str) and type(scope["client"][1]) is int
                assert scope["server"] == ("127.0.0.1", port(server)) and type(scope["server"][1]) is int
                assert tuple(int(n) for n in scope["asgi"]["spec_version"].split(".")) >= version
                assert scope["asgi"]["version"] == "3.0" and scope["http_version"] == wire.version
            assert all(isinstance(error, OSError) for error in errors), errors

    run(main())
