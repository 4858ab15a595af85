"""Request heads on their way out: checked once, written once, remembered as bytes (RFC 9112 §3, §5).

Requests to one origin mostly differ in their target alone: what stands behind it is kept whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.engine.errors import InvalidFieldError
from headrace.engine.fields import check_outgoing, is_host, is_path, is_token
from headrace.engine.h1.heads.response import CHUNKED, CLOSE, UPGRADE, take_close, write_fields
from headrace.engine.head_cache import ALWAYS, HeadCache

_REMEMBERED: Final = 64  # ends of heads a connection
_WITH_CONTENT: Final = (b"POST", b"PUT", b"PATCH")  # methods for which even no content is said (RFC 9110 §8.6)


class RequestTail:
    """A request's head from behind its target on, with what it says of the content."""

    def __init__(self, data: bytes, content_length: int, is_chunked: bool, asks_to_close: bool, key: bytes) -> None:
        self.block = data
        self.content_length = content_length
        self.is_chunked = is_chunked
        self.asks_to_close = asks_to_close
        self.upgrade_key = key


class RequestHeads:
    """Writes the heads of one connection's requests."""

    def __init__(self) -> None:
        self.cache: HeadCache[RequestTail] = HeadCache(_REMEMBERED)
        self._last_authority = b""
        self._last_method = b""
        self._last_path = b"/"
        self._last_length: int = -1
        self._last_end = False

    def tail(
        self,
        method: bytes,
        authority: bytes,
        headers: Sequence[Any],
        content_length: int,
        end_stream: bool,
        is_upgrade: bool,
    ) -> RequestTail:
        """Return what stands behind the target of a request. Raises InvalidFieldError."""
        cache = self.cache
        if is_upgrade:  # its key comes once
            return _write_tail(method, authority, headers, -1, True, True, cache.drops)
        if (
            end_stream == self._last_end
            and content_length == self._last_length
            and method == self._last_method
            and authority == self._last_authority
        ):
            last = cache.last(headers)
            if last is not None:
                return last
        fields = cache.fixed(headers, ALWAYS)
        rest = (method, authority, content_length, end_stream)
        tail = cache.find(fields, rest)
        if tail is None:
            tail = _write_tail(method, authority, fields, content_length, end_stream, False, cache.drops)
            cache.add(fields, rest, tail)
        cache.keep(tail, fields)
        self._last_end = end_stream
        self._last_length = content_length
        self._last_method = method
        self._last_authority = authority
        return tail

    def check_path(self, method: bytes, path: bytes) -> None:
        """Check a target in origin form, absolute form or asterisk form (RFC 9112 §3.2). Raises InvalidFieldError."""
        if path == self._last_path:
            return
        if not is_path(path):
            raise InvalidFieldError(f"{path!r} has a byte that no target may have, or none at all (RFC 9112 §3.2)")
        if path[0] != 0x2F and path != b"*" and b"://" not in path:
            raise InvalidFieldError(f"the target {path!r} does not start with / (RFC 9112 §3.2)")
        if path == b"*" and method != b"OPTIONS":
            raise InvalidFieldError("the target * is for OPTIONS alone (RFC 9112 §3.2.4)")
        if path != b"*":
            self._last_path = path


def _write_tail(
    method: bytes,
    authority: bytes,
    headers: Sequence[Any],
    content_length: int,
    end_stream: bool,
    is_upgrade: bool,
    drops: bool,
) -> RequestTail:
    if not is_token(method):
        raise InvalidFieldError(f"the method {method!r} is not a token (RFC 9110 §9.1)")
    if not is_host(authority):
        raise InvalidFieldError(f"{authority!r} is not host and port (RFC 9112 §3.2)")
    if method == b"CONNECT" and (b":" not in authority or authority[-1:] in (b":", b"]")):
        raise InvalidFieldError(f"CONNECT asks for a host and a port, not {authority!r} (RFC 9112 §3.2.3)")
    others, asks_to_close = take_close(headers)
    checked, length = check_outgoing(others, drops)
    if content_length >= 0:
        if length >= 0 and length != content_length:
            raise InvalidFieldError(f"content-length says {length}, the content has {content_length} bytes")
        length = content_length
    if end_stream and length > 0:
        raise InvalidFieldError(f"content-length says {length}, and no content is to follow")
    names = {pair[0] for pair in checked}
    if b"host" in names:
        raise InvalidFieldError("host is said by the authority, not by a field (RFC 9110 §7.2)")
    if b"content-length" in names:
        checked = [pair for pair in checked if pair[0] != b"content-length"]
    parts = [b" HTTP/1.1\r\nhost: ", authority, b"\r\n"]  # host first (RFC 9110 §7.2)
    write_fields(parts, checked)
    is_chunked = False
    key = b""
    if is_upgrade:
        key = _take_key(checked)
        if b"sec-websocket-version" not in names:
            parts.append(b"sec-websocket-version: 13\r\n")
        parts.append(UPGRADE)
        asks_to_close = False
    elif method == b"CONNECT":
        length = -1
    elif length >= 0:
        parts.append(b"content-length: %d\r\n" % length)
    elif not end_stream:
        is_chunked = True
        parts.append(CHUNKED)
    elif method in _WITH_CONTENT:
        parts.append(b"content-length: 0\r\n")
    if b"te" in names:  # it is for the next hop, and has to say so (RFC 9110 §10.1.4)
        parts.append(b"connection: close, te\r\n" if asks_to_close else b"connection: te\r\n")
    elif asks_to_close:
        parts.append(CLOSE)
    parts.append(b"\r\n")
    return RequestTail(b"".join(parts), length, is_chunked, asks_to_close, key)


def _take_key(fields: Sequence[Any]) -> bytes:
    keys = [value for name, value in fields if name == b"sec-websocket-key"]
    if len(keys) != 1:
        raise InvalidFieldError("an upgrade to WebSocket needs one sec-websocket-key (RFC 6455 §4.1)")
    key: bytes = keys[0]
    return key
