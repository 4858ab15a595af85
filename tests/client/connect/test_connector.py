"""One new connection: names and addresses, Happy Eyeballs, and the remains of an abandoned connection."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from headrace.client.connect import addresses
from headrace.client.connect.addresses import SocketAddress, open_socket, resolve
from headrace.client.connect.config import NetworkConfig
from headrace.client.errors import ConnectError, DNSError, TLSError
from headrace.client.interface import Origin
from headrace.client.pool.coalescing import is_announced, is_named
from headrace.client.pool.network import own_connector

from tests.client.support.network_rig import server_tls, silence, trusting
from tests.client.support.peer import listening
from tests.client.support.rig import Owner, settled
from tests.support.serving import Run

V4, V6 = socket.AF_INET, socket.AF_INET6


def four(last: int) -> SocketAddress:
    return SocketAddress(V4, (f"192.0.2.{last}", 80))


def six(last: int) -> SocketAddress:
    return SocketAddress(V6, (f"2001:db8::{last}", 80, 0, 0))


# -- names


def test_an_address_is_not_looked_up(run: Run) -> None:
    async def main() -> None:
        asyncio.get_running_loop().getaddrinfo = None  # type: ignore[method-assign, assignment]
        assert await resolve("192.0.2.1", 80) == [four(1)]
        assert await resolve("2001:db8::1", 80) == [six(1)]

    asyncio.run(main())


def test_families_take_turns_and_the_systems_first_one_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 8305 §4."""

    async def main() -> None:
        async def found(host: str, port: int, **_: Any) -> list[Any]:
            infos = [six(1), six(2), six(3), six(1), four(1)]
            return [(each.family, socket.SOCK_STREAM, 6, "", each.sockaddr) for each in infos]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
        assert await resolve("a.example", 80) == [six(1), four(1), six(2), six(3)]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "cannot be found: temporary failure"),
        (UnicodeError("label too long"), "cannot be looked up: label too long"),
        ([], "has no address"),
    ],
)
def test_a_name_without_an_address(monkeypatch: pytest.MonkeyPatch, outcome: Any, message: str) -> None:
    async def main() -> None:
        async def found(host: str, port: int, **_: Any) -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
        with pytest.raises(DNSError, match=message):
            await resolve("a.example", 80)

    asyncio.run(main())


# -- Happy Eyeballs (RFC 8305 §5)


