"""The demo's application: the page and its files, the pictures, and the response that never ends."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Final

from headrace.demo.tiles import COUNT, picture
from headrace.server.handler import ConnectionInfo, Request
from headrace.server.response import Response, StreamResponse

LINE_EVERY_S: Final = 0.25
SLOW_MOTION_S: Final = 0.8

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


def _file(name: str) -> Response:
    headers = [
        (b"content-type", _TYPES[name.rpartition(".")[2]]),
        (b"cache-control", b"no-cache"),
        (b"content-security-policy", _POLICY),
        (b"x-content-type-options", b"nosniff"),
    ]
    return Response(200, headers, (files(__package__) / name).read_bytes())


_FILES: Final = {
    "/": _file("page.html"),
    "/page.js": _file("page.js"),
    "/style.css": _file("style.css"),
    "/icon.svg": _file("icon.svg"),
}
_NOT_FOUND: Final = Response(404, [(b"content-type", b"text/plain")], b"There is nothing here.\n")


async def app(request: Request) -> Response | StreamResponse:
    """Answers `/` and its files, `/tile/N.svg` and `/live`. Methods are not told apart: POST gets the page as well."""
    path = request.path
    found = _FILES.get(path)
    if found is not None:
        await request.read()  # a request that turns out malformed is to be refused, not answered halfway
        return found
    if path.startswith("/tile/"):
        return await _tile(request, path)
    if path == "/live":
        headers = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]
        return StreamResponse(200, headers, _lines(request.connection))
    return _NOT_FOUND


async def _tile(request: Request, path: str) -> Response:
    number = path.removeprefix("/tile/").removesuffix(".svg")
    if not re.fullmatch("[0-9]{1,3}", number) or int(number) >= COUNT:
        return _NOT_FOUND
    index = int(number)
    if b"slow" in request.query_string.split(b"&"):
        # The later tiles wait longer, so that one can watch the mosaic fill while the panel goes on.
        await asyncio.sleep(SLOW_MOTION_S * (1 + index / COUNT))
    headers = [
        (b"content-type", _TYPES["svg"]),
        (b"cache-control", b"no-store"),
        # The one field of a picture's response that a page can read: it tells which connection brought it.
        (b"server-timing", b'connection;desc="%s"' % _name(request.connection).encode("ascii")),
    ]
    # Client streams have odd numbers, so this says which request of the connection it is (RFC 9113 §5.1.1).
    return Response(200, headers, picture(index, (request.stream_id + 1) // 2))


async def _lines(connection: ConnectionInfo) -> AsyncIterator[bytes]:
    """One line of JSON each quarter of a second, until the visitor leaves or the server begins to drain."""
    while connection.drain_deadline is None:
        line = {
            "at": time.monotonic(),
            "connection": _name(connection),
            "encrypted": connection.is_tls,
            "stats": connection.stats(),
        }
        yield json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"
        await asyncio.sleep(LINE_EVERY_S)


def _name(connection: ConnectionInfo) -> str:
    """What tells one connection of a visitor from another: the port it comes from."""
    return str(connection.peer[1]) if connection.peer is not None else "unix"
