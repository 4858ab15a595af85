"""The graceful end of a server (docs/explanation/connection.md; RFC 9113 §6.8)."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.server.app import Server, serve
from headrace.server.connection.service import ServedConnection
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse
from headrace.server.settings.config import Config
from headrace.server.telemetry.interface import Telemetry
from headrace.transport.tls import local_certificate

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled

LARGEST_ID = 2**31 - 1
CANCEL = 8


def test_goaway_comes_at_once_in_two_phases_and_the_request_finishes(run: Run) -> None:
    """The last id is the true one, and the running request is answered."""
    may_answer = asyncio.Event()
    seen: list[bool] = []

    async def app(request: Request) -> Response:
        await may_answer.wait()
        seen.append(request.connection.drain_deadline is not None)
        return Response(200, (), b"finished")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.ping()
            server.begin_drain()
            server.begin_drain()
            await peer.until(lambda: len(peer.goaways) == 2)
            assert [(each.last_stream_id, each.error_code) for each in peer.goaways] == [
                (LARGEST_ID, 0),
                (stream_id, 0),
            ]
            assert not peer.answers[stream_id].is_over
            may_answer.set()
            answer = await peer.over(stream_id)
            assert (answer.status, bytes(answer.body), answer.reset) == (200, b"finished", None)
            await peer.until_closed()
            await server.wait_closed()
        assert seen == [True]

    run(main())


def test_no_new_connection_is_taken(run: Run) -> None:
    async def app(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            peer.open("/")
            await peer.ping()
            server.begin_drain()
            await peer.until(lambda: len(peer.goaways) == 2)
            try:
                await asyncio.open_connection("127.0.0.1", port(server))
            except ConnectionRefusedError:
                pass
            else:
                raise AssertionError("a connection was taken")

    run(main())


def test_an_idle_connection_ends_at_once_also_when_its_client_never_answers(run: Run) -> None:
    async def app(request: Request) -> Response:
        return Response()

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 200
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            server.begin_drain()
            await server.wait_closed()

    run(main())


def test_what_is_left_at_the_deadline_is_cancelled(run: Run) -> None:
    ended: list[str] = []

    async def app(request: Request) -> Any:
        async def produce(send: Send) -> None:
            try:
                await send(b"part")
                await asyncio.Event().wait()
            finally:
                ended.append("streamed")

        if request.path == "/stream":
            return StreamResponse(200, (), produce)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("silent")

    async def main() -> None:
        async with serving(app, limits={"drain_timeout_s": 0.2}) as server, H2Peer.connected(port(server)) as peer:
            silent, streamed = peer.open("/"), peer.open("/stream")
            await peer.started(streamed)
            server.begin_drain()
            assert (await peer.over(silent)).reset == CANCEL
            assert (await peer.over(streamed)).reset == CANCEL
            await peer.until_closed()
            await server.wait_closed()
            assert sorted(ended) == ["silent", "streamed"]
            assert live_handlers(server) == 0

    run(main())


def test_a_client_that_never_reads_or_closes_does_not_hold_the_end(run: Run) -> None:
    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            while True:
                await send(bytes(65_536))

        return StreamResponse(200, (), produce)

    async def main() -> None:
        async with (
            serving(app, limits={"drain_timeout_s": 0.2}) as server,
            H2Peer.connected(port(server), gives_credit=False) as peer,
        ):
            peer.conn.increment_flow_control_window(2**30)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            stream_id = peer.open("/")
            peer.conn.increment_flow_control_window(2**30, stream_id)
            peer.flush()
            await settled(lambda: live_handlers(server) == 1)
            start = time.monotonic()
            server.begin_drain()
            await server.wait_closed()
            assert time.monotonic() - start < 8.0  # the bounds of the ends, added up, and not the 60 s of a stall

    run(main())


def test_a_handler_that_swallows_its_cancellation_is_left_behind(run: Run) -> None:
    release = asyncio.Event()

    async def app(request: Request) -> Response:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                pass
        return Response()

    async def main() -> None:
        async with serving(app, limits={"drain_timeout_s": 0.05}) as server, H2Peer.connected(port(server)) as peer:
            peer.open("/")
            await peer.ping()
            server.begin_drain()
            await server.wait_closed()
            assert live_handlers(server) == 1
            release.set()
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_work_after_the_answer_is_waited_for(run: Run) -> None:
    done: list[str] = []
    go_on = asyncio.Event()

    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            await send(b"x", end=True)
            await go_on.wait()
            done.append("tidied up")

        return StreamResponse(200, (), produce)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).body == b"x"
            server.begin_drain()
            await peer.until_closed()
            assert not done
            go_on.set()
            await server.wait_closed()
            assert done == ["tidied up"]

    run(main())


def test_serve_ends_when_shutdown_is_set(run: Run) -> None:
    async def app(request: Request) -> Response:
        return Response()

    async def main() -> None:
        shutdown = asyncio.Event()
        task = asyncio.create_task(serve(app, Config(bind="127.0.0.1:0"), shutdown=shutdown))
        await asyncio.sleep(0)
        shutdown.set()
        await task
        task = asyncio.create_task(serve(app, Config(bind="127.0.0.1:0")))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()

    run(main())


def test_a_server_is_a_context_manager(run: Run) -> None:
    async def app(request: Request) -> Response:
        return Response()

    async def main() -> None:
        async with Server(app, Config(bind="127.0.0.1:0")) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 200

    run(main())


def test_a_drain_that_is_asked_for_during_the_start_is_not_forgotten(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        server.begin_drain()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    server = Server(app, Config(bind="127.0.0.1:0"))

    async def main() -> None:
        await server.start()
        await server.wait_closed()

    run(main())


@pytest.mark.parametrize("with_tls", [False, True], ids=["cleartext", "TLS"])
def test_a_drain_that_begins_while_a_connection_opens_leaves_none_behind(
    run: Run, with_tls: bool, tmp_path: Path
) -> None:
    """The transport exists, and who opened it has not heard so yet: uvloop tells no protocol of its loss when that wait
    is cancelled, and the drain would wait for the connection until its deadline."""

    class Impatient(Telemetry):
        def connection_opened(self, connection: ServedConnection) -> None:
            begin[0]()

    async def app(request: Request) -> Response:
        return Response()

    begin: list[Callable[[], None]] = []

    async def main() -> None:
        context = None
        settings: dict[str, Any] = {}
        if with_tls:
            local_certificate(tmp_path)
            settings["tls_cert"] = str(tmp_path / "localhost.pem")
            context = ssl.create_default_context(cafile=tmp_path / "localhost-ca.pem")
            context.set_alpn_protocols(["h2"])
        async with serving(app, telemetry=[Impatient()], **settings) as server:
            begin.append(server.begin_drain)
            async with H2Peer.connected(port(server), tls=context) as peer:
                await peer.until_closed()
            await server.wait_closed()
            assert server.service is not None
            assert not server.service.is_ending  # nothing had to be forced
            assert not server.service.drivers

    run(main())
