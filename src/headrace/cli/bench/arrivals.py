"""When requests are due in the open loop: at a rate of the caller's, whether or not earlier ones have been answered.

A client that waits for an answer before it asks again asks less while the server is slow, and so leaves out of its
figures just the requests that would have been slow: coordinated omission. Here every request has the time at which it
was due, and its latency counts from then, also when there was no room to begin it.
"""

from __future__ import annotations

import math
import random

NEVER = math.inf


class Arrivals:
    """The times at which requests are due, one after the other: `next` is the earliest that was not taken.

    `rate` is a second. Evenly spaced, or with `is_poisson` at random with exponentially distributed gaps, which is how
    many people who know nothing of each other come; `seed` makes that repeatable. `count` is how many there are, None
    for no end; nothing is due at or after `end`.
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
        """The time at which a request is due, which the caller now begins; NEVER when there are no more."""
        due = self.next
        if due == NEVER:
            return due
        self.taken += 1
        if self._random is None:
            self.next = self._start + self.taken / self._rate  # not by adding up: errors would, too
        else:
            self.next = due + self._random.expovariate(self._rate)
        self._stop_if_over()
        return due

    def stop(self) -> None:
        """No more are due."""
        self.next = NEVER

    def _stop_if_over(self) -> None:
        if self.next >= self._end or (self._count is not None and self.taken >= self._count):
            self.next = NEVER
