"""A connection from its first request to its end: room, readiness, drain, abort, and the notices to its owner."""

from __future__ import annotations

import asyncio
import gc
import ssl
import weakref
from typing import Any

import pytest
import trustme

from headrace.client.connection.driver import ClientDriver
from headrace.client.connection.exchange import ClientExchange
from headrace.client.errors import ConnectionLost, StreamReset
from headrace.engine.errors import InvalidFieldError, LocalProtocolError
from headrace.engine.h2 import ClientConnection

from tests.client.support.peer import listening
from tests.client.support.rig import PATIENT, Pieces, connect, get, post, request, settled
from tests.support import wire
from tests.support.serving import Run
from tests.support.wire import INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS

PROTOCOLS = pytest.mark.parametrize("protocol", ["h2", "http/1.1"])


@PROTOCOLS
def test_twenty_requests_where_the_server_takes_two_or_one(run: Run, protocol: Any) -> None:
    """A list plays the owner's queue: `on_room` starts waiting requests on the same connection."""

    async def main() -> None:
        async def answer(peer: Any) -> None:
            for _ in range(20):
                asked = await peer.request()
                await peer.round_trip() if protocol == "h2" else await asyncio.sleep(0)
                peer.respond(*([asked.stream_id] if protocol == "h2" else []), asked.path)

        async with listening(protocol, settings={MAX_CONCURRENT_STREAMS: 2}, script=answer) as server:
            driver, owner = await connect(server, protocol, wait_for_settings=True)
            await driver.ready()
            waiting = [get(f"/{number}") for number in range(20)]
            most = 0
            done: list[ClientExchange] = []

            def start(driver: ClientDriver) -> None:
                nonlocal most
                while waiting and driver.has_room:
                    driver.begin(waiting.pop(0), True, on_done=done.append)
                    most = max(most, len(driver.live))

            owner.when_room = start
            start(driver)
            await settled(lambda: len(done) == 20)
            assert [each.error for each in done] == [None] * 20
            assert [await each.read() for each in done] == [f"/{number}".encode() for number in range(20)]
            assert most == driver.capacity == (2 if protocol == "h2" else 1)
            assert len(server.peers) == 1

    run(main())


