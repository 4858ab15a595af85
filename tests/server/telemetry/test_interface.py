"""What a sink is told: each request from start to stop, whatever becomes of it; and without a sink nothing at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.engine.errors import CANCEL, INTERNAL_ERROR, REFUSED_STREAM
from headrace.server.app import Server
from headrace.server.errors import HTTPError
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse
from headrace.server.telemetry import Telemetry

from tests.server.telemetry.recorder import Recorder
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled


async def native(request: Request) -> Any:
    async def produce(send: Send) -> None:
        await send(b"12345")
        await send(b"678", end=True)

    async def break_off(send: Send) -> None:
        await send(b"12345")
        raise RuntimeError("boom")

    async def fill(send: Send) -> None:
        while True:
            await send(bytes(10_000))

    match request.path:
        case "/buffered":
            return Response(201, (), b"abc")
        case "/stream":
            return StreamResponse(200, (), produce)
        case "/break":
            return StreamResponse(200, (), break_off)
        case "/bad-field":
            return Response(200, {"x": "a\nb"})
        case "/refuse":
            raise HTTPError(403, "Forbidden")
        case "/upload":
            return Response(200, (), str(len(await request.read())).encode())
        case "/fill":
            return StreamResponse(200, (), fill)
        case "/wait":
            await asyncio.Event().wait()
    raise RuntimeError("boom")


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    path = scope["path"]
    if path == "/wait":
        await asyncio.Event().wait()
    if path == "/crash":
        raise RuntimeError("boom")
    size = 0
    while path == "/upload":
        message = await receive()
        size += len(message["body"])
        if not message["more_body"]:
            break
    headers = [(b"x", b"a\nb")] if path == "/bad-field" else []
    await send({"type": "http.response.start", "status": 201 if path == "/buffered" else 200, "headers": headers})
    if path == "/stream":
        await send({"type": "http.response.body", "body": b"12345", "more_body": True})
        await send({"type": "http.response.body", "body": b"678"})
        return
    if path == "/break":
        await send({"type": "http.response.body", "body": b"12345", "more_body": True})
        raise RuntimeError("boom")
    while path == "/fill":
        await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})
    await send({"type": "http.response.body", "body": str(size).encode() if size else b"abc"})


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    path = environ["PATH_INFO"]
    if path == "/crash":
        raise RuntimeError("boom")
    size = len(environ["wsgi.input"].read()) if path == "/upload" else 0
    start_response("201 Made" if path == "/buffered" else "200 OK", [("X", "a\nb")] if path == "/bad-field" else [])
    if path == "/stream":
        yield b"12345"
        yield b"678"
        return
    if path == "/break":
        yield b"12345"
        raise RuntimeError("boom")
    while path == "/fill":
        yield bytes(10_000)
    yield str(size).encode() if size else b"abc"


def blocked(server: Server) -> int:
    """Handlers that wait for a client."""
    assert server.service is not None
    return sum(exchange.blocked for driver in server.service.drivers for exchange in driver.live.values())


@pytest.mark.parametrize("app", [native, asgi, wsgi])
def test_a_request_is_started_and_stopped_once(run: Run, app: Any) -> None:
    recorder = Recorder()

    async def main() -> None:
        async with serving(app, telemetry=recorder) as server, H2Peer.connected(port(server)) as peer:
            for path in ("/buffered", "/stream", "/crash", "/break", "/bad-field"):
                await peer.get(path)
            await peer.post("/upload", bytes(100_000))
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert recorder.stopped == {
        b"/buffered": (201, 3, 0, None),
        b"/stream": (200, 8, 0, None),
        b"/crash": (500, 22, 0, None),
        b"/break": (200, 5, 0, "it was reset by the server"),
        b"/bad-field": (500, 22, 0, None),
        b"/upload": (200, 6, 100_000, None),
    }
    for path in recorder.stopped:
        is_fault = path in (b"/crash", b"/break", b"/bad-field")
        assert recorder.names(path) == ["started", *(["failed"] if is_fault else []), "stopped"]
    assert ("reset", ("handler", INTERNAL_ERROR)) in recorder.calls
    assert all(duration >= 0 for duration in recorder.durations)


@pytest.mark.parametrize("app", [native, asgi, wsgi])
def test_it_is_stopped_also_when_writing_the_response_fails(run: Run, app: Any) -> None:
    recorder = Recorder()

    async def main() -> None:
        async with serving(app, telemetry=recorder) as server:
            async with H2Peer.connected(port(server), gives_credit=False) as peer:
                one, _ = peer.open("/fill"), peer.open("/fill?2")
                await settled(lambda: blocked(server) == 2)
                peer.reset(one)
                await settled(lambda: b"/fill" in recorder.stopped)
            await settled(lambda: b"/fill?2" in recorder.stopped)
            await settled(lambda: ("connection_closed", None) in recorder.calls)

    run(main())
    assert recorder.stopped[b"/fill"][3] == "the peer reset the stream"
    for path in (b"/fill", b"/fill?2"):
        assert recorder.names(path) == ["started", "stopped"]  # it did not fail: its client went
    assert ("reset", ("client", CANCEL)) in recorder.calls


@pytest.mark.parametrize("app", [native, asgi])
def test_it_is_stopped_when_the_handler_is_cancelled_or_the_server_ends(run: Run, app: Any) -> None:
    recorder = Recorder()

    async def main() -> None:
        async with serving(app, telemetry=recorder) as server, H2Peer.connected(port(server)) as peer:
            peer.reset(peer.open("/wait"))
            await settled(lambda: b"/wait" in recorder.stopped)
            peer.open("/wait?2")
            await settled(lambda: recorder.names(b"/wait?2") == ["started"])

    run(main())
    assert recorder.names(b"/wait?2") == ["started", "stopped"]
    assert recorder.names(b"/wait") == ["started", "stopped"]


def test_a_deliberate_answer_is_no_failure(run: Run) -> None:
    recorder = Recorder()

    async def main() -> None:
        async with serving(native, telemetry=recorder) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/refuse")).status == 403

    run(main())
    assert recorder.names(b"/refuse") == ["started", "stopped"]


def test_connections_refusals_and_the_drain(run: Run) -> None:
    recorder = Recorder()

    async def main() -> None:
        async with serving(native, telemetry=recorder, limits={"max_concurrent_streams": 1}) as server:
            async with H2Peer.connected(port(server)) as peer:
                for number in range(40):
                    peer.reset(peer.open(f"/wait?{number}"))
                await peer.ping()
            server.begin_drain()
            await server.wait_closed()

    run(main())
    names = [name for name, _ in recorder.calls]
    assert names[:2] == ["server_started", "connection_opened"]
    assert names.count("connection_opened") == names.count("connection_closed") == 1
    assert ("drain began", 30.0) in recorder.calls
    assert names.count("started") == names.count("stopped")


def test_a_request_too_many_is_told(run: Run) -> None:
    recorder = Recorder()

    async def main() -> None:
        async with (
            serving(native, telemetry=recorder, limits={"max_concurrent_streams": 2}) as server,
            H2Peer.connected(port(server)) as peer,
        ):
            peer.conn.remote_settings.acknowledge()  # what the server allows is not known yet: more than two are sent
            ids = [peer.open(f"/wait?{number}") for number in range(5)]
            for stream_id in ids[2:]:
                assert (await peer.over(stream_id)).reset == REFUSED_STREAM

    run(main())
    assert sum(count for name, count in recorder.calls if name == "refused") == 3
    assert len([name for name, _ in recorder.calls if name == "started"]) == 2


def test_a_sink_that_fails_harms_nobody(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Telemetry):
        def request_started(self, request: Any) -> None:
            raise RuntimeError("sink")

        def request_stopped(self, request: Any, duration_s: float) -> None:
            raise RuntimeError("sink")

    recorder = Recorder()

    async def main() -> None:
        async with serving(native, telemetry=[Failing(), recorder]) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/buffered")).status == 201
            await settled(lambda: b"/buffered" in recorder.stopped)

    run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "telemetry: request_started of Failing failed",
        "telemetry: request_stopped of Failing failed",
    ]


@pytest.mark.parametrize("app", [native, asgi, wsgi])
def test_without_a_sink_requests_know_nothing_of_it(run: Run, app: Any) -> None:
    # No work for a log that nobody keeps.
    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            service = server.service
            assert service is not None
            assert service.watcher is None
            assert service.exchange_type is service.application.exchange_type
            assert service.tunnel_type is service.application.tunnel_type
            await peer.get("/buffered")
            if app is not wsgi:
                peer.open("/wait")
                await settled(lambda: live_handlers(server) == 1)
                (exchange,) = next(iter(service.drivers)).live.values()
                assert "arrived" not in vars(exchange)
                assert "_request_id" not in vars(exchange)

    run(main())
