"""Clients that sent more than is read at once, and went, cost no more work; requests that were reset, no garbage."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from typing import Any

import pytest

from headrace.server.app import Server
from headrace.server.connection import driver as driver_module
from headrace.server.connection.exchange import ServerExchange
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response

from tests.support import wire
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, run, serving, settled

__all__ = ["run"]

CLIENTS = 5
ROUNDS = 30
REQUEST = wire.literals(wire.request_fields())
LIMITS = {"early_reset_burst": 10**6, "max_concurrent_streams": 100}


def requests_and_resets() -> bytes:
    """ROUNDS times a hundred requests that are all taken back."""
    parts = [wire.client_preface() + wire.settings_ack()]
    for first in range(1, 200 * ROUNDS, 200):
        ids = range(first, first + 200, 2)
        parts += [wire.headers(each, REQUEST, end_stream=True) for each in ids]
        parts += [wire.rst_stream(each) for each in ids]
    return b"".join(parts)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of an end behind input that is not read")
@pytest.mark.parametrize("is_told", [True, False])
def test_no_handlers_are_started_for_clients_that_have_gone(
    run: Run, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_told:  # the control
        monkeypatch.setattr(driver_module, "peer_has_closed", lambda transport: False)
    started = 0

    async def handle(request: Request) -> Response:
        nonlocal started
        started += 1
        await asyncio.sleep(3600)
        return Response()

    async def main() -> None:
        async with serving(handle, limits=LIMITS) as server:
            flood = requests_and_resets()
            for _ in range(CLIENTS):
                with socket.create_connection(("127.0.0.1", port(server))) as client:
                    client.sendall(flood)
            assert server.service is not None
            drivers = server.service.drivers
            await settled(lambda: len(drivers) > 0)
            await settled(lambda: not drivers)
            share = started / (CLIENTS * ROUNDS * 100)
            assert share < 0.25 if is_told else share > 0.5
            assert server.service.crowd == 0

    run(main())


def exchanges_of(server: Server) -> int:
    """Return the number of this server's exchanges in memory, where other tests may have left theirs."""
    # Not isinstance, which asks proxies, such as Django's.
    exchanges: list[Any] = [each for each in gc.get_objects() if issubclass(type(each), ServerExchange)]
    return sum(each.driver.service is server.service for each in exchanges)


@pytest.mark.parametrize("interface", ["native", "asgi", "wsgi"])
def test_requests_that_were_reset_leave_nothing_to_the_collector_of_garbage(run: Run, interface: str) -> None:
    """A hundred handlers that are cancelled again and again would make it stop the loop for a tenth of a second."""

    async def native(request: Request) -> Response:
        await asyncio.sleep(3600)
        return Response()

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(3600)

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read(1)
        return []

    async def main() -> None:
        app: Any = {"native": native, "asgi": asgi, "wsgi": wsgi}[interface]
        async with serving(app, interface=interface) as server, H2Peer.connected(port(server)) as peer:
            await peer.ping()
            gc.collect()
            gc.disable()
            try:
                for _ in range(20):
                    fields = [("content-length", "9")] if interface == "wsgi" else []
                    stream_id = peer.open("/", "POST" if fields else "GET", fields, end=not fields)
                    await settled(lambda: live_handlers(server) == 1)
                    peer.reset(stream_id)
                    await settled(lambda: live_handlers(server) == 0)
                await peer.ping()
                await settled(lambda: exchanges_of(server) <= 1)
            finally:
                gc.enable()

    run(main())
