"""One visitor has a share of what the upstream takes at once: its requests and WebSockets stop nobody else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.client.interface import Origin
from headrace.client.pool.network import NetworkTransport
from headrace.client.timeouts import Timeouts
from headrace.proxy import ReverseProxy
from headrace.proxy.network import UPSTREAM_NETWORK
from headrace.proxy.places import Capacity
from headrace.server.app import Server
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.websocket.connection import WebSocket

from tests.proxy.conftest import Chain
from tests.support.h2_peer import Answer, H2Peer
from tests.support.serving import Run, live_handlers, port, settled
from tests.support.ws_peer import Refused, handshake, open_websocket

LARGE = 16 * 1_048_576
OFF = {"share_of_connection": 1.0, "share_of_address": 1.0}
SMALL_POOL = {"max_connections": 100, "max_h1_connections_per_origin": 20, "max_h2_connections_per_origin": 1}


async def app(request: Request) -> Any:
    if request.is_websocket:
        return WebSocketResponse(echo)
    if request.path == "/small":
        return Response(200, (), b"fine")
    if request.path == "/never":
        await asyncio.get_running_loop().create_future()

    async def produce(send: Send) -> None:
        for _ in range(LARGE // 65_536 if request.path == "/large" else 23):
            await send(bytes(65_536))

    return StreamResponse(200, (), produce)


app.takes_websockets = True  # type: ignore[attr-defined]


async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


@contextlib.asynccontextmanager
async def proxied(
    back: str, pool: dict[str, int] | None, **options: Any
) -> AsyncIterator[tuple[ReverseProxy, Server, Server]]:
    """The proxy, its server, and the upstream. Without `pool`, the proxy's own transport."""
    chain = Chain("h2", back)
    async with chain.upstream(app) as upstream:
        transport = None if pool is None else chain.transport(**pool)
        url = f"http://127.0.0.1:{port(upstream)}"
        async with (
            ReverseProxy(url, transport=transport, **options) as proxy,
            chain.front.serving(proxy) as server,
        ):
            yield proxy, server, upstream


@contextlib.asynccontextmanager
async def idlers(proxy: ReverseProxy, server: Server, count: int, path: str = "/large") -> AsyncIterator[H2Peer]:
    """A connection with `count` requests whose responses it does not read, once all of them have come."""
    async with H2Peer.connected(port(server)) as peer:
        peer.gives_credit = False
        for _ in range(count):
            peer.open(path)
        await settled(lambda: proxy.places.held + proxy.places.waiting == count)
        yield peer


def open_websockets(peer: H2Peer, count: int) -> None:
    """Ask for `count` of them, and wait for none."""
    for _ in range(count):
        stream_id = int(peer.conn.get_next_available_stream_id())
        peer.answers[stream_id] = Answer()
        pseudo = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "localhost")]
        peer.conn.send_headers(stream_id, [*pseudo, (":path", "/ws"), *handshake((), False, ())])
    peer.flush()


async def gets_small(server: Server) -> int | None:
    """The status that another visitor gets."""
    async with H2Peer.connected(port(server)) as visitor:
        return (await visitor.get("/small")).status


@pytest.mark.parametrize(
    ("back", "pool", "count", "share"),
    [
        ("http/1.1", SMALL_POOL, 24, 5),
        ("http/1.1", SMALL_POOL, 100, 5),
        ("http/1.1", None, 100, 64),
        ("h2", SMALL_POOL, 100, 25),
    ],
)
def test_requests_of_one_connection_stop_nobody_else(
    run: Run, back: str, pool: dict[str, int] | None, count: int, share: int
) -> None:
    async def main() -> None:
        async with proxied(back, pool) as (proxy, server, _):
            async with idlers(proxy, server, count):
                assert (proxy.places.held, proxy.places.waiting) == (share, count - share)
                for _ in range(3):
                    assert await gets_small(server) == 200
                assert proxy.transport.pool.waiting == 0
            await settled(lambda: proxy.places.visitors == 0)

    run(main())


@pytest.mark.parametrize(("back", "count"), [("http/1.1", 24), ("http/1.1", 100), ("h2", 100)])
def test_without_shares_they_do(run: Run, back: str, count: int) -> None:
    """The control of the test above."""

    async def main() -> None:
        async with (
            proxied(back, SMALL_POOL, timeouts=Timeouts(pool=0.2), **OFF) as (proxy, server, _),
            idlers(proxy, server, count),
        ):
            assert await gets_small(server) == 503

    run(main())


@pytest.mark.parametrize(("back", "share"), [("http/1.1", 20), ("h2", 25)])
@pytest.mark.parametrize("bounded", [True, False], ids=["shares", "control"])
def test_a_hundred_websockets_of_one_connection_stop_nobody_else(
    run: Run, back: str, share: int, bounded: bool
) -> None:
    async def main() -> None:
        async with (
            proxied(back, SMALL_POOL, timeouts=Timeouts(pool=20.0 if bounded else 0.2), **({} if bounded else OFF)) as (
                proxy,
                server,
                _,
            ),
        ):
            places = proxy.tunnel_places if back == "http/1.1" else proxy.places
            async with H2Peer.connected(port(server)) as peer:
                await peer.until(lambda: peer.conn.remote_settings.enable_connect_protocol == 1)
                open_websockets(peer, 100)
                if not bounded:
                    most = 80 if back == "http/1.1" else 100
                    await settled(lambda: sum(each.status == 200 for each in peer.answers.values()) == most)
                    with pytest.raises(Refused) as raised:
                        async with open_websocket("h2", port(server)):
                            pass
                    assert raised.value.status == 503
                    return
                await settled(lambda: sum(each.status == 200 for each in peer.answers.values()) == share)
                assert (places.held, places.waiting) == (share, 100 - share)
                assert await gets_small(server) == 200
                async with open_websocket("h2", port(server)) as ws:
                    ws.send("hello")
                    assert await ws.message() == "hello"
            await settled(lambda: places.visitors == 0)

    run(main())


