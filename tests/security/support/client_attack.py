"""A client under attack: what it is asked, what it costs, and how somebody who asks another server fares meanwhile."""

from __future__ import annotations

import asyncio
import gc
import itertools
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

from headrace.client import Client, RequestError, Timeouts
from headrace.client.connect.config import NetworkConfig
from headrace.server.handlers.response import Response

from tests.security.support.hostile import Hostile, Link, hostile
from tests.support.serving import port, serving

MB = 1_000_000
TIMEOUTS = Timeouts(pool=5.0, connect=5.0, tls=5.0, headers=5.0, read=5.0, write=5.0)
OK = b"HTTP/1.1 200 OK\r\n"

Behave = Callable[[Link], object]
Ask = Callable[[Client, str], Awaitable[Any]]


async def get(client: Client, url: str) -> Any:
    return await client.get(url)


class Attack:
    """What came of it."""

    def __init__(self) -> None:
        self.error: RequestError | None = None
        self.result: Any = None
        self.peak = 0
        self.others = 0
        self.server: Hostile

    def ended_in(self, *kinds: type[RequestError], says: str = "") -> None:
        assert isinstance(self.error, kinds), repr(self.error or self.result)
        assert self.error.url.startswith("http://127.0.0.1:")
        assert says in str(self.error), str(self.error)

    def was_bounded(self, memory: float = 2.0) -> None:
        """M, in megabytes."""
        assert self.peak < memory * MB, f"memory grew by {self.peak / MB:.1f} MB"


async def attacked(
    behave: Behave, ask: Ask = get, *, http1: bool = False, holds: bool = False, **options: Any
) -> Attack:
    """Ask a server that behaves so, while somebody asks an honest one with the same client. With `holds` the connection
    may stay, as only a request was attacked."""
    it = Attack()
    over = asyncio.Event()
    options.setdefault("timeout", TIMEOUTS)
    network = NetworkConfig(http1=http1, http2=not http1, trust_env=False)

    async def honest(_: Any) -> Response:
        return Response(200, (), b"fine")

    async with serving(honest) as other, Client(network=network, **options) as client:
        url = f"http://127.0.0.1:{port(other)}/"

        async def bystander() -> None:
            while not over.is_set() or it.others < 3:
                response = await client.get(url, timeout=20.0)
                assert response.content == b"fine"
                it.others += 1
                await asyncio.sleep(0.005)

        with hostile(behave) as it.server:
            watching = asyncio.create_task(bystander())
            await asyncio.sleep(0.02)
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            try:
                it.result = await ask(client, f"http://127.0.0.1:{it.server.port}/")
            except RequestError as error:
                it.error = error
            finally:
                it.peak = tracemalloc.get_traced_memory()[1] - before
                tracemalloc.stop()
                over.set()
            await watching
            if holds:
                await client.aclose()
            await asyncio.to_thread(it.server.settle)
            assert all(link.is_ended_by_client or link.is_ended_by_us or link.is_held_up for link in it.server.links)
    return it


def h1_flooding(first: bytes, unit: bytes) -> Behave:
    def behave(link: Link) -> None:
        link.request()
        link.send(first)
        link.flood(itertools.repeat(unit))

    return behave