def test_a_raised_limit_is_room(run: Run) -> None:
    async def main() -> None:
        async with listening(settings={MAX_CONCURRENT_STREAMS: 1}) as server:
            driver, owner = await connect(server, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            rooms: list[bool] = []
            owner.when_room = lambda driver: rooms.append(driver.has_room)
            driver.begin(get(), True)
            rooms.append(driver.has_room)
            peer.send(wire.settings({MAX_CONCURRENT_STREAMS: 2}))
            await settled(lambda: len(rooms) == 2)
            assert rooms == [False, True]
            driver.abort()

    run(main())


def test_begin_refuses_what_cannot_be_sent_and_nothing_is_left_of_it(run: Run) -> None:
    async def main() -> None:
        async with listening(settings={MAX_CONCURRENT_STREAMS: 1}) as server:
            driver, _ = await connect(server, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            with pytest.raises(InvalidFieldError, match="byte that is not allowed"):
                driver.begin(get(headers=[(b"x-bad", b"line\r\nbreak")]))
            with pytest.raises(LocalProtocolError, match="extended CONNECT"):
                driver.begin(request("CONNECT", "/", protocol=b"websocket"))
            exchange = driver.begin(get(), True)
            with pytest.raises(LocalProtocolError, match="no stream can be opened"):
                driver.begin(get(), True)
            asked = await peer.request()
            peer.respond(asked.stream_id, b"fine")
            assert await (await exchange.head_arrived()).read() == b"fine"
            assert len(peer.requests) == 1
            assert not driver.live

    run(main())


@PROTOCOLS
def test_a_drain_lets_what_runs_finish(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, owner = await connect(server, protocol)
            peer = await server.accepted()
            exchange = driver.begin(get())
            asked = await peer.request()
            driver.drain(driver.loop.time() + 60.0)
            driver.drain(driver.loop.time())  # the first one counts
            assert (driver.is_usable, driver.has_room) == (False, False)
            if protocol == "h2":
                peer.respond(asked.stream_id, b"finished")
            else:
                peer.respond(b"finished")
            assert await (await exchange.head_arrived()).read() == b"finished"
            await owner.lost.wait()
            assert owner.error is None
            assert owner.told.count("unusable") == 1
            await peer.until_closed()
            if protocol == "h2":
                assert [each.code for each in peer.goaways] == [wire.NO_ERROR]

    run(main())


@PROTOCOLS
def test_a_drain_ends_at_its_deadline(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, owner = await connect(server, protocol)
            peer = await server.accepted()
            exchange = driver.begin(get(), True)
            await peer.request()
            driver.drain(driver.loop.time() + 0.02)
            with pytest.raises(ConnectionLost, match="closed before the response was complete"):
                await exchange.head_arrived()
            await owner.lost.wait()

    run(main())


@PROTOCOLS
def test_an_idle_connection_drains_at_once(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, owner = await connect(server, protocol)
            peer = await server.accepted()
            driver.drain(driver.loop.time() + 60.0)
            await owner.lost.wait()
            await peer.until_closed()
            assert owner.error is None

    run(main())


@PROTOCOLS
def test_abort_ends_everything_with_its_error_once(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, owner = await connect(server, protocol)
            peer = await server.accepted()
            done: list[ClientExchange] = []
            kinds = [post(Pieces([b"x" * 1_000_000])), get(), get()] if protocol == "h2" else [get()]
            exchanges = [driver.begin(each, True, on_done=done.append) for each in kinds]
            await peer.request()
            waiting = asyncio.ensure_future(exchanges[-1].head_arrived())
            await asyncio.sleep(0)
            rooms: list[bool] = []
            owner.when_room = lambda driver: rooms.append(driver.has_room)
            driver.abort(ConnectionLost("the test has had enough"))
            assert not any(rooms)  # no request begins that would end with the rest
            for exchange in [*exchanges[:-1]]:
                with pytest.raises(ConnectionLost, match="had enough"):
                    await exchange.head_arrived()
            with pytest.raises(ConnectionLost, match="had enough"):
                await waiting
            assert len({id(each.error) for each in exchanges}) == len(exchanges)  # each has an error of its own
            await owner.lost.wait()
            driver.abort()
            assert sorted(done, key=id) == sorted(exchanges, key=id)
            assert owner.told.count("lost") == 1
            assert isinstance(owner.error, ConnectionLost)

    run(main())


@pytest.mark.parametrize("protocol", ["h2", "http/1.1", None], ids=["h2", "http/1.1", "none"])
def test_alpn_chooses_the_protocol(run: Run, protocol: str | None) -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    client_side.set_alpn_protocols(["h2", "http/1.1"])
    if protocol is not None:
        server_side.set_alpn_protocols([protocol])

    async def main() -> None:
        async with listening("http/1.1", tls=server_side) as server:
            driver, _ = await connect(server, "alpn", tls=client_side)
            peer = await server.accepted()
            assert driver.http_version == ("2" if protocol == "h2" else "1.1")
            exchange = driver.begin(get(), True)
            asked = await peer.request()
            peer.respond(*([asked.stream_id] if protocol == "h2" else []), b"fine")
            response = await exchange.head_arrived()
            assert await response.read() == b"fine"
            tls = response.info["tls"]
            assert tls["alpn"] == protocol
            assert tls["version"].startswith("TLSv1.")
            assert tls["certificate"]["subjectAltName"] == (("DNS", "localhost"),)
            assert response.info["local"][0] == "127.0.0.1"

    run(main())


def test_a_connection_whose_identifiers_are_used_up(run: Run) -> None:
    """RFC 9113 §5.1.1: the last request finishes, and another connection has to take the next one."""

    async def main() -> None:
        async with listening() as server:
            driver, owner = await connect(server)
            peer = await server.accepted()
            assert isinstance(driver.engine, ClientConnection)
            driver.engine._streams.next_id = 2**31 - 1
            exchange = driver.begin(get(), True)
            assert (driver.is_usable, driver.has_room) == (False, False)
            assert owner.told.count("unusable") == 1
            asked = await peer.request()
            assert asked.stream_id == 2**31 - 1
            peer.respond(asked.stream_id, b"the last one")
            assert await (await exchange.head_arrived()).read() == b"the last one"
            await owner.lost.wait()
            assert owner.error is None

    run(main())


def test_idle_since_is_the_end_of_the_last_response(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            at_first = driver.idle_since
            exchange = driver.begin(get(), True)
            asked = await peer.request()
            await asyncio.sleep(0.01)
            peer.respond(asked.stream_id)
            await exchange.head_arrived()
            assert driver.idle_since > at_first

    run(main())


def test_a_window_of_0_for_a_while_holds_up_nobody_but_its_sender(run: Run) -> None:
    async def main() -> None:
        async with listening(settings={INITIAL_WINDOW_SIZE: 0}) as server:
            driver, _ = await connect(server, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            upload = driver.begin(post(b"x" * 300_000), True)
            asked = await peer.request()
            for _ in range(5):
                exchange = driver.begin(get(), True)
                following = await peer.request()
                peer.respond(following.stream_id, b"fine")
                assert await (await exchange.head_arrived()).read() == b"fine"
            assert asked.content == b""
            peer.credit(0, 300_000)
            peer.send(wire.settings({INITIAL_WINDOW_SIZE: 300_000}))
            await peer.until(lambda: asked.ended)
            assert len(asked.content) == 300_000
            peer.respond(asked.stream_id)
            await upload.head_arrived()

    run(main())


def test_origins_that_the_server_announces(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            names = [b"https://a.example", b"https://b.example:8443"]
            peer.send(wire.frame(wire.ORIGIN, 0, 0, b"".join(len(each).to_bytes(2, "big") + each for each in names)))
            await settled(lambda: driver.announced_origins == names)

    run(main())


@PROTOCOLS
def test_a_thousand_requests_leave_nothing_behind(run: Run, protocol: Any) -> None:
    """Whole, streamed, closed, refused: no exchange, future, task or timer outlives its request."""

    async def main() -> None:
        async def answer(peer: Any) -> None:
            for number in range(1_000):
                asked = await peer.request()
                if protocol == "http/1.1":
                    peer.respond(b"x" * 100)
                elif number % 4 == 3:
                    peer.send(wire.rst_stream(asked.stream_id, wire.REFUSED_STREAM))
                else:
                    peer.respond(asked.stream_id, b"x" * 100)

        async with listening(protocol, script=answer) as server:
            driver, owner = await connect(server, protocol)
            tasks = len(asyncio.all_tasks())
            seen: weakref.WeakSet[ClientExchange] = weakref.WeakSet()
            for number in range(1_000):
                exchange = driver.begin(get(), number % 2 == 0)
                seen.add(exchange)
                if number % 4 == 3 and protocol == "h2":
                    with pytest.raises(StreamReset, match="REFUSED_STREAM"):
                        await exchange.head_arrived()
                    continue
                response = await exchange.head_arrived()
                if number % 8 == 1 and protocol == "h2":
                    response.close()
                else:
                    assert await response.read() == b"x" * 100
            del exchange, response
            gc.collect()
            assert len(seen) <= 1
            assert not driver.live
            assert driver.engine.open_streams == 0
            assert driver.engine.stats()["unread"] == 0
            assert len(asyncio.all_tasks()) <= tasks
            driver.drain(0.0)
            await owner.lost.wait()
            del driver
            gc.collect()
            assert not [each for each in gc.get_objects() if type(each) is ClientDriver]

    run(main())


FATES = ("read", "received", "half received", "closed", "dropped", "read late", "cut", "given up while it comes")


@pytest.mark.parametrize("fate", FATES)
def test_what_is_unread_is_counted_until_somebody_has_taken_it_or_nobody_will(run: Run, fate: str) -> None:
    """This also holds for a response that has ended: the windows of the other streams depend on the sum (ADR 0026)."""

    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()

            def unread() -> int:
                return int(driver.engine.stats()["unread"])

            for _ in range(20):
                exchange = driver.begin(get())
                asked = await peer.request()
                peer.begin(asked.stream_id)
                peer.send(wire.data(asked.stream_id, b"x" * 10_000))
                response = await exchange.head_arrived()
                await settled(lambda: unread() == 10_000)
                if fate == "half received":
                    assert len(await response.receive()) == 10_000 and unread() == 0
                if fate == "given up while it comes":
                    response.close()
                    await peer.reset_of(asked)
                elif fate == "cut":
                    peer.send(wire.rst_stream(asked.stream_id, wire.CANCEL))
                    await settled(lambda: not driver.live)
                    assert unread() == 10_000, "what had come can still be read"
                    assert len(await response.receive()) == 10_000
                else:
                    peer.send(wire.data(asked.stream_id, b"y" * 5_000, end_stream=True))
                    await settled(lambda: not driver.live)
                    assert unread() == (5_000 if fate == "half received" else 15_000)
                if fate == "read":
                    assert len(await response.read()) == 15_000
                elif fate in ("received", "half received"):
                    while await response.receive():
                        pass
                elif fate == "closed":
                    response.close()
                elif fate == "dropped":
                    del exchange, response
                    gc.collect()
                    await asyncio.sleep(0)
                elif fate == "read late":
                    driver.drain(driver.loop.time() + 10.0)
                    assert len(await response.read()) == 15_000
                    assert unread() == 0
                    return
                await settled(lambda: unread() == 0)

    run(main())


def test_timeouts_are_not_armed_where_there_are_none(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get(timeouts=PATIENT), True)
            assert not driver._timeouts.is_set
            asked = await peer.request()
            peer.respond(asked.stream_id)
            await exchange.head_arrived()

    run(main())
