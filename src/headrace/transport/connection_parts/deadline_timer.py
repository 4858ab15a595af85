"""The one timer of a connection, for the deadline of its engine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    import contextvars
    from collections.abc import Callable

NEVER: Final = math.inf


class DeadlineTimer:
    """Set lazily: a deadline that moves away leaves the timer as it is, and the early call sets it anew."""

    __slots__ = ("_context", "_handle", "_loop", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, context: contextvars.Context) -> None:
        self._loop = loop
        self._context = context
        self._handle: asyncio.TimerHandle | None = None
        self.at: float = NEVER
        """Time on the loop's clock; NEVER without a timer. Set the timer only for an earlier one."""

    def set(self, when: float, call: Callable[[], None]) -> None:
        """Call `call` at `when`, and not at the time before."""
        if self._handle is not None:
            self._handle.cancel()
        self.at = when
        self._handle = self._context.copy().run(self._loop.call_at, when, call)

    def expired(self) -> None:
        """Note that the timer has run."""
        self._handle = None
        self.at = NEVER

    def stop(self) -> None:
        """Cancel the timer; a no-op without one."""
        if self._handle is not None:
            self._handle.cancel()
        self.expired()
