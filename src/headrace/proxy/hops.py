"""How far a request has come and may still go: `via` and `max-forwards` (RFC 9110 §7.6.2, §7.6.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from headrace.server.exchange import HTTPError

Pairs = list[tuple[bytes, bytes]]

_LARGEST: Final = 999_999_999  # our largest max-forwards (RFC 9110 §7.6.2)
_DIGITS: Final = 9


def add_via(headers: Pairs, http_version: str, name: str) -> None:
    """Say that the message passed here, and by which protocol it had come (RFC 9110 §7.6.3)."""
    headers.append((b"via", f"{http_version} {name}".encode("latin-1")))


def has_passed(headers: Sequence[tuple[bytes, bytes]], name: str) -> bool:
    """Tell whether a request's `via` names `name` as one that it has passed: then it goes in a circle."""
    wanted = name.lower().encode("latin-1")
    return any(wanted in _received_by(value) for field, value in headers if field == b"via")


def _received_by(value: bytes) -> Iterator[bytes]:
    """The names in a `via`, in lower case: second words of its members, comments left out."""
    for member in _without_comments(value).split(b","):
        words = member.split()
        if len(words) > 1:
            yield words[1].lower()


def _without_comments(value: bytes) -> bytes:
    """The value without what stands in parentheses, nested or not (RFC 9110 §5.6.5); each becomes a space."""
    if b"(" not in value:
        return value
    kept = bytearray()
    depth = 0
    position = 0
    while position < len(value):
        octet = value[position : position + 1]
        if depth and octet == b"\\":
            position += 1  # what is quoted ends no comment
        elif octet == b"(":
            depth += 1
            kept += b" "
        elif octet == b")" and depth:
            depth -= 1
        elif not depth:
            kept += octet
        position += 1
    return bytes(kept)


def forwards_left(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    """The number in the `max-forwards` of OPTIONS or TRACE; None without the field. Raises HTTPError(400) for what is
    no number, and for the field twice."""
    values = [value for name, value in headers if name == b"max-forwards"]
    if not values:
        return None
    value = values[0]
    if len(values) > 1 or not value.isdigit():
        raise HTTPError(400, "max-forwards is not a number")
    digits = value.lstrip(b"0")
    return _LARGEST + 1 if len(digits) > _DIGITS else int(digits or b"0")


def with_forwards(headers: Pairs, left: int) -> Pairs:
    """The fields of a request that goes on, with `left` as what remains (RFC 9110 §7.6.2)."""
    kept = [pair for pair in headers if pair[0] != b"max-forwards"]
    return [*kept, (b"max-forwards", b"%d" % min(left, _LARGEST))]
