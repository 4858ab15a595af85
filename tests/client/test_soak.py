"""Memory stays what it is from round to round of requests: nothing is kept of one that is over.

What happens to be open makes it go up and down; a leak makes it go up every time.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest

from headrace.client import Client
from headrace.client.connect.config import NetworkConfig
from headrace.server.handlers.response import Response

from tests.conftest import amount
from tests.support.serving import Run, port, serving

pytestmark = pytest.mark.slow

ROUND = amount(800, 1_600)
MOST_BYTES = amount(10_000, 20_000)  # growth of a round; the smallest object for each request would be 2.5 times that

# A date of its own: heads are remembered, within limits, and a date that changes each second takes long to fill them.
FIELDS = [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("set-cookie", "a=b")]


async def answer(request: Any) -> Response:
    content = await request.read()
    return Response(200, [*FIELDS, ("x-path", request.path)], content or b"hello")


async def go_through(client: Client, url: str, count: int) -> None:
    """Ten tasks send one request after the other: plain, with a path of its own, with content, and as a stream."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            kind = number % 4
            if kind == 0:
                assert (await client.get(url)).content == b"hello"
            elif kind == 1:
                assert (await client.get(f"{url}{number % 3}")).content == b"hello"
            elif kind == 2:
                assert (await client.post(url, content=b"x" * 2_000)).content == b"x" * 2_000
            else:
                async with client.stream("GET", url) as response:
                    if number % 8 == 3:
                        await response.aread()

    await asyncio.gather(*(work() for _ in range(10)))


@pytest.mark.parametrize("http1", [False, True], ids=["HTTP/2", "HTTP/1.1"])
def test_memory_is_flat(run: Run, http1: bool) -> None:
    async def main() -> None:
        network = NetworkConfig(http1=http1, http2=not http1, trust_env=False)
        async with serving(answer) as server, Client(network=network) as client:
            url = f"http://127.0.0.1:{port(server)}/"
            await go_through(client, url, ROUND)
            tracemalloc.start()
            try:
                sizes = []
                for _ in range(4):
                    await go_through(client, url, ROUND)
                    gc.collect()
                    sizes.append(tracemalloc.get_traced_memory()[0])
            finally:
                tracemalloc.stop()
            growth = [after - before for before, after in pairwise(sizes)]
            assert min(growth) < MOST_BYTES, growth

    run(main())
