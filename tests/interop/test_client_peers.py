"""Our client against other people's servers, and ours, on every wire that they offer.

What a peer lacks is left out by name in the tables here; a peer that is not installed skips, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import psutil
import pytest

from headrace.client import Client, Timeouts
from headrace.client.connect.config import NetworkConfig
from headrace.client.connection.driver import ClientDriver
from headrace.client.pool.network import NetworkTransport

from tests.client.support.network_rig import trusting
from tests.interop.peers.app import BLOCK
from tests.interop.peers.servers import H1, H1S, H2, H2C, LARGE, PEERS, SMALL, WIRES, Running, running

pytestmark = [pytest.mark.tool, pytest.mark.slow]

MIB = 1 << 20
MEMORY = 24 * MIB  # growth while 100 MiB pass; the windows of a connection are 16 MiB
DIGESTS: dict[int, str] = {}

ON_WIRES = [(peer, wire) for peer in PEERS for wire in WIRES if peer != "nghttpd" or wire in (H2C, H2)]
HYPERCORN_H1 = [("hypercorn", H1), ("hypercorn", H1S)]
OVER_H2 = [each for each in ON_WIRES if each[1] in (H2C, H2)]
# nginx 1.22 passes no 103 on and makes none, nghttpd makes none, and Hypercorn's 103 over HTTP/1.1 ends in its own 500.
HINTING = [each for each in ON_WIRES if each[0] not in ("nginx", "nghttpd") and each not in HYPERCORN_H1]
# Hypercorn sends no trailers over HTTP/1.1.
TRAILING = [each for each in ON_WIRES if each not in HYPERCORN_H1]
# Node's own HTTP/1.1 server knows of no WebSocket; Go, nginx and nghttpd have none that would need no other server.
WEBSOCKETS = [each for each in ON_WIRES if each[0] in ("headrace", "hypercorn", "haproxy")]
WEBSOCKETS += [("node", H2C), ("node", H2)]


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Starts a peer when it is first asked for."""
    with contextlib.ExitStack() as stack:
        started: dict[str, Running] = {}

        def get(name: str, wire: str) -> Running:
            if name not in started:
                started[name] = stack.enter_context(running(name, tmp_path_factory.mktemp(name)))
            if wire not in started[name].ports:
                pytest.skip(f"{name} of this version has no {wire}")  # Go before 1.24
            return started[name]

        yield get


def client(wire: str, **network: Any) -> Client:
    """One that speaks what the wire does, and nothing else."""
    is_h2 = wire in (H2C, H2)
    config = NetworkConfig(http1=not is_h2, http2=is_h2, verify=trusting(), trust_env=False, **network)
    return Client(network=config, timeout=Timeouts.of(30.0))


def connections(it: Client) -> list[ClientDriver]:
    assert isinstance(it.transport, NetworkTransport)
    return list(it.transport.links)


def url(peer: Running, wire: str, path: str) -> str:
    scheme = "https" if wire in (H2, H1S) else "http"
    return f"{scheme}://127.0.0.1:{peer.ports[wire]}{path}"


def digest_of(blocks: int) -> str:
    if blocks not in DIGESTS:
        digest = hashlib.sha256()
        for _ in range(blocks):
            digest.update(BLOCK)
        DIGESTS[blocks] = digest.hexdigest()
    return DIGESTS[blocks]


