"""Server-sent events (WHATWG HTML §9.2), which a browser's EventSource reads, as a response."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.engine.text import utf8
from headrace.server.handlers.headers import AnyHeaders, header_list
from headrace.server.handlers.loop import STOP, Drain, Idle, LoopResponse, Notice, OnEnd, Push, Stop, Topics
from headrace.server.handlers.mailbox import MAILBOX_SIZE, Dropped, Mailbox, Overflow
from headrace.transport.log import Seldom, get_logger

if TYPE_CHECKING:
    from headrace.server.handlers.request import Request
    from headrace.server.handlers.writer import Writer

error_log: Final = get_logger("headrace.error")
HEARTBEAT_S: Final = 15.0  # the standard's advice, against proxies that drop connections which seem idle (§9.2.7)
HEARTBEAT: Final = b":\n\n"

_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # makes nginx, and proxies that follow it, forward each event at once
)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream. Raises ValueError for text that the format cannot carry and TypeError for other types,
    before anything is sent. A lone surrogate arrives as U+FFFD, because UTF-8 has none.

    `data` None with an `id` or `retry` sets these and fires no event in the browser.
    """

    data: str | None
    """Text of any number of lines; each CR, LF or CR LF in it arrives as one LF."""
    event: str | None = None
    """The event's type, `message` if None. Without CR and LF."""
    id: str | None = None
    """Value that the browser sends as `last-event-id` when it reconnects. Without CR, LF and NUL; empty forgets the
    last one."""
    retry: int | None = None
    """Milliseconds that the browser waits before it reconnects."""

    def __post_init__(self) -> None:
        if self.data is not None and not isinstance(self.data, str):
            raise TypeError(f"the data of an event is text, not {type(self.data).__name__}")
        for name, text, forbidden in (("event", self.event, "\r\n"), ("id", self.id, "\r\n\0")):
            if text is not None and any(each in text for each in forbidden):
                raise ValueError(f"the {name} of an event has no line breaks or NUL: {text!r}")
        if self.retry is not None and (type(self.retry) is not int or self.retry < 0):
            raise ValueError(f"the retry of an event is a number of milliseconds, not {self.retry!r}")

    @classmethod
    def json(cls, value: Any, event: str | None = None, id: str | None = None) -> Event:  # noqa: A002 - its name
        """Return an event with `value` as JSON. Raises TypeError for a value that JSON cannot represent."""
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return cls(data, event, id)

    def encode(self) -> bytes:
        """Return the event as bytes of the stream, in UTF-8."""
        lines = []
        if self.event is not None:
            lines.append(f"event: {self.event}\n")
        if self.id is not None:
            lines.append(f"id: {self.id}\n")
        if self.retry is not None:
            lines.append(f"retry: {self.retry}\n")
        data = self.data
        if data is not None:
            if "\r" in data:
                data = data.replace("\r\n", "\n").replace("\r", "\n")
            lines += [f"data: {line}\n" for line in data.split("\n")]
        lines.append("\n")
        return utf8("".join(lines))


def as_event(message: Any) -> Event:
    """Return `message` as an Event: the default of an EventStream. An Event is itself, text becomes its data, and
    `Dropped` becomes an event of the type `dropped` with the number of lost messages. Raises TypeError for others."""
    if isinstance(message, Event):
        return message
    if isinstance(message, str):
        return Event(message)
    if isinstance(message, Dropped):
        return Event(str(message.count), "dropped")
    raise TypeError(f"an event stream carries Event or text, not {type(message).__name__}; give it `encode`")


def last_event_id(request: Request) -> str | None:
    """Return the `id` of the last event that the client got before it reconnected (§9.2.4); None if it sends none."""
    value = request.header("last-event-id")
    return None if value is None else value.encode("latin-1").decode("utf-8", "replace")


