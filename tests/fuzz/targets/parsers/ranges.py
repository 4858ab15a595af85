"""Byte ranges: the field range, for contents of any size.

Property: no value raises. What comes out lies within the content, is never more than the content has, and covers just
the bytes that a plain reading of RFC 9110 §14.1.2 asks for, but for gaps that are closed; the plain reading stands
here.
"""

from __future__ import annotations

import re

from headrace.server.files.ranges import MAX_RANGES, NEAR, content_range, parse_ranges

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source

WORDS = (
    "bytes=",
    "-",
    ",",
    " ",
    "0",
    "1",
    "9",
    "99",
    "5-",
    "-5",
    "0-0",
    "100-200",
    "\t",
    "BYTES =",
    "items=",
    "²",
    "x",
    "0-",
    "7-3",
    "9" * 30,
)
SIZES = (0, 1, 10, 100, 1_000, 300)


def target(data: bytes) -> None:
    """Parse a value for a content."""
    source = Source(data)
    size = source.pick(SIZES)
    value = "bytes=" if source.flag() else ""
    while source.more and len(value) < 2_000:
        kind = source.byte()
        value += WORDS[kind % len(WORDS)] if kind < 240 else source.take(3).decode("latin-1")
    got = Meter(data, calls_a_byte=10, bytes_a_byte=200).run(parse_ranges, value, size, size=len(value))
    wanted = asked(value, size)
    if wanted is None or got is None:
        assert got is None and (wanted is None or size == 0), f"{value!r} of {size}: {got}, not {wanted}"
        return
    if not got:
        assert not wanted or value.count(",") >= MAX_RANGES, f"{value!r} of {size}: 416, not {wanted}"
        return
    covered: set[int] = set()
    for start, length in got:
        assert 0 <= start < start + length <= size
        assert covered.isdisjoint(range(start, start + length)), f"{value!r}: bytes go out twice"
        covered.update(range(start, start + length))
        assert re.fullmatch(rb"bytes \d+-\d+/\d+", content_range((start, length), size))
    needed = {each for start, end in wanted for each in range(start, end)}
    assert needed <= covered
    if len(got) == len(wanted):
        assert covered == needed
    assert all(any(abs(each - other) <= NEAR for other in needed) for each in covered - needed)


def asked(value: str, size: int) -> list[tuple[int, int]] | None:
    """Return the parts that a value asks for, as first byte and end; None where it is to be ignored."""
    unit, equals, text = value.partition("=")
    if not equals or unit.strip(" \t").lower() != "bytes":
        return None
    members = [each.strip(" \t") for each in text.split(",") if each.strip(" \t")]
    found = []
    for member in members:
        first, dash, last = member.partition("-")
        if not dash or not re.fullmatch("[0-9]*", first + last) or not first + last or "-" in last:
            return None
        if not first:
            start, end = max(0, size - int(last)), size
        else:
            if last and int(last) < int(first):
                return None
            start, end = int(first), min(size, int(last) + 1) if last else size
        if start < end:
            found.append((start, end))
    return found if members else None


def seeds() -> list[bytes]:
    """Return values with each word."""
    return [bytes((n % 6, 1, n, 2, (n * 3) % 20, 2, 10, 2, n)) for n in range(20)] + [
        bytes((4, 1)) + bytes((8, 2)) * 20
    ]
