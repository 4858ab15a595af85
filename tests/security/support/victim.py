"""The server that is attacked: a process of its own, whose app counts the handlers that live.

`python -m tests.security.support.victim MODE LIMITS [CERTIFICATE]` prints its ports, cleartext first, and serves
until SIGTERM. MODE is what handlers do with an attacker's requests: "sleep" until they are cancelled, "big" answers
of 10 MB piece by piece, "read" reads the content and tells its size; in "wsgi" tests/security/support/wsgi_site.py is
served instead. A path that is named like a mode goes before it; `/ws/read`, `/ws/echo` and `/ws/idle` are WebSockets,
whose turns have no end where MODE is "unbounded". LIMITS is JSON for `headrace.engine.limits.Limits`, or for `Config`
where the name is one of its own; `uvloop` chooses that event loop.

`/probe` answers at once, `/stats` tells handlers, tasks, handles and memory, `/mark` begins the peaks anew, `/burn`
holds the loop up for a quarter of a second.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any

from headrace.engine.limits import Limits
from headrace.server.app import Server
from headrace.server.handlers.response import Response, StreamResponse
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.server.settings.config import Config
from headrace.websocket import fair_share, intake

from tests.security.support.wsgi_site import site

PIECE = 16_384
PIECES = 600
BURN_S = 0.25
ENDLESS = 1 << 50
JSON = [("content-type", "application/json")]


async def reads(ws: Any) -> None:
    """A handler that takes each message, and keeps none."""
    while True:
        await ws.receive()


async def echoes(ws: Any) -> None:
    """A handler that sends each message back."""
    async for message in ws:
        await ws.send(message)


async def sleeps(ws: Any) -> None:
    """A handler that takes none."""
    await asyncio.sleep(3600)


SOCKETS = {"read": reads, "echo": echoes, "idle": sleeps}


class Victim:
    """The app. `live` handlers now, `most` at any time on any one connection, `started` ever."""

    takes_websockets = True

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.live: Counter[Any] = Counter()
        self.most = 0
        self.started = 0
        self.produced = 0
        self.server: Server | None = None
        self.loop = asyncio.get_running_loop()

    async def __call__(self, request: Any) -> Any:
        if request.path == "/probe":
            return Response(200, [("content-type", "text/plain")], b"alive")
        if request.path == "/stats":
            return Response(200, JSON, json.dumps(self.stats()).encode())
        if request.path == "/mark":
            self.mark()
            return Response(200, JSON, json.dumps(self.stats()).encode())
        if request.path == "/burn":
            end = time.process_time() + BURN_S
            while time.process_time() < end:
                pass
            return Response(200, [], b"")
        if request.path.startswith("/ws/"):
            return WebSocketResponse(SOCKETS[request.path[4:]])
        peer = request.connection.peer
        self.live[peer] += 1
        self.started += 1
        self.most = max(self.most, self.live[peer])
        if request.path == "/big" or self.mode == "big":
            return StreamResponse(200, [], self.pieces(peer))
        try:
            if request.path == "/read" or self.mode == "read":
                size = 0
                async for piece in request.stream():
                    size += len(piece)
                return Response(200, [], b"%d" % size)
            await asyncio.sleep(3600)
        finally:
            self.left(peer)
        return Response(200, [], b"awake")

    async def pieces(self, peer: Any) -> AsyncIterator[bytes]:
        """10 MB in pieces of 16 KiB, each with memory of its own: what is queued shows."""
        try:
            for _ in range(PIECES):
                self.produced += 1
                yield bytes(PIECE)
        finally:
            self.left(peer)

    def left(self, peer: Any) -> None:
        """A handler has ended."""
        self.live[peer] -= 1
        if not self.live[peer]:
            del self.live[peer]

    def mark(self) -> None:
        """Let the peaks of memory and handlers begin anew."""
        gc.collect()
        self.most = 0
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")

    def stats(self) -> dict[str, int]:
        """What the criteria H, M and N look at. `rss` now, `peak` since the last mark."""
        gc.collect()
        with open("/proc/self/status") as status:
            memory = dict(line.split()[:2] for line in status if line.startswith("Vm"))
        assert self.server is not None and self.server.service is not None
        return {
            "live": self.live.total(),
            "most": self.most,
            "started": self.started,
            "produced": self.produced,
            "tasks": len(asyncio.all_tasks(self.loop)),
            "connections": len(self.server.service.drivers),
            "handles": len(os.listdir("/proc/self/fd")),
            "blocks": sys.getallocatedblocks(),
            "rss": int(memory["VmRSS:"]) * 1024,
            "peak": int(memory["VmHWM:"]) * 1024,
        }


async def main() -> None:
    """Serve until SIGTERM."""
    victim = Victim(sys.argv[1])
    given: dict[str, Any] = {"frames_per_turn": 100, **json.loads(sys.argv[2])}
    given.pop("uvloop", None)
    limits = {each.name: given.pop(each.name) for each in fields(Limits) if each.name in given}
    if len(sys.argv) > 3:
        given |= {"tls_cert": sys.argv[3], "bind": "127.0.0.1:0", "cleartext_bind": "127.0.0.1:0"}
    interface = "wsgi" if victim.mode == "wsgi" else "native"
    config = Config(**{"bind": "127.0.0.1:0", "interface": interface, "limits": Limits(**limits), **given})
    server = Server(site(victim.mark, victim.stats) if interface == "wsgi" else victim, config)
    victim.server = server
    await server.start()
    loop = asyncio.get_running_loop()
    if victim.mode == "unbounded":
        endless = fair_share.loop_share(loop)  # held until the end, so that connections find it
        endless.left = endless._work = ENDLESS
        setattr(intake, "SLICE", ENDLESS)  # noqa: B010
    loop.add_signal_handler(signal.SIGTERM, server.begin_drain)
    ports = [address.rpartition(":")[2] for _, address in sorted(server.addresses, key=lambda each: each[0].tls)]
    print(*ports, flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    if json.loads(sys.argv[2]).get("uvloop"):
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
