"""A request's content between the connection, which puts it in, and the handler, which takes it out.

The inbox holds content that the handler has not consumed. Its credit goes back to the peer only when the handler takes
it, so an inbox never holds more than the stream's window.
"""

from __future__ import annotations

import asyncio
from typing import Final

SMALL: Final = 256  # a smaller piece is joined to the one before
GATHERED: Final = 4_096  # a joined piece is smaller than this, so that bytes are not copied too often


class Inbox:
    """Chunks in order, and the bytes of window that are `owed` to the peer once they are consumed."""

    __slots__ = ("_chunks", "_touched", "_waiters", "continue_sent", "ended", "never_indexed", "owed", "trailers")

    def __init__(self, ended: bool = False) -> None:
        self._chunks: list[bytes] = []
        self._waiters: list[asyncio.Future[None]] | None = None
        self._touched = False
        self.owed: int = 0
        self.ended: bool = ended
        """True once the last byte has come, also after it was taken."""
        self.continue_sent: bool = False
        """True once 100 (Continue) was sent, or proved unnecessary."""
        self.trailers: list[tuple[bytes, bytes]] | None = None
        self.never_indexed: frozenset[bytes] | None = None
        """Names of fields in `trailers` that a proxy has to forward as never-indexed literals (RFC 7541 §6.2.3)."""

    def put(self, data: bytes, flow_length: int, ended: bool) -> None:
        """Add a chunk that used `flow_length` bytes of window."""
        self._touched = True
        if data:
            chunks = self._chunks
            if len(data) < SMALL and chunks and len(chunks[-1]) < GATHERED:
                chunks[-1] += data  # an object of its own costs more than copying a small message
            else:
                chunks.append(data)
        self.owed += flow_length
        if ended:
            self.ended = True
        self.wake()

    def end(self, trailers: list[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None) -> None:
        """Add the trailers, which end the content."""
        self._touched = True
        self.trailers = trailers
        self.never_indexed = never_indexed
        self.ended = True
        self.wake()

    def take(self) -> bytes:
        """Return all content that is here, in one piece; b"" if there is none. The caller acknowledges
        `take_owed()`."""
        chunks = self._chunks
        if not chunks:
            return b""
        self._chunks = []
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def take_owed(self) -> int:
        """Return the number of bytes to acknowledge, and reset it."""
        owed = self.owed
        self.owed = 0
        return owed

    def has_content(self) -> bool:
        """Return True if `take` has something to give."""
        return bool(self._chunks)

    def is_untouched(self) -> bool:
        """Return True until content or the end has come."""
        return not self._touched and not self.ended

    def is_awaited(self) -> bool:
        """Return True while a task waits here."""
        return bool(self._waiters)

    async def changed(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until something has happened; the caller checks what."""
        waiter: asyncio.Future[None] = loop.create_future()
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        await waiter

    def wake(self) -> None:
        """Let every waiter look again."""
        waiters = self._waiters
        if waiters is not None:
            self._waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
