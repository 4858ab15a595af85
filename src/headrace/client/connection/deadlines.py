"""The timeouts of the exchanges on a connection.

An exchange stores the time at which its present wait began: one store. The limit of the wait follows from the
exchange's state. One timer of the event loop checks all exchanges. It is due no later than the shortest timeout after
its last check, so every timeout is exact, and a request that goes well costs no timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.client.connection import failures
from headrace.client.connection.exchange import NEVER, STREAMED, ClientExchange

if TYPE_CHECKING:
    import asyncio
    import contextvars

    from headrace.client.timeouts import Timeouts


class ExchangeTimeouts:
    """The timer of a connection's exchanges. `live` has those that are not over, by stream; the connection fills it."""

    __slots__ = ("_check_at", "_context", "_live", "_loop", "_shortest", "_timeouts", "_timer")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, context: contextvars.Context, live: dict[int, ClientExchange]
    ) -> None:
        self._loop = loop
        self._context = context
        self._live = live
        self._timeouts: Timeouts | None = None
        self._shortest = NEVER
        self._check_at = NEVER
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Return True while the timer runs."""
        return self._timer is not None

    def watch(self, exchange: ClientExchange) -> None:
        """Start the first wait of an exchange."""
        timeouts = exchange.outgoing.timeouts
        if timeouts is not self._timeouts:  # usually the same object for all requests
            self._timeouts = timeouts
            self._shortest = _shortest(timeouts)
        exchange.since = now = self._loop.time()
        check_at = now + self._shortest
        if check_at < self._check_at:
            self._check_by(check_at)

    def _check_by(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._check_at = when
        self._timer = self._context.copy().run(self._loop.call_at, when, self.check)

    def check(self) -> None:
        """Fail the exchanges that have waited too long, and set the time of the next check."""
        self._timer = None
        self._check_at = NEVER
        now = self._loop.time()
        following = NEVER
        for exchange in list(self._live.values()):
            seconds = _limit(exchange)
            if seconds is not None:
                due = exchange.since + seconds
                if due <= now + 0.001:  # a timer may fire one clock tick early
                    exchange.fail(failures.timeout_error(exchange))
                    continue
                following = min(following, due)
            following = min(following, now + _shortest(exchange.outgoing.timeouts))  # its wait may change
        if following < self._check_at:
            self._check_by(following)

    def stop(self) -> None:
        """Check no more: the connection is lost."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._check_at = NEVER


def _limit(exchange: ClientExchange) -> float | None:
    """Return the limit of an exchange's present wait in seconds. None: it waits for its caller, or has no limit."""
    timeouts = exchange.outgoing.timeouts
    if exchange.is_sending:
        upload = exchange.upload
        if upload is not None:
            return timeouts.write if upload.is_blocked else None
        return None if exchange.is_tunnel else timeouts.headers
    if not exchange.status:
        return timeouts.headers
    if exchange.chunks and exchange.mode == STREAMED:
        return None  # the reader is late, not the server
    return timeouts.read


def _shortest(timeouts: Timeouts) -> float:
    phases = (timeouts.headers, timeouts.read, timeouts.write)
    return min((each for each in phases if each is not None), default=NEVER)
