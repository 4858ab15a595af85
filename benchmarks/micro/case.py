"""One case: a piece of work that is measured by the clock (`suite`) and by counted instructions (`benchmarks.gate`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

Work = Callable[[], object]


class Case(NamedTuple):
    """`make` prepares state and returns the work that is measured, which is called once."""

    name: str
    """Its module in `cases`, a colon, and one unit of its work."""
    make: Callable[[], Work]
    units: int = 1
    """How many units the work has: requests, frames, field sections, transfers."""
