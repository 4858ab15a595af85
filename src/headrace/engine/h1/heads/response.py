"""Response heads on their way out: checked once, written once, remembered as bytes (RFC 9112 §4, §5).

A (status, headers) pair that was seen before is a dict lookup, and the pair of the response before not even that. What
a head says depends on nothing else but the default fields and what is dropped, whose change forgets all.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from headrace.engine.errors import InvalidFieldError, LocalProtocolError
from headrace.engine.fields import check_outgoing
from headrace.engine.head_cache import ALWAYS, HeadCache
from headrace.engine.message import is_bodiless

_REMEMBERED: Final = 128  # heads a connection

CLOSE: Final = b"connection: close\r\n"
KEEP_ALIVE: Final = b"connection: keep-alive\r\n"
UPGRADE: Final = b"upgrade: websocket\r\nconnection: upgrade\r\n"
CHUNKED: Final = b"transfer-encoding: chunked\r\n"

_LINES: Final[dict[int, bytes]] = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode("ascii") for each in HTTPStatus
}


def status_line(status: int) -> bytes:
    """Return the status line, CRLF included (RFC 9112 §4); a status without a registered phrase has an empty one."""
    line = _LINES.get(status)
    return line if line is not None else b"HTTP/1.1 %d \r\n" % status


class WrittenHead:
    """A response's head as bytes. `block` lacks the empty line at the end, `plain` has it."""

    def __init__(self, block: bytes, content_length: int, takes_length: bool, asks_to_close: bool) -> None:
        self.block = block
        self.plain: bytes = block + b"\r\n"
        self.size: int = len(self.plain)
        self.content_length = content_length
        self.takes_length = takes_length  # has no content-length and may have one
        self.asks_to_close = asks_to_close
        """The application said `connection: close`."""
        self.with_length: dict[int, WrittenHead] | None = None


class Heads:
    """Writes the heads of one connection."""

    def __init__(self) -> None:
        self.cache: HeadCache[WrittenHead] = HeadCache(_REMEMBERED)
        self._last_status: int = 0
        self._last_size: int = 0

    def response(self, status: int, headers: Sequence[Any], size: int) -> WrittenHead:
        """Return the head of a response, or of an interim one.

        `size` is that of the whole content: checked against content-length or, where there is none, it becomes that
        (RFC 9110 §8.6); -1 when it is not known or does not count. Raises InvalidFieldError, LocalProtocolError when
        content-length differs.
        """
        cache = self.cache
        if size == self._last_size and status == self._last_status:
            last = cache.last(headers)
            if last is not None:
                return last
        fields = cache.fixed(headers, ALWAYS)
        head = cache.find(fields, status)
        if head is None:
            head = self._write(status, fields)
            cache.add(fields, status, head)
        if size >= 0:
            if head.takes_length:
                head = self._add_length(head, size)
            elif head.content_length >= 0 and head.content_length != size:
                raise LocalProtocolError(f"content-length says {head.content_length}, the content has {size} bytes")
        cache.keep(head, fields)
        self._last_status = status
        self._last_size = size
        return head

    def _write(self, status: int, headers: Sequence[Any]) -> WrittenHead:
        if status < 100 or status > 999:
            raise InvalidFieldError(f"status {status} is not a number of three digits (RFC 9110 §15)")
        others, asks_to_close = take_close(headers)
        checked, length = check_outgoing(others, self.cache.drops)
        if status < 200 or status == 204:  # RFC 9110 §8.6: no content-length there
            checked = [pair for pair in checked if pair[0] != b"content-length"]
            length = -1
        parts = [status_line(status)]
        write_fields(parts, checked)
        default_fields = self.cache.default_fields
        if default_fields and status >= 200:
            names = {pair[0] for pair in checked}
            write_fields(parts, [pair for pair in default_fields if pair[0] not in names])
        if status == 426:  # RFC 9110 §15.5.22: it says to what; there is one protocol that we upgrade to
            parts.append(UPGRADE)
        return WrittenHead(b"".join(parts), length, length < 0 and not is_bodiless(status), asks_to_close)

    def _add_length(self, head: WrittenHead, size: int) -> WrittenHead:
        known = head.with_length
        if known is None:
            known = {}
            head.with_length = known
        longer = known.get(size)
        if longer is None:
            block = head.block + b"content-length: %d\r\n" % size
            longer = WrittenHead(block, size, False, head.asks_to_close)
            known[size] = longer
            self.cache.count_variant()
        return longer


def take_close(headers: Sequence[Any]) -> tuple[list[Any], bool]:
    """Return the fields without `connection: close`, and whether it was there: of all that concerns a connection, it is
    what an application may ask for (RFC 9112 §9.6)."""
    others: list[Any] = []
    found = False
    for pair in headers:
        if len(pair) == 2 and isinstance(pair[0], bytes) and isinstance(pair[1], bytes):
            if pair[0].lower() == b"connection" and pair[1].strip(b" \t").lower() == b"close":
                found = True
                continue
        others.append(pair)
    return others, found


def write_fields(parts: list[bytes], fields: Sequence[Any]) -> None:
    """Append field lines to `parts`."""
    for name, value in fields:
        parts.append(name)
        parts.append(b": ")
        parts.append(value)
        parts.append(b"\r\n")


def write_trailers(fields: Sequence[Any]) -> bytes:
    """Return the last chunk and the trailer section (RFC 9112 §7.1.2)."""
    parts = [b"0\r\n"]
    write_fields(parts, fields)
    parts.append(b"\r\n")
    return b"".join(parts)
