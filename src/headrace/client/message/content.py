"""The content of a request: octets, or what gives them piece by piece."""

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
"""What a request can carry: octets, text (as UTF-8), a binary file, an iterable of octets, plain or asynchronous, or a
function that makes one, so that it can be sent again."""
TrailersLike: TypeAlias = HeadersLike | Callable[[], HeadersLike | None]
"""Trailer fields as for Headers, or a function that is called for them after the last piece."""


@runtime_checkable
class AsksInThreads(Protocol):
    """Content that is asked for pieces on the event loop, unless it is told otherwise."""

    def ask_in_threads(self) -> None:
        """For iterables of code that may block, or call the client itself."""
        ...


class IteratedContent:
    """Content from an iterable, or from a function that makes one.

    Iterators can be sent once. Lists and such, and functions, can be sent again. Plain iterables are asked on the event
    loop, in threads where `in_threads` is set.
    """

    __slots__ = ("_in_threads", "_is_used", "_source", "length")

    def __init__(self, source: Pieces | Callable[[], Pieces], length: int | None = None) -> None:
        self.length: int | None = length
        self._source = source
        self._is_used = False
        self._in_threads = False

    @property
    def is_replayable(self) -> bool:
        """True for what makes a new iterator each time, and while nothing has been taken."""
        return not self._is_used or self._makes_new

    @property
    def _makes_new(self) -> bool:
        source = self._source
        return callable(source) or not isinstance(source, (AsyncIterator, Iterator))

    def ask_in_threads(self) -> None:
        """For iterables of code that may block, or call the client itself."""
        self._in_threads = True

    def open(self) -> AsyncIterator[bytes]:
        """Begin from the first octet. Raises BodyConsumed for an iterator that has begun before."""
        if not self.is_replayable:
            raise BodyConsumed(
                "the request has to be sent again, but its content came from an iterator, which is used up; give the"
                " octets, a file, or a function that makes a new iterator"
            )
        if not self._makes_new and not _begin(self._source):
            raise BodyConsumed(
                "the iterator is the content of another request already; give the octets, a file, or a function that"
                " makes a new iterator"
            )
        self._is_used = True
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        source: Any = self._source() if callable(self._source) else self._source
        if isinstance(source, AsyncIterable):
            try:
                async for piece in source:
                    yield _octets(piece)
            finally:
                close = getattr(source, "aclose", None)
                if close is not None:
                    await close()
            return
        pieces = iter(source)
        try:
            if self._in_threads:
                while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                    yield _octets(piece)
            else:
                for piece in pieces:
                    yield _octets(piece)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def trailers(self) -> Pairs:
        """None."""
        return []


class FileContent:
    """A binary file from where it stands to where it ends now; sent again from the same place when it can seek.

    Each time it is sent it is read at a position of its own, so that it may be sent several times at once, also by
    several requests. It is read in threads, as a disk may be slow. The file stays open, and stands where it stood or
    elsewhere: whoever opened it closes it.
    """

    __slots__ = ("_file", "_is_used", "_start", "length")

    length: int | None

    def __init__(self, file: IO[bytes]) -> None:
        if isinstance(file, io.TextIOBase):  # type: ignore[unreachable] # for those who do not check types
            raise TypeError("a file for a request's content is opened in binary mode, not for text")
        self._file = file
        self._is_used = False
        self._start, self.length = _extent(file)

    @property
    def is_replayable(self) -> bool:
        """True when the file can seek, and while nothing has been taken."""
        return self._start is not None or not self._is_used

    def open(self) -> AsyncIterator[bytes]:
        """Begin from the first octet. Raises BodyConsumed for a file that cannot seek."""
        if not self.is_replayable:
            raise BodyConsumed(
                "the request has to be sent again, but its content came from a file that cannot seek; give the octets,"
                " or a function that opens it again"
            )
        if self._start is None and not _begin(self._file):
            raise BodyConsumed("the file cannot seek, and is the content of another request already; give the octets")
        self._is_used = True
        return self._to_its_end() if self._start is None else self._pieces(self._start)

    async def _to_its_end(self) -> AsyncIterator[bytes]:
        while piece := await asyncio.to_thread(self._file.read, CHUNK):
            yield _octets(piece)

    async def _pieces(self, start: int) -> AsyncIterator[bytes]:
        assert self.length is not None
        read = reader_of(self._file)
        in_memory = isinstance(self._file, io.BytesIO)
        at, end = start, start + self.length
        while at < end or not self.length:  # a file of the kernel's says that it has nothing, and is read all the same
            size = min(CHUNK, end - at) if self.length else CHUNK
            piece = _octets(read(size, at) if in_memory else await asyncio.to_thread(read, size, at))
            if not piece:
                return
            at += len(piece)
            yield piece

    def trailers(self) -> Pairs:
        """None."""
        return []


class ContentWith:
    """Another content with its length told by the caller, or with a trailer section."""

    __slots__ = ("_content", "_trailers", "length")

    def __init__(self, content: Content, length: int | None, trailers: TrailersLike | None = None) -> None:
        self._content = content
        self._trailers = trailers
        self.length: int | None = length

    @property
    def is_replayable(self) -> bool:
        """As the content itself."""
        return self._content.is_replayable

    def open(self) -> AsyncIterator[bytes]:
        """As the content itself."""
        return self._content.open()

    def ask_in_threads(self) -> None:
        """As the content itself."""
        if isinstance(self._content, AsksInThreads):
            self._content.ask_in_threads()

    def trailers(self) -> Pairs:
        """What the caller gave, or what the caller's function returns now."""
        found = self._trailers() if callable(self._trailers) else self._trailers
        return Headers(found).raw


def as_content(content: Any) -> bytes | Content:
    """Content as the transport takes it. Raises TypeError for what has no octets."""
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
        raise TypeError("content= takes octets; a mapping goes into json= or data=")
    if callable(content) or isinstance(content, (AsyncIterable, Iterable)):
        return IteratedContent(content)
    raise TypeError(f"the content of a request is octets, text, a file or an iterable, not {type(content).__name__}")


def reader_of(file: IO[bytes]) -> Callable[[int, int], bytes]:
    """A function that reads so many bytes of a file at a position, whoever reads the same file meanwhile."""
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

    # What stands on top of a file, such as one that unpacks it, has but one position.
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
    """The lock of a file's position; all files that cannot be told apart have the same one."""
    try:
        return _locks.setdefault(file, threading.Lock())
    except TypeError:
        return _lock_of_others


def _begin(iterator: Any) -> bool:
    """Remember that an iterator is being sent; False when it was before, also as the content of another request. What
    cannot be remembered may always begin."""
    try:
        if iterator in _begun:
            return False
        _begun.add(iterator)
    except TypeError:
        pass
    return True


def _octets(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"the content of a request comes in pieces of octets, not of {type(piece).__name__}")


def _extent(file: IO[bytes]) -> tuple[int | None, int | None]:
    """Where a file stands, and how much is left; None for what cannot seek."""
    try:
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(start)
    except (AttributeError, OSError, ValueError):
        return None, None
    return start, max(end - start, 0)
