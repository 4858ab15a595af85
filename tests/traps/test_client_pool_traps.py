"""The traps of a client's pool, each as it would be met: over sockets, by scripted servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.client.errors import BodyConsumed, TLSError
from headrace.client.interface import Outgoing
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response

from tests.client.support.network_rig import H2C, ask, authority, fetch, network, server_tls, trusting
from tests.client.support.peer import H2Peer, listening
from tests.client.support.rig import PATIENT, Pieces, settled
from tests.support import wire
from tests.support.serving import Run, port, serving


async def hello(request: Request) -> Response:
    return Response(200, (), b"hello")


def websocket(number: int, path: str = "/ws", **options: Any) -> Outgoing:
    headers = [(b"sec-websocket-version", b"13")]
    return ask(number, path, "CONNECT", protocol=b"websocket", headers=headers, **options)


def test_a_websocket_that_is_not_answered_holds_up_nobody(run: Run) -> None:
    """Its answer may take as long as it likes, and so may the SETTINGS that say whether it can be opened."""

    async def main() -> None:
        async with listening(is_mute=True) as server, network(**H2C) as transport:
            tunnel = asyncio.create_task(transport.tunnel(websocket(server.port)))
            peer: H2Peer = await server.accepted()
            before = asyncio.create_task(fetch(transport, ask(server.port, "/before")))
            request = await peer.request()
            assert request.path == b"/before", "it does not wait for the WebSocket"
            peer.send(wire.settings({wire.ENABLE_CONNECT_PROTOCOL: 1}), wire.settings_ack())
            peer.respond(request.stream_id, b"x")
            opening = await peer.request()
            assert opening.field(b":protocol") == b"websocket" and await before == b"x"
            between = asyncio.create_task(fetch(transport, ask(server.port, "/between")))
            peer.respond((await peer.request()).stream_id, b"y")
            assert await between == b"y" and not tunnel.done()
            peer.begin(opening.stream_id)
            (await tunnel).close()
            assert await peer.reset_of(opening) == wire.CANCEL

    run(main())


def test_after_goaway_the_queue_opens_on_another_connection(run: Run) -> None:
    async def main() -> None:
        settings = {wire.MAX_CONCURRENT_STREAMS: 1}
        async with (
            listening(settings=settings) as server,
            network(**H2C, wait_for_settings=True, max_h2_connections_per_origin=1) as transport,
        ):
            tasks = [asyncio.create_task(fetch(transport, ask(server.port, f"/{number}"))) for number in range(3)]
            old: H2Peer = await server.accepted()
            request = await old.request()
            await settled(lambda: transport.stats().waiting == 2)
            old.send(wire.goaway(request.stream_id), wire.settings({wire.MAX_CONCURRENT_STREAMS: 100}))
            old.respond(request.stream_id, b"old")
            new: H2Peer = await server.accepted()
            for _ in range(2):
                new.respond((await new.request()).stream_id, b"new")
            assert await asyncio.gather(*tasks) == [b"old", b"new", b"new"]
            assert len(old.requests) == 1

    run(main())


def test_streams_beyond_the_limit_are_sent_again_when_settings_have_come(run: Run) -> None:
    """20 requests on a connection whose SETTINGS are late, and allow 2."""

    async def main() -> None:
        async with (
            listening(is_mute=True) as server,
            network(**H2C, max_h2_connections_per_origin=1) as transport,
        ):
            paths = [f"/{number}".encode() for number in range(20)]
            tasks = [asyncio.create_task(fetch(transport, ask(server.port, path.decode()))) for path in paths]
            peer: H2Peer = await server.accepted()
            await peer.until(lambda: len(peer.requests) == 20)
            peer.send(wire.settings({wire.MAX_CONCURRENT_STREAMS: 2}), wire.settings_ack())
            for each in peer.requests[2:]:
                peer.send(wire.rst_stream(each.stream_id, wire.REFUSED_STREAM))
            running = peer.requests[:2]
            served = []
            while running:
                request = running.pop(0)
                served.append(request.path)
                known = len(peer.requests)
                peer.respond(request.stream_id, request.path)
                if len(served) <= 18:
                    await peer.until(lambda: len(peer.requests) > known)  # noqa: B023
                    running.append(peer.requests[known])
                assert len(running) <= 2
            assert await asyncio.gather(*tasks) == paths == served

    run(main())


@pytest.mark.parametrize("secured", [True, False])
def test_a_cold_burst_opens_one_connection(run: Run, tmp_path: Path, secured: bool) -> None:
    async def main() -> None:
        leaf = authority().issue_cert("localhost")
        pem = tmp_path / "server.pem"
        pem.write_bytes(leaf.private_key_pem.bytes() + b"".join(each.bytes() for each in leaf.cert_chain_pems))
        config: dict[str, Any] = {"verify": trusting()} if secured else H2C
        options = {"scheme": "https", "host": "localhost"} if secured else {}
        async with (
            serving(hello, tls_cert=str(pem) if secured else None) as server,
            network(**config) as transport,
        ):
            answers = await asyncio.gather(*(fetch(transport, ask(port(server), **options)) for _ in range(20)))
            assert answers == [b"hello"] * 20
            assert server.service is not None and len(server.service.drivers) == 1
            assert transport.stats().connections == 1

    run(main())


def test_a_replay_needs_content_that_is_there_a_second_time(run: Run) -> None:
    async def main() -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"once"

        async with listening() as server, network(**H2C) as transport:
            content = Pieces(pieces)
            task = asyncio.create_task(fetch(transport, ask(server.port, "/", "POST", content)))
            peer: H2Peer = await server.accepted()
            request = await peer.whole_request()
            content.is_replayable = False
            peer.send(wire.goaway(0))
            with pytest.raises(BodyConsumed, match=r"was not processed .* and cannot be sent again") as caught:
                await task
            assert request.content == b"once" and content.opened == 1
            assert caught.value.url == f"http://127.0.0.1:{server.port}/"

    run(main())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_localhost_is_verified_like_everybody_else(host: str) -> None:
    async def main() -> None:
        async with listening(tls=server_tls()) as server, network() as transport:
            with pytest.raises(TLSError, match=f"the certificate of {host} comes from an unknown authority"):
                await transport.send(ask(server.port, scheme="https", host=host, timeouts=PATIENT))

    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda *_: None)  # where asyncio's server reports the failed handshake
        runner.run(main())
