"""The slope of figures over time, and how sure it is: Theil and Sen's, which single outliers do not move."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

WARM_UP = 0.25
"""Part of the points that is left out at the beginning: imports, memories and pools that fill once."""
_Z = 1.96
"""95 % of a normal distribution lie within so many standard deviations."""


class Slope(NamedTuple):
    """The median slope between all pairs, with the ends of its 95 % confidence interval (Sen 1968)."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Slope:
        """Return the slope in another unit."""
        return Slope(self.value * factor, self.low * factor, self.high * factor)


def theil_sen(points: Sequence[tuple[float, float]]) -> Slope:
    """Return the slope of points (x, y). Raises ValueError for fewer than three."""
    if len(points) < 3:
        raise ValueError(f"a slope needs three points; there are {len(points)}")
    slopes = sorted(
        (y2 - y1) / (x2 - x1) for n, (x1, y1) in enumerate(points) for x2, y2 in points[n + 1 :] if x2 != x1
    )
    n = len(points)
    spread = _Z * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(int((len(slopes) - spread) / 2), 0)
    high = min(math.ceil((len(slopes) + spread) / 2), len(slopes) - 1)
    return Slope(statistics.median(slopes), slopes[low], slopes[high])


def warmed_up(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points without those of the warm-up."""
    return list(points[math.ceil(WARM_UP * len(points)) :])
