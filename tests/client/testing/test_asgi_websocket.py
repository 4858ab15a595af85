"""An ASGI application's WebSocket in memory, where application or client leave the usual way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from headrace.client import Client
from headrace.client.calls.websocket import WebSocketRefused
from headrace.client.errors import HTTPStatusError, RequestError
from headrace.client.testing.asgi import ASGITransport, ClientGone
from headrace.websocket.tunnel import WebSocketClosed

URL = "ws://example.org/chat"


def run(app: Any, main: Callable[[Client], Any]) -> None:
    async def whole() -> None:
        async with Client(transport=ASGITransport(app, lifespan="off")) as client:
            await main(client)

    asyncio.run(asyncio.wait_for(whole(), 20.0))


async def _accept(receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})


def test_the_client_leaves_and_the_application_is_told() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _accept(receive, send)
        seen.append(await receive())
        seen.append(await receive())
        with pytest.raises(ClientGone):
            await send({"type": "websocket.send", "text": "late"})
        with pytest.raises(OSError, match="already closed"):
            await send({"type": "websocket.close"})
        seen.append("told")

    async def main(client: Client) -> None:
        async with client.websocket(URL) as ws:
            await ws.send("hello")
        while "told" not in seen:
            await asyncio.sleep(0)

    run(app, main)
    assert seen[0] == {"type": "websocket.receive", "text": "hello"}
    assert seen[1] == {"type": "websocket.disconnect", "code": 1000, "reason": ""}


def test_the_applications_close_is_the_clients_end() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _accept(receive, send)
        with pytest.raises(RuntimeError, match=r"expected are 'websocket\.send' and 'websocket\.close'"):
            await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": b"last"})
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})

    async def main(client: Client) -> None:
        async with client.websocket(URL) as ws:
            assert await ws.receive() == b"last"
            with pytest.raises(WebSocketClosed) as caught:
                await ws.receive()
            assert (caught.value.code, caught.value.reason) == (4000, "enough")

    run(app, main)


def test_messages_out_of_their_turn_are_refused() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for kind in ("websocket.send", "http.response.start", "websocket.http.response.body"):
            with pytest.raises(RuntimeError, match=f"unexpected ASGI message '{kind}' for the handshake"):
                await send({"type": kind})
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"!"})

    async def main(client: Client) -> None:
        with pytest.raises(WebSocketRefused) as caught:
            await client.websocket(URL)
        assert caught.value.status == 403
        assert caught.value.content == b"no!"

    run(app, main)


def test_one_may_receive_until_the_handshake_is_answered() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        await send({"type": "websocket.close"})
        seen.append(await waiting)

    async def main(client: Client) -> None:
        with pytest.raises(WebSocketRefused):
            await client.websocket(URL)
        while not seen:
            await asyncio.sleep(0)

    run(app, main)
    assert seen == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


def test_a_client_that_gives_up_the_handshake() -> None:
    seen: list[Any] = []
    begun = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        begun.set()
        seen.append(await receive())
        try:
            await send({"type": "websocket.accept"})
        except OSError as error:
            seen.append(str(error))

    async def main(client: Client) -> None:
        opening = asyncio.ensure_future(client.websocket(URL).__aenter__())
        await begun.wait()
        opening.cancel()
        while len(seen) < 2:
            await asyncio.sleep(0)
        assert opening.cancelled() or opening.cancelling()

    run(app, main)
    assert seen[0] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    assert "given up" in seen[1]


@pytest.mark.parametrize("when", ["before the answer", "after the close"])
def test_an_application_that_fails_where_no_websocket_is_open(when: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if when == "before the answer":
            raise LookupError("no room")
        await _accept(receive, send)
        assert (await receive())["type"] == "websocket.disconnect"
        await send({"type": "websocket.send", "text": "late"})  # raises, and that is no fault of its own

    async def main(client: Client) -> None:
        if when == "before the answer":
            with pytest.raises((LookupError, RequestError, HTTPStatusError)):
                await client.websocket(URL)
        else:
            async with client.websocket(URL):
                pass
            await asyncio.sleep(0.01)

    with caplog.at_level(logging.ERROR):
        run(app, main)
    assert "failed in a WebSocket" not in caplog.text
