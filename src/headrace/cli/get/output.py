"""Writes a response to a file, or to stdout, which may be a file, a slow pipe, or a person's terminal."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import stat
import sys
from typing import Final, Protocol

from headrace.cli.exits import WriteError

_PIPE_STEP: Final = 4_096  # bytes that a writable pipe takes without blocking (pipe(7), PIPE_BUF)


class Sink(Protocol):
    """Takes the bytes of one response. Each method raises WriteError."""

    async def write(self, data: bytes) -> None:
        """Write `data`. Return when it is written."""

    def close(self) -> None:
        """End the output."""


class FileSink:
    """A file that is made when the first byte or the end arrives; its old content is lost."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    async def write(self, data: bytes) -> None:
        """See Sink. It blocks for the disk; meanwhile the content waits in its stream's window."""
        try:
            self._open()
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise self._error(error) from None

    def close(self) -> None:
        """See Sink."""
        try:
            self._open()
            fd, self._fd = self._fd, -2
            if fd >= 0:
                os.close(fd)
        except OSError as error:
            raise self._error(error) from None

    def _open(self) -> None:
        if self._fd == -1:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)

    def _error(self, error: OSError) -> WriteError:
        return WriteError(f"{self._path}: {(error.strerror or str(error)).lower()}")


class StdoutSink:
    """A shared descriptor, such as stdout. It is never set to non-blocking, because others may share it. The event loop
    waits for a full pipe, so that timeouts, pings and Ctrl-C work meanwhile.

    With `refuses_binary`, content with a NUL byte is refused: a terminal would read it as commands.
    """

    def __init__(self, fd: int = 1, *, refuses_binary: bool = False) -> None:
        self._fd = fd
        self._refuses_binary = refuses_binary
        if fd == 1 and sys.__stdout__ is None:  # stdout was closed at the start, so 1 may be a socket of ours by now
            raise WriteError("stdout: it is closed")
        try:
            self._may_block = not stat.S_ISREG(os.fstat(fd).st_mode)
        except OSError as error:
            raise WriteError(f"stdout: {(error.strerror or str(error)).lower()}") from None
        self._poll: select.poll | None = None

    async def write(self, data: bytes) -> None:
        """See Sink."""
        if self._refuses_binary and b"\0" in data:
            raise WriteError(
                "this is binary content, which would confuse your terminal; use -o FILE, or -o - to show it"
            )
        try:
            view = memoryview(data)
            while view:
                if self._may_block and not self._is_writable():
                    await self._until_writable()
                view = view[os.write(self._fd, view[:_PIPE_STEP] if self._may_block else view) :]
        except BrokenPipeError:
            raise WriteError("") from None  # the reader has seen enough; there is no error to show
        except OSError as error:
            raise WriteError(f"stdout: {(error.strerror or str(error)).lower()}") from None

    def close(self) -> None:
        """See Sink; the descriptor stays open."""

    def _is_writable(self) -> bool:
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._fd, select.POLLOUT)
        return bool(self._poll.poll(0))

    async def _until_writable(self) -> None:
        loop = asyncio.get_running_loop()
        writable: asyncio.Future[None] = loop.create_future()

        def on_writable() -> None:
            if not writable.done():
                writable.set_result(None)

        try:
            loop.add_writer(self._fd, on_writable)
        except OSError as error:
            if error.errno != errno.EPERM:  # a descriptor that epoll cannot watch is always ready
                raise
            return
        try:
            await writable
        finally:
            loop.remove_writer(self._fd)
