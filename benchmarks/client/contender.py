"""One client at work, in a process of its own.

The command is `python -m benchmarks.client.contender NAME PROTOCOL URL SIZE AT_ONCE AMOUNT`.
AMOUNT is a number of seconds, or of requests with an x (`1000x`). AT_ONCE is a number of tasks, and of threads for a
synchronous client. It prints one line of JSON: how many responses came in how many seconds, the processor time of each,
and what the process holds in memory. Every response is checked: its status, and the length of its content.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import threading
import time

from benchmarks.client import adapters, sync_adapters

WARM_UP_S = 0.3


class Count:
    """Counts responses until the time is over, or `most` of them have come."""

    def __init__(self, size: int, seconds: float, most: int) -> None:
        self.size = size
        self.seconds = seconds
        self.most = most
        self.done = 0
        self.is_over = False
        self.begin, self.cpu = time.perf_counter(), time.process_time()
        self.took = 0.0

    def start(self) -> None:
        self.begin, self.cpu, self.done = time.perf_counter(), time.process_time(), 0

    def add(self, size: int) -> None:
        if size != self.size:
            raise ValueError(f"{size} bytes came, not {self.size}")
        self.done += 1
        self.is_over = self.is_over or 0 < self.most <= self.done

    def stop(self) -> dict[str, float]:
        self.is_over = True
        took = time.perf_counter() - self.begin
        cpu = time.process_time() - self.cpu
        return {"count": self.done, "seconds": took, "cpu": cpu * 1e6 / max(self.done, 1)}


async def measure(name: str, protocol: str, url: str, at_once: int, count: Count) -> dict[str, float]:
    """Let an asynchronous client get the URL, so many at once."""
    async with adapters.ADAPTERS[name](url, protocol) as get:

        async def repeat() -> None:
            while not count.is_over:
                count.add(await get())

        workers = [asyncio.ensure_future(repeat()) for _ in range(at_once)]
        if count.most:
            await asyncio.gather(*workers)
            return count.stop()
        await asyncio.wait(workers, timeout=WARM_UP_S, return_when=asyncio.FIRST_EXCEPTION)
        count.start()
        await asyncio.wait(workers, timeout=count.seconds, return_when=asyncio.FIRST_EXCEPTION)
        found = count.stop()
        await asyncio.gather(*workers)
        return found


def measure_sync(name: str, protocol: str, url: str, at_once: int, count: Count) -> dict[str, float]:
    """The same with a synchronous client, from so many threads."""
    errors: list[Exception] = []
    with sync_adapters.ADAPTERS[name](url, protocol) as get:

        def repeat() -> None:
            try:
                while not count.is_over:
                    count.add(get())
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=repeat) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        time.sleep(WARM_UP_S)
        count.start()
        time.sleep(count.seconds)
        found = count.stop()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return found


def resident() -> float:
    """Return the memory that this process holds, in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)


def main() -> None:
    name, protocol, url, size, at_once, amount = sys.argv[1:7]
    most = int(amount[:-1]) if amount.endswith("x") else 0
    count = Count(int(size), 0.0 if most else float(amount), most)
    if name in sync_adapters.ADAPTERS:
        found = measure_sync(name, protocol, url, int(at_once), count)
    else:
        import uvloop

        found = uvloop.run(measure(name, protocol, url, int(at_once), count))
    print(json.dumps(found | {"memory": resident()}))


if __name__ == "__main__":
    main()
