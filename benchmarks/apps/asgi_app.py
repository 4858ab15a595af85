"""The ASGI application that every ASGI server in the race serves."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]

HELLO = b"Hello, World!"
PAGE = b"y" * 65_536
LARGE = b"x" * 1_048_576
CHUNK = b"x" * 100
CHUNKS = 50
TEXT = (b"content-type", b"text/plain")


async def app(scope: Message, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["type"] == "websocket":
        await chat(receive, send)
        return
    path = scope["path"]
    if path == "/stream":
        await stream(send)
    elif path == "/echo":
        await answer(send, await read(receive))
    elif path == "/upload":
        await answer(send, b"%d" % await count(receive))
    elif path == "/64k":
        await answer(send, PAGE)
    elif path == "/1m":
        await answer(send, LARGE)
    else:
        await answer(send, HELLO)


async def lifespan(receive: Any, send: Any) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


async def answer(send: Any, body: bytes) -> None:
    headers = [TEXT, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT]})
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def read(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def count(receive: Any) -> int:
    total = 0
    while True:
        message = await receive()
        total += len(message.get("body", b""))
        if not message.get("more_body"):
            return total


async def chat(receive: Any, send: Any) -> None:
    """Echo the text messages of a WebSocket."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": message["text"]})
