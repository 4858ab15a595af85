"""Ranges and dates of RFC 9110, as they are read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headrace.server.files.http_date import parse_date, write_date
from headrace.server.files.ranges import MAX_RANGES, NEAR, content_range, parse_ranges


@pytest.mark.parametrize(
    ("value", "size", "ranges"),
    [
        # RFC 9110 §14.1.2's own examples, of 10,000 bytes.
        ("bytes=0-499", 10_000, [(0, 500)]),
        ("bytes=500-999", 10_000, [(500, 500)]),
        ("bytes=-500", 10_000, [(9500, 500)]),
        ("bytes=9500-", 10_000, [(9500, 500)]),
        ("bytes=0-0,-1", 10_000, [(0, 1), (9999, 1)]),
        ("bytes= 0-999, 4500-5499, -1000", 10_000, [(0, 1000), (4500, 1000), (9000, 1000)]),
        ("bytes=500-600,601-999", 10_000, [(500, 500)]),
        ("bytes=500-700,601-999", 10_000, [(500, 500)]),
        ("BYTES=0-1", 10, [(0, 2)]),
        ("bytes=0-99", 10, [(0, 10)]),
        ("bytes=9-9", 10, [(9, 1)]),
        ("bytes=-99", 10, [(0, 10)]),
        ("bytes=0-", 10, [(0, 10)]),
        ("bytes=0-99999999999999999999999", 10, [(0, 10)]),
        ("bytes=,0-1 ,, 2-3,", 1000, [(0, 4)]),
        # One of several that is not there is left out.
        ("bytes=10-,0-1", 10, [(0, 2)]),
        ("bytes=-0,0-1", 10, [(0, 2)]),
        # Nothing that is asked for is there: 416.
        ("bytes=10-", 10, []),
        ("bytes=10-20", 10, []),
        ("bytes=99999999999999999999999-", 10, []),
        # Numbers may have any length, and leading zeros mean nothing. (Found by tests/fuzz.)
        ("bytes=00000000000000000000002-00000000000000000000004", 10, [(2, 3)]),
        ("bytes=-00000000000000000000003", 10, [(7, 3)]),
        ("bytes=99999999999999999999999-99999999999999999999998", 10, None),
        ("bytes=99999999999999999999998-99999999999999999999999", 10, []),
        ("bytes=-0", 10, []),
        ("bytes=0-", 0, []),
        ("bytes=0-0", 0, []),
        ("bytes=-0", 0, []),
        # Not to be obeyed: then the whole is sent.
        ("bytes=-5", 0, None),
        ("bytes=5-4", 10, None),
        ("bytes=0-1,5-4", 10, None),
        ("bytes=", 10, None),
        ("bytes=,", 10, None),
        ("bytes=-", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=1 - 2", 10, None),
        ("bytes=+1-2", 10, None),
        ("bytes=--1", 10, None),
        ("bytes=0-1;2-3", 10, None),
        ("bytes=0x1-2", 10, None),
        ("bytes 0-1", 10, None),
        ("items=0-1", 10, None),
        ("", 10, None),
        ("bytes=\u0661-2", 10, None),
    ],
)
def test_ranges(value: str, size: int, ranges: list[tuple[int, int]] | None) -> None:
    assert parse_ranges(value, size) == ranges


def test_ranges_stay_in_the_order_asked_for_unless_they_are_joined() -> None:
    assert parse_ranges("bytes=5000-5009,0-9", 10_000) == [(5000, 10), (0, 10)]
    assert parse_ranges("bytes=5000-5009,0-9,5-20", 10_000) == [(0, 21), (5000, 10)]
    assert parse_ranges(f"bytes=0-9,{10 + NEAR}-{20 + NEAR}", 10_000) == [(0, 21 + NEAR)]
    assert parse_ranges(f"bytes=0-9,{11 + NEAR}-{20 + NEAR}", 10_000) == [(0, 10), (11 + NEAR, 10)]
    assert parse_ranges("bytes=0-100,10-20", 10_000) == [(0, 101)]


def test_a_flood_of_ranges_is_refused() -> None:
    """Apache's CVE-2011-3192 and its children: what costs the client a byte must not cost us a part."""
    most = ",".join(f"{1000 * each}-{1000 * each}" for each in range(MAX_RANGES))
    assert len(parse_ranges(f"bytes={most}", 100_000) or ()) == MAX_RANGES == 16
    assert parse_ranges(f"bytes={most},90000-", 100_000) == []
    assert parse_ranges("bytes=" + ",".join(["0-"] * 10_000), 100_000) == []


def test_no_set_of_ranges_gives_more_than_the_content() -> None:
    for step in (1, 7, 100):
        text = ",".join(f"{start}-" for start in range(0, 16 * step, step))
        ranges = parse_ranges(f"bytes={text}", 1000)
        assert ranges is not None
        assert sum(length for _, length in ranges) <= 1000


def test_content_range() -> None:
    assert content_range((0, 500), 1234) == b"bytes 0-499/1234"


NOW = datetime(2026, 11, 21, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", (1994, 11, 6, 8, 49, 37)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", (1994, 11, 6, 8, 49, 37)),
        ("Sun Nov  6 08:49:37 1994", (1994, 11, 6, 8, 49, 37)),
        ("Mon Nov 16 08:49:37 1994", (1994, 11, 16, 8, 49, 37)),
        # Two digits that seem to lie more than 50 years ahead are of the past.
        ("Sunday, 06-Nov-76 08:49:37 GMT", (2076, 11, 6, 8, 49, 37)),
        ("Sunday, 06-Nov-77 08:49:37 GMT", (1977, 11, 6, 8, 49, 37)),
        ("Sat, 31 Dec 2016 23:59:60 GMT", (2016, 12, 31, 23, 59, 59)),
        ("Thu, 29 Feb 2024 00:00:00 GMT", (2024, 2, 29, 0, 0, 0)),
        ("Thu, 29 Feb 2023 00:00:00 GMT", None),
        ("Sun, 06 Nov 1994 24:00:00 GMT", None),
        ("Sun, 06 Nov 1994 23:59:61 GMT", None),
        ("Sun, 6 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 UTC", None),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("sun, 06 nov 1994 08:49:37 gmt", None),
        ("Sun, 00 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        (" Sun, 06 Nov 1994 08:49:37 GMT", None),
        ("784111777", None),
        ("", None),
    ],
)
def test_dates(text: str, moment: tuple[int, ...] | None) -> None:
    expected = None if moment is None else int(datetime(*moment, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]
    assert parse_date(text, NOW) == expected


def test_a_date_is_written_as_it_is_read() -> None:
    assert write_date(784111777) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert parse_date(write_date(784111777.9).decode(), NOW) == 784111777
