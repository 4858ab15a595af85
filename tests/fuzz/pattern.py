"""Content that tells where it stood in its message, so that what is lost, doubled or moved is seen."""

from __future__ import annotations

PATTERN = bytes(range(251)) * 1_400


def pattern(offset: int, size: int) -> bytes:
    """Return `size` bytes of a message's content from `offset` on."""
    start = offset % 251
    assert start + size <= len(PATTERN)
    return PATTERN[start : start + size]
