"""The client as people use it against our own server: over HTTP/1.1 and HTTP/2, on both event loops."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace import Event, EventStream, Request, Response, Router, StreamResponse, WebSocket, WebSocketResponse
from headrace.client import Client, LoopThread, NetworkConfig, ServerSentEvent, SyncClient
from headrace.server.app import Server
from headrace.server.middleware import Compression
from headrace.server.settings.config import Config

from tests.support.serving import Run, port, serving

HTTP = pytest.mark.parametrize("http1", [True, False], ids=["http/1.1", "h2"])
PIECE = bytes(range(256)) * 256
app = Router()


@app.get("/hello")
async def hello(request: Request) -> Response:
    return Response.text(f"hello {request.http_version}")


@app.post("/digest")
async def digest(request: Request) -> Response:
    found = hashlib.sha256()
    async for piece in request.stream():
        found.update(piece)
    return Response.json({"sha256": found.hexdigest(), "trailers": len(request.trailers or ())})


@app.get("/stream")
async def stream(request: Request) -> StreamResponse:
    async def send_all(send: Any) -> None:
        for _ in range(64):
            await send(PIECE)
        await send(end=True, trailers={"x-count": "64"})

    return StreamResponse(200, {"content-type": "application/octet-stream"}, send_all)


@app.get("/text", middleware=[Compression()])
async def text(request: Request) -> Response:
    return Response.text("some words to compress " * 1000)


@app.get("/hints")
async def hints(request: Request) -> Response:
    await request.early_hints([("link", "</a.css>; rel=preload")])
    return Response.text("hinted")


@app.get("/moved")
async def moved(request: Request) -> Response:
    return Response(302, {"location": "/hello", "set-cookie": "seen=1; path=/"}, b"")


@app.get("/cookie")
async def cookie(request: Request) -> Response:
    return Response.text(request.header("cookie") or "none")


@app.get("/events")
async def events(request: Request) -> EventStream | Response:
    last = request.header("last-event-id")
    if last == "4":
        return Response(204, {}, b"")

    async def source() -> AsyncIterator[Event]:
        for number in range(int(last or 0) + 1, int(last or 0) + 3):
            yield Event(f"number {number}", id=str(number), retry=0)

    return EventStream(source())


@app.websocket("/echo")
async def echo(request: Request) -> WebSocketResponse:
    async def talk(ws: WebSocket) -> None:
        async for message in ws:
            await ws.send(message)

    return WebSocketResponse(talk, subprotocols=["b"])


def client_of(server: Server, http1: bool) -> Client:
    return Client(base_url=f"http://127.0.0.1:{port(server)}", network=NetworkConfig(http1=http1, http2=not http1))


@HTTP
def test_one_after_the_other_and_many_at_once(run: Run, http1: bool) -> None:
    async def main() -> None:
        async with serving(app) as server, client_of(server, http1) as client:
            version = "1.1" if http1 else "2"
            for _ in range(3):
                response = await client.get("/hello")
                assert response.text == f"hello {version}" and response.http_version == version
            several = await asyncio.gather(*(client.get("/hello") for _ in range(100)))
            assert {each.status for each in several} == {200}

    run(main())


@HTTP
def test_content_of_every_kind(run: Run, http1: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(16):
            yield PIECE

    async def main() -> None:
        expected = hashlib.sha256(PIECE * 16).hexdigest()
        async with serving(app) as server, client_of(server, http1) as client:
            told: list[int] = []
            for content in (PIECE * 16, pieces, [PIECE] * 16):
                response = await client.post("/digest", content=content, on_upload=lambda done, _: told.append(done))
                assert response.json()["sha256"] == expected
            assert told[-1] == len(PIECE) * 16
            response = await client.post("/digest", content=pieces(), trailers={"x-sum": "1"})
            assert response.json() == {"sha256": expected, "trailers": 1}

    run(main())


@HTTP
def test_a_stream_with_trailers_and_codings_and_hints(run: Run, http1: bool) -> None:
    async def main() -> None:
        async with serving(app) as server, client_of(server, http1) as client:
            async with client.stream("GET", "/stream", headers={"te": "trailers"}) as response:
                found = hashlib.sha256()
                async for piece in response.iter_bytes():
                    found.update(piece)
                assert found.hexdigest() == hashlib.sha256(PIECE * 64).hexdigest()
                assert response.trailers["x-count"] == "64"
            async with client.stream("GET", "/stream") as response:
                assert await anext(response.iter_bytes(100)) == PIECE[:100]
            response = await client.get("/text")
            assert response.headers["content-encoding"] in ("zstd", "br", "gzip")
            assert response.text == "some words to compress " * 1000
            response = await client.get("/hints")
            assert response.early_hints[0]["link"] == "</a.css>; rel=preload" and response.text == "hinted"

    run(main())


@HTTP
def test_redirect_and_cookie(run: Run, http1: bool) -> None:
    async def main() -> None:
        async with serving(app) as server, client_of(server, http1) as client:
            assert (await client.get("/cookie")).text == "none"
            response = await client.get("/moved")
            assert response.url.path == "/hello" and response.history[0].status == 302
            assert (await client.get("/cookie")).text == "seen=1"

    run(main())


@HTTP
def test_events_that_come_back(run: Run, http1: bool) -> None:
    async def main() -> None:
        async with serving(app) as server, client_of(server, http1) as client, client.sse("/events") as source:
            assert [event async for event in source] == [
                ServerSentEvent(f"number {number}", id=str(number)) for number in range(1, 5)
            ]

    run(main())


@HTTP
def test_all_of_it_without_async(http1: bool) -> None:
    thread = LoopThread()
    limits_and_all = Config(bind=("127.0.0.1:0",))

    async def start() -> Server:
        server = Server(app, limits_and_all)
        await server.start()
        return server

    async def stop(server: Server) -> None:
        server.abort()
        await server.wait_closed()

    server = thread.run(start())
    other = LoopThread()
    network = NetworkConfig(http1=http1, http2=not http1)
    with SyncClient(base_url=f"http://127.0.0.1:{port(server)}", network=network, thread=other) as client:
        assert client.get("/hello").text == f"hello {'1.1' if http1 else '2'}"
        assert client.post("/digest", content=iter([PIECE])).json()["sha256"] == hashlib.sha256(PIECE).hexdigest()
        with client.stream("GET", "/stream") as response:
            assert sum(map(len, response.iter_bytes())) == 64 * len(PIECE)
        with client.sse("/events") as events:
            assert [event.id for event in events] == ["1", "2", "3", "4"]
        with client.websocket("/echo", subprotocols=["a", "b"]) as ws:
            ws.send("text")
            assert ws.receive() == "text" and ws.subprotocol == "b"
            ws.send(b"octets")
            assert ws.receive() == b"octets" and ws.ping() >= 0
            ws.send("last")
            messages = []
            for message in ws:
                messages.append(message)
                ws.close()
            assert messages == ["last"] and not ws.is_open
    other.stop()
    thread.run(stop(server))
    thread.stop()