class EventStream(LoopResponse):
    """A response of server-sent events, from a `source` or from messages in its `mailbox`.

    `source` is an async iterator (or an async generator). The stream asks it for the next event when the last one is
    accepted, so a slow client slows it. The end of the source ends the response; when the source raises, the stream is
    reset. Without a source, events come from code that holds `mailbox`, or from `topics` of a `bus`, as for a
    LoopResponse, whose `mailbox_size`, `overflow` and `on_end` mean the same here.

    `encode` makes an Event of each item; the default is `as_event`. If it raises for a message, the message is left
    out, with a line in the log now and then: other streams may get the same message, and the client is not at fault. If
    it raises for an item of the `source`, the stream is reset, because the source belongs to it. After `heartbeat_s`
    seconds without an event, a comment keeps the connection alive; None for never. `retry` is sent first, in
    milliseconds: the time that a browser waits before it reconnects, which it does when a drain has ended the stream.

    The headers are `content-type: text/event-stream`, `cache-control: no-store` and `x-accel-buffering: no`, unless
    `headers` name them. Raises the same errors as LoopResponse, and TypeError for a source together with topics.
    """

    __slots__ = ("_encode", "_is_taken", "_retry", "_source")

    def __init__(
        self,
        source: AsyncIterable[Any] | None = None,
        *,
        headers: AnyHeaders = (),
        encode: Callable[[Any], Event] = as_event,
        heartbeat_s: float | None = HEARTBEAT_S,
        retry: int | None = None,
        topics: Sequence[str] = (),
        bus: Topics | None = None,
        mailbox_size: int = MAILBOX_SIZE,
        overflow: Overflow = "drop_oldest",
        on_end: OnEnd | None = None,
    ) -> None:
        if source is not None and topics:
            raise TypeError("an event stream has a source or topics, not both")
        if source is not None and not isinstance(source, AsyncIterable):
            raise TypeError(f"the source of an event stream is an async iterator, not {type(source).__name__}")
        named = header_list(headers)
        names = {name for name, _ in named}
        super().__init__(
            200,
            [*(pair for pair in _HEADERS if pair[0] not in names), *named],
            self._on_item,
            on_start=self._on_start,
            on_notice=self._on_notice,
            on_end=on_end,
            idle_s=heartbeat_s,
            mailbox_size=mailbox_size,
            overflow=overflow,
            topics=topics,
            bus=bus,
        )
        self._encode = encode
        self._retry = Event(None, retry=retry).encode() if retry is not None else b""
        self._source = source
        self._is_taken: asyncio.Future[None] | None = None

    async def _send(self, request: Request, writer: Writer) -> str:
        if self._source is None:
            return await super()._send(request, writer)
        reader = asyncio.create_task(self._read(self._source))
        try:
            return await super()._send(request, writer)
        finally:
            reader.cancel()
            await asyncio.wait((reader,))

    async def _read(self, source: AsyncIterable[Any]) -> None:
        """Read the source, in a task of its own: so a drain and the heartbeat reach a response whose source waits."""
        mailbox = self.mailbox
        loop = asyncio.get_running_loop()
        try:
            async for item in source:
                self._is_taken = loop.create_future()
                mailbox.put(item)
                await self._is_taken
            mailbox.put(_End(None))
        except asyncio.CancelledError:
            mailbox.put(_End(RuntimeError("the source of an event stream was cancelled")))
            raise
        except Exception as error:
            mailbox.put(_End(error))
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    async def _on_start(self, mailbox: Mailbox, push: Push, state: Any) -> None:
        await push(self._retry)

    async def _on_item(self, item: Any, push: Push, state: Any) -> Stop | None:
        if type(item) is _End:
            if item.failure is not None:
                raise item.failure
            return STOP
        try:
            raw = self._encode(item).encode()
            if type(raw) is not bytes:
                raw = bytes(memoryview(raw))
        except Exception as error:
            if self._source is not None:
                raise
            _leave_out(item, error)
            return None
        await push(raw)
        if self._is_taken is not None and not self._is_taken.done():
            self._is_taken.set_result(None)
        return None

    async def _on_notice(self, notice: Notice, push: Push, state: Any) -> Stop | None:
        if isinstance(notice, Drain):
            return STOP
        if isinstance(notice, Idle):
            await push(HEARTBEAT)
            return None
        return await self._on_item(notice, push, state)


_left_out: Final = Seldom()


def _leave_out(item: object, error: Exception) -> None:
    """Log that a message was left out. All streams of a topic may leave out the same message, so only some are
    logged."""
    if _left_out.is_due():
        more, _left_out.silent = _left_out.silent, 0
        error_log.warning(
            "an event stream leaves out a message that cannot be encoded, a %s: %s (%d more were left out before)",
            type(item).__name__, type(error).__name__, more, exc_info=error,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _End:
    """The source has no more items: it is done, or has failed."""

    failure: Exception | None
