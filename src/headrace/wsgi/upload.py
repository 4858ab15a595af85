"""A request's content on its way to the application: collected before a thread is taken, as far as there is room.

It is collected in memory up to a size, then in a temporary file up to another. Content beyond that goes to the thread
as the client sends it; so does all content of a client that waits for 100 (Continue) while less than half of the
threads run, because the application may not want it. Otherwise such a client gets 100, and its content is collected.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from headrace.server.errors import ClientDisconnected
from headrace.wsgi.files import content_reader
from headrace.wsgi.spools import SpoolFile

if TYPE_CHECKING:
    import asyncio

    from headrace.wsgi.addresses import ClientRecord
    from headrace.wsgi.spools import Spools

STEP: Final = 65_536  # bytes that are gathered in memory, once there is a file, before they are written to it
CRUMBS: Final = 4_096  # bytes that are gathered in memory when there is no more room
READ: Final = 262_144  # bytes of the file that a thread reads at once


class CollectedUpload:
    """The content of one request. `add` is for the task, `reader` for the thread, once the task adds no more."""

    def __init__(self, spools: Spools, address: ClientRecord) -> None:
        self._spools = spools
        self._address = address
        self._tail = bytearray()
        """Content after the file's."""
        self._taken = 0
        """Room taken in memory."""
        self._file: SpoolFile | None = None
        self._written = 0
        self._read = 0
        self._is_closed = False
        self.size: int = 0
        """Number of collected bytes."""
        self.is_full: bool = False
        """True once there is no more room: the thread must read the rest."""

    async def add(self, data: bytes, loop: asyncio.AbstractEventLoop) -> None:
        """Take all of `data`; check `is_full` afterwards. May wait for the disk."""
        self._tail += data
        self.size += len(data)
        room = self._spools.memory if self._file is None else STEP
        if len(self._tail) > CRUMBS:
            cost = len(self._tail) - self._taken
            if cost > 0 and self._spools.take_memory(self._address, cost):
                self._taken += cost
            elif cost > 0:
                room = CRUMBS
        if len(self._tail) <= room:
            return
        if self._file is None:
            self._file = SpoolFile(self._spools, self._address)
        tail = bytes(self._tail)
        count = await loop.run_in_executor(None, self._file.write, memoryview(tail), self._written)
        self._written += count
        del self._tail[:count]
        if self._tail:
            self.is_full = True
        else:
            self._give_memory()

    def reader(self, fetch: Callable[[], bytes] | None) -> io.BytesIO | io.BufferedReader:
        """Return a `wsgi.input` of the collected content, followed by that of `fetch` unless it is None."""
        if self._written == 0 and fetch is None:
            tail, self._tail = self._tail, bytearray()
            return io.BytesIO(tail)

        def next_piece() -> bytes:
            if self._read < self._written:
                assert self._file is not None
                try:
                    data = self._file.read(self._read, min(READ, self._written - self._read))
                except OSError:
                    if self._is_closed:
                        raise ClientDisconnected("the server has given the request up") from None
                    raise
                self._read += len(data)
                return data
            if self._tail:
                data, self._tail = bytes(self._tail), bytearray()
                return data
            return b"" if fetch is None else fetch()

        return content_reader(next_piece)

    def close(self) -> None:
        """Release all room. Idempotent."""
        self._is_closed = True
        self._give_memory()
        if self._file is not None:
            self._file.close()

    def _give_memory(self) -> None:
        if self._taken:
            taken, self._taken = self._taken, 0
            self._spools.give_memory(self._address, taken)
