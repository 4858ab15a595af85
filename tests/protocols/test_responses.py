"""The five responses and their faults, with the same assertions over every wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.server.errors import HTTPError
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse

from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, settled

LARGE = bytes(range(256)) * 8_192


def test_buffered(run: Run, wire: Wire) -> None:
    async def app(request: Request) -> Response:
        if request.path == "/large":
            return Response(200, (), LARGE)
        return Response.text("hello", 201, [("x-one", "1"), ("x-one", "2")])

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            for _ in range(3):
                answer = await peer.get("/")
                assert (answer.status, answer.body, answer.ended) == (201, b"hello", True)
                assert answer.header(b"content-length") == b"5"
                assert [value for name, value in answer.headers if name == b"x-one"] == [b"1", b"2"]
                assert answer.header(
                    b"date",
                ).endswith(b" GMT")
                assert (await peer.get("/large")).body == LARGE

    run(main())


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_no_content_where_there_is_none(run: Run, wire: Wire, method: str, status: int) -> None:
    """RFC 9110 §6.4.1."""

    async def app(request: Request) -> Response | StreamResponse:
        if request.path == "/stream":
            return StreamResponse(status, (), pieces())
        return Response(status, (), b"hello")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"hello"

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            for path in ("/", "/stream", "/"):
                answer = await peer.get(path, method)
                assert (answer.status, bytes(answer.body), answer.ended) == (status, b"", True)

    run(main())


def test_streamed_with_trailers(run: Run, wire: Wire) -> None:
    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            await send(b"one ")
            await send(b"two")
            await send(b"", end=True, trailers=[("x-sum", "7")])

        return StreamResponse(200, [("content-type", "text/plain"), ("trailer", "x-sum")], produce)

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            for _ in range(2):
                answer = await peer.get("/")
                assert (answer.status, answer.body, answer.ended) == (200, b"one two", True)
                assert answer.trailers == [(b"x-sum", b"7")]

    run(main())


def test_an_async_generator_is_streamed_and_closed(run: Run, wire: Wire) -> None:
    closed: list[str] = []

    async def app(request: Request) -> StreamResponse:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                for _ in range(64):
                    yield LARGE[:65_536]
                while request.path == "/endless":
                    yield LARGE[:65_536]
            finally:
                closed.append(request.path)

        return StreamResponse(200, (), pieces())

    async def main() -> None:
        async with wire.serving(app) as server:
            async with wire.peer(server) as peer:
                assert (await peer.get("/whole")).body == LARGE[:65_536] * 64
            async with wire.peer(server) as peer:
                number = await peer.open("/endless")
                await peer.started(number)
                peer.reset(number)
                await settled(lambda: live_handlers(server) == 0)
            assert closed == ["/whole", "/endless"]

    run(main())


def test_pieces_arrive_as_they_are_sent(run: Run, wire: Wire) -> None:
    go_on = asyncio.Event()

    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            await send(b"first")
            await go_on.wait()
            await send(b" second")

        return StreamResponse(200, (), produce)

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            number = await peer.open("/")
            answer = peer.answers[number]
            await peer.until(lambda: bytes(answer.body) == b"first")
            go_on.set()
            assert (await peer.over(number)).body == b"first second"

    run(main())


def test_a_length_that_the_application_gave_is_kept(run: Run, wire: Wire) -> None:
    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            await send(b"x" * int(request.query_string or b"10"))

        return StreamResponse(200, [("content-length", "10")], produce)

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            answer = await peer.get("/")
            assert (answer.header(b"content-length"), len(answer.body), answer.ended) == (b"10", 10, True)
            short = await peer.get("/?4")
            assert short.reset is not None and not short.ended, "nobody may take a part for the whole"
            long = await peer.get("/?40")
            assert long.reset is not None and len(long.body) <= 10

    run(main())


def test_early_hints(run: Run, wire: Wire) -> None:
    """RFC 8297."""

    async def app(request: Request) -> Response:
        await request.early_hints([("link", "</a.css>; rel=preload")])
        return Response.text("done")

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            for _ in range(2):
                answer = await peer.get("/")
                (hint,) = answer.informational
                assert (hint[b":status"], hint[b"link"]) == (b"103", b"</a.css>; rel=preload")
                assert (answer.status, answer.body) == (200, b"done")

    run(main())


def crash(request: Request) -> Any:
    raise RuntimeError("boom")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (crash, 500),
        (lambda request: None, 500),
        (lambda request: "text", 500),
        (lambda request: Response(200, [("x-bad", "a\r\nb: c")]), 500),
        (lambda request: Response(200, [("bad name", "a")]), 500),
        (lambda request: Response(99), 500),
        (lambda request: Response(200, [("content-length", "3")], b"four"), 500),
    ],
)
def test_a_handler_that_fails_gives_500_and_one_line(
    run: Run, wire: Wire, caplog: pytest.LogCaptureFixture, answer: Any, status: int
) -> None:
    async def app(request: Request) -> Any:
        return answer(request) if request.path == "/bad" else Response.text("fine")

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            found = await peer.get("/bad")
            assert (found.status, found.ended) == (status, True)
            assert b"boom" not in found.body and b"a\r\nb" not in found.body
            assert (await peer.get("/")).body == b"fine"

    run(main())
    assert len([each for each in caplog.records if each.name == "headrace.error"]) == 1


def test_an_http_error_is_its_answer(run: Run, wire: Wire) -> None:
    async def app(request: Request) -> Response:
        raise HTTPError(418, "a teapot")

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            answer = await peer.get("/")
            assert (answer.status, answer.body) == (418, b"a teapot\n")

    run(main())


def test_a_crash_in_the_middle_is_never_a_short_success(run: Run, wire: Wire) -> None:
    async def app(request: Request) -> Any:
        async def produce(send: Send) -> None:
            await send(b"a part")
            await send(b" and more")
            raise RuntimeError("boom")

        return StreamResponse(200, (), produce) if request.path == "/bad" else Response.text("fine")

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            answer = await peer.get("/bad")
            assert answer.status == 200 and not answer.ended and answer.reset is not None
            assert (await peer.get("/")).body == b"fine"

    run(main())


def test_a_slow_reader_slows_the_producer(run: Run, wire: Wire) -> None:
    sent = 0

    async def app(request: Request) -> Any:
        async def produce(send: Send) -> None:
            nonlocal sent
            while True:
                await send(LARGE[:65_536])
                sent += 65_536

        return StreamResponse(200, (), produce)

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            peer.writer.transport.pause_reading()
            number = await peer.open("/")
            before = -1
            while before != sent or sent == 0:  # until the kernel's buffers are full
                before = sent
                await asyncio.sleep(0.05)
            assert sent < 60_000_000
            peer.reset(number)
            peer.writer.transport.abort()
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_a_drain_lets_the_running_request_finish(run: Run, wire: Wire) -> None:
    go_on = asyncio.Event()

    async def app(request: Request) -> Response:
        before = request.connection.drain_deadline
        await go_on.wait()
        after = request.connection.drain_deadline
        assert before is None and after is not None
        return Response.text("finished")

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer, wire.peer(server) as idle:
            number = await peer.open("/")
            await settled(lambda: live_handlers(server) == 1)
            server.begin_drain()
            go_on.set()
            answer = await peer.over(number)
            assert (answer.status, answer.body, answer.ended) == (200, b"finished", True)
            await idle.until_closed()
            await peer.until_closed()
            await server.wait_closed()

    run(main())
