"""Conditional requests: the client has a copy already, and asks whether it is still current (RFC 9110 §13)."""

from __future__ import annotations

import re
from typing import Final

from headrace.server.files.http_date import parse_date
from headrace.server.handlers.request import Request

PROCEED: Final = 0
NOT_MODIFIED: Final = 304
FAILED: Final = 412

_TAG: Final = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def evaluate(request: Request, etag: str, modified: int, now: float) -> int:
    """Return the result of the preconditions of a GET or HEAD, in the order of §13.2.2: PROCEED, NOT_MODIFIED or
    FAILED.

    `etag` is the current strong entity tag with its quotes, `modified` the value of last-modified, in seconds since
    1970. An invalid date is ignored (§13.1.3, §13.1.4).
    """
    if_match = request.header("if-match")
    if if_match is not None:
        if not _matches_any(etag, if_match, strong=True):
            return FAILED
    else:
        since = _date(request, "if-unmodified-since", now)
        if since is not None and modified > since:
            return FAILED
    if_none_match = request.header("if-none-match")
    if if_none_match is not None:
        return NOT_MODIFIED if _matches_any(etag, if_none_match, strong=False) else PROCEED
    since = _date(request, "if-modified-since", now)
    return NOT_MODIFIED if since is not None and modified <= since else PROCEED


def range_holds(request: Request, etag: str, modified: int, now: float) -> bool:
    """Return whether a range may be sent: there is no if-range, or it names the current version (§13.1.5)."""
    value = request.header("if-range")
    if value is None:
        return True
    if '"' in value:
        return value == etag  # a strong comparison: a weak tag is never equal
    # A date is a strong validator only if the file cannot have changed again in that second (§8.8.2.2).
    return parse_date(value, now) == modified and now - modified >= 1


def _matches_any(etag: str, value: str, *, strong: bool) -> bool:
    if value.strip(" \t") == "*":
        return True
    return any(match[2] == etag and not (strong and match[1]) for match in _TAG.finditer(value))


def _date(request: Request, name: str, now: float) -> int | None:
    value = request.header(name)
    return None if value is None else parse_date(value, now)
