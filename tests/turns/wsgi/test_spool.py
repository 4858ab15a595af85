"""What is spooled of WSGI's content: it comes out as it went in, within its bounds, and nothing of it is left."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.wsgi import spools as spools_module
from headrace.wsgi.addresses import ClientRecord
from headrace.wsgi.spool import PIECES, STEP, Spool
from headrace.wsgi.spools import FILES, MEMORY, SpoolFile, Spools
from headrace.wsgi.upload import CRUMBS, CollectedUpload

from tests.properties.profile import tries
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, run, serving, settled
from tests.turns.wsgi.test_threads import CONTENT, Site, answered, application, let_go, reader, unspooled

__all__ = ["run"]

LIMIT_S = 10.0
# Sizes around every border: a step, the memory, the file, and what pieces cost beside their bytes.
BORDERS = [0, 1, 255, 256, 1_000, CRUMBS, STEP, 100_000, 200_000]
SIZES = st.sampled_from([each + change for each in BORDERS for change in (-1, 0, 1) if each + change >= 0])
ROOM = st.sampled_from([0, 1_000, CRUMBS, STEP, 100_000])
ADDRESS = "one"


def content_of(sizes: list[int]) -> list[bytes]:
    chance = random.Random(len(sizes))
    return [chance.randbytes(size) for size in sizes]


# -- the spool of a response


@given(st.lists(SIZES, max_size=12), ROOM, ROOM, ROOM, st.tuples(*[st.sampled_from((0, 0, 1, 5))] * 12).map(list))
@tries(100)
def test_a_spool_gives_what_was_put_into_it(
    sizes: list[int], memory: int, size: int, total: int, drains: list[int]
) -> None:
    spools, address = Spools(memory, size, total), ClientRecord(ADDRESS)
    spool = Spool(spools, address)
    out = []

    def drain(times: int) -> None:
        for _ in range(times):
            data = spool.take()
            if not data and spool.has_file_content():
                data = spool.read()
            out.append(data)
            in_memory, on_disk, files = spools.usage()
            assert in_memory <= memory
            assert on_disk <= min(size, total)
            assert files <= 1

    pieces = content_of(sizes)
    for piece in pieces:
        left = memoryview(piece)
        while left:
            count = spool.put(left)
            left = left[count:]
            if not count:
                assert not spool.is_empty()
                drain(1)
        drain(drains.pop())
    spool.end()
    while not spool.is_over():
        drain(1)
    assert b"".join(out) == b"".join(pieces)
    spool.close()
    spool.close()
    assert spools.usage() == (0, 0, 0)
    assert (address.memory, address.disk, address.files) == (0, 0, 0)


def test_a_spool_between_a_thread_and_the_loop() -> None:
    # The same with both sides at work, and nobody waiting for the other but by what the spool says.
    spools, address = Spools(10_000, 50_000, 100_000), ClientRecord(ADDRESS)
    pieces = content_of([random.Random(1).choice((1, 300, 9_000, 30_000)) for _ in range(600)])
    for _ in range(3):
        spool = Spool(spools, address)
        room = threading.Event()

        def produce(spool: Spool = spool, room: threading.Event = room) -> None:
            for piece in pieces:
                left = memoryview(piece)
                while left:
                    count = spool.put(left)
                    left = left[count:]
                    if not count:
                        room.clear()
                        while not spool.is_empty():
                            assert room.wait(LIMIT_S)
                            room.clear()
            spool.end()

        thread = threading.Thread(target=produce)
        thread.start()
        out = []
        while not spool.is_over():
            data = spool.take() or (spool.read() if spool.has_file_content() else b"")
            out.append(data)
            room.set()
        thread.join(LIMIT_S)
        spool.close()
        assert b"".join(out) == b"".join(pieces)
    assert spools.usage() == (0, 0, 0)


@pytest.mark.parametrize("size", [1, 100])
def test_small_pieces_are_joined_and_counted(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write to the disk for each byte would be what an endless generator of bytes keeps its thread busy with."""
    writes: list[int] = []

    def write(target: Any, data: memoryview, offset: int) -> int:
        writes.append(len(data))
        return os.pwrite(target.fileno(), data, offset)

    monkeypatch.setattr(spools_module, "_write_at", write)
    spools, address = Spools(2**20, 2**26, 2**30), ClientRecord(ADDRESS)
    spool = Spool(spools, address)
    piece = memoryview(b"x" * size)
    for _ in range(2):
        count = 0
        while spool.put(piece):
            count += 1
        assert PIECES <= count <= PIECES + 2**20 // 256
        got = 0
        while not spool.is_empty():
            got += len(spool.take() or spool.read())
        assert got == count * size
    assert len(writes) <= 2 * PIECES * size // STEP
    large = memoryview(bytes(STEP))
    count = 0
    while spool.put(large):
        count += 1
    assert count >= 2**26 // STEP  # the control: pieces of a size to be written go on until the file is full
    spool.close()
    assert spools.usage() == (0, 0, 0)


