"""Field rules of RFC 9113 §8.2-8.3 and RFC 9110 §5, applied in one pass over a decoded field section.

A `Field` is classified once, into its `kind`; fields of the static and dynamic table keep theirs, so a repeated field
is never examined again. A section that is repeated as a whole keeps its `RequestHead` in `FieldSection.memo`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from headrace.engine.errors import PROTOCOL_ERROR, InvalidFieldError, RequestRefused, StreamFault
from headrace.engine.hpack.field import Field, FieldSection
from headrace.engine.message import MALFORMED, UNKNOWN, parse_content_length

# Lists of (name, value). Typed loosely for the compiler's sake: it would take a `tuple[bytes, bytes]` apart and build a
# new one wherever a pair passes through.
Pairs = list[Any]

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

_FAULTS: Final[dict[int, tuple[str, str]]] = {
    BAD_NAME: ("a field name is empty or has an octet that is not allowed", "RFC 9113 §8.2.1"),
    BAD_VALUE: ("a field value has an octet that is not allowed, or whitespace at an end", "RFC 9113 §8.2.1"),
    BAD_CONNECTION: ("a connection-specific field", "RFC 9113 §8.2.2"),
    BAD_TE: ("te, other than trailers in a request", "RFC 9113 §8.2.2"),
    BAD_PSEUDO: ("an unknown pseudo-header field", "RFC 9113 §8.3"),
    BAD_METHOD: (":method is not a token", "RFC 9110 §9.1"),
    BAD_SCHEME: (":scheme is not a scheme", "RFC 9113 §8.3.1"),
    BAD_AUTHORITY: (":authority or host is not host and port", "RFC 9113 §8.3.1"),
    BAD_PATH: (":path is empty or has an octet that is not allowed", "RFC 9113 §8.3.1"),
    BAD_STATUS: (":status is not three digits", "RFC 9113 §8.3.2"),
    BAD_LENGTH: ("content-length is not a number", "RFC 9110 §8.6"),
    BAD_PROTOCOL: (":protocol is not a token", "RFC 8441 §4"),
    OTHER_SCHEME: (":scheme is neither http nor https", "RFC 9110 §7.4"),
    NON_ASCII_PATH: (":path has an octet above 0x7f", "RFC 9113 §8.3.1"),
}

_ALNUM: Final = b"0123456789abcdefghijklmnopqrstuvwxyz"
_UPPER: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NAME_OCTETS: Final = _ALNUM + b"!#$%&'*+-.^_`|~"  # RFC 9110 §5.6.2, lowercase
_PLAIN_NAME_OCTETS: Final = _NAME_OCTETS.replace(b"_", b"")
_TOKEN_OCTETS: Final = _NAME_OCTETS + _UPPER
_VALUE_OCTETS: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))  # RFC 9110 §5.5
_LINE_OCTETS: Final = _VALUE_OCTETS + b"\r\n"
_SCHEME_OCTETS: Final = _ALNUM + _UPPER + b"+-."  # RFC 3986 §3.1
_AUTHORITY_OCTETS: Final = _ALNUM + _UPPER + b"-._~!$&'()*+,;=:[]%"  # RFC 3986 §3.2 without userinfo
_HOST_OCTETS: Final = _AUTHORITY_OCTETS.translate(None, b":[]")
_HEXDIGITS_COLON_DOT: Final = b"0123456789abcdefABCDEF:."
_DIGITS: Final = b"0123456789"
_PORT_DIGITS: Final = 5
_LARGEST_PORT: Final = 65_535
# Wider than RFC 3986: clients leave octets like "|" unescaped. Never a control, a space, "#", or one above 0x7f.
_PATH_OCTETS: Final = bytes(c for c in range(0x21, 0x7F) if c not in b"#")

_KINDS: Final[dict[bytes, int]] = {
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


def is_field_name(name: bytes) -> bool:
    """Tell whether `name` is a lowercase token (RFC 9113 §8.2.1, RFC 9110 §5.1)."""
    return len(name) > 0 and not name.translate(None, _NAME_OCTETS)


def is_field_value(value: bytes) -> bool:
    """Tell whether `value` may be sent and received: no control octets but HTAB, no whitespace at the ends."""
    if not value:
        return True
    if value.translate(None, _VALUE_OCTETS):
        return False
    return value[0] not in (0x20, 0x09) and value[-1] not in (0x20, 0x09)


def is_token(value: bytes) -> bool:
    """Tell whether `value` is a token, as a method is (RFC 9110 §5.6.2)."""
    return len(value) > 0 and not value.translate(None, _TOKEN_OCTETS)


def is_path(value: bytes) -> bool:
    """Tell whether `value` has the octets of a request's target, and at least one (RFC 9113 §8.3.1, RFC 9112 §3.2)."""
    return len(value) > 0 and not value.translate(None, _PATH_OCTETS)


