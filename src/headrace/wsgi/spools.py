"""The resources that the spools of a process share: room in memory, room on disk, and descriptors.

One client address gets at most half of each, so that there is always some for the others. The last part of the room in
files is for responses of connections that have none there: see `is_short`. A request without room waits in its thread,
as it would without spools.
"""

from __future__ import annotations

import os
import threading
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO, Final

from headrace.server.files.places import most_files
from headrace.transport.log import Seldom, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from headrace.wsgi.addresses import ClientRecord

MEMORY: Final = 33_554_432
"""Bytes that all spools of the process keep in memory: as much again as the engine's buffers of five connections."""
FILES: Final = 256
"""Temporary files of the process: a quarter of the descriptors that a process commonly has, or of those it has."""

RESERVED: Final = 4
"""One part in so many of the room in files, and of an address's half of it, is for connections that have none yet. With
more, users who share a proxy's connections would wait sooner; less would be gone after some 20 connections."""

error_log: Final = get_logger("headrace.error")


class Spools:
    """Gives out room, and takes it back. Used by threads and by the event loop."""

    def __init__(self, memory: int, size: int, total: int) -> None:
        self.memory = memory
        """Bytes of one request, or of one response, in memory."""
        self.size = size
        """The same in its temporary file."""
        self.total = total
        """Bytes in all temporary files."""
        self._lock = threading.Lock()
        self._memory_used = 0
        self._disk_used = 0
        self._files_used = 0
        self._full = Seldom()
        self.room_given: Callable[[], object] = bool
        """Called by the thread that has released room in files."""

    @property
    def is_used(self) -> bool:
        """Whether anything is spooled at all."""
        return bool(self.memory or self.size)

    def usage(self) -> tuple[int, int, int]:
        """Return bytes in memory, bytes in files, and the number of files."""
        return self._memory_used, self._disk_used, self._files_used

    def is_short(self, address: ClientRecord) -> bool:
        """Return whether only the room in files is left for `address` that is for connections without a response there.

        Those that have one start no further request then: what that makes would soon wait for room, in its thread. It
        is never short where a single connection has responses in files, as a hundred of them are fewer than `FILES`.
        """
        if len(address.unread) < 2:
            return False
        most = min(FILES, most_files())
        with self._lock:
            return (
                self._files_used >= most - most // RESERVED
                or address.files >= most // 2 - most // 2 // RESERVED
                or self._disk_used >= self.total - self.total // RESERVED
                or address.disk >= self.total // 2 - self.total // 2 // RESERVED
            )

    def take_memory(self, address: ClientRecord, size: int) -> bool:
        """Take room for `size` bytes; return False when there is none. Give it back with `give_memory`."""
        with self._lock:
            if self._memory_used + size > MEMORY or address.memory + size > MEMORY // 2:
                return False
            self._memory_used += size
            address.memory += size
        return True

    def give_memory(self, address: ClientRecord, size: int) -> None:
        with self._lock:
            self._memory_used -= size
            address.memory -= size

    def take_disk(self, address: ClientRecord, size: int) -> int:
        """Take room for up to `size` bytes in files, and return the number of bytes. Give it back with `give_disk`."""
        with self._lock:
            size = max(0, min(size, self.total - self._disk_used, self.total // 2 - address.disk))
            self._disk_used += size
            address.disk += size
        return size

    def give_disk(self, address: ClientRecord, size: int) -> None:
        with self._lock:
            self._disk_used -= size
            address.disk -= size

    def open_file(self, address: ClientRecord, connection: Hashable | None) -> BinaryIO | None:
        """Return a temporary file without a name, gone with its descriptor; None when the limit is reached. Raises
        OSError.

        `connection` is that of a response, None for an upload.
        """
        with self._lock:
            most = min(FILES, most_files())
            if self._files_used >= most or address.files >= most // 2:
                return None
            self._count(address, connection, 1)
        try:
            return TemporaryFile(prefix="headrace-", buffering=0)
        except BaseException:
            self._give_file(address, connection)
            raise

    def close_file(self, address: ClientRecord, connection: Hashable | None, file: BinaryIO) -> None:
        """Close a file of `open_file`."""
        file.close()
        self._give_file(address, connection)

    def _give_file(self, address: ClientRecord, connection: Hashable | None) -> None:
        with self._lock:
            self._count(address, connection, -1)

    def _count(self, address: ClientRecord, connection: Hashable | None, change: int) -> None:
        self._files_used += change
        address.files += change
        if connection is not None:
            count = address.unread.get(connection, 0) + change
            if count:
                address.unread[connection] = count
            else:
                del address.unread[connection]

    def failed(self, error: OSError) -> None:
        """Log, now and then, that there is no room for temporary files and threads wait instead."""
        if self._full.is_due():
            error_log.warning("temporary files cannot be written (%s): threads wait for slow clients instead", error)


class SpoolFile:
    """A temporary file of one request or response: written and read at offsets, by threads, one of each at most.

    It is made with the first byte. `close` does not wait: a file that a thread uses is closed when that is done, so
    that its descriptor cannot become another file's under it.
    """

    def __init__(self, spools: Spools, address: ClientRecord, connection: Hashable | None = None) -> None:
        """`connection` is that of a response, None for an upload."""
        self._spools = spools
        self._address = address
        self._connection = connection
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()
        self._users = 0
        self._is_closed = False
        self._taken = 0
        """Bytes on disk that are taken for it."""
        self.is_broken: bool = False
        """True once a write has failed: nothing more goes into it."""

    def write(self, data: memoryview, offset: int) -> int:
        """Write at `offset`, within `Spools.size`, and return the number of bytes written, less than all when there is
        no more room.

        Raises nothing: a file that cannot be made or written has no room.
        """
        if self.is_broken or not self._begin():
            return 0
        count = 0
        try:
            size = max(0, min(len(data), self._spools.size - offset))
            if offset + size > self._taken:
                self._taken += self._spools.take_disk(self._address, offset + size - self._taken)
                size = max(0, min(size, self._taken - offset))
            if size and self._file is None:
                self._file = self._spools.open_file(self._address, self._connection)
            if self._file is not None:
                while count < size:
                    count += _write_at(self._file, data[count:size], offset + count)
        except OSError as error:
            self.is_broken = True
            self._spools.failed(error)
        finally:
            self._end()
        return count

    def read(self, offset: int, size: int) -> bytes:
        """Read up to `size` bytes. Raises OSError, also for written content that is missing, and when it is closed."""
        if not self._begin():
            raise OSError("the temporary file is closed")
        try:
            data = _read_at(self._file, offset, size) if self._file is not None else b""
            if not data:
                raise OSError("the temporary file is shorter than its written content")
            return data
        finally:
            self._end()

    def close(self) -> None:
        """Close it, and release its room, now or when the thread that uses it is done. Idempotent."""
        with self._lock:
            is_first = not self._is_closed
            self._is_closed = True
            if self._users or not is_first:
                return
        self._release()

    def _begin(self) -> bool:
        with self._lock:
            self._users += not self._is_closed
            return not self._is_closed

    def _end(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users or not self._is_closed:
                return
        self._release()

    def _release(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            self._spools.close_file(self._address, self._connection, file)
        taken, self._taken = self._taken, 0
        self._spools.give_disk(self._address, taken)
        self._spools.room_given()


if hasattr(os, "pwrite"):

    def _write_at(file: BinaryIO, data: memoryview, offset: int) -> int:
        return os.pwrite(file.fileno(), data, offset)

    def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
        return os.pread(file.fileno(), size, offset)

else:  # pragma: no cover: only on Windows, where a file has one position, and its two users must not move it
    _position: Final = threading.Lock()

    def _write_at(file: BinaryIO, data: memoryview, offset: int) -> int:
        with _position:
            file.seek(offset)
            return file.write(data)

    def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
        with _position:
            file.seek(offset)
            return file.read(size)
