"""What a failing handler leaves on the wire: 500 before its headers, RST_STREAM after; siblings unharmed."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from headrace.server.errors import HTTPError
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled

INTERNAL_ERROR = 2
CANCEL = 8


async def _fails_before(request: Request) -> Response:
    raise RuntimeError("before")


async def _fails_after(request: Request) -> StreamResponse:
    async def produce(send: Send) -> None:
        await send(b"part")
        raise RuntimeError("after")

    return StreamResponse(200, (), produce)


async def _exits(request: Request) -> Response:
    sys.exit(3)


async def _returns_nothing(request: Request) -> Any:
    return None


async def _cancels_itself(request: Request) -> Response:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)
    return Response()


async def _says_http_error(request: Request) -> Response:
    raise HTTPError(418, "short and stout")


@pytest.mark.parametrize(
    ("handler", "status", "reset", "logged"),
    [
        (_fails_before, 500, None, 1),
        (_fails_after, 200, INTERNAL_ERROR, 1),
        (_exits, 500, None, 1),
        (_returns_nothing, 500, None, 1),
        (_cancels_itself, None, INTERNAL_ERROR, 0),
        (_says_http_error, 418, None, 0),
    ],
)
def test_a_failing_handler(
    run: Run, handler: Any, status: int | None, reset: int | None, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(request: Request) -> Any:
        return await handler(request) if request.path == "/fail" else Response(200, (), b"fine")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/fail")
            assert (answer.status, answer.reset) == (status, reset)
            assert (await peer.get("/")).body == b"fine"
            assert live_handlers(server) == 0

    run(main())
    lines = [each for each in caplog.records if each.name == "headrace.error"]
    assert len(lines) == logged
    for line in lines:
        assert "GET /fail from 127.0.0.1:" in line.getMessage()
        assert line.exc_info is not None


def test_a_worker_that_is_killed_resets_its_stream(run: Run) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def app(request: Request) -> Response:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await asyncio.Event().wait()
        return Response()

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await settled(lambda: bool(tasks))
            tasks[0].cancel()
            assert (await peer.over(stream_id)).reset == INTERNAL_ERROR

    run(main())


def test_the_log_line_cannot_be_forged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(_fails_before) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/" + "a" * 2000)).status == 500

    run(main())
    (line,) = [each for each in caplog.records if each.name == "headrace.error"]
    assert len(line.getMessage()) < 700


def test_a_disconnect_cancels_a_handler_that_only_waits(run: Run) -> None:
    ended: list[str] = []

    async def app(request: Request) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(request.path)
        return Response()

    async def main() -> None:
        async with serving(app) as server:
            async with H2Peer.connected(port(server)) as peer:
                stream_id = peer.open("/reset")
                await peer.ping()
                peer.reset(stream_id)
                await settled(lambda: ended == ["/reset"])
                peer.open("/left")
                await peer.ping()
                assert live_handlers(server) == 1
            await settled(lambda: ended == ["/reset", "/left"])
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_a_handler_may_ask_to_finish_though_the_client_has_gone(run: Run) -> None:
    go_on = asyncio.Event()
    ended: list[bool] = []

    async def app(request: Request) -> Response:
        await go_on.wait()
        ended.append(request.is_disconnected)
        return Response()

    app.cancel_on_disconnect = False  # type: ignore[attr-defined]

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            peer.reset(peer.open("/"))
            await peer.ping()
            assert live_handlers(server) == 1
            go_on.set()
            await settled(lambda: ended == [True])
            assert (await peer.get("/")).status == 200

    run(main())


def test_a_writer_that_waits_for_the_window_learns_of_the_reset(run: Run) -> None:
    seen: list[BaseException] = []

    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            try:
                while True:
                    await send(bytes(16_384))
            except BaseException as error:
                seen.append(error)
                raise

        return StreamResponse(200, (), produce)

    async def main() -> None:
        async with serving(app) as server:
            async with H2Peer.connected(port(server), gives_credit=False) as peer:
                stream_id = peer.open("/")
                await peer.until(lambda: len(peer.answers[stream_id].body) == 65_535)
                await peer.ping()
                assert not seen
                peer.reset(stream_id)
                await settled(lambda: len(seen) == 1)
                peer.open("/")
                await peer.ping()
            await settled(lambda: len(seen) == 2)
            assert [isinstance(error, OSError) for error in seen] == [True, True]

    run(main())


@pytest.mark.parametrize(
    ("error", "lines"), [(None, 0), (ValueError("because of it"), 0), (RuntimeError("a fault of its own"), 1)]
)
def test_what_follows_from_a_disconnect_is_not_an_error(
    error: Exception | None, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(request: Request) -> Response:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(request.read())
        except* OSError as caught:
            if error is None:
                raise
            if isinstance(error, ValueError):
                raise error from caught
        if error is not None:
            raise error
        return Response()

    async def main() -> None:
        async with serving(app) as server:
            async with H2Peer.connected(port(server)) as peer:
                peer.open("/", "POST", end=False)
                await peer.ping()
            await settled(lambda: live_handlers(server) == 0)

    asyncio.run(main())
    found = [each.getMessage() for each in caplog.records if each.name == "headrace.error"]
    assert len(found) == lines
    assert all("RuntimeError after the client had gone: a fault of its own" in each for each in found)
