"""A storm of hundreds of requests: a third crash, a third are reset by their clients, a third succeed. Nothing is left.

Every success is whole, the others end as they must, and afterwards there is no task, exchange, stream or file more than
before; every byte of window is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from h2.exceptions import ProtocolError

from headrace.engine.h2.stream import Stream
from headrace.server.app import Server
from headrace.server.connection.exchange import ServerExchange, error_log
from headrace.server.files.response import FileResponse
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, StreamResponse

from tests.conftest import amount
from tests.support.h1_peer import H1Peer
from tests.support.h2_peer import Answer, H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled

pytestmark = pytest.mark.slow

REQUESTS = amount(600, 2_000)
EACH = [len(range(first, REQUESTS, 3)) for first in range(3)]  # crashes, resets, successes
CONNECTIONS = 20
CRASHES = ("/crash/before", "/crash/early", "/crash/reading", "/crash/middle", "/crash/after")
RESETS = (
    "/reset/at-once",
    "/reset/before",
    "/reset/middle",
    "/reset/endless",
    "/reset/file",
    "/reset/opening",
    "/reset/upload",
)
SUCCESSES = ("/whole", "/pieces", "/file", "/upload")
UPLOAD = bytes(range(256)) * 120
LARGE = 30_000


def path_of(number: int) -> str:
    """What the request of this number asks for: thirds, and within each all kinds in turn."""
    kinds = (CRASHES, RESETS, SUCCESSES)[number % 3]
    return f"{kinds[number // 3 % len(kinds)]}?{number}"


def content(number: int, size: int = LARGE) -> bytes:
    """Content that no other request has."""
    return hashlib.shake_128(b"%d" % number).digest(size)


class Storm:
    """A native application: what becomes of a request stands in its path, its number in the query."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.write_bytes(content(0, 4_000_000))
        self.begun = 0

    async def __call__(self, request: Request) -> Any:
        self.begun += 1
        number = int(request.query_string)
        path = request.path
        if path in ("/crash/reading", "/upload", "/reset/upload"):
            body = await request.read()
            if path == "/crash/reading":
                raise RuntimeError("boom")
            return Response(200, (), body)
        if path in ("/crash/before", "/crash/early"):
            raise RuntimeError("boom")
        if path == "/reset/before":
            await asyncio.Event().wait()
        if path in ("/file", "/reset/file", "/reset/opening"):
            return FileResponse(200, (), self.file, number, LARGE if path == "/file" else None)
        if path in ("/whole", "/reset/at-once"):
            return Response(200, (), content(number))
        return StreamResponse(200, (), lambda send: self.pieces(send, path, number))

    async def pieces(self, send: Any, path: str, number: int) -> None:
        whole = content(number)
        await send(whole[:10_000])
        if path == "/crash/middle":
            raise RuntimeError("boom")
        if path == "/reset/middle":
            await asyncio.Event().wait()
        while path == "/reset/endless":
            await send(whole)
        await send(whole[10_000:], end=True)
        if path == "/crash/after":
            raise RuntimeError("boom")

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """The same as an ASGI application."""
        self.begun += 1
        number = int(scope["query_string"])
        path = scope["path"]
        if path in ("/crash/reading", "/upload", "/reset/upload"):
            body = b""
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message["body"]
                if not message["more_body"]:
                    break
        if path in ("/crash/before", "/crash/early", "/crash/reading"):
            raise RuntimeError("boom")
        if path == "/reset/before":
            await asyncio.Event().wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if path in ("/upload", "/reset/upload"):
            await send({"type": "http.response.body", "body": body})
        elif path in ("/whole", "/reset/at-once"):
            await send({"type": "http.response.body", "body": content(number)})
        elif path in ("/reset/file", "/reset/opening"):
            await send({"type": "http.response.pathsend", "path": str(self.file)})
        elif path == "/file":
            await send({"type": "http.response.body", "body": content(0, number + LARGE)[number:]})
        else:

            async def piece(data: bytes, *, end: bool = False) -> None:
                await send({"type": "http.response.body", "body": data, "more_body": not end})

            await self.pieces(piece, path, number)

    def check(self, number: int, path: str, answer: Answer) -> None:
        """What a client must have got that did not go away."""
        body = bytes(answer.body)
        if path in ("/crash/before", "/crash/early", "/crash/reading"):
            assert (answer.status, answer.ended, body) == (500, True, b"Internal Server Error\n"), path
        elif path == "/crash/middle":
            assert not answer.ended and answer.reset is not None, f"a part passes for the whole: {answer.status}"
            assert content(number).startswith(body)
        else:
            assert (answer.status, answer.ended, answer.reset) == (200, True, None), path
            wanted = {"/file": content(0, number + LARGE)[number:], "/upload": UPLOAD}.get(path, content(number))
            assert body == wanted, path


