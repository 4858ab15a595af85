"""A file's bytes from the kernel's cache to the socket, without passing through Python (sendfile(2)).

The event loops' own `sendfile` cannot be used: uvloop has none. So once all earlier output is in the kernel, the bytes
go to a duplicate of the socket's descriptor, which either loop watches for room as usual; then the engine learns their
number. No other code writes meanwhile: an HTTP/1.1 connection has one response at a time.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from typing import TYPE_CHECKING, Final

from headrace.engine.errors import StreamClosedError
from headrace.engine.h1 import H1ServerConnection
from headrace.server.open_limit import is_exhaustion
from headrace.transport.connection_parts.stall import STALL_PROGRESS

if TYPE_CHECKING:
    from headrace.server.connection.exchange import ServerExchange
    from headrace.server.files.open_file import OpenFile

LARGEST: Final = 262_144  # bytes in one call, as many as other connections write in a turn of the event loop
# Errors of file systems that do not support it.
_NOT_POSSIBLE: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EOVERFLOW)


def can_sendfile(exchange: ServerExchange) -> bool:
    """Return whether the content of this response may bypass the engine: cleartext HTTP/1.1, and a kernel that can."""
    transport = exchange.driver.transport
    return (
        sys.platform in ("linux", "darwin")
        and isinstance(exchange.driver.engine, H1ServerConnection)
        and transport is not None
        and transport.get_extra_info("ssl_object") is None
        and transport.get_extra_info("socket") is not None
    )


class KernelSend:
    """Sends `length` bytes of `file` from `offset` on as the content of a response whose headers are sent."""

    def __init__(self, exchange: ServerExchange, file: OpenFile, offset: int, length: int) -> None:
        self.exchange = exchange
        self.file = file
        self.offset: int = offset
        self.left: int = length
        self._start = self._mark = offset
        self._socket_fd = -1
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> bool:
        """Return True when all is sent, False if the kernel cannot send this file, or no descriptor is left for it;
        then nothing was sent.

        Raises ClientDisconnected if the client goes or takes nothing for `stalled_send_timeout_s`, OSError if the file
        ends too early.
        """
        exchange = self.exchange
        driver = exchange.driver
        loop = driver.loop
        transport = driver.transport
        if transport is None:
            raise exchange.disconnected(None)
        try:
            self._socket_fd = os.dup(transport.get_extra_info("socket").fileno())
        except OSError as error:
            if is_exhaustion(error):
                return False
            raise
        try:
            loop.add_writer(self._socket_fd, self._on_room)
            self._watch_stall()
            while self.left and self._failure is None and exchange.gone is None:
                self._waiter = loop.create_future()
                exchange.watch(self._waiter)
                try:
                    await self._waiter
                finally:
                    exchange.unwatch(self._waiter)
        finally:
            if self._timer is not None:
                self._timer.cancel()
            loop.remove_writer(self._socket_fd)
            os.close(self._socket_fd)
        if self._failure is not None:
            if (
                isinstance(self._failure, OSError)
                and self._failure.errno in _NOT_POSSIBLE
                and self.offset == self._start
            ):
                return False
            raise self._failure
        if self.left:
            raise exchange.disconnected(None)
        return True

    def _on_room(self) -> None:
        """Write more: the socket has room."""
        exchange = self.exchange
        driver = exchange.driver
        transport = driver.transport
        if transport is None or exchange.gone is not None or self._failure is not None or not self.left:
            return  # `run` is about to end
        engine = driver.engine
        assert isinstance(engine, H1ServerConnection)  # can_sendfile has checked that
        if engine.output_pending or transport.get_write_buffer_size():
            return  # earlier output goes first, and is on its way: room for us is room for it
        try:
            count = os.sendfile(self._socket_fd, self.file.fd, self.offset, min(self.left, LARGEST))
            if count == 0:
                raise OSError(f"{self.file} was cut short while it was sent")
            engine.content_sent(exchange.stream_id, count)
        except (BlockingIOError, InterruptedError):
            return
        except ConnectionError:
            self._failure = exchange.disconnected(None)
        except StreamClosedError as error:
            self._failure = exchange.disconnected(error)
        except Exception as error:
            self._failure = error
        else:
            self.offset += count
            self.left -= count
            exchange.sent += count
            if self.left:
                return
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _watch_stall(self) -> None:
        driver = self.exchange.driver
        self._mark = self.offset
        self._timer = driver.loop.call_later(
            driver.service.limits.stalled_send_timeout_s, self._check_stall, context=driver.context.copy()
        )

    def _check_stall(self) -> None:
        """End the response if its peer takes nothing: the transport cannot see that, because its own output was taken
        long ago."""
        if self.offset - self._mark >= STALL_PROGRESS:
            self._watch_stall()
        else:
            self.exchange.driver.on_stalled()
            self.exchange.driver.abort()
