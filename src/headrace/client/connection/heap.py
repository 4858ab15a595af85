"""Memory for large content, as far as Python lets one have a say in it.

glibc gives memory at the top of its heap back to the kernel as soon as more than a threshold is free there, and every
response then begins with page faults. It raises the threshold by itself, to twice the largest block that was ever
unmapped (mallopt(3), M_TRIM_THRESHOLD), but learns that from single blocks, not from many that are there at once: eight
downloads of 1 MiB side by side took 41 page faults and 714 us of CPU each, and take none and 523 us once one block of
16 MiB was there (medians of five). It is mapped, never touched, and unmapped; with another allocator, that is all.
"""

from __future__ import annotations

import contextlib
from typing import Final

LARGE: Final = 65_536
"""Octets of content for which it is worth it."""
_AT_ONCE: Final = 16  # so many of a size are expected
_MOST: Final = 16_777_216  # twice as much stays with the process when it is free

_expected = 0


def expect(size: int) -> None:
    """Content of `size` octets is about to be collected, and more of its kind may follow."""
    global _expected
    size = min(size * _AT_ONCE, _MOST)
    if size > _expected:
        _expected = size
        with contextlib.suppress(MemoryError):  # where address space itself is scarce, it stays as it is
            bytes(size)
