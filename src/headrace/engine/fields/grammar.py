"""Which bytes may stand where: names, values, tokens, hosts and targets, as the RFCs' grammars have them."""

from __future__ import annotations

from typing import Final

_ALNUM: Final = b"0123456789abcdefghijklmnopqrstuvwxyz"
_UPPER: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NAME_BYTES: Final = _ALNUM + b"!#$%&'*+-.^_`|~"  # RFC 9110 §5.6.2, lowercase
PLAIN_NAME_BYTES: Final = _NAME_BYTES.replace(b"_", b"")
TOKEN_BYTES: Final = _NAME_BYTES + _UPPER
_VALUE_BYTES: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))  # RFC 9110 §5.5
_LINE_BYTES: Final = _VALUE_BYTES + b"\r\n"
SCHEME_BYTES: Final = _ALNUM + _UPPER + b"+-."  # RFC 3986 §3.1
_AUTHORITY_BYTES: Final = _ALNUM + _UPPER + b"-._~!$&'()*+,;=:[]%"  # RFC 3986 §3.2 without userinfo
_HOST_BYTES: Final = _AUTHORITY_BYTES.translate(None, b":[]")
_HEXDIGITS_COLON_DOT: Final = b"0123456789abcdefABCDEF:."
_DIGITS: Final = b"0123456789"
_PORT_DIGITS: Final = 5
_LARGEST_PORT: Final = 65_535
# Wider than RFC 3986: clients leave bytes like "|" unescaped. Never a control, a space, "#", or one above 0x7f.
_PATH_BYTES: Final = bytes(c for c in range(0x21, 0x7F) if c not in b"#")


def is_field_name(name: bytes) -> bool:
    """Tell whether `name` is a lowercase token (RFC 9113 §8.2.1, RFC 9110 §5.1)."""
    return len(name) > 0 and not name.translate(None, _NAME_BYTES)


def is_field_value(value: bytes) -> bool:
    """Tell whether `value` may be sent and received: no control bytes but HTAB, no whitespace at the ends."""
    if not value:
        return True
    if value.translate(None, _VALUE_BYTES):
        return False
    return value[0] not in (0x20, 0x09) and value[-1] not in (0x20, 0x09)


def is_token(value: bytes) -> bool:
    """Tell whether `value` is a token, as a method is (RFC 9110 §5.6.2)."""
    return len(value) > 0 and not value.translate(None, TOKEN_BYTES)


def is_path(value: bytes) -> bool:
    """Tell whether `value` has the bytes of a request's target, and at least one (RFC 9113 §8.3.1, RFC 9112 §3.2)."""
    return len(value) > 0 and not value.translate(None, _PATH_BYTES)


def has_field_bytes(data: bytes) -> bool:
    """Tell whether whole field lines have no control bytes but HTAB and those of CRLF (RFC 9110 §5.5)."""
    return not data.translate(None, _LINE_BYTES)


def is_authority(value: bytes) -> bool:
    """Tell whether `value` is a host with an optional port, without userinfo (RFC 9113 §8.3.1)."""
    return len(value) > 0 and not value.translate(None, _AUTHORITY_BYTES)


def is_host(value: bytes) -> bool:
    """Tell whether `value` is a host, with a port or without (RFC 9110 §7.2, RFC 3986 §3.2.2). A port is a number up to
    65535, or empty."""
    rest = value.translate(None, _HOST_BYTES)
    if not rest:
        return len(value) > 0
    if rest == b":":
        at = value.find(b":")
        return at > 0 and _is_port(value[at + 1 :])
    if not is_authority(value):
        return False
    if value[:1] == b"[":
        host, bracket, port = value[1:].partition(b"]")
        if not bracket or not host or host.translate(None, _HEXDIGITS_COLON_DOT):
            return False
        return not port or (port[:1] == b":" and _is_port(port[1:]))
    return False  # a second colon, or a bracket in the middle


def _is_port(digits: bytes) -> bool:
    if not digits:
        return True
    return len(digits) <= _PORT_DIGITS and not digits.translate(None, _DIGITS) and int(digits) <= _LARGEST_PORT


def is_origin(value: bytes) -> bool:
    """Tell whether `value` is an origin as text: scheme, host, and perhaps a port (RFC 6454 §6.2)."""
    scheme, separator, authority = value.partition(b"://")
    if not separator or not scheme or scheme.translate(None, SCHEME_BYTES):
        return False
    return is_host(authority)
