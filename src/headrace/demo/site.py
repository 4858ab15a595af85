"""The demo's application: the page, its pictures, the response that never ends, a chat, events, a file in parts."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any, Final

from headrace.bus import LocalBus
from headrace.demo.download import folder
from headrace.demo.tiles import COUNT, picture
from headrace.server.files.static import StaticFiles
from headrace.server.handlers.events import Event, EventStream
from headrace.server.handlers.mailbox import Dropped
from headrace.server.handlers.request import ConnectionInfo, Request
from headrace.server.handlers.response import Response, StreamResponse
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.server.routing.router import Router
from headrace.websocket.connection import WebSocket

LINE_EVERY_S: Final = 0.25
EVENT_EVERY_S: Final = 1.0
SLOW_MOTION_S: Final = 0.8
LONGEST_WORDS: Final = 500  # characters of a chat message

_TYPES: Final = {
    "css": b"text/css; charset=utf-8",
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}
# The page needs nothing but itself, and says so.
_POLICY: Final = (
    b"default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

bus: Final = LocalBus()
app: Final = Router()


def _file(path: str, name: str) -> None:
    headers = [
        (b"content-type", _TYPES[name.rpartition(".")[2]]),
        (b"cache-control", b"no-cache"),
        (b"content-security-policy", _POLICY),
        (b"x-content-type-options", b"nosniff"),
    ]
    response = Response(200, headers, (files(__package__) / name).read_bytes())

    async def page(request: Request) -> Response:
        await request.read()  # a request that turns out malformed must be refused, not answered halfway
        return response

    app.route(path, methods=["GET", "POST"])(page)


_file("/", "page.html")
_file("/page.js", "page.js")
_file("/more.js", "more.js")
_file("/style.css", "style.css")
_file("/icon.svg", "icon.svg")
app.mount("/files", StaticFiles(folder(), cache_control="no-store"))


@app.get("/tile/{name}")
async def tile(request: Request) -> Response:
    """Answer with a picture that shows which request of its connection it was."""
    found = re.fullmatch(r"([0-9]{1,3})\.svg", request.params["name"])
    if found is None or (index := int(found[1])) >= COUNT:
        return Response.text(f"There are {COUNT} pictures, /tile/0.svg and so on.\n", 404)
    if b"slow" in request.query_string.split(b"&"):
        # The later tiles wait longer, so that visitors can watch the mosaic fill while the panel goes on.
        await asyncio.sleep(SLOW_MOTION_S * (1 + index / COUNT))
    headers = [
        (b"content-type", _TYPES["svg"]),
        (b"cache-control", b"no-store"),
        # The one field of a picture's response that a page can read: it shows which connection brought it.
        (b"server-timing", b'connection;desc="%s"' % _name(request.connection).encode("ascii")),
    ]
    # Client streams have odd numbers, so this is the number of the request on its connection (RFC 9113 §5.1.1).
    return Response(200, headers, picture(index, (request.stream_id + 1) // 2))


@app.get("/live")
async def live(request: Request) -> StreamResponse:
    """Yield the connection's own statistics, a line of JSON each quarter of a second."""
    headers = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]
    return StreamResponse(200, headers, _lines(request.connection))


async def _lines(connection: ConnectionInfo) -> AsyncIterator[bytes]:
    """Answer until the visitor leaves or the server begins to drain."""
    while connection.drain_deadline is None:
        line = {
            "at": time.monotonic(),
            "connection": _name(connection),
            "encrypted": connection.is_tls,
            "stats": connection.stats(),
        }
        yield json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"
        await asyncio.sleep(LINE_EVERY_S)


@app.get("/addresses")
async def addresses(request: Request) -> Response:
    """Return the other addresses of this page, so that a visitor can see it over the other protocol."""
    return Response.json(request.connection.server_addresses, headers=[("cache-control", "no-store")])


@app.get("/events")
async def events(request: Request) -> EventStream:
    """Answer with server-sent events: the time, once a second, and messages of the chat, until the visitor leaves."""
    return EventStream(_ticks(), retry=2_000)


async def _ticks() -> AsyncIterator[Event]:
    number = 0
    async with bus.subscribe("chat") as said:
        words = aiter(said)
        next_words: asyncio.Task[Any] = asyncio.ensure_future(anext(words))
        try:
            while True:
                number += 1
                yield Event(time.strftime("%H:%M:%S"), event="tick", id=str(number))
                done, _ = await asyncio.wait((next_words,), timeout=EVENT_EVERY_S)
                if done:
                    message = next_words.result()
                    next_words = asyncio.ensure_future(anext(words))
                    if not isinstance(message, Dropped):
                        yield Event(message, event="said")
        finally:
            next_words.cancel()


@app.websocket("/chat")
async def chat(request: Request) -> WebSocketResponse:
    """A room for all visitors."""
    return WebSocketResponse(_talk, check_origin="same-origin", max_message_size=4 * LONGEST_WORDS)


async def _talk(ws: WebSocket) -> None:
    """Send every message to all visitors; the first message tells a visitor how the WebSocket came here."""
    request = ws.request
    await ws.send(json.dumps({"hello": True, "version": request.http_version}))
    async with bus.subscribe("chat") as heard:
        speaker = asyncio.create_task(_tell(ws, heard))
        try:
            async for words in ws:
                text = str(words)[:LONGEST_WORDS].strip()
                if text:
                    bus.publish("chat", json.dumps({"from": _name(request.connection), "text": text}))
        finally:
            speaker.cancel()


async def _tell(ws: WebSocket, heard: Any) -> None:
    async for message in heard:
        if not isinstance(message, Dropped):
            await ws.send(message)


def _name(connection: ConnectionInfo) -> str:
    """Return a key that differs between two connections of a visitor: the client's port."""
    return str(connection.peer[1]) if connection.peer is not None else "unix"