class Network:
    """Addresses that answer when the test allows it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried: list[SocketAddress] = []
        self.outcomes: dict[SocketAddress, asyncio.Future[socket.socket]] = {}
        self.cancelled: list[SocketAddress] = []
        monkeypatch.setattr(addresses, "_open_one", self.open_one)

    async def open_one(self, address: SocketAddress, local_address: str | None) -> socket.socket:
        self.tried.append(address)
        self.outcomes[address] = asyncio.get_running_loop().create_future()
        try:
            return await self.outcomes[address]
        except asyncio.CancelledError:
            self.cancelled.append(address)
            raise


NEVER_S = 3_600.0
AT_ONCE_S = 0.0001


def test_the_next_address_is_tried_when_one_fails_without_waiting(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        network = Network(monkeypatch)
        task = asyncio.create_task(open_socket([six(1), four(1)], NEVER_S))
        await settled(lambda: len(network.tried) == 1)
        network.outcomes[six(1)].set_exception(ConnectError("no"))
        await settled(lambda: len(network.tried) == 2)
        with socket.socket() as sock:
            network.outcomes[four(1)].set_result(sock)
            assert await task is sock

    run(main())


def test_the_next_address_is_tried_beside_one_that_is_slow_and_the_first_answer_wins(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        network = Network(monkeypatch)
        task = asyncio.create_task(open_socket([six(1), four(1), six(2)], AT_ONCE_S))
        await settled(lambda: len(network.tried) == 3)
        with socket.socket() as sock:
            network.outcomes[four(1)].set_result(sock)
            assert await task is sock
        assert network.cancelled == [six(1), six(2)] or network.cancelled == [six(2), six(1)]

    run(main())


def test_a_second_winner_is_closed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        network = Network(monkeypatch)
        task = asyncio.create_task(open_socket([six(1), four(1)], AT_ONCE_S))
        await settled(lambda: len(network.tried) == 2)
        socks = [socket.socket(), socket.socket()]
        for future, sock in zip(network.outcomes.values(), socks, strict=True):
            future.set_result(sock)
        winner = await task
        assert sorted(sock.fileno() == -1 for sock in socks) == [False, True]
        winner.close()

    run(main())


def test_when_all_fail_each_reason_is_told_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        network = Network(monkeypatch)
        task = asyncio.create_task(open_socket([six(1), four(1), four(2)], AT_ONCE_S))
        await settled(lambda: len(network.tried) == 3)
        for future, reason in zip(network.outcomes.values(), ("no route", "refused", "refused"), strict=True):
            future.set_exception(ConnectError(reason))
        with pytest.raises(ConnectError) as caught:
            await task
        assert sorted(caught.value.message.split("; ")) == ["no route", "refused"]

    run(main())


def test_who_gives_up_leaves_nothing_open(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        network = Network(monkeypatch)
        task = asyncio.create_task(open_socket([six(1), four(1)], AT_ONCE_S))
        await settled(lambda: len(network.tried) == 2)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled() and sorted(network.cancelled) == sorted([six(1), four(1)])

    run(main())


def test_a_real_socket_that_does_not_delay(run: Run) -> None:
    async def main() -> None:
        async with silence() as server:
            sock = await open_socket([SocketAddress(V4, ("127.0.0.1", server.port))], 1.0, "127.0.0.2")
            with sock:
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert sock.getsockname()[0] == "127.0.0.2"
            with pytest.raises(ConnectError, match=r"no connection to 127\.0\.0\.1:\d+: cannot assign"):
                await open_socket([SocketAddress(V4, ("127.0.0.1", server.port))], 1.0, "192.0.2.1")

    run(main())


# -- a connection without a pool


def test_a_connection_for_who_has_no_pool(run: Run) -> None:
    async def main() -> None:
        async with listening(tls=server_tls()) as server:
            connector = own_connector(NetworkConfig(verify=trusting(), trust_env=False, wait_for_settings=True))
            owner = Owner()
            driver = await connector.connect(Origin("https", "localhost", server.port), owner)
            assert driver.is_ready and driver.http_version == "2" and owner.told == ["ready"]
            driver.abort()
            await owner.lost.wait()
            await connector.aclose()

    run(main())


def test_one_that_is_given_up_in_the_handshake_is_closed(run: Run) -> None:
    async def main() -> None:
        async with silence() as server:
            connector = own_connector(NetworkConfig(trust_env=False))
            owner = Owner()
            task = asyncio.create_task(connector.connect(Origin("https", "127.0.0.1", server.port), owner))
            await server.heard.wait()
            task.cancel()
            await asyncio.wait((task,))
            await server.closed.wait()
            assert task.cancelled() and owner.told == []

    run(main())


def test_one_that_ends_before_it_is_ready(run: Run) -> None:
    async def main() -> None:
        async with listening(is_mute=True, script=close_it) as server:
            connector = own_connector(NetworkConfig(trust_env=False, wait_for_settings=True, http1=False))
            with pytest.raises(ConnectError, match="was never ready: the connection ended") as caught:
                await connector.connect(Origin("http", "127.0.0.1", server.port), Owner(), protocols="h2")
            assert caught.value.retryable

    run(main())


async def close_it(peer: Any) -> None:
    peer.close()


def test_a_context_that_cannot_be_made_is_an_error_of_each_request(run: Run) -> None:
    async def main() -> None:
        connector = own_connector(NetworkConfig(trust_env=False, verify="/nowhere.pem"))
        for _ in range(2):
            with pytest.raises(TLSError, match=r"/nowhere\.pem: no such file"):
                await connector.connect(Origin("https", "127.0.0.1", 9), Owner())

    run(main())


def test_a_name_that_tls_cannot_ask_for(run: Run) -> None:
    async def main() -> None:
        async with silence() as server:
            name = "x" * 64 + ".example"
            connector = own_connector(NetworkConfig(trust_env=False, resolve={(name, 443): ("127.0.0.1", server.port)}))
            with pytest.raises(TLSError, match="no TLS with 'xxx"):
                await connector.connect(Origin("https", name, 443), Owner())
            await server.closed.wait()

    run(main())


def test_a_tap_that_fails_leaves_nothing_open(run: Run) -> None:
    async def main() -> None:
        def tap(driver: asyncio.Protocol, origin: Origin) -> asyncio.Protocol:
            raise RuntimeError("no tap")

        async with silence() as server:
            connector = own_connector(NetworkConfig(trust_env=False, tap=tap))
            with pytest.raises(RuntimeError, match="no tap"):
                await connector.connect(Origin("http", "127.0.0.1", server.port), Owner())
            await server.closed.wait()

    run(main())


@pytest.mark.parametrize("when", ["before", "when", "after"])
def test_a_connection_whose_making_is_cancelled_is_lost(run: Run, when: str) -> None:
    """Before the driver has its transport, while it gets it, or right after. uvloop reports no end then, and a
    caller that awaits the driver would wait for ever."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        drivers: list[Any] = []

        def tap(driver: asyncio.Protocol, origin: Origin) -> asyncio.Protocol:
            drivers.append(driver)
            loop.call_soon(wait_for_it)
            return driver

        def wait_for_it() -> None:
            """Cancel as soon as the driver is ready, or one turn of the loop after another before that."""
            driver = drivers[0]
            if when == "before":
                making.cancel()
            elif not driver.is_ready:
                loop.call_soon(wait_for_it)
            elif when == "when":
                making.cancel()
            else:
                loop.call_soon(making.cancel)

        async with silence() as server:
            connector = own_connector(NetworkConfig(trust_env=False, tap=tap))
            making = asyncio.ensure_future(connector.connect(Origin("http", "127.0.0.1", server.port), Owner()))
            await asyncio.wait((making,))
            [driver] = drivers
            if not making.cancelled():  # too late: the connection is made
                making.result().abort()
            await settled(lambda: driver.transport is None and not driver.is_usable)
            await server.closed.wait()

    run(main())


