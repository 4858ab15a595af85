"""A Starlette application, unchanged, over every wire: what Starlette's own test client gets of it, headrace sends."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.apps.clients import FORM, everything, form, post, waits_for_content, websocket
from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, settled
from tests.support.ws_peer import Refused

CONTENT = bytes(range(256)) * 1_000
GZIP = ("accept-encoding", "gzip")


class Site:
    """The application, and what happened in it."""

    def __init__(self, folder: Path) -> None:
        self.log: list[str] = []
        self.file = folder / "file.bin"
        self.file.write_bytes(CONTENT)
        (folder / "page.html").write_text("<p>a page</p>")
        site = self

        class Items(HTTPEndpoint):
            async def get(self, request: Request) -> Response:
                return JSONResponse({"item": request.path_params["number"], "state": request.state.greeting})

            async def put(self, request: Request) -> Response:
                return JSONResponse(await request.json(), 201, {"location": str(request.url_for("items", number=7))})

        class Echo(WebSocketEndpoint):
            encoding = "bytes"

            async def on_receive(self, websocket: WebSocket, data: Any) -> None:
                await websocket.send_bytes(data[::-1])

            async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
                site.log.append(f"echo {close_code}")

        # Not in front of files: these go by path where the server offers that (http.response.pathsend), and the
        # middleware lets them pass unchanged, without `vary`. Starlette's test client does not offer it.
        compressed = [Middleware(GZipMiddleware, minimum_size=500)]
        routes = [
            Route("/", self.home),
            Route("/items/{number:int}", Items, name="items"),
            Route("/upload", self.upload, methods=["POST"]),
            Route("/form", self.form, methods=["POST"]),
            Route("/stream", self.stream, middleware=compressed),
            Route("/events", self.events),
            Route("/background", self.background),
            Route("/file", self.send_file),
            Route("/cookies", self.cookies),
            Route("/session", self.session),
            Route("/teapot", self.teapot),
            Route("/crash", self.crash),
            Mount("/static", StaticFiles(directory=folder, html=True)),
            WebSocketRoute("/chat", self.chat),
            WebSocketRoute("/refused", self.refused),
            WebSocketRoute("/echo", Echo),
        ]
        middleware = [
            Middleware(BaseHTTPMiddleware, dispatch=self.stamp),
            Middleware(CORSMiddleware, allow_origins=["https://a.example"]),
            Middleware(SessionMiddleware, secret_key="for tests"),
        ]
        self.app = Starlette(routes=routes, lifespan=self.lifespan, middleware=middleware)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[dict[str, Any]]:
        self.log.append("start")
        yield {"greeting": "hello"}
        self.log.append("end")

    async def stamp(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-stamp"] = request.state.greeting
        return response

    async def home(self, request: Request) -> Response:
        return PlainTextResponse(f"{request.method} {request.url} {request.query_params.get('a')} {request.headers}")

    async def upload(self, request: Request) -> Response:
        size = 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
        except ClientDisconnect:
            self.log.append("gone")
            raise
        return JSONResponse({"size": size})

    async def form(self, request: Request) -> Response:
        async with request.form() as form:
            file: Any = form["file"]
            return JSONResponse({"word": form["word"], "name": file.filename, "size": len(await file.read())})

    async def stream(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(50):
                yield b"%d\n" % number * 100

        return StreamingResponse(pieces(), media_type="text/plain")

    async def events(self, request: Request) -> Response:
        async def forever() -> AsyncIterator[str]:
            try:
                yield "data: first\n\n"
                await asyncio.Event().wait()
            finally:
                self.log.append("events ended")

        return StreamingResponse(forever(), media_type="text/event-stream")

    async def background(self, request: Request) -> Response:
        async def work() -> None:
            await asyncio.sleep(0)
            self.log.append("background")

        return PlainTextResponse("later", background=BackgroundTask(work))

    async def send_file(self, request: Request) -> Response:
        return FileResponse(self.file)

    async def cookies(self, request: Request) -> Response:
        response = JSONResponse(request.cookies)
        response.set_cookie("a", "1")
        response.set_cookie("b", "2", httponly=True)
        return response

    async def session(self, request: Request) -> Response:
        request.session["count"] = request.session.get("count", 0) + 1
        return PlainTextResponse(str(request.session["count"]))

    async def teapot(self, request: Request) -> Response:
        raise HTTPException(418, "short and stout", {"x-tea": "none"})

    async def crash(self, request: Request) -> Response:
        raise RuntimeError("boom")

    async def crash_later(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"a part"
            raise RuntimeError("boom")

        return StreamingResponse(pieces())

    async def chat(self, ws: WebSocket) -> None:
        await ws.accept(subprotocol="chat", headers=[(b"x-chat", b"yes")])
        try:
            while True:
                await ws.send_json({"said": await ws.receive_text(), "state": ws.state.greeting})
        except WebSocketDisconnect as gone:
            self.log.append(f"chat {gone.code}")

    async def refused(self, ws: WebSocket) -> None:
        await ws.send_denial_response(PlainTextResponse("members only", 402))


# Method, path, headers, content.
ASKED: list[tuple[str, str, list[tuple[str, str]], bytes]] = [
    ("GET", "/?a=1&b=%20x", [("x-one", "1")], b""),
    ("HEAD", "/?a=1", [], b""),
    ("GET", "/items/7", [], b""),
    ("PUT", "/items/7", [("content-type", "application/json")], b'{"a": [1, 2.5, null]}'),
    ("DELETE", "/items/7", [], b""),
    ("GET", "/items/x", [], b""),
    ("POST", "/upload", [("content-type", "text/x")], CONTENT),
    ("POST", "/upload", [], b""),
    ("POST", "/form", [FORM], form({"word": "größe"}, {"file": CONTENT})),
    ("GET", "/stream", [], b""),
    ("GET", "/stream", [GZIP], b""),
    ("HEAD", "/stream", [], b""),
    ("GET", "/background", [], b""),
    ("GET", "/file", [], b""),
    ("HEAD", "/file", [], b""),
    ("GET", "/file", [("range", "bytes=10-19")], b""),
    ("GET", "/file", [("range", "bytes=-5")], b""),
    ("GET", "/file", [("range", "bytes=999999999-")], b""),
    ("GET", "/cookies", [("cookie", "x=1; y=2")], b""),
    ("GET", "/teapot", [], b""),
    ("GET", "/crash", [], b""),
    ("GET", "/static/file.bin", [], b""),
    ("GET", "/static/page.html", [("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")], b""),
    ("GET", "/static/file.bin", [("range", "bytes=0-0")], b""),
    ("GET", "/static/../test_starlette.py", [], b""),
    ("GET", "/static", [], b""),
    ("GET", "/nowhere", [], b""),
    ("POST", "/", [], b""),
    ("OPTIONS", "/", [("origin", "https://a.example"), ("access-control-request-method", "GET")], b""),
    ("GET", "/", [("origin", "https://a.example")], b""),
]


def plain(headers: dict[str, list[str]], content: bytes) -> bytes:
    return gzip.decompress(content) if headers.get("content-encoding") == ["gzip"] else content


def test_the_test_client_and_headrace_give_the_same_answers(run: Run, wire: Wire, tmp_path: Path) -> None:
    site = Site(tmp_path)
    expected = []
    with TestClient(
        site.app, f"{wire.scheme}://localhost", raise_server_exceptions=False, follow_redirects=False
    ) as client:
        client.headers.clear()
        for method, path, headers, content in ASKED:
            client.cookies.clear()
            # Its headers are ordered as ours are, and lengths are told as we tell them, so that "/" prints the same.
            given = [("host", "localhost"), *headers, *([("content-length", str(len(content)))] if content else [])]
            response = client.send(client.build_request(method, path, headers=given, content=content))
            expected.append((response.status_code, everything(response.headers.raw), response.content))

    async def main() -> None:
        async with wire.serving(site.app) as server, wire.peer(server) as peer:
            for (method, path, headers, content), (status, fields, body) in zip(ASKED, expected, strict=True):
                asked = f"{method} {path} {headers}"
                if content:
                    answer = await post(peer, path, content, headers, method)
                else:
                    answer = await peer.get(path, method, headers)
                found = everything(answer.headers)
                assert (answer.status, answer.ended) == (status, True), asked
                assert found == fields, asked
                assert plain(found, bytes(answer.body)) == body, asked
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert site.log == ["start", "background", "end"] * 2


def test_a_session_and_several_ranges(run: Run, wire: Wire, tmp_path: Path) -> None:
    async def main() -> None:
        async with wire.serving(Site(tmp_path).app) as server, wire.peer(server) as peer:
            cookie: list[tuple[str, str]] = []
            for number in range(1, 4):
                answer = await peer.get("/session", headers=cookie)
                assert answer.body == b"%d" % number
                cookie = [("cookie", answer.header(b"set-cookie").partition(b";")[0].decode())]
            answer = await peer.get("/file", headers=[("range", "bytes=0-1,10-11")])
            assert answer.status == 206
            assert answer.header(b"content-type").startswith(b"multipart/byteranges; boundary=")
            assert len(answer.body) == int(answer.header(b"content-length"))
            assert b"\r\n\r\n\x00\x01\r\n" in answer.body and b"\r\n\r\n\x0a\x0b\r\n" in answer.body
            answer = await peer.get("/static/file.bin")
            etag = answer.header(b"etag").decode()
            assert (await peer.get("/static/file.bin", headers=[("if-none-match", etag)])).status == 304
            assert bytes((await peer.get("/static/page.html", headers=[GZIP])).body) == b"<p>a page</p>"
            await settled(lambda: live_handlers(server) == 0)  # Starlette closes files behind its answer

    run(main())


def test_failures_and_clients_that_go_leave_nothing_behind(run: Run, wire: Wire, tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def main() -> None:
        # Alone: BaseHTTPMiddleware says that a response is complete before it raises what went wrong in it.
        alone = Starlette(routes=[Route("/", site.crash_later)])
        async with wire.serving(alone) as server, wire.peer(server) as peer:
            answer = await peer.get("/")
            assert answer.status == 200 and answer.reset is not None and not answer.ended
        async with wire.serving(site.app) as server, wire.peer(server) as peer:
            number = await peer.open("/events")
            await peer.until(lambda: peer.answers[number].body == b"data: first\n\n")
            peer.reset(number)
            await settled(lambda: "events ended" in site.log)
            number = await peer.open("/upload", "POST", end=False)
            await peer.send(number, b"part")
            await settled(lambda: waits_for_content(server))
            peer.reset(number)
            await settled(lambda: live_handlers(server) == 0)
            assert "gone" in site.log
            assert (await peer.get("/")).status == 200

    run(main())


def test_websockets(run: Run, wire: Wire, tmp_path: Path) -> None:
    site = Site(tmp_path)
    with TestClient(site.app) as client:
        with client.websocket_connect("/chat", subprotocols=["other", "chat"]) as ws:
            ws.send_text("hi")
            said = ws.receive_text()
            subprotocol: Any = ws.accepted_subprotocol
            ws.close(4000)
        with client.websocket_connect("/echo") as ws:
            ws.send_bytes(CONTENT)
            echoed = ws.receive_bytes()
            ws.close(1001)
    assert sorted(site.log) == ["chat 4000", "echo 1001", "end", "start"]
    site.log = []

    async def main() -> None:
        async with wire.serving(site.app) as server:
            async with websocket(wire, server, "/chat", subprotocols=["other", "chat"], compression=True) as peer:
                assert peer.headers[b"sec-websocket-protocol"].decode() == subprotocol
                assert peer.headers[b"x-chat"] == b"yes"
                peer.send("hi")
                assert await peer.message() == said
                peer.say_close(4000)
                assert (await peer.close_frame())[0] == 4000
            async with websocket(wire, server, "/echo") as peer:
                peer.send(CONTENT)
                assert await peer.message() == echoed
                peer.say_close(1001)
                await peer.close_frame()
            with pytest.raises(Refused) as caught:
                async with websocket(wire, server, "/refused"):
                    pass
            assert (caught.value.status, caught.value.body) == (402, b"members only")
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert sorted(site.log) == ["chat 4000", "echo 1001", "end", "start"]


def test_compression_in_front_of_a_file(run: Run, wire: Wire, tmp_path: Path) -> None:
    """A middleware that changes content may let a file go by its path, or have hidden that this is offered."""
    (tmp_path / "file.txt").write_bytes(b"a" * 100_000)

    class Hidden:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope.get("extensions", {}).pop("http.response.pathsend", None)
            await self.app(scope, receive, send)

    async def main() -> None:
        for middleware, coding in (([], None), ([Middleware(Hidden)], b"gzip")):
            middleware.append(Middleware(GZipMiddleware))
            app = Starlette(routes=[Mount("/", StaticFiles(directory=tmp_path))], middleware=middleware)
            async with wire.serving(app) as server, wire.peer(server) as peer:
                answer = await peer.get("/file.txt", headers=[GZIP])
                assert (answer.status, answer.header(b"content-encoding")) == (200, coding)
                assert plain(everything(answer.headers), bytes(answer.body)) == b"a" * 100_000
                assert (await peer.get("/file.txt")).body == b"a" * 100_000
                # The end of this server would cancel what Starlette does behind its answer: it closes the file.
                await settled(lambda server=server: live_handlers(server) == 0)  # type: ignore[misc]

    run(main())
