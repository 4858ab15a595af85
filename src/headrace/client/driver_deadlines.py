"""The exchanges of a connection, and how long each may wait.

Each exchange stores the deadline of the wait that it is in. One timer of the loop stands at the earliest of them, or
earlier; it is set anew only when it fires, or for what is due before it. So a request that goes well costs a comparison
or two, and no timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.client import failures
from headrace.client.exchange import NEVER, STREAMED, Exchange
from headrace.engine.contract import Engine
from headrace.transport.connection import Connection

if TYPE_CHECKING:
    import asyncio


class DriverDeadlines(Connection):
    """A connection that knows its exchanges and their deadlines."""

    __slots__ = ("_scan_at", "_scan_timer", "engine", "live", "now")

    engine: Engine

    def __init__(self, loop: asyncio.AbstractEventLoop, stall_timeout_s: float) -> None:
        super().__init__(loop, stall_timeout_s)
        self.live: dict[int, Exchange] = {}
        """Exchanges that are not over, by their stream."""
        self.now = loop.time()
        """The loop's time at the last input."""
        self._scan_at = NEVER
        self._scan_timer: asyncio.TimerHandle | None = None

    def before_input(self, now: float) -> None:
        self.now = now

    def expect(self, exchange: Exchange, seconds: float | None) -> None:
        """Give an exchange `seconds` from now for what it waits for; None is no limit."""
        if seconds is None:
            exchange.deadline = NEVER
        else:
            exchange.deadline = deadline = self.loop.time() + seconds
            if deadline < self._scan_at:
                self._scan_by(deadline)

    def _expect_more(self, exchange: Exchange) -> None:
        """Something of the response has come: from here on, the read timeout runs anew."""
        seconds = exchange.outgoing.timeouts.read
        if seconds is None:
            exchange.deadline = NEVER
        else:
            exchange.deadline = deadline = self.now + seconds
            if deadline < self._scan_at:
                self._scan_by(deadline)

    def _scan_by(self, when: float) -> None:
        """Look at the deadlines at `when`, which is earlier than the next look."""
        if self._scan_timer is not None:
            self._scan_timer.cancel()
        self._scan_at = when
        self._scan_timer = self.loop.call_at(when, self._scan)

    def _scan(self) -> None:
        """End what has waited too long, and find the next deadline."""
        self._scan_timer = None
        self._scan_at = NEVER
        due = self.loop.time() + 0.001  # a timer may come a clock tick early
        following = NEVER
        for exchange in list(self.live.values()):
            if exchange.deadline > due:
                following = min(following, exchange.deadline)
            elif exchange.chunks and exchange.mode == STREAMED:
                exchange.deadline = NEVER  # its reader is late, not the server; `receive` sets a new one
            else:
                exchange.fail(failures.timed_out(exchange))
        if following < self._scan_at:
            self._scan_by(following)

    def _stop_scanning(self) -> None:
        if self._scan_timer is not None:
            self._scan_timer.cancel()
            self._scan_timer = None
        self._scan_at = NEVER
