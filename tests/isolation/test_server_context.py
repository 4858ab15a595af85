"""A request begins in the context in which the server was started, whoever made room for it; and leaves nothing there.

The ways in which a worker is started: from a batch of input, behind another one on the same connection, from a place
that became free, after a pause in reading, and on a tunnel.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from headrace.server.app import Server
from headrace.server.connection.driver import ServerDriver
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.transport.tls import local_certificate

from tests.isolation.probes import USER, Probe, started
from tests.server.test_tls_serving import client_context
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, settled
from tests.support.ws_peer import open_websocket

KINDS = ["native", "asgi"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    local_certificate(folder)
    return folder


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def post(path: str, size: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()


async def responses(reader: asyncio.StreamReader, count: int) -> None:
    """Read so many responses of HTTP/1.1."""
    for _ in range(count):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))


def has_drivers(server: Server) -> bool:
    assert server.service is not None
    return bool(server.service.drivers)


def driver_of(server: Server) -> ServerDriver:
    """The server's only connection."""
    assert server.service is not None
    (driver,) = server.service.drivers
    assert isinstance(driver, ServerDriver)
    return driver


@pytest.mark.parametrize("kind", [*KINDS, "wsgi"])
@pytest.mark.parametrize("is_tls", [False, True])
def test_requests_one_after_another(run: Run, folder: Path, kind: str, is_tls: bool) -> None:
    async def main() -> None:
        probe = Probe()
        tls = client_context(folder, "http/1.1") if is_tls else None
        tls2 = client_context(folder, "h2") if is_tls else None
        settings: dict[str, Any] = {"tls_cert": str(folder / "localhost.pem")} if is_tls else {}
        async with started(getattr(probe, kind), interface=kind, **settings) as server:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port(server), ssl=tls, server_hostname="localhost" if tls else None
            )
            for path in ("/1", "/2/turn"):
                writer.write(get(path))
                await responses(reader, 1)
            await probe.check_forgotten("/1", "/2/turn")
            writer.close()
            async with H2Peer.connected(port(server), tls=tls2) as peer:
                for path in ("/3", "/4/turn"):
                    await peer.get(path)
                await probe.check_forgotten("/3", "/4/turn")
        probe.check("/1", "/2/turn", "/3", "/4/turn")

    run(main())


@pytest.mark.parametrize("kind", [*KINDS, "wsgi"])
def test_pipelined_requests(run: Run, kind: str) -> None:
    paths = ["/1/turn", "/2", "/3/turn", "/4/turn"]

    async def main() -> None:
        probe = Probe()
        async with started(getattr(probe, kind), interface=kind) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(b"".join(get(path) for path in paths))
            await responses(reader, len(paths))
            await probe.check_forgotten(*paths)
            writer.close()
        probe.check(*paths)

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_requests_that_were_put_off(run: Run, kind: str) -> None:
    async def main() -> None:
        probe = Probe()
        async with (
            started(getattr(probe, kind), interface=kind, limits={"max_concurrent_streams": 1}) as server,
            H2Peer.connected(port(server)) as peer,
        ):
            first = peer.open("/1/wait")
            await settled(lambda: "/1/wait" in probe.seen)
            peer.reset(first)  # its place on the wire is free, its worker goes on
            second = peer.open("/2")
            await peer.ping()
            assert "/2" not in probe.seen
            probe.gate("/1/wait").set()
            await peer.over(second)
            await probe.check_forgotten("/1/wait", "/2")
        probe.check("/1/wait", "/2")

    run(main())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_tls", [False, True])
def test_a_request_after_an_upload_that_paused_reading(run: Run, folder: Path, kind: str, is_tls: bool) -> None:
    size = 2_097_152

    async def main() -> None:
        probe = Probe()
        tls = client_context(folder, "http/1.1") if is_tls else None
        settings: dict[str, Any] = {"tls_cert": str(folder / "localhost.pem")} if is_tls else {}
        async with started(getattr(probe, kind), interface=kind, **settings) as server:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port(server), ssl=tls, server_hostname="localhost" if tls else None
            )
            writer.write(post("/1/wait", size) + bytes(size))
            await settled(lambda: has_drivers(server) and driver_of(server)._read_paused)
            probe.gate("/1/wait").set()
            await responses(reader, 1)
            writer.write(get("/2"))
            await responses(reader, 1)
            await probe.check_forgotten("/1/wait", "/2")
            writer.close()
        probe.check("/1/wait", "/2")

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_after_a_slow_reader(run: Run, kind: str) -> None:
    """The client sends more than may be read while it takes nothing, so reading pauses; then it reads all of it."""

    async def main() -> None:
        probe = Probe()
        async with started(getattr(probe, kind), interface=kind) as server:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", port(server)))
            reader, writer = await asyncio.open_connection(sock=sock, limit=1_024)
            peer = H2Peer(reader, writer, {4: 2**30}, True)
            peer._pump.cancel()
            peer.conn.increment_flow_control_window(2**30)
            peer.flush()
            first = peer.open("/1/turn/big")
            await settled(lambda: has_drivers(server) and driver_of(server).write_blocked)
            for _ in range(10):
                writer.write((8 * 2_000).to_bytes(3) + b"\xfa\0\0\0\0\0" + bytes(8 * 2_000))  # an unknown frame
            await settled(lambda: driver_of(server)._read_paused)
            peer._pump = asyncio.create_task(peer._read())
            await peer.over(first)
            await peer.get("/2")
            await probe.check_forgotten("/1/turn/big", "/2")
            await peer.close()
        probe.check("/1/turn/big", "/2")

    run(main())


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_websockets(run: Run, version: str) -> None:
    """Two on one connection of HTTP/2, and each on its own over HTTP/1.1, behind an ordinary request."""

    async def main() -> None:
        probe = Probe()
        seen: list[Any] = []

        async def talk(ws: Any) -> None:
            seen.append(USER.get().name)  # type: ignore[union-attr]
            async for message in ws:
                await ws.send(message + " " + USER.get().name)  # type: ignore[union-attr]

        async def app(request: Any) -> Any:
            if not request.is_websocket:
                return await probe.native(request)
            probe.enter(request.path)
            return WebSocketResponse(talk)

        async with started(app, websockets="on") as server:
            if version == "2":
                async with H2Peer.connected(port(server)) as peer:
                    await peer.get("/1/turn")
                    async with (
                        open_websocket("h2", 0, "/2", on=peer) as one,
                        open_websocket("h2", 0, "/3", on=peer) as other,
                    ):
                        for each, path in ((one, "/2"), (other, "/3"), (one, "/2")):
                            each.send("hello")
                            assert await each.message() == f"hello {path}"
                        for each in (one, other):
                            each.say_close()
                            await each.until_ended()
                    await probe.check_forgotten("/1/turn", "/2", "/3")
            else:
                for path in ("/2", "/3"):
                    async with open_websocket("h1", port(server), path) as one:
                        one.send("hello")
                        assert await one.message() == f"hello {path}"
        probe.check(*(["/1/turn"] if version == "2" else []), "/2", "/3")

    run(main())
