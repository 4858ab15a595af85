"""ASGI applications: scope, responses, content, extensions and faults, with the same assertions over every wire."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from headrace.server.errors import ClientDisconnected

from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, settled

LARGE = bytes(range(256)) * 4_096
OK: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"x-one", b"1"), (b"x-one", b"2")]}

BAD_TRAILERS: dict[str, Any] = {"type": "http.response.trailers", "headers": [(b"bad name", b"")]}


def body(data: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def content(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


def serving(wire: Wire, app: Any, **settings: Any) -> Any:
    return wire.serving(app, interface="asgi", lifespan="off", **settings)


def test_the_scope(run: Run, wire: Wire) -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send(OK)
        await send(body())

    async def main() -> None:
        async with serving(wire, app) as server, wire.peer(server) as peer:
            for _ in range(3):  # the second and third are made from what is remembered of the first
                await peer.get("/caf%C3%A9%2F?a=%20", headers=[("x-a", "1"), ("cookie", "a=1; b=2")])
            client = peer.writer.get_extra_info("sockname")
            for scope in scopes:
                assert scope["type"] == "http" and scope["asgi"]["version"] == "3.0"
                assert (scope["http_version"], scope["scheme"], scope["method"]) == (wire.version, wire.scheme, "GET")
                assert (scope["path"], scope["raw_path"]) == ("/café/", b"/caf%C3%A9%2F")
                assert (scope["query_string"], scope["root_path"]) == (b"a=%20", "")
                assert scope["client"] == client
                headers = [(b"host", b"localhost"), (b"x-a", b"1"), (b"cookie", b"a=1; b=2")]
                assert scope["headers"] == headers
                scope["headers"].clear()
                assert ("tls" in scope["extensions"]) == (wire.scheme == "https")

    run(main())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_responses(run: Run, wire: Wire, method: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        match scope["path"]:
            case "/whole":
                await send({**OK, "headers": [*OK["headers"], (b"content-length", b"5")]})
                await send(body(b"hello"))
            case "/large":
                await send(OK)
                await send(body(LARGE))
            case "/pieces":
                await send(OK)
                for start in range(0, len(LARGE), 100_000):
                    await send(body(LARGE[start : start + 100_000], more=True))
                await send(body())
            case "/empty":
                await send({"type": "http.response.start", "status": 204})
                await send({"type": "http.response.body"})

    async def main() -> None:
        async with serving(wire, app) as server, wire.peer(server) as peer:
            for _ in range(2):
                for path, wanted in (("/whole", b"hello"), ("/large", LARGE), ("/pieces", LARGE)):
                    answer = await peer.get(path, method)
                    assert (answer.status, answer.ended) == (200, True)
                    assert answer.body == (wanted if method == "GET" else b"")
                    assert [value for name, value in answer.headers if name == b"x-one"] == [b"1", b"2"]
                    if path != "/pieces":
                        assert answer.header(b"content-length") == str(len(wanted)).encode()
                answer = await peer.get("/empty", method)
                assert (answer.status, answer.body, answer.header(b"content-length")) == (204, b"", None)

    run(main())


def test_extensions(run: Run, wire: Wire, tmp_path: Path) -> None:
    """Early hints, trailers, and a file by its path."""
    (tmp_path / "file").write_bytes(LARGE)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/file":
            await send(OK)
            await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})
            return
        await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload", b"</b>; rel=preload"]})
        await send({**OK, "trailers": True})
        await send(body(b"he", more=True))
        await send(body(b"llo"))
        await send({"type": "http.response.trailers", "headers": [(b"x-a", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"x-b", b"2")]})

    async def main() -> None:
        async with serving(wire, app) as server, wire.peer(server) as peer:
            for _ in range(2):
                answer = await peer.get("/")
                assert [hint[b":status"] for hint in answer.informational] == [b"103"]
                assert (answer.body, answer.trailers, answer.ended) == (
                    b"hello",
                    [(b"x-a", b"1"), (b"x-b", b"2")],
                    True,
                )
                answer = await peer.get("/file")
                assert (answer.body, answer.header(b"content-length")) == (LARGE, str(len(LARGE)).encode())
                head = await peer.get("/file", "HEAD")
                assert (head.body, head.header(b"content-length")) == (b"", str(len(LARGE)).encode())

    run(main())


def test_content(run: Run, wire: Wire) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/echo":  # while it comes
            await send(OK)
            while (message := await receive())["more_body"]:
                await send(body(message["body"], more=True))
            await send(body(message["body"]))
            return
        data = await content(receive) if scope["path"] == "/read" else b"early"
        await send(OK)
        await send(body(data))

    async def main() -> None:
        async with serving(wire, app) as server, wire.peer(server) as peer:
            for path in ("/read", "/echo"):
                for size in (0, 1, len(LARGE)):
                    assert (await peer.post(path, LARGE[:size])).body == LARGE[:size]
            number = await peer.open("/echo", "POST", end=False)
            for piece in (b"one ", b"two ", b"three"):
                await peer.send(number, piece)
                await peer.until(lambda piece=piece: peer.answers[number].body.endswith(piece))
            await peer.finish(number, b"", [("x-sum", "7")])
            assert (await peer.over(number)).body == b"one two three"
            for size in (10, 100_000):
                number = await peer.open("/early", "POST", [("content-length", str(size))], end=False)
                assert (await peer.over(number)).body == b"early"
                assert (await peer.get("/early")).body == b"early"

    run(main())


def test_100_continue_goes_out_when_content_is_asked_for(run: Run, wire: Wire) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        data = b"not asked" if scope["path"] == "/no" else await content(receive)
        await send(OK)
        await send(body(data))

    async def main() -> None:
        expect = [("expect", "100-continue"), ("content-length", "5")]
        async with serving(wire, app) as server, wire.peer(server) as peer:
            number = await peer.open("/", "POST", expect, end=False)
            answer = peer.answers[number]
            await peer.until(lambda: bool(answer.informational))
            await peer.send(number, b"hello", end=True)
            assert (await peer.over(number)).body == b"hello"
            assert [each[b":status"] for each in answer.informational] == [b"100"]
            answer = await peer.over(await peer.open("/no", "POST", expect, end=False))
            assert (answer.body, answer.informational) == (b"not asked", [])

    run(main())


@pytest.mark.parametrize(
    ("messages", "status", "is_whole"),
    [
        ([], 500, True),
        ([OK], 500, True),
        ([{**OK, "status": "200"}], 500, True),
        ([{**OK, "status": 99}, body()], 500, True),
        ([{**OK, "headers": [("x", "text")]}, body()], 500, True),
        ([{**OK, "headers": [(b"x", b"a\nb")]}, body()], 500, True),
        ([OK, {**body(), "body": "text"}], 500, True),
        ([{"type": "http.response.nonsense"}], 500, True),
        ([OK, body(b"part", more=True)], 200, False),
        ([OK, body(b"part", more=True), OK], 200, False),
        ([OK, body(b"part", more=True), {**body(), "body": "text"}], 200, False),
        ([{**OK, "headers": [(b"content-length", b"9")]}, body(b"short", more=True), body()], 200, False),
        ([{**OK, "headers": [(b"content-length", b"1")]}, body(b"too long")], 500, True),
        ([{**OK, "trailers": True}, body(b"x"), BAD_TRAILERS], 200, False),
        ([OK, body(b"whole"), body(b"more")], 200, True),
    ],
    ids=[
        "nothing",
        "start only",
        "status is text",
        "status 99",
        "headers are text",
        "LF",
        "body is text",
        "unknown message",
        "no end",
        "a second start",
        "text after a part",
        "short of its content-length",
        "longer than its content-length",
        "bad trailers",
        "more than the whole",
    ],
)  # fmt: skip
def test_what_an_application_gets_wrong_is_seen_by_its_client(
    run: Run, wire: Wire, messages: list[Any], status: int, is_whole: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages if scope["path"] == "/bad" else [OK, body(b"fine")]:
            await send(message)

    async def main() -> None:
        async with serving(wire, app) as server, wire.peer(server) as peer:
            answer = await peer.get("/bad")
            assert (answer.status, answer.ended, answer.reset is None) == (status, is_whole, is_whole)
            assert (await peer.get("/fine")).body == b"fine"
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    (line,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert line.getMessage().startswith("GET /bad from 127.0.0.1:")


def test_a_client_that_goes(run: Run, wire: Wire) -> None:
    """Who waits in `receive` is told, who waits for something else is cancelled, who sends gets an OSError."""
    ends: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        try:
            if path == "/receive":
                while (message := await receive())["type"] == "http.request":
                    pass
                ends.append(message["type"])
            elif path == "/wait":
                await asyncio.Event().wait()
            else:
                await send(OK)
                while True:
                    await send(body(LARGE, more=True))
        except BaseException as error:
            ends.append(type(error).__name__)
            raise

    async def main() -> None:
        async with serving(wire, app) as server:
            before = asyncio.all_tasks()
            for path in ("/receive", "/wait", "/send"):
                async with wire.peer(server) as peer:
                    number = await peer.open(path)
                    await settled(lambda: live_handlers(server) == 1)
                    if path == "/send":
                        peer.writer.transport.pause_reading()
                        assert server.service is not None
                        (driver,) = server.service.drivers
                        (exchange,) = driver.live.values()
                        before_that = -1
                        while (
                            before_that != exchange.sent or not exchange.blocked
                        ):  # until the kernel's buffers are full
                            before_that = exchange.sent
                            await asyncio.sleep(0.02)
                    peer.reset(number)
                    await settled(lambda: live_handlers(server) == 0)
            assert ends == ["http.disconnect", "CancelledError", ClientDisconnected.__name__]
            await settled(lambda: asyncio.all_tasks() <= before)

    run(main())


def test_a_drain_lets_the_running_request_finish(run: Run, wire: Wire) -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(OK)
        await send(body(b"begun ", more=True))
        await go_on.wait()
        await send(body(b"finished"))

    async def main() -> None:
        async with serving(wire, app) as server, wire.peer(server) as peer:
            number = await peer.open("/")
            await peer.started(number)
            server.begin_drain()
            go_on.set()
            answer = await peer.over(number)
            assert (answer.body, answer.ended) == (b"begun finished", True)
            await server.wait_closed()

    run(main())
