"""The request line and its target (RFC 9112 §3)."""

from __future__ import annotations

from typing import Final

from headrace.engine.fields import is_host, is_path, is_token
from headrace.engine.h1.faults import MessageFault

_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH"})
_ONE: Final = 0x31
_DIGITS: Final = b"0123456789"


class RequestLine:
    """A request line taken apart. `authority` is None but for the absolute form."""

    def __init__(self, method: bytes, path: bytes, authority: bytes | None, is_http_1_0: bool) -> None:
        self.method = method
        self.path = path
        self.authority = authority
        self.is_http_1_0 = is_http_1_0


def looks_like_http(line: bytes) -> bool:
    """Tell whether a faulty first line was meant as a request: it has a method of RFC 9110 or a version of HTTP.

    What does not is another protocol's, and an answer in HTTP would be noise to it.
    """
    return b" HTTP/" in line or line.split(b" ", 1)[0] in _METHODS


def parse_request_line(line: bytes) -> RequestLine:
    """Take a request line apart, without its CRLF. Raises MessageFault: 400, or 505 for another version."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise MessageFault(400, "the request line is not method, target and version", "RFC 9112 §3")
    method = parts[0]
    target = parts[1]
    version = parts[2]
    if not is_token(method):
        raise MessageFault(400, "the method is not a token", "RFC 9112 §3.1")
    if version != b"HTTP/1.1" and version != b"HTTP/1.0":
        if len(version) == 8 and version[:5] == b"HTTP/" and version[6:7] == b".":
            if not (version[5:6] + version[7:8]).translate(None, _DIGITS):
                if version[5] != _ONE:
                    raise MessageFault(505, "a major version other than 1", "RFC 9110 §15.6.6")
                version = b"HTTP/1.1"  # a higher minor version is taken as the highest we know (RFC 9110 §6.2)
        if version != b"HTTP/1.1":
            raise MessageFault(400, "the version is not HTTP's", "RFC 9112 §2.3")
    if not is_path(target):
        raise MessageFault(400, "the target is empty or has a byte that is not allowed", "RFC 9112 §3.2")
    authority: bytes | None = None
    if method == b"CONNECT":
        if not is_host(target) or target[-1:] == b":" or b":" not in target:
            raise MessageFault(400, "CONNECT with another target than host and port", "RFC 9112 §3.2.3")
    elif target[0] != 0x2F:
        if target == b"*":
            if method != b"OPTIONS":
                raise MessageFault(400, "the target * without OPTIONS", "RFC 9112 §3.2.4")
        else:
            authority, target = _split_absolute(method, target)
    return RequestLine(method, target, authority, version == b"HTTP/1.0")


def _split_absolute(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Return authority and path of a target in absolute form (RFC 9112 §3.2.2)."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise MessageFault(400, "the target is in none of the four forms", "RFC 9112 §3.2")
    end = len(rest)
    for mark in (b"/", b"?"):
        position = rest.find(mark)
        if 0 <= position < end:
            end = position
    authority = rest[:end]
    path = rest[end:]
    if not is_host(authority):
        raise MessageFault(400, "the target's authority is not host and port", "RFC 9112 §3.2.2")
    if not path:
        path = b"*" if method == b"OPTIONS" else b"/"  # RFC 9112 §3.2.4
    elif path[0] != 0x2F:
        path = b"/" + path
    return authority, path
