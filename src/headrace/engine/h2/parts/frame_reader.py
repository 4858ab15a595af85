"""The input of a connection, frame by frame, in place (RFC 9113 §3.4, §4.1).

A frame is a kind, flags, a stream and two offsets into the input, so nothing is copied that is not kept. The input may
come cut anywhere: the same frames come out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault
from headrace.engine.h2 import frames
from headrace.engine.limits import BYTES_A_FRAME, DEFAULT_FRAME_SIZE

if TYPE_CHECKING:
    from mypy_extensions import i64

NO_FRAME: Final = -1
_METHOD_OF_PREFACE: Final = 3  # bytes of the method that the preface begins with
_LARGE_READ: Final = 16_384


class FrameReader:
    """Input that is not read yet, and the frame that was read last."""

    def __init__(self, has_preface: bool) -> None:
        self.data: bytes = b""
        """The input that the offsets of the last frame belong to."""
        self.flags: i64 = 0
        self.stream_id: i64 = 0
        self.start: i64 = 0
        """Offset of the frame's payload."""
        self.end: i64 = 0
        """Offset behind the frame."""
        self.frames: i64 = 0
        """Frames read so far, in all."""
        self._largest: i64 = DEFAULT_FRAME_SIZE
        self._position: i64 = 0
        self._turn: i64 = -1
        self._left: i64 = -1
        self._beyond: i64 = 0
        self._behind = b""  # a large read, behind the torn frame that it completes
        self._behind_at: i64 = 0
        self._preface_left: bytes = frames.PREFACE if has_preface else b""

    def set_largest(self, size: int) -> None:
        """Take frames of up to `size` bytes: the peer has acknowledged our MAX_FRAME_SIZE."""
        self._largest = size

    def is_stopped(self) -> bool:
        """Tell whether whole frames wait, because the turn was over."""
        return self._position > 0

    def awaits_preface(self) -> bool:
        """Tell whether the client's preface is not whole yet."""
        return len(self._preface_left) > 0

    def receive(self, data: bytes, turn: int) -> None:
        """Add input and begin a turn of `turn` frames, 0: no limit. Without input a further turn goes on where the last
        one stopped."""
        self._turn = self._left = turn if turn > 0 else -1
        self._beyond = 0
        if not self.data:
            self.data = data
            self._position = 0
        elif data:
            if self._position > 0 or len(data) < _LARGE_READ or self._preface_left:
                rest = self.data[self._position :]
                self.data = rest + data if not self._behind else rest + self._behind[self._behind_at :] + data
                self._behind = b""
                self._position = 0
            else:
                self._complete(data)

    def _complete(self, data: bytes) -> None:
        """Complete the frame that the last read ended within, and leave the rest of a large read where it is: a large
        body comes in large reads, and putting each behind the rest of the one before copied all of it once more."""
        torn = self.data
        if len(torn) >= 9:
            missing = 9 + int.from_bytes(torn[:3], "big") - len(torn)
            if missing <= len(data):
                self.data = torn + data[:missing]
                self._behind = data
                self._behind_at = missing
                return
        self.data = torn + data

    def take_preface(self) -> None:
        """Consume the client's preface, byte by byte if need be (RFC 9113 §3.4). Raises ConnectionFault for another
        beginning."""
        size = min(len(self._preface_left), len(self.data))
        if self.data[:size] != self._preface_left[:size]:
            raise ConnectionFault(errors.PROTOCOL_ERROR, self._what_it_is_instead(), "RFC 9113 §3.4")
        self._preface_left = self._preface_left[size:]
        self.data = self.data[size:]

    def _what_it_is_instead(self) -> str:
        """Say what a wrong preface looks like: judged by its bytes up to the first that differs, since in another cut
        no more may have come."""
        at = 0
        while self.data[at] == self._preface_left[at]:
            at += 1
        byte = self.data[at]
        place = len(frames.PREFACE) - len(self._preface_left) + at
        if place == 0 and byte == 0x16:  # the content type of a handshake message (RFC 8446 §5.1)
            return "a TLS handshake on a cleartext port"
        if place <= _METHOD_OF_PREFACE and (0x41 <= byte <= 0x5A or byte == 0x20):
            return "a method of HTTP/1.1 where only HTTP/2 is served"
        return "the client's preface is wrong"

    def next(self) -> i64:
        """Return the kind of the next frame, and set what else is known of it; NO_FRAME when none is whole, or the turn
        is over. Raises ConnectionFault for one above MAX_FRAME_SIZE, on its header, before anything is stored."""
        data = self.data
        position: i64 = self._position
        total: i64 = len(data)
        if total - position < 9:
            return self._next_input()
        b0: i64 = data[position]
        b1: i64 = data[position + 1]
        b2: i64 = data[position + 2]
        length: i64 = (b0 << 16) | (b1 << 8) | b2
        if length > self._largest:
            raise ConnectionFault(errors.FRAME_SIZE_ERROR, "a frame above MAX_FRAME_SIZE", "RFC 9113 §4.2")
        end: i64 = position + 9 + length
        if end > total:
            return self._next_input()
        if self._left == 0:
            return NO_FRAME
        self._left -= 1
        kind: i64 = data[position + 3]
        self.flags = data[position + 4]
        b0 = data[position + 5]
        b1 = data[position + 6]
        b2 = data[position + 7]
        stream_id: i64 = ((b0 & 0x7F) << 24) | (b1 << 16) | (b2 << 8)
        b0 = data[position + 8]
        self.stream_id = stream_id | b0
        self.start = position + 9
        self.end = self._position = end
        self.frames += 1
        return kind

    def _next_input(self) -> i64:
        """No further frame is whole: go on with a large read behind it, or keep what is left until more comes."""
        if self._behind:
            self.data = self._behind
            self._position = self._behind_at
            self._behind = b""
            return self.next()
        if self._position:
            self.data = self.data[self._position :]
            self._position = 0
        return NO_FRAME

    def charge(self, length: i64) -> None:
        """Take what the `length` bytes of a field block cost, beyond the frame itself, out of the turn."""
        if self._left > 0:
            left = self._left - length // BYTES_A_FRAME
            self._left = left if left > 0 else 0

    def add_work(self, units: int) -> None:
        """Count work, in frames, that came with the last frame; it is no part of this turn's."""
        self._beyond += units

    def work(self) -> int:
        """Return the work of this turn: frames, and what counts as one. Where turns have no limit, only `add_work`
        counts."""
        return self._beyond + (self._turn - self._left if self._turn > 0 else 0)

    def clear(self) -> None:
        """Forget all input: the connection has ended."""
        self.data = self._behind = b""
        self._position = 0
