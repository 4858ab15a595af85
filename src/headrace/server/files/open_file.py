"""A file that is being sent: opened and read in threads, and closed once, also when its response fails."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Hashable
from typing import Final

from headrace.server.files.places import PLACES, FilePlace

_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a named pipe would block the thread until a writer comes
)


class OpenFile:
    """A regular file, by its path or by a descriptor that it takes over. Closing it frees its `place`.

    `open` and `read` block, and are for threads. `close` is for the event loop, and does not wait: if a thread is
    reading, the descriptor is closed when that thread is done, so that its number cannot become another file's during a
    read.
    """

    __slots__ = ("_fd", "_is_closed", "_is_in_use", "_lock", "_source", "place")

    def __init__(self, source: str | os.PathLike[str] | int, place: FilePlace | None = None) -> None:
        self._source = source
        self._fd = source if isinstance(source, int) else -1
        self.place = place
        self._is_closed = False
        self._is_in_use = False
        self._lock = threading.Lock()

    def __del__(self) -> None:
        self._close()  # of a response that was never sent

    def __str__(self) -> str:
        return f"the file at descriptor {self._source}" if isinstance(self._source, int) else os.fspath(self._source)

    @property
    def fd(self) -> int:
        """The descriptor, for the event loop, which alone closes it."""
        return self._fd

    def open(self) -> int:
        """Open it and return its size in bytes. Raises OSError, also if it is not a regular file."""
        self._begin()
        try:
            if self._fd < 0:
                self._fd = self._find()
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(f"{self} is not a regular file")
            return status.st_size
        finally:
            self._end()

    def take_place(self, client: Hashable) -> bool:
        """Take a place for it, for `client`, unless it has one. Return False if there is none: then it is closed until
        `open`.

        A descriptor that it took over could not be opened again, so it stays open without a place.
        """
        self._begin()
        try:
            if self.place is None:
                self.place = PLACES.take(client)
            if self.place is not None or isinstance(self._source, int):
                return True
            fd, self._fd = self._fd, -1
            os.close(fd)
            return False
        finally:
            self._end()

    def _find(self) -> int:
        """Return a descriptor of the file. Raises OSError."""
        assert not isinstance(self._source, int)
        return os.open(self._source, _FLAGS)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset` on; b"" at its end. Raises OSError."""
        self._begin()
        try:
            if hasattr(os, "pread"):
                return os.pread(self._fd, size, offset)
            os.lseek(self._fd, offset, os.SEEK_SET)  # pragma: no cover: only on Windows
            return os.read(self._fd, size)  # pragma: no cover: only on Windows
        finally:
            self._end()

    def close(self) -> None:
        """Close it, at once or when the thread that uses it is done. Idempotent."""
        with self._lock:
            self._is_closed = True
            if not self._is_in_use:
                self._close()

    def _begin(self) -> None:
        with self._lock:
            if self._is_closed:
                raise OSError(f"{self} is closed")
            self._is_in_use = True

    def _end(self) -> None:
        with self._lock:
            self._is_in_use = False
            if self._is_closed:
                self._close()

    def _close(self) -> None:
        fd = self._fd
        if fd >= 0:
            self._fd = -1
            os.close(fd)
        place, self.place = self.place, None
        if place is not None:
            place.give_back()
