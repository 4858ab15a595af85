"""Server-sent events, parsed as a browser does (WHATWG HTML §9.2)."""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from headrace.client.calls.options import CallOptions, split
from headrace.client.errors import (
    ConnectError,
    ConnectionLost,
    RemoteProtocolError,
    RequestError,
    RequestTimeout,
    StreamReset,
    TLSError,
    TotalTimeout,
    TruncatedBody,
)
from headrace.client.message.text import LineSplitter
from headrace.engine.fields import is_field_value

if TYPE_CHECKING:
    from headrace.client.calls.options import Caller
    from headrace.client.message.response import ClientResponse
    from headrace.client.message.url import URL

RETRY_S: Final = 3.0
MAX_RETRY_S: Final = 60.0
MAX_EVENT_SIZE: Final = 1_048_576
_TRANSIENT: Final = (ConnectError, ConnectionLost, StreamReset, RequestTimeout, TruncatedBody)


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event."""

    data: str
    """Its lines, joined by LF."""
    event: str = "message"
    """Its type."""
    id: str = ""
    """The last id that the stream has set, by this event or one before."""

    def json(self) -> Any:
        """Return the data parsed as JSON. Raises ValueError for data that is not JSON."""
        return json.loads(self.data)


class EventParser:
    """Parses the bytes of an event stream into events.

    `last_event_id` is the id that the stream has set last, `retry_s` the seconds to wait before reconnecting, None
    until the stream sets it. Raises RemoteProtocolError for an event of more than `max_event_size` characters.
    """

    __slots__ = ("_data", "_decoder", "_event", "_id", "_lines", "_max", "_size", "last_event_id", "retry_s")

    def __init__(self, last_event_id: str = "", max_event_size: int = MAX_EVENT_SIZE) -> None:
        self.last_event_id: str = last_event_id
        self.retry_s: float | None = None
        self._max = max_event_size
        self.restart()

    def restart(self) -> None:
        """Begin with a new stream. Forget an incomplete event."""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._lines = LineSplitter()
        self._data: list[str] = []
        self._event = ""
        self._id = self.last_event_id
        self._size = 0

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Return the events that are complete now."""
        events = []
        for line in self._lines.feed(self._decoder.decode(data)):
            self._size += len(line)
            self._check(0)
            if line:
                self._read(line)
                continue
            self.last_event_id = self._id
            if self._data:
                events.append(ServerSentEvent("\n".join(self._data), self._event or "message", self._id))
            self._data = []
            self._event = ""
            self._size = 0
        self._check(self._lines.held)
        return events

    def _check(self, held: int) -> None:
        if self._size + held > self._max:
            raise RemoteProtocolError(f"an event of the stream has more than {self._max} characters")

    def _read(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value[:9]) / 1000


class EventSource:
    """A stream of events that reconnects when it breaks off, and continues after the last event; see `Client.sse`."""

    def __init__(
        self,
        client: Caller,
        url: URL | str,
        options: CallOptions,
        *,
        method: str,
        last_event_id: str,
        reconnect: bool,
        max_event_size: int,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.response: ClientResponse | None = None
        """The response that brings events now; None while there is none."""
        self._client = client
        self._url = url
        self._options = options
        self._method = method
        self._reconnect = reconnect
        self._sleep = sleep
        self._parser = EventParser(last_event_id, max_event_size)
        self._ended = False

    @property
    def last_event_id(self) -> str:
        """Return the id of the last complete event, which is sent as `last-event-id` when the stream reconnects."""
        return self._parser.last_event_id

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream."""
        self._ended = True
        if self.response is not None:
            await self.response.aclose()

    def _has_ended(self) -> bool:
        return self._ended

    async def _connect(self) -> None:
        """Connect to the stream. Raises RequestError, for example HTTPStatusError and RemoteProtocolError, when the
        answer is not an event stream."""
        parser = self._parser
        parser.restart()
        making, sending = split(self._options)
        request = self._client.build_request(self._method, self._url, **making)
        request.headers.setdefault("cache-control", "no-store")
        identity = parser.last_event_id.encode()
        if identity and is_field_value(identity.strip(b" \t")):
            request.headers["last-event-id"] = parser.last_event_id
        response = await self._client._send(request, True, sending)
        try:
            if response.status == 204:
                self._ended = True
            elif response.status != 200:
                response.raise_for_status()
                raise self._refused(response, f"the answer is {response.status}; an event stream has 200")
            else:
                found = response.headers.get("content-type", "")
                if found.partition(";")[0].strip().lower() != "text/event-stream":
                    raise self._refused(response, f"the content is {found or 'of no type'}, not text/event-stream")
        except BaseException:
            await response.aclose()
            raise
        self.response = response
        if self._ended:
            await response.aclose()

    @staticmethod
    def _refused(response: ClientResponse, message: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"{message} (WHATWG HTML §9.2.3)", url=response.url.without_userinfo())

    def __aiter__(self) -> AsyncGenerator[ServerSentEvent, None]:
        return self._events()

    async def _events(self) -> AsyncGenerator[ServerSentEvent, None]:
        while not self._ended:
            response = self.response
            assert response is not None, "enter the block of sse() first"
            pieces = response.iter_bytes()
            try:
                async for piece in pieces:
                    for event in self._parser.feed(piece):
                        yield event
            except _TRANSIENT as error:
                if not self._reconnect or not _may_reconnect(error):
                    raise
            finally:
                await pieces.aclose()
            if not self._reconnect:
                return
            await self._reconnect_stream()

    async def _reconnect_stream(self) -> None:
        """Reconnect until it works or is refused; wait longer after each failure, as §9.2.3 allows."""
        failures = 0
        while not self._ended:
            wait = self._parser.retry_s if self._parser.retry_s is not None else RETRY_S
            await self._sleep(min(wait * 2.0 ** min(failures, 16), max(MAX_RETRY_S, wait)))
            if self._has_ended():
                return  # closed during the wait
            try:
                await self._connect()
            except _TRANSIENT as error:
                if not _may_reconnect(error):
                    raise
                failures += 1
            else:
                return


def _may_reconnect(error: RequestError) -> bool:
    return not isinstance(error, (TLSError, TotalTimeout))
