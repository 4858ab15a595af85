"""The same application as asgi_app, as a native handler of headrace."""

from __future__ import annotations

from headrace import Request, Response, Send, StreamResponse, WebSocket, WebSocketResponse

HELLO = b"Hello, World!"
PAGE = b"y" * 65_536
LARGE = b"x" * 1_048_576
CHUNK = b"x" * 100
CHUNKS = 50
TEXT = [(b"content-type", b"text/plain")]


async def handler(request: Request) -> Response | StreamResponse | WebSocketResponse:
    path = request.raw_path
    if path == b"/stream":
        return StreamResponse(200, TEXT, pieces)
    if path == b"/echo":
        return Response(200, TEXT, await request.read())
    if path == b"/upload":
        total = 0
        async for chunk in request.stream():
            total += len(chunk)
        return Response(200, TEXT, b"%d" % total)
    if path == b"/ws":
        return WebSocketResponse(chat)
    if path == b"/64k":
        return Response(200, TEXT, PAGE)
    if path == b"/1m":
        return Response(200, TEXT, LARGE)
    return Response(200, TEXT, HELLO)


async def pieces(send: Send) -> None:
    for _ in range(CHUNKS):
        await send(CHUNK)


async def chat(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


handler.takes_websockets = True  # type: ignore[attr-defined]
