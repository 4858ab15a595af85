"""Work and memory of a call, without a clock: functions of headrace that it calls, and the peak of what it allocates.

Counting is slow, so it is done for one input in sixteen, chosen by its bytes. A compiled engine calls no Python
function: its work is that of the pure one, which is its contract.
"""

from __future__ import annotations

import sys
import tracemalloc
import zlib
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

ONE_IN = 16
FREE_CALLS = 3_000
FREE_BYTES = 300_000


class Meter:
    """Bounds for calls, as functions called and bytes allocated for each byte that goes in."""

    def __init__(self, data: bytes, *, calls_a_byte: int, bytes_a_byte: int) -> None:
        self.is_on = zlib.crc32(data) % ONE_IN == 0
        self.calls_a_byte = calls_a_byte
        self.bytes_a_byte = bytes_a_byte

    def run(self, function: Callable[..., T], *args: Any, size: int, held: int = 0) -> T:
        """Return what `function` returns. Raises AssertionError where it cost more than `size` bytes may. `held` bytes
        of earlier input may still be there, and copied."""
        if not self.is_on:
            return function(*args)
        calls = 0

        def count(frame: FrameType, kind: str, arg: object) -> None:
            nonlocal calls
            if kind == "call" and "headrace" in frame.f_code.co_filename:
                calls += 1

        tracemalloc.start()
        sys.setprofile(count)
        try:
            result = function(*args)
        finally:
            sys.setprofile(None)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert calls <= FREE_CALLS + self.calls_a_byte * size, f"{calls} calls for {size} bytes"
        assert peak <= FREE_BYTES + self.bytes_a_byte * size + 4 * held, (
            f"a peak of {peak} bytes of memory for {size} of input"
        )
        return result
