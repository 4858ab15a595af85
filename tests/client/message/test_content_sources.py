"""Sources of content that others use, too: files at a position, iterators that were sent before, content of a user."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.client import BodyConsumed
from headrace.client.interface import Content, Pairs
from headrace.client.message.content import (
    AsksInThreads,
    ContentWith,
    FileContent,
    IteratedContent,
    _begin,
    _lock_of,
    as_content,
    reader_of,
)

from tests.client.message.test_content import read
from tests.support.serving import Run


class Pipe(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._rest = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def test_an_iterator_is_the_content_of_one_request(run: Run) -> None:
    iterator = (piece for piece in (b"a", b"b"))

    async def main() -> None:
        assert await read(IteratedContent(iterator)) == b"ab"
        with pytest.raises(BodyConsumed, match="already the content of another request"):
            IteratedContent(iterator).open()

    run(main())


def test_a_file_that_cannot_seek_is_the_content_of_one_request(run: Run) -> None:
    async def main() -> None:
        file = Pipe(b"content")
        content = FileContent(file)  # type: ignore[arg-type] # it reads
        assert content.length is None
        assert await read(content) == b"content"
        with pytest.raises(BodyConsumed, match="sent again"):
            content.open()
        with pytest.raises(BodyConsumed, match="already the content of another request"):
            FileContent(file).open()  # type: ignore[arg-type] # likewise

    run(main())


@pytest.mark.parametrize("kind", ["file", "memory", "packed", "unbuffered"])
def test_several_requests_read_a_file_at_their_own_positions(run: Run, tmp_path: Path, kind: str) -> None:
    whole = bytes(range(256)) * 2_000
    path = tmp_path / "content"
    if kind == "packed":
        path.write_bytes(gzip.compress(whole))
        file: Any = gzip.open(path)  # noqa: SIM115 # closed below
    else:
        path.write_bytes(whole)
        file = io.BytesIO(whole) if kind == "memory" else path.open("rb", buffering=0 if kind == "unbuffered" else -1)

    async def main() -> None:
        with file:
            file.seek(1_000)
            content = FileContent(file)
            assert content.length == len(whole) - 1_000
            one, two = content.open(), content.open()
            first = await anext(one)
            assert await anext(two) == first
            assert first + b"".join([piece async for piece in one]) == whole[1_000:]
            assert await read(content) == whole[1_000:]
            await two.aclose()  # type: ignore[attr-defined] # it is a generator

    run(main())


def test_a_file_that_shrinks_ends_early(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(bytes(300_000))

    async def main() -> None:
        with open(path, "rb") as file:
            pieces = FileContent(file).open()
            first = await anext(pieces)
            os.truncate(path, len(first))
            assert [piece async for piece in pieces] == []

    run(main())


def test_an_object_that_cannot_be_remembered_may_always_begin() -> None:
    """One that has neither a hash nor weak references."""
    forgotten: list[bytes] = [b"a"]
    assert _begin(forgotten)
    assert _begin(forgotten)
    assert _lock_of(forgotten) is _lock_of([]), "files that cannot be told apart share a lock"
    file = io.BytesIO()
    assert _lock_of(file) is _lock_of(file) is not _lock_of(io.BytesIO())


def test_a_reader_moves_a_file_only_where_it_must() -> None:
    seeks: list[int] = []

    class Counting(io.BytesIO):
        def seek(self, at: int, whence: int = 0) -> int:
            seeks.append(at)
            return super().seek(at, whence)

    class Wrapped:
        """An object on top of a file, with one position."""

        def __init__(self, file: Counting) -> None:
            self.read, self.seek, self.tell = file.read, file.seek, file.tell

    read_at = reader_of(Wrapped(Counting(b"abcdef")))  # type: ignore[arg-type] # it has what is asked of it
    assert [read_at(2, 0), read_at(2, 2), read_at(2, 0)] == [b"ab", b"cd", b"ab"]
    assert seeks == [0]


class Own:
    """Content of a user's class."""

    is_replayable = True
    length = 3
    in_threads = False

    def open(self) -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"own"

        return pieces()

    def trailers(self) -> Pairs:
        return []


def test_content_of_ones_own_is_taken_as_it_is(run: Run) -> None:
    own = Own()
    assert as_content(own) is own

    async def main() -> None:
        content: Content = ContentWith(own, 3, {"x-sum": "1"})
        assert content.is_replayable
        assert isinstance(content, AsksInThreads)
        content.ask_in_threads()  # it has no source to ask so
        assert await read(content) == b"own"
        assert content.trailers() == [(b"x-sum", b"1")]
        made = ContentWith(own, 3, lambda: None)
        assert made.trailers() == []

    run(main())


def test_a_plain_iterable_with_a_length_is_asked_in_threads_when_told(run: Run) -> None:
    import threading

    asked: list[int] = []

    class Source:
        def __iter__(self) -> Iterator[bytes]:
            asked.append(threading.get_ident())
            yield b"abc"

    async def main() -> None:
        content = ContentWith(IteratedContent(Source()), 3)
        content.ask_in_threads()
        assert await read(content) == b"abc"
        assert asked != [threading.get_ident()]

    run(main())
