"""An application that answers in every way there is: each kind of response, each middleware, each refusal."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from headrace import (
    EventStream,
    FileResponse,
    LoopResponse,
    Mailbox,
    Push,
    Request,
    Response,
    Route,
    Router,
    StaticFiles,
    StreamResponse,
    WebSocketResponse,
)
from headrace.server.errors import HTTPError
from headrace.server.handlers.loop import STOP
from headrace.server.middleware import CORS, BodyLimit, Compression, RateLimit, SecurityHeaders
from headrace.server.telemetry.prometheus import Prometheus

TEXT = [("content-type", "text/plain; charset=utf-8")]
LARGE = 100_000  # a file of that size is sent by itself, smaller ones are read
ORIGIN = "https://example.com"
MODIFIED = 1_700_000_000


def make_folder(folder: Path) -> Path:
    """Files for `app`: a page, a small text, a large one with a compressed sibling."""
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "index.html").write_text("<!doctype html><title>sub</title>")
    (folder / "small.txt").write_text("small")
    (folder / "large.txt").write_text("0123456789" * (LARGE // 10))
    (folder / "large.txt.gz").write_bytes(gzip.compress((folder / "large.txt").read_bytes()))
    for path in folder.rglob("*"):
        os.utime(path, (MODIFIED, MODIFIED))
    return folder


async def pieces() -> AsyncIterator[bytes]:
    for n in range(20):
        yield b"piece %d\n" % n


async def events() -> AsyncIterator[str]:
    for n in range(3):
        yield f"event {n}"


async def hinted(request: Request) -> Response:
    await request.early_hints([("link", "</style.css>; rel=preload; as=style")])
    return Response.text("hinted")


async def with_trailers(request: Request) -> StreamResponse:
    async def produce(send: Any) -> None:
        await send(b"content")
        await send(b"", end=True, trailers=[("server-timing", "made;dur=5")])

    return StreamResponse(200, [*TEXT, ("trailer", "server-timing")], produce)


async def looped(request: Request) -> LoopResponse:
    async def on_start(mailbox: Mailbox, _push: Push, _state: Any) -> None:
        mailbox.put(b"one message\n")

    async def on_message(message: bytes, push: Push, _state: Any) -> Any:
        await push(message)
        return STOP

    return LoopResponse(200, TEXT, on_message, on_start=on_start)


async def taken(request: Request) -> Response:
    return Response.text(f"{len(await request.read(1_000_000))} bytes")


async def forbidden(request: Request) -> Response:
    raise HTTPError(403, "Forbidden")


async def broken(request: Request) -> Response:
    raise RuntimeError("broken on purpose")


async def chat(request: Request) -> WebSocketResponse:
    async def talk(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    return WebSocketResponse(talk, check_origin="same-origin")


def app(folder: Path) -> Router:
    """The application, with files from `folder`; see `make_folder`."""
    files = StaticFiles(folder, cache_control="max-age=60")
    coded = Compression(minimum_size=10)
    return Router(
        [
            Route("/text", lambda _: Response.text("text")),
            Route("/html", lambda _: Response.html("<!doctype html><title>t</title>")),
            Route("/json", lambda _: Response.json({"a": 1})),
            Route("/nothing", lambda _: Response(204)),
            Route("/stream", lambda _: StreamResponse(200, TEXT, pieces())),
            Route("/sized", lambda _: StreamResponse(200, [*TEXT, ("content-length", "7")], with_seven())),
            Route("/trailers", with_trailers),
            Route("/hinted", hinted),
            Route("/loop", looped),
            Route("/file", lambda _: FileResponse(200, TEXT, folder / "large.txt")),
            Route("/post", taken, methods=("POST",)),
            Route("/limited", taken, methods=("POST",), middleware=(BodyLimit(10),)),
            Route("/forbidden", forbidden),
            Route("/broken", broken),
            Route("/events", lambda _: EventStream(events())),
            Route("/coded", lambda _: Response.text("much the same " * 100), middleware=(coded,)),
            Route("/coded-stream", lambda _: StreamResponse(200, TEXT, pieces()), middleware=(coded,)),
            Route("/coded-events", lambda _: EventStream(events()), middleware=(coded,)),
            Route("/shared", lambda _: Response.text("for pages of another origin"), methods=("GET", "PUT"),
                  middleware=(CORS([ORIGIN], methods=("GET", "PUT"), headers=["x-asked"], expose=["x-told"]),)),
            Route("/guarded", lambda _: Response.html("<!doctype html><title>t</title>"),
                  middleware=(SecurityHeaders(content_security_policy="default-src 'self'"),)),
            Route("/rare", lambda _: Response.text("rare"), middleware=(RateLimit(0.01),)),
            Route("/metrics", Prometheus().handler),
            Route("/chat", chat, websocket=True),
            Route("/never-chat", chat),
            Route("/files/{rest:path}", files),
        ],
        redirect_slashes=True,
    )  # fmt: skip


async def with_seven() -> AsyncIterator[bytes]:
    yield b"seven "
    yield b"!"


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """The same in ASGI's words, as far as the server answers for the application."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
    elif scope["path"] == "/asgi":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"asgi"})
    elif scope["path"] == "/broken":
        raise RuntimeError("broken on purpose")


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Likewise for WSGI."""
    if environ["PATH_INFO"] == "/broken":
        raise RuntimeError("broken on purpose")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi"]
