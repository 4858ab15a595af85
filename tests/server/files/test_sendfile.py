"""Files by the kernel: cleartext HTTP/1.1, seen from a socket and by strace; and constant memory on every way out."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.server.files.response import SMALL, FileResponse
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response

from tests.conftest import ROOT, need
from tests.support.process import Served
from tests.support.process import serving as process_serving
from tests.support.serving import Run, live_handlers, port, serving, settled

CONTENT = bytes(range(256)) * 4_000  # 1,024,000 bytes
LIMIT_S = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "data.bin"
    found.write_bytes(CONTENT)
    return found


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each call of sendfile sent."""
    calls: list[int] = []
    real = os.sendfile

    def counted(out_fd: int, in_fd: int, offset: int, count: int) -> int:
        result = real(out_fd, in_fd, offset, count)
        calls.append(result)
        return result

    monkeypatch.setattr(os, "sendfile", counted)
    return calls


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def handler_of(path: Path) -> Callable[[Request], Response | FileResponse]:
    def handler(request: Request) -> Response | FileResponse:
        if request.path == "/small":
            return Response.text("small")
        start, _, end = request.query_string.decode().partition("-")
        offset = int(start or 0)
        return FileResponse(200, (), path, offset, int(end) - offset if end else None)

    return handler


class Visitor:
    """A client of HTTP/1.1 that reads by content-length, and as slowly as it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, number: int, **options: int) -> Visitor:
        return cls(*await asyncio.open_connection("127.0.0.1", number, **options))

    def ask(self, target: str, method: str = "GET") -> None:
        self.writer.write(f"{method} {target} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(LIMIT_S):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), fields

    async def answer(self) -> bytes:
        status, fields = await self.head()
        assert status == 200
        async with asyncio.timeout(LIMIT_S):
            return await self.reader.readexactly(int(fields["content-length"]))

    async def close(self, *, rudely: bool = False) -> None:
        if rudely:
            self.writer.transport.abort()
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            pass


def test_the_kernel_sends_and_the_connection_goes_on(run: Run, path: Path, sent: list[int]) -> None:
    async def main() -> None:
        async with serving(handler_of(path)) as server:
            visitor = await Visitor.to(port(server))
            before = open_descriptors()
            for target, expected in [("/", CONTENT), ("/?5", CONTENT[5:]), ("/?100-900000", CONTENT[100:900_000])]:
                sent.clear()
                visitor.ask(target)
                assert await visitor.answer() == expected
                assert sum(sent) == len(expected)
                visitor.ask("/small")
                assert await visitor.answer() == b"small"
            assert open_descriptors() == before
            await visitor.close()

    run(main())


def test_pipelined_requests_are_answered_in_order(run: Run, path: Path, sent: list[int]) -> None:
    """What was written before must be out before the kernel begins, and what comes after waits for its end."""

    async def main() -> None:
        async with serving(handler_of(path)) as server:
            visitor = await Visitor.to(port(server))
            for target in ("/small", "/", "/small", "/?1000", "/", "/small"):
                visitor.ask(target)
            expected = [b"small", CONTENT, b"small", CONTENT[1000:], CONTENT, b"small"]
            assert [await visitor.answer() for _ in expected] == expected
            assert sum(sent) == 3 * len(CONTENT) - 1000
            await visitor.close()

    run(main())


def test_behind_a_body_that_the_client_has_not_read(run: Run, path: Path, sent: list[int]) -> None:
    body = bytes(3_000_000)

    def handler(request: Request) -> Response | FileResponse:
        return Response(200, (), body) if request.path == "/body" else FileResponse(200, (), path)

    async def main() -> None:
        async with serving(handler) as server:
            visitor = await Visitor.to(port(server), limit=4096)
            visitor.ask("/body")
            visitor.ask("/file")
            assert await visitor.answer() == body
            assert await visitor.answer() == CONTENT
            assert sum(sent) == len(CONTENT)
            await visitor.close()

    run(main())


@pytest.mark.parametrize("target", ["/", f"/?0-{SMALL}"], ids=["large", "small"])
def test_head_sends_no_content(run: Run, path: Path, sent: list[int], target: str) -> None:
    async def main() -> None:
        async with serving(handler_of(path)) as server:
            visitor = await Visitor.to(port(server))
            visitor.ask(target, "HEAD")
            status, fields = await visitor.head()
            assert (status, fields["content-length"]) == (200, str(SMALL if "-" in target else len(CONTENT)))
            visitor.ask("/small")
            assert await visitor.answer() == b"small"
            assert not sent
            await visitor.close()

    run(main())


def test_a_small_file_is_read_and_sent_at_once(run: Run, path: Path, sent: list[int]) -> None:
    async def main() -> None:
        async with serving(handler_of(path)) as server:
            visitor = await Visitor.to(port(server))
            visitor.ask(f"/?7-{7 + SMALL}")
            assert await visitor.answer() == CONTENT[7 : 7 + SMALL]
            assert not sent
            await visitor.close()

    run(main())


def test_a_file_that_the_kernel_cannot_send_is_read_instead(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(out_fd: int, in_fd: int, offset: int, count: int) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "sendfile", refuse)

    async def main() -> None:
        async with serving(handler_of(path)) as server:
            visitor = await Visitor.to(port(server))
            visitor.ask("/")
            assert await visitor.answer() == CONTENT
            await visitor.close()

    run(main())


def test_pathsend_of_asgi_is_the_kernels_too(run: Run, path: Path, sent: list[int]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": str(path)})

    async def main() -> None:
        async with serving(app, lifespan="off") as server:
            visitor = await Visitor.to(port(server))
            for _ in range(2):
                visitor.ask("/")
                assert await visitor.answer() == CONTENT
            assert sum(sent) == 2 * len(CONTENT)
            await visitor.close()

    run(main())


async def stuck(number: int, target: str = "/") -> Visitor:
    """A client that reads the headers, and has no room for what follows."""
    visitor = await Visitor.to(number, limit=1024)
    visitor.ask(target)
    await visitor.head()
    return visitor


@pytest.mark.parametrize("change", ["cut", "grown"])
def test_a_file_that_changes_while_it_is_sent(
    run: Run, path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut short, the connection ends before the length is reached; grown, the length is what it was."""
    size = 64 * 1024 * 1024  # more than the buffers of a loopback connection hold
    os.truncate(path, size)

    async def main() -> None:
        async with serving(handler_of(path)) as server:
            visitor = await stuck(port(server))
            before = open_descriptors()
            os.truncate(path, 1024 * 1024 if change == "cut" else size + 1000)
            got = 0
            while data := await asyncio.wait_for(visitor.reader.read(1_000_000), LIMIT_S):
                got += len(data)
                if got == size:
                    break
            if change == "cut":
                assert got < size
                await settled(lambda: live_handlers(server) == 0)
            else:
                visitor.ask("/small")
                assert await visitor.answer() == b"small"
            assert open_descriptors() < before
            await visitor.close()

    run(main())
    assert ("was cut short while it was sent" in caplog.text) == (change == "cut")


