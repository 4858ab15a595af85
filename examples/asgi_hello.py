"""An ASGI application without a framework.

headrace serve examples.asgi_hello:app
curl --http2-prior-knowledge http://127.0.0.1:8000/you
"""

from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("only http is served here")  # lifespan: the server goes on without it
    name = scope["path"].strip("/") or "world"
    body = f"Hello, {name}, over HTTP/{scope['http_version']}\n".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})
