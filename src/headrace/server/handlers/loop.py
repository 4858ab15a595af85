"""The loop response: content that is pushed when messages come, from the bus or from any code that holds the mailbox.

Nothing runs between messages: the worker sleeps on one future. A message, the loss of the client, a drain or the idle
timer completes it. So ten thousand open event streams cost ten thousand small objects and no turn of the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol

from headrace.engine.errors import CANCEL
from headrace.engine.message import is_bodiless
from headrace.server.errors import ClientDisconnected
from headrace.server.handlers.headers import AnyHeaders, checked_headers
from headrace.server.handlers.mailbox import MAILBOX_SIZE, Dropped, Mailbox, Overflow
from headrace.server.handlers.response import AnyResponse

if TYPE_CHECKING:
    from headrace.server.connection.exchange import ServerExchange
    from headrace.server.handlers.request import Request
    from headrace.server.handlers.writer import Writer

MESSAGES_PER_TURN: Final = 64  # then others on this event loop have their turn

STOPPED: Final = "stopped"
DRAINED: Final = "drained"
DISCONNECTED: Final = "disconnected"
OVERFLOWED: Final = "overflowed"
CANCELLED: Final = "cancelled"
FAILED: Final = "failed"


class Stop:
    """The type of `STOP`, which ends a loop response."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "STOP"


STOP: Final = Stop()
"""Return value of `on_start`, `on_message` or `on_notice` that ends the response; None goes on."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Notice, given once, that the server or the connection ends: this response has until `deadline` to end, too."""

    deadline: float
    """Time on the event loop's clock. A response that still runs then is reset."""


@dataclass(frozen=True, slots=True)
class Idle:
    """Notice that nothing was pushed for `idle_s` seconds."""


Notice = Drain | Dropped | Idle


class Push(Protocol):
    """Sends a piece of content. Returns when it is accepted, so a slow client slows the loop, and its mailbox fills.

    Raises ClientDisconnected when the client has gone, TypeError for anything but bytes.
    """

    async def __call__(self, data: bytes) -> None: ...


class Topics(Protocol):
    """The part of a bus that a loop response uses; see `headrace.bus`."""

    def subscribe(self, *topics: str, mailbox: Mailbox | None = None) -> AbstractAsyncContextManager[Any]: ...


OnStart = Callable[[Mailbox, Push, Any], Any]
OnMessage = Callable[[Any, Push, Any], Any]
OnNotice = Callable[[Any, Push, Any], Any]
OnEnd = Callable[[str, Any], Any]


