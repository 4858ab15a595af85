"""Where a response goes: a file, or stdout, which may be a file, a pipe that is read slowly, or a person's terminal."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import stat
import sys
from typing import Final, Protocol

from headrace.cli.exits import WriteError

_PIPE_STEP: Final = 4_096  # octets that a pipe that can be written to takes without blocking (pipe(7), PIPE_BUF)


class Sink(Protocol):
    """Takes the octets of one response. Each method raises WriteError."""

    async def write(self, data: bytes) -> None:
        """Return when `data` is written."""

    def close(self) -> None:
        """All is written."""


class FileSink:
    """A file that is made when the first octet, or the end, has come; what it had before is lost."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    async def write(self, data: bytes) -> None:
        """See Sink. A disk is waited for: what comes meanwhile waits in its stream's window."""
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
    """A descriptor of somebody else's, such as stdout. It is never set to non-blocking, as others may share it; a pipe
    that is full is waited for by the event loop, so that timeouts, pings and Ctrl-C go on.

    With `refuses_binary` content with a NUL octet is refused: a terminal would take it for commands.
    """

    def __init__(self, fd: int = 1, *, refuses_binary: bool = False) -> None:
        self._fd = fd
        self._refuses_binary = refuses_binary
        if fd == 1 and sys.__stdout__ is None:  # it was closed when we came, and may be a socket of ours by now
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
            raise WriteError("") from None  # who reads has seen enough, and has nobody to be told
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
            if error.errno != errno.EPERM:  # what epoll does not watch is always ready
                raise
            return
        try:
            await writable
        finally:
            loop.remove_writer(self._fd)


class DiscardSink:
    """For responses whose content nobody wants."""

    async def write(self, data: bytes) -> None:
        """See Sink."""

    def close(self) -> None:
        """See Sink."""
