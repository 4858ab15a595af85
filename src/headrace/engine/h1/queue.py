"""Bytes to write: what was sent, in order, until it is taken; and the bound at which senders wait."""

from __future__ import annotations

from typing import Any, Final

from headrace.engine.limits import Limits

OUTPUT_HIGH: Final = 65_536  # bytes not taken from which on buffers are the cheaper way out
_PIECE: Final = 64  # cost of a piece beside its bytes, where there are many
_MANY: Final = 64
_SMALL: Final = 4_096  # pieces below this are joined


class OutputQueue:
    """The output of one connection. HTTP/1.1 has one queue, in order, so that everything that was sent during one
    batch of input leaves in one write."""

    def __init__(self, limits: Limits) -> None:
        self._most: int = min(limits.max_stream_send_buffer, limits.max_connection_send_buffer)
        self._pieces: list[Any] = []  # bytes, and views of large bodies
        self.size: int = 0
        """Bytes that wait to be taken."""
        self.taken: int = 0
        """Bytes that were taken, or went out past the queue, since the connection began."""
        self.has_waiter: bool = False
        """A send was not accepted; its SendAccepted is owed."""

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._pieces.append(data)
        self.size += len(data)

    def write_message(self, head: bytes, head_size: int, content: bytes, size: int) -> None:
        """Append a head of `head_size` bytes, and its content of `size` bytes, which may be none."""
        pieces = self._pieces
        pieces.append(head)
        if size:
            pieces.append(content)
        self.size += head_size + size

    def write_chunk(self, content: bytes, size: int, is_last: bool) -> None:
        """Append content of `size` bytes in the chunked coding, and with `is_last` the last chunk (RFC 9112 §7.1)."""
        if size:
            start = b"%x\r\n" % size
            ending = b"\r\n0\r\n\r\n" if is_last else b"\r\n"
            pieces = self._pieces
            pieces.append(start)
            pieces.append(content)
            pieces.append(ending)
            self.size += len(start) + size + len(ending)
        elif is_last:
            self.write(b"0\r\n\r\n")

    def fits(self) -> bool:
        """Tell whether the queue is within the limit.

        Where there are many pieces, each counts for `_PIECE` bytes more than it has, so that a million tiny ones do not
        cost a hundred megabytes of objects.
        """
        size = self.size
        pieces = len(self._pieces)
        if pieces > _MANY:
            size += pieces * _PIECE
        return size <= self._most

    def begin_wait(self) -> bool:
        """Take note that the last send was not accepted; return False when another one waits already."""
        if self.has_waiter:
            return False
        self.has_waiter = True
        return True

    def end_wait(self) -> bool:
        """Return whether a send that waited is accepted now."""
        if self.has_waiter and self.fits():
            self.has_waiter = False
            return True
        return False

    def cancel_wait(self) -> None:
        """Forget the send that waits."""
        self.has_waiter = False

    def drop(self) -> None:
        """Forget everything that was not taken."""
        self._pieces = []
        self.size = 0

    def pass_by(self, count: int) -> None:
        """Take note that `count` bytes went out past the queue."""
        self.taken += count

    def take(self, limit: int) -> bytes:
        """Return and forget `limit` bytes at most."""
        pieces = self._pieces
        if not pieces:
            return b""
        if self.size <= limit:
            self._pieces = []
            self.taken += self.size
            self.size = 0
            return b"".join(pieces)
        data = b"".join(self._take_pieces(limit))
        size = len(data)
        self.size -= size
        self.taken += size
        return data

    def take_buffers(self, limit: int) -> list[Any]:
        """Return the same as a list of bytes and memoryviews, for a vectored write. Small pieces are joined, large ones
        are not copied."""
        if self.size < OUTPUT_HIGH:
            output = self.take(limit)
            return [output] if output else []
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
        self.size -= size
        self.taken += size
        return buffers

    def _take_pieces(self, limit: int) -> list[Any]:
        """Take whole pieces, and a part of one, up to `limit` bytes."""
        pieces = self._pieces
        taken: list[Any] = []
        room = limit
        for piece in pieces:
            size = len(piece)
            if size > room:
                break
            taken.append(piece)
            room -= size
        del pieces[: len(taken)]
        if pieces and room > 0:
            view = memoryview(pieces[0])
            taken.append(view[:room])
            pieces[0] = view[room:]
        return taken
