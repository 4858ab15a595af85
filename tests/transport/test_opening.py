"""Connections that end before they are open, and listeners whose system fails them."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.transport.listener import Gate, ListenError, _inode, bind_fd, bind_tcp, bind_unix
from headrace.transport.proxy_protocol import ProxiedProtocol

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving
from tests.transport.test_listener import who

FAR = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


def test_a_full_gate_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        gate = Gate(2)
        for _ in range(4):  # those that were accepted at the same time
            gate.enter()
        waiting = asyncio.ensure_future(gate.room())
        for _ in range(2):
            gate.leave()
            await asyncio.sleep(0)
            assert not waiting.done()
        gate.leave()
        await waiting
        assert gate.count == 1

    asyncio.run(main())
    assert [each.getMessage() for each in caplog.records] == [
        "2 connections are open (limit max_connections); new ones wait"
    ]


def test_a_client_that_goes_before_it_is_accepted_is_no_failure(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [OSError(errno.ECONNABORTED, "Software caused connection abort")]

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        real = loop.sock_accept

        async def sock_accept(sock: socket.socket) -> Any:
            if errors:
                raise errors.pop()
            return await real(sock)

        monkeypatch.setattr(loop, "sock_accept", sock_accept)
        async with serving(who) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 200

    run(main())
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("kind", ["plain", "proxied"])
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_a_connection_that_the_loop_cannot_open_leaves_its_place(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, level: int
) -> None:
    """The next one is served, although only one may be open."""
    errors = [OSError(errno.ENOMEM, "Cannot allocate memory")]
    settings: dict[str, Any] = {"max_connections": 1}
    if kind == "proxied":
        settings |= {"proxy_protocol": "v1", "proxy_protocol_from": "127.0.0.1"}

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        real = loop.connect_accepted_socket

        async def connect_accepted_socket(make: Any, sock: socket.socket) -> Any:
            if errors:
                raise errors.pop()
            return await real(make, sock)

        monkeypatch.setattr(loop, "connect_accepted_socket", connect_accepted_socket)
        async with serving(who, **settings) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            assert await reader.read() == b""
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            if kind == "proxied":
                writer.write(b"PROXY TCP4 192.0.2.7 192.0.2.1 4444 443\r\n")
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()

    with caplog.at_level(level, "headrace.protocol"):
        run(main())
    said = any("Cannot allocate memory" in each.getMessage() for each in caplog.records)
    assert said == (level == logging.DEBUG)


# -- addresses ---------------------------------------------------------------------------------------------------------


def resolving_to(*families: tuple[int, str]) -> Callable[..., Any]:
    def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        found = []
        for family, address in families:
            more = (0, 0) if family == socket.AF_INET6 else ()
            found.append((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, *more)))
        return found

    return getaddrinfo


def test_a_name_of_both_families_has_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    monkeypatch.setattr(socket, "getaddrinfo", resolving_to(*FAR))
    try:
        sockets = bind_tcp("localhost", 0)
    except ListenError as error:
        pytest.skip(f"no IPv6 here: {error}")
    try:
        assert [sock.family for sock in sockets] == [family for family, _ in FAR]
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert sockets[1].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_a_name_that_nobody_knows_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ListenError, match="cannot listen on nowhere:80: name or service not known"):
        bind_tcp("nowhere", 80)


def test_a_second_address_that_is_taken_frees_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        both = ((socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.1"))
        monkeypatch.setattr(socket, "getaddrinfo", resolving_to(*both))
        with pytest.raises(ListenError, match="address already in use"):
            bind_tcp("localhost", number)
        with socket.create_server(("127.0.0.2", number)):
            pass  # it is free again


def test_a_descriptor_that_cannot_listen_is_one_sentence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(ListenError, match=f"cannot listen on fd:{sock.fileno()}: "):
            bind_fd(sock.fileno())
        assert sock.fileno() >= 0
    with open(os.devnull) as file, pytest.raises(ListenError, match=f"cannot listen on fd:{file.fileno()}: "):
        bind_fd(file.fileno())


def test_a_path_that_is_gone_has_no_inode(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    assert _inode(path) is None
    with bind_unix(path):
        assert _inode(path) == os.stat(path).st_ino
    assert _inode(None) is None


# -- the PROXY header --------------------------------------------------------------------------------------------------


class RawTransport:
    """Counts its ends."""

    def __init__(self, peer: Any) -> None:
        self.peer = peer
        self.aborted = 0

    def get_extra_info(self, name: str) -> Any:
        return self.peer

    def abort(self) -> None:
        self.aborted += 1


def proxied(ends: list[str | None], trusted: str = "192.0.2.0/24") -> ProxiedProtocol:
    def unwanted() -> Any:
        raise AssertionError("no protocol is made for this connection")

    return ProxiedProtocol(
        unwanted, "on", [ipaddress.ip_network(trusted)], on_end=lambda _, failure: ends.append(failure)
    )


@pytest.mark.parametrize(
    ("peer", "is_trusted"),
    [
        (("192.0.2.9", 1), True), (("::ffff:192.0.2.9", 1, 0, 0), True), (("fe80::1%eth0", 1, 0, 0), False),
        (("198.51.100.1", 1), False), (("no address", 1), False), ("/run/socket", True), (None, True),
    ],
)  # fmt: skip
def test_who_may_send_a_proxy_header(peer: Any, is_trusted: bool) -> None:
    async def main() -> None:
        ends: list[str | None] = []
        protocol = proxied(ends)
        transport = RawTransport(peer)
        protocol.connection_made(transport)  # type: ignore[arg-type] # it is asked for its peer, and ended
        assert (transport.aborted == 0) == is_trusted
        assert ends == ([] if is_trusted else ["its peer is not one of proxy_protocol_from"])
        protocol.connection_lost(None)
        assert len(ends) == 1

    asyncio.run(main())


def test_a_connection_that_was_broken_off_before_it_was_made_is_ended() -> None:
    async def main() -> None:
        ends: list[str | None] = []
        protocol = proxied(ends)
        protocol.break_off("the server ends")
        protocol.data_received(b"PROXY")
        transport = RawTransport(("192.0.2.9", 1))
        protocol.connection_made(transport)  # type: ignore[arg-type] # it is asked for its peer, and ended
        protocol.break_off("again")
        assert (transport.aborted, ends) == (1, ["the server ends"])

    asyncio.run(main())
