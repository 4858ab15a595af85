"""Bytes that have come and are not read yet, and the work that one turn may spend on them (docs/adr/0024)."""

from __future__ import annotations

from typing import Final

from headrace.engine.limits import CHUNKS_A_FRAME

_NO_LIMIT: Final = -1


class Input:
    """The input of one connection."""

    def __init__(self) -> None:
        self.data: bytes = b""
        """All that is here, with bytes before `position` that were read."""
        self.position: int = 0
        self.received: int = 0
        """Bytes that have come since the connection began."""
        self.turn: int = _NO_LIMIT
        """Work left in this turn, in frames; -1: no limit."""
        self.turn_is_over: bool = False
        """Reading stopped because the turn has no work left."""
        self._whole_turn: int = _NO_LIMIT

    @property
    def work(self) -> int:
        """Work that was spent in this turn."""
        return self._whole_turn - self.turn

    def add(self, data: bytes, turn: int) -> None:
        """Put `data` behind the bytes that were not read, and begin a turn of `turn` frames; 0: no limit."""
        self.received += len(data)
        if not self.data:
            self.data = data
            self.position = 0
        elif data:
            self.data = self.data[self.position :] + data
            self.position = 0
        self.turn = self._whole_turn = turn if turn > 0 else _NO_LIMIT
        self.turn_is_over = False

    def left(self) -> int:
        """Return how many bytes are not read."""
        return len(self.data) - self.position

    def spend(self, work: int) -> None:
        """Take `work` from this turn, in frames."""
        turn = self.turn
        if turn > 0:
            self.turn = turn - work if turn > work else 0

    def begin_chunks(self) -> int:
        """Return how many chunks may be read in this turn; -1: any."""
        return self.turn * CHUNKS_A_FRAME if self.turn > 0 else _NO_LIMIT

    def end_chunks(self, left: int) -> None:
        """Take note of the chunks that may still be read."""
        if self.turn > 0:
            self.turn = left // CHUNKS_A_FRAME

    def has_turn(self) -> bool:
        """Tell whether the turn has work left; without, it is over."""
        if self.turn == 0:
            self.turn_is_over = True
            return False
        return True

    def move_to(self, position: int) -> None:
        """Take note that all bytes before `position` are read. Once all are, `data` is empty."""
        if position == len(self.data):
            self.data = b""
            self.position = 0
        else:
            self.position = position

    def take(self, most: int) -> bytes:
        """Return the next bytes, `most` at most, and move behind them."""
        data = self.data
        start = self.position
        size = len(data) - start
        if size <= most:
            self.data = b""
            self.position = 0
            return data if start == 0 else data[start:]
        self.position = start + most
        return data[start : start + most]

    def starts_with(self, raw: bytes) -> bool:
        """Tell whether these bytes are next, behind empty lines, which are no part of a request (RFC 9112 §2.2)."""
        return self.data[self.position :].lstrip(b"\r\n").startswith(raw)

    def clear(self) -> None:
        """Forget all bytes that were not read."""
        self.data = b""
        self.position = 0
