"""The application of the differential sessions, as a native handler: server.js and go/ do the same, nghttpd has files.

An answer's content tells what the request was: method, target, fields, size of its content, trailers.
"""

from __future__ import annotations

import asyncio
from typing import Any

from headrace.server.handlers.response import Response, StreamResponse

BIG = b"a" * 100_000
"""/big: more than a window holds at its start."""
STATUSES = {"/204": 204, "/304": 304}


async def app(request: Any) -> Any:
    """Answer as the path asks; /hold neither reads nor answers, /early does not read. No CONNECT is served."""
    path = request.path
    if request.is_websocket:
        return Response(403)
    if path == "/hold":
        await asyncio.Event().wait()
    content = b"" if path == "/early" else await request.read(1 << 24)
    if path == "/hints":
        await request.early_hints([("link", "</style.css>; rel=preload")])
    if path == "/trailers":

        async def produce(send: Any) -> None:
            await send(b"content", end=True, trailers=[("x-checksum", "7")])

        return StreamResponse(200, [], produce)
    body = BIG if path == "/big" else described(request, content)
    status = STATUSES.get(path, 200)
    return Response(status, [], b"" if status != 200 or request.method == "HEAD" else body)


def described(request: Any, content: bytes) -> bytes:
    """The line that all peers write."""
    target = request.raw_path.decode("latin-1")
    values = [joined(request.headers, b"x", "|"), joined(request.headers, b"cookie", "; ")]
    trailers = joined(request.trailers, b"x-t", "|")
    line = [request.method, target, request.authority, *values, str(len(content)), trailers]
    return ",".join(line).encode("latin-1")


def joined(fields: list[tuple[bytes, bytes]], wanted: bytes, between: str) -> str:
    return between.join(value.decode("latin-1") for name, value in fields if name == wanted)
