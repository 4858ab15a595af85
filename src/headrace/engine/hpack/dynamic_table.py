"""The dynamic table (RFC 7541 §2.3.2 and §4), the same for encoder and decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine.hpack.field import Field

if TYPE_CHECKING:
    from mypy_extensions import i64

_EVICTED: Final = Field(b"", b"")
_COMPACT_FROM: Final = 32


class DynamicTable:
    """First in, first out, bounded by the sum of the entries' sizes (RFC 7541 §4.1).

    The newest entry stands last in `entries`; the live ones start at `head`. Inserting is an append and evicting moves
    `head`, so both take constant time; the dead part is cut off whenever it is as long as the live one.
    """

    __slots__ = ("entries", "head", "max_size", "size")

    def __init__(self, max_size: i64) -> None:
        self.entries: list[Field] = []
        self.head: i64 = 0
        self.size: i64 = 0
        self.max_size: i64 = max_size

    def __len__(self) -> int:
        return len(self.entries) - self.head

    def get(self, position: i64) -> Field:
        """Return the entry at `position`, the newest one being at 0. Raises IndexError beyond the oldest."""
        last: i64 = len(self.entries) - 1
        if position < 0 or position > last - self.head:
            raise IndexError(position)
        return self.entries[last - position]

    def add(self, field: Field) -> None:
        """Insert, evicting from the old end until it fits. One too large for the table empties it (RFC 7541 §4.4)."""
        size = field.size
        while self.size + size > self.max_size and self.size > 0:
            self.evict_oldest()
        if size <= self.max_size:
            self.entries.append(field)
            self.size += size

    def evict_oldest(self) -> Field:
        """Take the oldest entry out and return it. The table must not be empty."""
        entries = self.entries
        head = self.head
        field = entries[head]
        entries[head] = _EVICTED  # not a reference longer than the table's size accounts for
        self.size -= field.size
        head += 1
        length: i64 = len(entries)
        if head == length:
            entries.clear()
            head = 0
        elif head >= _COMPACT_FROM and head * 2 >= length:
            del entries[:head]
            head = 0
        self.head = head
        return field

    def resize(self, max_size: i64) -> None:
        """Change the maximum size, evicting what no longer fits (RFC 7541 §4.3)."""
        self.max_size = max_size
        while self.size > max_size:
            self.evict_oldest()
