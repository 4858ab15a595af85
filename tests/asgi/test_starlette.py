"""A real Starlette application, unchanged."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tests.h2_peer import H2Peer
from tests.serving import Run, live_handlers, port, serving, settled

GZIP = [("accept-encoding", "gzip")]


def application(folder: Path, log: list[str]) -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        log.append("start")
        yield {"greeting": "hello"}
        log.append("end")

    async def home(request: Request) -> Response:
        return PlainTextResponse(f"{request.state.greeting} {request.client.host} {request.url}")  # type: ignore[union-attr]

    async def upload(request: Request) -> Response:
        size = 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
        except ClientDisconnect:
            log.append("gone")
            raise
        return JSONResponse({"size": size, "type": request.headers["content-type"]})

    async def events(request: Request) -> Response:
        async def produce() -> AsyncIterator[str]:
            try:
                for number in range(1000):
                    yield f"data: {number}\n\n"
                    if number >= 2:
                        await asyncio.Event().wait()
            finally:
                log.append("events ended")

        return StreamingResponse(produce(), media_type="text/event-stream")

    async def stream(request: Request) -> Response:
        async def produce() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield bytes(10_000)

        return StreamingResponse(produce())

    async def background(request: Request) -> Response:
        async def work() -> None:
            await asyncio.sleep(0.01)
            log.append("background")

        return PlainTextResponse("later", background=BackgroundTask(work))

    async def file(request: Request) -> Response:
        return FileResponse(folder / "file.bin")

    async def crash(request: Request) -> Response:
        raise RuntimeError("boom")

    async def stamp(request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-stamp"] = "1"
        return response

    routes = [
        Route("/", home),
        Route("/upload", upload, methods=["POST"]),
        Route("/events", events),
        Route("/stream", stream),
        Route("/background", background),
        Route("/file", file),
        Route("/crash", crash),
        Mount("/static", StaticFiles(directory=folder)),
    ]
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(BaseHTTPMiddleware, dispatch=stamp)])


def test_the_application(run: Run, tmp_path: Path) -> None:
    log: list[str] = []
    content = bytes(range(256)) * 4096
    (tmp_path / "file.bin").write_bytes(content)

    async def main() -> None:
        async with serving(application(tmp_path, log)) as server, H2Peer.connected(port(server)) as peer:
            home = await peer.get("/")
            assert home.body == b"hello 127.0.0.1 http://localhost/"
            assert home.header(b"x-stamp") == b"1"
            stream_id = peer.open("/upload", "POST", [("content-type", "text/x")], end=False)
            await peer.send(stream_id, content, end=True)
            assert (await peer.over(stream_id)).body == b'{"size":1048576,"type":"text/x"}'
            assert len((await peer.get("/stream")).body) == 1_000_000
            for path in ("/file", "/static/file.bin"):
                answer = await peer.get(path)
                assert answer.body == content
                assert answer.header(b"content-length") == b"1048576"
            answer = await peer.get("/file", headers=[("range", "bytes=10-19")])
            assert (answer.status, bytes(answer.body)) == (206, content[10:20])
            assert (await peer.get("/file", "HEAD")).body == b""
            assert (await peer.get("/nowhere")).status == 404
            assert (await peer.get("/crash")).status == 500
            assert (await peer.get("/background")).body == b"later"
            await settled(lambda: "background" in log)
        assert log == ["start", "background", "end"]

    run(main())


def test_clients_that_go_leave_nothing_behind(run: Run, tmp_path: Path) -> None:
    log: list[str] = []

    async def main() -> None:
        async with serving(application(tmp_path, log)) as server:
            async with H2Peer.connected(port(server)) as peer:
                stream_id = peer.open("/events")
                await peer.until(lambda: b"data: 2" in peer.answers[stream_id].body)
                peer.reset(stream_id)
                await settled(lambda: log[1:] == ["events ended"])
                stream_id = peer.open("/upload", "POST", [("content-type", "text/x")], end=False)
                await peer.send(stream_id, b"part")
                await peer.ping()
            await settled(lambda: live_handlers(server) == 0)
            assert "gone" in log

    run(main())


def test_compression_in_front_of_a_file(tmp_path: Path) -> None:
    """A middleware that changes bodies must still be able to hide pathsend from what is behind it."""
    (tmp_path / "file.txt").write_bytes(b"a" * 100_000)

    async def main() -> None:
        app = Starlette(routes=[Mount("/", StaticFiles(directory=tmp_path))], middleware=[Middleware(GZipMiddleware)])
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/file.txt", headers=GZIP)
            assert answer.status == 200
            assert (await peer.get("/file.txt")).body == b"a" * 100_000

    asyncio.run(main())
