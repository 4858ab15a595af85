"""Dates in fields (RFC 9110 §5.6.7)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Final

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH: Final = f"({'|'.join(_MONTHS)})"
_TIME: Final = "([0-9]{2}):([0-9]{2}):([0-9]{2})"
_DAYS: Final = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAYS: Final = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
# The format that is written, and the two obsolete ones that must be read.
_IMF: Final = re.compile(f"{_DAYS}, ([0-9]{{2}}) {_MONTH} ([0-9]{{4}}) {_TIME} GMT")
_RFC850: Final = re.compile(f"{_LONG_DAYS}, ([0-9]{{2}})-{_MONTH}-([0-9]{{2}}) {_TIME} GMT")
_ASCTIME: Final = re.compile(f"{_DAYS} {_MONTH} ([ 0-9][0-9]) {_TIME} ([0-9]{{4}})")


def write_date(seconds: float) -> bytes:
    """Return seconds since 1970 as a field's date."""
    return formatdate(seconds, usegmt=True).encode("ascii")


def parse_date(text: str, now: float) -> int | None:
    """Return a field's date as seconds since 1970, or None if it is invalid. `now` decides the century of a year of two
    digits."""
    if (match := _IMF.fullmatch(text)) is not None:
        day, month, year, *time = match.groups()
    elif (match := _RFC850.fullmatch(text)) is not None:
        day, month, year, *time = match.groups()
        this_year = datetime.fromtimestamp(now, UTC).year
        full = this_year // 100 * 100 + int(year)
        year = str(full - 100 if full > this_year + 50 else full)
    elif (match := _ASCTIME.fullmatch(text)) is not None:
        month, day, *time, year = match.groups()
    else:
        return None
    hours, minutes, seconds = (int(each) for each in time)
    try:
        # A leap second counts as the one before it.
        moment = datetime(int(year), _MONTHS.index(month) + 1, int(day), hours, minutes, min(seconds, 59), tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp()) if seconds <= 60 else None
