"""Fields that an application wants to send: checked, and written as they go out (RFC 9113 §8.2, §8.3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.engine.errors import InvalidFieldError
from headrace.engine.fields.grammar import is_field_name, is_field_value
from headrace.engine.fields.kinds import (
    BAD,
    BAD_CONNECTION,
    BAD_TE,
    CONTENT_LENGTH,
    FAULTS,
    KINDS,
    OTHER_SCHEME,
    REGULAR,
    classify,
)
from headrace.engine.hpack.field import Field
from headrace.engine.message import MALFORMED, UNKNOWN, parse_content_length


def check_target(method: bytes, scheme: bytes, authority: bytes, path: bytes, protocol: bytes | None) -> None:
    """Check the pseudo-header fields of a request that the application wants to send (RFC 9113 §8.3.1, RFC 8441 §4).

    Empty ones are left out of the request. Raises InvalidFieldError with one sentence that names the field.
    """
    fields = [Field(b":method", method)]
    if scheme:
        fields.append(Field(b":scheme", scheme))
    if authority:
        fields.append(Field(b":authority", authority))
    if path:
        fields.append(Field(b":path", path))
    if protocol is not None:
        fields.append(Field(b":protocol", protocol))
    for field in fields:
        kind = classify(field)
        if kind >= BAD and kind != OTHER_SCHEME:  # a proxy may be asked for other schemes (RFC 9113 §8.3.1)
            reason, section = FAULTS[kind]
            raise InvalidFieldError(f"{field.name!r} cannot be {field.value!r}: {reason} ({section})")
    plain_connect = method == b"CONNECT" and protocol is None
    if plain_connect and (scheme or path or not authority):
        raise InvalidFieldError("CONNECT has an authority and neither scheme nor path (RFC 9113 §8.5)")
    if not plain_connect and not (scheme and path):
        raise InvalidFieldError("a request needs a scheme and a path (RFC 9113 §8.3.1)")


def check_outgoing(headers: Iterable[Any], drop_connection_fields: bool) -> tuple[list[tuple[bytes, bytes]], int]:
    """Check fields that the application wants to send; return them as they go out, and their content-length (-1: none).

    Names become lowercase and whitespace around a value is taken off, as neither is part of a field (RFC 9110 §5.5,
    RFC 9113 §8.2). With `drop_connection_fields`, connection-specific fields are left out, as a gateway from HTTP/1.1
    has to (RFC 9113 §8.2.2); without it they are refused.

    Raises InvalidFieldError with one sentence that names the field.
    """
    result: list[tuple[bytes, bytes]] = []
    length = UNKNOWN
    for pair in headers:
        if len(pair) != 2:
            raise InvalidFieldError(f"a header is a pair of name and value, not {pair!r}")
        name = pair[0]
        value = pair[1]
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise InvalidFieldError(f"header {name!r}: {value!r} must be bytes")
        name = name.lower()
        value = value.strip(b" \t")
        if not is_field_name(name):
            raise InvalidFieldError(f"{name!r} is not a field name (RFC 9110 §5.1)")
        if not is_field_value(value):
            raise InvalidFieldError(f"the value of {name!r} has a byte that is not allowed (RFC 9110 §5.5)")
        kind = KINDS.get(name, REGULAR)
        if kind == BAD_CONNECTION or (kind == BAD_TE and value.lower() != b"trailers"):
            if drop_connection_fields:
                continue
            raise InvalidFieldError(f"{name!r} is connection-specific, not the application's to send (RFC 9110 §7.6.1)")
        if kind == CONTENT_LENGTH:
            if length != UNKNOWN:
                raise InvalidFieldError("content-length twice (RFC 9110 §8.6)")
            length = parse_content_length(value)
            if length == MALFORMED:
                raise InvalidFieldError(f"content-length {value!r} is not a number (RFC 9110 §8.6)")
        result.append((name, value))
    return result, length
