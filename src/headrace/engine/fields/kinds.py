"""Kinds of fields: what a field is, found out once, when it is seen for the first time (RFC 9113 §8.2, §8.3)."""

from __future__ import annotations

from typing import Final

from headrace.engine.fields.grammar import (
    PLAIN_NAME_BYTES,
    SCHEME_BYTES,
    TOKEN_BYTES,
    is_field_name,
    is_field_value,
    is_host,
    is_path,
)
from headrace.engine.hpack.field import Field
from headrace.engine.message import MALFORMED, parse_content_length

REGULAR: Final = 0
METHOD: Final = 1
SCHEME: Final = 2
AUTHORITY: Final = 3
PATH: Final = 4
STATUS: Final = 5
PROTOCOL: Final = 6
COOKIE: Final = 7
CONTENT_LENGTH: Final = 8
HOST: Final = 9
EXPECT: Final = 10
PRIORITY: Final = 11
TE_TRAILERS: Final = 12  # allowed in requests only (RFC 9113 §8.2.2)
UNDERSCORE: Final = 13  # a regular field with an underscore in its name
BAD: Final = 20  # this and above: malformed
BAD_NAME: Final = 20
BAD_VALUE: Final = 21
BAD_CONNECTION: Final = 22
BAD_TE: Final = 23
BAD_PSEUDO: Final = 24
BAD_METHOD: Final = 25
BAD_SCHEME: Final = 26
BAD_AUTHORITY: Final = 27
BAD_PATH: Final = 28
BAD_STATUS: Final = 29
BAD_LENGTH: Final = 30
BAD_PROTOCOL: Final = 31
OTHER_SCHEME: Final = 40  # this and above: well-formed, and yet nothing that a server takes
NON_ASCII_PATH: Final = 41

FAULTS: Final[dict[int, tuple[str, str]]] = {
    BAD_NAME: ("a field name is empty or has a byte that is not allowed", "RFC 9113 §8.2.1"),
    BAD_VALUE: ("a field value has a byte that is not allowed, or whitespace at an end", "RFC 9113 §8.2.1"),
    BAD_CONNECTION: ("a connection-specific field", "RFC 9113 §8.2.2"),
    BAD_TE: ("te, other than trailers in a request", "RFC 9113 §8.2.2"),
    BAD_PSEUDO: ("an unknown pseudo-header field", "RFC 9113 §8.3"),
    BAD_METHOD: (":method is not a token", "RFC 9110 §9.1"),
    BAD_SCHEME: (":scheme is not a scheme", "RFC 9113 §8.3.1"),
    BAD_AUTHORITY: (":authority or host is not host and port", "RFC 9113 §8.3.1"),
    BAD_PATH: (":path is empty or has a byte that is not allowed", "RFC 9113 §8.3.1"),
    BAD_STATUS: (":status is not three digits", "RFC 9113 §8.3.2"),
    BAD_LENGTH: ("content-length is not a number", "RFC 9110 §8.6"),
    BAD_PROTOCOL: (":protocol is not a token", "RFC 8441 §4"),
    OTHER_SCHEME: (":scheme is neither http nor https", "RFC 9110 §7.4"),
    NON_ASCII_PATH: (":path has a byte above 0x7f", "RFC 9113 §8.3.1"),
}

KINDS: Final[dict[bytes, int]] = {
    b":method": METHOD,
    b":scheme": SCHEME,
    b":authority": AUTHORITY,
    b":path": PATH,
    b":status": STATUS,
    b":protocol": PROTOCOL,
    b"cookie": COOKIE,
    b"content-length": CONTENT_LENGTH,
    b"host": HOST,
    b"expect": EXPECT,
    b"priority": PRIORITY,
    b"connection": BAD_CONNECTION,
    b"keep-alive": BAD_CONNECTION,
    b"proxy-connection": BAD_CONNECTION,
    b"transfer-encoding": BAD_CONNECTION,
    b"upgrade": BAD_CONNECTION,
    b"te": BAD_TE,
}


def classify(field: Field) -> int:
    """Examine a field for the first time, remember and return its kind."""
    name = field.name
    value = field.value
    kind = KINDS.get(name, REGULAR)
    if kind != PATH and not is_field_value(value):  # the rule of :path is the stricter one
        kind = BAD_VALUE
    elif kind == REGULAR:
        if name[:1] == b":":
            kind = BAD_PSEUDO
        elif not name or name.translate(None, PLAIN_NAME_BYTES):
            kind = UNDERSCORE if is_field_name(name) else BAD_NAME
    elif kind == PATH:
        if not is_path(value):
            kind = BAD_PATH if not value or value.isascii() or not is_path(_ascii(value)) else NON_ASCII_PATH
    elif kind == METHOD or kind == PROTOCOL:
        if not value or value.translate(None, TOKEN_BYTES):
            kind = BAD_METHOD if kind == METHOD else BAD_PROTOCOL
    elif kind == SCHEME:
        if not value or value.translate(None, SCHEME_BYTES):
            kind = BAD_SCHEME
        elif value.lower() != b"http" and value.lower() != b"https":  # compared without case (RFC 9110 §4.2.3)
            kind = OTHER_SCHEME
    elif kind == AUTHORITY or kind == HOST:
        if not is_host(value):
            kind = BAD_AUTHORITY
    elif kind == STATUS:
        if len(value) != 3 or not value.isdigit() or value < b"100":
            kind = BAD_STATUS
    elif kind == CONTENT_LENGTH:
        if parse_content_length(value) == MALFORMED:
            kind = BAD_LENGTH
    elif kind == BAD_TE:
        if value.lower() == b"trailers":
            kind = TE_TRAILERS
    field.kind = kind
    return kind


def _ascii(value: bytes) -> bytes:
    """Return `value` with a letter in place of each byte above 0x7f."""
    return value.decode("ascii", "replace").replace("\ufffd", "x").encode("ascii")
