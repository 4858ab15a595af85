"""Request heads on their way out: checked once, encoded once, remembered as octets.

Requests to one origin mostly differ in their path alone, which no HPACK table holds: what stands before and behind it
is kept, for as long as the encoder's table stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.engine.errors import InvalidFieldError
from headrace.engine.fields import check_outgoing, check_target, is_path
from headrace.engine.h2 import frames
from headrace.engine.hpack.encoder import Encoder

_REMEMBERED: Final = 64  # heads a connection


class EncodedRequest:
    """A request's field block, but for its path."""

    def __init__(self, before: bytes, behind: bytes, content_length: int, end_stream: bool) -> None:
        self.before = before
        self.behind = behind
        self.content_length = content_length
        self.path = b""
        self.block = b""
        """The whole block with `path`."""
        self.prefix = b""
        """The first octets of a HEADERS frame that holds all of it."""
        self._flags: int = frames.END_HEADERS | frames.END_STREAM if end_stream else frames.END_HEADERS

    def set_path(self, path: bytes, encoded: bytes) -> None:
        """Put a path in, as it is encoded."""
        self.path = path
        self.block = self.before + encoded + self.behind
        self.prefix = frames.write_prefix(len(self.block), frames.HEADERS, self._flags)


class RequestHeads:
    """The memory of one connection; `encoder` is the connection's."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._generation: int = 0
        self._known: dict[object, EncodedRequest] = {}
        self._last: EncodedRequest | None = None
        self._last_headers: object = None
        self._last_list: list[Any] | None = None
        self._last_method = b""
        self._last_scheme = b""
        self._last_authority = b""
        self._last_protocol: bytes | None = None
        self._last_length: int = -1
        self._last_end = False

    def request(
        self,
        method: bytes,
        scheme: bytes,
        authority: bytes,
        path: bytes,
        headers: Sequence[Any],
        protocol: bytes | None,
        content_length: int,
        end_stream: bool,
        drop_connection_fields: bool,
    ) -> EncodedRequest:
        """Return the request, its `block` with this path; it has to be written at once, as HPACK goes by wire order.

        `drop_connection_fields` has to be the same for all of a connection. Raises InvalidFieldError; the encoder is
        untouched then.
        """
        encoder = self._encoder
        last = self._last
        if (
            last is not None
            and self._generation == encoder.generation
            and end_stream == self._last_end
            and content_length == self._last_length
            and method == self._last_method
            and authority == self._last_authority
            and scheme == self._last_scheme
            and protocol == self._last_protocol
            # The very tuple of the request before, or a list equal to it, whose constants are the same objects.
            and (headers is self._last_headers or (self._last_list is not None and self._last_list == headers))
        ):
            return self._with_path(last, path)
        if self._generation != encoder.generation or len(self._known) >= _REMEMBERED:
            self._known = {}
            self._generation = encoder.generation
        fields: object = headers if isinstance(headers, tuple) else tuple(headers)
        key = (fields, method, authority, scheme, protocol, content_length, end_stream)
        found: EncodedRequest | None
        try:
            found = self._known.get(key)
        except TypeError:  # pairs as lists are not hashable
            fields = tuple([tuple(pair) for pair in headers])
            key = (fields, method, authority, scheme, protocol, content_length, end_stream)
            found = self._known.get(key)
        if found is None:
            check_target(method, scheme, authority, path, protocol)
            found, is_lasting = self._encode(
                method, scheme, authority, path, headers, protocol, content_length, end_stream, drop_connection_fields
            )
            if not is_lasting or self._generation != encoder.generation:
                self._last = None
                return found
            self._known[key] = found
        self._last = found
        self._last_method = method
        self._last_scheme = scheme
        self._last_authority = authority
        self._last_protocol = protocol
        self._last_length = content_length
        self._last_end = end_stream
        if isinstance(headers, tuple):
            self._last_headers = headers
            self._last_list = None
        else:
            self._last_headers = None
            self._last_list = list(headers)  # a copy: the caller may change its own
        return self._with_path(found, path)

    def _with_path(self, request: EncodedRequest, path: bytes) -> EncodedRequest:
        if path == request.path:
            return request
        if not request.path or not is_path(path):
            raise InvalidFieldError(f"b':path' cannot be {path!r} (RFC 9113 §8.3.1)")
        request.set_path(path, self._encoder.encode([(b":path", path)]))
        return request

    def _encode(
        self,
        method: bytes,
        scheme: bytes,
        authority: bytes,
        path: bytes,
        headers: Sequence[Any],
        protocol: bytes | None,
        content_length: int,
        end_stream: bool,
        drop_connection_fields: bool,
    ) -> tuple[EncodedRequest, bool]:
        """Encode a request for the first time, and tell whether its octets can be used again."""
        checked, length = check_outgoing(headers, drop_connection_fields)
        if content_length >= 0:
            if length < 0:
                checked.append((b"content-length", b"%d" % content_length))
            elif length != content_length:
                raise InvalidFieldError(f"content-length says {length}, the content has {content_length} octets")
            length = content_length
        if end_stream and length > 0:
            raise InvalidFieldError(f"content-length says {length}, and no content is to follow")
        pseudo = [(b":method", method)]
        if protocol is not None:
            pseudo.append((b":protocol", protocol))
        if scheme:
            pseudo.append((b":scheme", scheme))
        if authority:
            pseudo.append((b":authority", authority))
        encoder = self._encoder
        before = encoder.encode(pseudo)
        is_lasting = encoder.settled
        middle = encoder.encode([(b":path", path)]) if path else b""
        behind = encoder.encode(checked)
        request = EncodedRequest(before, behind, length, end_stream)
        request.set_path(path, middle)
        return request, is_lasting and encoder.settled
