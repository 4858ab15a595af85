"""The traps of a server, on a running one, with a client that is written by hand."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme

from headrace.server.app import Server
from headrace.server.connection.exchange import ServerExchange
from headrace.server.handlers.response import Response, StreamResponse
from headrace.server.settings.config import Config

from tests.support import wire
from tests.support.serving import Run, live_handlers, port, serving, settled


class Client:
    """A raw connection: sends bytes, keeps every frame it is sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.frames: list[wire.Frame] = []
        self.parser = wire.FrameReader()
        self.fields: dict[int, list[list[tuple[bytes, bytes]]]] = {}

    def send(self, *data: bytes) -> None:
        """Write at once."""
        self.writer.write(b"".join(data))

    async def until(self, what: Any) -> wire.Frame:
        """Read until a frame is there for which `what(frame)` is true; that frame."""
        async with asyncio.timeout(10):
            seen = 0
            while True:
                for frame in self.frames[seen:]:
                    if what(frame):
                        return frame
                seen = len(self.frames)
                data = await self.reader.read(65_536)
                assert data, f"the server closed the connection after {self.frames[-3:]}"
                for frame in self.parser.feed(data):
                    if frame.type == wire.HEADERS:
                        self.fields.setdefault(frame.stream_id, []).append(self.parser.fields(frame))
                    self.frames.append(frame)

    async def ended(self, stream_id: int) -> bytes:
        """Wait for the stream's END_STREAM; its content."""
        await self.until(lambda f: f.stream_id == stream_id and f.end_stream)
        return b"".join(f.content for f in self.frames if f.type == wire.DATA and f.stream_id == stream_id)

    async def reset(self, stream_id: int) -> int:
        """Wait for the stream's RST_STREAM; its code."""
        return (await self.until(lambda f: f.type == wire.RST_STREAM and f.stream_id == stream_id)).code

    async def round_trip(self) -> None:
        """Everything sent before has been read by the server when this returns."""
        mark = f"{len(self.frames):08d}".encode()
        self.send(wire.ping(mark))
        await self.until(lambda f: f.type == wire.PING and f.ack and f.payload == mark)


@contextlib.asynccontextmanager
async def client(server: Server, settings: dict[int, int] | None = None, **options: Any) -> AsyncIterator[Client]:
    """A client that has said its preface."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port(server), **options)
    one = Client(reader, writer)
    one.send(wire.client_preface(settings or {}), wire.settings_ack())
    try:
        yield one
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def test_an_upload_that_is_not_read_is_not_collected(run: Run) -> None:
    """An ASGI app that never calls receive: no credit for its stream, a sibling's upload goes on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/deaf":
            await asyncio.sleep(3600)
        size = 0
        while True:
            message = await receive()
            size += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(size).encode()})

    async def body() -> None:
        async with serving(app, interface="asgi") as server, client(server) as peer:
            peer.send(wire.request(1, b"/deaf", method=b"POST", end_stream=False))
            for _ in range(16):
                peer.send(wire.data(1, b"x" * 16_000))
            await peer.round_trip()
            assert not [f for f in peer.frames if f.type == wire.WINDOW_UPDATE and f.stream_id == 1]
            peer.send(wire.request(3, b"/read", method=b"POST", end_stream=False))
            for _ in range(30):
                peer.send(*[wire.data(3, b"y" * 10_000)] * 5)
                await peer.round_trip()
            peer.send(wire.data(3, end_stream=True))
            assert await peer.ended(3) == b"1500000"

    run(body())