def test_an_address_gets_half_of_everything() -> None:
    spools = Spools(MEMORY, 10_000, 10_000)
    one, other = ClientRecord("one"), ClientRecord("other")
    assert spools.take_memory(one, MEMORY // 2)
    assert not spools.take_memory(one, 1)
    assert spools.take_memory(other, MEMORY // 2)
    assert spools.take_disk(one, 10_000) == 5_000
    assert spools.take_disk(one, 1) == 0
    assert spools.take_disk(other, 10_000) == 5_000
    files = [spools.open_file(one, None) for _ in range(FILES // 2)]
    assert spools.open_file(one, None) is None
    theirs = spools.open_file(other, None)
    assert theirs is not None
    spools.close_file(other, None, theirs)
    for file in files:
        assert file is not None
        spools.close_file(one, None, file)
    assert spools.usage()[2] == 0


def test_files_are_a_quarter_of_the_descriptors_where_those_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.wsgi.spools.most_files", lambda: 4)
    spools = Spools(MEMORY, 10_000, 10_000)
    one = ClientRecord("one")
    files = [spools.open_file(one, None) for _ in range(3)]
    assert [file is not None for file in files] == [True, True, False]
    for file in files[:2]:
        assert file is not None
        spools.close_file(one, None, file)


@pytest.mark.parametrize("what", ["files", "disk"])
def test_the_last_quarter_of_the_room_is_kept_for_connections_that_have_none(what: str) -> None:
    spools = Spools(MEMORY, 16_384, 16_384)
    one, other, third = ClientRecord("one"), ClientRecord("other"), ClientRecord("third")
    files: list[SpoolFile] = []

    def fill(address: ClientRecord, count: int, connection: Any) -> None:
        """Take `count` files, or as many parts in 128 of the disk that an address may have."""
        for _ in range(count if what == "files" else 1):
            files.append(SpoolFile(spools, address, connection))
            size = 1 if what == "files" else count * 64
            assert files[-1].write(memoryview(bytes(size)), 0) == size

    fill(one, 1, "a")
    fill(one, 94, "b")
    assert not spools.is_short(one)
    fill(one, 1, "b")
    assert spools.is_short(one)
    assert set(one.unread) == {"a", "b"}
    fill(other, 96, None)  # uploads
    assert other.unread == {}
    fill(third, 1, "c")
    assert not spools.is_short(third)  # one connection alone
    fill(third, 1, "d")
    assert spools.is_short(third)  # three quarters of what the process has are taken
    given: list[bool] = []
    spools.room_given = lambda: given.append(spools.is_short(one))
    files.pop(0).close()
    assert given == [False]
    while files:
        files.pop().close()
    assert one.unread == third.unread == {}
    assert spools.usage() == (0, 0, 0)


def test_a_file_that_a_thread_uses_is_closed_when_that_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its descriptor must not become another file's under the thread that writes.
    spools, address = Spools(0, 10_000, 10_000), ClientRecord(ADDRESS)
    file = SpoolFile(spools, address)
    assert file.write(memoryview(b"one"), 0) == 3
    descriptors: list[int] = []

    def write(target: Any, data: memoryview, offset: int) -> int:
        file.close()
        descriptors.append(target.fileno())
        return os.pwrite(target.fileno(), data, offset)

    monkeypatch.setattr(spools_module, "_write_at", write)
    assert file.write(memoryview(b"two"), 3) == 3
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptors[0])
    assert spools.usage() == (0, 0, 0)
    assert file.write(memoryview(b"three"), 6) == 0
    with pytest.raises(OSError, match="closed"):
        file.read(0, 3)


# -- the upload


@given(st.lists(SIZES, max_size=12), ROOM, ROOM, ROOM)
@tries(100)
def test_an_upload_gives_what_was_added(sizes: list[int], memory: int, size: int, total: int) -> None:
    spools, address = Spools(memory, size, total), ClientRecord(ADDRESS)
    pieces = content_of(sizes)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        upload = CollectedUpload(spools, address)
        left = list(pieces)
        while left and not upload.is_full:
            await upload.add(left.pop(0), loop)
        rest = iter(left)
        found = upload.reader((lambda: next((each for each in rest if each), b"")) if left else None)
        assert found.read() == b"".join(pieces)
        assert found.read() == b""
        upload.close()
        upload.close()

    asyncio.run(main())
    assert spools.usage() == (0, 0, 0)
    assert (address.memory, address.disk, address.files) == (0, 0, 0)


def test_the_length_is_known_of_what_was_gathered(run: Run) -> None:
    seen: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ.get("CONTENT_LENGTH"))
        lines: list[bytes] = environ["wsgi.input"].readlines()
        start_response("200 OK", [])
        return lines

    async def main() -> None:
        content = b"line\n" * 60_000
        async with serving(app, wsgi_spool_memory=1_000) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.post("/", content)).body == content
        settings: dict[str, Any] = {"wsgi_spool_memory": 1_000, "wsgi_spool_size": 50_000}
        async with serving(app, **settings) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.post("/", content)).body == content
            assert (await peer.post("/", b"")).body == b""

    run(main())
    assert seen == ["300000", None, "0"]


