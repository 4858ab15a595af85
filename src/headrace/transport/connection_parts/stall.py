"""A watch over a peer that takes none of our output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    import contextvars
    from collections.abc import Callable

STALL_PROGRESS: Final = 4_096  # bytes within the timeout that count; less is a drip
_RESUMED: Final = -1


class StallWatch:
    """One timer per connection, not per pause in writing: pauses are many and short."""

    __slots__ = ("_mark", "_timer", "timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s: float = timeout_s
        """Longest time that the peer's kernel may accept no bytes."""
        self._timer: asyncio.TimerHandle | None = None
        self._mark = 0
        """Bytes that waited in the transport when the timer was set."""

    @property
    def is_running(self) -> bool:
        """True until the next check."""
        return self._timer is not None

    def start(
        self,
        transport: asyncio.Transport,
        check: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
    ) -> None:
        """Call `check` after the timeout, in `context`."""
        self._mark = transport.get_write_buffer_size()
        self._timer = loop.call_later(self.timeout_s, check, context=context)

    def resumed(self) -> None:
        """Note that the peer has taken everything."""
        self._mark = _RESUMED

    def is_stalled(self, transport: asyncio.Transport) -> bool:
        """Return whether the peer has taken less than STALL_PROGRESS since `start`; for `check`, which starts anew."""
        taken = self._mark - transport.get_write_buffer_size()
        return self._mark != _RESUMED and taken < STALL_PROGRESS

    def expired(self) -> None:
        """Note that the timer has run."""
        self._timer = None

    def stop(self) -> None:
        """Cancel the timer; a no-op without one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
