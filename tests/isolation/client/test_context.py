"""What a caller hands to a client runs in that caller's context; what the connection does runs in nobody's.

Callers share connections, queues and timers: one's request begins when another one's has ended, its informational
responses and credit come with another one's. And a connection lives longer than the caller that it was made for.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.client import Client, SyncClient
from headrace.client.connect.config import NetworkConfig
from headrace.client.pool.network import NetworkTransport
from headrace.client.testing.asgi import ASGITransport
from headrace.client.testing.mock import Answer, MockTransport
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.transport.tls import local_certificate

from tests.isolation.probes import USER, User
from tests.support.serving import Run, port, serving, settled

PIECE = b"p" * 70_000


async def app(request: Request) -> Response:
    await request.early_hints([(b"link", b"</a>")])
    content = await request.read(limit=2**30)
    await asyncio.sleep(0)
    return Response(200, (), str(len(content)).encode())


class Caller:
    """Somebody who sends requests, and looks who is there wherever the client calls."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: set[tuple[str, str | None]] = set()

    def note(self, where: str) -> None:
        user = USER.get()
        self.seen.add((where, None if user is None else user.name))

    async def pieces(self) -> AsyncIterator[bytes]:
        for _ in range(8):
            self.note("content")
            yield PIECE
            await asyncio.sleep(0)
        self.note("the end of the content")

    async def on_request(self, request: Any) -> None:
        self.note("the request's hook")

    async def send(self, client: Client, url: str, **options: Any) -> None:
        USER.set(User(self.name))
        for content in (self.pieces(), PIECE * 8, b"small"):
            response = await client.post(
                url,
                content=content,
                on_upload=lambda sent, total: self.note("on_upload"),
                on_informational=lambda status, headers: self.note("on_informational"),
                **options,
            )
            assert response.status == 200

    def check(self) -> None:
        assert {name for _, name in self.seen} == {self.name}, self.seen
        assert {"content", "on_upload", "on_informational"} <= {where for where, _ in self.seen}


async def all_at_once(client: Client, url: str, count: int = 8, **options: Any) -> None:
    callers = [Caller(f"caller {number}") for number in range(count)]
    await asyncio.gather(*(asyncio.create_task(each.send(client, url, **options)) for each in callers))
    for each in callers:
        each.check()


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("is_tls", [False, True])
def test_callers_that_share_connections_and_a_queue(run: Run, tmp_path: Path, version: str, is_tls: bool) -> None:
    """More callers than there is room for, so that each begins when another one ends."""
    local_certificate(tmp_path)

    async def main() -> None:
        settings: dict[str, Any] = {"tls_cert": str(tmp_path / "localhost.pem")} if is_tls else {}
        async with serving(app, limits={"max_concurrent_streams": 3}, **settings) as server:
            network = NetworkTransport(
                NetworkConfig(
                    http1=version == "1.1",
                    http2=version == "2",
                    max_connections=2,
                    wait_for_settings=True,
                    verify=str(tmp_path / "localhost-ca.pem") if is_tls else True,
                )
            )
            scheme = "https" if is_tls else "http"
            async with Client(transport=network) as client:
                await all_at_once(client, f"{scheme}://localhost:{port(server)}/")

    run(main())


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_content_that_waits_for_100_continue(run: Run, version: str) -> None:
    async def main() -> None:
        async with serving(app) as server:
            network = NetworkTransport(NetworkConfig(http1=version == "1.1", http2=version == "2", max_connections=1))
            async with Client(transport=network) as client:
                url = f"http://localhost:{port(server)}/"
                await all_at_once(client, url, 4, headers={"expect": "100-continue"})

    run(main())


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_connection_keeps_nobody(run: Run, version: str) -> None:
    """Neither the caller that it was made for, nor one that paused it, nor one whose timer it has."""

    async def main() -> None:
        async with serving(app) as server:
            network = NetworkTransport(NetworkConfig(http1=version == "1.1", http2=version == "2"))
            async with Client(transport=network, timeout=3_600) as client:
                users: list[weakref.ref[User]] = []

                async def call() -> None:
                    user = User("a caller")
                    users.append(weakref.ref(user))
                    USER.set(user)
                    del user
                    url = f"http://localhost:{port(server)}/"
                    await client.get(url)
                    async with client.stream("POST", url, content=PIECE * 8) as response:
                        await response.aread()

                for _ in range(3):
                    await asyncio.create_task(call())
                assert network.links, "the connection is gone, so this says nothing"

                def is_forgotten() -> bool:
                    gc.collect()
                    return all(each() is None for each in users)

                await settled(is_forgotten)

    run(main())


def test_hooks_and_sync_callers() -> None:
    """Each thread's hooks, content and callbacks see that thread's user."""

    async def handler(request: Any) -> Answer:
        await request.read()
        return Answer(200)

    with SyncClient(transport=MockTransport(handler)) as client:
        for name in ("alice", "bob"):
            seen: list[str | None] = []

            def note(*_: Any, seen: list[str | None] = seen) -> None:
                user = USER.get()
                seen.append(None if user is None else user.name)

            def pieces() -> Any:
                for _ in range(3):
                    note()
                    yield b"piece"

            import contextvars

            def call(name: str = name, note: Any = note) -> None:
                USER.set(User(name))
                client.post("https://example.org/", content=pieces(), on_upload=note)

            contextvars.copy_context().run(call)
            assert seen and set(seen) == {name}


def test_servers_in_memory_begin_in_the_context_they_were_made_in(run: Run) -> None:
    """A mock's handler and an application's lifespan are nobody's; an application is called in its caller's context."""

    async def main() -> None:
        mock: list[User | None] = []

        async def handler(request: Any) -> Answer:
            mock.append(USER.get())
            USER.set(User("the server"))
            await request.read()
            return Answer(200)

        spans: list[Any] = []

        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            user = USER.get()
            spans.append((scope["type"], None if user is None else user.name))
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await send({"type": "lifespan.shutdown.complete"})
                return
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        async def call(client: Client, name: str) -> None:
            USER.set(User(name))
            await client.post("https://example.org/", content=b"x" * 100_000)

        async with Client(transport=MockTransport(handler)) as client:
            await asyncio.gather(*(asyncio.create_task(call(client, f"caller {number}")) for number in range(5)))
        assert mock == [None] * 5
        async with Client(transport=ASGITransport(asgi)) as client:
            await asyncio.create_task(call(client, "caller 1"))
            await asyncio.create_task(call(client, "caller 2"))
        assert spans == [("lifespan", None), ("http", "caller 1"), ("http", "caller 2")]

    run(main())
