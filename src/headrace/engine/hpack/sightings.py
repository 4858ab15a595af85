"""Distinguishes repeated values from unique ones, without keeping any of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_extensions import i64

_SLOTS: Final = 64


class Sightings:
    """A small table of marks, addressed by hash.

    Unique values pass through and leave a mark of two bytes each; only a value that is seen again before its mark was
    overwritten is worth remembering. One unique value in 65,536 is mistaken for a repeated one, which costs nothing but
    a place in a cache. About 1,100 bytes, for any number of values: each half of a mark is one of the small ints that
    CPython keeps anyway.
    """

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: list[int] = [-1] * (2 * _SLOTS)

    def seen_before(self, digest: i64) -> bool:
        """Note the hash `digest`; return True when it had been noted already."""
        slot: i64 = (digest & (_SLOTS - 1)) * 2
        low: i64 = (digest >> 8) & 0xFF
        high: i64 = (digest >> 16) & 0xFF
        marks = self._marks
        if marks[slot] == low and marks[slot + 1] == high:
            return True
        marks[slot] = low
        marks[slot + 1] = high
        return False
