"""BodyLimit: 413 at once where the length is said, else as soon as too much has come."""

from __future__ import annotations

import pytest

from headrace import Request, Response, Route, Router, StreamResponse
from headrace.server.middleware import BodyLimit

from tests.support.h2_peer import H2Peer
from tests.support.requests import answer, request
from tests.support.serving import Run, port, serving

called: list[str] = []


async def read(request: Request) -> Response:
    called.append("read")
    return Response(200, [], b"%d" % len(await request.read()))


async def stream(request: Request) -> Response:
    called.append("stream")
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return Response(200, [], b"%d" % size)


async def ignore(request: Request) -> Response:
    return Response(200, [], b"not read")


def routes(*limits: int) -> Router:
    middleware = [BodyLimit(each) for each in limits]
    return Router(
        [Route(f"/{each.__name__}", each, methods=["POST"], middleware=middleware) for each in (read, stream, ignore)]
    )


@pytest.mark.parametrize("path", ["/read", "/stream", "/ignore"])
def test_a_length_that_is_said_is_refused_before_the_handler(run: Run, path: str) -> None:
    called.clear()

    async def main() -> None:
        async with serving(routes(10)) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open(path, "POST", [("content-length", "11")], end=False)
            answered = await peer.over(stream_id)  # nothing of the content was sent
            assert (answered.status, bytes(answered.body)) == (413, b"Content Too Large\n")

    run(main())
    assert called == []


@pytest.mark.parametrize("path", ["/read", "/stream"])
def test_what_comes_without_a_length_is_counted(run: Run, path: str) -> None:
    async def main() -> None:
        async with serving(routes(10)) as server, H2Peer.connected(port(server)) as peer:
            answered = await peer.post(path, b"x" * 10)
            assert (answered.status, bytes(answered.body)) == (200, b"10")
            stream_id = peer.open(path, "POST", end=False)
            await peer.send(stream_id, b"x" * 8)
            await peer.send(stream_id, b"x" * 3)  # the request has not ended
            assert (await peer.over(stream_id)).status == 413

    run(main())


def test_of_several_the_smallest_counts(run: Run) -> None:
    async def main() -> None:
        for limits in ((5, 100), (100, 5)):
            async with serving(routes(*limits)) as server, H2Peer.connected(port(server)) as peer:
                assert (await peer.post("/stream", b"x" * 5)).status == 200
                assert (await peer.post("/stream", b"x" * 6)).status == 413

    run(main())


def test_read_asks_for_no_more_than_its_own_limit_either(run: Run) -> None:
    async def three(request: Request) -> Response:
        return Response(200, [], await request.read(3))

    router = Router([Route("/", three, methods=["POST"])], middleware=[BodyLimit(10)])

    async def main() -> None:
        async with serving(router) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.post("/", b"xxx")).status == 200
            assert (await peer.post("/", b"xxxx")).status == 413

    run(main())


def test_too_much_after_the_headers_resets_the_stream(run: Run) -> None:
    async def echo(request: Request) -> StreamResponse:
        return StreamResponse(200, [], request.stream())

    router = Router([Route("/", echo, methods=["POST"])], middleware=[BodyLimit(10)])

    async def main() -> None:
        async with serving(router) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/", "POST", end=False)
            await peer.send(stream_id, b"x" * 8)
            assert (await peer.started(stream_id)).status == 200
            await peer.send(stream_id, b"x" * 8)
            assert (await peer.over(stream_id)).reset == 2

    run(main())


def test_zero_lets_nothing_pass_but_empty_requests() -> None:
    limited = Router([Route("/", ignore, methods=None)], middleware=[BodyLimit(0)])
    assert answer(limited, request()).status == 200
    with pytest.raises(ValueError, match="the limit of a BodyLimit is -1; it cannot be below 0"):
        BodyLimit(-1)