def has_field_octets(octets: bytes) -> bool:
    """Tell whether whole field lines have no control octets but HTAB and those of CRLF (RFC 9110 §5.5)."""
    return not octets.translate(None, _LINE_OCTETS)


def is_authority(value: bytes) -> bool:
    """Tell whether `value` is a host with an optional port, without userinfo (RFC 9113 §8.3.1)."""
    return len(value) > 0 and not value.translate(None, _AUTHORITY_OCTETS)


def is_host(value: bytes) -> bool:
    """Tell whether `value` is a host, with a port or without (RFC 9110 §7.2, RFC 3986 §3.2.2). A port is a number up to
    65535, or empty."""
    rest = value.translate(None, _HOST_OCTETS)
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
    if not separator or not scheme or scheme.translate(None, _SCHEME_OCTETS):
        return False
    return is_host(authority)


def classify(field: Field) -> int:
    """Examine a field for the first time, remember and return its kind."""
    name = field.name
    value = field.value
    kind = _KINDS.get(name, REGULAR)
    if kind != PATH and not is_field_value(value):  # the rule of :path is the stricter one
        kind = BAD_VALUE
    elif kind == REGULAR:
        if name[:1] == b":":
            kind = BAD_PSEUDO
        elif not name or name.translate(None, _PLAIN_NAME_OCTETS):
            kind = UNDERSCORE if is_field_name(name) else BAD_NAME
    elif kind == PATH:
        if not is_path(value):
            kind = BAD_PATH if not value or value.isascii() or not is_path(_ascii(value)) else NON_ASCII_PATH
    elif kind == METHOD or kind == PROTOCOL:
        if not value or value.translate(None, _TOKEN_OCTETS):
            kind = BAD_METHOD if kind == METHOD else BAD_PROTOCOL
    elif kind == SCHEME:
        if not value or value.translate(None, _SCHEME_OCTETS):
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
    """Return `value` with a letter in place of each octet above 0x7f."""
    return value.decode("ascii", "replace").replace("\ufffd", "x").encode("ascii")


class RequestHead:
    """A request's header section, checked and taken apart. Shared by all requests with equal octets, so `headers` are
    a tuple once it is whole.

    `scheme` is the connection's, http or https, whatever the request says of it (RFC 9110 §7.4); empty for CONNECT.

    `is_repeated` is True from the second such request on: what the owner derives may be worth keeping in `memo`.
    `never_indexed` are the names of fields that have to go on as never-indexed literals (RFC 7541 §6.2.3), if any.
    """

    def __init__(self, headers: Sequence[Any]) -> None:
        self.method = b""
        self.scheme = b""
        self.authority = b""
        self.path = b""
        self.protocol: bytes | None = None
        self.headers = headers
        self.content_length: int = UNKNOWN
        self.expect_continue = False
        self.priority = b""
        self.has_host = False
        self.http_version = "2"
        self.is_repeated = False
        self.never_indexed: frozenset[bytes] | None = None
        self.memo: object = None


class ResponseHead:
    """A response's header section, checked and taken apart. Shared as a request's is."""

    def __init__(self, headers: Sequence[Any]) -> None:
        self.status = 0
        self.headers = headers
        self.content_length: int = UNKNOWN
        self.never_indexed: frozenset[bytes] | None = None


