"""Content that tells where it stood in its message, so that a test sees what is lost, doubled or moved."""

from __future__ import annotations

CYCLE = bytes(range(251))
READY = CYCLE * 1_400


def pattern(offset: int, size: int) -> bytes:
    """Return `size` bytes of a message's content from `offset` on."""
    start = offset % len(CYCLE)
    ready = READY if start + size <= len(READY) else CYCLE * (size // len(CYCLE) + 2)
    return ready[start : start + size]
