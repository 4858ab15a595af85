"""Reading stdin on the event loop, whatever it is: a terminal, a pipe, a file."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator
from typing import Final

_MOST: Final = 65_536


class Stdin:
    """The octets of a descriptor of somebody else's. It is not set to non-blocking, as stdout of the same terminal
    would be, too; and no thread reads it, as nobody could end that thread."""

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd

    async def read(self) -> bytes:
        """What there is, as soon as there is something; b"" at the end. Raises OSError."""
        if self._fd == 0 and sys.__stdin__ is None:  # it was closed when we came, and may be a socket of ours by now
            return b""
        await self._until_readable()
        return os.read(self._fd, _MOST)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Everything, as it comes."""
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
