"""The queue of octets to write, which both roles have.

HTTP/1.1 has one, in order: a list of octets that `take_output` joins, so that all that was said during one batch of
input leaves in one write. A send is accepted while the queue is within its limit.
"""

from __future__ import annotations

from typing import Any, Final

from headrace.engine.limits import Limits
from headrace.engine.timed import TimedEngine

OUTPUT_HIGH: Final = 65_536  # octets not taken from which on buffers are the cheaper way out
_PIECE: Final = 64  # what a piece of output costs beside its octets, where there are many
_MANY: Final = 64
_SMALL: Final = 4_096  # pieces below this are joined


class OutputQueue(TimedEngine):
    """What waits to be written on a connection, and how it is taken."""

    def __init__(self, limits: Limits, now: float) -> None:
        super().__init__(now)
        self.limits = limits
        self.requests: int = 0
        """Requests that have begun."""
        self.octets_in: int = 0
        self.octets_out: int = 0
        self._out: list[Any] = []  # bytes, and views of large bodies
        self._out_size: int = 0
        self._waiting = False  # a send returned False, its SendAccepted is owed

    @property
    def output_pending(self) -> bool:
        """True when `take_output` would return octets now."""
        return len(self._out) > 0

    @property
    def bodies_queued(self) -> bool:
        """True when there is so much to write that `take_buffers` is the cheaper way out."""
        return self._out_size >= OUTPUT_HIGH

    def take_output(self, limit: int = 262_144, now: float = -1.0) -> bytes:
        """Return what is to be written now, `limit` octets at most; b"" when there is nothing.

        Call it while `output_pending`, but not while the transport refuses more: what stays here is what makes workers
        wait. Look at `take_events` afterwards: sends may have been accepted, and requests that waited have begun.
        """
        if self._learns(now):
            self._set_dates(now)
        out = self._out
        if not out:
            self._took(0)
            return b""
        if self._out_size <= limit:
            self._out = []
        else:
            out = self._take_pieces(limit)
        octets = b"".join(out)
        self._took(len(octets))
        return octets

    def take_buffers(self, limit: int = 262_144, now: float = -1.0) -> list[Any]:
        """Return what `take_output` would as a list of bytes and memoryviews, for a vectored write (`writelines`).

        Small pieces are joined, large ones are not copied.
        """
        if self._out_size < OUTPUT_HIGH:
            output = self.take_output(limit, now)
            return [output] if output else []
        if self._learns(now):
            self._set_dates(now)
        buffers: list[Any] = []
        small: list[Any] = []
        size = 0
        for piece in self._take_pieces(limit):
            size += len(piece)
            if len(piece) < _SMALL:
                small.append(piece)
                continue
            if small:
                buffers.append(b"".join(small))
                small = []
            buffers.append(piece)
        if small:
            buffers.append(b"".join(small))
        self._took(size)
        return buffers

    def _take_pieces(self, limit: int) -> list[Any]:
        """Take whole pieces, and a part of one, up to `limit` octets."""
        out = self._out
        taken: list[Any] = []
        room = limit
        for piece in out:
            size = len(piece)
            if size > room:
                break
            taken.append(piece)
            room -= size
        del out[: len(taken)]
        if out and room > 0:
            view = memoryview(out[0])
            taken.append(view[:room])
            out[0] = view[room:]
        return taken

    def _took(self, size: int) -> None:
        """`size` octets are on their way out; each role knows what follows."""
        raise NotImplementedError

    def _write(self, octets: bytes) -> None:
        self._out.append(octets)
        self._out_size += len(octets)

    def _fits(self) -> bool:
        """Tell whether what waits is within the limit. Where there are many pieces, each counts for `_PIECE` octets
        more than it has, so that a million tiny ones do not cost a hundred megabytes of objects."""
        size = self._out_size
        pieces = len(self._out)
        if pieces > _MANY:
            size += pieces * _PIECE
        limits = self.limits
        return size <= limits.max_stream_send_buffer and size <= limits.max_connection_send_buffer

    def _set_dates(self, now: float) -> None:
        """Date with `now` what began since the last input."""
        raise NotImplementedError
