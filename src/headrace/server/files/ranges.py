"""Ranges of octets that a client asks for (RFC 9110 §14)."""

from __future__ import annotations

import re
from typing import Final

MAX_RANGES: Final = 16
"""Ranges in one request; more is refused, as a player asks for one and a download manager for a few."""
NEAR: Final = 80
"""Octets between two ranges up to which they are sent as one: what the header of a part costs (§15.3.7.2)."""

_MEMBER: Final = re.compile("([0-9]*)-([0-9]*)")
_BEYOND: Final = 10**18  # more digits than any file needs

Range = tuple[int, int]
"""First octet, and how many."""


def parse_ranges(value: str, size: int) -> list[Range] | None:
    """The ranges of a range field for a content of `size` octets.

    None when the field is to be ignored: another unit, or no such syntax (§14.2). Empty when it is 416: nothing of what
    is asked for is there, or it is more than MAX_RANGES. Ranges that overlap or nearly touch are joined, so that nobody
    gets more octets than the content has.
    """
    unit, equals, text = value.partition("=")
    if unit.strip(" \t").lower() != "bytes" or not equals:
        return None
    members = [member for each in text.split(",") if (member := each.strip(" \t"))]
    if not members:
        return None
    ranges: list[Range] = []
    for member in members:
        match = _MEMBER.fullmatch(member)
        if match is None or member == "-":
            return None
        first, last = (_number(each) for each in match.groups())
        if first is None:
            length = min(last or 0, size)
            start = size - length
            if length == 0:
                if last and not size:
                    return None  # the last octets of nothing are all there is, which no content-range can say
                continue
        else:
            if last is not None and last < first:
                return None
            start = first
            length = (size if last is None else min(last + 1, size)) - first
            if length <= 0:
                continue
        ranges.append((start, length))
    return [] if len(members) > MAX_RANGES else _joined(ranges)


def content_range(part: Range, size: int) -> bytes:
    """What content-range says of a part."""
    start, length = part
    return b"bytes %d-%d/%d" % (start, start + length - 1, size)


def _number(digits: str) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits) <= 18 else _BEYOND


def _joined(ranges: list[Range]) -> list[Range]:
    """In the order asked for, unless some must be joined: then from the first octet on."""
    joined: list[Range] = []
    for start, length in sorted(ranges):
        if joined and start <= sum(joined[-1]) + NEAR:
            before = joined[-1][0]
            joined[-1] = (before, max(sum(joined[-1]), start + length) - before)
        else:
            joined.append((start, length))
    return joined if len(joined) < len(ranges) else ranges
