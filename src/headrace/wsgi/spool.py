"""A response's content between the thread that makes it and the task that sends it.

Content that the client has not taken waits here, not in the thread: in memory up to a size, then in a temporary file up
to another. Content leaves in order of arrival: content in memory is older than content in the file, because nothing
goes into memory while the file has some. Small pieces are joined on their way to the file.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from headrace.wsgi.spools import SpoolFile

if TYPE_CHECKING:
    from collections.abc import Hashable

    from headrace.wsgi.addresses import ClientRecord
    from headrace.wsgi.spools import Spools

STEP: Final = 65_536
"""Size to which pieces are joined when they are taken out, and that is accepted when nothing waits and there is no room
at all, so that a response continues without any spool."""
READ: Final = 131_072  # bytes of the file that are read at once
PIECE: Final = 256  # bytes that a piece in memory costs besides its content
PIECES: Final = 16_384
"""Number of pieces that a file accepts until it is empty: an application that makes endless small pieces soon waits for
its client, and does not compute until the file is full. Pieces of 4 KiB fill `wsgi_spool_size` before."""


class Spool:
    """One a response that is not sent in one piece. One thread at a time puts content in, the task takes it out."""

    def __init__(self, spools: Spools, address: ClientRecord, connection: Hashable | None = None) -> None:
        self._spools = spools
        self._address = address
        self._connection = connection
        self._lock = threading.Lock()
        self._pieces: deque[tuple[bytes, int]] = deque()
        """Pieces in memory, each with the room taken for it."""
        self._kept = 0
        """Room taken for them, and for those that were taken out last."""
        self._given = 0
        """Room taken for those that were taken out last: they count until the next are requested."""
        self._file: SpoolFile | None = None
        self._written = 0
        self._read = 0
        """The file's bytes between `_read` and `_written` have not been given out."""
        self._tail = bytearray()
        """Content after the file's, until there is enough of it to be written."""
        self._tail_room = 0
        """Room taken for that, until the spool is closed."""
        self._filed = 0
        """Pieces that went to the file, or to the tail, since the spool was last empty."""
        self.is_ended: bool = False
        """True once the content is complete."""
        self._is_awaited = False
        """True while the task waits for content and must be notified."""
        self.is_closed: bool = False
        """True once no more content is accepted, because it will not be sent."""

    # -- the thread's end --------------------------------------------------------------------------------------

    def put(self, data: memoryview) -> int:
        """Store as much as there is room for, and return the number of bytes. May wait for the disk, never for the
        client. When nothing waits here, some of it always fits."""
        with self._lock:
            if self.is_closed:
                return 0
            if self._read == self._written and not self._tail:
                self._filed = 0
                cost = len(data) + PIECE
                if self._take_memory(cost, self._spools.memory - self._join):
                    self._pieces.append((bytes(data), cost))
                    return len(data)
                self._read = self._written = 0  # all of it has gone out: from its beginning again
                if not self._tail_room and self._take_memory(self._join, self._spools.memory):
                    self._tail_room = self._join
            if self._filed >= PIECES:
                return 0
            self._filed += 1
            if len(self._tail) + len(data) <= self._tail_room:
                self._tail += data
                return len(data)
            tail, self._tail = self._tail, bytearray()  # the task finds nothing there meanwhile, and waits
        if tail:
            written = self._write(memoryview(tail))
            if written < len(tail):
                with self._lock:
                    self._tail = tail[written:]
                return 0
            if len(data) <= self._tail_room:
                with self._lock:
                    self._tail += data
                return len(data)
        count = self._write(data)
        with self._lock:
            if not count and not self._pieces and self._read == self._written and not self.is_closed:
                count = min(len(data), STEP)
                self._pieces.append((bytes(data[:count]), 0))
        return count

    def _write(self, data: memoryview) -> int:
        """Write to the file, without the lock, as much as there is room for, and return the number of bytes."""
        with self._lock:
            if self._file is None:
                self._file = SpoolFile(self._spools, self._address, self._connection)
            start = self._written
        count = self._file.write(data, start)
        with self._lock:
            self._written = start + count
        return count

    @property
    def _join(self) -> int:
        """Bytes that small pieces are joined to before they are written."""
        return min(STEP, self._spools.memory // 2)

    @property
    def is_filed(self) -> bool:
        """True while the client is so far behind that new content goes to the file."""
        return self._filed > 0

    def keep(self, size: int) -> bool:
        """Take room in memory, until the spool is closed, for a response that goes out in one piece; False without."""
        with self._lock:
            return not self.is_closed and self._take_memory(size, self._spools.memory)

    def _take_memory(self, size: int, limit: int) -> bool:
        if self._kept + size > limit or not self._spools.take_memory(self._address, size):
            return False
        self._kept += size
        return True

    def end(self) -> None:
        """Mark the content as complete."""
        self.is_ended = True

    def must_notify(self) -> bool:
        """Return whether the task waits for content or for the end, and must be notified; True only once."""
        with self._lock:
            is_awaited, self._is_awaited = self._is_awaited, False
            return is_awaited

    # -- the task's end ----------------------------------------------------------------------------------------

    def take(self) -> bytes:
        """Return some content from memory; b"" when there is none there."""
        with self._lock:
            self._forget()
            if not self._pieces:
                if self._read < self._written:
                    return b""
                tail, self._tail = self._tail, bytearray()
                return bytes(tail)
            taken = [self._pieces.popleft()]
            size = len(taken[0][0])
            while self._pieces and size + len(self._pieces[0][0]) <= STEP:
                taken.append(self._pieces.popleft())
                size += len(taken[-1][0])
            self._given = sum(cost for _, cost in taken)
        return taken[0][0] if len(taken) == 1 else b"".join([data for data, _ in taken])

    def has_file_content(self) -> bool:
        """Return whether the next content is in the file, where `read` gets it; nothing goes into memory before
        that."""
        with self._lock:
            return not self._pieces and self._read < self._written

    def read(self) -> bytes:
        """Return some content from the file. Blocks for the disk. Raises OSError."""
        file = self._file
        assert file is not None
        data = file.read(self._read, min(READ, self._written - self._read))
        with self._lock:
            self._read += len(data)
        return data

    def is_over(self) -> bool:
        """Return whether all content has been taken out, and it is complete."""
        with self._lock:
            return self.is_ended and self._is_empty()

    def is_empty(self) -> bool:
        """Return whether all content has been taken out. Only then is there certainly room."""
        with self._lock:
            return self._is_empty()

    def await_content(self) -> bool:
        """Return False when there is content, or the end; otherwise True, and `must_notify` returns True when there
        is."""
        with self._lock:
            self._is_awaited = self._is_empty() and not self.is_ended
            return self._is_awaited

    def close(self) -> None:
        """Discard the content, and release all room. Idempotent."""
        with self._lock:
            self.is_closed = True
            self._pieces.clear()
            self._tail.clear()
            self._tail_room = 0
            self._given = self._kept
            self._forget()
            file = self._file
        if file is not None:
            file.close()

    def _is_empty(self) -> bool:
        return not self._pieces and self._read == self._written and not self._tail

    def _forget(self) -> None:
        if self._given:
            self._spools.give_memory(self._address, self._given)
            self._kept -= self._given
            self._given = 0
