"""The field lines of a head (RFC 9112 §5), read by llhttp, and held against rules that are stricter than its own.

Both roles read theirs here. For llhttp the lines always belong to the same message, one without content, so that its
parser can be used again for the next head.
"""

from __future__ import annotations

import re
from typing import Any, Final

import httptools

from headrace.engine.fields import Pairs, has_field_bytes, is_field_name
from headrace.engine.h1.faults import MessageFault
from headrace.engine.message import MALFORMED, UNKNOWN, parse_content_length

BARE: Final = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")  # a CR or LF that stands alone

_NAME: Final = ("a field name is empty, or has a byte that is not allowed", "RFC 9112 §5.1")
_LENGTH: Final = ("content-length is not a number", "RFC 9110 §8.6")
BOTH: Final = ("transfer-encoding with content-length", "RFC 9112 §6.1")
CODING: Final = ("transfer-encoding is not just chunked", "RFC 9112 §6.3")
_SAID: Final[dict[str, tuple[str, str]]] = {  # llhttp's words, and ours
    "Invalid header token": _NAME,
    "Unexpected whitespace after header value": ("a folded field line", "RFC 9112 §5.2"),
    "Invalid header value char": ("a field value has a byte that is not allowed", "RFC 9110 §5.5"),
    "Duplicate Content-Length": ("content-length twice", "RFC 9110 §8.6"),
    "Invalid character in Content-Length": _LENGTH,
    "Content-Length overflow": _LENGTH,
    "Empty Content-Length": _LENGTH,
    "Content-Length can't be present with Transfer-Encoding": BOTH,
    "Transfer-Encoding can't be present with Content-Length": BOTH,
    "Request has invalid `Transfer-Encoding`": CODING,
    "Invalid `Transfer-Encoding` header value": CODING,
}

# As peers write the names of fields. One object a name, for all messages, with a hash that is known already.
_LOWER: Final[dict[bytes, bytes]] = {
    each: each.lower()
    for each in (
        *(b"Host", b"Connection", b"Content-Length", b"Content-Type", b"Transfer-Encoding", b"Expect", b"Upgrade"),
        *(b"User-Agent", b"Accept", b"Accept-Encoding", b"Accept-Language", b"Cookie", b"Referer", b"Origin"),
        *(b"Authorization", b"Cache-Control", b"Pragma", b"Range", b"If-None-Match", b"If-Modified-Since", b"DNT"),
        *(b"Sec-WebSocket-Key", b"Sec-WebSocket-Version", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions"),
        *(b"Sec-Fetch-Site", b"Sec-Fetch-Mode", b"Sec-Fetch-Dest", b"Sec-Fetch-User", b"Upgrade-Insecure-Requests"),
        *(b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Real-IP", b"X-Requested-With", b"Via"),
        *(b"sec-ch-ua", b"sec-ch-ua-mobile", b"sec-ch-ua-platform", b"Priority", b"TE", b"Trailer", b"Forwarded"),
        *(b"Date", b"Server", b"Last-Modified", b"ETag", b"Accept-Ranges", b"Content-Encoding", b"Content-Range"),
        *(b"Vary", b"Location", b"Set-Cookie", b"Expires", b"Age", b"Keep-Alive", b"Sec-WebSocket-Accept", b"Link"),
        *(b"content-length", b"content-type", b"date", b"server", b"transfer-encoding", b"connection"),
    )
}


class _Lines:
    """What llhttp calls. An object of its own, so that no reference leads from the parser back to the connection."""

    def __init__(self) -> None:
        self.pairs: Pairs = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field line, its value perhaps with whitespace behind it."""
        self.pairs.append((name, value))


class FieldLines:
    """Reads the field lines of one connection's heads."""

    def __init__(self, max_fields: int, first_line: bytes, parser_class: Any) -> None:
        """`first_line` is what llhttp gets before every section, `parser_class` that of httptools for the role."""
        self._max_fields = max_fields
        self._first_line = first_line
        self._parser_class = parser_class
        self._lines = _Lines()
        self._parser: Any = None

    def forget(self) -> None:
        """The parser cannot be used again: it waits for content, or takes nothing more."""
        self._parser = None

    def read(self, fields: bytes) -> Pairs:
        """Return the lines of a section as they stand there; `fields` begins with the CRLF of the line before it, and
        ends with the empty line. Raises MessageFault."""
        count = fields.count(b"\n") - 2
        if count > self._max_fields:
            raise MessageFault(431, "more fields than are taken", "RFC 6585 §5", "max_fields")
        lines = self._lines
        pairs: Pairs = []
        lines.pairs = pairs
        parser = self._parser
        self._parser = None
        if parser is None:
            parser = self._parser_class(lines)
        try:
            parser.feed_data(self._first_line + fields)
            self._parser = parser
        except httptools.HttpParserUpgrade:
            pass  # for it, what follows is not HTTP any more; whether that is so is not its decision
        except httptools.HttpParserError as error:
            said = str(error)
            known = _SAID.get(said)
            if known is None:
                raise MessageFault(400, f"the field section is malformed: {said}", "RFC 9112 §5") from None
            raise MessageFault(400, known[0], known[1]) from None
        if len(pairs) != count:
            raise MessageFault(400, "the field section is malformed", "RFC 9112 §5")
        if not has_field_bytes(fields):
            raise MessageFault(400, "a field value has a byte that is not allowed", "RFC 9110 §5.5")
        return pairs


def lower_name(raw: bytes) -> bytes:
    """Return a field's name in lower case. Raises MessageFault when it is none (RFC 9110 §5.1)."""
    known = _LOWER.get(raw)
    if known is not None:
        return known
    name = raw.lower()
    if not is_field_name(name):
        raise MessageFault(400, _NAME[0], _NAME[1])
    return name


def add_length(known: int, value: bytes) -> int:
    """Return what a content-length says, where `known` is what the fields before it said, or UNKNOWN.

    Raises MessageFault when it is not a number, or the second one (RFC 9110 §8.6).
    """
    if known != UNKNOWN:
        raise MessageFault(400, "content-length twice", "RFC 9110 §8.6")
    length = parse_content_length(value)
    if length == MALFORMED:
        raise MessageFault(400, _LENGTH[0], _LENGTH[1])
    return length
