"""stdin and stdout of a command where they are no pipe: files, closed descriptors, and descriptors that fail."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from headrace.cli.exits import WriteError
from headrace.cli.get.output import FileSink, StdoutSink
from headrace.cli.get.websocket import _lines
from headrace.cli.request_options import read_file
from headrace.cli.stdin import Stdin


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for each in ends:
        try:
            os.close(each)
        except OSError:
            pass  # the test has closed it


# -- stdin -----------------------------------------------------------------------------------------------------------


def test_all_of_a_file_is_read(tmp_path: Path) -> None:
    """epoll refuses files: they are always ready."""
    (tmp_path / "in").write_bytes(b"x" * 100_000)

    async def main(fd: int) -> list[int]:
        return [len(piece) async for piece in Stdin(fd).pieces()]

    with open(tmp_path / "in", "rb") as file:
        assert asyncio.run(main(file.fileno())) == [65_536, 34_464]


def test_a_pipe_is_read_as_it_fills(pipe: tuple[int, int]) -> None:
    async def main() -> None:
        stdin = Stdin(pipe[0])
        waiting = asyncio.ensure_future(stdin.read())
        await asyncio.sleep(0)
        os.write(pipe[1], b"one")
        assert await waiting == b"one"
        os.close(pipe[1])
        assert await stdin.read() == b""

    asyncio.run(main())


def test_a_descriptor_that_cannot_be_watched_is_an_error(pipe: tuple[int, int]) -> None:
    async def main() -> None:
        os.close(pipe[0])
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            await Stdin(pipe[0]).read()

    asyncio.run(main())


def test_a_line_of_a_mebibyte_is_cut(pipe: tuple[int, int]) -> None:
    pieces = [b"x" * 1_048_576, b"yz\r\nlast", b"", b""]

    class Fake(Stdin):
        async def read(self) -> bytes:
            return pieces.pop(0)

    async def main() -> list[int]:
        pieces[0] += b"x"
        return [len(line) async for line in _lines(Fake())]

    assert asyncio.run(main()) == [1_048_577, 2, 4]


def test_content_comes_from_stdin_or_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"of a file")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"of stdin\xff")))
    assert (read_file("-"), read_file(str(tmp_path / "in"))) == (b"of stdin\xff", b"of a file")


# -- stdout ----------------------------------------------------------------------------------------------------------


def test_stdout_that_was_closed_at_the_start_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdout__", None)
    with pytest.raises(WriteError, match="stdout: it is closed"):
        StdoutSink()


def test_a_descriptor_that_is_closed_is_one_line(pipe: tuple[int, int]) -> None:
    os.close(pipe[1])
    with pytest.raises(WriteError, match="stdout: bad file descriptor"):
        StdoutSink(pipe[1])


def fill(fd: int) -> int:
    os.set_blocking(fd, False)
    filled = 0
    try:
        while True:
            filled += os.write(fd, bytes(4_096))
    except BlockingIOError:
        return filled


def test_a_full_pipe_is_waited_for_by_the_event_loop(pipe: tuple[int, int]) -> None:
    async def main() -> None:
        filled = fill(pipe[1])
        writing = asyncio.ensure_future(StdoutSink(pipe[1]).write(b"content"))
        await asyncio.sleep(0)
        assert not writing.done()
        while filled > 0:
            filled -= len(os.read(pipe[0], filled))
        await writing
        assert os.read(pipe[0], 65_536) == b"content"

    asyncio.run(main())


@pytest.mark.parametrize(("number", "ends"), [(errno.EPERM, "written"), (errno.ENOMEM, "stdout: cannot allocate")])
def test_an_event_loop_that_cannot_watch_stdout(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, number: int, ends: str
) -> None:
    """epoll does not watch every descriptor; those that it refuses never block. Other errors are told."""

    async def main() -> None:
        def refuse(*_: Any) -> NoReturn:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(asyncio.get_running_loop(), "add_writer", refuse)
        sink = StdoutSink(pipe[1])
        ready = iter([False, True])
        monkeypatch.setattr(sink, "_is_writable", lambda: next(ready))
        await sink.write(b"content")

    if ends == "written":
        asyncio.run(main())
        assert os.read(pipe[0], 100) == b"content"
    else:
        with pytest.raises(WriteError, match=ends):
            asyncio.run(main())


def test_a_folder_is_no_file_to_write_to(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="is a directory"):
        FileSink(str(tmp_path)).close()


def test_a_full_disk_is_one_line() -> None:
    async def main() -> None:
        sink = FileSink("/dev/full")
        with pytest.raises(WriteError, match="/dev/full: no space left on device"):
            await sink.write(b"content")
        sink.close()
        sink.close()  # again: there is nothing left to close

    if Path("/dev/full").exists():
        asyncio.run(main())
