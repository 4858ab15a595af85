"""Descriptors of files that clients leave unread: one client holds a share of them, and its further requests wait."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.server.files.places import PLACES, FilePlaces
from headrace.server.files.response import SMALL, FileResponse
from headrace.server.files.static import StaticFiles
from headrace.server.handlers.response import StreamResponse

from tests.server.files.test_sendfile import Visitor
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled

CONTENT = bytes(range(256)) * 1_200  # 307,200 bytes: more than a stream's buffer
MOST = 8
SHARE = MOST // 2
MANY = 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "data.bin"
    found.write_bytes(CONTENT)
    return found


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process have eight files open."""
    monkeypatch.setattr(PLACES, "_most", lambda: MOST)


def opened(path: Path) -> int:
    """How many descriptors of this process are open on the file."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}") == str(path)
        except OSError:
            continue
    return count


def native(path: Path) -> Any:
    return lambda request: FileResponse(200, (), path)


def static(path: Path) -> Any:
    return StaticFiles(path.parent)


def asgi(path: Path) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": str(path)})

    return app


def wsgi(path: Path) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", str(path.stat().st_size))])
        return environ["wsgi.file_wrapper"](path.open("rb"))

    return app


def test_no_client_gets_more_than_it_leaves_free() -> None:
    places = FilePlaces(lambda: MOST)
    held = []
    for client, share in (("first", 4), ("second", 2), ("third", 1), ("fourth", 1), ("fifth", 0)):
        for _ in range(share):
            place = places.take(client)
            assert place is not None
            held.append(place)
        assert places.take(client) is None
    assert places.usage() == (MOST, 0)
    held[0].give_back()
    held[0].give_back()
    assert places.usage() == (MOST - 1, 0)
    assert places.take("first") is None
    assert places.take("fifth") is not None
    for place in held:
        place.give_back()
    assert places.usage() == (1, 0)


def test_a_place_comes_back_although_somebody_counts() -> None:
    """A response that nobody sent is collected at any moment, also while the same thread holds the lock."""
    places = FilePlaces(lambda: MOST)
    place = places.take("client")
    assert place is not None
    with places._lock:
        place.give_back()
    assert places.usage() == (0, 0)


@pytest.mark.parametrize(
    ("make", "headers"),
    [(native, ()), (static, ()), (static, [("range", "bytes=0-199999,250000-300000")]), (asgi, ())],
    ids=["native", "static", "ranges", "pathsend"],
)
def test_files_that_a_client_leaves_unread_over_http2(
    run: Run, path: Path, make: Callable[[Path], Any], headers: Any, eight: None, tmp_path: Path
) -> None:
    """As many were open as there were requests, until the process had no descriptor left for anybody."""
    binds = ["127.0.0.1:0", f"unix:{tmp_path / 's'}"]

    async def main() -> None:
        async with (
            serving(make(path), bind=binds, lifespan="off") as server,
            H2Peer.connected(port(server), settings={4: 0}, gives_credit=True) as greedy,
            H2Peer.connected(path=str(tmp_path / "s")) as other,
        ):
            streams = [greedy.open("/data.bin", headers=headers) for _ in range(MANY)]
            await settled(lambda: PLACES.usage() == (SHARE, MANY - SHARE) and opened(path) == SHARE)
            assert (await other.get("/data.bin")).body == CONTENT
            assert opened(path) == SHARE
            for stream_id in streams:
                greedy.conn.increment_flow_control_window(400_000, stream_id)
            greedy.flush()
            for stream_id in streams:  # the others begin when those end
                answer = await greedy.over(stream_id)
                assert answer.ended
                assert CONTENT[:200_000] in answer.body
            await settled(lambda: PLACES.usage() == (0, 0) and opened(path) == 0)

    run(main())


def test_files_that_a_client_leaves_unread_over_http1(run: Run, path: Path, eight: None, tmp_path: Path) -> None:
    os.truncate(path, 64 * 1024 * 1024)  # more than the buffers of a loopback connection hold
    binds = ["127.0.0.1:0", f"unix:{tmp_path / 's'}"]

    async def main() -> None:
        async with serving(native(path), bind=binds) as server:
            visitors = [await Visitor.to(port(server), limit=1024) for _ in range(MANY)]
            for visitor in visitors:
                visitor.ask("/")
            await settled(lambda: PLACES.usage() == (SHARE, MANY - SHARE) and opened(path) == SHARE)
            other = Visitor(*await asyncio.open_unix_connection(str(tmp_path / "s")))
            other.ask("/")
            assert (await other.head())[0] == 200
            await other.close(rudely=True)
            for visitor in visitors:
                await visitor.close(rudely=True)
            await settled(lambda: live_handlers(server) == 0)
            await settled(lambda: PLACES.usage() == (0, 0) and opened(path) == 0)

    run(main())


def test_files_that_a_wsgi_application_leaves_to_the_server(run: Run, path: Path, eight: None) -> None:
    """What is beyond the share goes through the thread and its spool, which has bounds of its own."""

    async def main() -> None:
        async with (
            serving(wsgi(path)) as server,
            H2Peer.connected(port(server), settings={4: 0}) as greedy,
        ):
            streams = [greedy.open("/") for _ in range(MANY)]
            for stream_id in streams:
                await greedy.started(stream_id)
            await settled(lambda: PLACES.usage() == (SHARE, 0) and opened(path) == SHARE)
            for stream_id in streams:
                greedy.conn.increment_flow_control_window(400_000, stream_id)
                greedy.flush()
                assert (await greedy.over(stream_id)).body == CONTENT
            await settled(lambda: PLACES.usage() == (0, 0) and opened(path) == 0)

    run(main())


@pytest.mark.parametrize("make", [native, static, asgi, wsgi])
def test_a_small_file_is_closed_once_it_is_read(run: Run, path: Path, make: Callable[[Path], Any], eight: None) -> None:
    os.truncate(path, SMALL)

    async def main() -> None:
        async with (
            serving(make(path), lifespan="off", limits={"max_stream_send_buffer": 1_024}) as server,
            H2Peer.connected(port(server), settings={4: 0}) as greedy,
        ):
            streams = [greedy.open("/data.bin") for _ in range(MANY)]
            for stream_id in streams:
                await greedy.started(stream_id)
            await settled(lambda: PLACES.usage() == (0, 0) and opened(path) == 0)
            assert live_handlers(server) == MANY  # nobody has taken anything

    run(main())


def test_the_end_of_a_large_file_waits_for_its_client_without_it(run: Run, path: Path) -> None:
    async def main() -> None:
        async with (
            serving(native(path)) as server,
            H2Peer.connected(port(server), settings={4: len(CONTENT) - SMALL - 1}, gives_credit=False) as peer,
        ):
            peer.conn.increment_flow_control_window(400_000)
            answer = await peer.started(peer.open("/"))
            await settled(lambda: opened(path) == 0)
            assert not answer.ended

    run(main())


def test_descriptors_that_a_handler_opened_are_counted_and_wait_for_nothing(run: Run, path: Path, eight: None) -> None:
    async def main() -> None:
        async with (
            serving(lambda request: FileResponse(200, (), os.open(path, os.O_RDONLY))) as server,
            H2Peer.connected(port(server), settings={4: 0}) as peer,
        ):
            streams = [peer.open("/") for _ in range(SHARE + 2)]
            for stream_id in streams:
                await peer.started(stream_id)
            assert PLACES.usage() == (SHARE, 0)
            for stream_id in streams:
                peer.reset(stream_id)
            await settled(lambda: PLACES.usage() == (0, 0) and opened(path) == 0)

    run(main())


@pytest.mark.parametrize("end", ["reset", "leaves"])
def test_a_client_that_goes_waits_no_longer(run: Run, path: Path, end: str, eight: None) -> None:
    async def main() -> None:
        async with (
            serving(asgi(path), lifespan="off") as server,
            H2Peer.connected(port(server), settings={4: 0}) as holder,
            H2Peer.connected(port(server), settings={4: 0}) as waiter,
        ):
            for _ in range(SHARE):
                await holder.started(holder.open("/"))
            streams = [waiter.open("/") for _ in range(3)]
            await settled(lambda: PLACES.usage() == (SHARE, 3))
            if end == "reset":
                for stream_id in streams:
                    waiter.reset(stream_id)
            else:
                await waiter.close()
            await settled(lambda: PLACES.usage() == (SHARE, 0))
            await settled(lambda: live_handlers(server) == SHARE)

    run(main())


def test_a_file_that_is_another_one_when_its_turn_comes(run: Run, path: Path, eight: None) -> None:
    """Its entity tag and length were those of the old one."""

    async def main() -> None:
        async with (
            serving(static(path)) as server,
            H2Peer.connected(port(server), settings={4: 0}) as peer,
        ):
            holding = [peer.open("/data.bin") for _ in range(SHARE)]
            for stream_id in holding:
                await peer.started(stream_id)
            waiting = peer.open("/data.bin")
            await settled(lambda: PLACES.usage() == (SHARE, 1))
            (path.parent / "new").write_bytes(CONTENT[::-1])
            os.replace(path.parent / "new", path)
            peer.reset(holding[0])
            peer.conn.increment_flow_control_window(1_000, waiting)
            peer.flush()
            assert (await peer.over(waiting)).status == 503

    run(main())


def test_a_response_that_nobody_sends_gives_its_place_back(path: Path, eight: None) -> None:
    from tests.server.files.test_static import get

    response = get(static(path), "/data.bin")
    assert PLACES.usage() == (1, 0)
    del response
    gc.collect()
    assert PLACES.usage() == (0, 0)


def _exhausted(*_: object, **__: object) -> int:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize("make", [native, static, asgi, wsgi])
def test_without_descriptors_a_file_is_503(
    run: Run,
    path: Path,
    make: Callable[[Path], Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with serving(make(path), lifespan="off") as server, H2Peer.connected(port(server)) as peer:
            visitor = await Visitor.to(port(server))
            with monkeypatch.context() as patch:
                patch.setattr(os, "open", _exhausted)
                patch.setattr(Path, "open", _exhausted)
                answer = await peer.get("/data.bin")
                assert (answer.status, answer.header(b"retry-after")) == (503, b"1")
                visitor.ask("/data.bin")
                status, fields = await visitor.head()
                assert (status, fields["retry-after"]) == (503, "1")
            assert (await peer.get("/data.bin")).body == CONTENT
            await visitor.close()

    run(main())
    (record,) = [each for each in caplog.records if "ulimit -n" in each.getMessage()]
    assert record.exc_info is None
    assert not any(re.search(r"\b500\b", each.getMessage()) for each in caplog.records)  # no port, as 50086


def test_without_descriptors_a_listing_is_503_and_not_404(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        app = StaticFiles(path.parent, listing=True, index=None)
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            with monkeypatch.context() as patch:
                patch.setattr(os, "open", _exhausted)
                assert (await peer.get("/")).status == 503

    run(main())


def test_without_descriptors_a_response_under_way_is_reset(
    run: Run, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"piece"
        _exhausted()

    async def main() -> None:
        async with (
            serving(lambda request: StreamResponse(200, (), pieces())) as server,
            H2Peer.connected(port(server)) as peer,
        ):
            for _ in range(3):
                assert (await peer.get("/")).reset == 2

    run(main())
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "ulimit -n" in record.getMessage()


def test_without_a_descriptor_for_the_socket_a_file_is_read(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with serving(native(path)) as server:
            visitor = await Visitor.to(port(server))
            with monkeypatch.context() as patch:
                patch.setattr(os, "dup", _exhausted)
                visitor.ask("/")
                assert await visitor.answer() == CONTENT
            await visitor.close()

    run(main())
