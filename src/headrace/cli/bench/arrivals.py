"""The times at which requests are due in the open loop: at a rate of the caller's, independent of earlier answers.

A client that waits for each answer sends fewer requests while the server is slow, and so leaves out of its figures the
very requests that would have been slow: coordinated omission. Here every request has a due time, and its latency counts
from then, also when there was no room to begin it.
"""

from __future__ import annotations

import math
import random

NEVER = math.inf


class Arrivals:
    """The due times of requests, one after the other: `next` is the earliest that was not taken.

    `rate` is per second. The times are evenly spaced, or with `is_poisson` random with exponentially distributed gaps,
    like requests from many independent users; `seed` makes them repeatable. `count` is their number, None for no end;
    no request is due at or after `end`.
    """

    def __init__(
        self,
        start: float,
        rate: float,
        *,
        is_poisson: bool = False,
        seed: int | None = None,
        count: int | None = None,
        end: float = NEVER,
    ) -> None:
        self.taken: int = 0
        self._start = start
        self._rate = rate
        self._random = random.Random(seed) if is_poisson else None
        self._count = count
        self._end = end
        self.next: float = start if self._random is None else start + self._random.expovariate(rate)
        self._stop_if_over()

    def take(self) -> float:
        """Return the next due time, for a request that the caller now begins; NEVER when there are no more."""
        due = self.next
        if due == NEVER:
            return due
        self.taken += 1
        if self._random is None:
            self.next = self._start + self.taken / self._rate  # not a running sum: that would add up rounding errors
        else:
            self.next = due + self._random.expovariate(self._rate)
        self._stop_if_over()
        return due

    def stop(self) -> None:
        """Make no more requests due."""
        self.next = NEVER

    def _stop_if_over(self) -> None:
        if self.next >= self._end or (self._count is not None and self.taken >= self._count):
            self.next = NEVER
