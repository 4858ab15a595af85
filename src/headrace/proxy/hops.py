"""The hops of a request: `via` and `max-forwards` (RFC 9110 §7.6.2, §7.6.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from headrace.server.errors import HTTPError
from headrace.server.handlers.headers import FieldList

_MOST_HOPS: Final = 100  # members of a via; also comments, so that it is read in a short time
_PARTS: Final = re.compile(rb"[^()\\]+|\\.|[()\\]", re.DOTALL)  # a quoted character ends no comment
_LARGEST: Final = 999_999_999  # our largest max-forwards (RFC 9110 §7.6.2)
_DIGITS: Final = 9


def add_via(headers: FieldList, http_version: str, name: str) -> None:
    """Add this proxy to `via`, with the protocol of the message (RFC 9110 §7.6.3)."""
    headers.append((b"via", f"{http_version} {name}".encode("latin-1")))


def has_passed(headers: Sequence[tuple[bytes, bytes]], name: str) -> bool:
    """Return whether a request loops: its `via` already has `name`, or more than 100 members."""
    values = [value for field, value in headers if field == b"via"]
    if not values:
        return False
    via = b",".join(values)
    if via.count(b",") > _MOST_HOPS or via.count(b"(") + via.count(b"\\") > _MOST_HOPS:
        return True
    return name.lower().encode("latin-1") in _received_by(via)


def _received_by(via: bytes) -> list[bytes]:
    """Return the names in a `via`, in lower case: second words of its members, comments left out."""
    words = [member.split() for member in _without_comments(via).split(b",")]
    return [each[1].lower() for each in words if len(each) > 1]


def _without_comments(via: bytes) -> bytes:
    """Return the value without comments in parentheses, nested or not (RFC 9110 §5.6.5); each becomes a space."""
    kept = []
    depth = 0
    for part in _PARTS.findall(via):
        if part == b"(":
            depth += 1
            kept.append(b" ")
        elif part == b")" and depth:
            depth -= 1
        elif not depth:
            kept.append(part)
    return b"".join(kept)


def forwards_left(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    """Return the number in the `max-forwards` of OPTIONS or TRACE; None without the field. Raises HTTPError(400) for an
    invalid number, and for the field twice."""
    values = [value for name, value in headers if name == b"max-forwards"]
    if not values:
        return None
    value = values[0]
    if len(values) > 1 or not value.isdigit():
        raise HTTPError(400, "max-forwards is not a number")
    digits = value.lstrip(b"0")
    return _LARGEST + 1 if len(digits) > _DIGITS else int(digits or b"0")


def with_forwards(headers: FieldList, left: int) -> FieldList:
    """Return the fields of a forwarded request, with `left` as the remaining hops (RFC 9110 §7.6.2)."""
    kept = [pair for pair in headers if pair[0] != b"max-forwards"]
    return [*kept, (b"max-forwards", b"%d" % min(left, _LARGEST))]
