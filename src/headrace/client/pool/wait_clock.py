"""Ends waits for a connection: each request waits by its own timeouts, also when others wait for the same connection.

A connection is made for all requests that wait at its origin, so the timeouts of one request must not end the attempt.
They end that request's wait instead. An attempt goes on as long as a request waits for it, and for a grace time when
none does.

The clock of an origin adds up the time it has spent in each phase: in a TLS handshake, in making a connection, or with
only connections without room. A waiting request remembers the sums at its start; the difference is the time that it has
used. One timer per origin checks all of them when the first one may be due.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import math
from typing import TYPE_CHECKING, Final, Protocol

from headrace.client.errors import ConnectTimeout, PoolTimeout, RequestError, RequestTimeout, TLSTimeout
from headrace.client.pool.place import WEBSOCKET, OriginPlace, Ticket
from headrace.client.timeouts import DEFAULT_TIMEOUTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.client.connection.exchange import ClientExchange
    from headrace.client.interface import Outgoing
    from headrace.client.pool.policy import Pool
    from headrace.client.timeouts import Timeouts

POOL: Final = 0
CONNECT: Final = 1
TLS: Final = 2

NEVER: Final = math.inf
_TICK: Final = 0.001  # a timer may fire one clock tick early

Sums = tuple[float, float, float]
"""Seconds by phase."""


class Waiter(Ticket):
    """A request that waits for a connection with room. `future` becomes its exchange. The exchange begins in the
    context of the waiting caller, not in that of the request whose end makes room."""

    __slots__ = ("context", "future", "outgoing", "since", "whole")

    def __init__(
        self,
        place: OriginPlace,
        kind: int,
        serial: int,
        outgoing: Outgoing,
        whole: bool,
        future: asyncio.Future[ClientExchange],
    ) -> None:
        super().__init__(place, kind, serial)
        self.context: contextvars.Context = contextvars.copy_context()
        self.outgoing: Outgoing = outgoing
        self.whole: bool = whole
        self.future: asyncio.Future[ClientExchange] = future
        self.since: Sums | None = None
        """The sums of its place's clock at its start; None until it is counted."""

    def fail(self, error: Exception) -> None:
        """End the wait with an error; each waiter gets its own error, with its own URL."""
        if self.future.done():
            return
        if isinstance(error, RequestError):
            own = copy.copy(error)
            own.__cause__ = error.__cause__
            own.url = self.outgoing.url
            error = own
        self.future.set_exception(error)


class Attempt(Protocol):
    """A connection that is being made."""

    phase: int
    """CONNECT or TLS."""
    phase_since: float
    """The event loop's time at which the phase began."""


class Attempts(Protocol):
    """Makes connections, and has the waiting requests."""

    def attempts_of(self, place: OriginPlace) -> Sequence[Attempt]:
        """Return the attempts that are under way for an origin."""
        ...

    def give_up(self, waiter: Waiter, error: RequestTimeout) -> None:
        """End the wait of `waiter` with `error`."""
        ...

    def abandon(self, attempt: Attempt, error: RequestTimeout) -> None:
        """End an attempt that no request waits for any more."""
        ...


