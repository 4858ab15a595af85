"""The mixture from the other side: one `Client`, many callers at once, and nothing of one may reach another.

    python -m tests.isolation.client.mixture --requests 20000 --seed 1

Each caller is a user in a context of its own. The content generator, the callbacks and the hooks of a call must run in
the context of its caller, and what comes back must name nobody else. The server is ours and native; the mixture with
clients that are not ours shows that it keeps users apart.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import headrace
from headrace.client.errors import ConnectionLost

from tests.isolation.mixture import Request, main, mixing
from tests.isolation.mixture_apps import TOKEN

CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("CALLER", default="nobody")
LIMIT_S = 60.0


class Callers:
    """The callers of one client. `served` counts by kind, `wrong` are sentences."""

    def __init__(self, client: headrace.Client, base: str, lot: random.Random) -> None:
        self.client = client
        self.base = base
        self.lot = lot
        self.served: Counter[str] = Counter()
        self.wrong: list[str] = []

    def _expect(self, user: str, where: str) -> None:
        if CALLER.get() != user:
            self.wrong.append(f"{where} of {user}'s call ran in the context of {CALLER.get()}")

    async def _pieces(self, request: Request) -> AsyncIterator[bytes]:
        for place in range(0, len(request.content), 9_000):
            self._expect(request.user, "the content")
            yield request.content[place : place + 9_000]
            await asyncio.sleep(0)
        self._expect(request.user, "the content's end")

    async def call(self, number: int) -> None:
        """One call, drawn by lot."""
        lot = self.lot
        request = Request(lot, number)
        request.has_trailers = False
        user = request.user
        CALLER.set(user)
        if number % 40 == 0:
            await self._converse(user)
            return

        def told(status: int, headers: Any) -> None:
            self._expect(user, "on_informational")
            if set(TOKEN.findall(repr(headers).encode())) - {user.encode()}:
                self.wrong.append(f"{user} was told of {headers}")

        options: dict[str, Any] = {"headers": request.fields, "on_informational": told}
        if request.content:
            options["content"] = self._pieces(request) if lot.random() < 0.5 else request.content
            options["on_upload"] = lambda *_: self._expect(user, "on_upload")
        options["on_download"] = lambda *_: self._expect(user, "on_download")
        method = "POST" if request.content else "GET"
        try:
            async with (
                asyncio.timeout(LIMIT_S),
                self.client.stream(method, self.base + request.path, **options) as response,
            ):
                if request.is_reset:
                    self.served["given up"] += 1
                    return
                body = await response.aread()
        except headrace.RequestError as error:
            if method == "POST" and isinstance(error, ConnectionLost) and error.is_stale:
                # Too much of the chunked content before it was left unread, so the server ended the connection, and a
                # POST is not sent again (RFC 9112 §9.3.1).
                self.served["stale"] += 1
            else:
                self.wrong.append(f"{request.path}: {error!r}")
            return
        self._expect(user, "what follows a call")
        mark = user.encode()
        seen = [body, repr(response.headers).encode(), repr(response.trailers).encode()]
        for other in set(TOKEN.findall(b" ".join(seen))) - {mark}:
            self.wrong.append(f"{request.path}: {user}'s response names {other.decode()}")
        content = mark if request.content and request.what != "unread" else b""
        line = b"|%s|%s|%s\n" % (mark, content, mark)
        whole = response.status_code == 500 if request.what == "refused" else body == line * request.times + mark
        if not whole and request.what != "unread":
            self.wrong.append(f"{request.path}: {response.status_code}, {body[:80]!r}")
        self.served[response.http_version] += 1

    async def _converse(self, user: str) -> None:
        url = "ws" + self.base.removeprefix("http") + f"/{user}/websocket/0/1"
        async with asyncio.timeout(LIMIT_S), self.client.websocket(url, headers=[("x-user", user)]) as ws:
            for _ in range(3):
                await ws.send(user)
                said = await ws.receive()
                self._expect(user, "a WebSocket")
                if said != f"|{user}|{user}|{user}":
                    self.wrong.append(f"the WebSocket of {user} said {said!r}")
        self.served["websocket"] += 1


async def run(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Make about `count` calls in all, over both protocols; return how many were answered, and what was wrong."""
    served: Counter[str] = Counter()
    wrong: list[str] = []
    lot = random.Random(seed)
    async with mixing("native", "uvloop", lot) as mixture:
        for scheme, ways in (("https", {}), ("https", {"http2": False}), ("http", {})):
            port = mixture.ports["tls" if scheme == "https" else None]
            async with headrace.Client(verify=False, timeout=LIMIT_S, trust_env=False, **ways) as client:  # type: ignore[arg-type]
                callers = Callers(client, f"{scheme}://127.0.0.1:{port}", lot)
                places = asyncio.Semaphore(80)

                async def one(number: int, callers: Callers = callers, places: asyncio.Semaphore = places) -> None:
                    async with places:
                        await callers.call(number)

                async with asyncio.TaskGroup() as group:
                    for number in range(count // 3):
                        group.create_task(one(number), context=contextvars.Context())
                served += callers.served
                wrong += callers.wrong
    return served, wrong


if __name__ == "__main__":
    sys.exit(main(__doc__, 20_000, run))
