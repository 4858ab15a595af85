"""The inflating half of permessage-deflate (RFC 7692 §7.2.2), in steps that the caller bounds.

A message of a kilobyte may inflate to a megabyte, and a megabyte of empty blocks to nothing, which takes as long. So
nothing is inflated at once: `feed` takes a frame's payload, and each `step` takes and makes a bounded number of bytes.
The rest waits compressed.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

from headrace.engine.ws.assembly import Assembly

_TAIL: Final = b"\x00\x00\xff\xff"  # what the sender left out at the end of a message (RFC 7692 §7.2.1)
_PADDED_TAIL: Final = b"\x00" + _TAIL  # with the byte behind a block that had BFINAL set (RFC 7692 §7.2.3.4)
_LARGEST_WINDOW: Final = 32_768
# Work: about a microsecond of the compiled engine each.
_INFLATED_SHIFT: Final = 8  # a unit for each 256 bytes that are inflated
_TAKEN_SHIFT: Final = 6  # or for each 64 bytes of input, whichever is more: blocks of nothing may hide among others
_NOTHING_SHIFT: Final = 4  # or for each 16 bytes of input that shrank, so that most of it is such blocks
_LITTLE: Final = 512  # input of a step that `_DEFLATED_WORK` covers
_RESTART_WORK: Final = 24  # for a DEFLATE stream that begins anew
_STEP: Final = 65_536  # bytes that are inflated in one go
PIECE: Final = 4_096
"""Largest input of one `step`, in bytes: 0.2 to 0.7 ms for empty blocks, each with its own code. Smaller pieces make
lawful messages slower."""


class Inflater:
    """Inflates the messages of one peer.

    `window_bits` and `keeps_context` are as agreed: with `keeps_context` a message may refer to those before it.
    """

    def __init__(self, window_bits: int, keeps_context: bool) -> None:
        self.busy: bool = False
        """True while there is something to inflate: call `step`."""
        self.restarts: int = 0
        """Number of DEFLATE streams that the last `step` began, which is work without a byte."""
        self.taken: int = 0
        """Bytes of input that the last `step` took."""
        self.work_done: int = 0
        """Work of the last `run`."""
        self.wants_room: bool = False
        """True when the last `run` stopped because there was no room."""
        self._window_bits: int = window_bits
        self._keeps_context = keeps_context
        self._decoder: Any = None
        self._rest: bytes = b""
        self._position: int = 0
        """The waiting input is `_rest` from here on."""

    @property
    def waiting(self) -> int:
        """Number of bytes fed and not inflated yet."""
        return len(self._rest) - self._position

    def feed(self, payload: bytes, is_last: bool) -> None:
        """Take the payload of one frame; `is_last` ends the message. Call it only while not `busy`."""
        if self._decoder is None:
            self._decoder = zlib.decompressobj(wbits=-self._window_bits)
        self._rest = payload + _TAIL if is_last else payload
        self._position = 0
        self.busy = bool(self._rest)

    def run(self, message: Assembly, largest: int, room: int, work: int, has_worked: bool) -> bytes:
        """Inflate the input into `message`, and return the last piece, which is not appended to it.

        Stops when `message` is larger than `largest`; after `work` units of work, and one step at least unless the
        caller `has_worked` before; and, with `wants_room`, when `message` would have more than `room` bytes. Raises
        ValueError for what is not DEFLATE.
        """
        self.work_done = 0
        self.wants_room = False
        data = b""
        while self.busy:
            if self.work_done >= work and (has_worked or self.work_done > 0):
                break
            message.append(data)
            data = b""
            most = min(_STEP, largest + 1 - message.size, room - len(message.parts))
            if most <= 0:
                self.wants_room = True
                break
            data = self.step(most, message.parts)
            made = len(data) >> _INFLATED_SHIFT
            taken = self.taken
            if taken > _LITTLE:
                made = max(made, taken >> (_NOTHING_SHIFT if len(data) * 2 < taken else _TAKEN_SHIFT))
            self.work_done += 1 + made + self.restarts * _RESTART_WORK
            message.charge(len(data))
            if message.size > largest:
                break
        return data

    def step(self, most: int, before: bytearray) -> bytes:
        """Inflate `most` bytes at most, of PIECE bytes of input at most, which may make none. `before` is what the
        message had already.

        Raises ValueError for what is not DEFLATE.
        """
        decoder = self._decoder
        self.restarts = 0
        piece = self._rest[self._position : self._position + PIECE]
        try:
            data: bytes = decoder.decompress(piece, most)
        except zlib.error:
            raise ValueError("the message is not deflated as RFC 7692 has it") from None
        if not decoder.eof:
            self._take(len(piece) - len(decoder.unconsumed_tail))
            # A full step may have left more within zlib, with all input taken.
            self.busy = bool(self._rest) or len(data) >= most
            return data
        # The peer ended its DEFLATE stream, which it may; what follows refers to the window all the same.
        self._take(len(piece) - len(decoder.unused_data))
        history = (bytes(before[-_LARGEST_WINDOW:]) + data)[-_LARGEST_WINDOW:]
        self._decoder = zlib.decompressobj(wbits=-self._window_bits, zdict=history[-(1 << self._window_bits) :])
        self.restarts = 1
        if self.waiting <= len(_PADDED_TAIL):
            rest = self._rest[self._position :]
            if rest == _TAIL or rest == _PADDED_TAIL:
                self._rest = b""
                self._position = 0
        self.busy = bool(self._rest)
        return data

    def _take(self, count: int) -> None:
        """Skip `count` bytes of the waiting input."""
        self.taken = count
        self._position += count
        if self._position >= len(self._rest):
            self._rest = b""
            self._position = 0

    def end_message(self) -> None:
        """Prepare for the next message after a complete one."""
        if not self._keeps_context:
            self._decoder = None

    def drop(self) -> None:
        """Discard the waiting input: nothing is inflated any more."""
        self._rest = b""
        self._position = 0
        self.busy = False
        self._decoder = None
