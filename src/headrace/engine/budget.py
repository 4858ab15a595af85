"""Budgets for legal input that costs work: a token bucket that refills with time, and with completed work.

A budget is never a lifetime count: a busy proxy in front of many users is not an attacker. And it is never only a rate:
a peer with a thousand answered requests a second has a thousand times as many failures.
"""

from __future__ import annotations

from typing import Final

_MOST_EARNED: Final = 10  # bursts that work can earn beyond the first


class Budget:
    """`burst` units at once, refilled at `rate` a second, and `share` units for each request that was answered.

    Units earned by answers are kept beside the burst, up to ten times as many, and spent only when the burst is used
    up. `name` stands in log lines and in GOAWAY; SECURITY.md says which settings each name belongs to.
    """

    def __init__(self, name: str, burst: float, rate: float, now: float, share: float = 0.0) -> None:
        self.name = name
        self.burst = burst
        self.rate = rate
        self.share = share
        self.left: float = burst
        self.earned: float = 0.0
        self.answered: int = 0
        self.filled_at: float = now

    def earn(self, answered: int) -> None:
        """Note that `answered` requests have been answered since the connection began."""
        earned = self.earned + (answered - self.answered) * self.share
        self.answered = answered
        most = self.burst * _MOST_EARNED
        self.earned = earned if earned < most else most

    def spend(self, units: float, now: float) -> bool:
        """Take `units` at time `now`; return False when the budget does not have them.

        Time in which the budget was full earns nothing: otherwise a quiet connection could spend the burst twice.
        """
        left = self.left + (now - self.filled_at) * self.rate
        if left > self.burst:
            left = self.burst
        self.filled_at = now
        left -= units
        if left < 0.0 and self.earned > 0.0:
            earned = self.earned + left
            self.earned = earned if earned > 0.0 else 0.0
            left = 0.0 if earned >= 0.0 else earned
        self.left = left
        return left >= 0.0
