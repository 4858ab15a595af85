"""A response's head found in the input, taken apart (RFC 9112 §4, §5, §6.3), and remembered.

Strict where a message could be read in two ways: each such head is a fault, and the connection ends. Generous where it
cannot: a status line without a reason, or without the space before it, is common, and clear; folded lines are joined.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import httptools

from headrace.engine.fields import Pairs, ResponseHead
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.parse.field_lines import BOTH, CODING, FieldLines, add_length, lower_name
from headrace.engine.h1.parse.memory import HeadMemory
from headrace.engine.h1.parse.scanner import HeadScanner
from headrace.engine.limits import BYTES_A_FRAME, Limits
from headrace.engine.message import UNKNOWN

# Before every field section that llhttp gets: a response without content, whatever its fields say.
_LINE: Final = b"HTTP/1.1 304 "

_CONTENT_LENGTH: Final = 1
_TRANSFER_ENCODING: Final = 2
_CONNECTION: Final = 3
_UPGRADE: Final = 4
_ACCEPT: Final = 5

_KNOWN: Final[dict[bytes, int]] = {
    b"content-length": _CONTENT_LENGTH,
    b"transfer-encoding": _TRANSFER_ENCODING,
    b"connection": _CONNECTION,
    b"upgrade": _UPGRADE,
    b"sec-websocket-accept": _ACCEPT,
}

_DIGITS: Final = b"0123456789"
_REASON: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))  # RFC 9112 §4
_PREFIX: Final = b"HTTP/1."
_FOLD: Final = re.compile(rb"(?<![ \t])[ \t]*(?:\r\n[ \t]+)+")  # RFC 9112 §5.2; each run of spaces is tried once
_LARGE: Final = (400, "a head beyond the limits", "RFC 9112 §5.4", "max_field_section_size")


class HTTP1ResponseHead(ResponseHead):
    """A response's head, with what it says of its connection and of its content's framing."""

    def __init__(self, headers: Sequence[Any]) -> None:
        super().__init__(headers)
        self.http_version = "1.1"
        self.is_chunked = False
        self.keeps_alive = True
        """The server takes another request on this connection (RFC 9112 §9.3)."""
        self.is_upgrade = False
        """The fields of an upgrade to WebSocket are there (RFC 6455 §4.1)."""
        self.accept = b""
        """The value of `sec-websocket-accept`."""


class ResponseReader:
    """Reads the heads of one connection's responses."""

    def __init__(self, limits: Limits) -> None:
        self._max_fields: int = limits.max_fields
        self._lines = FieldLines(limits.max_fields, _LINE, httptools.HttpResponseParser)
        self._scanner = HeadScanner(0, limits.max_field_section_size, _LARGE, _LARGE)
        self._memory = HeadMemory()
        self._last: HTTP1ResponseHead | None = None
        self.position: int = 0
        """Where to go on in the input after `take`."""
        self.work: int = 0
        """Work of the last `take`, in frames."""
        self._last_line = b""
        self._last_status: int = 0
        self._last_version = "1.1"

    @property
    def count(self) -> int:
        """Heads that are remembered."""
        return self._memory.count

    def take(self, data: bytes, position: int) -> HTTP1ResponseHead | None:
        """Read the head of the response at `position`; return None while it is not whole. Raises MessageFault."""
        scanner = self._scanner
        self.work = 0
        size = scanner.repeated(data, position)
        if size > 0:
            self.position = position + size
            return self._last
        seen = data[position : position + 7]
        if seen != _PREFIX[: len(seen)]:
            raise MessageFault(400, "what came is not a response of HTTP/1", "RFC 9112 §4")
        end = scanner.find_end(data, position)
        if end < 0:
            self.position = position
            return None
        raw = data if position == 0 and end == len(data) else data[position:end]
        head = self._find(raw)
        if head is None:
            self.work = len(raw) // BYTES_A_FRAME
            scanner.check(data, position, end, raw)
            head = self._read(raw)
        self.position = end
        scanner.keep(raw)
        self._last = head
        return head

    def _find(self, data: bytes) -> HTTP1ResponseHead | None:
        """Return the head that these bytes were parsed to before, if it is remembered."""
        head = self._memory.find(data)
        if head is None:
            return None
        assert isinstance(head, HTTP1ResponseHead)
        return head

    def _read(self, data: bytes) -> HTTP1ResponseHead:
        """Parse a head from its first byte to its empty line."""
        end = data.find(b"\r\n")
        line = data[:end]
        if line != self._last_line:
            self._last_status, self._last_version = parse_status_line(line)
            self._last_line = line
        head = HTTP1ResponseHead(())
        head.status = self._last_status
        head.http_version = self._last_version
        self._examine(head, self._read_fields(data[end:]))
        if not head.keeps_alive or head.is_upgrade:
            self._lines.forget()
        self._memory.note(data, head, head.headers)
        return head

    def _read_fields(self, fields: bytes) -> Pairs:
        """Return the field lines, with spaces in place of folds, as a client MUST read them (RFC 9112 §5.2)."""
        try:
            return self._lines.read(fields)
        except MessageFault:  # rare, so nobody else pays for it; and the lines are counted as they came
            unfolded = fields[:2] + _FOLD.sub(b" ", fields[2:])
            if unfolded == fields or fields.count(b"\n") - 2 > self._max_fields:
                raise
            return self._lines.read(unfolded)

    def _examine(self, head: HTTP1ResponseHead, pairs: Pairs) -> None:
        """Check each field, and take from them what the connection has to know."""
        headers: Pairs = []
        is_http_1_0 = head.http_version == "1.0"
        coding: bytes | None = None
        options: list[bytes] | None = None
        protocols = b""
        accepts = 0
        for pair in pairs:
            name = lower_name(pair[0])
            value: bytes = pair[1]
            if value and value[-1] <= 0x20:
                value = value.rstrip(b" \t")
            kind = _KNOWN.get(name, 0)
            if kind == _CONTENT_LENGTH:
                head.content_length = add_length(head.content_length, value)
            elif kind == _TRANSFER_ENCODING:
                if coding is not None:
                    raise MessageFault(400, "transfer-encoding twice", "RFC 9112 §6.3")
                coding = value
            elif kind == _CONNECTION:
                if options is None:
                    options = []
                for option in value.lower().split(b","):
                    options.append(option.strip(b" \t"))
            elif kind == _UPGRADE:
                protocols = protocols + b"," + value.lower()
            elif kind == _ACCEPT:
                head.accept = value
                accepts += 1
            headers.append((name, value))
        head.headers = tuple(headers)
        if coding is not None:
            if head.content_length != UNKNOWN:
                raise MessageFault(400, BOTH[0], BOTH[1])
            if is_http_1_0:
                raise MessageFault(400, "transfer-encoding in HTTP/1.0", "RFC 9112 §6.1")
            if coding.lower() != b"chunked":  # we ask for no other (RFC 9112 §7.4)
                raise MessageFault(400, CODING[0], CODING[1])
            head.is_chunked = True
        # RFC 9112 §9.3: close ends it, whatever else is said; HTTP/1.0 has to say that it goes on.
        if options is None:
            head.keeps_alive = not is_http_1_0
        else:
            head.keeps_alive = b"close" not in options and (not is_http_1_0 or b"keep-alive" in options)
            if protocols and b"upgrade" in options and accepts == 1 and not is_http_1_0:
                head.is_upgrade = b"websocket" in [each.strip(b" \t") for each in protocols.split(b",")]


def parse_status_line(line: bytes) -> tuple[int, str]:
    """Return status and version of a status line, without its CRLF (RFC 9112 §4). The caller has looked at the first
    seven bytes. Raises MessageFault."""
    minor = line[7:8]
    if not minor or minor.translate(None, _DIGITS) or line[8:9] != b" ":
        raise MessageFault(400, "the status line has no version of HTTP", "RFC 9112 §2.3")
    code = line[9:12]
    if len(code) != 3 or code.translate(None, _DIGITS) or code[0] == 0x30 or line[12:13] not in (b"", b" "):
        raise MessageFault(400, "the status is not a number of three digits", "RFC 9112 §4")
    if line[13:].translate(None, _REASON):
        raise MessageFault(400, "the reason has a byte that is not allowed", "RFC 9112 §4")
    return int(code), "1.0" if minor == b"0" else "1.1"  # a higher minor version is the highest we know (RFC 9110 §6.2)
