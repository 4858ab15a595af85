"""Reading stdin on the event loop: a terminal, a pipe or a file."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator
from typing import Final

_MOST: Final = 65_536


class Stdin:
    """Reads a descriptor that others use, too. It stays blocking, because stdout may be the same terminal; and no
    thread reads it, because nothing could end that thread."""

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd

    async def read(self) -> bytes:
        """Return available bytes as soon as there are some; b"" at the end. Raises OSError."""
        if self._fd == 0 and sys.__stdin__ is None:  # closed before we started; it may be a socket of ours
            return b""
        await self._until_readable()
        return os.read(self._fd, _MOST)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield all bytes as they come."""
        while piece := await self.read():
            yield piece

    async def _until_readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()

        def on_readable() -> None:
            if not readable.done():
                readable.set_result(None)

        try:
            loop.add_reader(self._fd, on_readable)
        except OSError as error:
            if error.errno != errno.EPERM:  # files, which epoll does not watch, are always ready
                raise
            return
        try:
            await readable
        finally:
            loop.remove_reader(self._fd)