async def blocks_of(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield BLOCK


class Memory:
    """How much this process has grown since."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self.most = 0
        self._count = 0

    def look(self) -> None:
        self._count += 1
        if not self._count % 64:
            self.most = max(self.most, self._process.memory_info().rss - self._before)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 60.0))


def on(wires: list[tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("name", "wire"), wires, ids=[f"{name}, {wire}" for name, wire in wires])


@on(ON_WIRES)
def test_get(peers: Any, name: str, wire: str) -> None:
    """GET, twice over one connection."""
    peer = peers(name, wire)

    async def main() -> None:
        async with client(wire) as it:
            for _ in range(2):
                response = await it.get(url(peer, wire, "/hello"))
                assert (response.status, response.content) == (200, b"hello")
                assert response.http_version == ("2" if wire in (H2C, H2) else "1.1")
                assert (response.info["tls"] is not None) == (wire in (H2, H1S))
            assert len(connections(it)) == 1

    run(main())


@on(ON_WIRES)
def test_a_large_download(peers: Any, name: str, wire: str) -> None:
    """100 MiB in cleartext, 10 MiB over TLS: every byte in order, and memory stays where it is."""
    peer = peers(name, wire)
    blocks = LARGE if wire in (H2C, H1) else SMALL

    async def main() -> None:
        async with client(wire) as it:
            digest = hashlib.sha256()
            memory = Memory()
            async with it.stream("GET", url(peer, wire, f"/down/{blocks}")) as response:
                async for piece in response.iter_raw():
                    digest.update(piece)
                    memory.look()
            assert digest.hexdigest() == digest_of(blocks)
            assert memory.most < MEMORY

    run(main())


@on(ON_WIRES)
def test_a_large_upload(peers: Any, name: str, wire: str) -> None:
    """The same the other way; with nghttpd, which sends it back, both ways at once."""
    peer = peers(name, wire)
    blocks = LARGE if wire in (H2C, H1) else SMALL
    memory = Memory()

    async def content() -> AsyncIterator[bytes]:
        async for block in blocks_of(blocks):
            memory.look()
            yield block

    async def main() -> None:
        size = blocks * len(BLOCK)
        headers = {"content-length": str(size)} if name == "nginx" else {}
        async with client(wire) as it:
            digest = hashlib.sha256()
            target = url(peer, wire, peer.upload or "/hello")
            async with it.stream("POST", target, content=content(), headers=headers) as response:
                assert response.status == 200
                said = b""
                async for piece in response.iter_raw():
                    digest.update(piece)
                    said = (said + piece)[:200]
            if not peer.upload:
                assert digest.hexdigest() == digest_of(blocks)
            elif name == "nginx":
                assert said.decode() == str(size)
            else:
                assert said.decode() == f"{size} {digest_of(blocks)}"
            assert memory.most < MEMORY

    run(main())


@on(TRAILING)
def test_trailers(peers: Any, name: str, wire: str) -> None:
    peer = peers(name, wire)

    async def main() -> None:
        async with client(wire) as it:
            response = await it.get(url(peer, wire, "/trailers"), headers={"te": "trailers"})
            assert response.content == b"content"
            assert response.trailers["x-checksum"] == "7"

    run(main())


@on(HINTING)
def test_early_hints(peers: Any, name: str, wire: str) -> None:
    peer = peers(name, wire)

    async def main() -> None:
        seen: list[tuple[int, str]] = []
        async with client(wire) as it:
            response = await it.get(
                url(peer, wire, "/hints"),
                on_informational=lambda status, headers: seen.append((status, headers["link"])),
            )
            assert (response.status, response.content) == (200, b"hello")
            assert (103, "</style.css>; rel=preload") in seen

    run(main())


@on(OVER_H2)
def test_1000_requests_at_once_over_one_connection(peers: Any, name: str, wire: str) -> None:
    """All that the peer allows are open at the same time; the others follow."""
    peer = peers(name, wire)

    async def main() -> None:
        async with client(wire, max_h2_connections_per_origin=1) as it:
            target = url(peer, wire, "/hello")
            await it.get(target)
            (driver,) = connections(it)
            tasks = [asyncio.create_task(it.get(target)) for _ in range(1_000)]
            await asyncio.sleep(0)
            assert len(driver.live) == min(1_000, driver.capacity)
            answers = await asyncio.gather(*tasks)
            assert {(response.status, response.content) for response in answers} == {(200, b"hello")}
            assert connections(it) == [driver]
            assert driver.completed == 1_001

    run(main())


@on(WEBSOCKETS)
def test_websocket(peers: Any, name: str, wire: str) -> None:
    """Text, and 100,000 bytes, there and back; over HTTP/2 beside a request on the same connection."""
    peer = peers(name, wire)

    async def main() -> None:
        large = BLOCK + BLOCK[:34_464]
        async with (
            client(wire) as it,
            it.websocket(url(peer, wire, "/").replace("http", "ws", 1), close_timeout_s=1.0) as websocket,
        ):  # Hypercorn lets the closing handshake wait
            await websocket.send("grüß dich")
            assert await websocket.receive() == "grüß dich"
            await websocket.send(large)
            assert await websocket.receive() == large
            response = await it.get(url(peer, wire, "/hello"))
            assert response.content == b"hello"
            assert len(connections(it)) == (1 if wire in (H2C, H2) else 2)

    run(main())
