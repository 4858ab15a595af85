"""Pings of a WebSocket: those that a handler waits for, and those that test a silent peer."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Pings:
    """The pings whose pongs a task waits for."""

    __slots__ = ("_count", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._count = 0
        self._waiting: dict[bytes, tuple[asyncio.Future[float], float]] = {}

    def expect(self) -> tuple[bytes, asyncio.Future[float]]:
        """Return the payload of a new ping, and a future of the seconds until its pong."""
        self._count += 1
        payload = self._count.to_bytes(8, "big")
        pong: asyncio.Future[float] = self._loop.create_future()
        self._waiting[payload] = (pong, self._loop.time())
        return payload, pong

    def forget(self, payload: bytes) -> None:
        """Forget a ping that no task waits for any more."""
        self._waiting.pop(payload, None)

    def answered(self, payload: bytes) -> None:
        """Handle a pong. It answers its ping, and those before it (RFC 6455 §5.5.3)."""
        if payload not in self._waiting:
            return
        now = self._loop.time()
        for each, (pong, sent_at) in list(self._waiting.items()):
            if not pong.done():
                pong.set_result(now - sent_at)
            if each == payload:
                break

    def give_up(self, error: Exception) -> None:
        """End all waiting, because no pong arrives any more."""
        for pong, _ in self._waiting.values():
            if not pong.done():
                pong.set_exception(error)


class Keepalive:
    """One timer. The owner sets `heard` whenever bytes come, which is all that it costs.

    After `interval_s` of silence it calls `ask()`, which returns False if silence means nothing now.
    After `timeout_s` more of silence it calls `give_up(timeout_s)`, once; with None, never.
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
        self.heard: bool = False
        self._loop = loop
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._ask = ask
        self._give_up = give_up
        self._asked = False
        self._timer: asyncio.TimerHandle | None = self._after(interval_s)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _after(self, seconds: float) -> asyncio.TimerHandle:
        # Use an empty context: asyncio keeps that of a cancelled timer until the timer would have been due.
        return self._loop.call_later(seconds, self._check, context=contextvars.Context())

    def _check(self) -> None:
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
        self._timer = self._after(delay)
