"""A timer for the open loop. Event loops count in milliseconds, which is long beside the latency of a fast server."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol


class Alarm(Protocol):
    """Calls back at a given time. At most one call is set: another `set` replaces it."""

    def set(self, when: float) -> None:
        """Call back at `when` on the clock of `time.monotonic`; at once when that is past."""
        ...

    def close(self) -> None:
        """Call back no more."""
        ...


def make_alarm(loop: asyncio.AbstractEventLoop, on_time: Callable[[], None]) -> Alarm:
    """Return the most precise timer: a kernel timer on Linux with Python 3.13, else the event loop's own."""
    if sys.version_info >= (3, 13) and sys.platform == "linux":
        return TimerfdAlarm(loop, on_time)  # pragma: no cover: Python 3.13 and later
    return LoopAlarm(loop, on_time)


class LoopAlarm:
    """A timer of the event loop: up to a millisecond late."""

    __slots__ = ("_handle", "_loop", "_on_time")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_time: Callable[[], None]) -> None:
        self._loop = loop
        self._on_time = on_time
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        """See Alarm."""
        self.close()
        self._handle = self._loop.call_later(max(0.0, when - time.monotonic()), self._on_time)

    def close(self) -> None:
        """See Alarm."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


if sys.version_info >= (3, 13) and sys.platform == "linux":  # pragma: no cover: Python 3.13 and later

    class TimerfdAlarm:
        """A kernel timer that becomes readable: some 50 microseconds late."""

        __slots__ = ("_fd", "_loop", "_on_time")

        def __init__(self, loop: asyncio.AbstractEventLoop, on_time: Callable[[], None]) -> None:
            self._loop = loop
            self._on_time = on_time
            self._fd = os.timerfd_create(0x1, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)  # CLOCK_MONOTONIC
            loop.add_reader(self._fd, self._on_readable)

        def set(self, when: float) -> None:
            """See Alarm."""
            # 0 would switch it off.
            os.timerfd_settime_ns(self._fd, initial=max(1, int((when - time.monotonic()) * 1e9)))

        def close(self) -> None:
            """See Alarm."""
            if self._fd >= 0:
                self._loop.remove_reader(self._fd)
                os.close(self._fd)
                self._fd = -1

        def _on_readable(self) -> None:
            try:
                os.read(self._fd, 8)
            except BlockingIOError:
                return  # it was set again meanwhile
            self._on_time()
