"""One request and its response on one connection: what the driver tells it, and what its caller takes.

The driver calls it from within a batch of input; the caller waits here, on one future at a time. A whole response costs
one future and no wait more: it is collected as it comes. A streamed one queues within the stream's window, and credit
goes back to the server as the content is taken: so a slow reader slows its own response, and no other one.

An exchange ends once: complete, failed, or closed by its caller. What goes first decides, all else is a no-op.
"""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any, Final

from headrace.client.connection.heap import LARGE, expect
from headrace.client.errors import RequestError, StreamConsumed, too_large
from headrace.engine.errors import CANCEL

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from headrace.client.connection.interface import Link, Receiver, Sending, WayOut
    from headrace.client.interface import Incoming, Outgoing, Pairs, ResponseHead
    from headrace.websocket.tunnel import Tunnel

NEVER: Final = math.inf

# What becomes of the response's content.
STREAMED: Final = 0  # queued for `receive`
WHOLE: Final = 1  # collected, and announced when it is all there
COUNTED: Final = 2  # counted, and forgotten

_SMALL: Final = 256  # a piece below this is put together with the one before
_GATHERED: Final = 4_096  # that much at most, so that no octet is copied more often than pays
_FORESIGHT: Final = 64  # times what has come: so much room is made at once, whatever length a server announces


