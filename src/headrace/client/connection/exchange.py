"""One request and its response on one connection: the driver delivers events, and the caller takes the content.

The driver calls an exchange within a batch of input; the caller waits here, on one future at a time. A whole response
costs one future: the exchange collects it as it arrives. A streamed response queues within the stream's window, and the
server gets credit as the caller takes the content. So a slow reader slows its own response, and no other one.

An exchange ends once: complete, failed, or closed by its caller. The first of these counts; later ones do nothing.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, Final

from headrace.client.connection.heap import LARGE, expect
from headrace.client.connection.held_response import HeldResponse
from headrace.client.errors import RequestError, StreamConsumed, too_large_error
from headrace.engine.errors import CANCEL

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from headrace.client.connection.interface import Link, Receiver, Sending, TunnelWriter
    from headrace.client.interface import Incoming, Outgoing, Pairs, ResponseHead
    from headrace.websocket.tunnel import Tunnel

NEVER: Final = math.inf

# The use of the response's content.
STREAMED: Final = 0  # queued for `receive`
WHOLE: Final = 1  # collected, and announced when it is complete
COUNTED: Final = 2  # counted, and forgotten

_SMALL: Final = 256  # a smaller piece is joined to the one before
_GATHERED: Final = 4_096  # size up to which pieces are joined, so that no byte is copied too often
_FORESIGHT: Final = 64  # room made at once, as a multiple of the bytes that have come


class ClientExchange:
    """A response on its way, for the one task that waits for it. `ClientDriver.begin` makes it."""

    # Each request makes one, so values that few requests change stand in the class; see server/connection/exchange.py.
    status: int = 0
    """The final response's status, 0 until its head has arrived."""
    head: ResponseHead
    """The head of the final response, once it has arrived."""
    is_over: bool = False
    """True once the exchange has left its connection: complete, failed, or closed by the caller."""
    error: Exception | None = None
    """The error with which it failed: a RequestError, or an error from the request's content or a callback."""
    since: float = 0.0
    """The event loop's time at which the present wait began."""
    buffer: io.BytesIO | None = None
    """Collects a whole response, from its second piece on. A list to join needs twice the memory, and so does a
    buffer that grows: then the allocator returns memory to the kernel after each response: page faults."""
    most: int = 0
    """Bytes of content that may still arrive, while that is checked; else 0."""
    received: int = 0
    """Bytes of content that arrived, with COUNTED."""
    upload: Sending | None = None
    is_plain: bool = True
    """True when the end of the response needs no more work: no content, no tunnel, no callback."""
    is_sending: bool = False
    """True until the last byte of the request is accepted for sending."""
    has_content: bool = False
    """True when the request has content, or asks for a tunnel: it may be open when the response has ended."""
    is_tunnel: bool = False
    """True once a request for a tunnel was granted: the bytes that arrive are the peer's, not content."""
    on_done: Callable[[ClientExchange], None] | None = None
    """Called once when the exchange is over, from within the driver; must be quick."""
    tunnel_writer: TunnelWriter | None = None
    peer_ended: bool = False
    """True once the peer of a tunnel has ended its side."""
    _is_closed: bool = False
    owed: int = 0
    """Bytes of the stream's window that the server gets back when the caller takes content."""
    _waiter: asyncio.Future[None] | None = None

    def __init__(self, driver: Link, outgoing: Outgoing, stream_id: int, mode: int) -> None:
        self.driver = driver
        self.outgoing = outgoing
        self.stream_id = stream_id
        self.mode: int = mode
        self.trailers: Pairs = []
        self.chunks: list[bytes] = []

    # -- methods for the caller --------------------------------------------------------------------------------

    def note_never_indexed(self, names: frozenset[bytes]) -> None:
        """Remember names of fields that arrived as never-indexed literals: a proxy forwards them in the same way."""
        outgoing = self.outgoing
        outgoing.never_indexed_back = names | (outgoing.never_indexed_back or frozenset())

    async def head_arrived(self) -> Incoming:
        """Wait for the head of the response, with WHOLE for all of it, and return the response for its reader. A
        response that is dropped without being read or closed gives itself up. When cancelled, it closes the exchange.

        Raises RequestError, and errors from the request's content.
        """
        if not self.is_over and (self.mode or not self.status):
            waiter = self._waiter = self.driver.loop.create_future()
            try:
                await waiter
            except BaseException:
                self._waiter = None
                self.close()
                raise
            self._waiter = None
        if self.mode:
            if self.error is not None:
                raise self.error
            return self
        if not self.status:
            raise self._end_error()
        return HeldResponse(self)

    async def receive(self) -> bytes:
        """Return the next bytes of content; b"" at the end, and after it. A cancelled call loses nothing.

        Raises RequestError, after the content that arrived, when no more will, and StreamConsumed after `close`.
        """
        if self.buffer is not None:
            self._empty_buffer()
        while not self.chunks:
            if self.is_over or self.peer_ended:
                if self.error is not None or self._is_closed:
                    raise self._end_error()
                return b""
            await self._wait_for_change()
        return self._take()

    async def read(self) -> bytes:
        """Return the rest of the content. Raises as `receive` does; it never returns a part. A cancelled call loses
        nothing."""
        if not self.is_over:
            if self.mode == STREAMED:
                self.mode = WHOLE  # collected as it arrives, without waking this task for each piece
                self._give_credit()
                try:
                    await self._wait_for_change()
                except BaseException:
                    self.mode = STREAMED
                    self._empty_buffer()
                    raise
            else:
                await self._wait_for_change()
        if self.error is not None or self._is_closed:
            raise self._end_error()
        if self.buffer is not None:
            self._empty_buffer()
        return self._take() if self.chunks else b""

    def close(self) -> None:
        """Give up the rest: RST_STREAM(CANCEL), or the end of an HTTP/1.1 connection. Do nothing after the end."""
        if self.is_over:
            self.drop_content()
        else:
            self._is_closed = True
            self.owed = 0
            self.chunks = []
            self.buffer = None
            self._over()
            self.driver.give_up(self.stream_id, CANCEL)

    def tunnel(self, receiver: Receiver) -> Tunnel:
        """Pass the tunnel's bytes to `receiver`. Return the sending side. Raises RuntimeError without an open
        tunnel."""
        from headrace.client.connection.tunnel import open_tunnel

        return open_tunnel(self, receiver)

    @property
    def info(self) -> dict[str, Any]:
        """See `Incoming.info`."""
        return {"http_version": self.driver.http_version, "stream_id": self.stream_id, **self.driver.info}

    # -- callbacks of the driver and the upload ----------------------------------------------------------------

    def on_data(self, data: bytes, owed: int) -> None:
        """Take a piece of streamed content that cost `owed` bytes of the stream's window."""
        if self.mode == COUNTED:
            self.received += len(data)
            self.driver.engine.acknowledge_data(self.stream_id, owed)
        elif self.tunnel_writer is not None:
            self.tunnel_writer.on_bytes(data, owed)
        else:
            if data:
                chunks = self.chunks
                if len(data) < _SMALL and chunks and len(chunks[-1]) < _GATHERED:
                    chunks[-1] += data  # an object of its own costs more than the bytes of a small message
                else:
                    chunks.append(data)
            self.owed += owed
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def gather(self, data: bytes) -> bool:
        """Collect a further piece of a whole response. Return False, and fail the exchange, when there will be too
        much."""
        most = self.outgoing.max_size
        come = sum(map(len, self.chunks)) + len(data)
        if most is not None:
            if come > most:
                self.fail(too_large_error(most))
                return False
            self.most = most
        buffer = self.buffer = io.BytesIO()
        room = come * _FORESIGHT
        for name, value in self.head.headers:
            if name == b"content-length":
                if most is not None and int(value) > most:
                    self.fail(too_large_error(most))
                    return False
                self.most = 0  # no more arrives than was announced
                room = min(int(value), room)
                if room >= LARGE:
                    expect(room)
                buffer.seek(room - 1)
                buffer.write(b"\0")
                buffer.seek(0)
                break
        for chunk in self.chunks:
            buffer.write(chunk)
        buffer.write(data)
        self.chunks = []
        return True

    def on_peer_ended(self) -> None:
        """Handle that the tunnel's peer sends no more; our side stays open."""
        self.peer_ended = True
        if self.tunnel_writer is not None:
            self.tunnel_writer.on_peer_ended()
        self.wake()

    def on_complete(self) -> None:
        """Handle the end of the response; the driver has forgotten the exchange."""
        if self.owed:
            self._hold()
        if self.is_plain:
            self.is_over = True
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
            return
        self._over()
        if self.has_content:
            # A response that ends before its request does not need the rest of it (RFC 9113 §8.1): CANCEL means "no
            # longer needed" (§7), and ends an HTTP/1.1 connection. It does nothing when everything is sent.
            self.driver.engine.reset_stream(self.stream_id, CANCEL)

    def on_failed(self, error: Exception) -> None:
        """Handle the loss of the stream, or its end by the driver, which has forgotten the exchange."""
        if self.is_over:
            return
        self.error = error
        if self.owed:
            self._hold()
        if isinstance(error, RequestError):
            if not error.url:
                error.url = self.outgoing.url
            if self.status:
                error.came_after(self.head)
        self._over()

    def fail(self, error: Exception) -> None:
        """End the exchange with an error of our side: a timeout, or an error from the content or a callback."""
        if not self.is_over:
            self.on_failed(error)
            self.driver.give_up(self.stream_id, CANCEL)

    def on_sent(self) -> None:
        """Handle that the last byte of the request is accepted for sending: from now on the server must answer."""
        self.is_sending = False
        self.since = self.driver.loop.time()

    def wake(self) -> None:
        """Wake the waiting task; it checks the state again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def take_early(self) -> tuple[bytes, int]:
        """Return the bytes that arrived before a tunnel had a receiver, and their share of the window."""
        data = b"".join(self.chunks)
        owed = self.owed
        self.chunks = []
        if self.is_over:
            self.drop_content()
        self.owed = 0
        return data, owed

    # -- inside ------------------------------------------------------------------------------------------------

    def _over(self) -> None:
        self.is_over = True
        upload = self.upload
        if upload is not None:
            self.upload = None
            upload.stop()
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self.tunnel_writer is not None:
            self.tunnel_writer.on_over()
        if self.on_done is not None:
            self.on_done(self)

    async def _wait_for_change(self) -> None:
        """Wait until something has happened; the caller checks the state."""
        if self._waiter is not None:
            raise RuntimeError("another task already waits for this response; only one may at a time")
        waiter = self._waiter = self.driver.loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _take(self) -> bytes:
        chunks = self.chunks
        self.chunks = []
        if self.owed:
            self._give_credit()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _empty_buffer(self) -> None:
        """Turn the collected bytes into a chunk like any other."""
        buffer = self.buffer
        if buffer is not None:
            buffer.truncate()
            self.chunks = [buffer.getvalue()]  # no copy, as long as nothing more is written
            self.buffer = None

    def _hold(self) -> None:
        """Count the unread content of a stream that has ended, until a caller takes it. Otherwise responses that end
        within their windows could pile up beside those that do not."""
        if self.tunnel_writer is not None:
            self.owed = 0
        else:
            self.driver.engine.hold_data(self.owed)

    def drop_content(self) -> None:
        """Drop the rest of a response that has ended: no caller will take it."""
        if self.owed:
            self.driver.engine.hold_data(-self.owed)
            self.owed = 0

    def _give_credit(self) -> None:
        owed = self.owed
        self.owed = 0
        if self.is_over:
            if owed:
                self.driver.engine.hold_data(-owed)
            return  # the server got all credit back when the stream ended
        driver = self.driver
        if not self.is_sending:
            self.since = driver.loop.time()
        if owed:
            driver.acknowledge(self.stream_id, owed)

    def _end_error(self) -> Exception:
        if self.error is not None:
            return self.error
        return StreamConsumed(f"the response of {self.outgoing.url or 'this request'} was closed before its end")