class WaitClock:
    """The clock of one origin, and the timer that ends waits. Call `changed` when an attempt changes, `joined` for each
    new waiter."""

    __slots__ = (
        "_again",
        "_due",
        "_is_checking",
        "_loop",
        "_owner",
        "_phase",
        "_place",
        "_pool",
        "_since",
        "_sums",
        "_timer",
    )

    def __init__(self, place: OriginPlace, pool: Pool, owner: Attempts) -> None:
        self._place = place
        self._pool = pool
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._phase = POOL
        self._since = self._loop.time()
        self._sums = [0.0, 0.0, 0.0]
        self._timer: asyncio.TimerHandle | None = None
        self._due = NEVER
        self._is_checking = False
        self._again = False

    def joined(self, waiter: Waiter) -> None:
        """Start the time of `waiter`."""
        waiter.since = self._read(self._loop.time())
        limit = _limit(waiter.outgoing.timeouts, self._phase)
        if limit is not None:
            self._check_by(self._loop.time() + limit)

    def changed(self) -> None:
        """Handle that an attempt has begun, reached TLS or ended: another limit may count for the waiting requests."""
        attempts = self._owner.attempts_of(self._place)
        phase = max((each.phase for each in attempts), default=POOL)
        if phase != self._phase:
            self._read(self._loop.time())
            self._phase = phase
        self._check()

    def stop(self) -> None:
        """Stop the timer: no request waits, and no attempt is under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due = NEVER

    def _read(self, now: float) -> Sums:
        """Return the sums at this moment."""
        sums = self._sums
        sums[self._phase] += now - self._since
        self._since = now
        return sums[0], sums[1], sums[2]

    def _check_by(self, when: float) -> None:
        if when >= self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = when
        self._timer = self._loop.call_at(when, self._on_timer, context=contextvars.Context())

    def _on_timer(self) -> None:
        self._timer = None
        self._due = NEVER
        self._check()

    def _check(self) -> None:
        """End the waits that have lasted too long, and set the time of the next check."""
        if self._is_checking:
            self._again = True  # a check may begin and end attempts
            return
        self._is_checking = True
        try:
            while True:
                self._again = False
                self._check_once()
                if not self._again:
                    return
        finally:
            self._is_checking = False

    def _check_once(self) -> None:
        place = self._place
        now = self._loop.time()
        sums = self._read(now)
        phase = self._phase
        following = NEVER
        is_hoped_for = False  # True when a request still has time for the attempts that are under way
        late: list[tuple[Waiter, RequestTimeout]] = []
        last: RequestTimeout | None = None
        for ticket in (*place.requests, *place.tunnels):
            assert isinstance(ticket, Waiter)
            since = ticket.since
            if since is None:  # it has just come; it is counted when it stays
                is_hoped_for = True
                continue
            limits = ticket.outgoing.timeouts
            if phase != POOL:
                limit = _limit(limits, phase)
                left = NEVER if limit is None else limit - (sums[phase] - since[phase])
                if left > _TICK:
                    is_hoped_for = True
                    following = min(following, now + left)
                    continue
                last = self._timed_out(ticket, phase)
                if not _has_other_hope(place, ticket):
                    late.append((ticket, last))
                    continue
            limit = limits.pool
            if limit is None:
                continue
            # The time beyond the limit for making a connection was spent in waiting for room on other connections.
            spent = sums[POOL] - since[POOL]
            for each in (CONNECT, TLS):
                free = _limit(limits, each)
                if free is not None:
                    spent += max(sums[each] - since[each] - free, 0.0)
            if spent + _TICK >= limit:
                late.append((ticket, self._timed_out(ticket, POOL)))
            else:
                following = min(following, now + limit - spent)
        for waiter, error in late:
            self._owner.give_up(waiter, error)
        if phase != POOL and not is_hoped_for and not self._again:
            for attempt in self._owner.attempts_of(place):
                if last is not None:
                    self._owner.abandon(attempt, last)
                    continue
                # No request is left, and none has timed out: other connections served them, or their callers gave up.
                grace = _limit(DEFAULT_TIMEOUTS, attempt.phase)
                assert grace is not None
                if attempt.phase_since + grace <= now + _TICK:
                    self._owner.abandon(
                        attempt, ConnectTimeout(f"no request waits for a connection to {place.origin} any more")
                    )
                else:
                    following = min(following, attempt.phase_since + grace)
        if following < NEVER:
            self._check_by(following)

    def _timed_out(self, waiter: Waiter, phase: int) -> RequestTimeout:
        limits = waiter.outgoing.timeouts
        origin = self._place.origin
        if phase == CONNECT:
            return ConnectTimeout(f"no connection to {origin} within {limits.connect:g} s")
        if phase == TLS:
            return TLSTimeout(f"no TLS handshake with {origin} within {limits.tls:g} s")
        return PoolTimeout(
            f"no connection to {origin} had room for {limits.pool:g} s ({len(self._place.members)} open, "
            f"{self._pool.open} in all)"
        )


def _limit(timeouts: Timeouts, phase: int) -> float | None:
    if phase == CONNECT:
        return timeouts.connect
    return timeouts.tls if phase == TLS else timeouts.pool


def _has_other_hope(place: OriginPlace, waiter: Waiter) -> bool:
    """Return True when an open connection may come to have room for `waiter`."""
    if waiter.kind != WEBSOCKET:
        return bool(place.members)
    return bool(place.spare) or any(each.http_version != "2" or each.takes_websockets for each in place.members)
