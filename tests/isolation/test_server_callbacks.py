"""What the server calls beside handlers runs in the context of the request that it is about, or in nobody's.

Telemetry is told while other requests run, messages come from other requests, and a handler may begin the drain.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from headrace.bus import LocalBus
from headrace.engine.limits import Limits
from headrace.server.app import Server
from headrace.server.handlers.loop import STOP, Drain, LoopResponse
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.settings.config import Config
from headrace.server.telemetry.interface import Telemetry

from tests.isolation.probes import CLEAN, START, USER, User
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, settled


def who() -> str | None:
    user = USER.get()
    return None if user is None else user.name


class Recorder(Telemetry):
    """Notes in whose context each call comes, and that none comes from without the server."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None, str | None]] = []
        """What was told, whom it is about, in whose context."""
        self.paths: dict[int, str] = {}

    def _note(self, what: str, about: str | None) -> None:
        assert START.get() == CLEAN[1], (what, "in a context that is not the server's")
        self.calls.append((what, about, who()))

    def connection_opened(self, connection: Any) -> None:
        self._note("connection_opened", None)

    def connection_closed(self, connection: Any, duration_s: float) -> None:
        self._note("connection_closed", None)

    def request_started(self, request: Any) -> None:
        self.paths[request.stream_id] = request.head.path.decode()
        self._note("request_started", request.head.path.decode())
        USER.set(User(request.head.path.decode()))  # as a tracer does

    def request_failed(self, request: Any, error: BaseException) -> None:
        self._note("request_failed", request.head.path.decode())

    def request_stopped(self, request: Any, duration_s: float) -> None:
        self._note("request_stopped", request.head.path.decode())

    def stream_reset(self, connection: Any, stream_id: int, by: str, code: int) -> None:
        self._note("stream_reset", self.paths.get(stream_id))

    def drain_began(self, service: Any, timeout_s: float) -> None:
        self._note("drain_began", None)

    def check(self, *expected: str) -> None:
        assert set(expected) <= {what for what, _, _ in self.calls}
        wrong = [each for each in self.calls if each[2] not in (None, each[1])]
        assert not wrong, wrong


class Site:
    """Event streams that other requests fill, and a request that ends the server."""

    def __init__(self) -> None:
        self.bus = LocalBus()
        self.streams: dict[str, LoopResponse] = {}
        self.noticed: list[tuple[str, str, str | None]] = []
        self.server: Server | None = None

    async def app(self, request: Request) -> Any:
        path = request.path
        if path.startswith("/stream"):

            async def on_message(message: Any, push: Any, state: Any) -> None:
                self.noticed.append(("message", path, who()))
                await push(b"m")

            async def on_notice(notice: Any, push: Any, state: Any) -> Any:
                self.noticed.append((type(notice).__name__, path, who()))
                return STOP if isinstance(notice, Drain) else None

            async def on_end(reason: str, state: Any) -> None:
                self.noticed.append((reason, path, who()))

            response = LoopResponse(
                on_message=on_message,
                on_notice=on_notice,
                on_end=on_end,
                topics=["news"],
                bus=self.bus,
                mailbox_size=4,
                overflow="disconnect",
                idle_s=0.01,
            )
            self.streams[path] = response
            return response
        if path == "/publish":
            self.bus.publish("news", "hello")
        elif path == "/flood":
            for _ in range(10):
                self.streams["/stream/1"].mailbox.put("one of too many")
        elif path == "/threads":
            await asyncio.to_thread(self.bus.publish_threadsafe, "news", "from a thread")
        elif path == "/drain":
            assert self.server is not None
            self.server.begin_drain()
        elif path == "/fail":
            raise RuntimeError("as it was asked to")
        return Response(200, (), (who() or "").encode())


def test_messages_overflow_telemetry_and_drain(run: Run) -> None:
    async def main() -> None:
        site = Site()
        recorder = Recorder()
        context = contextvars.copy_context()
        context.run(START.set, CLEAN[1])
        site.server = server = Server(
            site.app, Config(bind="127.0.0.1:0", limits=Limits(frames_per_turn=100)), telemetry=recorder
        )
        await asyncio.get_running_loop().create_task(server.start(), context=context)
        async with H2Peer.connected(port(server)) as peer:
            one, other = peer.open("/stream/1"), peer.open("/stream/2")
            await settled(lambda: len(site.streams) == 2)
            await peer.started(one)
            for path in ("/publish", "/threads", "/fail"):
                await peer.get(path)
            await settled(lambda: sum(kind == "message" for kind, _, _ in site.noticed) == 4)
            await settled(lambda: any(kind == "Idle" for kind, _, _ in site.noticed))
            assert (await peer.get("/flood")).body == b"/flood"
            await peer.over(one)
            assert peer.answers[one].reset is not None
            peer.open("/drain")
            await peer.over(other)
            await server.wait_closed()
        assert {kind for kind, _, _ in site.noticed} >= {"message", "Idle", "Drain", "overflowed"}
        assert [each for each in site.noticed if each[1] != each[2]] == []
        recorder.check(
            "connection_opened", "connection_closed", "request_started", "request_stopped", "request_failed",
            "stream_reset", "drain_began",
        )  # fmt: skip

    run(main())


def test_workers_that_are_cancelled_by_another_one(run: Run) -> None:
    """The end of a drain cancels workers, up to Python 3.11 also such as have not begun."""

    async def main() -> None:
        recorder = Recorder()
        servers: list[Server] = []

        async def app(request: Request) -> Response:
            if request.path == "/end":
                await asyncio.sleep(0)
                servers[0].abort()
            await asyncio.Event().wait()
            return Response(200, (), b"")

        context = contextvars.copy_context()
        context.run(START.set, CLEAN[1])
        servers.append(Server(app, Config(bind="127.0.0.1:0"), telemetry=recorder))
        await asyncio.get_running_loop().create_task(servers[0].start(), context=context)
        async with H2Peer.connected(port(servers[0])) as peer:
            streams = [peer.open(path) for path in ("/1", "/2", "/end", "/3")]
            for stream_id in streams:
                await peer.over(stream_id)
            await servers[0].wait_closed()
        recorder.check("request_started", "request_stopped", "stream_reset", "drain_began", "connection_closed")

    run(main())
