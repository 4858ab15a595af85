"""Counts what a process holds: asyncio tasks; and, where asked, objects that the collector knows, by type, blocks of
Python's allocator, and bytes that C libraries and large objects have in the heap."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import sys
from collections import Counter
from typing import Any

MOST_TYPES = 40

_NAMES = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class _MallocInfo(ctypes.Structure):
    """What `mallinfo2` of glibc returns."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _NAMES)


_mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
if _mallinfo is not None:
    _mallinfo.restype = _MallocInfo
_loops: list[asyncio.AbstractEventLoop] = []


def census(*, deep: bool) -> dict[str, Any]:
    """Return the figures of this process. A deep one collects garbage first, and stops the process for that long.

    It may be called from any thread, as applications of WSGI are.
    """
    found: dict[str, Any] = {"pid": os.getpid(), "tasks": len(asyncio.all_tasks(_loop()))}
    if deep:
        gc.collect()
        everything = gc.get_objects()
        kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in everything)
        found |= {"objects": len(everything), "types": dict(kinds.most_common(MOST_TYPES))}
        del everything, kinds
        found["blocks"] = sys.getallocatedblocks()
        if _mallinfo is not None:
            found["heap"] = _mallinfo().uordblks // 1_024
    return found


def _loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of this process: the running one, or the one that runs in another thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        if not _loops:
            known = [each for each in gc.get_objects() if isinstance(each, asyncio.AbstractEventLoop)]
            _loops.append(next(each for each in known if each.is_running()))
        return _loops[0]
