"""The server's side of a MockTransport: a real engine on a connection in memory, which follows a script."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import unquote

from headrace.client.interface import Origin, Pairs
from headrace.client.testing.script import (
    Answer,
    Drain,
    Fault,
    GoAway,
    Raw,
    Refused,
    Reset,
    Stall,
    Truncated,
)
from headrace.engine.contract import ServerEngine
from headrace.engine.errors import INTERNAL_ERROR, LocalError
from headrace.engine.events import ACCEPTED, CONNECT, DATA, REQUEST, RESET, TRAILERS
from headrace.engine.h1 import H1ServerConnection
from headrace.engine.h2 import H2ServerConnection, frames
from headrace.engine.limits import Limits
from headrace.engine.message import is_bodiless
from headrace.transport.connection import Connection
from headrace.transport.kinds import kind_of

MockHandler = Callable[["MockRequest"], Answer | Fault | Awaitable[Answer | Fault]]


class MockRequest:
    """A request in the form in which it reached the server."""

    def __init__(self, connection: MockConnection, head: Any) -> None:
        self.method: str = head.method.decode("ascii")
        self.headers: Pairs = head.headers
        """Fields with names in lower case. The host is in `url`."""
        self.target: str = head.path.decode("latin-1")
        """Path and query as they stood on the wire."""
        self.url: str = f"{connection.origin.scheme}://{head.authority.decode('latin-1')}{self.target}"
        self.http_version: str = connection.http_version
        self.content: bytes = b""
        """The content that has arrived: all of it, unless the handler is a coroutine function."""
        self.trailers: Pairs = []
        self.stream_id: int = head.stream_id
        self.is_complete: bool = head.end_stream
        self.gone: str | None = None
        """The reason why the client has given up the request; None while it has not."""
        self._connection = connection
        self._owed = 0
        self._waiters: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"<{self.method} {self.url}>"

    @property
    def path(self) -> str:
        """Return the path without the query, percent-decoded."""
        return unquote(self.target.partition("?")[0])

    def header(self, name: str) -> str | None:
        """Return a field's value, several joined with a comma; None when there is none."""
        wanted = name.lower().encode("latin-1")
        values = [value for each, value in self.headers if each == wanted]
        return b", ".join(values).decode("latin-1") if values else None

    async def read(self) -> bytes:
        """Return the whole content. Its window is given back as it arrives. Raises OSError when the client gives up."""
        while not self.is_complete:
            self.invite()
            await self.changed()
        return self.content

    def invite(self) -> None:
        """Give the client window for more, from now on."""
        self._connection.consumed(self.stream_id, self._owed)
        self._owed = 0

    async def changed(self) -> None:
        """Wait until something happens to the request. Raises OSError when the client gives up."""
        if self.gone is None:
            waiter: asyncio.Future[None] = self._connection.loop.create_future()
            self._waiters.append(waiter)
            await waiter
        if self.gone is not None:
            raise OSError(f"the client gave up: {self.gone}")

    def take(self, data: bytes, owed: int, ended: bool) -> None:
        """Take content; called by the connection."""
        self.content += data
        self._owed += owed
        self.is_complete = self.is_complete or ended
        self.wake()

    def wake(self) -> None:
        """Wake the waiting tasks; called by the connection."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class MockConnection(Connection):
    """One connection of the server. `on_error` is called with the stream of a request, and its handler's exception."""

    __slots__ = (
        "_accepted",
        "_handler",
        "_on_error",
        "_on_request",
        "_tasks",
        "http_version",
        "live",
        "origin",
    )

    engine: ServerEngine

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        origin: Origin,
        protocol: str,
        limits: Limits,
        handler: MockHandler,
        on_request: Callable[[MockRequest], None],
        on_error: Callable[[int, Exception], None],
    ) -> None:
        super().__init__(loop)
        self.origin: Origin = origin
        self.http_version = "2" if protocol == "h2" else "1.1"
        now = loop.time()
        if protocol == "h2":
            self.engine = H2ServerConnection(limits, now=now, scheme=origin.scheme.encode())
        else:
            self.engine = H1ServerConnection(limits, now=now, scheme=origin.scheme.encode())
        self.live: dict[int, MockRequest] = {}
        self._handler = handler
        self._on_request = on_request
        self._on_error = on_error
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepted: dict[int, asyncio.Future[None]] = {}

    def on_events(self, events: Sequence[Any]) -> None:
        for event in events:
            kind = event.kind
            request = self.live.get(event.stream_id)
            if kind == REQUEST:
                self._begin(MockRequest(self, event))
            elif kind == CONNECT:
                self.engine.send_response(event.stream_id, 501, (), b"")
            elif kind == ACCEPTED:
                self._let_go(event.stream_id)
            elif request is not None and kind == DATA:
                request.take(event.data, event.flow_length, event.end_stream)
            elif request is not None and kind == TRAILERS:
                request.trailers = event.headers
                request.take(b"", 0, True)
            elif request is not None and kind == RESET:
                self._gave_up(request, event.reason)

    def on_lost(self) -> None:
        for request in list(self.live.values()):
            self._gave_up(request, "the connection is lost")

    def consumed(self, stream_id: int, count: int) -> None:
        """Give window back."""
        if count:
            self.engine.acknowledge_data(stream_id, count)
            self._write()

    def end(self) -> None:
        """End the running requests, and the connection."""
        for task in list(self._tasks):
            task.cancel()
        self.abort()

    # -- a request ---------------------------------------------------------------------------------------------

    def _begin(self, request: MockRequest) -> None:
        self.live[request.stream_id] = request
        self._on_request(request)
        task = self.loop.create_task(self._run(request), context=self.context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _gave_up(self, request: MockRequest, reason: str) -> None:
        request.gone = reason
        request.wake()
        self._let_go(request.stream_id)

    def _let_go(self, stream_id: int) -> None:
        waiter = self._accepted.pop(stream_id, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _run(self, request: MockRequest) -> None:
        try:
            if not inspect.iscoroutinefunction(self._handler):
                await request.read()
            given = self._handler(request)
            outcome = await given if inspect.isawaitable(given) else given
            if isinstance(outcome, Answer):
                await self._answer(request, outcome)
            elif not isinstance(outcome, Fault):
                raise TypeError(f"the handler of a MockTransport returns an Answer or a fault, not {kind_of(outcome)}")
            elif await self._go_wrong(request, outcome):
                await self._answer(request, Answer())
        except OSError:
            if request.gone is None:
                raise
        except LocalError as error:
            if request.gone is None:
                self._fail_request(request, error)
        except Exception as error:
            self._fail_request(request, error)
        finally:
            self.live.pop(request.stream_id, None)

    def _fail_request(self, request: MockRequest, error: Exception) -> None:
        self._on_error(request.stream_id, error)
        self.engine.reset_stream(request.stream_id, INTERNAL_ERROR)
        self._write()

    async def _answer(self, request: MockRequest, answer: Answer) -> None:
        engine = self.engine
        stream_id = request.stream_id
        content = b"" if request.method == "HEAD" or is_bodiless(answer.status) else answer.content
        headers = answer.headers
        has_length = any(name == b"content-length" for name, _ in headers)
        if (
            not has_length and not is_bodiless(answer.status) and not answer.trailers
        ):  # RFC 9112 §7.1.2: no trailers then
            headers = [*headers, (b"content-length", b"%d" % len(answer.content))]
        if answer.early_hints:
            engine.send_informational(stream_id, 103, answer.early_hints)
        engine.send_headers(stream_id, answer.status, headers)
        self._write()
        position = 0
        fault = answer.fault
        if fault is not None:
            position = min(fault.after, len(content))
            await self._send(stream_id, content[:position])
            if not await self._go_wrong(request, fault):
                return
        if answer.trailers:
            await self._send(stream_id, content[position:])
            engine.send_trailers(stream_id, answer.trailers)
            self._write()
        else:
            await self._send(stream_id, content[position:], end=True)

    async def _send(self, stream_id: int, data: bytes, end: bool = False) -> None:
        if not data and not end:
            return
        if not self.engine.send_data(stream_id, data, end):
            waiter = self._accepted[stream_id] = self.loop.create_future()
            self._write()
            await waiter
        self._write()

    def _write(self) -> None:
        if not self.flush_due:
            self._flush()

    # -- faults ------------------------------------------------------------------------------------------------

    async def _go_wrong(self, request: MockRequest, fault: Fault) -> bool:
        """Carry out the fault. Return True when the rest of the answer follows."""
        is_h2 = self.http_version == "2"
        transport = self.transport
        if transport is None:
            return False
        if isinstance(fault, Stall):
            await self._stall(request, fault.seconds)
            return True
        if isinstance(fault, Raw):
            transport.write(fault.data)
            return True
        if isinstance(fault, Drain):
            self.engine.begin_drain(self.loop.time())
            self._write()
            return True
        if isinstance(fault, Refused) and is_h2:
            self.engine.refuse_stream(request.stream_id)
            self._write()
        elif isinstance(fault, Reset) and is_h2:
            self.engine.reset_stream(request.stream_id, fault.code)
            self._write()
        elif isinstance(fault, GoAway) and is_h2:
            last = request.stream_id if fault.processed else request.stream_id - 2
            transport.write(frames.write_goaway(max(last, 0), fault.code, b""))
            transport.close()
        elif isinstance(fault, Truncated) and is_h2:
            transport.write(frames.write_header(0, frames.DATA, frames.END_STREAM, request.stream_id))
            await self._stall(request, None)
        elif isinstance(fault, (GoAway, Truncated)):
            transport.close()
        else:  # Lost, and the HTTP/1.1 forms of faults that end a stream
            self.abort()
        return False

    async def _stall(self, request: MockRequest, seconds: float | None) -> None:
        """Wait; with None for ever, until the client gives up."""
        if seconds is None:
            while True:
                await request.changed()
        await asyncio.sleep(seconds)
