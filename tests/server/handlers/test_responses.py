"""Native handlers, through real sockets: what each kind of response puts on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving

pytestmark = pytest.mark.smoke


def test_a_buffered_response(run: Run) -> None:
    async def app(request: Request) -> Response:
        assert asyncio.current_task() is not None
        return Response(200, [(b"content-type", b"text/plain")], b"hello")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/")
            assert (answer.status, bytes(answer.body)) == (200, b"hello")
            assert answer.header(b"content-length") == b"5"
            date = answer.header(b"date")
            assert date is not None
            assert date.endswith(b" GMT")

    run(main())


def test_a_plain_function_serves_too(run: Run) -> None:
    def app(request: Request) -> Response:
        return Response.text(f"{request.method} {request.path} {request.query_string.decode()} {request.authority}")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/caf%C3%A9?a=1%20")
            assert answer.body.decode() == "GET /café a=1%20 localhost"

    run(main())


def test_headers_may_be_text_bytes_or_a_mapping(run: Run) -> None:
    async def app(request: Request) -> Response:
        match request.path:
            case "/text":
                return Response(200, [("X-Kind", "text")])
            case "/map":
                return Response.json({"a": [1]}, headers={"X-Kind": "map"})
            case "/once":
                return Response(200, ((name, "once") for name in ("X-Kind",)))
            case _:
                return Response.html("<p>é", 201, ((b"x-kind", b"octets"),))

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            text, mapping, data = await asyncio.gather(peer.get("/text"), peer.get("/map"), peer.get("/bytes"))
            assert text.header(b"x-kind") == b"text"
            assert (await peer.get("/once")).header(b"x-kind") == b"once"
            assert (mapping.header(b"content-type"), bytes(mapping.body)) == (b"application/json", b'{"a":[1]}')
            assert (data.status, data.body.decode(), data.header(b"x-kind")) == (201, "<p>é", b"octets")

    run(main())


@pytest.mark.parametrize(
    ("method", "status", "body", "length"),
    [("HEAD", 200, b"", b"5"), ("GET", 204, b"", None), ("GET", 304, b"", None), ("GET", 200, b"hello", b"5")],
)
def test_a_response_without_content_has_none(
    run: Run, method: str, status: int, body: bytes, length: bytes | None
) -> None:
    async def app(request: Request) -> Response:
        return Response(status, (), b"hello")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/", method)
            assert (answer.status, bytes(answer.body), answer.header(b"content-length")) == (status, body, length)
            assert (await peer.get("/", method)).ended

    run(main())


def test_a_large_body_arrives_whole_and_ends(run: Run) -> None:
    """The last chunk fills a window, END_STREAM must still come."""
    body = bytes(range(256)) * 4096

    async def app(request: Request) -> Response:
        return Response(200, (), body if request.path == "/big" else body[:65_535])

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/exactly-the-window")).body == body[:65_535]
            assert (await peer.get("/big")).body == body

    run(main())


async def _by_send(send: Send) -> None:
    await send(b"one ")
    await send(b"two ")
    await send(b"three", end=True, trailers=[(b"x-sum", b"13")])


async def _by_yield() -> AsyncIterator[bytes]:
    yield b"one "
    yield b"two "
    yield b"three"


async def _unfinished(send: Send) -> None:
    await send(b"one two three")


@pytest.mark.parametrize(
    ("producer", "trailers"),
    [(_by_send, [(b"x-sum", b"13")]), (_by_yield, None), (_by_yield(), None), (_unfinished, None)],
    ids=["send", "generator function", "generator", "send without end"],
)
def test_a_streamed_response(producer: Any, trailers: Any) -> None:
    async def app(request: Request) -> StreamResponse:
        return StreamResponse(200, [(b"x-kind", b"stream")], producer)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/")
            assert (bytes(answer.body), answer.trailers, answer.ended) == (b"one two three", trailers, True)
            assert answer.header(b"content-length") is None

    asyncio.run(main())


def test_early_hints_come_before_the_answer_and_are_not_it(run: Run) -> None:
    """A 103 is one more head before the response, and never its status."""

    async def app(request: Request) -> Response:
        await request.early_hints([("link", "</style.css>; rel=preload")])
        return Response(200, (), b"x")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/")
            assert answer.informational == [{b":status": b"103", b"link": b"</style.css>; rel=preload"}]
            assert answer.status == 200

    run(main())


@pytest.mark.parametrize(
    "headers",
    [[(b"x", b"a\r\nb: c")], [(b"x", b"\0")], [(b"bad name", b"x")], [(b"connection", b"close")], [(b"te", b"gzip")]],
    ids=["CRLF", "NUL", "space in a name", "connection", "te"],
)
def test_bad_headers_of_a_handler_are_a_500(
    run: Run, headers: list[tuple[bytes, bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(request: Request) -> Response:
        return Response(200, headers if request.path == "/bad" else (), b"x")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/bad")
            assert (answer.status, answer.ended) == (500, True)
            assert (await peer.get("/good")).status == 200

    run(main())
    (line,) = [each for each in caplog.records if each.name == "headrace.error"]
    assert "GET /bad" in line.getMessage()


def test_uppercase_names_are_lowered_on_the_wire(run: Run) -> None:
    async def app(request: Request) -> Response:
        return Response(200, [(b"X-Upper", b"1")], b"")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).header(b"x-upper") == b"1"

    run(main())