class LoopResponse(AnyResponse):
    """A response that is driven by messages, for event streams and long polling.

    Each message in its `mailbox` goes to `on_message(message, push, state)`, one after the other. It pushes content
    with `await push(data)`, and returns None to go on or `STOP` to end the response; any other value is a TypeError.
    When it raises, the stream is reset, as for every response.

    - `on_start(mailbox, push, state)`, called after the headers, may push and return as `on_message` does.
    - `on_notice(notice, push, state)` gets everything that is not a message, and returns as `on_message` does: `Drain`
      once, when the server or the connection begins to end; `Dropped` when messages were lost, because the client reads
      more slowly than they come; `Idle` after each `idle_s` seconds without a push. Without it, a drain ends the
      response, and the other notices are ignored.
    - `on_end(reason, state)` is called once, after every end, also when sending the headers fails: `stopped`, `drained`
      (after a drain), `disconnected`, `overflowed` (the mailbox's policy `disconnect`: the stream is reset with
      CANCEL), `cancelled` or `failed`.

    Each of them may be a plain function or an async one. Closing the mailbox ends the response, too. The response
    subscribes to `topics` of a `bus` while it runs. The mailbox holds `mailbox_size` messages; `overflow` is its policy
    when one more comes (see `Mailbox`). A LoopResponse answers one request, and raises RuntimeError for a second.
    Raises TypeError without `on_message`, ValueError for topics without a bus, or an `idle_s` that is not above 0.
    """

    answers_once = True

    __slots__ = (
        "_idle_at",
        "_is_idle",
        "_is_used",
        "_timer",
        "bus",
        "headers",
        "idle_s",
        "mailbox",
        "on_end",
        "on_message",
        "on_notice",
        "on_start",
        "state",
        "status",
        "topics",
    )

    def __init__(
        self,
        status: int = 200,
        headers: AnyHeaders = (),
        on_message: OnMessage | None = None,
        state: Any = None,
        *,
        on_start: OnStart | None = None,
        on_notice: OnNotice | None = None,
        on_end: OnEnd | None = None,
        idle_s: float | None = None,
        mailbox_size: int = MAILBOX_SIZE,
        overflow: Overflow = "drop_oldest",
        topics: Sequence[str] = (),
        bus: Topics | None = None,
    ) -> None:
        if on_message is None:
            raise TypeError("a LoopResponse needs on_message")
        if isinstance(topics, str):
            raise TypeError("topics is a sequence of topics, not one text")
        if topics and bus is None:
            raise ValueError("there are topics to subscribe to, but no bus")
        if idle_s is not None and not idle_s > 0:
            raise ValueError(f"idle_s is {idle_s}; it must be above 0")
        self.status: int = status
        self.headers: AnyHeaders = headers
        self.on_message: OnMessage = on_message
        self.state: Any = state
        self.on_start: OnStart | None = on_start
        self.on_notice: OnNotice | None = on_notice
        self.on_end: OnEnd | None = on_end
        self.idle_s: float | None = idle_s
        self.topics: Sequence[str] = topics
        self.bus: Topics | None = bus
        self.mailbox: Mailbox = Mailbox(mailbox_size, overflow)
        self._is_used = False
        self._is_idle = False
        self._idle_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def send_on(self, request: Request, writer: Writer) -> None:
        """Send the headers, then run until a message, a notice or the client ends the response."""
        if self._is_used:
            raise RuntimeError("a LoopResponse answers one request; make a new one for each")
        self._is_used = True
        reason = FAILED
        try:
            reason = await self._send(request, writer)
        except ClientDisconnected:
            reason = OVERFLOWED if self.mailbox.has_overflowed else DISCONNECTED
            raise
        except asyncio.CancelledError:
            reason = CANCELLED if not request.is_disconnected else DISCONNECTED
            raise
        finally:
            self.mailbox.close("the response has ended")
            if self._timer is not None:
                self._timer.cancel()
            if self.on_end is not None:
                ended = self.on_end(reason, self.state)
                if inspect.isawaitable(ended):
                    await ended

    # -- the loop ----------------------------------------------------------------------------------------------

    async def _send(self, request: Request, writer: Writer) -> str:
        mailbox = self.mailbox
        exchange = request._exchange
        loop = exchange.driver.loop
        writer.start(self.status, checked_headers(self.headers))
        reason = STOPPED
        if exchange.head.method != b"HEAD" and not is_bodiless(self.status):

            async def push(data: bytes) -> None:
                if data.__class__ is not bytes:
                    data = _bytes(data)
                if data:
                    if self.idle_s is not None:
                        self._is_idle = False
                        self._idle_at = loop.time() + self.idle_s
                    await writer.write(data)

            def overflowed() -> None:
                writer.reset(CANCEL)

            def drained(deadline: float) -> None:
                mailbox.wake()

            exchange.drain_listener = drained
            # Use this request's context: the caller is the sender of one message too many.
            mailbox.on_overflow = partial(contextvars.copy_context().run, overflowed)
            if mailbox.has_overflowed:
                overflowed()
            if self.idle_s is not None:
                self._idle_at = loop.time() + self.idle_s
                self._timer = self._at(loop)
            async with self._subscription():
                reason = await self._run(exchange, push)
        if not writer.is_complete:
            await writer.write(b"", True)
        return reason

    def _subscription(self) -> AbstractAsyncContextManager[Any]:
        if self.bus is None or not self.topics:
            return contextlib.nullcontext()
        return self.bus.subscribe(*self.topics, mailbox=self.mailbox)

    async def _run(self, exchange: ServerExchange, push: Push) -> str:
        mailbox = self.mailbox
        driver = exchange.driver
        on_message = self.on_message
        state = self.state
        is_announced = False
        in_a_row = 0
        if self.on_start is not None and await _stops(self.on_start(mailbox, push, state), "on_start"):
            return STOPPED
        while True:
            if exchange.gone is not None:
                raise exchange.disconnected(None)
            if not is_announced and driver.drain_deadline is not None:
                is_announced = True
                if self.on_notice is None or await self._notify(Drain(driver.drain_deadline), push):
                    return DRAINED
            elif mailbox.is_empty:
                if mailbox.closed is not None:
                    return STOPPED
                in_a_row = 0
                if not self._is_idle:
                    await _changed(exchange, mailbox)
                else:
                    self._is_idle = False
                    if await self._notify(Idle(), push):
                        return STOPPED
            else:
                message = mailbox.take()
                if type(message) is Dropped:
                    if await self._notify(message, push):
                        return STOPPED
                elif await _stops(on_message(message, push, state), "on_message"):
                    return STOPPED
                in_a_row += 1
                if in_a_row == MESSAGES_PER_TURN:
                    in_a_row = 0
                    await asyncio.sleep(0)

    async def _notify(self, notice: Notice, push: Push) -> bool:
        if self.on_notice is None:
            return False
        return await _stops(self.on_notice(notice, push, self.state), "on_notice")

    def _at(self, loop: asyncio.AbstractEventLoop) -> asyncio.TimerHandle:
        # Use an empty context: asyncio keeps the context of a cancelled timer until the timer would have been due.
        return loop.call_at(self._idle_at, self._on_timer, loop, context=contextvars.Context())

    def _on_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Check whether something was pushed meanwhile: pushes only note the time, they move no timer."""
        assert self.idle_s is not None
        now = loop.time()
        if now >= self._idle_at:
            self._is_idle = True
            self._idle_at = now + self.idle_s
            self.mailbox.wake()
        self._timer = self._at(loop)


async def _changed(exchange: ServerExchange, mailbox: Mailbox) -> None:
    """Sleep until there is a message, or something happens to the request."""
    waiter = mailbox.waiter()
    exchange.watch(waiter)
    try:
        await waiter
    finally:
        exchange.unwatch(waiter)


async def _stops(verdict: Any, who: str) -> bool:
    if verdict.__class__ is CoroutineType or inspect.isawaitable(verdict):
        verdict = await verdict
    if verdict is None:
        return False
    if verdict is STOP:
        return True
    raise TypeError(f"{who} returns None to go on or STOP to end the response, not {type(verdict).__name__}")


def _bytes(data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)  # a copy: bytes that wait for the client must not change
    raise TypeError(f"push takes bytes, not {type(data).__name__}")
