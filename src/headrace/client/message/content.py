"""The content of a request: bytes, or a source that yields them piece by piece."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import IO, Any, Final, Protocol, TypeAlias, runtime_checkable
from weakref import WeakKeyDictionary, WeakSet

from headrace.client.errors import BodyConsumed
from headrace.client.interface import Content, Pairs
from headrace.client.message.headers import Headers, HeadersLike

CHUNK: Final = 131_072

Pieces: TypeAlias = Iterable[bytes] | AsyncIterable[bytes]
ContentLike: TypeAlias = bytes | bytearray | memoryview | str | IO[bytes] | Pieces | Callable[[], Pieces] | Content
"""Content of a request: bytes, text (sent as UTF-8), a binary file, or an iterable of bytes, plain or asynchronous. A
function that makes such an iterable lets the client send the request again."""
TrailersLike: TypeAlias = HeadersLike | Callable[[], HeadersLike | None]
"""Trailer fields in a form that Headers takes, or a function that returns them; it is called after the last piece."""


@runtime_checkable
class AsksInThreads(Protocol):
    """Content whose source the client asks for pieces on the event loop, unless `ask_in_threads` was called."""

    def ask_in_threads(self) -> None:
        """Ask the source in threads from now on: its code may block, or call the client itself."""
        ...


class IteratedContent:
    """Content from an iterable, or from a function that makes one.

    Iterators can be sent once. Lists and functions can be sent again. The client asks a plain iterable on the event
    loop, or in threads when `in_threads` is set.
    """

    __slots__ = ("_in_threads", "_is_used", "_source", "length")

    def __init__(self, source: Pieces | Callable[[], Pieces], length: int | None = None) -> None:
        self.length: int | None = length
        self._source = source
        self._is_used = False
        self._in_threads = False

    @property
    def is_replayable(self) -> bool:
        """Return True when the source makes a new iterator each time, or when nothing has been taken from it yet."""
        return not self._is_used or self._makes_new

    @property
    def _makes_new(self) -> bool:
        source = self._source
        return callable(source) or not isinstance(source, (AsyncIterator, Iterator))

    def ask_in_threads(self) -> None:
        """Ask the iterable in threads from now on: its code may block, or call the client itself."""
        self._in_threads = True

    def open(self) -> AsyncIterator[bytes]:
        """Return an iterator that begins at the first byte. Raises BodyConsumed for an iterator that has begun
        before."""
        if not self.is_replayable:
            raise BodyConsumed(
                "the request has to be sent again, but its content came from an iterator, which is used up; give"
                " bytes, a file, or a function that makes a new iterator"
            )
        if not self._makes_new and not _begin(self._source):
            raise BodyConsumed(
                "the iterator is already the content of another request; give bytes, a file, or a function that"
                " makes a new iterator"
            )
        self._is_used = True
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        source: Any = self._source() if callable(self._source) else self._source
        if isinstance(source, AsyncIterable):
            try:
                async for piece in source:
                    yield _bytes(piece)
            finally:
                close = getattr(source, "aclose", None)
                if close is not None:
                    await close()
            return
        pieces = iter(source)
        try:
            if self._in_threads:
                while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                    yield _bytes(piece)
            else:
                for piece in pieces:
                    yield _bytes(piece)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def trailers(self) -> Pairs:
        """Return no fields."""
        return []


class FileContent:
    """A binary file, from its position now to its end now. It can be sent again when it can seek.

    Each sending reads at a position of its own, so several requests may send the file at the same time. Threads read
    it, because a disk may be slow. The file stays open and its position may change; the caller closes it.
    """

    __slots__ = ("_file", "_is_used", "_start", "length")

    length: int | None

    def __init__(self, file: IO[bytes]) -> None:
        if isinstance(file, io.TextIOBase):  # type: ignore[unreachable] # for callers without a type checker
            raise TypeError("open a file for a request's content in binary mode, not as text")
        self._file = file
        self._is_used = False
        self._start, self.length = _extent(file)

    @property
    def is_replayable(self) -> bool:
        """Return True when the file can seek, or when nothing has been taken from it yet."""
        return self._start is not None or not self._is_used

    def open(self) -> AsyncIterator[bytes]:
        """Return an iterator that begins at the first byte. Raises BodyConsumed for a file that cannot seek."""
        if not self.is_replayable:
            raise BodyConsumed(
                "the request has to be sent again, but its content came from a file that cannot seek; give bytes,"
                " or a function that opens it again"
            )
        if self._start is None and not _begin(self._file):
            raise BodyConsumed("the file cannot seek, and is already the content of another request; give bytes")
        self._is_used = True
        return self._to_its_end() if self._start is None else self._pieces(self._start)

    async def _to_its_end(self) -> AsyncIterator[bytes]:
        while piece := await asyncio.to_thread(self._file.read, CHUNK):
            yield _bytes(piece)

    async def _pieces(self, start: int) -> AsyncIterator[bytes]:
        assert self.length is not None
        read = reader_of(self._file)
        in_memory = isinstance(self._file, io.BytesIO)
        at, end = start, start + self.length
        while at < end or not self.length:  # a file of the kernel, as in /proc, has length 0, and content
            size = min(CHUNK, end - at) if self.length else CHUNK
            piece = _bytes(read(size, at) if in_memory else await asyncio.to_thread(read, size, at))
            if not piece:
                return
            at += len(piece)
            yield piece

    def trailers(self) -> Pairs:
        """Return no fields."""
        return []


class ContentWith:
    """Content with a length that the caller gave, or with a trailer section."""

    __slots__ = ("_content", "_trailers", "length")

    def __init__(self, content: Content, length: int | None, trailers: TrailersLike | None = None) -> None:
        self._content = content
        self._trailers = trailers
        self.length: int | None = length

    @property
    def is_replayable(self) -> bool:
        """Return True when the content itself can be sent again."""
        return self._content.is_replayable

    def open(self) -> AsyncIterator[bytes]:
        """Return an iterator over the content, from its first byte."""
        return self._content.open()

    def ask_in_threads(self) -> None:
        """Ask the content's source in threads from now on, where it has one."""
        if isinstance(self._content, AsksInThreads):
            self._content.ask_in_threads()

    def trailers(self) -> Pairs:
        """Return the fields that the caller gave, or that the caller's function returns now."""
        found = self._trailers() if callable(self._trailers) else self._trailers
        return Headers(found).raw


