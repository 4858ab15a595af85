"""A response's content between the thread that makes it and the task that sends it.

What the client has not taken waits here, not in the thread: in memory up to a size, then in a temporary file up to
another. Content goes out in the order in which it came in: what is in memory is older than what is in the file, as
nothing goes into memory while the file has some.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from headrace.wsgi.spools import SpoolFile

if TYPE_CHECKING:
    from headrace.wsgi.addresses import Address
    from headrace.wsgi.spools import Spools

STEP: Final = 65_536
"""Bytes that pieces are joined to as they are given out, and that are taken when nothing waits and there is no room at
all, so that a response goes on without any spool."""
READ: Final = 131_072  # bytes of the file that are read at once
PIECE: Final = 256  # what a piece in memory costs beside its bytes


class Spool:
    """One a response that is not sent in one piece. One thread at a time puts content in, the task takes it out."""

    def __init__(self, spools: Spools, address: Address) -> None:
        self._spools = spools
        self._address = address
        self._lock = threading.Lock()
        self._pieces: deque[tuple[bytes, int]] = deque()
        """What is in memory, each with what was taken for it."""
        self._kept = 0
        """What was taken for them, and for those that were given out last."""
        self._given = 0
        """What was taken for those that were given out last: they count until the next are asked for."""
        self._file: SpoolFile | None = None
        self._written = 0
        self._read = 0
        """The file's bytes between `_read` and `_written` have not been given out."""
        self.is_ended = False
        """True once no more comes."""
        self._is_awaited = False
        """True while the task waits for content: it must be told."""
        self.is_closed = False
        """True once nothing more is taken, as nobody sends it."""

    # -- the thread's end --------------------------------------------------------------------------------------

    def put(self, data: memoryview) -> int:
        """Store as much as there is room for; returns how many bytes that is. May wait for the disk, never for the
        client. When nothing waits here, some of it always has room."""
        with self._lock:
            if self.is_closed:
                return 0
            if self._read == self._written:
                cost = len(data) + PIECE
                if self._take_memory(cost):
                    self._pieces.append((bytes(data), cost))
                    return len(data)
                self._read = self._written = 0  # all of it has gone out: from its beginning again
            start = self._written
            if self._file is None:
                self._file = SpoolFile(self._spools, self._address)
        count = self._file.write(data, start)
        with self._lock:
            self._written = start + count
            if not count and not self._pieces and self._read == self._written and not self.is_closed:
                count = min(len(data), STEP)
                self._pieces.append((bytes(data[:count]), 0))
        return count

    def keep(self, size: int) -> bool:
        """Take room in memory, until the spool is closed, for a response that goes out in one piece; False without."""
        with self._lock:
            return not self.is_closed and self._take_memory(size)

    def _take_memory(self, size: int) -> bool:
        if self._kept + size > self._spools.memory or not self._spools.take_memory(self._address, size):
            return False
        self._kept += size
        return True

    def end(self) -> None:
        """Say that no more comes."""
        self.is_ended = True

    def must_tell(self) -> bool:
        """Tell whether the task waits for what was put, or for the end; it is told once."""
        with self._lock:
            is_awaited, self._is_awaited = self._is_awaited, False
            return is_awaited

    # -- the task's end ----------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """Some content from memory; b"" when there is none there."""
        with self._lock:
            self._forget()
            if not self._pieces:
                return b""
            taken = [self._pieces.popleft()]
            size = len(taken[0][0])
            while self._pieces and size + len(self._pieces[0][0]) <= STEP:
                taken.append(self._pieces.popleft())
                size += len(taken[-1][0])
            self._given = sum(cost for _, cost in taken)
        return taken[0][0] if len(taken) == 1 else b"".join([data for data, _ in taken])

    def has_file_content(self) -> bool:
        """Tell whether what is next is in the file, where `read` gets it; nothing goes into memory before it has."""
        with self._lock:
            return not self._pieces and self._read < self._written

    def read(self) -> bytes:
        """Some content from the file. Blocks for the disk. Raises OSError."""
        file = self._file
        assert file is not None
        data = file.read(self._read, min(READ, self._written - self._read))
        with self._lock:
            self._read += len(data)
        return data

    def is_over(self) -> bool:
        """Tell whether everything has been given out, and no more comes."""
        with self._lock:
            return self.is_ended and not self._pieces and self._read == self._written

    def has_room(self) -> bool:
        """Tell whether everything has been given out, so that what comes now has room for certain."""
        with self._lock:
            return self._read == self._written and not self._pieces

    def await_content(self) -> bool:
        """False when there is content, or the end; else True: `must_tell` will say so when there is."""
        with self._lock:
            self._is_awaited = not self._pieces and self._read == self._written and not self.is_ended
            return self._is_awaited

    def close(self) -> None:
        """Forget everything, and give back all that it has. Idempotent."""
        with self._lock:
            self.is_closed = True
            self._pieces.clear()
            self._given = self._kept
            self._forget()
            file = self._file
        if file is not None:
            file.close()

    def _forget(self) -> None:
        if self._given:
            self._spools.give_memory(self._address, self._given)
            self._kept -= self._given
            self._given = 0
