"""Tunnels by the transport: the choice of connection for a WebSocket, which takes nothing from other requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.client.errors import ConnectError, ConnectionLost
from headrace.client.interface import Outgoing
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.websocket.connection import WebSocket

from tests.client.support.network_rig import H2C, ask, fetch, network, server_tls, trusting
from tests.client.support.peer import H1Peer, H2Peer, listening
from tests.client.support.proxies import http_connect, proxy, socks5
from tests.client.support.rig import settled
from tests.support import wire
from tests.support.serving import Run, port, serving


class Receiver:
    """Keeps the bytes of a tunnel."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.ended = False
        self.lost = ""

    def on_bytes(self, data: bytes, owed: int, ended: bool) -> None:
        self.output += data
        self.ended = self.ended or ended

    def on_lost(self, reason: str) -> None:
        self.lost = reason

    def on_writable(self) -> None:
        pass


def websocket(number: int, path: str = "/ws", **options: Any) -> Outgoing:
    headers = [(b"sec-websocket-version", b"13")]
    return ask(number, path, "CONNECT", protocol=b"websocket", headers=headers, **options)


async def upgrade(peer: H1Peer) -> None:
    """Grant the upgrade that the request asks for."""
    import base64
    import hashlib

    request = await peer.request()
    key = request.field(b"sec-websocket-key") or b""
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    peer.take_tunnel()
    peer.send(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-accept: " + accept + b"\r\n\r\n"
    )


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_handshake_goes_once_more_where_a_kept_connection_ends_without_an_answer(run: Run, is_kept: bool) -> None:
    """The handshake is a GET (RFC 6455 §4.1), and so idempotent (RFC 9112 §9.3.1). On a new connection the end is
    the answer."""

    async def main() -> None:
        async with listening("http/1.1") as server, network(drain_timeout_s=0.1) as transport:
            if is_kept:
                task = asyncio.create_task(fetch(transport, ask(server.port)))
                old: H1Peer = await server.accepted()
                await old.request()
                old.respond(b"1")
                await task
            opening = asyncio.create_task(transport.tunnel(websocket(server.port)))
            if is_kept:
                await old.request()
                old.close()
            new: H1Peer = await server.accepted()
            if is_kept:
                await upgrade(new)
                assert (await opening).head.status == 101
            else:
                await new.request()
                new.close()
                with pytest.raises(ConnectionLost):
                    await opening
            assert len(server.peers) == 1 + is_kept

    run(main())


async def app(request: Request) -> Any:
    async def echo(socket: WebSocket) -> None:
        async for message in socket:
            await socket.send(message)

    return WebSocketResponse(echo) if request.path == "/ws" else Response(200, (), b"hello")


@pytest.mark.parametrize(("config", "version"), [(H2C, "2"), ({}, "1.1")])
def test_our_own_server_takes_them_both_ways(run: Run, config: dict[str, Any], version: str) -> None:
    async def main() -> None:
        async with serving(app, websockets="on") as server, network(**config) as transport:
            await fetch(transport, ask(port(server)))
            incoming = await transport.tunnel(websocket(port(server)))
            assert incoming.head.http_version == version and incoming.head.status in (101, 200)
            receiver = Receiver()
            tunnel = incoming.tunnel(receiver)
            tunnel.write(b"\x81\x85\0\0\0\0hello", False)  # a text message, masked with zeros
            await settled(lambda: bytes(receiver.output) == b"\x81\x05hello")
            assert await fetch(transport, ask(port(server))) == b"hello"
            stats = transport.stats()
            assert (stats.connections, stats.streams) == ((1, 1) if version == "2" else (2, 1))
            tunnel.abort()

    run(main())


def test_a_server_that_takes_none_over_http_2_gets_a_connection_of_http_1(run: Run) -> None:
    async def main() -> None:
        async with (
            listening(tls=server_tls()) as server,
            network(verify=trusting()) as transport,
        ):
            options = {"scheme": "https", "host": "localhost"}
            task = asyncio.create_task(fetch(transport, ask(server.port, **options)))
            peer: H2Peer = await server.accepted()
            request = await peer.request()
            opening = asyncio.create_task(transport.tunnel(websocket(server.port, **options)))
            other = await server.accepted()
            assert isinstance(other, H1Peer), "ALPN was offered HTTP/1.1 alone"
            peer.respond(request.stream_id, b"x")
            assert await task == b"x"
            await upgrade(other)
            incoming = await opening
            assert incoming.head.status == 101
            tunnel = incoming.tunnel(Receiver())
            task = asyncio.create_task(fetch(transport, ask(server.port, **options)))
            peer.respond((await peer.request()).stream_id, b"y")
            assert await task == b"y"
            tunnel.abort()
            await other.until_closed()

    run(main())


def test_it_is_remembered_that_a_server_takes_none(run: Run) -> None:
    async def main() -> None:
        async with listening(tls=server_tls()) as server, network(verify=trusting()) as transport:
            options = {"scheme": "https", "host": "localhost"}
            opening = asyncio.create_task(transport.tunnel(websocket(server.port, **options)))
            first: H2Peer = await server.accepted()
            second: H1Peer = await server.accepted()
            await upgrade(second)
            (await opening).tunnel(Receiver()).abort()
            first.close()
            await settled(lambda: not transport.links)
            opening = asyncio.create_task(transport.tunnel(websocket(server.port, **options)))
            third = await server.accepted()
            assert isinstance(third, H1Peer)
            await upgrade(third)
            (await opening).tunnel(Receiver()).abort()

    run(main())


