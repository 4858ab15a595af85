"""What a process and its children have used: processor time and memory, as Linux tells them in /proc."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


def tree(pid: int) -> Iterator[int]:
    """Yield a process and its descendants, whichever thread started them. Raises OSError when the process is gone."""
    yield pid
    for task in (PROC / str(pid) / "task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread or a child that has just ended
            for child in (task / "children").read_text().split():
                yield from tree(int(child))


def ticks(stat: str) -> int:
    """Return utime and stime of a line of /proc/PID/stat, added. The name in it may contain spaces and brackets."""
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its descendants, with the kernel's work for them."""
    return sum(ticks((PROC / str(each) / "stat").read_text()) for each in tree(pid)) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> int:
    """Return the resident bytes of a process and its descendants. Pages that they share count for each."""
    pages = sum(int((PROC / str(each) / "statm").read_text().split()[1]) for each in tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE")


def proportional(pid: int) -> int:
    """Return the same with each shared page divided by its users: what the kernel calls PSS."""
    return sum(pss((PROC / str(each) / "smaps_rollup").read_text()) for each in tree(pid))


def pss(rollup: str) -> int:
    """Return the bytes of the line Pss of /proc/PID/smaps_rollup."""
    found = re.search(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE)
    if found is None:
        raise ValueError("smaps_rollup has no line Pss")
    return int(found[1]) * 1024
