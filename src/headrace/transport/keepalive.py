"""Finds out that a silent peer is gone: after an interval without an octet it is asked, and then has some time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Keepalive:
    """One timer. The owner sets `heard` whenever octets come, which is all that it costs.

    After `interval_s` in which nothing was heard `ask()` is called; it may say False, when silence means nothing now.
    When `timeout_s` more bring nothing either, `give_up(timeout_s)` is called, once; with None, never.
    """

    __slots__ = ("_ask", "_asked", "_give_up", "_interval_s", "_loop", "_timeout_s", "_timer", "heard")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval_s: float,
        timeout_s: float | None,
        ask: Callable[[], bool],
        give_up: Callable[[float], None],
    ) -> None:
        self.heard = False
        self._loop = loop
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._ask = ask
        self._give_up = give_up
        self._asked = False
        self._timer: asyncio.TimerHandle | None = loop.call_later(interval_s, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        delay = self._interval_s
        if self.heard:
            self.heard = False
            self._asked = False
        elif self._asked and self._timeout_s is not None:
            self._timer = None
            self._give_up(self._timeout_s)
            return
        elif self._ask():
            self._asked = True
            if self._timeout_s is not None:
                delay = self._timeout_s
        self._timer = self._loop.call_later(delay, self._look)