async def one(storm: Storm, server: Server, peer: Any, number: int) -> str:
    """One request of the storm, by a client that goes away where the path says so. Returns the kind of its end."""
    target = path_of(number)
    path = target.partition("?")[0]
    has_content = path in ("/crash/early", "/crash/reading", "/upload", "/reset/upload")
    opened = peer.open(target, "POST" if has_content else "GET", end=not has_content)
    stream_id: int = opened if isinstance(opened, int) else await opened
    answer: Answer = peer.answers[stream_id]
    if path == "/crash/early":  # the answer may end the stream while this is on its way
        with contextlib.suppress(ProtocolError, OSError):
            await peer.send(stream_id, UPLOAD, end=True)
    elif has_content:
        await peer.send(stream_id, UPLOAD, end=path != "/reset/upload")
    if path.startswith("/reset/"):
        if path == "/reset/before":
            await settled(lambda: live_handlers(server) > 0)
        elif path not in ("/reset/at-once", "/reset/opening"):
            # Some of the content, where there is any.
            enough = 0 if path == "/reset/upload" else 10_000
            await peer.until(lambda: len(answer.body) >= enough)
        peer.reset(stream_id)
        if isinstance(peer, H1Peer):
            await peer.until_closed()
        return "reset"
    await peer.over(stream_id)
    storm.check(number, path, answer)
    del peer.answers[stream_id]
    return "crash" if path.startswith("/crash/") else "success"


@contextlib.asynccontextmanager
async def surviving(server: Server) -> AsyncIterator[tuple[H2Peer, Any, dict[str, Any]]]:
    """An HTTP/2 connection, the server's end of it, and its figures at the start; the same figures at the end."""
    assert server.service is not None
    before = set(server.service.drivers)
    async with H2Peer.connected(port(server)) as peer:
        await peer.ping()
        (driver,) = [each for each in server.service.drivers if each.client == peer.writer.get_extra_info("sockname")]
        assert driver not in before
        start = driver.engine.stats()
        yield peer, driver, start
        await settled(lambda: not driver.live)
        # Credit goes back in big steps: a last upload makes it just as much as a step, when none is lost.
        missing = start["receive_window"] - driver.engine.stats()["receive_window"]
        rest = start["receive_window"] // 2 - missing
        assert rest > 0
        answer = await peer.post("/upload?0", bytes(rest - rest // 2) + bytes(rest // 2))
        assert answer.status == 200
        # And the client gives back all that it kept.
        given = start["send_window"] - peer.conn.inbound_flow_control_window
        if given:
            peer.conn.increment_flow_control_window(given)
            peer.flush()
        await peer.ping()
        end = driver.engine.stats()
        for figure in ("receive_window", "send_window", "open_streams", "send_queued", "unread"):
            assert end[figure] == start[figure], f"{figure} was {start[figure]}, is {end[figure]}"
        assert peer.goaways == []


async def over_h2(storm: Storm, server: Server) -> list[str]:
    """20 connections of 100 streams each, all at the same time."""
    each = REQUESTS // CONNECTIONS

    async def connection(first: int) -> list[str]:
        async with surviving(server) as (peer, _, _):
            return await asyncio.gather(*(one(storm, server, peer, first + number) for number in range(each)))

    results = await asyncio.gather(*(connection(first * each) for first in range(CONNECTIONS)))
    return [kind for result in results for kind in result]


async def over_h1(storm: Storm, server: Server) -> list[str]:
    """20 clients at the same time, with a new connection wherever the last one was cut off."""

    async def client(first: int) -> list[str]:
        async with H1Peer.connected(port(server)) as peer:
            return [await one(storm, server, peer, number) for number in range(first, REQUESTS, CONNECTIONS)]

    results = await asyncio.gather(*(client(first) for first in range(CONNECTIONS)))
    return [kind for result in results for kind in result]


def left(kind: type) -> int:
    """Objects of this kind, or derived from it, that something still refers to."""
    return sum(issubclass(type(each), kind) for each in gc.get_objects())  # isinstance asks proxies, such as Django's


def handles() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("interface", ["native", "asgi"])
@pytest.mark.parametrize("protocol", ["h1", "h2"])
def test_a_crash_storm_leaks_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, interface: str
) -> None:
    lines: list[str] = []  # and not the records, whose tracebacks would keep the requests
    monkeypatch.setattr(error_log, "handle", lambda record: lines.append(record.getMessage()))
    storm = Storm(tmp_path / "file.bin")

    async def main() -> None:
        app = storm if interface == "native" else storm.asgi
        tasks = asyncio.all_tasks()
        gc.collect()
        objects = (left(ServerExchange), left(Stream))  # of tests before, in the log records that pytest keeps
        async with serving(app, interface=interface, lifespan="off") as server:
            async with H1Peer.connected(port(server)) as peer:  # uvloop keeps one more from its first connection on
                await peer.get("/whole?0")
            await settled(lambda: not server.service.drivers)  # type: ignore[union-attr]
            open_before = handles()
            results = await (over_h2 if protocol == "h2" else over_h1)(storm, server)
            assert [results.count(kind) for kind in ("crash", "reset", "success")] == EACH
            await settled(lambda: live_handlers(server) == 0)
            await settled(lambda: not server.service.drivers)  # type: ignore[union-attr]
            await settled(lambda: handles() == open_before)
        await settled(lambda: asyncio.all_tasks() <= tasks)
        gc.collect()
        assert left(ServerExchange) <= objects[0] and left(Stream) <= objects[1]

    run(main())
    assert len(lines) == EACH[0]
