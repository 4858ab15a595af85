"""Structured choices, read from the bytes of a fuzzer.

atheris has a FuzzedDataProvider for this. Ours is pure Python, so that an input means the same without atheris, and it
reads from the front alone: bytes that are appended to an input extend its session and change nothing before them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Source:
    """The bytes of one input, taken in order. After the last one, every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def more(self) -> bool:
        """True while bytes are left."""
        return self.at < len(self.data)

    def byte(self) -> int:
        """Return the next byte, 0 after the end."""
        if self.at >= len(self.data):
            return 0
        self.at += 1
        return self.data[self.at - 1]

    def op(self) -> int:
        """Return the byte that chooses what happens next."""
        return self.byte()

    def number(self, size: int) -> int:
        """Return the next `size` bytes as a number, big-endian."""
        return int.from_bytes(self.take(size).ljust(size, b"\0"), "big")

    def below(self, limit: int) -> int:
        """Return a number from 0 to `limit` - 1; 0 where `limit` is less than 2."""
        if limit < 2:
            return 0
        return (self.byte() if limit <= 256 else self.number(3)) % limit

    def flag(self, one_in: int = 2) -> bool:
        """Return True for one byte in `one_in`, never after the end."""
        return self.byte() % one_in == 1

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`."""
        return choices[self.below(len(choices))]

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        taken = self.data[self.at : self.at + size]
        self.at += len(taken)
        return taken

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(len(self.data))


class Composer(Source):
    """Writes an input while it is played: `ops` say what happens; all other choices go by chance, often the first.

    So a session can be told in words, and its bytes in `composed` are a seed that means just that.
    """

    def __init__(self, rnd: random.Random, ops: list[int]) -> None:
        super().__init__(b"")
        self.rnd = rnd
        self.ops = ops
        self.composed = bytearray()

    @property
    def more(self) -> bool:
        return bool(self.ops)

    def op(self) -> int:
        self.composed.append(self.ops.pop(0))
        return self.composed[-1]

    def byte(self) -> int:
        self.composed.append(self.rnd.choice((0, 0, 0, 1, 2, 3, self.rnd.randrange(256))))
        return self.composed[-1]

    def take(self, size: int) -> bytes:
        taken = self.rnd.randbytes(size)
        self.composed += taken
        return taken


def pieces(data: bytes, size: int) -> list[bytes]:
    """Cut `data` into pieces of `size` bytes; 0 leaves it whole."""
    if not size or len(data) <= size:
        return [data]
    return [data[at : at + size] for at in range(0, len(data), size)]
