"""Handlers are counted until they end, whatever the wire says, and writers wait for the client."""

from __future__ import annotations

import asyncio

import h2.settings
import pytest

from headrace.server.app import Server
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled

REFUSED_STREAM = 7
INITIAL_WINDOW_SIZE = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE


def test_250_streams_at_once_give_100_answers_and_150_refusals(run: Run) -> None:
    may_answer = asyncio.Event()

    async def app(request: Request) -> Response:
        await may_answer.wait()
        return Response(200, (), b"x")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            # Before the server's SETTINGS are known to the client, which would otherwise wait by itself.
            ids = [peer.open("/") for _ in range(250)]
            await peer.until(lambda: sum(each.reset == REFUSED_STREAM for each in peer.answers.values()) == 150)
            assert live_handlers(server) == 100
            may_answer.set()
            await peer.until(lambda: all(peer.answers[each].is_over for each in ids))
            assert [peer.answers[each].status for each in ids] == [200] * 100 + [None] * 150
            assert not peer.goaways

    run(main())


def test_a_slot_is_free_when_the_answer_is_written_but_handlers_stay_counted(run: Run) -> None:
    """A handler that works on after its answer keeps its place among the live ones, though not its stream."""
    go_on = asyncio.Event()
    servers: list[Server] = []
    most = 0

    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            nonlocal most
            await send(b"x", end=True)
            most = max(most, live_handlers(servers[0]))
            await go_on.wait()

        return StreamResponse(200, (), produce)

    async def main() -> None:
        async with serving(app, limits={"max_concurrent_streams": 4}) as server, H2Peer.connected(port(server)) as peer:
            servers.append(server)
            for _ in range(4):
                assert (await peer.get("/")).body == b"x"
            waiting = [peer.open("/") for _ in range(4)]
            await peer.ping()
            assert [peer.answers[each].is_over for each in waiting] == [False] * 4
            assert live_handlers(server) == 4
            go_on.set()
            for each in waiting:
                assert (await peer.over(each)).body == b"x"
            await settled(lambda: live_handlers(server) == 0)
        assert most <= 4

    run(main())


@pytest.mark.parametrize("is_stubborn", [False, True], ids=["cancelled", "works on"])
def test_rapid_reset_buys_no_more_than_100_handlers(run: Run, is_stubborn: bool) -> None:
    """CVE-2023-44487: HEADERS and RST_STREAM in pairs. Handlers are bounded, the offender is told to calm down."""
    servers: list[Server] = []
    most = 0
    release = asyncio.Event()

    async def app(request: Request) -> Response:
        nonlocal most
        most = max(most, live_handlers(servers[0]) + 1)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                if not is_stubborn:
                    raise
        return Response()

    async def main() -> None:
        async with serving(app) as server:
            servers.append(server)
            async with H2Peer.connected(port(server)) as peer:
                for _ in range(1000):
                    if peer.closed or peer.goaways:
                        break
                    peer.reset(peer.open("/"))
                    await asyncio.sleep(0)
                await peer.until(lambda: bool(peer.goaways))
                assert peer.goaways[-1].error_code == 11  # ENHANCE_YOUR_CALM
                await peer.until_closed()
            assert most <= 100
            release.set()
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_at_window_0_a_handler_blocks_within_64_kib(run: Run) -> None:
    """A client whose window is 0 does not make us keep what an application sends."""
    sent = 0

    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            nonlocal sent
            for _ in range(1000):
                await send(bytes(1024))
                sent += 1024

        return StreamResponse(200, (), produce)

    async def main() -> None:
        nonlocal sent
        async with (
            serving(app) as server,
            H2Peer.connected(port(server), settings={INITIAL_WINDOW_SIZE: 0}) as peer,
        ):
            await peer.ping()
            stream_id = peer.open("/")
            await peer.started(stream_id)
            await peer.ping()
            assert 0 < sent <= 65_536
            peer.conn.increment_flow_control_window(2_000_000, stream_id)
            peer.conn.increment_flow_control_window(2_000_000)
            peer.flush()
            assert len((await peer.over(stream_id)).body) == 1_024_000

    run(main())


def test_a_buffered_response_waits_for_the_window_too(run: Run) -> None:
    """The window opens byte by byte: what comes is in order and whole, and siblings go on meanwhile."""

    async def app(request: Request) -> Response:
        return Response(200, (), bytes(range(100)) if request.path == "/" else b"")

    async def main() -> None:
        async with (
            serving(app) as server,
            H2Peer.connected(port(server), settings={INITIAL_WINDOW_SIZE: 0}) as peer,
        ):
            await peer.ping()
            stream_id = peer.open("/")
            assert (await peer.started(stream_id)).body == b""
            assert (await peer.get("/empty")).ended
            for _ in range(100):
                peer.conn.increment_flow_control_window(1, stream_id)
            peer.flush()
            assert (await peer.over(stream_id)).body == bytes(range(100))

    run(main())


def test_a_client_that_does_not_read_its_socket_holds_up_only_itself(run: Run) -> None:
    """What the kernel does not take stays with the writers, which wait; nothing piles up in the transport.

    asyncio of Python 3.13.0 never told a protocol to wait after `writelines` (CVE-2024-12254).
    """
    sent = 0

    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            nonlocal sent
            while True:
                await send(bytes(65_536))
                sent += 65_536

        return StreamResponse(200, (), produce)

    async def fine(request: Request) -> Response | StreamResponse:
        return await app(request) if request.path == "/flood" else Response(200, (), b"fine")

    async def main() -> None:
        nonlocal sent
        async with serving(fine) as server, H2Peer.connected(port(server), gives_credit=False) as peer:
            peer.conn.increment_flow_control_window(2**30)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            stream_id = peer.open("/flood")
            peer.conn.increment_flow_control_window(2**30, stream_id)
            peer.flush()
            before = -1
            while before != sent or sent == 0:  # until the kernel's buffers are full
                before = sent
                await asyncio.sleep(0.05)
            assert server.service is not None
            (driver,) = server.service.drivers
            assert driver.transport is not None
            assert driver.transport.get_write_buffer_size() <= 2 * 262_144 + 65_536
            async with H2Peer.connected(port(server)) as other:
                assert (await other.get("/")).body == b"fine"

    run(main())


def test_max_connections_lets_further_ones_wait(run: Run) -> None:
    async def app(request: Request) -> Response:
        return Response(200, (), b"x")

    async def main() -> None:
        async with (
            serving(app, max_connections=2) as server,
            H2Peer.connected(port(server)) as first,
            H2Peer.connected(port(server)) as second,
        ):
            assert (await first.get("/")).status == 200
            assert (await second.get("/")).status == 200
            async with H2Peer.connected(port(server)) as third:
                stream_id = third.open("/")
                assert (await first.get("/")).status == 200
                assert not third.answers[stream_id].is_over
                await second.close()
                assert (await third.over(stream_id)).status == 200

    run(main())
