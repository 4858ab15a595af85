"""The number of descriptors that the process may have open (RLIMIT_NOFILE, `ulimit -n`)."""

from __future__ import annotations

import errno
from typing import Final

try:
    import resource
except ImportError:  # pragma: no cover: only on Windows, whose limit is that of its C library
    _resource = None
else:
    _resource = resource

MOST: Final = 1_048_576
"""Stands for "no limit": Linux's default for a process (fs.nr_open)."""
_WINDOWS: Final = 8_192
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE)


def open_limit() -> int:
    """Return how many descriptors the process may have open now: the soft limit."""
    if _resource is None:
        return _WINDOWS
    soft = _resource.getrlimit(_resource.RLIMIT_NOFILE)[0]
    return MOST if soft == _resource.RLIM_INFINITY else min(soft, MOST)


def raise_open_limit() -> OSError | None:
    """Raise the soft limit to the hard limit, or to MOST if that is lower. Return the reason if it cannot be raised,
    else None."""
    if _resource is None:
        return None
    infinity = _resource.RLIM_INFINITY
    soft, hard = _resource.getrlimit(_resource.RLIMIT_NOFILE)
    wanted = MOST if hard == infinity else min(hard, MOST)
    if soft == infinity or soft >= wanted:
        return None
    try:
        _resource.setrlimit(_resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:  # macOS accepts less than it announces
        return error if isinstance(error, OSError) else OSError(str(error))
    return None


def is_exhaustion(error: BaseException) -> bool:
    """Return whether `error` says that the process, or the machine, has no descriptor left."""
    return isinstance(error, OSError) and error.errno in _EXHAUSTED