@pytest.mark.parametrize("end", ["client leaves", "drain", "cancel"])
def test_everything_is_closed_when_it_ends_early(run: Run, path: Path, end: str) -> None:
    os.truncate(path, 64 * 1024 * 1024)

    async def main() -> None:
        async with serving(handler_of(path), limits={"drain_timeout_s": 0.1}) as server:
            await (await stuck(port(server), "/?0-1")).close()  # the event loop opens things for itself, too
            await settled(lambda: server.service is not None and not server.service.drivers)
            before = open_descriptors()
            visitor = await stuck(port(server))
            assert live_handlers(server) == 1
            if end == "client leaves":
                await visitor.close(rudely=True)
            elif end == "drain":
                server.begin_drain()
            else:
                assert server.service is not None
                for driver in list(server.service.drivers):
                    driver.cancel_workers()
            await settled(lambda: live_handlers(server) == 0)
            await visitor.close(rudely=True)
            # The listening sockets are closed by a drain, too.
            await settled(lambda: open_descriptors() <= before)

    run(main())


def test_a_client_that_takes_nothing_is_given_up(run: Run, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Slow read: the limit stalled_send_timeout_s holds although the kernel sends."""
    os.truncate(path, 64 * 1024 * 1024)

    async def main() -> None:
        async with serving(handler_of(path), limits={"stalled_send_timeout_s": 0.2}) as server:
            visitor = await stuck(port(server))
            await settled(lambda: live_handlers(server) == 0)
            await visitor.close()

    run(main())
    assert "stalled_send_timeout_s" in caplog.text


GIGABYTE = 1 << 30
WAYS = {
    "h1": ("http", "--http1.1"),
    "h2": ("http", "--http2-prior-knowledge"),
    "h1-tls": ("https", "--http1.1"),
    "h2-tls": ("https", "--http2"),
}
ROOM = 24 * 1024 * 1024


@pytest.fixture
def gigabyte(tmp_path: Path) -> Path:
    found = tmp_path / "gigabyte"
    with found.open("wb") as file:
        file.truncate(GIGABYTE)  # no blocks on the disk
    return found


def curl(served: Served, way: str, target: str, *options: str) -> str:
    scheme, flag = WAYS[way]
    command = [need("curl"), "-sSk", flag, *options, served.url(target, scheme)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.slow
@pytest.mark.tool
@pytest.mark.parametrize("way", WAYS)
def test_a_gigabyte_in_constant_memory(gigabyte: Path, way: str) -> None:
    """A gigabyte of zeros has no blocks on the disk, so what is measured is the server."""
    with process_serving("tests.server.files.file_app:handler", tls=way.endswith("tls")) as served:
        curl(served, way, f"/?{ROOT}/pyproject.toml")
        before = int(curl(served, way, "/peak"))
        size = curl(served, way, f"/?{gigabyte}", "-o", "/dev/null", "-w", "%{size_download}")
        assert int(size) == GIGABYTE
        grown = int(curl(served, way, "/peak")) - before
        assert grown < ROOM


@pytest.mark.tool
def test_strace_sees_the_kernel_send(gigabyte: Path, tmp_path: Path) -> None:
    """There is sendfile for the content, and no read of the file."""
    os.truncate(gigabyte, 50_000_000)
    trace = tmp_path / "trace"
    with process_serving("tests.server.files.file_app:handler") as served:
        strace = [need("strace"), "-f", "-e", "trace=sendfile,pread64", "-o", str(trace), "-p", str(served.process.pid)]
        with subprocess.Popen(strace, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            line = tracer.stderr.readline()
            if "attached" not in line:
                pytest.skip(f"strace may not look at a process here: {line}")
            try:
                size = curl(served, "h1", f"/?{gigabyte}", "-o", "/dev/null", "-w", "%{size_download}")
            finally:
                tracer.terminate()
                tracer.communicate()
    assert int(size) == 50_000_000
    text = trace.read_text()
    assert sum(int(count) for count in re.findall(r"sendfile\(.* = (\d+)$", text, re.MULTILINE)) == 50_000_000
    assert "pread64" not in text
