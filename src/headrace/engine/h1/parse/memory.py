"""Heads that were parsed before, by their bytes: most peers repeat theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.engine.hpack.sightings import Sightings

# What remembered heads may cost a connection; the charges are measured sizes, see engine/hpack/decoder.py.
REMEMBERED_SIZE: Final = 4_096
_REMEMBERED_HEADS: Final = 64
_REMEMBERED_COST: Final = 65_536
_HEAD_COST: Final = 1_024
_FIELD_COST: Final = 224


class HeadMemory:
    """The memory of one connection."""

    def __init__(self) -> None:
        self._remembered: dict[bytes, object] | None = None
        self._cost: int = 0
        self._sightings: Sightings | None = None

    @property
    def count(self) -> int:
        """Heads that are remembered."""
        return 0 if self._remembered is None else len(self._remembered)

    def find(self, data: bytes) -> object:
        """Return what was remembered for these bytes, None when it is not there."""
        remembered = self._remembered
        if remembered is None:
            return None
        return remembered.get(data)

    def note(self, data: bytes, head: object, headers: Sequence[Any]) -> None:
        """Keep a head whose bytes have come before: what has something unique in it shall not cost memory."""
        if len(data) > REMEMBERED_SIZE:
            return
        sightings = self._sightings
        if sightings is None:
            sightings = self._sightings = Sightings()
        if not sightings.seen_before(hash(data)):
            return
        cost = _HEAD_COST + 2 * len(data) + len(headers) * _FIELD_COST
        remembered = self._remembered
        total = self._cost + cost
        if remembered is None or len(remembered) >= _REMEMBERED_HEADS or total > _REMEMBERED_COST:
            remembered = self._remembered = {}
            total = cost
        remembered[data] = head
        self._cost = total
