"""A response of an ASGI application in memory, with the application's side of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final, Literal, Protocol

from headrace.client.errors import (
    HeadersTimeout,
    ReadTimeout,
    RemoteProtocolError,
    RequestTimeout,
    StreamReset,
    TruncatedBody,
    too_large_error,
)
from headrace.client.interface import Outgoing, Pairs, ResponseHead
from headrace.client.testing.lifespan import ASGIApp, ASGIMessage
from headrace.engine.errors import INTERNAL_ERROR
from headrace.engine.message import BEFORE, COMPLETE, HELD, STREAMING, TRAILERS

WINDOW: Final = 65_536  # bytes that an application may be ahead of a reader of a stream
_BODILESS: Final = (204, 304)
_EXPECTED: Final = {
    BEFORE: "http.response.start",
    HELD: "http.response.body",
    STREAMING: "http.response.body",
    TRAILERS: "http.response.trailers",
}


class ClientGone(OSError):
    """Raised when an application sends to a client which has given up its request."""


class Host(Protocol):
    """The transport that calls the application."""

    app: ASGIApp
    raise_app_exceptions: bool
    http_version: Literal["1.1", "2"]
    running: set[asyncio.Task[None]]

    def scope(self, outgoing: Outgoing, kind: str) -> dict[str, Any]:
        """Return the scope of a call."""
        ...


class ASGIResponse:
    """A response of an application in memory; see `headrace.client.interface.Incoming`."""

    def __init__(self, transport: Host, outgoing: Outgoing, whole: bool) -> None:
        self.head: ResponseHead = ResponseHead(0, [], transport.http_version)
        self.trailers: Pairs = []
        self._transport = transport
        self._outgoing = outgoing
        self._whole = whole
        self._loop = asyncio.get_running_loop()
        self._progress = BEFORE
        self._status = 0
        self._headers: Pairs = []
        self._has_trailers = False
        self._pieces: deque[bytes] = deque()
        self._held = 0  # bytes that are not taken yet
        self._sent = 0
        self._upload: AsyncIterator[bytes] | None = None
        self._is_pulling = False
        self._is_read = False
        self._is_gone = False
        self._has_ended = False
        self._error: BaseException | None = None
        self._news: asyncio.Future[None] | None = None  # the reader waits for it
        self._room: list[asyncio.Future[None]] = []  # the application waits for them
        self._task = self._loop.create_task(self._run())
        transport.running.add(self._task)
        self._task.add_done_callback(transport.running.discard)

    # -- the caller's side -------------------------------------------------------------------------------------

    async def begun(self) -> None:
        """Wait for the head, or for the end when the whole response is requested. Raises the error that came
        instead."""
        timeouts = self._outgoing.timeouts
        while not (self._has_ended or self._is_gone) and (self._whole or self._progress <= HELD):
            if self._progress <= HELD:
                await self._changed(HeadersTimeout, timeouts.headers, "no response began")
            else:
                await self._changed(ReadTimeout, timeouts.read, "the response went no further")
        if self._error is not None and (self._whole or self._progress <= HELD):
            raise self._error

    async def receive(self) -> bytes:
        """Return the next bytes of content, b"" at the end."""
        while not self._pieces:
            if self._has_ended:
                if self._error is not None:
                    raise self._error
                return b""
            await self._changed(ReadTimeout, self._outgoing.timeouts.read, "the response went no further")
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        self._wake_app()
        return data

    async def read(self) -> bytes:
        """Return the rest of the content."""
        self._whole = True
        self._wake_app()
        pieces = []
        while data := await self.receive():
            pieces.append(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Give up the rest: the application gets http.disconnect, or is cancelled when it does not listen."""
        if self._has_ended or self._is_gone:
            return
        self._is_gone = True
        self._pieces.clear()
        if self._room and not self._is_pulling:
            self._wake_app()
        elif self._progress != COMPLETE:
            self._task.cancel()

    @property
    def is_complete(self) -> bool:
        """Return True when all of it has arrived: reading does not wait."""
        return self._has_ended and self._error is None

    @property
    def info(self) -> dict[str, Any]:
        """Return `http_version`; there is no connection."""
        return {"http_version": self.head.http_version, "stream_id": 0, "peer": None, "local": None, "tls": None}

    async def _changed(self, kind: type[RequestTimeout], seconds: float | None, what: str) -> None:
        waiter = self._news = self._loop.create_future()
        handle = None
        if seconds is not None:
            url = self._outgoing.url
            handle = self._loop.call_later(seconds, expire, waiter, kind(f"{what} within {seconds:g} s", url=url))
        try:
            await waiter
        finally:
            self._news = None
            if handle is not None:
                handle.cancel()

    # -- the application's side --------------------------------------------------------------------------------

    async def _run(self) -> None:
        transport = self._transport
        try:
            await transport.app(self._scope(), self._receive, self._send)
            await self._finish()
        except asyncio.CancelledError:
            if self._error is None:
                self._error = StreamReset("the request was given up", code=INTERNAL_ERROR, url=self._outgoing.url)
            raise
        except Exception as error:
            if not self._is_gone and self._error is None:
                self._fail(error)
        finally:
            upload = self._upload
            if upload is not None and hasattr(upload, "aclose"):
                await upload.aclose()
            self._has_ended = True
            self._tell()

    async def _finish(self) -> None:
        """Handle that the application has returned."""
        if self._progress != COMPLETE and not self._is_gone and self._error is None:
            when = "without a response" if self._progress == BEFORE else "before its response was complete"
            raise RuntimeError(f"the ASGI application returned {when}")

    def _fail(self, error: Exception) -> None:
        """Handle that the application has raised, or has returned too early."""
        if self._transport.raise_app_exceptions:
            self._error = error
        elif self._progress <= HELD:
            text = b"Internal Server Error\n"
            self._status = 500
            self._headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"22")]
            self._announce()
            self._pieces.append(b"" if self._outgoing.method == b"HEAD" else text)
            self._progress = COMPLETE
        elif self._progress != COMPLETE:
            self._error = StreamReset(
                f"the application failed after its response had begun: {type(error).__name__}",
                code=INTERNAL_ERROR,
                url=self._outgoing.url,
            )

    def _scope(self) -> dict[str, Any]:
        outgoing = self._outgoing
        scope = self._transport.scope(outgoing, "http")
        scope["method"] = outgoing.method.decode("ascii")
        scope["extensions"] = {"http.response.trailers": {}, "http.response.early_hint": {}}
        content = outgoing.content
        length = len(content) if isinstance(content, bytes) else content.length
        if length is not None and (length or outgoing.method in (b"POST", b"PUT", b"PATCH")):
            scope["headers"].append((b"content-length", b"%d" % length))
        return scope

    async def _receive(self) -> ASGIMessage:
        """Return the next message to the application: ASGI's `receive`."""
        if not self._is_read and not self._is_gone:
            content = self._outgoing.content
            if isinstance(content, bytes):
                self._is_read = True
                return self._uploaded(content, False)
            try:
                if self._upload is None:
                    self._upload = content.open()
                self._is_pulling = True
                try:
                    piece = await anext(self._upload)
                finally:
                    self._is_pulling = False
                return self._uploaded(piece, True)
            except StopAsyncIteration:
                self._is_read = True
                return {"type": "http.request", "body": b"", "more_body": False}
            except Exception as error:  # an error of the caller's own iterable goes to the caller
                self._error = error
                self._is_gone = True
        while not self._is_gone and self._progress != COMPLETE:
            await self._until_woken()
        return {"type": "http.disconnect"}

    def _uploaded(self, piece: bytes, is_more: bool) -> ASGIMessage:
        on_sent = self._outgoing.on_sent
        if on_sent is not None and piece:
            on_sent(len(piece))
        return {"type": "http.request", "body": piece, "more_body": is_more}

    async def _send(self, message: ASGIMessage) -> None:
        """Take a message of the application: ASGI's `send`. Raises ClientGone, an OSError, once the response was
        given up."""
        kind = message["type"]
        if self._is_gone:
            raise ClientGone("the client has given up the request")
        if kind == "http.response.body" and self._progress in (HELD, STREAMING):
            await self._send_body(bytes(message.get("body", b"")), bool(message.get("more_body", False)))
        elif kind == "http.response.start" and self._progress == BEFORE:
            self._status = int(message["status"])
            self._headers = pairs(message.get("headers", ()))
            self._has_trailers = bool(message.get("trailers", False))
            self._progress = HELD
        elif kind == "http.response.trailers" and self._progress == TRAILERS:
            self.trailers += pairs(message.get("headers", ()))
            if not message.get("more_trailers", False):
                self._complete()
        elif kind == "http.response.early_hint" and self._progress == BEFORE:
            on_informational = self._outgoing.on_informational
            if on_informational is not None:
                on_informational(103, [(b"link", bytes(link)) for link in message.get("links", ())])
        else:
            expected = f"expected is '{_EXPECTED[self._progress]}'" if self._progress in _EXPECTED else "it is complete"
            raise RuntimeError(f"unexpected ASGI message '{kind}' for the response: {expected}")

    async def _send_body(self, body: bytes, is_more: bool) -> None:
        if self._progress == HELD:
            self._announce()
        self._sent += len(body)
        if body and self._outgoing.method != b"HEAD" and self._status not in _BODILESS:
            self._pieces.append(body)
            self._held += len(body)
            most = self._outgoing.max_size
            if self._whole and most is not None and self._held > most:
                error = self._error = too_large_error(most)
                error.url = self._outgoing.url
                self._is_gone = True
                self._pieces.clear()
                self._tell()
                raise ClientGone("the client accepts no response of this size")
        if not is_more:
            if self._has_trailers:
                self._progress = TRAILERS
            else:
                self._complete()
        self._tell()
        while self._held > WINDOW and not self._whole and not self._is_gone:
            await self._until_woken()

    def _announce(self) -> None:
        self.head = ResponseHead(self._status, self._headers, self._transport.http_version)
        self._progress = STREAMING
        if self._status in self._outgoing.on_the_way:
            self._whole = False

    def _complete(self) -> None:
        self._progress = COMPLETE
        self._wake_app()  # a waiting `receive` gets the disconnect
        if self._outgoing.method == b"HEAD" or self._status in _BODILESS:
            return
        for name, value in self._headers:
            if name == b"content-length" and value != b"%d" % self._sent:
                kind = TruncatedBody if value.isdigit() and int(value) > self._sent else RemoteProtocolError
                text = f"the application announced content of {value.decode('latin-1')} bytes and sent {self._sent}"
                self._error = kind(text, url=self._outgoing.url)

    # -- between the two ---------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Wake the reader."""
        news = self._news
        if news is not None and not news.done():
            news.set_result(None)

    async def _until_woken(self) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._room.append(waiter)
        await waiter

    def _wake_app(self) -> None:
        waiters, self._room = self._room, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def expire(waiter: asyncio.Future[None], error: Exception) -> None:
    """Let a wait end in `error`, unless it has ended."""
    if not waiter.done():
        waiter.set_exception(error)


def pairs(headers: Any) -> Pairs:
    """Return an ASGI message's headers as pairs."""
    return [(bytes(name).lower(), bytes(value)) for name, value in headers]
