"""Byte ranges that a client asks for (RFC 9110 §14)."""

from __future__ import annotations

import re
from typing import Final

MAX_RANGES: Final = 16
"""Ranges in one request; more are refused. A player asks for one, a download manager for a few."""
NEAR: Final = 80
"""Bytes between two ranges up to which they are sent as one: about the size of a part's header (§15.3.7.2)."""

_MEMBER: Final = re.compile("([0-9]*)-([0-9]*)")
_BEYOND: Final = 10**18  # more digits than any file needs

Range = tuple[int, int]
"""First byte, and number of bytes."""


def parse_ranges(value: str, size: int) -> list[Range] | None:
    """Return the ranges of a range field for a content of `size` bytes.

    Return None if the field is to be ignored: another unit, or invalid syntax (§14.2). Return an empty list for 416: no
    range lies within the content, or there are more than MAX_RANGES. Ranges that overlap or nearly touch are joined, so
    that a client never gets more bytes than the content has.
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
                    return None  # the last bytes of an empty content are all of it, which content-range cannot express
                continue
        else:
            if last is not None and _order(match[2]) < _order(match[1]):
                return None
            start = first
            length = (size if last is None else min(last + 1, size)) - first
            if length <= 0:
                continue
        ranges.append((start, length))
    return [] if len(members) > MAX_RANGES else _joined(ranges)


def content_range(part: Range, size: int) -> bytes:
    """Return the value of content-range for a part."""
    start, length = part
    return b"bytes %d-%d/%d" % (start, start + length - 1, size)


def _number(digits: str) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= 18 else _BEYOND


def _order(digits: str) -> tuple[int, str]:
    """Return a key by which numbers compare, however many digits they have."""
    digits = digits.lstrip("0")
    return len(digits), digits


def _joined(ranges: list[Range]) -> list[Range]:
    """Return ranges in the order asked for; if some must be joined, in the order of their first bytes."""
    joined: list[Range] = []
    for start, length in sorted(ranges):
        if joined and start <= sum(joined[-1]) + NEAR:
            before = joined[-1][0]
            joined[-1] = (before, max(sum(joined[-1]), start + length) - before)
        else:
            joined.append((start, length))
    return joined if len(joined) < len(ranges) else ranges