def as_content(content: Any) -> bytes | Content:
    """Return content in the form that a transport takes. Raises TypeError for an object that cannot be sent as
    bytes."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, (bytearray, memoryview)):
        return bytes(content)
    if hasattr(content, "is_replayable") and hasattr(content, "open"):
        found: Content = content
        return found
    if hasattr(content, "read") and not isinstance(content, (AsyncIterable, type)):
        return FileContent(content)
    if isinstance(content, Mapping):
        raise TypeError("content= takes bytes; give a mapping to json= or data=")
    if callable(content) or isinstance(content, (AsyncIterable, Iterable)):
        return IteratedContent(content)
    raise TypeError(f"the content of a request is bytes, text, a file or an iterable, not {type(content).__name__}")


def reader_of(file: IO[bytes]) -> Callable[[int, int], bytes]:
    """Return a function that reads `size` bytes of a file at a position, also while others read the same file."""
    if isinstance(file, io.BytesIO):
        memory = file

        def slice_of(size: int, at: int) -> bytes:
            with memory.getbuffer() as view:
                return bytes(view[at : at + size])

        return slice_of
    raw = getattr(file, "raw", file)
    if type(raw) is io.FileIO and isinstance(file, (io.BufferedReader, io.FileIO)) and hasattr(os, "pread"):
        descriptor = file.fileno()
        return lambda size, at: os.pread(descriptor, size, at)

    # An object on top of a file, such as one that decompresses it, has only one position.
    lock = _lock_of(file)

    def read_at(size: int, at: int) -> bytes:
        with lock:
            if file.tell() != at:
                file.seek(at)
            return file.read(size)

    return read_at


_locks: WeakKeyDictionary[Any, threading.Lock] = WeakKeyDictionary()
_lock_of_others: Final = threading.Lock()
_begun: WeakSet[Any] = WeakSet()


def _lock_of(file: Any) -> threading.Lock:
    """Return the lock of a file's position. Files that cannot be told apart share one lock."""
    try:
        return _locks.setdefault(file, threading.Lock())
    except TypeError:
        return _lock_of_others


def _begin(iterator: Any) -> bool:
    """Remember that an iterator is being sent. Return False when it was sent before, also as the content of another
    request. An iterator that cannot be remembered may always begin."""
    try:
        if iterator in _begun:
            return False
        _begun.add(iterator)
    except TypeError:
        pass
    return True


def _bytes(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"the content of a request comes in pieces of bytes, not of {type(piece).__name__}")


def _extent(file: IO[bytes]) -> tuple[int | None, int | None]:
    """Return a file's position and the bytes that are left, or (None, None) when it cannot seek."""
    try:
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(start)
    except (AttributeError, OSError, ValueError):
        return None, None
    return start, max(end - start, 0)
