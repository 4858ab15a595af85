"""One request and its response on one stream: the worker's side.

A worker is the task that runs `Exchange.run`. It never touches frames: it asks the engine through the verbs here, each
of which returns when what it sends is *accepted*: at once when it fits the windows and the write buffer, else when it
does. A wait ends in one of four ways: accepted, the stream reset, the connection lost, a deadline (which the engine
turns into a reset).

What happens when things go wrong is the crash ladder in `fail`: 500 before the headers, or 503 when the process has no
descriptor left, RST_STREAM(INTERNAL_ERROR) after them, silence once the peer has gone. Siblings never notice.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from typing import TYPE_CHECKING, Any, Final, cast

from headrace.engine.errors import CANCEL, INTERNAL_ERROR, LocalError, StreamClosedError
from headrace.engine.message import BEFORE, COMPLETE, HELD, STREAMING
from headrace.engine.text import utf8
from headrace.server.connection.inbox import Inbox
from headrace.server.errors import ClientDisconnected, HTTPError
from headrace.server.open_limit import is_exhaustion, open_limit
from headrace.transport.log import get_logger, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.engine.events import DataReceived, RequestReceived
    from headrace.server.connection.driver import ServerDriver

PLAIN_TEXT: Final = ((b"content-type", b"text/plain; charset=utf-8"),)
_TRY_LATER: Final = (*PLAIN_TEXT, (b"retry-after", b"1"))
DISCONNECT_GRACE_S: Final = 1.0
"""Time for a handler that was told of the peer's going, before its task is cancelled."""

error_log: Final = get_logger("headrace.error")


