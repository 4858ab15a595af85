"""Middleware: headrace's own, around all routes or one, and one of your own.

headrace serve examples.middleware:app
curl --http2-prior-knowledge --compressed -i http://127.0.0.1:8000/
"""

import hmac
import time

from headrace import HTTPError, Request, Response, Router
from headrace.server.middleware import CORS, AnyResponse, BodyLimit, Compression, Next, RateLimit, SecurityHeaders


async def timed(request: Request, next: Next) -> AnyResponse:  # noqa: A002 - what it is called everywhere
    started = time.perf_counter()
    response = await next(request)
    print(f"{request.method} {request.path}: {time.perf_counter() - started:.6f} s")
    return response


async def signed_in(request: Request, next: Next) -> AnyResponse:  # noqa: A002
    if not hmac.compare_digest(request.header("authorization") or "", "Bearer open-sesame"):
        raise HTTPError(401, "Unauthorized")
    return await next(request)


app = Router(
    middleware=[
        timed,
        RateLimit(per_second=100, burst=200),
        SecurityHeaders(content_security_policy="default-src 'self'"),
        CORS(["https://app.example"], methods=["GET", "POST"], headers=["authorization"]),
        Compression(),
    ]
)


@app.get("/")
async def poem(request: Request) -> Response:
    return Response.text("a stream, and a wheel, and a stream, and a mill\n" * 100)


@app.post("/notes", middleware=[signed_in, BodyLimit(1_000)])
async def note(request: Request) -> Response:
    return Response.text(f"{len(await request.read())} bytes\n", 201)