class Exchange:
    """A response on its way, for the one task that waits for it. Made by `ClientDriver.begin`."""

    # One is made a request, so what most requests leave alone stands in the class; see server/connection/exchange.py.
    status: int = 0
    """0 until the head of the final response has come."""
    head: ResponseHead
    """The head of the final response, once it has come."""
    is_over: bool = False
    """True once the exchange has left its connection: complete, failed, or closed by the caller."""
    error: Exception | None = None
    """Why it failed: a RequestError, or what the request's content or a callback raised."""
    since: float = 0.0
    """When the wait began that it is in, on the loop's clock."""
    buffer: io.BytesIO | None = None
    """Where a whole response is put together, from its second piece on. A list that is joined at the end has everything
    twice, and so has a buffer that grows: then the allocator gives memory back to the kernel after each response, and
    page faults cost more than all else together."""
    most: int = 0
    """Octets of content that may come, where that is still to be looked at; 0 where it is not."""
    received: int = 0
    """Octets of content that came, where they are only counted."""
    upload: Sending | None = None
    is_plain: bool = True
    """True where the end of the response is all there is to the end: no content, no tunnel, nobody to be called."""
    is_sending: bool = False
    """True until the last octet of the request is accepted for sending."""
    has_content: bool = False
    """True when the request has content, or asks for a tunnel: it may be open when the response has ended."""
    is_tunnel: bool = False
    """True once a request for a tunnel was granted: what comes is octets of the other end's, and no content."""
    on_done: Callable[[Exchange], None] | None = None
    """Called once when the exchange is over, from within the driver; must be quick."""
    way_out: WayOut | None = None
    peer_ended: bool = False
    """True once the other end of a tunnel has ended its side."""
    _is_closed: bool = False
    _owed: int = 0
    _waiter: asyncio.Future[None] | None = None

    def __init__(self, driver: Link, outgoing: Outgoing, stream_id: int, mode: int) -> None:
        self.driver = driver
        self.outgoing = outgoing
        self.stream_id = stream_id
        self.mode: int = mode
        self.trailers: Pairs = []
        self.chunks: list[bytes] = []

    # -- what the caller asks ----------------------------------------------------------------------------------

    def note_never_indexed(self, names: frozenset[bytes]) -> None:
        """Fields of these names have come as never-indexed literals: a proxy hands them on so."""
        outgoing = self.outgoing
        outgoing.never_indexed_back = names | (outgoing.never_indexed_back or frozenset())

    async def head_arrived(self) -> Incoming:
        """Wait for the head of the response, with WHOLE for all of it, and return the response as its reader holds it:
        one that is dropped without having been read or closed gives itself up. Cancelled, it closes the exchange.

        Raises RequestError, and whatever the request's content raised.
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
            raise self._why_nothing()
        return HeldResponse(self)

    async def receive(self) -> bytes:
        """The next octets of content, b"" at the end, then always. A receive that is cancelled loses nothing.

        Raises RequestError when there will be no more, after what had come before; StreamConsumed after `close`.
        """
        if self.buffer is not None:
            self._empty_buffer()
        while not self.chunks:
            if self.is_over or self.peer_ended:
                if self.error is not None or self._is_closed:
                    raise self._why_nothing()
                return b""
            await self._news()
        return self._take()

    async def read(self) -> bytes:
        """All content that was not received yet. Raises as `receive` does: never a part for the whole. A read that is
        cancelled loses nothing."""
        if not self.is_over:
            if self.mode == STREAMED:
                self.mode = WHOLE  # collected as it comes, without waking this task for each piece
                self._give_credit()
                try:
                    await self._news()
                except BaseException:
                    self.mode = STREAMED
                    self._empty_buffer()
                    raise
            else:
                await self._news()
        if self.error is not None or self._is_closed:
            raise self._why_nothing()
        if self.buffer is not None:
            self._empty_buffer()
        return self._take() if self.chunks else b""

    def close(self) -> None:
        """Give up what is left: RST_STREAM(CANCEL), or the end of an HTTP/1.1 connection. A no-op after the end."""
        if self.is_over:
            self.let_be()
        else:
            self._is_closed = True
            self._owed = 0
            self.chunks = []
            self.buffer = None
            self._over()
            self.driver.give_up(self.stream_id, CANCEL)

    def tunnel(self, receiver: Receiver) -> Tunnel:
        """Hand bytes that come to `receiver`, and return the way out. Raises RuntimeError where no tunnel is open."""
        from headrace.client.connection.tunnel import open_tunnel

        return open_tunnel(self, receiver)

    @property
    def info(self) -> dict[str, Any]:
        """See `Incoming.info`."""
        return {"http_version": self.driver.http_version, "stream_id": self.stream_id, **self.driver.info}

    # -- what the driver and the upload tell -------------------------------------------------------------------

    def on_data(self, data: bytes, owed: int) -> None:
        """A piece of content has come that cost `owed` octets of the stream's window; not of a whole response's."""
        if self.mode == COUNTED:
            self.received += len(data)
            self.driver.engine.acknowledge_data(self.stream_id, owed)
        elif self.way_out is not None:
            self.way_out.on_octets(data, owed)
        else:
            if data:
                chunks = self.chunks
                if len(data) < _SMALL and chunks and len(chunks[-1]) < _GATHERED:
                    chunks[-1] += data  # an object of its own costs more than the octets of a small message
                else:
                    chunks.append(data)
            self._owed += owed
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def gather(self, data: bytes) -> bool:
        """A further piece of a whole response: from here on they are put together. False when there will be too much,
        and the exchange has failed."""
        most = self.outgoing.max_size
        come = sum(map(len, self.chunks)) + len(data)
        if most is not None:
            if come > most:
                self.fail(too_large(most))
                return False
            self.most = most
        buffer = self.buffer = io.BytesIO()
        room = come * _FORESIGHT
        for name, value in self.head.headers:
            if name == b"content-length":
                if most is not None and int(value) > most:
                    self.fail(too_large(most))
                    return False
                self.most = 0  # no more comes than was announced
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
        """The other end of the tunnel sends no more; our side is as it was."""
        self.peer_ended = True
        if self.way_out is not None:
            self.way_out.on_peer_ended()
        self.wake()

    def on_complete(self) -> None:
        """The response has ended, and the driver has let go of it."""
        if self._owed:
            self._hold()
        if self.is_plain:
            self.is_over = True
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
            return
        self._over()
        if self.has_content:
            # A response that ends before the request does not want the rest of it (RFC 9113 §8.1): CANCEL is "no
            # longer needed" (§7), and ends an HTTP/1.1 connection. A no-op when everything is sent.
            self.driver.engine.reset_stream(self.stream_id, CANCEL)

    def on_failed(self, error: Exception) -> None:
        """The stream is gone, or was given up by the driver, which has let go of it."""
        if self.is_over:
            return
        self.error = error
        if self._owed:
            self._hold()
        if isinstance(error, RequestError):
            if not error.url:
                error.url = self.outgoing.url
            if self.status:
                error.came_after(self.head)
        self._over()

    def fail(self, error: Exception) -> None:
        """End it for a reason of our own: a timeout, or what the request's content or a callback raised."""
        if not self.is_over:
            self.on_failed(error)
            self.driver.give_up(self.stream_id, CANCEL)

    def on_sent(self) -> None:
        """The last octet of the request is accepted for sending; the server's turn."""
        self.is_sending = False
        self.since = self.driver.loop.time()

    def wake(self) -> None:
        """Let the task that waits look again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def take_early(self) -> tuple[bytes, int]:
        """What has come before a tunnel's receiver was there, and what it cost of the window."""
        data = b"".join(self.chunks)
        owed = self._owed
        self.chunks = []
        if self.is_over:
            self.let_be()
        self._owed = 0
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
        if self.way_out is not None:
            self.way_out.on_over()
        if self.on_done is not None:
            self.on_done(self)

    async def _news(self) -> None:
        """Wait until something has happened; the caller looks what."""
        if self._waiter is not None:
            raise RuntimeError("somebody waits for this response already; one task may at a time")
        waiter = self._waiter = self.driver.loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _take(self) -> bytes:
        chunks = self.chunks
        self.chunks = []
        if self._owed:
            self._give_credit()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _empty_buffer(self) -> None:
        """What was put together is a chunk like any other."""
        buffer = self.buffer
        if buffer is not None:
            buffer.truncate()
            self.chunks = [buffer.getvalue()]  # which is no copy, as long as nothing is written any more
            self.buffer = None

    def _hold(self) -> None:
        """The stream has ended, and its content is here and unread: it counts until somebody takes it. Else responses
        that end within their windows could pile up beside those that do not."""
        if self.way_out is not None:
            self._owed = 0
        else:
            self.driver.engine.hold_data(self._owed)

    def let_be(self) -> None:
        """Nobody will take what is left of a response that has ended."""
        if self._owed:
            self.driver.engine.hold_data(-self._owed)
            self._owed = 0

    def _give_credit(self) -> None:
        owed = self._owed
        self._owed = 0
        if self.is_over:
            if owed:
                self.driver.engine.hold_data(-owed)
            return  # whatever was owed to the server went back when the stream ended
        driver = self.driver
        if not self.is_sending:
            self.since = driver.loop.time()
        if owed:
            driver.acknowledge(self.stream_id, owed)

    def _why_nothing(self) -> Exception:
        if self.error is not None:
            return self.error
        return StreamConsumed(f"the response of {self.outgoing.url or 'this request'} was closed before its end")


