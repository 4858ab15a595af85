"""One client at work, in a process of its own: `python -m benchmarks.client.contender NAME SCENARIO URL SECONDS`.

Prints one line of JSON: how many responses it had in how many seconds, and what it holds in memory at the end. Every
response is checked: its status, and the length of its content.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

WARM_UP_S = 0.3
AT_ONCE = {"one-at-a-time": 1, "50-at-a-time": 50, "download-1m": 1, "download-1m-8": 8}
SIZES = {"one-at-a-time": 12, "50-at-a-time": 12, "download-1m": 1_048_576, "download-1m-8": 1_048_576}

Get = Callable[[], Awaitable[int]]


async def headrace(url: str, work: Callable[[Get], Awaitable[None]]) -> None:
    """Our own client."""
    from headrace.client import Client

    async with Client(http1=False) as client:

        async def get() -> int:
            response = await client.get(url)
            assert response.status_code == 200
            return len(response.content)

        await work(get)


async def pyreqwest(url: str, work: Callable[[Get], Awaitable[None]]) -> None:
    """reqwest and hyper, in Rust."""
    from pyreqwest.client import ClientBuilder

    async with ClientBuilder().http2_prior_knowledge().build() as client:

        async def get() -> int:
            response = await client.get(url).build().send()
            assert response.status == 200
            return len(await response.bytes())

        await work(get)


async def httpx2(url: str, work: Callable[[Get], Awaitable[None]], transport: Any = None) -> None:
    """httpx2 on httpcore2 and hyper-h2."""
    import httpx2

    async with httpx2.AsyncClient(http1=False, http2=True, transport=transport) as client:

        async def get() -> int:
            response = await client.get(url)
            assert response.status_code == 200
            return len(response.content)

        await work(get)


async def httpx2_headrace(url: str, work: Callable[[Get], Awaitable[None]]) -> None:
    """httpx2 with our transport."""
    from headrace.client.transports.httpx2 import AsyncTransport

    await httpx2(url, work, AsyncTransport(http1=False))


def headrace_sync(url: str, seconds: float) -> tuple[int, float, float]:
    """Our synchronous client, one request at a time."""
    from headrace.client import SyncClient

    with SyncClient(http1=False) as client:

        def get() -> int:
            response = client.get(url)
            assert response.status_code == 200
            return len(response.content)

        return repeat(get, seconds)


def httpx2_sync(url: str, seconds: float) -> tuple[int, float, float]:
    """httpx2's synchronous client."""
    import httpx2

    with httpx2.Client(http1=False, http2=True) as client:

        def get() -> int:
            response = client.get(url)
            assert response.status_code == 200
            return len(response.content)

        return repeat(get, seconds)


ASYNC: dict[str, Callable[[str, Callable[[Get], Awaitable[None]]], Awaitable[None]]] = {
    "headrace": headrace,
    "pyreqwest": pyreqwest,
    "httpx2": httpx2,
    "httpx2-headrace": httpx2_headrace,
}
SYNC: dict[str, Callable[[str, float], tuple[int, float, float]]] = {
    "headrace-sync": headrace_sync,
    "httpx2-sync": httpx2_sync,
}


def repeat(get: Callable[[], int], seconds: float) -> tuple[int, float, float]:
    """Call it again and again; how often it was done, in how many seconds, and of CPU, after a time to warm up."""
    warm = time.perf_counter() + WARM_UP_S
    while time.perf_counter() < warm:
        assert get() == SIZES["one-at-a-time"]
    begin, cpu = time.perf_counter(), time.process_time()
    end = begin + seconds
    count = 0
    while time.perf_counter() < end:
        assert get() == SIZES["one-at-a-time"]
        count += 1
    return count, time.perf_counter() - begin, time.process_time() - cpu


async def measure(name: str, scenario: str, url: str, seconds: float, most: int) -> tuple[int, float, float]:
    """The same with as many at once as the scenario has; `most` requests in all, where it is not 0."""
    count = 0
    took = cpu = 0.0
    size = SIZES[scenario]

    async def work(get: Get) -> None:
        nonlocal count, took, cpu
        is_over = False

        async def repeat() -> None:
            nonlocal count
            while not is_over and (not most or count < most):
                assert await get() == size
                count += 1

        workers = [asyncio.ensure_future(repeat()) for _ in range(AT_ONCE[scenario])]
        if most:
            begin, cpu = time.perf_counter(), time.process_time()
        else:
            await asyncio.sleep(WARM_UP_S)
            begin, cpu, count = time.perf_counter(), time.process_time(), 0
            await asyncio.sleep(seconds)
            is_over = True
            took, cpu, done = time.perf_counter() - begin, time.process_time() - cpu, count
        await asyncio.gather(*workers)
        if most:
            took, cpu = time.perf_counter() - begin, time.process_time() - cpu
        else:
            count = done

    await ASYNC[name](url, work)
    return count, took, cpu


def resident() -> int:
    """Bytes of memory that this process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main() -> None:
    name, scenario, url, amount = sys.argv[1:5]
    most = int(amount[:-1]) if amount.endswith("x") else 0
    seconds = 0.0 if most else float(amount)
    if name in SYNC:
        count, took, cpu = SYNC[name](url, seconds)
    else:
        import uvloop

        count, took, cpu = uvloop.run(measure(name, scenario, url, seconds, most))
    print(json.dumps({"count": count, "seconds": took, "resident": resident(), "cpu_us": cpu * 1e6 / max(count, 1)}))


if __name__ == "__main__":
    main()
