"""Tunnels, WebSockets and CONNECT, over both protocols, with a receiver and with a WebSocket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.client.connection.driver import CLIENT_LIMITS
from headrace.client.connection.held_response import HeldResponse
from headrace.client.errors import ConnectionLost, HeadersTimeout
from headrace.client.interface import Outgoing
from headrace.client.timeouts import Timeouts
from headrace.engine.h1.upgrade import accept_value
from headrace.engine.ws import WebSocketConnection
from headrace.websocket.connection import WebSocket

from tests.client.support.peer import listening
from tests.client.support.rig import connect, get, request, settled
from tests.support import wire
from tests.support.serving import Run
from tests.support.wire import ENABLE_CONNECT_PROTOCOL, INITIAL_WINDOW_SIZE
from tests.traps.test_client_traps import Receiver

KINDS = pytest.mark.parametrize(
    ("protocol", "kind"),
    [("h2", "websocket"), ("h2", "connect"), ("http/1.1", "websocket"), ("http/1.1", "connect")],
)
SETTINGS = {ENABLE_CONNECT_PROTOCOL: 1}


def asking(kind: str, **options: Any) -> Outgoing:
    if kind == "websocket":
        return request("CONNECT", "/chat", protocol=b"websocket", **options)
    outgoing = request("CONNECT", "", **options)
    outgoing.authority = b"elsewhere.example:443"
    return outgoing


def grant(peer: Any, protocol: str, asked: Any) -> None:
    if protocol == "h2":
        peer.begin(asked.stream_id)
        return
    key = asked.field(b"sec-websocket-key")
    if key is None:
        peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")
    else:
        fields = b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: " + accept_value(key)
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n\r\n")
    peer.take_tunnel()


def came(peer: Any, protocol: str, asked: Any) -> bytes:
    return bytes(asked.content if protocol == "h2" else peer.tunnel)


def say(peer: Any, protocol: str, asked: Any, data: bytes, end: bool = False) -> None:
    if protocol == "h2":
        peer.content(asked.stream_id, data, end=end)
    else:
        peer.send(data)
        if end:
            peer.end_writing()


async def opened(server: Any, protocol: Any, kind: str) -> Any:
    """The driver, the peer, the request that arrived, and the granted response."""
    driver, owner = await connect(server, protocol, wait_for_settings=True)
    await driver.ready()
    assert driver.takes_websockets is True
    peer = await server.accepted()
    exchange = driver.begin(asking(kind))
    asked = await peer.request()
    grant(peer, protocol, asked)
    response = await exchange.head_arrived()
    assert isinstance(response, HeldResponse)
    assert response.head.status == (101 if (protocol, kind) == ("http/1.1", "websocket") else 200)
    return driver, owner, peer, asked, response


def test_the_requests(run: Run) -> None:
    async def main() -> None:
        async with listening(settings=SETTINGS) as server:
            driver, *_, peer, asked, response = await opened(server, "h2", "websocket")
            assert asked.fields[:3] == [(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http")]
            response.close()
            exchange = driver.begin(asking("connect"))
            asked = await peer.request()
            assert asked.fields == [(b":method", b"CONNECT"), (b":authority", b"elsewhere.example:443")]
            exchange.close()
        async with listening("http/1.1") as server:
            *_, asked, response = await opened(server, "http/1.1", "websocket")
            assert (asked.method, asked.path) == (b"GET", b"/chat")
            assert asked.field(b"upgrade") == b"websocket"
            assert len(asked.field(b"sec-websocket-key")) == 24
            response.close()
        async with listening("http/1.1") as server:
            *_, asked, response = await opened(server, "http/1.1", "connect")
            assert (asked.method, asked.path) == (b"CONNECT", b"elsewhere.example:443")
            response.close()

    run(main())


@KINDS
def test_bytes_go_both_ways_and_each_side_ends_its_own(run: Run, protocol: Any, kind: str) -> None:
    async def main() -> None:
        async with listening(protocol, settings=SETTINGS) as server:
            driver, owner, peer, asked, response = await opened(server, protocol, kind)
            say(peer, protocol, asked, b"early, ")
            exchange = response._exchange
            await settled(lambda: bool(exchange.chunks))
            receiver = Receiver()
            tunnel = response.tunnel(receiver)
            assert bytes(receiver.data) == b"early, "
            say(peer, protocol, asked, b"and late")
            await settled(lambda: bytes(receiver.data) == b"early, and late")
            assert receiver.owed == 15
            tunnel.consumed(15)
            tunnel.write(b"the other way", False)
            await peer.until(lambda: came(peer, protocol, asked) == b"the other way")
            del response  # from now on the tunnel must be ended
            say(peer, protocol, asked, b"", end=True)
            await settled(lambda: receiver.ended)
            if protocol == "h2":  # over HTTP/1.1 the connection is the tunnel, and has ended with it
                tunnel.write(b", still", False)
                tunnel.write(b"", True)
                await peer.until(lambda: asked.ended)
                assert came(peer, protocol, asked) == b"the other way, still"
                assert driver.has_room
                assert receiver.lost is None
            else:
                await owner.lost.wait()
            assert not driver.live
            with pytest.raises(OSError, match="tunnel is lost"):
                tunnel.write(b"more", False)
            tunnel.abort()  # of no effect any more

    run(main())


@KINDS
def test_our_end_comes_first(run: Run, protocol: Any, kind: str) -> None:
    async def main() -> None:
        async with listening(protocol, settings=SETTINGS) as server:
            driver, owner, peer, asked, response = await opened(server, protocol, kind)
            receiver = Receiver()
            tunnel = response.tunnel(receiver)
            tunnel.write(b"last words", True)
            if protocol == "h2":
                await peer.until(lambda: asked.ended)
                assert came(peer, protocol, asked) == b"last words"
                assert len(driver.live) == 1
                say(peer, protocol, asked, b"and yours", end=True)
                await settled(lambda: receiver.ended)
                assert bytes(receiver.data) == b"and yours"
                assert receiver.lost is None
                assert driver.has_room
            else:
                await peer.until_closed()
                assert came(peer, protocol, asked) == b"last words"
                await owner.lost.wait()
            assert not driver.live

    run(main())


def test_a_tunnel_blocks_its_writer_alone(run: Run) -> None:
    async def main() -> None:
        async with listening(settings={**SETTINGS, INITIAL_WINDOW_SIZE: 0}) as server:
            driver, _, peer, asked, response = await opened(server, "h2", "websocket")
            tunnel = response.tunnel(Receiver())
            tunnel.write(b"x" * 65_536, False)
            assert not tunnel.blocked
            tunnel.write(b"y", False)
            assert tunnel.blocked
            waiting = asyncio.ensure_future(tunnel.unblocked())
            sibling = driver.begin(get(), True)
            following = await peer.request()
            peer.respond(following.stream_id, b"fine")
            assert await (await sibling.head_arrived()).read() == b"fine"
            assert not waiting.done()
            peer.credit(0, 100_000)
            peer.credit(asked.stream_id, 100_000)
            await waiting
            assert not tunnel.blocked
            tunnel.abort()
            assert await peer.reset_of(asked) == wire.CANCEL

    run(main())


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_a_receiver_that_takes_nothing_stops_its_tunnel_until_it_does(run: Run, protocol: Any) -> None:
    size = 2 * CLIENT_LIMITS.initial_stream_window

    async def main() -> None:
        async with listening(protocol, settings=SETTINGS) as server:
            driver, _, peer, asked, response = await opened(server, protocol, "connect")
            receiver = Receiver()
            tunnel = response.tunnel(receiver)
            say(peer, protocol, asked, bytes(size // 2 if protocol == "h2" else size))  # h2: all that the window allows
            if protocol == "h2":
                await settled(lambda: receiver.owed == size // 2)
                assert not [each for each in peer.frames if each.type == wire.WINDOW_UPDATE and each.stream_id]
                tunnel.consumed(receiver.owed)
                assert (await peer.frame(wire.WINDOW_UPDATE, asked.stream_id)).increment == size // 2
            else:
                await settled(lambda: driver.engine.read_paused)
                seen = 0
                while len(receiver.data) < size:
                    await settled(lambda: receiver.owed > 0)
                    owed, receiver.owed = receiver.owed, 0
                    seen += owed
                    tunnel.consumed(owed)
                    await asyncio.sleep(0)
                assert seen >= size // 2
            tunnel.abort()

    run(main())


@KINDS
@pytest.mark.parametrize("how", ["reset of TCP", "abort"])
def test_a_tunnel_that_is_lost(run: Run, protocol: Any, kind: str, how: str) -> None:
    async def main() -> None:
        async with listening(protocol, settings=SETTINGS) as server:
            driver, owner, peer, _, response = await opened(server, protocol, kind)
            receiver = Receiver()
            tunnel = response.tunnel(receiver)
            waiting: Any = None
            if protocol == "h2":
                tunnel.write(b"x" * 200_000, False)
                assert tunnel.blocked
                waiting = asyncio.ensure_future(tunnel.unblocked())
                await asyncio.sleep(0)
            if how == "abort":
                tunnel.abort()
            else:
                peer.drop()
                await owner.lost.wait()
            assert receiver.lost is not None
            assert ("reset by peer" in receiver.lost.lower()) is (how != "abort")
            if waiting is not None:
                with pytest.raises(ConnectionLost):
                    await waiting
            assert not driver.live

    run(main())


@KINDS
def test_a_refusal_is_a_response(run: Run, protocol: Any, kind: str) -> None:
    async def main() -> None:
        async with listening(protocol, settings=SETTINGS) as server:
            driver, _ = await connect(server, protocol, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            exchange = driver.begin(asking(kind))
            asked = await peer.request()
            if protocol == "h2":
                peer.respond(asked.stream_id, b"not here", 403)
            else:
                peer.respond(b"not here", 403)
            response: Any = await exchange.head_arrived()
            assert response.head.status == 403
            assert await response.read() == b"not here"
            with pytest.raises(RuntimeError, match="no tunnel is open here"):
                response.tunnel(Receiver())
            assert not driver.live
            if protocol == "h2" or kind == "websocket":
                assert driver.has_room

    run(main())


def test_no_answer_to_a_request_for_a_tunnel_is_a_timeout_and_silence_in_one_is_none(run: Run) -> None:
    async def main() -> None:
        async with listening(settings=SETTINGS) as server:
            driver, _ = await connect(server, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            timeouts = Timeouts(headers=0.05, read=0.05, write=0.05)
            granted, ignored = [driver.begin(asking("websocket", timeouts=timeouts)) for _ in range(2)]
            asked = await peer.request()
            peer.begin(asked.stream_id)
            response: Any = await granted.head_arrived()
            receiver = Receiver()
            response.tunnel(receiver)
            with pytest.raises(HeadersTimeout):
                await ignored.head_arrived()
            again = driver.begin(get(timeouts=timeouts), True)
            with pytest.raises(HeadersTimeout):
                await again.head_arrived()
            assert receiver.lost is None
            assert list(driver.live) == [asked.stream_id]
            granted.close()

    run(main())


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_a_websocket_runs_over_it(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol, settings=SETTINGS) as server:
            driver, _, peer, asked, response = await opened(server, protocol, "websocket")
            late: list[Any] = []

            class Late:  # the WebSocket needs its tunnel first
                def on_bytes(self, *what: Any) -> None:
                    late[0].on_bytes(*what)

                def on_lost(self, reason: str) -> None:
                    late[0].on_lost(reason)

                def on_writable(self) -> None:
                    late[0].on_writable()

            socket = WebSocket(response.tunnel(Late()), WebSocketConnection(True), driver.loop)
            late.append(socket)
            say(peer, protocol, asked, b"\x81\x05hello")
            assert await socket.receive() == "hello"
            await socket.send("you too")
            await peer.until(lambda: len(came(peer, protocol, asked)) == 2 + 4 + 7)
            say(peer, protocol, asked, b"\x88\x02\x03\xe8", end=True)
            await socket.close()
            assert socket.close_code == 1000
            await settled(lambda: not driver.live)

    run(main())
