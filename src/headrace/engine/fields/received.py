"""Field sections that were received: checked in one pass, and taken apart into heads (RFC 9113 §8.3, RFC 9110 §5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.engine.errors import PROTOCOL_ERROR, RequestRefused, StreamFault
from headrace.engine.fields.kinds import (
    AUTHORITY,
    BAD,
    BAD_AUTHORITY,
    BAD_TE,
    CONTENT_LENGTH,
    COOKIE,
    EXPECT,
    FAULTS,
    HOST,
    METHOD,
    OTHER_SCHEME,
    PATH,
    PRIORITY,
    PROTOCOL,
    REGULAR,
    SCHEME,
    STATUS,
    TE_TRAILERS,
    UNDERSCORE,
    classify,
)
from headrace.engine.hpack.field import FieldSection
from headrace.engine.message import UNKNOWN, parse_content_length

# Lists of (name, value). Typed loosely for the compiler's sake: it would take a `tuple[bytes, bytes]` apart and build a
# new one wherever a pair passes through.
Pairs = list[Any]


class RequestHead:
    """A request's header section, checked and taken apart. Shared by all requests with equal bytes, so `headers` are
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
    reason, section = FAULTS[kind]
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
