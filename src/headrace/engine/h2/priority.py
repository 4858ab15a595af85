"""RFC 9218: the `priority` field and the PRIORITY_UPDATE frame's value, a dictionary of `u` (urgency) and `i`."""

from __future__ import annotations

from typing import Final

DEFAULT_URGENCY: Final = 3  # RFC 9218 §4.1
LEVELS: Final = 8
_LONGEST_KEPT: Final = 64


def parse_priority(value: bytes) -> tuple[int, bool]:
    """Return (urgency 0-7, incremental) of a `priority` value; what cannot be read has its default (RFC 9218 §4).

    A value out of range, of another type, or with parameters is treated as the default for that member, never an error.
    """
    urgency = DEFAULT_URGENCY
    incremental = False
    for member in value.split(b","):
        member = member.split(b";", 1)[0].strip(b" \t")
        if len(member) == 3 and member[:2] == b"u=" and 0x30 <= member[2] <= 0x37:
            urgency = member[2] - 0x30
        elif member == b"i" or member == b"i=?1":
            incremental = True
        elif member == b"i=?0":
            incremental = False
    return urgency, incremental


class EarlyPriorities:
    """Priorities that PRIORITY_UPDATE gave to requests before they came (RFC 9218 §7.1), `most` at a time."""

    def __init__(self, most: int) -> None:
        self._values: dict[int, bytes] | None = None
        self._most = most

    def keep(self, stream_id: int, value: bytes) -> None:
        """Keep the value for a request; where there are too many, a further request's is forgotten."""
        values = self._values
        if values is None:
            values = {}
            self._values = values
        if stream_id in values or len(values) < self._most:
            values[stream_id] = value[:_LONGEST_KEPT]

    def take(self, stream_id: int) -> bytes | None:
        """Return the value for a request that has come, and forget it; None when there is none."""
        return None if self._values is None else self._values.pop(stream_id, None)
