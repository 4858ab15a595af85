"""Header sections on their way out: checked once, encoded once, remembered as octets.

A (status, headers) pair that was seen before is a dict lookup. What is remembered holds while the HPACK encoder's table
does; a head whose encoding would change at the next use (`Encoder.settled` is False) is not remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.engine.errors import InvalidFieldError, LocalProtocolError
from headrace.engine.fields import check_outgoing
from headrace.engine.h2 import frames
from headrace.engine.hpack.encoder import Encoder
from headrace.engine.message import is_bodiless

_REMEMBERED: Final = 128  # heads a connection


class EncodedHead:
    """A response's HEADERS frame without its stream identifier."""

    def __init__(self, block: bytes, content_length: int, takes_length: bool) -> None:
        self.block = block
        self.content_length = content_length
        self.takes_length = takes_length  # has no content-length and may have one
        self.with_length: dict[int, EncodedHead] | None = None
        self.prefix = frames.write_prefix(len(block), frames.HEADERS, frames.END_HEADERS)
        self.last_prefix = frames.write_prefix(len(block), frames.HEADERS, frames.END_HEADERS | frames.END_STREAM)
        self.size = len(block) + frames.HEADER_SIZE


class Heads:
    """The encoder of a connection with its memory."""

    def __init__(self) -> None:
        self.encoder = Encoder()
        self.default_fields: tuple[tuple[bytes, bytes], ...] = ()
        self._known: dict[int, dict[object, EncodedHead]] | None = None
        self._count: int = 0
        self._generation: int = 0
        self._last: EncodedHead | None = None
        self._last_headers: object = None
        self._last_list: list[Any] | None = None
        self._last_status: int = 0
        self._last_size: int = 0

    def set_default_fields(self, default_fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Set fields that every final response gets unless the application names them."""
        self.default_fields = default_fields
        self._known = None
        self._last = None

    def response(
        self, status: int, headers: Sequence[Any], size: int, drop_connection_fields: bool = False
    ) -> EncodedHead:
        """Return the head of a response; it has to be written at once, as HPACK goes by wire order.

        `size` is that of the whole content: checked against content-length or, where there is none, it becomes that
        (RFC 9110 §8.6); -1 when it is not known or does not count. `drop_connection_fields` has to be the same for all
        of a connection. Raises InvalidFieldError, LocalProtocolError when content-length differs; the encoder is
        untouched then.
        """
        encoder = self.encoder
        last = self._last
        if (
            last is not None
            and size == self._last_size
            and status == self._last_status
            and self._generation == encoder.generation
            # The very tuple of the response before, as a handler's constant is; or a list equal to it, whose constants
            # are the same objects. Both are quicker than a hash of all octets (90 ns).
            and (headers is self._last_headers or (self._last_list is not None and self._last_list == headers))
        ):
            return last
        if self._known is None or self._generation != encoder.generation or self._count >= _REMEMBERED:
            self._known = {}
            self._count = 0
            self._generation = encoder.generation
        by_status = self._known.get(status)
        if by_status is None:
            by_status = {}
            self._known[status] = by_status
        key: object = headers if isinstance(headers, tuple) else tuple(headers)
        try:
            head = by_status.get(key)
        except TypeError:  # pairs as lists: legal in ASGI, but not hashable
            key = tuple([tuple(pair) for pair in headers])
            head = by_status.get(key)
        if head is None:
            head = self._encode(status, headers, size, drop_connection_fields)
            if self._generation != encoder.generation or not encoder.settled:
                return self._add_length(head, size) if size > 0 and head.takes_length else head
            by_status[key] = head
            self._count += 1
        elif size != head.content_length and size >= 0 and head.content_length >= 0:
            raise _length_differs(head.content_length, size)
        if size > 0 and head.takes_length:
            head = self._add_length(head, size)
        self._last = head
        self._last_status = status
        self._last_size = size
        if isinstance(headers, tuple):
            self._last_headers = headers
            self._last_list = None
        else:
            self._last_headers = None
            self._last_list = list(headers)  # a copy: the application may change its own
        return head

    def _encode(self, status: int, headers: Sequence[Any], size: int, drop_connection_fields: bool) -> EncodedHead:
        if status < 100 or status > 999:
            raise InvalidFieldError(f"status {status} is not a number of three digits (RFC 9110 §15)")
        checked, length = check_outgoing(headers, drop_connection_fields)
        if size >= 0 and length >= 0 and size != length:
            raise _length_differs(length, size)
        if status < 200 or status == 204:  # RFC 9110 §8.6: no content-length there
            checked = [pair for pair in checked if pair[0] != b"content-length"]
            length = -1
        fields = [(b":status", str(status).encode())]
        fields.extend(checked)
        if self.default_fields and status >= 200:
            names = {pair[0] for pair in checked}
            for pair in self.default_fields:
                if pair[0] not in names:
                    fields.append(pair)
        return EncodedHead(self.encoder.encode(fields), length, length < 0 and not is_bodiless(status))

    def _add_length(self, head: EncodedHead, size: int) -> EncodedHead:
        """Return the head with content-length behind it: a literal that leaves the HPACK table alone."""
        known = head.with_length
        if known is None:
            known = {}
            head.with_length = known
        longer = known.get(size)
        if longer is None:
            block = head.block + self.encoder.encode([(b"content-length", str(size).encode())])
            longer = EncodedHead(block, size, False)
            known[size] = longer
            self._count += 1
        return longer


def _length_differs(declared: int, size: int) -> LocalProtocolError:
    return LocalProtocolError(f"content-length says {declared}, the content has {size} octets")
