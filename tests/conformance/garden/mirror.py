"""The application that HTTP/1.1's suites visit: it answers every request with 200 and the request's own content.

Native as `native`, ASGI as `app`.
"""

from __future__ import annotations

from typing import Any

from headrace import Request, Response

MOST = 1_048_576
TEXT = [("content-type", "text/plain; charset=utf-8")]


async def native(request: Request) -> Response:
    return Response(200, TEXT, await request.read(MOST))


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("only http is served here")
    content = b""
    more = True
    while more:
        message = await receive()
        content += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
