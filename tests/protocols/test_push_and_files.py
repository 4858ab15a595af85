"""Loop, event and file responses, with the same assertions over every wire."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.bus import LocalBus
from headrace.server.files.response import FileResponse
from headrace.server.handlers.events import Event, EventStream
from headrace.server.handlers.loop import STOP, LoopResponse
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response

from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, settled

CONTENT = bytes(range(256)) * 4_000


class Room:
    """An application: `/` is a loop on the topic `room`, everything else is answered at once."""

    def __init__(self, **options: Any) -> None:
        self.bus = LocalBus()
        self.ends: list[str] = []
        self.options = options

    async def on_message(self, message: Any, push: Any, state: Any) -> Any:
        if message == "stop":
            return STOP
        if message == "fail":
            raise OSError("it failed")
        await push(message)
        return None

    async def __call__(self, request: Request) -> Response | LoopResponse:
        if request.path != "/":
            return Response.text("at once")
        return LoopResponse(
            on_message=self.on_message,
            on_end=lambda reason, state: self.ends.append(reason),
            topics=["room"],
            bus=self.bus,
            **self.options,
        )


def test_a_loop_pushes_and_stops_and_the_connection_goes_on(run: Run, wire: Wire) -> None:
    app = Room()

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            for _ in range(2):
                number = await peer.open("/")
                answer = await peer.started(number)
                app.bus.publish("room", b"one ")
                await peer.until(lambda answer=answer: answer.body == b"one ")
                for message in (b"", b"two ", b"three", "stop", b"too late"):
                    app.bus.publish("room", message)
                await peer.over(number)
                assert (answer.status, answer.body, answer.ended) == (200, b"one two three", True)
                assert (await peer.get("/else")).body == b"at once"
            assert app.ends == ["stopped", "stopped"]

    run(main())


def test_a_loop_whose_client_goes(run: Run, wire: Wire) -> None:
    app = Room()

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            number = await peer.open("/")
            await peer.started(number)
            peer.reset(number)
            await settled(lambda: live_handlers(server) == 0)
            assert app.ends == ["disconnected"]
            assert app.bus.publish("room", b"nobody") == 0

    run(main())


def test_a_loop_that_fails_is_cut_off(run: Run, wire: Wire) -> None:
    app = Room()

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            number = await peer.open("/")
            await peer.started(number)
            app.bus.publish("room", b"part")
            app.bus.publish("room", "fail")
            answer = await peer.over(number)
            assert (answer.ended, answer.reset is None) == (False, False)
            assert (await peer.get("/else")).body == b"at once"
            assert app.ends == ["failed"]

    run(main())


def test_a_loop_ends_when_the_server_drains(run: Run, wire: Wire) -> None:
    app = Room()

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            number = await peer.open("/")
            await peer.started(number)
            server.begin_drain()
            answer = await peer.over(number)
            assert (answer.ended, answer.reset) == (True, None)
            await server.wait_closed()
            assert app.ends == ["drained"]

    run(main())


def test_a_client_that_does_not_read_is_given_up_by_the_policy(run: Run, wire: Wire) -> None:
    """Its mailbox and its write buffer are all that it costs, and other clients do not notice."""
    app = Room(mailbox_size=4, overflow="disconnect")

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer, wire.peer(server) as other:
            await peer.started(await peer.open("/"))
            peer.writer.transport.pause_reading()
            piece = bytes(1_000_000)
            while app.bus.publish("room", piece):
                await asyncio.sleep(0)
            await settled(lambda: live_handlers(server) == 0)
            assert app.ends == ["overflowed"]
            assert (await other.get("/else")).body == b"at once"
            peer.writer.transport.abort()

    run(main())


def test_an_event_stream(run: Run, wire: Wire) -> None:
    async def events() -> AsyncIterator[Event]:
        for number in range(3):
            yield Event(str(number), id=str(number))

    async def main() -> None:
        async with wire.serving(lambda request: EventStream(events())) as server, wire.peer(server) as peer:
            for _ in range(2):
                answer = await peer.get("/")
                assert answer.body == b"id: 0\ndata: 0\n\nid: 1\ndata: 1\n\nid: 2\ndata: 2\n\n"
                assert (answer.header(b"content-type"), answer.ended) == (b"text/event-stream", True)

    run(main())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "data.txt"
    found.write_bytes(CONTENT)
    return found


def test_a_file_and_parts_of_it(run: Run, wire: Wire, path: Path) -> None:
    parts = [(0, len(CONTENT)), (0, 0), (0, 1), (1, 65_536), (7, 65_537), (1_000, 700_000), (len(CONTENT), 0)]

    def app(request: Request) -> FileResponse:
        offset, length = parts[int(request.query_string)]
        return FileResponse(206, (), path, offset, length)

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            for number, (offset, length) in enumerate(parts):
                answer = await peer.get(f"/?{number}")
                assert (answer.status, answer.ended) == (206, True)
                assert answer.body == CONTENT[offset : offset + length]
                head = await peer.get(f"/?{number}", "HEAD")
                assert (head.status, bytes(head.body), head.ended) == (206, b"", True)
                for each in (answer, head):
                    assert each.header(b"content-length") == str(length).encode()
                    assert each.header(b"content-type") == b"text/plain; charset=utf-8"

    run(main())


def test_a_file_that_is_not_there(run: Run, wire: Wire, path: Path) -> None:
    async def main() -> None:
        app = FileResponse(200, (), path.with_name("other"))
        async with wire.serving(lambda request: app) as server, wire.peer(server) as peer:
            for _ in range(2):
                assert (await peer.get("/")).status == 500

    run(main())


@pytest.mark.parametrize("end", ["cut short", "client goes"])
def test_a_file_that_does_not_reach_its_end(run: Run, wire: Wire, path: Path, end: str) -> None:
    """Cut off, never a short success. And its descriptor is closed."""
    size = 64 * 1024 * 1024
    os.truncate(path, size)

    def is_open() -> bool:
        return any(os.path.realpath(f"/proc/self/fd/{each}") == str(path) for each in os.listdir("/proc/self/fd"))

    async def main() -> None:
        async with (
            wire.serving(lambda request: FileResponse(200, (), path)) as server,
            wire.peer(server) as peer,
        ):
            number = await peer.open("/")
            answer = await peer.started(number)
            assert is_open()
            if end == "cut short":
                os.truncate(path, 1_000_000)
                await peer.over(number)
                assert (answer.ended, answer.reset is None) == (False, False)
                assert len(answer.body) < size
            else:
                peer.reset(number)
            await settled(lambda: live_handlers(server) == 0 and not is_open())

    run(main())
