"""What the client asks for, as an ASGI application: for Hypercorn, and for headrace, also behind HAProxy."""

from __future__ import annotations

import hashlib
from typing import Any

BLOCK = bytes(range(256)) * 256
Headers = list[tuple[bytes, bytes]]


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    if scope["type"] == "websocket":
        return await echo(receive, send)

    async def begin(*headers: tuple[bytes, bytes], trailers: bool = False) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": list(headers), "trailers": trailers}
        await send(start)

    async def body(data: bytes, *, more: bool = False) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": more})

    path = scope["path"]
    if path == "/up":
        digest, size = hashlib.sha256(), 0
        while True:
            message = await receive()
            digest.update(message["body"])
            size += len(message["body"])
            if not message["more_body"]:
                break
        await begin()
        await body(f"{size} {digest.hexdigest()}".encode())
    elif path.startswith("/down/"):
        blocks = int(path[6:])
        await begin((b"content-length", b"%d" % (blocks * len(BLOCK))))
        for _ in range(blocks):
            await body(BLOCK, more=True)
        await body(b"")
    elif path == "/trailers":
        await begin((b"trailer", b"x-checksum"), trailers=True)
        await body(b"content")
        await send({"type": "http.response.trailers", "headers": [(b"x-checksum", b"7")], "more_trailers": False})
    else:
        if path == "/hints":
            await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]})
        await begin((b"content-length", b"5"))
        await body(b"hello")
    return None


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def echo(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})
