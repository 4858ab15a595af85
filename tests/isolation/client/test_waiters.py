"""Several requests wait for one connection: each by its own limits, and none by another's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.client.connect import addresses, connector
from headrace.client.errors import ConnectTimeout, PoolTimeout, TLSTimeout
from headrace.client.timeouts import Timeouts

from tests.client.support.network_rig import H2C, ask, fetch, network, server_tls, silence, trusting
from tests.client.support.peer import H2Peer, Listening, listening
from tests.client.support.rig import settled
from tests.support.serving import Run

SHORT = 0.03
PATIENT = Timeouts(connect=20.0, tls=20.0, headers=20.0)
WITHOUT_LIMIT = Timeouts.of(None)


async def answer(peer: H2Peer) -> None:
    """Answer each request with its path."""
    answered = 0
    while True:
        await peer.until(lambda: peer.closed or len(peer.requests) > answered)  # noqa: B023
        if peer.closed:
            return
        peer.respond(peer.requests[answered].stream_id, peer.requests[answered].path)
        answered += 1


class Gate:
    """A port whose connections get through to a server when `open` is set, and not before."""

    def __init__(self) -> None:
        self.port = 0
        self.open = asyncio.Event()
        self.taken = 0
        self.gone = asyncio.Event()


@contextlib.asynccontextmanager
async def gate(server: Listening) -> AsyncIterator[Gate]:
    found = Gate()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.taken += 1
        opened = asyncio.ensure_future(found.open.wait())
        early = asyncio.ensure_future(reader.read(65_536))
        first = await early
        eof = asyncio.ensure_future(reader.read(1))
        await asyncio.wait([opened, eof], return_when=asyncio.FIRST_COMPLETED)
        if not found.open.is_set():
            opened.cancel()
            found.gone.set()
            writer.close()
            return
        eof.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await eof
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", server.port)
        other_writer.write(first)
        await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    found.port = listener.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        found.open.set()
        listener.close()


@pytest.mark.parametrize("patience", [PATIENT, WITHOUT_LIMIT], ids=["patient", "without limit"])
@pytest.mark.parametrize("is_first", [True, False], ids=["the impatient first", "the patient first"])
def test_an_impatient_request_neither_ends_nor_waits_for_a_patient_ones_handshake(
    run: Run, is_first: bool, patience: Timeouts
) -> None:
    async def main() -> None:
        async with (
            listening(tls=server_tls(), script=answer) as server,
            gate(server) as door,
            network(verify=trusting()) as transport,
        ):

            def going(path: str, timeouts: Timeouts) -> asyncio.Task[bytes]:
                outgoing = ask(door.port, path, scheme="https", host="localhost", timeouts=timeouts)
                return asyncio.create_task(fetch(transport, outgoing))

            both = [("/short", Timeouts(connect=20.0, tls=SHORT)), ("/long", patience)]
            tasks = {path: going(path, timeouts) for path, timeouts in (both if is_first else both[::-1])}
            with pytest.raises(TLSTimeout, match=rf"within {SHORT:g} s.*/short"):
                await tasks["/short"]
            assert not tasks["/long"].done()
            late = going("/late", Timeouts(connect=20.0, tls=SHORT))
            with pytest.raises(TLSTimeout, match="/late"):  # who comes later has all of its time, and no more
                await late
            assert not tasks["/long"].done()
            door.open.set()
            assert await tasks["/long"] == b"/long" and door.taken == 1

    run(main())


@pytest.mark.parametrize("is_first", [True, False], ids=["the impatient first", "the patient first"])
def test_an_impatient_request_neither_ends_nor_waits_for_a_patient_ones_connection(
    run: Run, is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        found = asyncio.Event()
        resolve = addresses.resolve
        asked = 0

        async def slowly(host: str, port: int) -> Any:
            nonlocal asked
            asked += 1
            await found.wait()
            return await resolve(host, port)

        monkeypatch.setattr(connector, "resolve", slowly)
        async with listening(script=answer) as server, network(**H2C) as transport:

            def going(path: str, timeouts: Timeouts) -> asyncio.Task[bytes]:
                return asyncio.create_task(fetch(transport, ask(server.port, path, timeouts=timeouts)))

            both = [("/short", Timeouts(connect=SHORT)), ("/long", PATIENT)]
            tasks = {path: going(path, timeouts) for path, timeouts in (both if is_first else both[::-1])}
            with pytest.raises(ConnectTimeout, match=rf"no connection to .* within {SHORT:g} s.*/short"):
                await tasks["/short"]
            assert not tasks["/long"].done()
            found.set()
            assert await tasks["/long"] == b"/long" and asked == 1

    run(main())


def test_an_attempt_ends_with_the_last_who_waited_for_it(run: Run) -> None:
    async def main() -> None:
        async with silence() as silent, network(verify=trusting()) as transport:
            timeouts = [Timeouts(tls=SHORT), Timeouts(tls=2 * SHORT)]
            asks = [ask(silent.port, scheme="https", host="localhost", timeouts=each) for each in timeouts]
            outcomes = await asyncio.gather(*(transport.send(each) for each in asks), return_exceptions=True)
            assert [str(each).partition(" (")[0].rpartition("within ")[2] for each in outcomes] == ["0.03 s", "0.06 s"]
            assert all(isinstance(each, TLSTimeout) for each in outcomes)
            await silent.closed.wait()
            assert transport.stats().connecting == 0 and not transport.pool.places

    run(main())


def test_an_attempt_that_all_have_left_is_there_for_who_comes_next(run: Run) -> None:
    """Whoever goes away says nothing of the server; whose time is over has waited long enough for it."""

    async def main() -> None:
        async with (
            listening(tls=server_tls(), script=answer) as server,
            gate(server) as door,
            network(verify=trusting()) as transport,
        ):
            outgoing = ask(door.port, scheme="https", host="localhost", timeouts=PATIENT)
            task = asyncio.create_task(fetch(transport, outgoing))
            await settled(lambda: door.taken == 1)
            task.cancel()
            await asyncio.wait([task])
            assert transport.stats().connecting == 1
            task = asyncio.create_task(fetch(transport, outgoing))
            door.open.set()
            assert await task == b"/" and door.taken == 1

    run(main())


def test_a_connection_without_room_leaves_the_pools_time_to_those_whose_attempt_is_late(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a connection there already, the one that is being made is not the only hope."""

    async def main() -> None:
        async with listening("http/1.1") as server, network() as transport:
            first = asyncio.create_task(fetch(transport, ask(server.port, "/first", timeouts=PATIENT)))
            peer = await server.accepted()
            await peer.request()

            async def never(host: str, port: int) -> Any:
                await asyncio.Event().wait()

            monkeypatch.setattr(connector, "resolve", never)
            second = asyncio.create_task(
                fetch(transport, ask(server.port, "/second", timeouts=Timeouts(connect=SHORT, pool=20.0)))
            )
            third = ask(server.port, "/third", timeouts=Timeouts(connect=SHORT, pool=SHORT))
            with pytest.raises(PoolTimeout):
                await transport.send(third)
            assert transport.stats().connecting == 0, "nobody has time for it any more"
            peer.respond(b"first")
            assert (await peer.request()).path == b"/second"
            peer.respond(b"second")
            assert [await first, await second] == [b"first", b"second"]

    run(main())
