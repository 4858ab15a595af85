"""A message in progress: its fragments put together, its size counted, its text checked (RFC 6455 §5.4, §8.1)."""

from __future__ import annotations

import codecs
from typing import Any, Final, final

from headrace.engine.ws import frames

FRAGMENT_COST: Final = 256
"""Bytes charged for each fragment in addition to its own, so that empty fragments cannot go on for ever."""
LEAST_MESSAGE: Final = 128
"""Least number of bytes charged for a kept message: Python needs 50 to 80 for an empty one."""

_new_decoder: Final[Any] = codecs.getincrementaldecoder("utf-8")


def size_of(message: str | bytes) -> int:
    """Return the bytes charged for a kept message: at least about what Python needs for it."""
    size = len(message)
    if isinstance(message, str) and not message.isascii():
        size *= 4
    return size if size > LEAST_MESSAGE else LEAST_MESSAGE


@final
class Assembly:
    """The fragmented or deflated message of one WebSocket that has begun and has not ended."""

    def __init__(self) -> None:
        self.opcode: int = 0
        """TEXT or BINARY; 0 between messages."""
        self.is_inflated: bool = False
        self.is_last: bool = False
        """True once its last frame is there."""
        self.size: int = 0
        """The bytes that count against the limit of a message."""
        self.parts: bytearray = bytearray()
        """Its content so far, inflated."""
        self.checked: int = 0
        """Bytes of an incomplete frame's payload that were found to be UTF-8 already."""
        self._decoder: Any = None

    def take_header(self, first: int) -> None:
        """Take the first byte of a data frame."""
        opcode = first & 0x0F
        if opcode:
            self.opcode = opcode
            self.is_inflated = first & frames.RSV1 != 0
        self.is_last = first & frames.FIN != 0

    def would_exceed(self, first: int, length: int, most: int) -> bool:
        """Return whether a frame, by its first byte and its declared length, takes the message beyond `most`."""
        if first & frames.CONTROL:
            return False
        charge = 0 if first & frames.FIN and first & 0x0F else FRAGMENT_COST
        return self.size + length + charge > most

    def charge(self, size: int) -> None:
        """Count `size` more bytes against the limit."""
        self.size += size

    def append(self, data: bytes) -> None:
        """Keep inflated bytes."""
        self.parts += data

    def take_fragment(self, data: bytes, is_first: bool) -> None:
        """Take a frame's payload that is not deflated. Raises UnicodeDecodeError as soon as text is not UTF-8."""
        self.size += len(data) + FRAGMENT_COST
        if self.opcode == frames.TEXT:
            if is_first and self.checked == 0:
                self._decoder = _new_decoder()
            self._decoder.decode(data[self.checked :], self.is_last)
        self.parts += data

    def check_ahead(self, piece: bytes, is_first: bool) -> None:
        """Check a piece of text of an incomplete frame, which comes again with the whole. Raises UnicodeDecodeError."""
        if is_first and self.checked == 0:
            self._decoder = _new_decoder()
        self._decoder.decode(piece)
        self.checked += len(piece)

    def end_frame(self) -> None:
        """Forget what was checked ahead: the frame is complete."""
        self.checked = 0

    def take_message(self, data: bytes) -> str | bytes:
        """Return the message, which ends with `data`, and begin anew. Raises UnicodeDecodeError."""
        message: str | bytes
        if not self.parts:  # mostly one piece has all of it
            message = data.decode() if self.opcode == frames.TEXT else data
        else:
            self.parts += data
            message = self.parts.decode() if self.opcode == frames.TEXT else bytes(self.parts)
        self.forget()
        return message

    def forget(self) -> None:
        """Forget the message."""
        self.opcode = 0
        self.size = 0
        self._decoder = None
        if self.parts:
            self.parts = bytearray()
