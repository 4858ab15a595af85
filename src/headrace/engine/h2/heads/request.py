"""Request heads on their way out: checked once, encoded once, remembered as bytes.

Requests to one origin mostly differ in their path alone, which no HPACK table holds: what stands before and behind it
is kept. Every head carries the generation of the encoder at which its bytes may be sent; a lookup asks for nothing
else. When `drop_connection_fields` changes, the cache forgets all heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.engine.errors import InvalidFieldError
from headrace.engine.fields import check_outgoing, check_target, is_path
from headrace.engine.fixed_fields import fixed_fields
from headrace.engine.h2 import frames
from headrace.engine.h2.heads.response import ONCE
from headrace.engine.head_cache import HeadCache
from headrace.engine.hpack.encoder import Encoder

_REMEMBERED: Final = 64  # heads a connection


class EncodedRequest:
    """A request's field block, but for its path."""

    def __init__(self, before: bytes, behind: bytes, content_length: int, end_stream: bool, generation: int) -> None:
        self.before = before
        self.behind = behind
        self.content_length = content_length
        self.generation = generation
        """The encoder's generation at which its bytes may be sent, again and again; ONCE: they are for one time."""
        self.path: bytes = b""
        self.block: bytes = b""
        """The whole block with `path`."""
        self.prefix: bytes = b""
        """The first bytes of a HEADERS frame that holds all of it."""
        self._flags: int = frames.END_HEADERS | frames.END_STREAM if end_stream else frames.END_HEADERS

    def set_path(self, path: bytes, encoded: bytes) -> None:
        """Put a path in, as it is encoded."""
        self.path = path
        self.block = self.before + encoded + self.behind
        self.prefix = frames.write_prefix(len(self.block), frames.HEADERS, self._flags)


class H2RequestHeads:
    """The memory of one connection; `encoder` is the connection's."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.cache: HeadCache[EncodedRequest] = HeadCache(_REMEMBERED)
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
        never_indexed: frozenset[bytes] | None = None,
    ) -> EncodedRequest:
        """Return the request, its `block` with this path; it has to be written at once, as HPACK goes by wire order.

        Raises InvalidFieldError; the encoder is untouched then. With `never_indexed`, names of fields that must not
        stand in a table, nothing is remembered, or looked for in the memory.
        """
        if never_indexed is not None:
            check_target(method, scheme, authority, path, protocol)
            return self._encode(
                method,
                scheme,
                authority,
                path,
                fixed_fields(headers),
                protocol,
                content_length,
                end_stream,
                never_indexed,
            )
        encoder = self._encoder
        cache = self.cache
        if (
            end_stream == self._last_end
            and content_length == self._last_length
            and method == self._last_method
            and authority == self._last_authority
            and scheme == self._last_scheme
            and protocol == self._last_protocol
        ):
            last = cache.last(headers)
            if last is not None and last.generation == encoder.generation:
                return self._with_path(last, path)
        fields = cache.fixed(headers, encoder.generation)
        rest = (method, authority, scheme, protocol, content_length, end_stream)
        found = cache.find(fields, rest)
        if found is None or found.generation != encoder.generation:
            check_target(method, scheme, authority, path, protocol)
            found = self._encode(
                method,
                scheme,
                authority,
                path,
                fields,
                protocol,
                content_length,
                end_stream,
                None,
            )
            if found.generation != ONCE:
                cache.add(fields, rest, found)
        cache.keep(found, fields)
        self._last_method = method
        self._last_scheme = scheme
        self._last_authority = authority
        self._last_protocol = protocol
        self._last_length = content_length
        self._last_end = end_stream
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
        never_indexed: frozenset[bytes] | None,
    ) -> EncodedRequest:
        """Encode a request for the first time."""
        checked, length = check_outgoing(headers, self.cache.drops)
        if content_length >= 0:
            if length < 0:
                checked.append((b"content-length", b"%d" % content_length))
            elif length != content_length:
                raise InvalidFieldError(f"content-length says {length}, the content has {content_length} bytes")
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
        generation = encoder.generation
        before = encoder.encode(pseudo, never_indexed)
        is_settled = encoder.settled
        middle = encoder.encode([(b":path", path)], never_indexed) if path else b""
        behind = encoder.encode(checked, never_indexed)
        if generation != encoder.generation or not is_settled or not encoder.settled:
            generation = ONCE
        request = EncodedRequest(before, behind, length, end_stream, generation)
        request.set_path(path, middle)
        return request
