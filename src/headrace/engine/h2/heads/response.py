"""Header sections on their way out: checked once, encoded once, remembered as bytes.

A (status, headers) pair that was seen before is a dict lookup. Every head carries the generation of the HPACK encoder
at which its block may be sent; a lookup asks for nothing else. When default fields or `drop_connection_fields` change,
the cache forgets all heads. A head whose block may not be sent twice, as it changed the table or its next use would
(`Encoder.settled` is False), carries ONCE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.engine.errors import InvalidFieldError, LocalProtocolError
from headrace.engine.fields import check_outgoing
from headrace.engine.fixed_fields import fixed_fields
from headrace.engine.h2 import frames
from headrace.engine.head_cache import HeadCache
from headrace.engine.hpack.encoder import Encoder
from headrace.engine.message import is_bodiless

_REMEMBERED: Final = 128  # heads a connection
ONCE: Final = -1  # no generation of an encoder


class EncodedHead:
    """A response's HEADERS frame without its stream identifier."""

    def __init__(self, block: bytes, content_length: int, takes_length: bool, generation: int) -> None:
        self.block = block
        self.content_length = content_length
        self.takes_length = takes_length  # has no content-length and may have one
        self.generation = generation
        """The encoder's generation at which `block` may be sent, again and again; ONCE: it is for one time."""
        self.with_length: dict[int, EncodedHead] | None = None
        self.prefix: bytes = frames.write_prefix(len(block), frames.HEADERS, frames.END_HEADERS)
        self.last_prefix: bytes = frames.write_prefix(
            len(block), frames.HEADERS, frames.END_HEADERS | frames.END_STREAM
        )
        self.size: int = len(block) + frames.HEADER_SIZE


class H2ResponseHeads:
    """The encoder of a connection with its memory."""

    def __init__(self) -> None:
        self.encoder: Encoder = Encoder()
        self.cache: HeadCache[EncodedHead] = HeadCache(_REMEMBERED)
        self._last_status: int = 0
        self._last_size: int = 0

    def response(
        self,
        status: int,
        headers: Sequence[Any],
        size: int,
        never_indexed: frozenset[bytes] | None = None,
    ) -> EncodedHead:
        """Return the head of a response; it has to be written at once, as HPACK goes by wire order.

        `size` is that of the whole content: checked against content-length or, where there is none, it becomes that
        (RFC 9110 §8.6); -1 when it is not known or does not count. Raises InvalidFieldError, LocalProtocolError when
        content-length differs; the encoder is untouched then. With `never_indexed`, names of fields that must not stand
        in a table, nothing is remembered, or looked for in the memory.
        """
        if never_indexed is not None:
            alone = self._encode(status, fixed_fields(headers), size, never_indexed)
            alone.generation = ONCE
            return self._add_length(alone, size) if size > 0 and alone.takes_length else alone
        encoder = self.encoder
        cache = self.cache
        if size == self._last_size and status == self._last_status:
            last = cache.last(headers)
            if last is not None and last.generation == encoder.generation:
                return last
        fields = cache.fixed(headers, encoder.generation)
        head = cache.find(fields, status)
        if head is None or head.generation != encoder.generation:
            head = self._encode(status, fields, size, None)
            if head.generation != ONCE:
                cache.add(fields, status, head)
        elif size != head.content_length and size >= 0 and head.content_length >= 0:
            raise _length_differs(head.content_length, size)
        if size > 0 and head.takes_length:
            head = self._add_length(head, size)
        cache.keep(head, fields)
        self._last_status = status
        self._last_size = size
        return head

    def _encode(
        self,
        status: int,
        headers: Sequence[Any],
        size: int,
        never_indexed: frozenset[bytes] | None,
    ) -> EncodedHead:
        if status < 100 or status > 999:
            raise InvalidFieldError(f"status {status} is not a number of three digits (RFC 9110 §15)")
        checked, length = check_outgoing(headers, self.cache.drops)
        if size >= 0 and length >= 0 and size != length:
            raise _length_differs(length, size)
        if status < 200 or status == 204:  # RFC 9110 §8.6: no content-length there
            checked = [pair for pair in checked if pair[0] != b"content-length"]
            length = -1
        fields = [(b":status", b"%d" % status)]
        fields.extend(checked)
        default_fields = self.cache.default_fields
        if default_fields and status >= 200:
            names = {pair[0] for pair in checked}
            for pair in default_fields:
                if pair[0] not in names:
                    fields.append(pair)
        encoder = self.encoder
        generation = encoder.generation
        block = encoder.encode(fields, never_indexed)
        if generation != encoder.generation or not encoder.settled:
            generation = ONCE
        return EncodedHead(block, length, length < 0 and not is_bodiless(status), generation)

    def _add_length(self, head: EncodedHead, size: int) -> EncodedHead:
        """Return the head with content-length behind it: a literal that leaves the HPACK table alone."""
        known = head.with_length
        if known is None:
            known = {}
            head.with_length = known
        longer = known.get(size)
        if longer is None:
            block = head.block + self.encoder.encode([(b"content-length", b"%d" % size)])
            longer = EncodedHead(block, size, False, head.generation)
            known[size] = longer
            self.cache.count_variant()
        return longer


def _length_differs(declared: int, size: int) -> LocalProtocolError:
    return LocalProtocolError(f"content-length says {declared}, the content has {size} bytes")
