"""The fields of a response that a handler made, read and changed by middleware."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from headrace.server.handlers.response import AnyResponse, HeaderList, Response, header_list

Pairs = list[tuple[bytes, bytes]]


def fields_of(response: AnyResponse) -> Pairs:
    """The fields as pairs of octets, names in lowercase: a list of the caller's own."""
    return list(header_list(getattr(response, "headers", ())))


def with_fields(response: AnyResponse, fields: HeaderList) -> AnyResponse:
    """The response with these fields instead of its own.

    A handler may return the same response again and again, so it is copied. One that `answers_once` is changed, as
    whoever pushes into it holds it already. Raises TypeError for a response that has no `headers`.
    """
    if type(response) is Response:
        return Response(response.status, fields, response.body)
    if not hasattr(response, "headers"):
        raise TypeError(
            f"{type(response).__name__} has no headers, so middleware cannot add to them: give it the attribute "
            "`headers`, and let send_on send what that has"
        )
    changed: Any = response if response.answers_once else copy.copy(response)
    changed.headers = fields
    return changed  # type: ignore[no-any-return]


def value_of(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """A field's value, several joined with a comma and a space (RFC 9110 §5.3); None when it is not there."""
    values = [value for each, value in fields if each == name]
    return b", ".join(values) if values else None


def members(value: bytes | None) -> list[bytes]:
    """The members of a list, in lowercase."""
    return [each.strip(b" \t").lower() for each in value.split(b",")] if value else []


def without(fields: Iterable[tuple[bytes, bytes]], *names: bytes) -> Pairs:
    """The fields but for those of these names."""
    return [pair for pair in fields if pair[0] not in names]


def varying(fields: Pairs, *names: bytes) -> Pairs:
    """The fields with `vary` naming these as well, in one line (RFC 9110 §12.5.5); one that says `*` stays."""
    there = value_of(fields, b"vary")
    known = members(there)
    added = [name for name in names if name not in known]
    if not added or b"*" in known:
        return fields
    merged = b", ".join([*([there] if there else []), *added])
    return [*without(fields, b"vary"), (b"vary", merged)]
