"""What native handlers read: content with back-pressure, trailers, limits, 100-continue."""

from __future__ import annotations

import asyncio

import pytest

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving, settled


def test_content_comes_whole_and_in_pieces(run: Run) -> None:
    async def app(request: Request) -> Response:
        if request.path == "/read":
            return Response(200, (), await request.read())
        sizes = [len(chunk) async for chunk in request.stream()]
        return Response.text(f"{sum(sizes)} {dict(request.trailers)!r}")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            body = bytes(range(256)) * 8000
            assert (await peer.post("/read", body)).body == body
            stream_id = peer.open("/stream", "POST", end=False)
            await peer.send(stream_id, body)
            peer.conn.send_headers(stream_id, [("x-sum", "9")], end_stream=True)
            peer.flush()
            assert (await peer.over(stream_id)).body == b"2048000 {b'x-sum': b'9'}"
            assert (await peer.get("/read")).body == b""

    run(main())


@pytest.mark.parametrize("is_announced", [True, False])
def test_too_large_a_body_is_a_413_and_the_connection_goes_on(run: Run, is_announced: bool) -> None:
    """The answer comes early, the rest of the upload does no harm and its credit comes back."""

    async def app(request: Request) -> Response:
        return Response(200, (), await request.read(1000))

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            for _ in range(30):  # together more than the connection's window
                headers = [("content-length", "60000")] if is_announced else []
                stream_id = peer.open("/", "POST", headers, end=False)
                peer.conn.send_data(stream_id, bytes(16_000))
                peer.conn.send_data(stream_id, bytes(16_000))
                peer.flush()
                answer = await peer.over(stream_id)
                assert answer.status == 413
            assert (await peer.post("/", b"small")).body == b"small"
            assert not peer.goaways

    run(main())


def test_max_body_size_is_the_default_limit(run: Run) -> None:
    async def app(request: Request) -> Response:
        return Response(200, (), await request.read())

    async def main() -> None:
        async with serving(app, max_body_size=10) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.post("/", b"0123456789")).status == 200
            assert (await peer.post("/", b"0123456789a")).status == 413

    run(main())


def test_100_continue_is_sent_when_the_handler_reads(run: Run) -> None:
    async def app(request: Request) -> Response:
        if request.path == "/no":
            return Response(401)
        return Response(200, (), await request.read())

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            expect = [("expect", "100-continue"), ("content-length", "4")]
            stream_id = peer.open("/yes", "POST", expect, end=False)
            await peer.until(lambda: bool(peer.answers[stream_id].informational))
            await peer.send(stream_id, b"body", end=True)
            answer = await peer.over(stream_id)
            assert answer.informational == [{b":status": b"100"}]
            assert bytes(answer.body) == b"body"
            # Never once the final answer is there.
            answer = await peer.over(peer.open("/no", "POST", expect, end=False))
            assert (answer.status, answer.informational) == (401, [])

    run(main())


def test_content_is_not_taken_from_the_network_before_the_handler_wants_it(run: Run) -> None:
    """A stream's window opens as the handler consumes."""
    window = 65_536
    may_read = asyncio.Event()

    async def app(request: Request) -> Response:
        await may_read.wait()
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        return Response.text(str(size))

    async def main() -> None:
        async with (
            serving(app, limits={"initial_stream_window": window}) as server,
            H2Peer.connected(port(server)) as peer,
        ):
            await peer.ping()  # our SETTINGS count from here
            stream_id = peer.open("/", "POST", end=False)
            await peer.send(stream_id, bytes(window))
            await peer.ping()
            assert peer.room(stream_id) == 0
            may_read.set()
            await peer.send(stream_id, bytes(3 * window), end=True)
            assert (await peer.over(stream_id)).body == str(4 * window).encode()

    run(main())


def test_an_upload_that_nobody_reads_does_not_stop_its_siblings(run: Run) -> None:
    """An upload that nobody reads: siblings on the same connection, GET and POST, go on."""

    async def app(request: Request) -> Response:
        if request.path == "/stuck":
            await asyncio.Event().wait()
        return Response(200, (), await request.read())

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            await peer.ping()
            stuck = [peer.open("/stuck", "POST", end=False) for _ in range(3)]
            for stream_id in stuck:
                await peer.send(stream_id, bytes(262_144))
            assert [peer.room(stream_id) for stream_id in stuck] == [0, 0, 0]
            body = bytes(range(256)) * 8192
            assert (await peer.get("/")).status == 200
            assert (await peer.post("/", body)).body == body

    run(main())


def test_a_client_that_leaves_ends_the_reading(run: Run) -> None:
    seen: list[BaseException] = []

    async def app(request: Request) -> Response:
        try:
            await request.read()
        except BaseException as error:
            seen.append(error)
            assert request.is_disconnected
            raise
        return Response()

    async def main() -> None:
        async with serving(app) as server:
            async with H2Peer.connected(port(server)) as peer:
                stream_id = peer.open("/", "POST", end=False)
                await peer.send(stream_id, b"part")
                await peer.ping()
                peer.reset(stream_id)
                await settled(lambda: len(seen) == 1)
                peer.open("/", "POST", end=False)
                await peer.ping()
            await settled(lambda: len(seen) == 2)
            assert [isinstance(error, OSError) for error in seen] == [True, True]

    run(main())
