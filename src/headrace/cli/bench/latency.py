"""Counts durations in bounded memory, precise to a thousandth."""

from __future__ import annotations

import math
from typing import Final

_SUB_BITS: Final = 10
_SUB: Final = 1 << _SUB_BITS
_UNIT_S: Final = 1e-7  # the finest step, for durations below a tenth of a millisecond
_LONGEST: Final = 36_000_000_000  # an hour, in units

PERCENTILES: Final = (50.0, 75.0, 90.0, 99.0, 99.9, 99.99)


class Histogram:
    """Counts durations in buckets whose width is at most a thousandth of their value (a tenth of a microsecond below
    0.1 ms). Extremes, sum and count are exact. It has at most some 27,000 counters."""

    __slots__ = ("_buckets", "_squares", "count", "longest", "shortest", "total")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self._squares = 0.0
        self.count: int = 0
        self.total: float = 0.0
        self.shortest: float = math.inf
        self.longest: float = 0.0

    def record(self, seconds: float) -> None:
        """Count one duration; a negative one, which the clock's resolution can cause, counts as 0."""
        if seconds < 0.0:
            seconds = 0.0
        self.count += 1
        self.total += seconds
        self._squares += seconds * seconds
        if seconds < self.shortest:
            self.shortest = seconds
        if seconds > self.longest:
            self.longest = seconds
        value = int(seconds / _UNIT_S)
        if value >= 2 * _SUB:
            shift = min(value, _LONGEST).bit_length() - _SUB_BITS - 1
            value = (shift << _SUB_BITS) + (min(value, _LONGEST) >> shift)
        buckets = self._buckets
        try:
            buckets[value] += 1
        except KeyError:
            buckets[value] = 1

    def add(self, other: Histogram) -> None:
        """Add the counts of `other`."""
        for index, number in other._buckets.items():
            self._buckets[index] = self._buckets.get(index, 0) + number
        self.count += other.count
        self.total += other.total
        self._squares += other._squares
        self.shortest = min(self.shortest, other.shortest)
        self.longest = max(self.longest, other.longest)

    @property
    def mean(self) -> float:
        """Return the mean in seconds; 0 when nothing was counted."""
        return self.total / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """Return the standard deviation, in seconds."""
        if not self.count:
            return 0.0
        return math.sqrt(max(0.0, self._squares / self.count - self.mean**2))

    def percentile(self, percent: float) -> float:
        """Return the duration that `percent` of all do not exceed, in seconds: the upper edge of its bucket, and at
        most the longest. 0 when nothing was counted."""
        return self.percentiles((percent,))[0]

    def percentiles(self, percents: tuple[float, ...]) -> list[float]:
        """Return several percentiles in one pass; `percents` must ascend."""
        if not self.count:
            return [0.0] * len(percents)
        found: list[float] = []
        seen = 0
        ordered = iter(sorted(self._buckets.items()))
        index = 0
        for percent in percents:
            # The tolerance keeps 99.9 % of 1,000 at 999, in spite of binary rounding.
            rank = min(self.count, max(1, math.ceil(self.count * percent / 100 - 1e-9)))
            while seen < rank:
                index, number = next(ordered)
                seen += number
            edge = self.longest if rank == self.count else min(self.longest, _upper_edge(index))
            found.append(max(self.shortest, edge))
        return found

    def bars(self, edges: list[float]) -> list[int]:
        """Return how many durations lie below each of the ascending `edges`, and not below the one before; the last
        bar has the rest."""
        counts = [0] * (len(edges) + 1)
        at = 0
        for index, number in sorted(self._buckets.items()):
            while at < len(edges) and _lower_edge(index) >= edges[at] - _UNIT_S / 2:
                at += 1
            counts[at] += number
        return counts


def _lower_edge(index: int) -> float:
    if index < 2 * _SUB:
        return index * _UNIT_S
    shift = (index >> _SUB_BITS) - 1
    return float((index - (shift << _SUB_BITS)) << shift) * _UNIT_S


def _upper_edge(index: int) -> float:
    if index < 2 * _SUB:
        return (index + 1) * _UNIT_S
    shift = (index >> _SUB_BITS) - 1
    return float(((index - (shift << _SUB_BITS)) + 1) << shift) * _UNIT_S
