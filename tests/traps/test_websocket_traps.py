"""What WebSockets over HTTP/2 have done to others."""

from __future__ import annotations

import asyncio
from typing import Any

import h2.settings
import pytest

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.websocket.connection import WebSocket

from tests.engine.ws.raw_frames import TEXT, frame
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled
from tests.support.ws_peer import open_websocket


async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


async def fails(ws: WebSocket) -> None:
    await ws.receive()
    raise LookupError("on purpose")


async def takes(request: Request) -> Response | WebSocketResponse:
    if request.path == "/plain":
        return Response.text("plain")
    return WebSocketResponse(fails if request.path == "/fails" else echo, close_timeout_s=0.05)


takes.takes_websockets = True  # type: ignore[attr-defined]


async def takes_not(request: Request) -> Response:
    return Response.text("plain")


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    return


@pytest.mark.parametrize("end", ["no close frame", "reset", "garbage", "unmasked", "handler fails", "never answers"])
def test_a_websocket_that_ends_badly_leaves_its_siblings_alone(run: Run, end: str) -> None:
    async def main() -> None:
        async with serving(takes) as server, H2Peer.connected(port(server)) as peer:
            async with open_websocket("h2", port(server), on=peer) as sibling:
                path = "/fails" if end == "handler fails" else "/"
                async with open_websocket("h2", port(server), path, on=peer) as bad:
                    bad.send("hello")
                    if end == "no close frame":
                        await bad.message()
                        await peer.send(bad.stream_id, b"", end=True)
                    elif end == "reset":
                        peer.reset(bad.stream_id)
                    elif end == "garbage":
                        bad.raw(b"\xff" * 1000)
                    elif end == "unmasked":
                        bad.raw(frame(TEXT, b"x", mask=None))
                    elif end == "never answers":
                        bad.protocol.send_frame = lambda frame: None
                        (driver,) = server.service.drivers  # type: ignore[union-attr]
                        driver.live[bad.stream_id].cancel()
                    await settled(lambda: live_handlers(server) == 1)
                sibling.send("still here")
                assert await sibling.message() == "still here"
                assert bytes((await peer.get("/plain")).body) == b"plain"
                assert peer.goaways == []
                sibling.say_close()
                assert await sibling.close_frame() == (1000, "")
            await settled(lambda: live_handlers(server) == 0)

    run(main())


@pytest.mark.parametrize(
    ("app", "setting", "offered"),
    [
        (takes, "auto", True),
        (takes_not, "auto", False),
        (takes_not, "on", True),
        (takes, "off", False),
        (asgi, "auto", True),
        (asgi, "off", False),
    ],
)
def test_extended_connect_is_offered_only_where_websockets_are_taken(
    run: Run, app: Any, setting: str, offered: bool
) -> None:
    async def main() -> None:
        async with serving(app, websockets=setting, lifespan="off") as server, H2Peer.connected(port(server)) as peer:
            await peer.ping()
            code = h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL
            assert peer.conn.remote_settings.get(code, 0) == (1 if offered else 0)

    run(main())


def test_compressed_messages_over_h2_have_rsv1(run: Run) -> None:
    async def main() -> None:
        async with serving(takes) as server, open_websocket("h2", port(server), compression=True) as ws:
            seen = bytearray()
            feed = ws.feed

            def look(data: bytes) -> None:
                seen.extend(data)
                feed(data)

            ws.feed = look  # type: ignore[method-assign]
            ws.send("a" * 500)
            assert await ws.message() == "a" * 500
            assert seen[0] == 0xC1, "FIN, RSV1, text"
            assert len(seen) < 100

    run(main())


def test_messages_keep_to_the_streams_window(run: Run) -> None:
    # h2, the client's library, fails the connection when its window is overrun.
    async def main() -> None:
        window = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1000}
        async with serving(takes) as server, H2Peer.connected(port(server), settings=window) as peer:
            async with open_websocket("h2", port(server), on=peer) as ws:
                for size in (1, 995, 996, 997, 5000, 100_000):
                    ws.send(b"x" * size)
                    assert await ws.message() == b"x" * size
            assert peer.goaways == []

    run(main())


def test_frames_right_behind_the_handshake(run: Run) -> None:
    # A handler that sends at once, and a client that does: both before the other has seen that the tunnel is open.
    async def burst(ws: WebSocket) -> None:
        for number in range(50):
            await ws.send(f"{number}")
        async for message in ws:
            await ws.send(message)

    async def app(request: Request) -> WebSocketResponse:
        await asyncio.sleep(0)
        return WebSocketResponse(burst)

    app.takes_websockets = True  # type: ignore[attr-defined]

    async def main() -> None:
        async with serving(app) as server:
            for over in ("h1", "h2"):
                async with open_websocket(over, port(server)) as ws:
                    for number in range(50):
                        ws.send(f"c{number}")
                    got = [await ws.message() for _ in range(100)]
                    assert got == [f"{number}" for number in range(50)] + [f"c{number}" for number in range(50)]

    run(main())
