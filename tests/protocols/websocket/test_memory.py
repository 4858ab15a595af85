"""A WebSocket that has ended keeps nothing, neither itself nor its connection, however long a timer of it would run.

A soak saw what closed WebSockets kept for `close_timeout_s`, on both sides: the connection with its tables and buffers,
which no limit of connections counts any more.
"""

from __future__ import annotations

import gc
from typing import Any

import pytest

from headrace import Client, Request, WebSocket, WebSocketResponse
from headrace.client.connect.config import NetworkConfig
from headrace.client.connection.driver import ClientDriver
from headrace.server.connection.driver import ServerDriver
from headrace.websocket.tunnel import WebSocketClosed

from tests.protocols.conftest import Wire
from tests.support.serving import Run, port, settled

LONG_S = 600.0


async def native(request: Request) -> WebSocketResponse:
    async def echo(ws: WebSocket) -> None:
        async for message in ws:
            if message == "close":
                return
            await ws.send(message)

    return WebSocketResponse(echo)


native.takes_websockets = True  # type: ignore[attr-defined]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "close":
            await send({"type": "websocket.close"})
        else:
            await send({"type": "websocket.send", "text": message["text"]})


async def close(ws: WebSocket) -> None:
    await ws.close()


async def be_closed(ws: WebSocket) -> None:
    await ws.send("close")
    with pytest.raises(WebSocketClosed):
        await ws.receive()


async def break_off(ws: WebSocket) -> None:
    ws.give_up(1011)


async def stay(ws: WebSocket) -> None:
    """The connection ends under it."""


def held() -> dict[int, str]:
    """What is left in the whole process: names by identity."""
    gc.collect()
    kinds = (WebSocket, ServerDriver, ClientDriver)
    return {id(each): type(each).__name__ for each in gc.get_objects() if type(each) in kinds}


@pytest.mark.parametrize("end", [close, be_closed, break_off, stay])
@pytest.mark.parametrize("interface", ["native", "asgi"])
def test_nothing_is_left_of_it(run: Run, wire: Wire, interface: str, end: Any) -> None:
    earlier = held()  # by tests before, whose tracebacks and log records pytest keeps

    async def main() -> None:
        app = native if interface == "native" else asgi
        verify = True if wire.folder is None else wire.folder / "localhost-ca.pem"
        network = NetworkConfig(
            http1=wire.protocol != "h2",
            http2=wire.protocol == "h2",
            verify=verify,
            trust_env=False,
            drain_timeout_s=0.0,
        )
        async with wire.serving(
            app, interface=interface, lifespan="off", limits={"websocket_close_timeout_s": LONG_S}
        ) as server:
            async with Client(network=network) as client:
                scheme = wire.scheme.replace("http", "ws")
                ws = await client.websocket(f"{scheme}://localhost:{port(server)}/", close_timeout_s=LONG_S)
                await ws.send("hello")
                assert await ws.receive() == "hello"
                await end(ws)
                del ws
            assert server.service is not None
            service = server.service
            await settled(lambda: not service.drivers)
            await settled(lambda: held().keys() <= earlier.keys())

    run(main())