def test_without_http_1_it_is_refused(run: Run) -> None:
    async def main() -> None:
        async with listening() as server, network(**H2C) as transport:
            with pytest.raises(ConnectError, match=r"accepts no WebSocket over HTTP/2 \(RFC 8441\)") as caught:
                await transport.tunnel(websocket(server.port))
            assert not caught.value.retryable

    run(main())


def test_a_refused_one_over_http_1_leaves_its_connection_to_others(run: Run) -> None:
    async def main() -> None:
        async with listening("http/1.1") as server, network() as transport:
            opening = asyncio.create_task(transport.tunnel(websocket(server.port)))
            peer: H1Peer = await server.accepted()
            await peer.request()
            peer.respond(b"no", 403)
            incoming = await opening
            assert incoming.head.status == 403 and await incoming.read() == b"no"
            task = asyncio.create_task(fetch(transport, ask(server.port)))
            await peer.request()
            peer.respond(b"yes")
            assert await task == b"yes" and len(server.peers) == 1

    run(main())


def test_tunnels_over_http_1_do_not_take_the_places_of_requests(run: Run) -> None:
    async def main() -> None:
        async with listening("http/1.1") as server, network(max_h1_connections_per_origin=1) as transport:
            tunnels = []
            for _ in range(3):
                opening = asyncio.create_task(transport.tunnel(websocket(server.port)))
                await upgrade(await server.accepted())
                tunnels.append((await opening).tunnel(Receiver()))
            task = asyncio.create_task(fetch(transport, ask(server.port)))
            peer: H1Peer = await server.accepted()
            await peer.request()
            peer.respond(b"x")
            assert await task == b"x"
            assert transport.stats().connections == 4
            for tunnel in tunnels:
                tunnel.abort()

    run(main())


def test_a_tunnel_takes_its_turn_in_the_queue(run: Run) -> None:
    async def main() -> None:
        settings = {wire.MAX_CONCURRENT_STREAMS: 1, wire.ENABLE_CONNECT_PROTOCOL: 1}
        async with (
            listening(settings=settings) as server,
            network(**H2C, wait_for_settings=True, max_h2_connections_per_origin=1) as transport,
        ):
            first = asyncio.create_task(fetch(transport, ask(server.port, "/1")))
            peer: H2Peer = await server.accepted()
            running = await peer.request()
            opening = asyncio.create_task(transport.tunnel(websocket(server.port)))
            await settled(lambda: transport.stats().waiting == 1)
            last = asyncio.create_task(fetch(transport, ask(server.port, "/3")))
            await settled(lambda: transport.stats().waiting == 2)
            peer.respond(running.stream_id, b"1")
            request = await peer.request()
            assert request.field(b":protocol") == b"websocket"
            peer.begin(request.stream_id)
            incoming = await opening
            await peer.round_trip()
            assert len(peer.requests) == 2, "a tunnel counts as long as it is open"
            incoming.close()
            assert await first == b"1"
            peer.respond((await peer.request()).stream_id, b"3")
            assert await last == b"3"

    run(main())


def test_one_that_was_refused_as_a_stream_is_asked_for_again(run: Run) -> None:
    async def main() -> None:
        async with listening(settings={wire.ENABLE_CONNECT_PROTOCOL: 1}) as server, network(**H2C) as transport:
            opening = asyncio.create_task(transport.tunnel(websocket(server.port)))
            peer: H2Peer = await server.accepted()
            peer.send(wire.rst_stream((await peer.request()).stream_id, wire.REFUSED_STREAM))
            peer.begin((await peer.request()).stream_id)
            (await opening).close()

    run(main())


def test_a_tunnel_whose_connection_goes_tells_its_receiver(run: Run) -> None:
    async def main() -> None:
        async with listening("http/1.1") as server, network() as transport:
            opening = asyncio.create_task(transport.tunnel(websocket(server.port)))
            peer: H1Peer = await server.accepted()
            await upgrade(peer)
            receiver = Receiver()
            tunnel = (await opening).tunnel(receiver)
            peer.drop()
            await settled(lambda: bool(receiver.lost) and not transport.links)
            with pytest.raises(ConnectionLost):
                tunnel.write(b"x", False)

    run(main())


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_websocket_goes_through_a_proxy_as_a_tunnel(run: Run, kind: str) -> None:
    async def main() -> None:
        async with (
            serving(app, websockets="on") as server,
            proxy(http_connect if kind == "http" else socks5) as found,
            network(proxy=f"{kind}://127.0.0.1:{found.port}") as transport,
        ):
            incoming = await transport.tunnel(websocket(port(server)))
            assert incoming.head.status == 101 and len(found.asked) == 1
            if kind == "http":
                assert found.asked[0][:2] == ("CONNECT", f"127.0.0.1:{port(server)}")
            receiver = Receiver()
            tunnel = incoming.tunnel(receiver)
            tunnel.write(b"\x81\x85\0\0\0\0hello", False)
            await settled(lambda: bytes(receiver.output) == b"\x81\x05hello")
            tunnel.abort()

    run(main())


def test_closing_the_transport_ends_tunnels_when_their_time_is_over(run: Run) -> None:
    async def main() -> None:
        async with listening("http/1.1") as server, network(drain_timeout_s=0.02) as transport:
            opening = asyncio.create_task(transport.tunnel(websocket(server.port)))
            peer: H1Peer = await server.accepted()
            await upgrade(peer)
            receiver = Receiver()
            (await opening).tunnel(receiver)
            await transport.aclose()
            assert "the client was closed" in receiver.lost
            await peer.until_closed()

    run(main())
