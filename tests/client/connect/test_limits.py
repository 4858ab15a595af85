"""Connections that take too long, attempts that come too late, and certificates that were not checked."""

from __future__ import annotations

import asyncio
import socket
import ssl
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.client.connect import addresses
from headrace.client.connect import connector as connector_module
from headrace.client.connect.addresses import _take_back, open_socket
from headrace.client.connect.config import NetworkConfig
from headrace.client.connect.connector import _attach
from headrace.client.connect.socks import _target
from headrace.client.connect.tls import check_result
from headrace.client.errors import ConnectError, ConnectTimeout, ProxyError, TLSError, TLSTimeout
from headrace.client.interface import Origin
from headrace.client.pool.coalescing import covers, is_named, may_share
from headrace.client.pool.network import own_connector
from headrace.client.timeouts import Timeouts

from tests.client.connect.test_connector import NEVER_S, Network, four, six
from tests.client.support.network_rig import silence
from tests.client.support.rig import Owner, settled
from tests.support.serving import Run


def test_a_connection_that_takes_too_long(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    async def main() -> None:
        connector = own_connector(NetworkConfig(trust_env=False))
        monkeypatch.setattr(connector, "_reach", never)
        with pytest.raises(
            ConnectTimeout, match=r"no connection to http://192\.0\.2\.1:80 within 0\.001 s|within 0\.001"
        ):
            await connector.connect(Origin("http", "192.0.2.1", 80), Owner(), timeouts=Timeouts(connect=0.001))

        async def too_slow(*_: Any) -> Any:
            raise TimeoutError("of a hook")

        monkeypatch.setattr(connector, "_reach", too_slow)
        with pytest.raises(TimeoutError, match="of a hook"):
            await connector.connect(Origin("http", "192.0.2.1", 80), Owner(), timeouts=Timeouts(connect=None))

    run(main())


@pytest.mark.parametrize("limit_s", [0.01, None])
def test_a_handshake_that_takes_too_long(run: Run, limit_s: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with silence() as server:
            connector = own_connector(NetworkConfig(trust_env=False))
            origin = Origin("https", "127.0.0.1", server.port)
            if limit_s is None:

                async def fails(link: socket.socket, _: Any) -> None:
                    link.close()
                    raise TimeoutError("of the system")

                monkeypatch.setattr(connector_module, "_attach", fails)
                with pytest.raises(TimeoutError, match="of the system"):
                    await connector.connect(origin, Owner(), timeouts=Timeouts(tls=None))
            else:
                with pytest.raises(TLSTimeout, match=r"within 0\.01 s"):
                    await connector.connect(origin, Owner(), timeouts=Timeouts(tls=limit_s))
                await server.closed.wait()

    run(main())


def test_a_socket_that_no_transport_takes_is_closed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no transport")

    async def main() -> None:
        one, other = socket.socketpair()
        with other, monkeypatch.context() as patch:
            loop = SimpleNamespace(create_connection=refuse, create_unix_connection=refuse)
            patch.setattr(asyncio, "get_running_loop", lambda: loop)
            with pytest.raises(OSError, match="no transport"):
                await _attach(one, asyncio.Protocol())
            assert one.fileno() == -1

    run(main())


# -- addresses ---------------------------------------------------------------------------------------------------------


def test_an_error_of_our_own_ends_all_attempts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        network = Network(monkeypatch)
        task = asyncio.create_task(open_socket([six(1), four(1)], 0.0001))
        await settled(lambda: len(network.tried) == 2)
        network.outcomes[six(1)].set_exception(LookupError("a fault"))
        with pytest.raises(LookupError, match="a fault"):
            await task
        assert network.cancelled == [four(1)]

    run(main())


def test_a_socket_that_connects_while_its_attempt_is_taken_back_is_closed(run: Run) -> None:
    async def main() -> None:
        sock = socket.socket()

        async def stubborn() -> socket.socket:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass
            return sock

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await _take_back({task})
        assert sock.fileno() == -1

    run(main())


def test_a_winner_is_closed_when_its_caller_gives_up_at_that_moment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        network = Network(monkeypatch)
        taking_back = asyncio.Event()

        async def slow(tasks: Any) -> None:
            taking_back.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(addresses, "_take_back", slow)
        task = asyncio.create_task(open_socket([six(1), four(1)], NEVER_S))
        await settled(lambda: len(network.tried) == 1)
        sock = socket.socket()
        network.outcomes[six(1)].set_result(sock)
        await taking_back.wait()
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        assert sock.fileno() == -1

    run(main())


def test_a_system_without_sockets_left(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any) -> None:
        raise OSError(24, "Too many open files")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", exhausted)
            with pytest.raises(ConnectError, match=r"no connection to 192\.0\.2\.1:80: too many open files"):
                await open_socket([four(1)], NEVER_S)

    run(main())


def test_a_name_that_socks_cannot_carry() -> None:
    assert _target("a.example", 80) == b"\x03\x09a.example\x00\x50"
    with pytest.raises(ProxyError, match="too long for SOCKS5"):
        _target("a" * 256, 80)


# -- certificates ------------------------------------------------------------------------------------------------------


class TLS:
    """The result of a handshake."""

    def __init__(self, alpn: str | None = "h2", mode: ssl.VerifyMode = ssl.CERT_REQUIRED, checks: bool = True) -> None:
        self.alpn = alpn
        self.context = SimpleNamespace(verify_mode=mode, check_hostname=checks)

    def selected_alpn_protocol(self) -> str | None:
        return self.alpn

    def cipher(self) -> tuple[str, str, int]:
        return "TLS_AES_128_GCM_SHA256", "TLSv1.3", 128

    def version(self) -> str:
        return "TLSv1.3"

    def getpeercert(self) -> dict[str, Any] | None:
        return {"subjectAltName": (("URI", "a.example"), ("DNS", "b.example"), ("DNS", "a.example"))}


def test_only_a_certificate_that_was_checked_covers_another_host() -> None:
    assert covers(cast(Any, TLS()), "a.example")
    assert not covers(cast(Any, TLS()), "c.example")
    assert not covers(None, "a.example")
    assert not covers(cast(Any, TLS(mode=ssl.CERT_NONE)), "a.example")
    assert not covers(cast(Any, TLS(checks=False)), "a.example")


def test_an_address_in_a_certificate_that_is_none_covers_nothing() -> None:
    certificate = {"subjectAltName": (("IP Address", "no address"), ("IP Address", "192.0.2.1"))}
    assert is_named(certificate, "192.0.2.1")
    assert not is_named({"subjectAltName": (("IP Address", "no address"),)}, "192.0.2.1")


def test_a_connection_without_a_transport_is_not_shared() -> None:
    driver: Any = SimpleNamespace(http_version="2", is_usable=True, transport=None)
    origin = Origin("https", "a.example", 443)
    assert not may_share(driver, origin, Origin("https", "b.example", 443), [four(1)])


def test_a_protocol_that_was_not_offered_is_refused() -> None:
    with pytest.raises(TLSError, match="chose the protocol 'h3', which was not offered"):
        check_result(cast(Any, TLS("h3")), "any", "a.example")
    check_result(cast(Any, TLS("h2")), "any", "a.example")
