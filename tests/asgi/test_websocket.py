"""ASGI's websocket scope over HTTP/1.1 and HTTP/2: bare applications, and Starlette's and FastAPI's own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Depends, FastAPI, WebSocketException
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled
from tests.support.ws_peer import Refused, open_websocket

BOTH = pytest.mark.parametrize("over", ["h1", "h2"])


@BOTH
def test_the_scope(run: Run, over: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["from"] = "lifespan"
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return
        seen.append(scope)
        seen.append(await receive())
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-a", b"1")]})
        await send({"type": "websocket.close"})

    async def main() -> None:
        async with (
            serving(app, root_path="/api") as server,
            open_websocket(over, port(server), "/a%20b?q=1", subprotocols=("a", "b"), headers=[("x-q", "y")]) as ws,
        ):
            assert ws.headers[b"sec-websocket-protocol"] == b"b"
            assert ws.headers[b"x-a"] == b"1"
            assert await ws.close_frame() == (1000, "")

    run(main())
    scope, connect = seen
    assert connect == {"type": "websocket.connect"}
    assert scope["type"] == "websocket"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["http_version"] == ("1.1" if over == "h1" else "2")
    assert scope["scheme"] == "ws"
    assert scope["path"] == "/api/a b"
    assert scope["raw_path"] == b"/api/a%20b"
    assert scope["query_string"] == b"q=1"
    assert scope["root_path"] == "/api"
    assert scope["subprotocols"] == ["a", "b"]
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert scope["state"] == {"from": "lifespan"}
    assert dict(scope["headers"])[b"x-q"] == b"y"
    assert dict(scope["headers"])[b"host"] == b"localhost"
    assert isinstance(scope["client"][1], int)
    assert "method" not in scope


@BOTH
def test_messages_and_the_clients_close(run: Run, over: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(2):
            message = await receive()
            seen.append(message)
            await send({**message, "type": "websocket.send"})
        await send({"type": "websocket.send", "bytes": None, "text": "both keys"})
        seen.append(await receive())
        seen.append(await receive())
        with pytest.raises(OSError, match="closed"):
            await send({"type": "websocket.send", "text": "late"})

    async def main() -> None:
        async with serving(app, lifespan="off") as server, open_websocket(over, port(server), compression=True) as ws:
            assert b"sec-websocket-extensions" in ws.headers
            ws.send("text")
            ws.send(b"octets")
            assert [await ws.message() for _ in range(3)] == ["text", b"octets", "both keys"]
            ws.say_close(3003, "done")
            await ws.close_frame()
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    gone = {"type": "websocket.disconnect", "code": 3003, "reason": "done"}
    assert seen == [
        {"type": "websocket.receive", "text": "text"},
        {"type": "websocket.receive", "bytes": b"octets"},
        gone,
        gone,
    ]


@BOTH
def test_a_client_that_leaves_is_1006(run: Run, over: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        seen.append(await receive())

    async def main() -> None:
        async with serving(app, lifespan="off") as server:
            async with open_websocket(over, port(server)):
                pass
            await settled(lambda: live_handlers(server) == 0 and bool(seen))

    run(main())
    assert (seen[0]["type"], seen[0]["code"]) == ("websocket.disconnect", 1006)


@BOTH
def test_close_before_accept_is_403(run: Run, over: str) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 3000})
        seen.append(await receive())
        with pytest.raises(RuntimeError, match="was refused"):
            await send({"type": "websocket.accept"})

    async def main() -> None:
        async with serving(app, lifespan="off") as server:
            with pytest.raises(Refused) as caught:
                async with open_websocket(over, port(server)):
                    pass
            assert caught.value.status == 403
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert (seen[0]["type"], seen[0]["code"]) == ("websocket.disconnect", 1006)


@BOTH
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_denial_response(run: Run, over: str, pieces: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert "websocket.http.response" in scope["extensions"]
        await receive()
        headers = [(b"content-length", b"9"), (b"x-why", b"no")]
        await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
        size = 9 // pieces
        for number in range(pieces):
            more = number < pieces - 1
            piece = b"forbidden"[number * size : (number + 1) * size]
            await send({"type": "websocket.http.response.body", "body": piece, "more_body": more})

    async def main() -> None:
        async with serving(app, lifespan="off") as server:
            with pytest.raises(Refused) as caught:
                async with open_websocket(over, port(server)):
                    pass
            assert caught.value.status == 401
            assert caught.value.headers[b"x-why"] == b"no"
            assert caught.value.body == b"forbidden"

    run(main())


@BOTH
@pytest.mark.parametrize("returns", [False, True])
def test_a_failure_before_accept_is_500(run: Run, over: str, returns: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if not returns:
            raise LookupError("on purpose")

    async def main() -> None:
        async with serving(app, lifespan="off") as server:
            with pytest.raises(Refused) as caught:
                async with open_websocket(over, port(server)):
                    pass
            assert caught.value.status == 500

    run(main())
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert ("without accepting" if returns else "on purpose") in str(record.exc_info[1])


@BOTH
def test_a_failure_after_accept_is_1011(run: Run, over: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise LookupError("on purpose")

    async def main() -> None:
        async with serving(app, lifespan="off") as server, open_websocket(over, port(server)) as ws:
            assert await ws.close_frame() == (1011, "")
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert len([each for each in caplog.records if each.levelno >= logging.ERROR]) == 1


@pytest.mark.parametrize(
    ("first", "message", "error", "words"),
    [
        (None, {"type": "websocket.send", "text": "x"}, RuntimeError, "expected are 'websocket.accept'"),
        (None, {"type": "http.response.start", "status": 200}, RuntimeError, "unexpected ASGI message"),
        (None, {"type": "websocket.accept", "headers": [(b"Sec-WebSocket-Protocol", b"a")]}, ValueError, "subprotocol"),
        (None, {"type": "websocket.accept", "headers": [(b"a", b"b\r\nc: d")]}, ValueError, "not allowed"),
        ("accept", {"type": "websocket.accept"}, RuntimeError, "expected are 'websocket.send'"),
        ("accept", {"type": "websocket.send"}, TypeError, "has text or bytes"),
        ("accept", {"type": "websocket.close", "code": 1006}, ValueError, "1006 is no close code"),
        ("accept", {"type": "websocket.close", "reason": "x" * 124}, ValueError, "123"),
        ("denial", {"type": "websocket.accept"}, RuntimeError, "websocket.http.response.body"),
    ],
)
def test_messages_out_of_order_raise_in_plain_words(
    run: Run, first: str | None, message: dict[str, Any], error: type[Exception], words: str
) -> None:
    caught: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if first == "accept":
            await send({"type": "websocket.accept"})
        elif first == "denial":
            await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
        with pytest.raises(error, match=words) as info:
            await send(message)
        caught.append(info.value)
        if first == "denial":
            await send({"type": "websocket.http.response.body"})
        else:
            await send({"type": "websocket.close"})

    async def main() -> None:
        async with serving(app, lifespan="off") as server:
            with contextlib.suppress(Refused):
                async with open_websocket("h2", port(server)) as ws:
                    await ws.close_frame()
            await settled(lambda: bool(caught))

    run(main())


def test_another_version_never_reaches_the_application(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    async def main() -> None:
        async with serving(app, lifespan="off") as server:
            for over, status in (("h1", 426), ("h2", 400)):
                with pytest.raises(Refused) as caught:
                    async with open_websocket(over, port(server), version="12"):
                        pass
                assert caught.value.status == status

    run(main())


@BOTH
def test_compression_can_be_switched_off_and_the_size_limit_is_a_setting(run: Run, over: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    async def main() -> None:
        async with (
            serving(app, lifespan="off", websocket_compression=False, limits={"max_message_size": 100}) as server,
            open_websocket(over, port(server), compression=True) as ws,
        ):
            assert b"sec-websocket-extensions" not in ws.headers
            ws.send("x" * 101)
            assert (await ws.close_frame())[0] == 1009

    run(main())


# -- frameworks


def starlette() -> Starlette:
    async def chat(ws: WebSocket) -> None:
        await ws.accept(subprotocol="chat")
        try:
            while True:
                data = await ws.receive_json()
                await ws.send_json({"echo": data, "path": ws.url.path, "name": ws.path_params["name"]})
        except WebSocketDisconnect as gone:
            ws.app.state.gone = gone.code

    async def iterate(ws: WebSocket) -> None:
        await ws.accept()
        async for text in ws.iter_text():
            await ws.send_text(text.upper())

    async def deny(ws: WebSocket) -> None:
        await ws.send_denial_response(PlainTextResponse("members only", 402))

    async def home(request: Any) -> Response:
        return PlainTextResponse("home")

    routes = [
        WebSocketRoute("/chat/{name}", chat),
        WebSocketRoute("/iterate", iterate),
        WebSocketRoute("/deny", deny),
        Route("/", home),
    ]
    return Starlette(routes=routes)


@BOTH
def test_starlette(run: Run, over: str) -> None:
    app = starlette()

    async def main() -> None:
        async with serving(app) as server:
            async with open_websocket(over, port(server), "/chat/ann", subprotocols=("chat",)) as ws:
                ws.send('{"a": 1}')
                assert await ws.message() == '{"echo":{"a":1},"path":"/chat/ann","name":"ann"}'
                ws.say_close(4000)
                await ws.close_frame()
                await settled(lambda: getattr(app.state, "gone", None) == 4000)
            async with open_websocket(over, port(server), "/iterate") as ws:
                ws.send("abc")
                assert await ws.message() == "ABC"
            with pytest.raises(Refused) as caught:
                async with open_websocket(over, port(server), "/deny"):
                    pass
            assert (caught.value.status, caught.value.body) == (402, b"members only")
            with pytest.raises(Refused) as caught:
                async with open_websocket(over, port(server), "/nowhere"):
                    pass
            assert caught.value.status in (403, 404)
            async with H2Peer.connected(port(server)) as peer:
                assert bytes((await peer.get("/")).body) == b"home"

    run(main())


def fastapi() -> FastAPI:
    app = FastAPI()

    async def token(ws: WebSocket) -> str:
        given = ws.query_params.get("token")
        if given is None:
            raise WebSocketException(code=1008)
        return given

    @app.websocket("/items/{number}")
    async def items(ws: WebSocket, number: int, token: str = Depends(token)) -> None:
        await ws.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                text = await ws.receive_text()
                await ws.send_text(f"{number} {token} {text}")

    async def ticks() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(0)
            yield number

    @app.websocket("/ticks")
    async def tick(ws: WebSocket) -> None:
        await ws.accept()
        async for number in ticks():
            await ws.send_bytes(bytes([number]))
        await ws.close(3000, "over")

    return app


@BOTH
def test_fastapi(run: Run, over: str) -> None:
    async def main() -> None:
        async with serving(fastapi()) as server:
            async with open_websocket(over, port(server), "/items/7?token=t") as ws:
                ws.send("hello")
                assert await ws.message() == "7 t hello"
            with pytest.raises(Refused) as caught:
                async with open_websocket(over, port(server), "/items/7"):
                    pass
            assert caught.value.status == 403
            async with open_websocket(over, port(server), "/ticks") as ws:
                assert [await ws.message() for _ in range(3)] == [b"\0", b"\1", b"\2"]
                assert await ws.close_frame() == (3000, "over")
            await settled(lambda: live_handlers(server) == 0)

    run(main())
