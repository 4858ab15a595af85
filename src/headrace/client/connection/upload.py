"""Sends the content of a request, as fast as the server takes it.

Bytes need no task: the next piece goes to the engine when the one before is accepted. Other content is an async
iterator of the caller; it runs in a task of its own, so that the caller can read the response meanwhile. Both are cut
into pieces that the engine queues whole, so that the write timeout measures progress.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import TYPE_CHECKING, Any, Final

from headrace.client.errors import RequestError
from headrace.engine.errors import LocalError, StreamClosedError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from headrace.client.connection.exchange import ClientExchange
    from headrace.client.interface import Content, Pairs

PIECE: Final = 65_536  # bytes given to the engine at once
CONTINUE_S: Final = 1.0  # seconds to wait for 100 (Continue); then the content is sent without it (RFC 9110 §10.1.1)
_EAGER: Final[dict[str, Any]] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


class RequestUpload:
    """Base of both kinds. `begin` starts the upload, `stop` ends it for good; the driver calls the other methods."""

    __slots__ = ("_exchange", "_timer", "is_blocked")

    def __init__(self, exchange: ClientExchange) -> None:
        self._exchange = exchange
        self._timer: asyncio.TimerHandle | None = None
        self.is_blocked: bool = False
        """True while the last piece is not accepted."""

    def begin(self, awaits_continue: bool) -> None:
        """Start now, or with `awaits_continue` after 100 (Continue), or after a second."""
        if awaits_continue:
            driver = self._exchange.driver
            self._timer = driver.loop.call_later(CONTINUE_S, self.on_continue, context=driver.context.copy())
        else:
            self._go()

    def on_continue(self) -> None:
        """Start the content: 100 (Continue) has arrived, or its time is over. Do nothing when it has started."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._go()

    def on_accepted(self) -> None:
        """Handle that the engine has accepted the last piece."""
        self.is_blocked = False

    def stop(self) -> None:
        """Send no further byte: the exchange is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go(self) -> None:
        raise NotImplementedError

    def _send(self, piece: bytes, end: bool) -> bool:
        """Give a piece to the engine. Return True when it is accepted. Raises LocalError."""
        exchange = self._exchange
        driver = exchange.driver
        accepted = driver.engine.send_data(exchange.stream_id, piece, end)
        on_sent = exchange.outgoing.on_sent
        if on_sent is not None and piece:
            on_sent(len(piece))
        driver.schedule_flush()
        if not accepted:
            self._block()
        return accepted

    def _block(self) -> None:
        self.is_blocked = True
        exchange = self._exchange
        exchange.since = exchange.driver.loop.time()


class BytesUpload(RequestUpload):
    """Content that is all there. `_sent` counts the bytes that the engine has."""

    __slots__ = ("_content", "_sent")

    def __init__(self, exchange: ClientExchange, content: bytes) -> None:
        super().__init__(exchange)
        self._content = content
        self._sent = 0

    def wait_for_all(self) -> None:
        """Wait for acceptance: the engine has all bytes, and has not accepted them yet."""
        self._sent = len(self._content)
        self._block()

    def on_accepted(self) -> None:
        super().on_accepted()
        self._go()

    def _go(self) -> None:
        content = self._content
        size = len(content)
        try:
            while self._sent < size:
                start = self._sent
                self._sent = end = min(start + PIECE, size)
                if not self._send(content[start:end] if end - start < size else content, end == size):
                    return
        except StreamClosedError:
            return  # an event brings the reason to the exchange
        except Exception as error:
            self._exchange.fail(error)
            return
        self._exchange.on_sent()


class ContentUpload(RequestUpload):
    """Content from an async iterator."""

    __slots__ = ("_content", "_context", "_task", "_waiter")

    def __init__(self, exchange: ClientExchange, content: Content) -> None:
        super().__init__(exchange)
        self._content = content
        self._context = contextvars.copy_context()  # the caller's context: the iterator is the caller's code
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    def on_accepted(self) -> None:
        super().on_accepted()
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def stop(self) -> None:
        super().stop()
        if self._task is not None:
            self._task.cancel()

    def _go(self) -> None:
        # Eagerly, where Python can (3.12): pieces that the iterator has ready leave in one write with the head.
        task = _start(self._run(), self._exchange.driver.loop, self._context)
        if not task.done():
            self._task = task
            if self._exchange.is_over:
                task.cancel()

    async def _run(self) -> None:
        exchange = self._exchange
        content = self._content
        sent = 0
        try:
            iterator = content.open()
            try:
                async for piece in iterator:
                    if exchange.is_over:
                        return
                    data = _bytes(piece)
                    sent += len(data)
                    for start in range(0, len(data), PIECE):
                        part = data if len(data) <= PIECE else data[start : start + PIECE]
                        if not self._send(part, False):
                            await self._accepted()
            finally:
                close = getattr(iterator, "aclose", None)
                if close is not None:
                    await close()
            await self._end(content.trailers())
        except StreamClosedError:
            return  # an event brings the reason to the exchange
        except LocalError as error:
            if content.length is None or content.length == sent:
                exchange.fail(error)
            else:
                exchange.fail(
                    RequestError(f"the request's content has {sent} bytes, but {content.length} were announced")
                )
            return
        except asyncio.CancelledError:
            if not exchange.is_over:
                exchange.fail(RequestError("the task that sends the request's content was cancelled"))
            raise
        except Exception as error:
            exchange.fail(error)
            return
        exchange.on_sent()

    async def _end(self, trailers: Pairs) -> None:
        if not trailers:
            accepted = self._send(b"", True)
        else:
            exchange = self._exchange
            driver = exchange.driver
            accepted = driver.engine.send_trailers(exchange.stream_id, trailers, exchange.outgoing.never_indexed)
            driver.schedule_flush()
            if not accepted:
                self._block()
        if not accepted:
            await self._accepted()

    async def _accepted(self) -> None:
        if self.is_blocked:
            waiter = self._waiter = self._exchange.driver.loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None


def begin_upload(exchange: ClientExchange, content: bytes | Content) -> None:
    """Begin to send a request's content. Small content goes to the engine at once, without an Upload."""
    outgoing = exchange.outgoing
    waits = awaits_continue(outgoing.headers)
    upload: RequestUpload
    if not isinstance(content, bytes):
        upload = exchange.upload = ContentUpload(exchange, content)
        upload.begin(waits)
    elif waits or len(content) > PIECE or outgoing.on_sent is not None:
        upload = exchange.upload = BytesUpload(exchange, content)
        upload.begin(waits)
    elif exchange.driver.engine.send_data(exchange.stream_id, content, True):
        exchange.on_sent()
    else:
        data = exchange.upload = BytesUpload(exchange, content)
        data.wait_for_all()


def _bytes(piece: object) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a piece of a request's content must be bytes, not {type(piece).__name__}")


def _start(
    coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: contextvars.Context
) -> asyncio.Task[None]:
    return asyncio.Task(coroutine, loop=loop, context=context, **_EAGER)


def awaits_continue(headers: Pairs) -> bool:
    """Return True when a request's fields ask the server for 100 (Continue) first (RFC 9110 §10.1.1)."""
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)
