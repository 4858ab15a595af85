"""One request and its response on one stream: the worker's side.

A worker is the task that runs `ServerExchange.run`. It never touches frames: it calls the engine's verbs through the
methods here. Each returns when its data is *accepted*: at once if it fits the windows and the write buffer, else when
it does. A wait ends in one of four ways: accepted, the stream reset, the connection lost, a deadline (which the engine
turns into a reset).

`fail` handles errors in three steps, the crash ladder: 500 before the headers, or 503 if the process has no descriptor
left; RST_STREAM(INTERNAL_ERROR) after them; nothing once the peer has gone. Other streams are not affected.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final, cast

from headrace.engine.errors import CANCEL, INTERNAL_ERROR, LocalError, StreamClosedError
from headrace.engine.message import BEFORE, COMPLETE, HELD, STREAMING
from headrace.engine.text import utf8
from headrace.server.connection.crash import error_summary, error_text, follows_disconnect, log_exhaustion
from headrace.server.connection.inbox import Inbox
from headrace.server.errors import ClientDisconnected, HTTPError
from headrace.server.open_limit import is_exhaustion
from headrace.transport.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.engine.events import DataReceived, RequestReceived
    from headrace.server.connection.service import ServedConnection

PLAIN_TEXT: Final = ((b"content-type", b"text/plain; charset=utf-8"),)
_TRY_LATER: Final = (*PLAIN_TEXT, (b"retry-after", b"1"))
DISCONNECT_GRACE_S: Final = 1.0  # for a handler that got ClientDisconnected, before its task is cancelled

error_log: Final = get_logger("headrace.error")


class ServerExchange:
    """Base of a worker's exchange: `NativeExchange` behind a `Request`, `HTTPCycle`, `WSGICycle` and so on."""

    # One is made for each request, so defaults that most requests keep stand in the class: a store costs 12 ns, and
    # slots would need a store for each. (Python keeps such instances as compact as slots, PEP 659's inline values.)
    task: asyncio.Task[None] | None = None
    """The worker; None until its first wait, because many workers end before anything could use their task."""
    progress: int = BEFORE
    """Progress of the response, see `headrace.engine.message`."""
    inbox: Inbox | None = None
    blocked: bool = False
    """True while the last send is not accepted."""
    waiters: list[asyncio.Future[None]] | None = None
    gone: str | None = None
    """The reason why nothing more can be sent, once the stream was reset or the connection lost."""
    status: int = 0
    sent: int = 0
    """Bytes of content given to the engine."""
    is_observed: bool = False
    """True if telemetry reads `status` and `sent`, and only then is it certain that they are kept: noting them costs a
    small response 0.04 us."""
    _request_id: str | None = None
    drain_listener: Callable[[float], None] | None = None
    """Called when the connection begins to drain, with the deadline on the event loop's clock."""
    cancel_on_disconnect: bool | None = None
    """Whether the worker is cancelled when its client has gone; None leaves it to the application."""

    def __init__(self, driver: ServedConnection, head: RequestReceived) -> None:
        self.driver = driver
        self.head = head
        self.stream_id: int = head.stream_id
        if not head.end_stream:
            self.inbox = Inbox()

    @abstractmethod
    async def run(self) -> None:
        """Run the worker from start to end. Raises nothing but cancellation."""
        raise TypeError(f"{type(self).__name__} has no `run`")

    @property
    def request_id(self) -> str:
        """Return the request's id in logs and traces: the field `request_id_header`, or an id made at first use."""
        if self._request_id is None:
            self._request_id = self.driver.service.request_ids.of(self.head)
        return self._request_id

    @property
    def handler_text(self) -> str:
        """The name of the handler, for a log."""
        return "the handler"

    @property
    def is_complete(self) -> bool:
        """True once the end of the response was given to the engine."""
        return self.progress == COMPLETE

    # -- verbs -------------------------------------------------------------------------------------------------

    def accept_tunnel(
        self, headers: Sequence[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None
    ) -> None:
        """Accept a request for a tunnel: `inbox` and `write` are then its two directions."""
        driver = self.driver
        try:
            driver.engine.accept_tunnel(self.stream_id, headers, never_indexed)
        except StreamClosedError as error:
            raise self.disconnected(error) from None
        self.status = 200
        self.progress = STREAMING
        driver.schedule_flush()

    async def respond(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole response. Raises the errors of `H2ServerConnection.send_response`, and ClientDisconnected."""
        driver = self.driver
        try:
            accepted = driver.engine.send_response(self.stream_id, status, headers, body)
        except StreamClosedError as error:
            raise self.disconnected(error) from None
        self.status = status
        self.sent = len(body)
        self.complete()
        if not driver.flush_due:
            driver.schedule_flush()
        if not accepted:
            self.blocked = True
            await self.unblocked()

    def start(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None
    ) -> None:
        """Send the headers of a response whose content follows piece by piece."""
        driver = self.driver
        try:
            driver.engine.send_headers(self.stream_id, status, headers, False, never_indexed)
        except StreamClosedError as error:
            raise self.disconnected(error) from None
        self.status = status
        self.progress = STREAMING
        if not driver.flush_due:
            driver.schedule_flush()

    async def write(self, data: bytes, end: bool = False) -> None:
        """Send a piece of content; `end` marks the last one. Raises ClientDisconnected."""
        driver = self.driver
        if self.blocked:
            await self.unblocked()
        try:
            accepted = driver.engine.send_data(self.stream_id, data, end)
        except StreamClosedError as error:
            raise self.disconnected(error) from None
        self.sent += len(data)
        if end:
            self.complete()
        if not driver.flush_due:
            driver.schedule_flush()
        if not accepted:
            self.blocked = True
            await self.unblocked()

    async def write_trailers(
        self, headers: Sequence[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None
    ) -> None:
        """Send the trailers, which end the response. Raises ClientDisconnected, and InvalidFieldError."""
        driver = self.driver
        if self.blocked:
            await self.unblocked()
        try:
            accepted = driver.engine.send_trailers(self.stream_id, headers, never_indexed)
        except StreamClosedError as error:
            raise self.disconnected(error) from None
        self.complete()
        driver.schedule_flush()
        if not accepted:
            self.blocked = True
            await self.unblocked()

    def inform(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None
    ) -> None:
        """Send a 1xx response ahead of the final one."""
        driver = self.driver
        try:
            driver.engine.send_informational(self.stream_id, status, headers, never_indexed)
        except StreamClosedError as error:
            raise self.disconnected(error) from None
        driver.schedule_flush()

    def send_continue(self) -> None:
        """Send 100 (Continue) to a client that waits for it before it sends its content (RFC 9110 §10.1.1)."""
        inbox = self.inbox
        if inbox is not None and not inbox.continue_sent:
            inbox.continue_sent = True
            if self.head.expect_continue and inbox.is_untouched() and self.progress <= HELD and self.gone is None:
                self.inform(100, ())

    def allow_pauses(self, longest_s: float | None = None) -> None:
        """Let the client pause for `longest_s` seconds between two pieces of its content; None: for any time.

        For calls that send messages now and then. Without it, `min_upload_rate` and `upload_pause_timeout_s` end a
        request whose content comes too slowly, until the response has begun. Raises ValueError unless positive.
        """
        if longest_s is not None and not longest_s > 0:
            raise ValueError(f"a pause of {longest_s} seconds: it must be more than 0, or None for any")
        self.driver.engine.allow_pauses(self.stream_id, longest_s or 0.0)

    def reset(self, code: int) -> None:
        """End the stream with RST_STREAM; a no-op when it is over."""
        driver = self.driver
        driver.engine.reset_stream(self.stream_id, code)
        if self.gone is None:
            self.gone = "it was reset by the server"
        self.wake()
        driver.schedule_flush()

    def complete(self) -> None:
        """Note the end of the response, and wake readers of the request: nothing more comes for them."""
        self.progress = COMPLETE
        if self.inbox is not None:
            self.inbox.wake()

    # -- waiting -----------------------------------------------------------------------------------------------

    async def unblocked(self) -> None:
        """Wait until the engine has accepted the last send. Raises ClientDisconnected."""
        while self.blocked and self.gone is None:
            waiter = self.driver.loop.create_future()
            self.watch(waiter)
            await waiter
        if self.gone is not None:
            raise self.disconnected(None)

    def watch(self, waiter: asyncio.Future[None]) -> None:
        """Let `waiter` end when something happens to the exchange: room to send, a reset, the connection's loss."""
        if self.waiters is None:
            self.waiters = [waiter]
        else:
            self.waiters.append(waiter)

    def unwatch(self, waiter: asyncio.Future[None]) -> None:
        """Take `waiter` back; a no-op when it is done already."""
        if self.waiters is not None and waiter in self.waiters:
            self.waiters.remove(waiter)

    def wake(self) -> None:
        """Let every waiter look again."""
        waiters = self.waiters
        if waiters is not None:
            self.waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        if self.inbox is not None:
            self.inbox.wake()

    def disconnected(self, error: StreamClosedError | None) -> ClientDisconnected:
        """Return the exception for the handler."""
        if self.gone is None:
            self.gone = error.reason if error is not None else "it was closed"
        return ClientDisconnected(f"nothing can be sent on stream {self.stream_id}: {self.gone}")

    # -- events of the stream ---------------------------------------------------------------------------------

    def on_accepted(self) -> None:
        """Handle that the engine accepted the last send."""
        self.blocked = False
        self.wake()

    def on_data(self, event: DataReceived) -> None:
        """Take a piece of the request's content."""
        inbox = self.inbox
        if inbox is not None:
            inbox.put(event.data, event.flow_length, event.end_stream)

    def on_trailers(self, headers: list[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None) -> None:
        """Take the request's trailers, which end it."""
        inbox = self.inbox
        if inbox is not None:
            inbox.end(headers, never_indexed)

    def on_reset(self, reason: str) -> None:
        """Handle the end of the stream. Wake waiting code; cancel a worker that does something else, unless the
        application disabled that, or the response is complete."""
        if self.gone is None:
            self.gone = reason
        was_waiting = bool(self.waiters) or (self.inbox is not None and self.inbox.is_awaited())
        self.wake()
        task = self.task
        is_cancelled = self.cancel_on_disconnect
        if is_cancelled is None:
            is_cancelled = self.driver.service.cancel_on_disconnect
        if task is None or self.progress == COMPLETE or not is_cancelled:
            return
        if was_waiting:
            # Leave time to tidy up; but a middleware that swallows the exception must not keep the worker for ever.
            self.driver.loop.call_later(DISCONNECT_GRACE_S, task.cancel)
        else:
            self.cancel()

    def on_drain(self, deadline: float) -> None:
        """Handle the beginning of the connection's drain; the worker has until `deadline` on the event loop's clock."""
        if self.drain_listener is not None:
            self.drain_listener(deadline)

    def cancel(self) -> None:
        """Cancel the worker."""
        task = self.task
        if task is None or task.done():
            return
        task.cancel()
        if inspect.getcoroutinestate(cast("Any", task.get_coro())) == inspect.CORO_CREATED:
            # Before Python 3.12 a task does not begin at once, and one that is cancelled before it begins never does.
            if self.gone is None:
                self.reset(CANCEL)
            self.end()

    # -- the end -----------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> bool:
        """Go down the crash ladder. Return True if `error` must be raised again (cancellation, the end)."""
        is_ended = isinstance(error, (asyncio.CancelledError, GeneratorExit))
        must_go_on = is_ended or isinstance(error, KeyboardInterrupt)
        if self.gone is not None:
            # Often a consequence of the disconnect, in a framework's words, and no client is left: one line is enough.
            if not is_ended and not follows_disconnect(error):
                error_log.warning("%s: %s after the client had gone: %s", self, type(error).__name__, error_text(error))
        elif is_ended:
            if self.progress != COMPLETE:
                self.reset(CANCEL if self.driver.service.is_ending else INTERNAL_ERROR)
        elif self.progress == COMPLETE:
            self._log(error, "after its response")
        elif is_exhaustion(error):
            log_exhaustion(self.driver.service.exhaustion, self, self.handler_text, error)
            if self.progress <= HELD:
                self._answer(503, "Service Unavailable", _TRY_LATER)
            else:
                self.reset(INTERNAL_ERROR)
        elif self.progress <= HELD:
            if isinstance(error, HTTPError):
                self._answer(error.status, error.reason)
            else:
                self._log(error, "before its headers")
                self._answer(500, "Internal Server Error")
        else:
            self._log(error, "after its headers")
            self.reset(INTERNAL_ERROR)
        return must_go_on

    def end(self) -> None:
        """Finish the worker: acknowledge content that it left unread, and free its place."""
        driver = self.driver
        inbox = self.inbox
        if inbox is not None and inbox.owed:
            driver.engine.acknowledge_data(self.stream_id, inbox.take_owed())
            driver.schedule_flush()
        if self.task is not None:
            driver.exchange_ended(self)

    def _answer(self, status: int, text: str, fields: Sequence[tuple[bytes, bytes]] = PLAIN_TEXT) -> None:
        driver = self.driver
        body = utf8(text) + b"\n"
        try:
            driver.engine.send_response(self.stream_id, status, fields, body)
        except LocalError:
            self.reset(INTERNAL_ERROR)
            return
        self.status = status
        self.sent = len(body)
        self.complete()
        driver.schedule_flush()

    def _log(self, error: BaseException, when: str) -> None:
        error_log.error("%s: %s failed %s: %s", self, self.handler_text, when, error_summary(error), exc_info=error)

    def __str__(self) -> str:
        """Return the request in one line, safe for a log."""
        head = self.head
        peer = self.driver.peer_name
        path = head.path[:512].decode("ascii", "backslashreplace")
        return f"{head.method.decode('latin-1')} {path} from {peer} on stream {self.stream_id}"