def test_connections_of_one_address_have_a_share_together(run: Run) -> None:
    async def main() -> None:
        async with (
            proxied("http/1.1", SMALL_POOL) as (proxy, server, _),
            idlers(proxy, server, 5),
            H2Peer.connected(port(server)) as second,
            H2Peer.connected(port(server)) as third,
        ):
            for peer in (second, third):
                peer.gives_credit = False
                for _ in range(4):
                    peer.open("/large")
            await settled(lambda: proxy.places.waiting == 3)
            assert proxy.places.held == 10

    run(main())


@pytest.mark.parametrize("how", ["read", "reset", "closed", "upstream", "drain"])
def test_every_end_gives_its_place_back(run: Run, how: str) -> None:
    async def main() -> None:
        async with proxied("http/1.1", SMALL_POOL) as (proxy, server, upstream):
            path = {"read": "/ends", "upstream": "/never"}.get(how, "/large")
            async with idlers(proxy, server, 24, path) as peer:
                if how == "reset":
                    for stream_id in list(peer.answers)[:12]:
                        peer.reset(stream_id)
                    await settled(lambda: proxy.places.waiting == 7)
                    assert proxy.places.held == 5
                    for stream_id in list(peer.answers)[12:]:
                        peer.reset(stream_id)
                elif how == "closed":
                    await peer.close()
                elif how == "upstream":
                    await settled(lambda: live_handlers(upstream) == 5)
                    upstream.abort()
                    await upstream.wait_closed()
                    for stream_id in list(peer.answers):
                        assert (await peer.over(stream_id)).status == 502
                elif how == "drain":
                    server.abort()
                    await server.wait_closed()
                else:
                    peer.gives_credit = True
                    for stream_id in (0, *peer.answers):
                        peer.conn.increment_flow_control_window(2**30, stream_id or None)
                    peer.flush()
                    for stream_id in list(peer.answers):
                        assert len((await peer.over(stream_id)).body) == 23 * 65_536
                await settled(lambda: proxy.places.visitors == 0)
                assert (proxy.places.held, proxy.places.waiting) == (0, 0)
                await settled(lambda: proxy.transport.pool.waiting == 0)
            if how in ("read", "reset", "closed"):
                assert await gets_small(server) == 200

    run(main())


def test_who_waits_too_long_gets_503(run: Run) -> None:
    async def main() -> None:
        async with (
            proxied("http/1.1", SMALL_POOL, timeouts=Timeouts(pool=0.2)) as (proxy, server, _),
            idlers(proxy, server, 6) as peer,
        ):
            last = max(peer.answers)
            await peer.until(lambda: peer.answers[last].status is not None)
            assert peer.answers[last].status == 503
            assert proxy.places.waiting == 0

    run(main())


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1])
def test_a_share_is_a_part(share: float) -> None:
    for name in OFF:
        given: Any = {name: share}
        with pytest.raises(ValueError, match=name):
            ReverseProxy("http://127.0.0.1:1", **given)


def test_what_there_is_to_share() -> None:
    own = NetworkTransport(UPSTREAM_NETWORK)
    plain, secure = Capacity(own, Origin("http", "a", 80)), Capacity(own, Origin("https", "a", 443))
    assert (plain.of_requests(), plain.of_tunnels(), plain.shares_streams) == (256, 768, False)
    assert (secure.of_requests(), secure.shares_streams) == (256, True)  # ALPN has not said; 400 streams, if HTTP/2
    own.pool.place(Origin("https", "a", 443)).speaks = "2"
    assert secure.of_requests() == 400
    assert Capacity(object(), Origin("http", "a", 80)).of_requests() is None


def test_visitors_behind_a_trusted_proxy_are_told_apart(run: Run) -> None:
    """One connection may carry many visitors: each address that a middleware believes has shares of its own."""

    async def main() -> None:
        chain = Chain("h2", "http/1.1")
        async with (
            chain.upstream(app) as upstream,
            ReverseProxy(f"http://127.0.0.1:{port(upstream)}", transport=chain.transport(**SMALL_POOL)) as proxy,
        ):

            async def front(request: Request) -> Any:
                request.client = (request.header("x-visitor") or "", None)
                return await proxy(request)

            async with chain.front.serving(front) as server, H2Peer.connected(port(server)) as peer:
                peer.gives_credit = False
                for _ in range(6):
                    peer.open("/large", headers=[("x-visitor", "2001:db8::1")])
                await settled(lambda: proxy.places.waiting == 1)
                peer.open("/small", headers=[("x-visitor", "2001:db8::2")])  # the same /64
                await settled(lambda: proxy.places.waiting == 2)
                other = peer.open("/large", headers=[("x-visitor", "2001:db8:0:1::1")])
                await settled(lambda: proxy.places.visitors == 2)
                await peer.started(other)
                assert (proxy.places.held, proxy.places.waiting) == (6, 2)
            await settled(lambda: proxy.places.visitors == 0)

    run(main())
