"""The file response over HTTP/2, in cleartext and under TLS: what is sent, how much memory it costs, how it ends.

What the kernel sends over cleartext HTTP/1.1 is in `test_sendfile.py`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.server.files.open_file import OpenFile
from headrace.server.files.response import CHUNK, FileResponse, guess_content_type
from headrace.server.handlers.request import Request

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled

INTERNAL_ERROR = 2
CONTENT = bytes(range(256)) * 2_000  # 512,000 bytes: several chunks, the last one not full


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "data.bin"
    found.write_bytes(CONTENT)
    return found


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def sending(make: Callable[[], FileResponse]) -> Callable[[Request], FileResponse]:
    return lambda request: make()


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, None),
        (0, 0),
        (0, 1),
        (0, CHUNK),
        (0, CHUNK + 1),
        (5, None),
        (len(CONTENT), None),
        (len(CONTENT) - 7, 7),
        (100_000, 300_000),
    ],
)
def test_a_part_of_a_file(path: Path, offset: int, length: int | None) -> None:
    expected = CONTENT[offset:] if length is None else CONTENT[offset : offset + length]

    async def main() -> None:
        app = sending(lambda: FileResponse(200, (), path, offset, length))
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            before = open_descriptors()
            answer = await peer.get("/")
            assert (answer.status, answer.ended) == (200, True)
            assert answer.body == expected
            assert answer.header(b"content-length") == b"%d" % len(expected)
            await settled(lambda: open_descriptors() == before)

    asyncio.run(main())


def test_head_gets_the_length_and_nothing_else(run: Run, path: Path) -> None:
    async def main() -> None:
        app = sending(lambda: FileResponse(200, (), path))
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/", "HEAD")
            assert (bytes(answer.body), answer.header(b"content-length")) == (b"", b"512000")

    run(main())


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_content_sends_none(path: Path, status: int) -> None:
    async def main() -> None:
        app = sending(lambda: FileResponse(status, (), path))
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/")
            assert (answer.status, bytes(answer.body), answer.ended) == (status, b"", True)

    asyncio.run(main())


def test_the_content_type_is_guessed_given_or_the_headers_have_it(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<p>")
    responses = {
        "/guessed": lambda: FileResponse(200, (), page),
        "/given": lambda: FileResponse(200, (), page, content_type="text/x-own"),
        "/header": lambda: FileResponse(200, {"Content-Type": "text/x-head", "Content-Length": "99"}, page),
        "/descriptor": lambda: FileResponse(200, (), os.open(page, os.O_RDONLY)),
    }

    async def main() -> None:
        async with (
            serving(lambda request: responses[request.path]()) as server,
            H2Peer.connected(port(server)) as peer,
        ):
            seen = {}
            for each in responses:
                answer = await peer.get(each)
                seen[each] = answer.header(b"content-type")
                assert (bytes(answer.body), answer.header(b"content-length")) == (b"<p>", b"3")
            assert seen == {
                "/guessed": b"text/html; charset=utf-8",
                "/given": b"text/x-own",
                "/header": b"text/x-head",
                "/descriptor": b"application/octet-stream",
            }

    run(main())


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("A.JS", "text/javascript; charset=utf-8"),
        ("x.tar.gz", "application/gzip"),
        ("font.woff2", "font/woff2"),
        ("image.svg", "image/svg+xml"),
        ("data.json", "application/json"),
        ("a?b;c.png", "image/png"),
        ("none", "application/octet-stream"),
        (".html", "application/octet-stream"),
    ],
)
def test_what_a_name_tells(name: str, content_type: str) -> None:
    assert guess_content_type(name) == content_type


def test_a_path_is_sent_again_and_a_descriptor_once(run: Run, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    by_path = FileResponse(200, (), path)
    by_descriptor = FileResponse(200, (), os.open(path, os.O_RDONLY))

    async def app(request: Request) -> FileResponse:
        return by_path if request.path == "/path" else by_descriptor

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            for _ in range(2):
                assert (await peer.get("/path")).body == CONTENT
            assert (await peer.get("/descriptor")).body == CONTENT
            assert (await peer.get("/descriptor")).status == 500

    run(main())
    assert "is closed" in caplog.text


def test_a_descriptor_that_is_not_sent_is_closed(path: Path) -> None:
    before = open_descriptors()
    FileResponse(200, (), os.open(path, os.O_RDONLY)).close()
    assert open_descriptors() == before
    FileResponse(200, (), os.open(path, os.O_RDONLY))
    assert open_descriptors() == before


def _folder(tmp_path: Path) -> Any:
    return tmp_path


def _pipe(tmp_path: Path) -> Any:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def _device(tmp_path: Path) -> Any:
    return "/dev/zero"


def _nothing(tmp_path: Path) -> Any:
    return tmp_path / "nothing"


def _nul(tmp_path: Path) -> Any:
    return "a\0b"


@pytest.mark.parametrize("make", [_folder, _pipe, _device, _nothing, _nul])
def test_what_is_no_regular_file_is_a_500(
    run: Run, tmp_path: Path, make: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    wrong = make(tmp_path)

    async def main() -> None:
        async with (
            serving(sending(lambda: FileResponse(200, (), wrong))) as server,
            H2Peer.connected(port(server)) as peer,
        ):
            before = open_descriptors()
            assert (await peer.get("/")).status == 500
            assert open_descriptors() == before

    run(main())
    (line,) = [each for each in caplog.records if each.name == "headrace.error"]
    assert "before its headers" in line.getMessage()


@pytest.mark.parametrize(("offset", "length"), [(len(CONTENT) + 1, None), (0, len(CONTENT) + 1), (1, len(CONTENT))])
def test_more_than_there_is_is_a_500(path: Path, offset: int, length: int | None) -> None:
    async def main() -> None:
        app = sending(lambda: FileResponse(200, (), path, offset, length))
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 500

    asyncio.run(main())


@pytest.mark.parametrize("change", ["cut", "grown"])
def test_a_file_that_changes_while_it_is_sent(
    run: Run, path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One that was cut is a reset, never a short success; what another grew by is not sent."""
    path.write_bytes(CONTENT * 4)
    size = len(CONTENT) * 4

    async def main() -> None:
        async with (
            serving(sending(lambda: FileResponse(200, (), path))) as server,
            H2Peer.connected(port(server), gives_credit=False) as peer,
        ):
            before = open_descriptors()
            stream_id = peer.open("/")
            answer = await peer.started(stream_id)
            await peer.until(lambda: len(answer.body) == 65_535)
            os.truncate(path, size // 2 if change == "cut" else size + 100_000)
            peer.conn.increment_flow_control_window(2**24)
            peer.conn.increment_flow_control_window(2**24, stream_id)
            peer.flush()
            await peer.over(stream_id)
            if change == "cut":
                assert (answer.reset, answer.ended) == (INTERNAL_ERROR, False)
                assert len(answer.body) <= size // 2
            else:
                assert (answer.ended, answer.body == CONTENT * 4) == (True, True)
            await settled(lambda: open_descriptors() == before)

    run(main())
    assert ("was cut short while it was sent" in caplog.text) == (change == "cut")


def test_the_file_is_closed_when_the_client_goes(run: Run, path: Path) -> None:
    path.write_bytes(CONTENT * 4)

    async def main() -> None:
        async with (
            serving(sending(lambda: FileResponse(200, (), path))) as server,
            H2Peer.connected(port(server), gives_credit=False) as peer,
        ):
            before = open_descriptors()
            stream_id = peer.open("/")
            answer = await peer.started(stream_id)
            await peer.until(lambda: len(answer.body) == 65_535)
            peer.reset(stream_id)
            await settled(lambda: live_handlers(server) == 0 and open_descriptors() == before)

    run(main())


def test_a_file_is_closed_by_the_thread_that_still_reads_from_it(path: Path) -> None:
    """Or the descriptor's number could be another file's by then."""
    reading, may_end = threading.Event(), threading.Event()

    class Slow(OpenFile):
        def _begin(self) -> None:
            super()._begin()
            if threading.current_thread() is not threading.main_thread():
                reading.set()
                may_end.wait()

    file = Slow(path)
    file.open()
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(file.read(0, 10)))
    thread.start()
    reading.wait()
    before = open_descriptors()
    file.close()
    assert open_descriptors() == before
    may_end.set()
    thread.join()
    assert (got, file.fd) == ([CONTENT[:10]], -1)
    assert open_descriptors() == before - 1
    file.close()
    with pytest.raises(OSError, match="is closed"):
        file.read(0, 1)
    with pytest.raises(OSError, match="is closed"):
        file.open()


@pytest.mark.parametrize(
    "options",
    [
        {"file": None},
        {"file": True},
        {"file": b"x"},
        {"file": -1},
        {"file": "x", "offset": -1},
        {"file": "x", "length": -1},
    ],
)
def test_what_makes_no_file_response(options: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=r"needs a file|not a descriptor|neither may be negative"):
        FileResponse(**options)