def _malformed(stream_id: int, kind: int) -> StreamFault:
    reason, section = _FAULTS[kind]
    if kind >= OTHER_SCHEME:
        return RequestRefused(stream_id, 400, reason, section)
    return StreamFault(stream_id, PROTOCOL_ERROR, reason, section)


def _pseudo_fault(stream_id: int, reason: str) -> StreamFault:
    return StreamFault(stream_id, PROTOCOL_ERROR, reason, "RFC 9113 §8.3")


def parse_request(
    stream_id: int, section: FieldSection, connection_scheme: bytes, drop_underscore_fields: bool = False
) -> RequestHead:
    """Check a request's header section (RFC 9113 §8.3.1, §8.5; RFC 8441 §4) and return it taken apart.

    The head's scheme is `connection_scheme`. With `drop_underscore_fields` regular fields with an underscore in their
    name are left out. Raises StreamFault(PROTOCOL_ERROR) when the section is malformed (RFC 9113 §8.1.1), and
    RequestRefused for another scheme than http and https, or a path that is not ASCII.
    """
    headers: Pairs = []
    head = RequestHead(headers)
    head.never_indexed = section.never_indexed
    method = scheme = authority = path = protocol = host = None
    cookies: list[bytes] | None = None
    for field in section.fields:
        kind = field.kind
        if kind < 0:
            kind = classify(field)
        if kind == REGULAR:
            headers.append(field.pair)
        elif kind >= BAD:
            raise _malformed(stream_id, kind)
        elif kind <= PROTOCOL:
            if headers or cookies is not None:
                raise _pseudo_fault(stream_id, "a pseudo-header field after a regular field")
            if kind == METHOD and method is None:
                method = field.value
            elif kind == SCHEME and scheme is None:
                scheme = field.value
            elif kind == AUTHORITY and authority is None:
                authority = field.value
            elif kind == PATH and path is None:
                path = field.value
            elif kind == PROTOCOL and protocol is None:
                protocol = field.value
            elif kind == STATUS:
                raise _pseudo_fault(stream_id, ":status in a request")
            else:
                raise _pseudo_fault(stream_id, "a pseudo-header field twice")
        elif kind == COOKIE:
            if cookies is None:
                cookies = []
            cookies.append(field.value)
        else:
            if kind == CONTENT_LENGTH:
                if head.content_length != UNKNOWN:
                    raise StreamFault(stream_id, PROTOCOL_ERROR, "content-length twice", "RFC 9110 §8.6")
                head.content_length = parse_content_length(field.value)
            elif kind == HOST:
                if host is not None:
                    raise StreamFault(stream_id, PROTOCOL_ERROR, "host twice", "RFC 9110 §7.2")
                host = field.value
            elif kind == EXPECT:
                head.expect_continue = field.value.lower() == b"100-continue"
            elif kind == PRIORITY:
                head.priority = head.priority + b"," + field.value if head.priority else field.value
            elif kind == UNDERSCORE and drop_underscore_fields:
                continue
            headers.append(field.pair)
    if cookies is not None:
        headers.append((b"cookie", cookies[0] if len(cookies) == 1 else b"; ".join(cookies)))  # RFC 9113 §8.2.3
    if method is None:
        raise _pseudo_fault(stream_id, "a request without :method")
    if method == b"CONNECT" and protocol is None:
        if scheme is not None or path is not None:
            raise StreamFault(stream_id, PROTOCOL_ERROR, "CONNECT with :scheme or :path", "RFC 9113 §8.5")
        if authority is None or b":" not in authority:
            raise StreamFault(stream_id, PROTOCOL_ERROR, "CONNECT without host and port", "RFC 9113 §8.5")
        scheme = path = b""
    elif scheme is None or path is None:
        raise _pseudo_fault(stream_id, "a request without :scheme or :path")
    elif path[0] != 0x2F and (path != b"*" or method != b"OPTIONS"):
        raise StreamFault(stream_id, PROTOCOL_ERROR, ":path does not start with /", "RFC 9113 §8.3.1")
    if protocol is not None and method != b"CONNECT":
        raise StreamFault(stream_id, PROTOCOL_ERROR, ":protocol without CONNECT", "RFC 8441 §4")
    if protocol is not None and authority is None:
        raise StreamFault(stream_id, PROTOCOL_ERROR, "extended CONNECT without :authority", "RFC 8441 §4")
    # A default port is that of the connection's scheme, as everything is, and not of the one that the client claims.
    default = connection_scheme if scheme else b""
    if host is not None and authority is not None and host != authority and not _same_host(host, authority, default):
        raise StreamFault(stream_id, PROTOCOL_ERROR, "host differs from :authority", "RFC 9113 §8.3.1")
    head.headers = tuple(headers)
    head.has_host = host is not None
    head.method = method
    head.scheme = default
    head.authority = authority if authority is not None else (host if host is not None else b"")
    head.path = path
    # Names of upgrade protocols are compared without case (RFC 9110 §7.8), and bridges pass on what clients wrote.
    head.protocol = protocol.lower() if protocol is not None else None
    return head


