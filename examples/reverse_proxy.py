"""A page of your own, and everything below /api/ from another server, WebSockets included.

headrace serve examples.asgi_hello:app --bind 127.0.0.1:9000
UPSTREAM=http://127.0.0.1:9000 headrace serve examples.reverse_proxy:app
curl -i http://127.0.0.1:8000/api/you
"""

import os

from headrace import Request, Response, ReverseProxy, Route, Router

upstream = ReverseProxy(os.environ.get("UPSTREAM", "http://127.0.0.1:9000"), max_body_size=10_000_000)


async def index(request: Request) -> Response:
    return Response.html(
        "<!doctype html><title>Here</title><p>This page is our own. <a href=/api/you>That</a> is not.\n"
    )


app = Router(
    [
        Route("/", index),
        Route("/api/{rest:path}", upstream, methods=None),
        Route("/api/{rest:path}", upstream, websocket=True),
    ]
)