class HeldResponse:
    """A streamed response as its reader holds it. When it is dropped before its end, which is a fault of the reader's,
    the exchange is closed, so that its place on the connection is free again, and a ResourceWarning says so."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @property
    def head(self) -> ResponseHead:
        """The head of the final response."""
        return self._exchange.head

    @property
    def trailers(self) -> Pairs:
        """The trailer section, once the content has ended."""
        return self._exchange.trailers

    @property
    def is_complete(self) -> bool:
        """True when all of it has come, so that `receive` and `read` do not wait."""
        return self._exchange.is_over and self._exchange.error is None

    @property
    def info(self) -> dict[str, Any]:
        """See `Incoming.info`."""
        return self._exchange.info

    async def receive(self) -> bytes:
        """See `Exchange.receive`."""
        return await self._exchange.receive()

    async def read(self) -> bytes:
        """See `Exchange.read`."""
        return await self._exchange.read()

    def close(self) -> None:
        """See `Exchange.close`."""
        self._exchange.close()

    def tunnel(self, receiver: Receiver) -> Tunnel:
        """See `Exchange.tunnel`; from here on the tunnel has to be ended, not this object kept."""
        return self._exchange.tunnel(receiver)

    def __del__(self) -> None:
        exchange = self._exchange
        if exchange.is_over or exchange.way_out is not None:
            if exchange._owed and not exchange.driver.loop.is_closed():
                # Read no further than to its head.
                exchange.driver.loop.call_soon_threadsafe(exchange.let_be, context=exchange.driver.context.copy())
            return
        loop = exchange.driver.loop
        if not loop.is_closed():
            # The collector may run in any thread, and in anybody's context.
            loop.call_soon_threadsafe(exchange.close, context=exchange.driver.context.copy())
        warnings.warn(
            f"the response of {exchange.outgoing.url or 'a request'} was dropped before its end; read it, or close it",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )
