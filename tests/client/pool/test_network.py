"""The transport over the network: bursts, limits, waits, cancellation, ends. Servers are scripted, or our own."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from headrace.client.connect import connector
from headrace.client.connect.config import NetworkConfig
from headrace.client.errors import (
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    DNSError,
    PoolError,
    PoolTimeout,
    TLSTimeout,
)
from headrace.client.pool.network import NetworkTransport
from headrace.client.timeouts import Timeouts
from headrace.engine.errors import InvalidFieldError
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response

from tests.client.support.network_rig import H2C, ask, fetch, network, server_tls, silence, trusting
from tests.client.support.peer import H1Peer, H2Peer, listening
from tests.client.support.rig import seen, settled
from tests.support import wire
from tests.support.serving import Run, port, serving


async def echo(request: Request) -> Response:
    return Response(200, (), request.path.encode())


async def answer_all(peer: Any) -> None:
    """Answer each request with its path, until the client closes."""
    answered = 0
    while True:
        await peer.until(lambda: peer.closed or sum(each.ended for each in peer.requests) > answered)  # noqa: B023
        if peer.closed:
            return
        request = peer.requests[answered]
        answered += 1
        if isinstance(peer, H2Peer):
            peer.respond(request.stream_id, request.path)
        else:
            peer.respond(request.path)


# -- bursts and limits


@pytest.mark.parametrize("config", [H2C, {}, {"http2": False}])
def test_our_own_server_over_each_protocol(run: Run, config: dict[str, Any]) -> None:
    async def main() -> None:
        async with serving(echo) as server, network(**config) as transport:
            paths = [f"/{number}" for number in range(50)]
            answers = await asyncio.gather(*(fetch(transport, ask(port(server), path)) for path in paths))
            assert [answer.decode() for answer in answers] == paths
            await settled(lambda: not transport.stats().connecting)
            stats = transport.stats()
            assert stats.connections == (1 if config == H2C else 20)
            assert stats.idle == stats.connections and not stats.streams and not stats.waiting
            assert stats.origins[0].http_version == ("2" if config == H2C else "1.1")

    run(main())


def test_a_peer_that_allows_2_streams_serves_20_requests(run: Run) -> None:
    async def main() -> None:
        most = 0

        async def two_at_a_time(peer: H2Peer) -> None:
            nonlocal most
            for _ in range(10):
                pair = [await peer.whole_request(), await peer.whole_request()]
                most = max(most, sum(each.reset is None for each in pair))
                for request in pair:
                    peer.respond(request.stream_id, request.path)

        settings = {wire.MAX_CONCURRENT_STREAMS: 2}
        async with (
            listening(settings=settings, script=two_at_a_time) as server,
            network(**H2C, max_h2_connections_per_origin=1, wait_for_settings=True) as transport,
        ):
            paths = [f"/{number}".encode() for number in range(20)]
            answers = await asyncio.gather(*(fetch(transport, ask(server.port, path.decode())) for path in paths))
            assert answers == paths and most == 2
            assert len(server.peers) == 1
            assert [request.path for request in server.peers[0].requests] == paths, "first come, first served"

    run(main())


def test_what_waits_overflows_to_a_second_connection(run: Run) -> None:
    async def main() -> None:
        settings = {wire.MAX_CONCURRENT_STREAMS: 1}
        async with (
            listening(settings=settings) as server,
            network(**H2C, wait_for_settings=True) as transport,
        ):
            tasks = [asyncio.create_task(fetch(transport, ask(server.port, f"/{number}"))) for number in range(3)]
            first, second = await server.accepted(), await server.accepted()
            one, two = await first.request(), await second.request()
            assert {one.path, two.path} == {b"/0", b"/1"} and transport.stats().waiting == 1
            second.respond(two.stream_id, b"second")
            three = await second.request()
            second.respond(three.stream_id, b"third")
            first.respond(one.stream_id, b"first")
            assert await asyncio.gather(*tasks) == [b"first", b"second", b"third"]

    run(main())


def test_alpn_that_says_http_1_opens_the_rest_of_the_connections(run: Run) -> None:
    async def main() -> None:
        all_are_there = asyncio.Event()

        async def answer_later(peer: Any) -> None:
            await all_are_there.wait()
            await answer_all(peer)

        tls = server_tls(alpn=("http/1.1",))
        async with (
            listening("http/1.1", tls=tls, script=answer_later) as server,
            network(verify=trusting(), max_h1_connections_per_origin=4) as transport,
        ):
            asks = [ask(server.port, f"/{number}", scheme="https", host="localhost") for number in range(12)]
            tasks = [asyncio.create_task(fetch(transport, each)) for each in asks]
            for _ in range(4):
                await server.accepted()
            all_are_there.set()
            assert await asyncio.gather(*tasks) == [b"/%d" % number for number in range(12)]
            assert len(server.peers) == 4

    run(main())


def test_an_idle_connection_of_another_origin_makes_room(run: Run) -> None:
    async def main() -> None:
        async with (
            listening("http/1.1", script=answer_all) as one,
            listening("http/1.1", script=answer_all) as two,
            network(max_connections=1) as transport,
        ):
            for _ in range(3):
                assert await fetch(transport, ask(one.port, "/one")) == b"/one"
                assert await fetch(transport, ask(two.port, "/two")) == b"/two"
            assert transport.stats().connections == 1
            assert len(one.peers) == len(two.peers) == 3
            await one.peers[2].until_closed()

    run(main())


def test_a_raised_setting_lets_those_who_wait_begin(run: Run) -> None:
    async def main() -> None:
        settings = {wire.MAX_CONCURRENT_STREAMS: 0}
        async with (
            listening(settings=settings) as server,
            network(**H2C, wait_for_settings=True, max_h2_connections_per_origin=1) as transport,
        ):
            tasks = [asyncio.create_task(fetch(transport, ask(server.port, f"/{number}"))) for number in range(3)]
            peer = await server.accepted()
            await peer.round_trip()
            assert not peer.requests and transport.stats().waiting == 3
            peer.send(wire.settings({wire.MAX_CONCURRENT_STREAMS: 100}))
            for _ in tasks:
                request = await peer.request()
                peer.respond(request.stream_id, b"x")
            assert await asyncio.gather(*tasks) == [b"x"] * 3

    run(main())


def test_a_reset_makes_room_for_who_waits(run: Run) -> None:
    async def main() -> None:
        settings = {wire.MAX_CONCURRENT_STREAMS: 1}
        async with (
            listening(settings=settings) as server,
            network(**H2C, wait_for_settings=True, max_h2_connections_per_origin=1) as transport,
        ):
            first = asyncio.create_task(fetch(transport, ask(server.port, "/1")))
            second = asyncio.create_task(fetch(transport, ask(server.port, "/2")))
            peer = await server.accepted()
            request = await peer.request()
            peer.send(wire.rst_stream(request.stream_id, wire.INTERNAL_ERROR))
            request = await peer.request()
            peer.respond(request.stream_id, b"second")
            assert await second == b"second"
            with pytest.raises(Exception, match="INTERNAL_ERROR"):
                await first

    run(main())


def test_the_next_request_needs_nothing_but_its_connection(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast path uses no queue, no timer of the pool, and no task."""

    async def main() -> None:
        async with serving(echo) as server, network(**H2C) as transport:
            await fetch(transport, ask(port(server)))
            monkeypatch.setattr(transport, "_wait", None)
            monkeypatch.setattr("headrace.client.pool.opening.ConnectionOpener.open", None)
            assert await fetch(transport, ask(port(server), "/fast")) == b"/fast"

    run(main())


# -- giving up


def test_a_cancelled_wait_leaves_the_queue_and_the_next_one_is_served(run: Run) -> None:
    async def main() -> None:
        settings = {wire.MAX_CONCURRENT_STREAMS: 1}
        async with (
            listening(settings=settings) as server,
            network(**H2C, wait_for_settings=True, max_h2_connections_per_origin=1) as transport,
        ):
            tasks = [asyncio.create_task(fetch(transport, ask(server.port, f"/{number}"))) for number in range(3)]
            peer = await server.accepted()
            request = await peer.request()
            tasks[1].cancel()
            await asyncio.wait((tasks[1],))
            assert transport.stats().waiting == 1
            peer.respond(request.stream_id, b"0")
            request = await peer.request()
            assert request.path == b"/2"
            peer.respond(request.stream_id, b"2")
            assert await tasks[0] == b"0" and await tasks[2] == b"2"

    run(main())


def test_who_is_cancelled_just_when_its_turn_has_come_gives_its_place_back(run: Run) -> None:
    async def main() -> None:
        settings = {wire.MAX_CONCURRENT_STREAMS: 1}
        async with (
            listening(settings=settings) as server,
            network(**H2C, wait_for_settings=True, max_h2_connections_per_origin=1) as transport,
        ):
            first = asyncio.create_task(fetch(transport, ask(server.port, "/first")))
            peer = await server.accepted()
            request = await peer.request()
            second = asyncio.create_task(fetch(transport, ask(server.port, "/second")))
            third = asyncio.create_task(fetch(transport, ask(server.port, "/third")))
            await seen(lambda: transport.stats().waiting == 2)
            waiter: Any = transport.pool.places[ask(server.port).origin].requests[0]
            waiter.future.add_done_callback(lambda _: second.cancel())  # before the task itself wakes up
            peer.respond(request.stream_id, b"1")
            begun = await peer.request()
            assert begun.path == b"/second" and await peer.reset_of(begun) == wire.CANCEL
            request = await peer.request()
            assert request.path == b"/third"
            peer.respond(request.stream_id, b"3")
            assert await first == b"1" and await third == b"3"
            await asyncio.wait((second,))
            assert second.cancelled()

    run(main())


def test_who_gives_up_during_the_handshake_takes_nothing_from_those_who_share_it(run: Run) -> None:
    async def main() -> None:
        async with (
            listening(tls=server_tls(), script=answer_all) as server,
            network(verify=trusting()) as transport,
        ):
            asks = [ask(server.port, f"/{number}", scheme="https", host="localhost") for number in range(3)]
            tasks = [asyncio.create_task(fetch(transport, each)) for each in asks]
            await seen(lambda: transport.stats().waiting == 3)
            tasks[0].cancel()
            assert await asyncio.gather(*tasks[1:]) == [b"/1", b"/2"]
            assert len(server.peers) == 1

    run(main())


def test_the_wait_for_a_place_has_its_timeout(run: Run) -> None:
    async def main() -> None:
        settings = {wire.MAX_CONCURRENT_STREAMS: 1}
        async with (
            listening(settings=settings) as server,
            network(**H2C, wait_for_settings=True, max_h2_connections_per_origin=1) as transport,
        ):
            first = asyncio.create_task(fetch(transport, ask(server.port, "/1")))
            peer = await server.accepted()
            request = await peer.request()
            with pytest.raises(PoolTimeout, match=r"had room for 0\.02 s") as caught:
                await transport.send(ask(server.port, "/2", timeouts=Timeouts(pool=0.02)))
            assert caught.value.retryable and caught.value.phase == "pool" and caught.value.url.endswith("/2")
            peer.respond(request.stream_id, b"1")
            assert await first == b"1" and len(peer.requests) == 1

    run(main())


def test_making_a_connection_does_not_count_as_waiting_for_a_place(run: Run) -> None:
    async def main() -> None:
        async with listening(is_mute=True) as server, network(**H2C, wait_for_settings=True) as transport:
            task = asyncio.create_task(fetch(transport, ask(server.port, timeouts=Timeouts(pool=0.001))))
            peer = await server.accepted()
            await peer.until(lambda: bool(peer.frames))
            await asyncio.sleep(0.05)  # a wrong action could only happen now
            assert not task.done()
            peer.send(wire.settings())
            request = await peer.request()
            peer.respond(request.stream_id, b"x")
            assert await task == b"x"

    run(main())