@pytest.mark.parametrize("how", ["reset", "lost"])
def test_a_writer_that_waits_for_a_window_is_let_go(run: Run, how: str) -> None:
    """RST_STREAM or connection loss reaches a blocked `send`, which raises; nothing is sent afterwards."""
    raised: list[BaseException] = []

    async def handler(request: Any) -> StreamResponse:
        async def produce(send: Any) -> None:
            try:
                while True:
                    await send(b"x" * 50_000)
            except BaseException as error:
                raised.append(error)
                raise

        return StreamResponse(200, [], produce)

    async def body() -> None:
        async with serving(handler, interface="native") as server:
            async with client(server, {wire.INITIAL_WINDOW_SIZE: 0}) as peer:
                peer.send(wire.request(1))
                await peer.until(lambda f: f.type == wire.HEADERS)
                if how == "reset":
                    peer.send(wire.rst_stream(1, wire.CANCEL), wire.window_update(1, 1_000_000))
                    await peer.round_trip()
                    assert not [f for f in peer.frames if f.type == wire.DATA]
                else:
                    peer.writer.transport.abort()
                await settled(lambda: bool(raised))
            await settled(lambda: live_handlers(server) == 0)
        assert isinstance(raised[0], (OSError, asyncio.CancelledError))

    run(body())


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_is_killed_leaves_no_silence(run: Run, when: str) -> None:
    """A task cancelled from outside, before or after its headers: RST_STREAM, and siblings go on."""
    tasks: list[asyncio.Task[Any]] = []

    async def handler(request: Any) -> Any:
        if request.path == "/fine":
            return Response(200, [], b"fine")
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        if when == "before":
            await asyncio.sleep(3600)

        async def produce(send: Any) -> None:
            await send(b"part")
            await asyncio.sleep(3600)

        return StreamResponse(200, [], produce)

    async def body() -> None:
        async with serving(handler, interface="native") as server, client(server) as peer:
            peer.send(wire.request(1))
            if when == "after":
                await peer.until(lambda f: f.type == wire.DATA)
            await settled(lambda: bool(tasks))
            tasks[0].cancel()
            assert await peer.reset(1) == wire.INTERNAL_ERROR
            peer.send(wire.request(3, b"/fine"))
            assert await peer.ended(3) == b"fine"

    run(body())


def test_an_early_answer_starves_no_sibling(run: Run) -> None:
    """413 while the upload runs: whole, RST_STREAM(NO_ERROR), 3 MB of late DATA swallowed and credited."""

    async def handler(request: Any) -> Response:
        return Response(413 if request.path == "/upload" else 200, [], b"answer")

    async def body() -> None:
        async with serving(handler, interface="native") as server, client(server) as peer:
            peer.send(wire.request(1, b"/upload", method=b"POST", end_stream=False), wire.data(1, b"x" * 1_000))
            assert await peer.ended(1) == b"answer"
            assert await peer.reset(1) == wire.NO_ERROR
            for _ in range(60):
                peer.send(*[wire.data(1, b"x" * 10_000)] * 5)
                await peer.round_trip()
            peer.send(wire.data(1, end_stream=True), wire.request(3))
            assert await peer.ended(3) == b"answer"
            assert not [f for f in peer.frames if f.type == wire.GOAWAY]
            given = sum(f.increment for f in peer.frames if f.type == wire.WINDOW_UPDATE and f.stream_id == 0)
            assert given >= 3_000_000 - 1_048_576

    run(body())


def test_the_end_comes_when_the_last_piece_filled_the_window(run: Run) -> None:
    """65,535 bytes fill both windows exactly; END_STREAM arrives without another WINDOW_UPDATE."""

    async def handler(request: Any) -> Any:
        if request.path == "/whole":
            return Response(200, [], b"x" * 65_535)

        async def produce(send: Any) -> None:
            await send(b"x" * 30_000)
            await send(b"x" * 35_535)

        return StreamResponse(200, [], produce)

    async def body() -> None:
        async with serving(handler, interface="native") as server:
            for path in (b"/whole", b"/pieces"):
                async with client(server) as peer:
                    peer.send(wire.request(1, path))
                    assert len(await peer.ended(1)) == 65_535

    run(body())


