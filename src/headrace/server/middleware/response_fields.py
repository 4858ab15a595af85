"""The fields of a handler's response, read and changed by middleware."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from headrace.server.handlers.headers import FieldList, HeaderList, header_list
from headrace.server.handlers.response import AnyResponse, Response


def fields_of(response: AnyResponse) -> FieldList:
    """Return the fields as pairs of bytes, names in lowercase, in a list that the caller may change."""
    return list(header_list(getattr(response, "headers", ())))


def with_fields(response: AnyResponse, fields: HeaderList) -> AnyResponse:
    """Return the response with these fields instead of its own.

    A handler may return the same response again and again, so it is copied. One that `answers_once` is changed itself,
    because other code may push into it already. Raises TypeError for a response that has no `headers`.
    """
    if type(response) is Response:
        return Response(response.status, fields, response.body)
    if not hasattr(response, "headers"):
        raise TypeError(
            f"{type(response).__name__} has no headers, so middleware cannot add to them: give it the attribute "
            "`headers`, and let send_on send its fields"
        )
    changed: Any = response if response.answers_once else copy.copy(response)
    changed.headers = fields
    return changed  # type: ignore[no-any-return]


def value_of(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return a field's value, several joined with a comma and a space (RFC 9110 §5.3); None if there is none."""
    values = [value for each, value in fields if each == name]
    return b", ".join(values) if values else None


def members(value: bytes | None) -> list[bytes]:
    """Return the members of a list, in lowercase."""
    return [each.strip(b" \t").lower() for each in value.split(b",")] if value else []


def without(fields: Iterable[tuple[bytes, bytes]], *names: bytes) -> FieldList:
    """Return the fields without those of these names."""
    return [pair for pair in fields if pair[0] not in names]


def varying(fields: FieldList, *names: bytes) -> FieldList:
    """Return the fields with `vary` naming these as well, in one line (RFC 9110 §12.5.5); `*` is kept."""
    there = value_of(fields, b"vary")
    known = members(there)
    added = [name for name in names if name not in known]
    if not added or b"*" in known:
        return fields
    merged = b", ".join([*([there] if there else []), *added])
    return [*without(fields, b"vary"), (b"vary", merged)]
