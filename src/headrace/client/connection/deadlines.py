"""The timeouts of the exchanges on a connection.

An exchange stores the time at which its present wait began: one store. The limit of the wait follows from the
exchange's state. One timer of the event loop checks all exchanges. It is due no later than the shortest timeout after
its last check, so every timeout is exact, and a request that goes well costs no timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.client.connection import failures
from headrace.client.connection.exchange import NEVER, STREAMED, Exchange
from headrace.engine.contract import ClientEngine
from headrace.transport.connection import Connection

if TYPE_CHECKING:
    import asyncio

    from headrace.client.timeouts import Timeouts


class DriverDeadlines(Connection):
    """A connection that knows its exchanges and the limits of their waits."""

    __slots__ = ("_look_at", "_look_timer", "_shortest", "_timeouts", "live", "now")

    engine: ClientEngine

    def __init__(self, loop: asyncio.AbstractEventLoop, stall_timeout_s: float) -> None:
        super().__init__(loop, stall_timeout_s)
        self.live: dict[int, Exchange] = {}
        """Exchanges that are not over, by stream."""
        self.now: float = loop.time()
        """The event loop's time at the last input."""
        self._timeouts: Timeouts | None = None
        self._shortest = NEVER
        self._look_at = NEVER
        self._look_timer: asyncio.TimerHandle | None = None

    def before_input(self, now: float) -> None:
        self.now = now

    def _watch(self, exchange: Exchange) -> None:
        """Start the first wait of an exchange."""
        timeouts = exchange.outgoing.timeouts
        if timeouts is not self._timeouts:  # usually the same object for all requests
            self._timeouts = timeouts
            self._shortest = _shortest(timeouts)
        exchange.since = now = self.loop.time()
        look_at = now + self._shortest
        if look_at < self._look_at:
            self._look_by(look_at)

    def _look_by(self, when: float) -> None:
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._look_at = when
        self._look_timer = self.context.copy().run(self.loop.call_at, when, self._look)

    def _look(self) -> None:
        """Fail the exchanges that have waited too long, and set the time of the next check."""
        self._look_timer = None
        self._look_at = NEVER
        now = self.loop.time()
        following = NEVER
        for exchange in list(self.live.values()):
            seconds = _limit(exchange)
            if seconds is not None:
                due = exchange.since + seconds
                if due <= now + 0.001:  # a timer may fire one clock tick early
                    exchange.fail(failures.timed_out(exchange))
                    continue
                following = min(following, due)
            # the exchange may begin another wait
            following = min(following, now + _shortest(exchange.outgoing.timeouts))
        if following < self._look_at:
            self._look_by(following)

    def _stop_looking(self) -> None:
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None
        self._look_at = NEVER


def _limit(exchange: Exchange) -> float | None:
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
