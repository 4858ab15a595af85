"""Addresses: TCP of both families, unix sockets, inherited descriptors, and what cannot be had."""

from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path
from typing import Any

import pytest

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.transport.listener import Gate, Listener, ListenError, bind_fd, bind_tcp, bind_unix

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving


async def who(request: Request) -> Response:
    return Response.text(f"{request.connection.peer and request.connection.peer[0]} {request.connection.local}")


def test_several_addresses_at_once(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "s")

    async def main() -> None:
        async with serving(who, bind=["127.0.0.1:0", f"unix:{path}", "127.0.0.1:0"]) as server:
            ports = [int(address.rpartition(":")[2]) for bind, address in server.addresses if bind.kind == "tcp"]
            assert len(set(ports)) == 2
            for each in ports:
                async with H2Peer.connected(each) as peer:
                    assert (await peer.get("/")).body == f"127.0.0.1 ('127.0.0.1', {each})".encode()
            async with H2Peer.connected(path=path) as peer:
                assert (await peer.get("/")).body == f"None ('{path}', None)".encode()
        assert not Path(path).exists()

    run(main())


def test_an_inherited_socket(run: Run) -> None:
    async def main() -> None:
        (sock,) = bind_tcp("127.0.0.1", 0)
        try:
            async with serving(who, bind=f"fd:{sock.fileno()}") as server, H2Peer.connected(port(server)) as peer:
                assert (await peer.get("/")).status == 200
            assert sock.fileno() >= 0, "the descriptor belongs to whoever opened it"
        finally:
            sock.close()

    run(main())


def test_a_name_with_two_families_gets_one_port() -> None:
    sockets = bind_tcp("localhost", 0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_an_abandoned_unix_socket_is_replaced_a_live_one_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    bind_unix(path).close()
    with bind_unix(path), pytest.raises(ListenError, match=f"cannot listen on unix:{path}: address already in use"):
        bind_unix(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ListenError):
        bind_unix(str(tmp_path / "file"))
    assert (tmp_path / "file").exists()


def test_what_cannot_be_had_is_one_sentence() -> None:
    (sock,) = bind_tcp("127.0.0.1", 0)
    with sock:
        number = sock.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{number}: address already in use") as caught:
            bind_tcp("127.0.0.1", number)
        assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(ListenError, match="cannot listen on fd:9999: bad file descriptor"):
        bind_fd(9999)
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:80: "):
        bind_tcp("192.0.2.1", 80)


def test_running_out_of_handles_pauses_and_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("headrace.transport.listener.EXHAUSTED_PAUSE_S", 0.01)
    left = 2

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        real = loop.sock_accept

        async def sock_accept(sock: socket.socket) -> Any:
            nonlocal left
            if left:
                left -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return await real(sock)

        monkeypatch.setattr(loop, "sock_accept", sock_accept)
        async with serving(who) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 200

    run(main())
    assert sum("no connection can be accepted" in each.getMessage() for each in caplog.records) == 2


def test_the_path_of_somebody_else_is_left_alone(run: Run, tmp_path: Path) -> None:
    """A successor may have put its own socket there, and an inherited one belongs to whoever opened it."""
    path, inherited = str(tmp_path / "s"), str(tmp_path / "inherited")

    async def main() -> None:
        with bind_unix(inherited) as sock:
            async with serving(who, bind=[f"unix:{path}", f"fd:{sock.fileno()}"]):
                Path(path).unlink()
                successor = bind_unix(path)
        assert Path(path).exists()
        assert Path(inherited).exists()
        successor.close()

    run(main())


def test_what_was_accepted_right_before_the_end_is_closed(run: Run) -> None:
    """The listener closes between the accept and the opening of that connection: nobody serves it any more."""

    async def main() -> None:
        def nobody() -> asyncio.Protocol:
            raise AssertionError("a connection was opened after the listener had closed")

        (sock,) = bind_tcp("127.0.0.1", 0)
        gate = Gate(10)
        listener = Listener(sock, nobody, gate)
        listener.start()
        ours, theirs = socket.socketpair()
        with theirs:
            gate.enter()
            listener.close()
            await listener._open(ours)
            await listener.opened()
            assert theirs.recv(1) == b""
        assert gate.count == 0

    run(main())