class Exchange:
    """Base of what a worker runs: `NativeExchange` behind a handler's `Request`, `HTTPCycle`, `WSGICycle` and so on."""

    # One is made a request, so what most requests leave alone stands in the class: a store costs 12 ns, and slots would
    # need every one of them. (Python keeps such instances as compact as slots, PEP 659's inline values.)
    task: asyncio.Task[None] | None = None
    """The worker, None as long as it has not been put off: many end before anybody could ask for their task."""
    progress: int = BEFORE
    """How far the response has come, see `headrace.engine.message`."""
    inbox: Inbox | None = None
    blocked: bool = False
    """True while the engine has not accepted the last send."""
    waiters: list[asyncio.Future[None]] | None = None
    gone: str | None = None
    """Why nothing more can be sent, once the stream was reset or the connection lost."""
    status: int = 0
    sent: int = 0
    """Octets of content handed to the engine."""
    _request_id: str | None = None
    drain_listener: Callable[[float], None] | None = None
    """Told of the connection's drain, with its deadline on the event loop's clock."""
    cancel_on_disconnect: bool | None = None
    """Whether the worker is cancelled when its client has gone; None leaves it to the application."""

    def __init__(self, driver: ServerDriver, head: RequestReceived) -> None:
        self.driver = driver
        self.head = head
        self.stream_id: int = head.stream_id
        if not head.end_stream:
            self.inbox = Inbox()

    async def run(self) -> None:
        """The worker's whole life. Never raises but for cancellation."""
        raise NotImplementedError

    @property
    def request_id(self) -> str:
        """The request's name in logs and traces: made when it is first asked for, or taken from the field that the
        setting request_id_header names."""
        if self._request_id is None:
            self._request_id = self.driver.service.request_ids.of(self.head)
        return self._request_id

    @property
    def handler_text(self) -> str:
        """Who answers the request, in the words of a log."""
        return "the handler"

    @property
    def is_complete(self) -> bool:
        """True once the end of the response was given to the engine."""
        return self.progress == COMPLETE

    # -- verbs -------------------------------------------------------------------------------------------------

    def accept_tunnel(
        self, headers: Sequence[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None
    ) -> None:
        """Say yes to a request for a tunnel: `inbox` and `write` are then its two directions."""
        driver = self.driver
        try:
            driver.engine.accept_tunnel(self.stream_id, headers, never_indexed)
        except StreamClosedError as error:
            raise self.disconnected(error) from None
        self.status = 200
        self.progress = STREAMING
        if not driver.flush_due:
            driver.schedule_flush()

    async def respond(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole response. Raises as `ServerConnection.send_response`, and ClientDisconnected."""
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
        """Send a piece of content; `end` says that it is the last one. Raises ClientDisconnected."""
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
        if not driver.flush_due:
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
        if not driver.flush_due:
            driver.schedule_flush()

    def invite(self) -> None:
        """Send 100 (Continue) to a client that waits for it before it sends its content (RFC 9110 §10.1.1)."""
        inbox = self.inbox
        if inbox is not None and not inbox.invited:
            inbox.invited = True
            if self.head.expect_continue and inbox.is_untouched() and self.progress <= HELD and self.gone is None:
                self.inform(100, ())

    def allow_pauses(self, longest_s: float | None = None) -> None:
        """Let the client pause for `longest_s` seconds between two pieces of its content; None: for any time.

        For calls that send messages when there are some. Without it `min_upload_rate` and `upload_pause_timeout_s` end
        a request whose content comes too slowly, until the response has begun. Raises ValueError unless positive.
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
        if not driver.flush_due:
            driver.schedule_flush()

    def complete(self) -> None:
        """The response is said; whoever still waits for the request learns that nothing more comes."""
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
        """Let `waiter` end when the exchange is told of anything: room to send, a reset, the connection's loss."""
        if self.waiters is None:
            self.waiters = [waiter]
        else:
            self.waiters.append(waiter)

    def unwatch(self, waiter: asyncio.Future[None]) -> None:
        """Take `waiter` back; a no-op when it has been told already."""
        if self.waiters is not None and waiter in self.waiters:
            self.waiters.remove(waiter)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        waiters = self.waiters
        if waiters is not None:
            self.waiters = None
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        if self.inbox is not None:
            self.inbox.wake()

    def disconnected(self, error: StreamClosedError | None) -> ClientDisconnected:
        """The exception that tells the handler so."""
        if self.gone is None:
            self.gone = error.reason if error is not None else "it was closed"
        return ClientDisconnected(f"nothing can be sent on stream {self.stream_id}: {self.gone}")

    # -- what the driver tells ---------------------------------------------------------------------------------

    def on_accepted(self) -> None:
        """The engine took the last send."""
        self.blocked = False
        self.wake()

    def on_data(self, event: DataReceived) -> None:
        """A piece of the request's content has come."""
        inbox = self.inbox
        if inbox is not None:
            inbox.put(event.data, event.flow_length, event.end_stream)

    def on_trailers(self, headers: list[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None) -> None:
        """The request's trailers have come, and with them its end."""
        inbox = self.inbox
        if inbox is not None:
            inbox.end(headers, never_indexed)

    def on_reset(self, reason: str) -> None:
        """The stream is gone. Those who wait are told; a worker that does something else is cancelled, unless the
        application asked not to be, or has said all it had to say."""
        if self.gone is None:
            self.gone = reason
        is_told = bool(self.waiters) or (self.inbox is not None and self.inbox.is_awaited())
        self.wake()
        task = self.task
        is_cancelled = self.cancel_on_disconnect
        if is_cancelled is None:
            is_cancelled = self.driver.service.cancel_on_disconnect
        if task is None or self.progress == COMPLETE or not is_cancelled:
            return
        if is_told:
            # It may want to tidy up; a middleware that swallows the news must not keep the worker for ever.
            self.driver.loop.call_later(DISCONNECT_GRACE_S, task.cancel)
        else:
            self.cancel()

    def on_drain(self, deadline: float) -> None:
        """The connection has begun its end; the worker has until `deadline` on the event loop's clock."""
        if self.drain_listener is not None:
            self.drain_listener(deadline)

    def cancel(self) -> None:
        """Cancel the worker."""
        task = self.task
        if task is None or task.done():
            return
        task.cancel()
        if inspect.getcoroutinestate(cast("Any", task.get_coro())) == inspect.CORO_CREATED:
            # Before Python 3.12 a task does not begin at once, and one that is cancelled before never does.
            if self.gone is None:
                self.reset(CANCEL)
            self.end()

    # -- the end -----------------------------------------------------------------------------------------------

    def fail(self, error: BaseException) -> bool:
        """Go down the crash ladder. True when `error` must go on: cancellation, and the interpreter's end."""
        is_ended = isinstance(error, (asyncio.CancelledError, GeneratorExit))
        must_go_on = is_ended or isinstance(error, KeyboardInterrupt)
        if self.gone is not None:
            # Mostly a consequence in the words of a framework, and nobody is there to get an answer: one line will do.
            if not is_ended and not _is_disconnect(error):
                error_log.warning("%s: %s after the client had gone: %s", self, type(error).__name__, _text(error))
        elif is_ended:
            if self.progress != COMPLETE:
                self.reset(CANCEL if self.driver.service.is_ending else INTERNAL_ERROR)
        elif self.progress == COMPLETE:
            self._log(error, "after its response")
        elif is_exhaustion(error):
            self._tell_exhaustion(error)
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
        """The worker is done: give back what it left unread, and free its place."""
        driver = self.driver
        inbox = self.inbox
        if inbox is not None and inbox.owed:
            driver.engine.acknowledge_data(self.stream_id, inbox.take_owed())
            if not driver.flush_due:
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
        if not driver.flush_due:
            driver.schedule_flush()

    def _tell_exhaustion(self, error: BaseException) -> None:
        """Tell the operator, now and then, that more descriptors are needed."""
        seldom = self.driver.service.exhaustion
        if seldom.is_due():
            error_log.error(
                "%s: %s found no descriptor left (%s), as %d did before it without being told; the limit of open files "
                "(ulimit -n) is %d",
                self,
                self.handler_text,
                _text(error),
                seldom.silent,
                open_limit(),
            )
            seldom.silent = 0

    def _log(self, error: BaseException, when: str) -> None:
        error_log.error("%s: %s failed %s: %s", self, self.handler_text, when, _summary(error), exc_info=error)

    def __str__(self) -> str:
        """The request in one line, safe for a log."""
        head = self.head
        peer = self.driver.peer_name
        path = head.path[:512].decode("ascii", "backslashreplace")
        return f"{head.method.decode('latin-1')} {path} from {peer} on stream {self.stream_id}"


def _is_disconnect(error: BaseException | None) -> bool:
    """True for what follows from ClientDisconnected: itself, groups of it, and what was raised because of it."""
    for _ in range(8):
        if error is None or isinstance(error, ClientDisconnected):
            break
        if isinstance(error, BaseExceptionGroup):
            return all(_is_disconnect(each) for each in error.exceptions)
        error = error.__cause__ or error.__context__
    return isinstance(error, ClientDisconnected)


def _text(error: BaseException) -> str:
    """What the exception says, safe for a log, also where it cannot even say that."""
    try:
        return printable(str(error)[:512])
    except Exception:
        return "(no text)"


def _summary(error: BaseException) -> str:
    """The exception's type and the first line of its message, safe for a log."""
    text = traceback.format_exception_only(error)[-1].strip().partition("\n")[0][:512]
    return printable(text)
