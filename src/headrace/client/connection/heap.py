"""Prepares glibc's heap for large content.

glibc returns memory at the top of its heap to the kernel as soon as more than a threshold is free there. Every response
then begins with page faults. glibc raises the threshold by itself, to twice the largest block that was ever unmapped
(mallopt(3), M_TRIM_THRESHOLD), but it learns only from single blocks, not from many that exist at once. Eight downloads
of 1 MiB side by side took 41 page faults and 714 us of CPU each. They take none and 523 us once one block of 16 MiB was
mapped, never touched, and unmapped (medians of five). With another allocator the block has no effect.
"""

from __future__ import annotations

import contextlib
from typing import Final

LARGE: Final = 65_536
"""Smallest content, in bytes, for which the heap is prepared."""
_AT_ONCE: Final = 16  # expected number of contents at the same time
_MOST: Final = 16_777_216  # the process keeps twice as much when it is free

_expected = 0


def expect(size: int) -> None:
    """Prepare the heap for content of `size` bytes, and for more of that size."""
    global _expected
    size = min(size * _AT_ONCE, _MOST)
    if size > _expected:
        _expected = size
        with contextlib.suppress(MemoryError):  # where address space is scarce, nothing changes
            bytes(size)