# -- sharing a connection


@pytest.mark.parametrize(
    ("names", "host", "expected"),
    [
        (("a.example",), "a.example", True),
        (("a.example",), "A.Example.", True),
        (("a.example",), "b.example", False),
        (("*.example.com",), "a.example.com", True),
        (("*.example.com",), "a.b.example.com", False),
        (("*.example.com",), "example.com", False),
        (("*.com",), "example.com", False),
        (("w*.example.com",), "www.example.com", False),
        ((), "a.example", False),
    ],
)
def test_names_in_a_certificate(names: tuple[str, ...], host: str, expected: bool) -> None:
    """RFC 9525 §6.3."""
    assert is_named({"subjectAltName": tuple(("DNS", name) for name in names)}, host) == expected


def test_addresses_in_a_certificate() -> None:
    certificate = {
        "subjectAltName": (
            ("IP Address", "192.0.2.1"),
            ("IP Address", "2001:DB8:0:0:0:0:0:1"),
            ("DNS", "1.2.3.4"),
        )
    }
    assert is_named(certificate, "192.0.2.1") and is_named(certificate, "2001:db8::1")
    assert not is_named(certificate, "192.0.2.2") and not is_named(certificate, "1.2.3.4")
    assert not is_named({}, "192.0.2.1")


def test_an_origin_set() -> None:
    a, b = Origin("https", "a.example", 443), Origin("https", "a.example", 8443)
    assert is_announced(None, a) and not is_announced([], a)
    assert is_announced([b"https://a.example"], a) and not is_announced([b"https://a.example"], b)
    assert is_announced([b"https://a.example:8443"], b) and not is_announced([b"http://a.example"], a)
