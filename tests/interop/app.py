"""What the foreign clients ask for: a native handler with one path for each thing to try."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

from headrace.server.handlers.response import Response, StreamResponse

BODY = bytes(range(256)) * 39_063
TEXT = [("content-type", "text/plain")]


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    """A body, piece by piece."""
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def app(request: Any) -> Any:
    """Route by path."""
    path = request.path
    if path == "/hello":
        return Response(200, TEXT, b"hello")
    if path == "/digest":
        digest, size = hashlib.sha256(), 0
        async for chunk in request.stream():
            digest.update(chunk)
            size += len(chunk)
        return Response(200, TEXT, f"{size} {digest.hexdigest()}".encode())
    if path == "/download":
        return StreamResponse(200, TEXT, pieces(BODY, 50_000))
    if path == "/echo":
        return StreamResponse(200, TEXT, request.stream())
    if path == "/too-large":
        return Response(413, TEXT, b"too large")
    if path == "/stream":
        return StreamResponse(200, TEXT, pieces(b"x" * 500, 100))
    if path == "/hints":
        await request.early_hints([("link", "</style.css>; rel=preload")])
        return Response(200, TEXT, b"hello")
    if path == "/trailers":

        async def produce(send: Any) -> None:
            await send(b"content", end=True, trailers=[("x-checksum", "7")])

        return StreamResponse(200, TEXT, produce)
    return Response(404, TEXT, b"not here")