def test_an_asgi_app_with_bad_headers_gets_a_500(
    run: Run, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """CR LF in an ASGI header: 500 with a log line, never bytes; the next request is served."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        bad = [(b"x", b"a\r\nset-cookie: b=c")] if scope["path"] == "/bad" else []
        await send({"type": "http.response.start", "status": 200, "headers": bad})
        await send({"type": "http.response.body", "body": b"body"})

    async def body() -> None:
        async with serving(app, interface="asgi") as server, client(server) as peer:
            peer.send(wire.request(1, b"/bad"), wire.request(3, b"/good"))
            await peer.ended(1)
            assert await peer.ended(3) == b"body"
            assert peer.fields[1][0][0] == (b":status", b"500")
            assert not [f for f in peer.fields[1][0] if b"set-cookie" in f[0] + f[1]]

    with caplog.at_level(logging.ERROR):
        run(body())
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1


def test_a_silent_tls_peer_does_not_hold_the_exit(run: Run, tmp_path: Any) -> None:
    """A TLS client that never answers close_notify: the server is down seconds after its drain, not in 30."""
    ca = trustme.CA()
    cert = ca.issue_cert("127.0.0.1", "localhost")
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(b"".join(pem.bytes() for pem in cert.cert_chain_pems))
    key_file.write_bytes(cert.private_key_pem.bytes())

    async def handler(request: Any) -> Response:
        return Response(200, [], b"ok")

    async def body() -> None:
        config = Config(bind="127.0.0.1:0", interface="native", tls_cert=str(cert_file), tls_key=str(key_file))
        server = Server(handler, config)
        await server.start()
        context = ssl.create_default_context()
        ca.configure_trust(context)
        context.set_alpn_protocols(["h2"])
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
        while True:  # TLS by hand, so that nothing answers for us later
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65_536))
        tls.write(wire.client_preface() + wire.settings_ack() + wire.request(1))
        writer.write(outgoing.read())
        assert await reader.read(10)
        start = time.monotonic()
        server.begin_drain()
        async with asyncio.timeout(20):
            await server.wait_closed()
        assert time.monotonic() - start < 10
        writer.transport.abort()

    run(body())


def test_nothing_is_formatted_for_a_silent_log(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the access log off and debug off, a request formats no log line, reads no clock, makes no repr."""
    called: list[str] = []

    def text(_: ServerExchange) -> str:
        called.append("str")
        return ""

    def clock() -> float:
        called.append("clock")
        return 0.0

    monkeypatch.setattr(ServerExchange, "__str__", text)
    monkeypatch.setattr(time, "perf_counter", clock)
    monkeypatch.setattr(logging.Logger, "_log", lambda *a, **k: called.append("log"))

    async def handler(request: Any) -> Response:
        return Response(200, [], b"ok")

    async def body() -> None:
        async with serving(handler, interface="native", access_log=False) as server, client(server) as peer:
            called.clear()
            for n in range(50):
                peer.send(wire.request(1 + 2 * n))
                await peer.ended(1 + 2 * n)
            assert called == []

    run(body())


@pytest.mark.parametrize("how", ["reset", "lost", "goaway-and-close"])
def test_a_disconnect_reaches_a_handler_that_only_waits(run: Run, how: str) -> None:
    """An SSE handler that waits for something else is cancelled; no task is left."""
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async def body() -> None:
        async with serving(app, interface="asgi") as server:
            before = len(asyncio.all_tasks())
            async with client(server) as peer:
                for n in range(20):
                    peer.send(wire.request(1 + 2 * n))
                await peer.until(lambda f: f.type == wire.DATA and f.stream_id == 39)
                if how == "reset":
                    peer.send(*[wire.rst_stream(1 + 2 * n, wire.CANCEL) for n in range(20)])
                elif how == "goaway-and-close":
                    peer.send(wire.goaway(0))
                    peer.writer.close()
                else:
                    peer.writer.transport.abort()
                await settled(lambda: len(ended) == 20)
            await settled(lambda: live_handlers(server) == 0)
            gc.collect()
            await settled(lambda: len(asyncio.all_tasks()) <= before)

    run(body())


def test_the_scope_and_a_send_too_late(run: Run) -> None:
    """`client` is a host and an int, spec_version is 2.4 or later, send() after a disconnect is an OSError."""
    scopes: list[Any] = []
    errors: list[BaseException] = []
    gone = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        scopes.append(scope)
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        try:
            await send({"type": "http.response.body", "body": b"2", "more_body": True})
        except BaseException as error:
            errors.append(error)
        gone.set()

    async def body() -> None:
        async with serving(app, interface="asgi") as server, client(server) as peer:
            peer.send(wire.request(1))
            await peer.until(lambda f: f.type == wire.DATA)
            peer.send(wire.rst_stream(1, wire.CANCEL))
            await asyncio.wait_for(gone.wait(), 10)

    run(body())
    scope = scopes[0]
    host, client_port = scope["client"]
    assert isinstance(host, str) and isinstance(client_port, int)
    assert isinstance(scope["server"][1], int)
    assert tuple(int(n) for n in scope["asgi"]["spec_version"].split(".")) >= (2, 4)
    assert scope["http_version"] == "2"
    assert isinstance(errors[0], OSError)