def _same_host(host: bytes, authority: bytes, scheme: bytes) -> bool:
    port = b":443" if scheme.lower() == b"https" else b":80"
    return host.lower().removesuffix(port) == authority.lower().removesuffix(port)


def parse_response(stream_id: int, section: FieldSection) -> ResponseHead:
    """Check a response's header section (RFC 9113 §8.3.2). Raises StreamFault(PROTOCOL_ERROR) when it is malformed."""
    headers: Pairs = []
    head = ResponseHead(headers)
    head.never_indexed = section.never_indexed
    for field in section.fields:
        kind = field.kind
        if kind < 0:
            kind = classify(field)
        if kind == REGULAR:
            headers.append(field.pair)
        elif kind == BAD_AUTHORITY and field.name == b"host":
            headers.append(field.pair)  # means nothing in a response
        elif kind >= BAD or kind == TE_TRAILERS:
            raise _malformed(stream_id, BAD_TE if kind == TE_TRAILERS else kind)
        elif kind == STATUS:
            if headers or head.status:
                raise _pseudo_fault(stream_id, ":status twice or after a regular field")
            head.status = int(field.value)
        elif kind <= PROTOCOL:
            raise _pseudo_fault(stream_id, "a pseudo-header field of requests in a response")
        else:
            if kind == CONTENT_LENGTH:
                if head.content_length != UNKNOWN:
                    raise StreamFault(stream_id, PROTOCOL_ERROR, "content-length twice", "RFC 9110 §8.6")
                head.content_length = parse_content_length(field.value)
            headers.append(field.pair)
    if not head.status:
        raise StreamFault(stream_id, PROTOCOL_ERROR, "a response without :status", "RFC 9113 §8.3.2")
    if head.status == 101:
        raise StreamFault(stream_id, PROTOCOL_ERROR, "status 101, which HTTP/2 does not have", "RFC 9113 §8.6")
    head.headers = tuple(headers)
    return head


def parse_trailers(stream_id: int, section: FieldSection, drop_underscore_fields: bool = False) -> Pairs:
    """Check a trailer section: regular fields only (RFC 9113 §8.1). With `drop_underscore_fields` those with an
    underscore in their name are left out. Raises StreamFault(PROTOCOL_ERROR)."""
    headers: Pairs = []
    for field in section.fields:
        kind = field.kind
        if kind < 0:
            kind = classify(field)
        if kind >= BAD or kind == TE_TRAILERS:
            raise _malformed(stream_id, BAD_TE if kind == TE_TRAILERS else kind)
        if METHOD <= kind <= PROTOCOL:
            raise StreamFault(stream_id, PROTOCOL_ERROR, "a pseudo-header field in trailers", "RFC 9113 §8.1")
        if kind == UNDERSCORE and drop_underscore_fields:
            continue
        headers.append(field.pair)
    return headers


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
            reason, section = _FAULTS[kind]
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
            raise InvalidFieldError(f"the value of {name!r} has an octet that is not allowed (RFC 9110 §5.5)")
        kind = _KINDS.get(name, REGULAR)
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
