"""The server that is attacked: a process of its own, whose app counts the handlers that live.

`python -m tests.security.victim MODE LIMITS` prints its port and then serves until SIGTERM. MODE is what handlers do
with an attacker's requests: "sleep" until they are cancelled, "big" answers of 10 MB piece by piece. LIMITS is JSON for
`headrace.engine.limits.Limits`. `/probe` answers at once, `/stats` tells handlers, tasks, handles and memory.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

from headrace.engine.limits import Limits
from headrace.server.app import Server
from headrace.server.config import Config
from headrace.server.response import Response, StreamResponse

PIECE = b"x" * 65_536
BIG = 10_000_000


class Victim:
    """The app. `live` handlers now, `most` at any time on any connections together, `started` ever."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.live = 0
        self.most = 0
        self.started = 0
        self.server: Server | None = None

    async def __call__(self, request: Any) -> Any:
        if request.path == "/probe":
            return Response(200, [("content-type", "text/plain")], b"alive")
        if request.path == "/stats":
            return Response(200, [("content-type", "application/json")], json.dumps(self.stats()).encode())
        self.live += 1
        self.started += 1
        self.most = max(self.most, self.live)
        if self.mode == "big":
            return StreamResponse(200, [], self.pieces())
        try:
            await asyncio.sleep(3600)
        finally:
            self.live -= 1
        return Response(200, [], b"awake")

    async def pieces(self) -> AsyncIterator[bytes]:
        """10 MB in pieces of 64 KiB."""
        try:
            for _ in range(BIG // len(PIECE)):
                yield PIECE
        finally:
            self.live -= 1

    def stats(self) -> dict[str, int]:
        """What the criteria H, M and N look at."""
        gc.collect()
        with open("/proc/self/statm") as statm:
            resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        assert self.server is not None and self.server.service is not None
        return {
            "live": self.live,
            "most": self.most,
            "started": self.started,
            "tasks": len(asyncio.all_tasks()),
            "connections": len(self.server.service.drivers),
            "handles": len(os.listdir("/proc/self/fd")),
            "rss": resident,
        }


async def main() -> None:
    """Serve until SIGTERM."""
    victim = Victim(sys.argv[1])
    limits = Limits(**{"frames_per_turn": 100, **json.loads(sys.argv[2])})
    server = Server(victim, Config(bind="127.0.0.1:0", interface="native", limits=limits))
    victim.server = server
    await server.start()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, server.begin_drain)
    print(server.addresses[0][1].rpartition(":")[2], flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
