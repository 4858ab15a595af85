"""Budgets for what is legal but costs work: a token bucket that refills with time.

Never a lifetime count: a busy proxy in front of many users is no attacker.
"""

from __future__ import annotations


class Budget:
    """`burst` units at once, refilled at `rate` a second. `name` is the limit's name, for log lines and GOAWAY."""

    def __init__(self, name: str, burst: float, rate: float, now: float) -> None:
        self.name = name
        self.burst = burst
        self.rate = rate
        self.left = burst
        self.filled_at = now

    def spend(self, units: float, now: float) -> bool:
        """Take `units` at time `now`; return False when the budget does not have them."""
        left = self.left - units
        if left < 0.0:  # refill only when it matters: most connections never get here
            left += (now - self.filled_at) * self.rate
            if left > self.burst - units:
                left = self.burst - units
            self.filled_at = now
        self.left = left
        return left >= 0.0
