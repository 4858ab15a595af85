"""Responses of native handlers: a whole one, or one that is streamed."""

from __future__ import annotations

import inspect
import json
from abc import abstractmethod
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from headrace.engine.text import utf8
from headrace.server.handlers.headers import AnyHeaders, checked_headers, header_list

if TYPE_CHECKING:
    from headrace.server.handlers.request import Request
    from headrace.server.handlers.writer import Writer

_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
_HTML: Final = (b"content-type", b"text/html; charset=utf-8")
_JSON: Final = (b"content-type", b"application/json")


def _content(body: object) -> bytes:
    if isinstance(body, str):
        return utf8(body)
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise TypeError(f"the body of a Response is bytes or text, not {type(body).__name__}")


class AnyResponse:
    """Base of a native handler's responses: an object that can be sent as the answer to a request.

    Middleware adds fields to the attribute `headers`, so `send_on` sends those. A response without the attribute cannot
    go through such middleware (500, and a line in the log). The fields are added to a copy, because a response may be a
    constant that answers many requests; a response that `answers_once` is changed itself.
    """

    __slots__ = ()

    answers_once: ClassVar[bool] = False
    """True if each object answers one request only, and other code may hold it meanwhile."""

    @abstractmethod
    async def send_on(self, request: Request, writer: Writer) -> None:
        """Send the whole answer to `request` with `writer`. Runs in the request's worker.

        A response that contains another one sends it by its `send_on`, with the same writer or with a `WrappedWriter`
        around it. The wrapper then sees all that the inner response sends, except for a WebSocket's data after the
        handshake. If `send_on` raises, an answer that has not begun becomes 500, or the status of an HTTPError; one
        that has begun is reset. So it should catch only errors that it can repair.
        """
        raise TypeError(f"{type(self).__name__} has no `send_on`: a class of responses says how they are sent")


class Response(AnyResponse):
    """A whole response. It leaves in one write, with `content-length` unless `headers` have it.

    `headers` are pairs of name and value, as bytes (the fastest) or text, or a mapping of text; text is encoded as
    latin-1, a `body` of text as UTF-8. Raises TypeError for a body that is neither text nor bytes. The fields are
    checked when the response is sent: an invalid one becomes a 500 and a line in the log.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int = 200, headers: AnyHeaders = (), body: bytes | str = b"") -> None:
        self.status: int = status
        # Used twice if they are text, so an iterator that works only once is made a list.
        self.headers: AnyHeaders = headers if type(headers) is list or type(headers) is tuple else header_list(headers)
        self.body: bytes = body if body.__class__ is bytes else _content(body)

    async def send_on(self, request: Request, writer: Writer) -> None:
        """Send the response in one piece."""
        await writer.respond(self.status, checked_headers(self.headers), self.body)

    @classmethod
    def text(cls, text: str, status: int = 200, headers: AnyHeaders = ()) -> Response:
        """Return a response with `text` as `text/plain`, in UTF-8."""
        return cls(status, [_TEXT, *header_list(headers)], utf8(text))

    @classmethod
    def html(cls, text: str, status: int = 200, headers: AnyHeaders = ()) -> Response:
        """Return a response with `text` as `text/html`, in UTF-8."""
        return cls(status, [_HTML, *header_list(headers)], utf8(text))

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: AnyHeaders = ()) -> Response:
        """Return a response with `value` as JSON. Raises TypeError for a value that JSON cannot represent."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return cls(status, [_JSON, *header_list(headers)], utf8(text))


class Send(Protocol):
    """Function that the producer of a stream sends with.

    Returns when `data` is accepted, which may be later than the call: so a slow client slows the producer. `end` marks
    the last piece; `trailers` may come with it, and only with it (ValueError). Raises ClientDisconnected when the
    client has gone. A call after the end raises, too.
    """

    async def __call__(self, data: bytes = b"", *, end: bool = False, trailers: AnyHeaders | None = None) -> None: ...


class _ProducerSend:
    """Sends the pieces of a stream's producer; `send` is its `Send`."""

    __slots__ = ("_writer",)

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def send(self, data: bytes = b"", *, end: bool = False, trailers: AnyHeaders | None = None) -> None:
        if trailers is None:
            await self._writer.write(data, end)
            return
        if not end:
            raise ValueError("trailers come with the end: send(..., end=True, trailers=...)")
        if data:
            await self._writer.write(data)
        await self._writer.write_trailers(header_list(trailers))


Producer = Callable[[Send], Awaitable[object]] | Callable[[], AsyncIterable[bytes]] | AsyncIterable[bytes]


class StreamResponse(AnyResponse):
    """A response whose content is produced piece by piece, as fast as the client takes it.

    `producer` is an async function of `send`, or an async generator (or a function without parameters that makes one).
    The stream ends when the producer returns, or earlier with `send(..., end=True)`. When it raises, the stream is
    reset, so that no client takes a part for the whole. `headers` are as for a Response; no content-length is added.
    Raises TypeError without a producer.
    """

    __slots__ = ("headers", "producer", "status")

    def __init__(self, status: int = 200, headers: AnyHeaders = (), producer: Producer | None = None) -> None:
        if producer is None:
            raise TypeError("a StreamResponse needs a producer")
        self.status: int = status
        self.headers: AnyHeaders = headers
        self.producer: Producer = producer

    def open(self, send: Send) -> Awaitable[object] | AsyncIterable[bytes]:
        """Start the producer. Return an awaitable, or an iterable if the producer yields pieces itself."""
        producer = self.producer
        if isinstance(producer, AsyncIterable):
            return producer
        if inspect.isasyncgenfunction(producer):
            pieces: AsyncIterable[bytes] = producer()
            return pieces
        return producer(send)  # type: ignore[call-arg]

    async def send_on(self, request: Request, writer: Writer) -> None:
        """Send the headers, then the producer's pieces, then the end."""
        writer.start(self.status, checked_headers(self.headers))
        opened = self.open(_ProducerSend(writer).send)
        if isinstance(opened, AsyncIterable):
            try:
                async for piece in opened:
                    await writer.write(piece)
            finally:
                close = getattr(opened, "aclose", None)
                if close is not None:
                    await close()
        else:
            await opened
        if not writer.is_complete:
            await writer.write(b"", True)
