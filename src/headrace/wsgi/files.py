"""The two file-likes of WSGI: the request's content as `wsgi.input`, and a file as a response."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any, Final

from headrace.server.files.open_file import OpenFile
from headrace.server.files.places import PLACES

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK: Final = 262_144  # bytes of a file read at once; a client that is slow makes the next piece wait
_BUFFER: Final = 65_536
_SMALL: Final = 65_536  # up to here the thread reads a file itself: less work than to hand it on


class _ContentStream(io.RawIOBase):
    """The content from `fetch`, which blocks, and returns b"" at the end."""

    def __init__(self, fetch: Callable[[], bytes]) -> None:
        super().__init__()
        self._fetch = fetch
        self._left = memoryview(b"")
        self._is_at_end = False

    def readable(self) -> bool:
        return True

    def _next(self) -> memoryview:
        if not self._left and not self._is_at_end:
            self._left = memoryview(self._fetch())
            self._is_at_end = not self._left
        return self._left

    def readinto(self, buffer: WriteableBuffer) -> int:
        room = memoryview(buffer).cast("B")
        piece = self._next()[: len(room)]
        room[: len(piece)] = piece
        self._left = self._left[len(piece) :]
        return len(piece)

    def readall(self) -> bytes:
        pieces = []
        while piece := self._next():
            pieces.append(piece)
            self._left = memoryview(b"")
        return b"".join(pieces)


def content_reader(fetch: Callable[[], bytes]) -> io.BufferedReader:
    """A `wsgi.input`: `read`, `readline`, `readlines` and iteration, each blocking until it can return its result.

    `fetch` gives the next piece, and b"" at the end; they raise its exceptions.
    """
    return io.BufferedReader(_ContentStream(fetch), _BUFFER)


class FileWrapper:
    """`wsgi.file_wrapper`: the rest of a file as an iterable of large pieces, closed with it if the file can be."""

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self._file = file
        self._size = max(block_size, CHUNK)
        if hasattr(file, "close"):
            self.close: Any = file.close

    def part(self, client: Hashable) -> tuple[OpenFile, int, int] | None:
        """Return the file with a descriptor of its own, the offset of its rest, and the rest's length in bytes.

        Return None if it is small, or if reading it differs from reading its descriptor: every object but a plain file
        of Python's `open`, such as one that decompresses, and files without a size, as in /proc. Return None also if
        `client` has as many files open as it may.
        """
        file = self._file
        if isinstance(file, tempfile._TemporaryFileWrapper):
            file = file.file
        raw = file.raw if type(file) is io.BufferedReader else file
        if type(raw) is not io.FileIO:
            return None
        try:
            if not raw.readable():
                return None
            status = os.fstat(raw.fileno())
            offset = file.tell()
            size = status.st_size - offset
            if not stat.S_ISREG(status.st_mode) or size <= _SMALL:
                return None
            place = PLACES.take(client)
            if place is None:
                return None
            try:
                return OpenFile(os.dup(raw.fileno()), place), offset, size
            except OSError:
                place.give_back()
                raise
        except (OSError, ValueError):  # the thread meets the same error, and reports it
            return None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self._file.read(self._size)
        if not data:
            raise StopIteration
        return data
