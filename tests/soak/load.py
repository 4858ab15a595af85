"""The load, in a process of its own: begins operations at fixed average rates, and counts how each went.

It reads commands from stdin, one a line, and answers each with a line of JSON: `state`; `rest`, which waits for what
runs, closes the clients and counts all objects; `go`, which begins, or begins anew; `end`, which is `rest` for good.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import uvloop

from tests.soak.census import census
from tests.soak.operations import native, polite, rude_h1, rude_h2
from tests.soak.operations.places import Operation, Place, Surroundings

OPERATION_S = 30.0
"""Seconds after which an operation has failed: the longest one takes about 5 at rest."""
MOST_RUNNING = 300
"""Operations at once; with more, something is stuck, or the machine is too slow for this rate."""
MOST_FAILURES = 200
TABLE = polite.OPERATIONS | native.OPERATIONS | rude_h1.OPERATIONS | rude_h2.OPERATIONS


def table(only: Sequence[str] = ()) -> dict[str, tuple[Operation, float]]:
    """Return the operations by their names, with their shares of the whole."""
    chosen = {name_of(each): (each, weight) for each, weight in TABLE.items() if not only or name_of(each) in only}
    total = sum(weight for _, weight in chosen.values())
    return {name: (operation, weight / total) for name, (operation, weight) in chosen.items()}


def name_of(operation: Operation) -> str:
    """Return the name that an operation is counted under."""
    return f"{operation.__module__.rpartition('.')[2]}.{operation.__name__}"


class Load:
    """Operations that are begun at their times, whatever became of those before."""

    def __init__(self, around: Surroundings, rate: float, only: Sequence[str]) -> None:
        self._around = around
        self._rate = rate
        self._table = table(only)
        self._first = list(self._table)
        """Operations that have not been begun yet: each has its turn before they go by chance, so that what a process
        does once it has done before the first rest."""
        self._running: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.failures: list[str] = []
        self.skipped = 0

    async def begin(self) -> None:
        """Open the clients and begin."""
        for protocol in ("h1", "h2"):
            self._around.clients[protocol] = polite.make_client(self._around, protocol)
        self._ticker = asyncio.create_task(self._tick())

    async def rest(self) -> None:
        """Begin nothing more, wait for what runs, and close the clients."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
            self._ticker = None
        await asyncio.gather(*self._running)
        for client in self._around.clients.values():
            await client.aclose()
        self._around.clients.clear()

    async def _tick(self) -> None:
        names, weights = list(self._table), [share for _, share in self._table.values()]
        due = time.monotonic()
        while True:
            due += self._around.random.expovariate(self._rate)
            await asyncio.sleep(max(due - time.monotonic(), 0.0))
            if len(self._running) >= MOST_RUNNING:
                self.skipped += 1
                continue
            name = self._first.pop() if self._first else self._around.random.choices(names, weights)[0]
            task = asyncio.create_task(self._run(name, self._table[name][0]))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, name: str, operation: Operation) -> None:
        try:
            async with asyncio.timeout(OPERATION_S):
                await operation(self._around)
            self.done[name] += 1
        except Exception as error:
            self.failed[name] += 1
            if len(self.failures) < MOST_FAILURES:
                now = time.strftime("%H:%M:%S", time.gmtime())
                self.failures.append(f"{now} {name}: {type(error).__name__}: {error}"[:500])

    def state(self, *, deep: bool = False) -> dict[str, Any]:
        """Return the figures of this process and of its work."""
        return census(deep=deep) | {
            "shares": {name: share for name, (_, share) in self._table.items()},
            "done": dict(self.done),
            "failed": dict(self.failed),
            "failures": self.failures,
            "skipped": self.skipped,
            "running": len(self._running),
        }


async def main() -> None:
    """Work as the one argument says, in JSON, and as stdin says."""
    config = json.loads(sys.argv[1])
    cycled = Place(**config["cycled"]) if config["cycled"] else None
    around = Surroundings(
        config["authority"], [Place(**each) for each in config["steady"]], cycled, config["rude"], config["seed"]
    )
    load = Load(around, config["rate"], config["only"])
    faults: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(str(context)))
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while True:
        command = (await commands.readline()).strip()
        if command == b"go":
            await load.begin()
        if command in (b"state", b"go"):
            answer = load.state()
        else:
            await load.rest()
            answer = load.state(deep=True)
        print(json.dumps(answer | {"faults": faults}), flush=True)
        if command in (b"end", b""):
            return


if __name__ == "__main__":
    uvloop.run(main())
