"""Two ends of a connection in memory, as asyncio transports: the protocol of one receives the bytes of the other."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import Any, Final

HIGH_WATER: Final = 65_536  # bytes that wait for a paused reader before its writer is paused


class MemoryTransport(asyncio.Transport):
    """One end. Bytes arrive in the loop's next turn; `pair` joins two protocols."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._other: MemoryTransport = self
        self._waiting: list[bytes] = []  # bytes from the other end while reading is paused here
        self._is_paused = False
        self._is_writer_paused = False
        self._has_ended = False  # the other end sends no more
        self._is_closing = False
        self._is_lost = False

    @classmethod
    def pair(cls, loop: asyncio.AbstractEventLoop, one: asyncio.Protocol, two: asyncio.Protocol) -> None:
        """Connect two protocols; both get their `connection_made` before this returns."""
        ends = cls(loop, one), cls(loop, two)
        ends[0]._other, ends[1]._other = ends[1], ends[0]
        for end in ends:
            end._protocol.connection_made(end)

    # -- writing -----------------------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if not self._is_closing and data:
            self._loop.call_soon(self._other._deliver, bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._is_closing:
            self._loop.call_soon(self._other._deliver_eof)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: no bytes wait on this side."""

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self._other._waiting))

    # -- reading -----------------------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._loop.call_soon(self._deliver_waiting)

    def is_reading(self) -> bool:
        return not self._is_paused

    def _deliver(self, data: bytes) -> None:
        if self._is_lost or self._is_closing:
            return
        self._waiting.append(data)
        if not self._is_paused:
            self._deliver_waiting()
        elif not self._other._is_writer_paused and self._other.get_write_buffer_size() > HIGH_WATER:
            self._other._is_writer_paused = True
            self._other._protocol.pause_writing()

    def _deliver_waiting(self) -> None:
        while self._waiting and not self._is_paused and not self._is_lost:
            self._protocol.data_received(self._waiting.pop(0))
        other = self._other
        if not self._waiting and other._is_writer_paused:
            other._is_writer_paused = False
            if not other._is_lost:
                other._protocol.resume_writing()
        if not self._waiting and self._has_ended:
            self._deliver_eof()

    def _deliver_eof(self) -> None:
        if self._is_lost or self._is_closing:
            return
        self._has_ended = True
        if not self._waiting and not self._protocol.eof_received():
            self.close()

    # -- the end -----------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._loop.call_soon(self._other._deliver_eof)
            self._is_closing = True
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """End both ends now, like a TCP reset."""
        if not self._is_lost:
            self._is_closing = True
            self._loop.call_soon(self._lose, None)
            error = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            self._loop.call_soon(self._other._lose, error)

    def _lose(self, error: Exception | None) -> None:
        if not self._is_lost:
            self._is_lost = self._is_closing = True
            self._waiting.clear()
            self._protocol.connection_lost(error)

    # -- other methods of asyncio's transports -----------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.Protocol:
        return self._protocol
