"""The exchanges of a connection, and how long each may wait.

An exchange stores since when it has been in the wait that it is in, which costs one store; what that wait may last
follows from its state. One timer of the loop looks at them all, no later than the shortest timeout after its last look:
so every timeout is kept to the moment, and a request that goes well costs no timer.
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
    """A connection that knows its exchanges and what they wait for."""

    __slots__ = ("_look_at", "_look_timer", "_shortest", "_timeouts", "live", "now")

    engine: ClientEngine

    def __init__(self, loop: asyncio.AbstractEventLoop, stall_timeout_s: float) -> None:
        super().__init__(loop, stall_timeout_s)
        self.live: dict[int, Exchange] = {}
        """Exchanges that are not over, by their stream."""
        self.now: float = loop.time()
        """The loop's time at the last input."""
        self._timeouts: Timeouts | None = None
        self._shortest = NEVER
        self._look_at = NEVER
        self._look_timer: asyncio.TimerHandle | None = None

    def before_input(self, now: float) -> None:
        self.now = now

    def _watch(self, exchange: Exchange) -> None:
        """An exchange begins its first wait."""
        timeouts = exchange.outgoing.timeouts
        if timeouts is not self._timeouts:  # mostly the same object for all requests
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
        """End what has waited too long, and find the time of the next look."""
        self._look_timer = None
        self._look_at = NEVER
        now = self.loop.time()
        following = NEVER
        for exchange in list(self.live.values()):
            seconds = _limit(exchange)
            if seconds is not None:
                due = exchange.since + seconds
                if due <= now + 0.001:  # a timer may come a clock tick early
                    exchange.fail(failures.timed_out(exchange))
                    continue
                following = min(following, due)
            following = min(following, now + _shortest(exchange.outgoing.timeouts))  # what it waits for may change
        if following < self._look_at:
            self._look_by(following)

    def _stop_looking(self) -> None:
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None
        self._look_at = NEVER


def _limit(exchange: Exchange) -> float | None:
    """How long the wait that an exchange is in may last; None where it waits for its caller, or without limit."""
    timeouts = exchange.outgoing.timeouts
    if exchange.is_sending:
        upload = exchange.upload
        if upload is not None:
            return timeouts.write if upload.is_blocked else None
        return None if exchange.is_tunnel else timeouts.headers
    if not exchange.status:
        return timeouts.headers
    if exchange.chunks and exchange.mode == STREAMED:
        return None  # its reader is late, not the server
    return timeouts.read


def _shortest(timeouts: Timeouts) -> float:
    phases = (timeouts.headers, timeouts.read, timeouts.write)
    return min((each for each in phases if each is not None), default=NEVER)
