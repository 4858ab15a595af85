"""RFC 9218: the `priority` field and the PRIORITY_UPDATE frame's value, a dictionary of `u` (urgency) and `i`."""

from __future__ import annotations

from typing import Final

DEFAULT_URGENCY: Final = 3  # RFC 9218 §4.1
LEVELS: Final = 8


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
