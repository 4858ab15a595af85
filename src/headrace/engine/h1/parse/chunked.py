"""The chunked transfer coding, decoded (RFC 9112 §7.1).

Written here because llhttp's binding tells neither where a message ends nor where an error stands, and stricter than
the grammar asks for: whitespace around an extension, which only bad senders write, is refused, as llhttp does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from headrace.engine.fields import BAD, CONTENT_LENGTH, HOST, METHOD, PROTOCOL, TE_TRAILERS, Pairs, classify
from headrace.engine.h1.faults import MessageFault
from headrace.engine.hpack.field import Field
from headrace.engine.limits import BYTES_A_FRAME, CHUNKS_A_FRAME, Limits

if TYPE_CHECKING:
    from mypy_extensions import i64

_DIGITS: Final = 16  # hexadecimal ones, so that no size is beyond 64 bits
_EXTENSION: Final = 1_024  # bytes a chunk
_EXTENSIONS: Final = 65_536  # bytes a message

_HEXDIGITS: Final = b"0123456789abcdefABCDEF"
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_EXTENSION_GRAMMAR: Final = re.compile(rb"(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)+")

_SIZE: Final = 0  # a line with a chunk's size is next
_DATA: Final = 1
_END_OF_DATA: Final = 2  # the CRLF behind a chunk
_TRAILERS: Final = 3
_COMPLETE: Final = 4


class ChunkedDecoder:
    """Decodes one message's content. `trailers` are the field lines behind the last chunk.

    `turn` is how many chunks may still be read, -1: any; a trailer, or BYTES_A_FRAME of extensions, counts as
    CHUNKS_A_FRAME.
    """

    def __init__(self, limits: Limits, unfolds: bool) -> None:
        """`unfolds`: whether a folded trailer line is joined to the line before it, and not refused."""
        self.turn: int = -1
        self.content: list[bytes] = []
        self.trailers: Pairs = []
        self._max_size: int = limits.max_field_section_size
        self._max_fields: int = limits.max_fields
        self._state: int = _SIZE
        self._left: int = 0
        self._extensions: int = 0
        self._trailer_size: int = 0
        self._unfolds = unfolds
        self._folded: int = 0

    @property
    def is_complete(self) -> bool:
        """True once the last chunk and the trailer section have come."""
        return self._state == _COMPLETE

    @property
    def is_between(self) -> bool:
        """True where no chunk has begun that is not whole, and the trailer section has not: nothing is owed."""
        return self._state == _SIZE

    def take_content(self) -> bytes:
        """Return and forget what was decoded."""
        content = self.content
        if not content:
            return b""
        self.content = []
        return content[0] if len(content) == 1 else b"".join(content)

    def decode(self, data: bytes, position: int) -> int:
        """Decode from `position` on, as far as lines are whole and `turn` allows; return where to go on.

        Raises MessageFault; what had been decoded before is still there then.
        """
        end = len(data)
        while position < end and self._state != _COMPLETE:
            state = self._state
            if state == _DATA:
                size = end - position
                if size > self._left:
                    size = self._left
                self.content.append(data if size == end else data[position : position + size])
                position += size
                self._left -= size
                if self._left == 0:
                    self._state = _END_OF_DATA
            elif state == _END_OF_DATA:
                if data[position] != 0x0D or (end - position > 1 and data[position + 1] != 0x0A):
                    raise MessageFault(400, "a chunk does not end with CRLF", "RFC 9112 §7.1")
                if end - position < 2:
                    break
                position += 2
                self._state = _SIZE
            elif self.turn == 0:
                break
            elif state == _SIZE:
                after = self._take_size(data, position)
                if after < 0:
                    break
                position = after
            else:
                after = self._take_trailer(data, position)
                if after < 0:
                    break
                position = after
        return position

    def _spend(self, work: int) -> None:
        if self.turn > 0:
            self.turn = self.turn - work if self.turn > work else 0

    def _take_size(self, data: bytes, position: int) -> int:
        """Read a line with a chunk's size; return the position behind it, -1 as long as it is not whole."""
        at: i64 = position
        end: i64 = len(data)
        stop: i64 = min(end, at + _DIGITS + 1)
        byte: i64
        while at < stop:
            byte = data[at]
            if not (0x30 <= byte <= 0x39 or 0x41 <= byte <= 0x46 or 0x61 <= byte <= 0x66):
                break
            at += 1
        if at == position + _DIGITS + 1:
            raise MessageFault(400, "the size of a chunk has more than 16 digits", "RFC 9112 §7.1")
        if at == end:
            return -1
        if at == position:
            raise MessageFault(400, "the size of a chunk is not a hexadecimal number", "RFC 9112 §7.1")
        digits = data[position:at]
        after: i64
        byte = data[at]
        if byte == 0x0D:
            if at + 1 == end:
                return -1
            if data[at + 1] != 0x0A:
                raise MessageFault(400, "a line of the chunked coding has a bare CR", "RFC 9112 §2.2")
            after = at + 2
        elif byte == 0x3B:
            after = self._take_extension(data, at)
            if after < 0:
                return -1
        else:
            raise MessageFault(400, "the size of a chunk is not a hexadecimal number", "RFC 9112 §7.1")
        self._spend(1)
        self._left = int(digits, 16)
        self._state = _DATA if self._left > 0 else _TRAILERS
        return after

    def _take_extension(self, data: bytes, position: int) -> int:
        """Check a chunk's extensions, which nobody asks for (RFC 9112 §7.1.1), and skip them."""
        end = _find_line(data, position, _EXTENSION)
        if end == _TOO_LONG:
            raise MessageFault(400, "a chunk's extensions are longer than 1,024 bytes", "RFC 9112 §7.1.1")
        if end < 0:
            return -1
        if _EXTENSION_GRAMMAR.fullmatch(data, position, end) is None:
            raise MessageFault(400, "a chunk's extensions are malformed", "RFC 9112 §7.1.1")
        self._extensions += end - position
        self._spend((end - position) * CHUNKS_A_FRAME // BYTES_A_FRAME)
        if self._extensions > _EXTENSIONS:
            raise MessageFault(400, "the chunks' extensions are longer than 65,536 bytes", "RFC 9112 §7.1.1")
        return end + 2

    def _take_trailer(self, data: bytes, position: int) -> int:
        """Read a line of the trailer section (RFC 9112 §7.1.2); the empty one ends the message."""
        end = _find_line(data, position, self._max_size - self._trailer_size)
        if end == _TOO_LONG:
            raise MessageFault(431, "trailers beyond the limits", "RFC 6585 §5", "max_field_section_size")
        if end < 0:
            return -1
        if end == position:
            self._state = _COMPLETE
            return end + 2
        self._trailer_size += end + 2 - position
        self._spend(CHUNKS_A_FRAME)
        if len(self.trailers) + self._folded >= self._max_fields:
            raise MessageFault(431, "more trailers than are taken", "RFC 6585 §5", "max_fields")
        line = data[position:end]
        if self._unfolds and self.trailers and data[position] in b" \t":  # RFC 9112 §5.2
            self._folded += 1
            name, value = self.trailers.pop()
            line = name + b":" + value + b" " + line.strip(b" \t")
        name, colon, value = line.partition(b":")
        field = Field(name.lower(), value.strip(b" \t"))
        kind = classify(field)
        if not colon or kind >= BAD or METHOD <= kind <= PROTOCOL:
            raise MessageFault(400, "a trailer is malformed, or must not be one", "RFC 9110 §6.5.1")
        if kind == CONTENT_LENGTH or kind == HOST or kind == TE_TRAILERS:
            raise MessageFault(400, "a trailer that would change how the message is read", "RFC 9110 §6.5.1")
        self.trailers.append(field.pair)
        return end + 2


_UNFINISHED: Final = -1
_TOO_LONG: Final = -2


def _find_line(data: bytes, position: int, limit: int) -> int:
    """Return where the line at `position` ends: the index of its CRLF, `_UNFINISHED`, or `_TOO_LONG` beyond `limit`
    bytes. Raises MessageFault for a CR or LF that stands alone: what is a line's end has to be beyond doubt."""
    cr = data.find(b"\r", position)
    lf = data.find(b"\n", position)
    end = len(data)
    first = end
    if cr >= 0:
        first = cr
    if 0 <= lf < first:
        first = lf
    if first - position > limit:
        return _TOO_LONG
    if first == end:
        return _UNFINISHED
    if first == lf:
        raise MessageFault(400, "a line of the chunked coding has a bare LF", "RFC 9112 §2.2")
    if cr + 1 == end:
        return _UNFINISHED
    if data[cr + 1] != 0x0A:
        raise MessageFault(400, "a line of the chunked coding has a bare CR", "RFC 9112 §2.2")
    return cr
