"""A response that is made piece by piece, with a checksum as a trailer; and one by an async generator.

`send` returns when a piece is accepted: a client that reads slowly slows the producer, and no memory fills up.

headrace serve examples.stream_with_trailers:handler
nghttp -v http://127.0.0.1:8000/
"""

import hashlib
from collections.abc import AsyncIterator

from headrace import Request, Response, Send, StreamResponse


async def counted(send: Send) -> None:
    digest = hashlib.sha256()
    for number in range(1000):
        piece = b"line %d\n" % number
        digest.update(piece)
        await send(piece)
    await send(end=True, trailers={"x-sha256": digest.hexdigest()})


async def lines() -> AsyncIterator[bytes]:
    for number in range(3):
        yield b"line %d\n" % number


async def handler(request: Request) -> Response | StreamResponse:
    if request.path == "/short":
        return StreamResponse(200, {"content-type": "text/plain"}, lines)
    return StreamResponse(200, {"content-type": "text/plain", "trailer": "x-sha256"}, counted)