# -- what is left


def files_without_names() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return {each for each in found if each.endswith("(deleted)")}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks into /proc")
@pytest.mark.parametrize("end", ["read", "reset", "lost", "crash", "abort"])
def test_nothing_is_left_of_what_was_spooled(run: Run, end: str, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        result = site(environ, start_response)
        return crashing(iter(result)) if end == "crash" and environ["PATH_INFO"] == "/pieces" else result

    def crashing(pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            if sum(application_[0].spools.usage()) > 1_000_000:
                raise RuntimeError("boom")

    application_: list[Any] = []

    async def main() -> None:
        settings: dict[str, Any] = {"wsgi_spool_memory": 100_000, "wsgi_threads": 2}
        before = files_without_names()
        async with serving(app, **settings) as server, reader(server) as peer:
            application_.append(application(server))
            streams = [peer.open("/pieces") for _ in range(4)]
            uploads = [peer.open("/echo", "POST", end=False) for _ in range(2)]
            for stream_id in uploads:
                await peer.send(stream_id, CONTENT[:500_000])
            if end != "crash":
                await settled(lambda: application(server).spools.usage()[2] == 6)
                assert len(files_without_names() - before) == 6
            if end in ("read", "crash"):
                for stream_id in uploads:
                    await peer.send(stream_id, CONTENT[500_000:], end=True)
                let_go(peer, [*streams, *uploads] if end == "read" else uploads)
                for stream_id in streams:
                    answer = await peer.over(stream_id)
                    assert answer.body == CONTENT if end == "read" else answer.reset is not None
                for stream_id in uploads:
                    assert (await peer.over(stream_id)).body == CONTENT
            elif end == "reset":
                for stream_id in [*streams, *uploads]:
                    peer.reset(stream_id)
            elif end == "lost":
                peer.writer.transport.abort()
            else:
                server.abort()
                await server.wait_closed()
            await settled(lambda: unspooled(server))
            assert files_without_names() <= before
            assert application(server).threads.stats()["waiting"] == 0

    run(main())
    assert caplog.text.count("boom") in ((0,) if end != "crash" else (8, 12))


@pytest.mark.parametrize("failing", ["write", "open"])
def test_a_full_disk_makes_threads_wait_and_costs_no_request(
    run: Run, failing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spools_module, "_write_at" if failing == "write" else "TemporaryFile", refuse)
    site = Site()

    async def main() -> None:
        async with serving(site, wsgi_threads=4, wsgi_spool_memory=100_000) as server, reader(server) as peer:
            streams = [peer.open("/pieces"), peer.open("/list")]
            upload = peer.open("/echo", "POST", end=False)
            sending = asyncio.create_task(peer.send(upload, CONTENT, end=True))
            await settled(lambda: application(server).threads.stats()["waiting"] >= 2)
            await answered(server)
            let_go(peer, [*streams, upload])
            await sending
            for stream_id in (*streams, upload):
                answer = await peer.over(stream_id)
                assert (answer.status, answer.body == CONTENT) == (200, True)
            await settled(lambda: unspooled(server))

    run(main())
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert ["No space left on device" in record.getMessage() for record in warnings] == [True]


def test_a_disk_that_fails_when_it_is_read_costs_that_request_alone(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    site = Site()

    async def main() -> None:
        async with serving(site, wsgi_threads=2, wsgi_spool_memory=100_000) as server, reader(server) as peer:
            stream_id = peer.open("/pieces")
            upload = peer.open("/echo", "POST", end=False)
            await peer.send(upload, CONTENT[:500_000])
            await settled(lambda: application(server).spools.usage()[2] == 2)
            with monkeypatch.context() as patch:
                patch.setattr(spools_module, "_read_at", refuse)
                let_go(peer, [stream_id, upload])
                await peer.send(upload, CONTENT[500_000:], end=True)
                assert (await peer.over(stream_id)).reset is not None
                assert (await peer.over(upload)).status == 500
            await answered(server)
            assert (await peer.started(peer.open("/"))).status == 200
            await settled(lambda: unspooled(server))

    run(main())
    assert sum("Input/output error" in record.getMessage() for record in caplog.records) == 2


# -- the drain


def test_a_drain_lets_what_is_spooled_go_out(run: Run) -> None:
    site = Site()

    async def main() -> None:
        async with serving(site, wsgi_threads=2, wsgi_spool_memory=100_000) as server, reader(server) as peer:
            streams = [peer.open("/pieces") for _ in range(4)]
            await settled(lambda: site.seen == ["/pieces"] * 4)
            await settled(lambda: application(server).threads.stats()["running"] == 0)
            server.begin_drain()
            let_go(peer, streams)
            for stream_id in streams:
                assert (await peer.over(stream_id)).body == CONTENT
            await server.wait_closed()

    run(main())


# -- files


def test_what_is_no_plain_file_is_read_by_the_thread(run: Run, tmp_path: Path) -> None:
    # Its descriptor would give what is packed.
    content = os.urandom(300_000)
    with gzip.open(tmp_path / "packed", "wb") as packed:
        packed.write(content)
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "empty").write_bytes(b"")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        name = environ["PATH_INFO"][1:]
        file: Any = gzip.GzipFile(tmp_path / name) if name == "packed" else (tmp_path / name).open("rb")
        if environ["QUERY_STRING"]:
            file.seek(1_000)
        length = [("Content-Length", environ["HTTP_X_LENGTH"])] if "HTTP_X_LENGTH" in environ else []
        start_response("200 OK", length)
        files.append(file)
        return environ["wsgi.file_wrapper"](file)

    files: list[Any] = []

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/packed")).body == content
            assert (await peer.get("/file")).body == content
            assert (await peer.get("/file?seek")).body == content[1_000:]
            assert (await peer.get("/file", "GET", [("x-length", "200000")])).body == content[:200_000]
            assert (await peer.get("/file", "GET", [("x-length", "400000")])).status == 500
            head = await peer.get("/file", "HEAD")
            assert bytes(head.body) == b""
            assert head.header(b"content-length") == b"300000"
            assert (await peer.get("/empty")).body == b""
            await settled(lambda: live_handlers(server) == 0)
        assert all(file.closed for file in files)

    run(main())
