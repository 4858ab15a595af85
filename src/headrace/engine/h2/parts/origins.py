"""The origins that a server says it is authoritative for: ORIGIN frames (RFC 8336)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine.fields import is_origin

if TYPE_CHECKING:
    from mypy_extensions import i64

# What ORIGIN frames may cost (RFC 8336 §4: a client may have its limits).
_MOST: Final = 64
_MOST_BYTES: Final = 4_096


class Origins:
    """The origins named so far, in order, each once; 64 and 4,096 bytes at most."""

    def __init__(self) -> None:
        self.known: list[bytes] = []
        self._size: int = 0
        self._are_seen = False

    def receive(self, data: bytes, start: i64, end: i64) -> list[bytes] | None:
        """Take the payload `data[start:end]` of an ORIGIN frame; return the origins that are new, or None when they are
        none and it was not the first frame."""
        new: list[bytes] = []
        left = _MOST  # entries of one frame that are looked at
        while end - start >= 2 and left > 0:
            left -= 1
            size = data[start] << 8 | data[start + 1]
            start += 2
            if size > end - start:
                break
            origin = data[start : start + size]
            start += size
            if (
                is_origin(origin)
                and len(self.known) < _MOST
                and self._size + size <= _MOST_BYTES
                and origin not in self.known
            ):
                self.known.append(origin)
                self._size += size
                new.append(origin)
        if not new and self._are_seen:
            return None
        self._are_seen = True
        return new
