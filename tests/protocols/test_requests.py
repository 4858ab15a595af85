"""What a native handler is told of a request, and its content, over every wire."""

from __future__ import annotations

import asyncio
from typing import cast

from headrace.server.connection.exchange import ServerExchange
from headrace.server.errors import ClientDisconnected
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response

from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, settled

BODY = bytes(range(256)) * 2_048


def test_what_was_asked(run: Run, wire: Wire) -> None:
    async def app(request: Request) -> Response:
        return Response.json(
            [request.method, request.path, request.query_string.decode(), request.scheme, request.authority,
             request.http_version, request.header("x-one"), request.content_length]
        )  # fmt: skip

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            answer = await peer.get("/caf%C3%A9?a=1%20", "PUT", [("x-one", "1"), ("x-one", "2")])
            assert answer.status == 200
            expected = f'["PUT","/café","a=1%20","{wire.scheme}","localhost","{wire.version}","1, 2",null]'
            assert answer.body.decode() == expected

    run(main())


def test_cookie_fields_are_one(run: Run, wire: Wire) -> None:
    """RFC 9113 §8.2.3, and the same for several lines of HTTP/1.1."""

    async def app(request: Request) -> Response:
        return Response.text(request.header("cookie") or "")

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            assert (await peer.get("/", headers=[("cookie", "a=1; b=2")])).body == b"a=1; b=2"

    run(main())


def test_content_comes_whole_in_one_and_in_pieces(run: Run, wire: Wire) -> None:
    async def app(request: Request) -> Response:
        if request.path == "/pieces":
            return Response(200, (), b"".join([piece async for piece in request.stream()]))
        return Response(200, [("x-length", str(request.content_length))], await request.read())

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            for path in ("/", "/pieces"):
                assert (await peer.post(path, BODY)).body == BODY
                number = await peer.open(path, "POST", end=False)
                for start in range(0, len(BODY), 50_000):
                    await peer.send(number, BODY[start : start + 50_000])
                await peer.send(number, b"", end=True)
                assert (await peer.over(number)).body == BODY
            assert (
                await peer.post("/", b"abc", [("content-length", "3")] if wire.version == "2" else ())
            ).body == b"abc"
            assert (await peer.post("/", b"")).body == b""

    run(main())


def test_the_trailers_of_a_request(run: Run, wire: Wire) -> None:
    async def app(request: Request) -> Response:
        body = await request.read()
        return Response(200, request.trailers, body)

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            number = await peer.open("/", "POST", end=False)
            await peer.finish(number, b"content", [("x-sum", "7")])
            answer = await peer.over(number)
            assert (answer.body, answer.header(b"x-sum")) == (b"content", b"7")

    run(main())


def test_content_beyond_the_limit_is_413(run: Run, wire: Wire) -> None:
    async def app(request: Request) -> Response:
        return Response(200, (), await request.read(limit=1_000))

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            assert (await peer.post("/", bytes(1_000))).status == 200
            assert (await peer.post("/", bytes(1_001))).status == 413
            number = await peer.open("/", "POST", end=False)
            await peer.send(number, bytes(2_000))
            assert (await peer.over(number)).status == 413
            assert (await peer.get("/")).status == 200

    run(main())


def test_100_continue_goes_out_when_content_is_asked_for(run: Run, wire: Wire) -> None:
    """RFC 9110 §10.1.1."""
    asked = asyncio.Event()

    async def app(request: Request) -> Response:
        if request.path == "/no":
            return Response(403, (), b"no")
        await asked.wait()
        return Response(200, (), await request.read())

    async def main() -> None:
        expect = [("expect", "100-continue"), ("content-length", "5")]
        async with wire.serving(app) as server, wire.peer(server) as peer:
            number = await peer.open("/", "POST", expect, end=False)
            answer = peer.answers[number]
            await settled(lambda: live_handlers(server) == 1)
            assert answer.informational == []
            asked.set()
            await peer.until(lambda: len(answer.informational) == 1)
            assert answer.informational[0][b":status"] == b"100"
            await peer.send(number, b"hello", end=True)
            assert (await peer.over(number)).body == b"hello"
            number = await peer.open("/no", "POST", expect, end=False)
            answer = await peer.over(number)
            assert (answer.status, answer.informational) == (403, [])
            assert (await peer.get("/")).status == 200

    run(main())


def test_an_upload_that_is_not_read_does_not_spoil_the_next_request(run: Run, wire: Wire) -> None:
    async def app(request: Request) -> Response:
        return Response(200, (), b"early")

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            for size in (10, 50_000, 2_000_000):
                number = await peer.open("/", "POST", [("content-length", str(size))], end=False)
                assert (await peer.over(number)).body == b"early"
                assert (await peer.get("/")).body == b"early"

    run(main())


def test_a_client_that_goes_away_ends_the_handler(run: Run, wire: Wire) -> None:
    """A handler that only waits is ended, too."""
    ends: list[str] = []

    async def app(request: Request) -> Response:
        try:
            if request.path == "/wait":
                await asyncio.Event().wait()
            await request.read()
        except BaseException as error:
            ends.append(f"{type(error).__name__} {request.is_disconnected}")
            raise
        return Response(200)

    async def main() -> None:
        async with wire.serving(app) as server:
            for path in ("/wait", "/read"):
                async with wire.peer(server) as peer:
                    number = await peer.open(path, "POST", end=False)
                    await settled(lambda: live_handlers(server) == 1)
                    peer.reset(number)
                    await settled(lambda: live_handlers(server) == 0)
            assert ends == ["CancelledError True", f"{ClientDisconnected.__name__} True"]

    run(main())


def test_a_handler_may_ask_not_to_be_cancelled(run: Run, wire: Wire) -> None:
    done = asyncio.Event()
    go_on = asyncio.Event()

    async def app(request: Request) -> Response:
        request.cancel_on_disconnect = False
        await go_on.wait()
        assert request.is_disconnected
        done.set()
        return Response(200)

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            number = await peer.open("/")
            await settled(lambda: live_handlers(server) == 1)
            peer.reset(number)
            (driver,) = server.service.drivers  # type: ignore[union-attr]  # it has started
            (exchange,) = cast("list[ServerExchange]", driver.live.values())
            await settled(lambda: exchange.gone is not None)
            go_on.set()
            await asyncio.wait_for(done.wait(), 10.0)

    run(main())


def test_too_many_and_too_large_fields_are_431(run: Run, wire: Wire) -> None:
    """RFC 6585 §5."""

    async def app(request: Request) -> Response:
        return Response(200)

    async def main() -> None:
        limits = {"max_fields": 20, "max_field_section_size": 8_192}
        async with wire.serving(app, limits=limits) as server, wire.peer(server) as peer:
            assert (await peer.get("/", headers=[(f"x-{n}", "1") for n in range(15)])).status == 200
            assert (await peer.get("/", headers=[(f"x-{n}", "1") for n in range(25)])).status == 431
            assert (await peer.get("/", headers=[("x-large", "x" * 9_000)])).status == 431
            assert (await peer.get("/")).status == 200

    run(main())