def test_as_many_wait_as_may(run: Run) -> None:
    async def main() -> None:
        async with (
            listening(is_mute=True) as server,
            network(**H2C, wait_for_settings=True, max_waiting=2) as transport,
        ):
            tasks = [asyncio.create_task(fetch(transport, ask(server.port))) for _ in range(2)]
            await server.accepted()
            with pytest.raises(PoolError, match="2 requests already wait for a connection"):
                await transport.send(ask(server.port))
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    run(main())


def test_what_must_not_be_sent_is_its_callers_mistake_alone(run: Run) -> None:
    async def main() -> None:
        async with serving(echo) as server, network(**H2C) as transport:
            bad = ask(port(server), headers=[(b"x", b"a\r\nb")])
            good = fetch(transport, ask(port(server), "/good"))
            outcomes = await asyncio.gather(transport.send(bad), good, return_exceptions=True)
            assert isinstance(outcomes[0], InvalidFieldError) and outcomes[1] == b"/good"
            with pytest.raises(InvalidFieldError):
                await transport.send(bad)

    run(main())


# -- failed connections


def test_a_failed_connection_fails_all_who_wait_each_with_its_own_url(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            number = unused.getsockname()[1]
            async with network() as transport:
                asks = [ask(number, f"/{path}") for path in range(3)]
                outcomes = await asyncio.gather(*(transport.send(each) for each in asks), return_exceptions=True)
                for each, outcome in zip(asks, outcomes, strict=True):
                    assert isinstance(outcome, ConnectError) and outcome.retryable
                    assert str(outcome) == f"no connection to 127.0.0.1:{number}: connection refused ({each.url})"

    run(main())


def test_others_try_again_after_a_failure(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "later.sock"
        async with network(uds=path) as transport:
            with pytest.raises(ConnectError, match="no such file"):
                await transport.send(ask(80))
            async with serving(echo, bind=f"unix:{path}"):
                assert await fetch(transport, ask(80, "/there")) == b"/there"

    run(main())


def test_a_host_that_is_not_there(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async def nobody(*args: Any, **kwargs: Any) -> list[Any]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nobody)
        async with network() as transport:
            with pytest.raises(DNSError, match=r"nowhere\.example cannot be found: name or service not known"):
                await transport.send(ask(80, host="nowhere.example"))

    asyncio.run(main())


def test_connect_and_tls_have_timeouts_of_their_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with silence() as silent, network() as transport:
            with pytest.raises(TLSTimeout, match=r"within 0\.02 s") as tls:
                await transport.send(ask(silent.port, scheme="https", timeouts=Timeouts(tls=0.02)))
            assert tls.value.phase == "tls"
            await silent.closed.wait()

            async def never(host: str, port: int) -> Any:
                await asyncio.Event().wait()

            monkeypatch.setattr(connector, "resolve", never)
            with pytest.raises(ConnectTimeout, match=r"within 0\.02 s") as connect:
                await transport.send(ask(silent.port, timeouts=Timeouts(connect=0.02)))
            assert connect.value.phase == "connect"

    run(main())


# -- connections that end


def test_an_idle_connection_is_closed_after_its_time(run: Run) -> None:
    async def main() -> None:
        for protocol, config in (("h2", H2C), ("http/1.1", {})):
            async with (
                listening(protocol, script=answer_all) as server,
                network(**config, idle_timeout_s=0.02) as transport,
            ):
                await fetch(transport, ask(server.port))
                await server.peers[0].until_closed()
                await settled(lambda: not transport.links)
                await fetch(transport, ask(server.port))
                assert len(server.peers) == 2

    run(main())


def test_a_connection_that_died_while_idle_is_noticed(run: Run) -> None:
    async def main() -> None:
        async with listening("http/1.1") as server, network() as transport:
            task = asyncio.create_task(fetch(transport, ask(server.port)))
            peer: H1Peer = await server.accepted()
            await peer.request()
            peer.respond(b"1")
            assert await task == b"1"
            peer.drop()
            await settled(lambda: not transport.links)
            assert not transport.pool.places
            task = asyncio.create_task(fetch(transport, ask(server.port)))
            peer = await server.accepted()
            await peer.request()
            peer.respond(b"2")
            assert await task == b"2"

    run(main())


def test_closing_lets_requests_finish_and_those_who_wait_fail(run: Run) -> None:
    async def main() -> None:
        settings = {wire.MAX_CONCURRENT_STREAMS: 1}
        async with (
            listening(settings=settings) as server,
            network(**H2C, wait_for_settings=True, max_h2_connections_per_origin=1) as transport,
        ):
            running = asyncio.create_task(fetch(transport, ask(server.port, "/running")))
            peer = await server.accepted()
            request = await peer.request()
            waiting = asyncio.create_task(fetch(transport, ask(server.port, "/waiting")))
            await seen(lambda: transport.stats().waiting == 1)
            closing = asyncio.create_task(transport.aclose())
            with pytest.raises(PoolError, match="the client was closed"):
                await waiting
            with pytest.raises(PoolError, match="the client is closed"):
                await transport.send(ask(server.port))
            assert not closing.done()
            peer.respond(request.stream_id, b"done")
            assert await running == b"done"
            await closing
            await peer.until_closed()
            await transport.aclose()

    run(main())


def test_closing_ends_what_does_not_finish_in_time(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            transport = NetworkTransport(NetworkConfig(http1=False, drain_timeout_s=0.02, trust_env=False))
            task = asyncio.create_task(fetch(transport, ask(server.port)))
            await (await server.accepted()).request()
            await transport.aclose()
            with pytest.raises(ConnectionLost, match="the client was closed"):
                await task

    run(main())


def test_closing_takes_back_connections_under_way(run: Run) -> None:
    async def main() -> None:
        async with silence() as silent:
            transport = NetworkTransport(NetworkConfig(trust_env=False))
            task = asyncio.create_task(transport.send(ask(silent.port, scheme="https")))
            await silent.heard.wait()
            await transport.aclose()
            with pytest.raises(PoolError, match="the client was closed"):
                await task
            await silent.closed.wait()

    run(main())


def test_a_unix_socket_carries_any_url(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "web.sock"
        async with serving(echo, bind=f"unix:{path}"), network(uds=path) as transport:
            assert await fetch(transport, ask(80, "/over-unix", host="any.example")) == b"/over-unix"

    run(main())


def test_what_a_connection_achieves_is_told_and_names_can_be_answered_by_hand(run: Run) -> None:
    async def main() -> None:
        told: list[tuple[str, str]] = []
        tapped: list[Any] = []

        def tap(driver: asyncio.Protocol, origin: Any) -> asyncio.Protocol:
            tapped.append(driver)
            return driver

        async with (
            listening(tls=server_tls("a.example"), script=answer_all) as server,
            network(
                verify=trusting(),
                resolve={("a.example", 443): ("127.0.0.1", server.port)},
                on_step=lambda origin, step, details: told.append((step, details)),
                tap=tap,
            ) as transport,
        ):
            assert await fetch(transport, ask(443, "/x", scheme="https", host="a.example")) == b"/x"
            assert told[:2] == [("resolved", "127.0.0.1"), ("connected", f"127.0.0.1:{server.port}")]
            assert told[2][0] == "tls" and told[2][1].endswith("ALPN h2")
            assert tapped == list(transport.links)

    run(main())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"http1": False, "http2": False}, "no protocol is left"),
        ({"max_connections": 0}, "max_connections is 0"),
        ({"idle_timeout_s": 0}, "idle_timeout_s is 0"),
        ({"max_waiting": -1}, "max_waiting is -1"),
        ({"uds": "x", "proxy": "http://p"}, "exclude each other"),
    ],
)
def test_a_setting_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkConfig(**settings)
