"""Native handlers: `async def handler(request) -> Response`, or a plain `def`, which runs inline and must not block."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from headrace.engine.errors import InvalidFieldError, StreamClosedError
from headrace.engine.message import COMPLETE
from headrace.server.exchange import ClientDisconnected, Exchange, HTTPError
from headrace.server.response import HeaderList, Headers, Response, StreamResponse, header_list

if TYPE_CHECKING:
    from headrace.server.config import Config
    from headrace.server.driver import ServerDriver

Handler = Callable[["Request"], Any]

_RESPONSES: Final = (Response, StreamResponse)


class ConnectionInfo:
    """What a handler may know of the connection that its request came over."""

    __slots__ = ("_driver",)

    def __init__(self, driver: ServerDriver) -> None:
        self._driver = driver

    @property
    def peer(self) -> tuple[str, int] | None:
        """Host and port of the client; None on a unix socket."""
        return self._driver.client

    @property
    def local(self) -> tuple[str, int | None] | None:
        """Our own end: host and port, or path and None for a unix socket."""
        return self._driver.local

    @property
    def is_tls(self) -> bool:
        """True when the connection is encrypted."""
        return self._driver.scheme == "https"

    @property
    def drain_deadline(self) -> float | None:
        """When running requests are ended, on the event loop's clock; None as long as no drain has begun."""
        return self._driver.drain_deadline

    def stats(self) -> dict[str, Any]:
        """Frames, streams and windows of the connection at this moment, and `live_handlers`."""
        return {**self._driver.engine.stats(), "live_handlers": len(self._driver.live)}


class Request(Exchange):
    """A request, as a native handler gets it."""

    # -- what was asked ----------------------------------------------------------------------------------------

    @property
    def method(self) -> str:
        """The method, such as `GET`."""
        return self.head.method.decode("ascii")

    @property
    def path(self) -> str:
        """The path without the query, percent-decoded as UTF-8."""
        return unquote(self.head.path.partition(b"?")[0].decode("latin-1"))

    @property
    def raw_path(self) -> bytes:
        """Path and query as they came."""
        return self.head.path

    @property
    def query_string(self) -> bytes:
        """What stands behind the first question mark, as it came."""
        return self.head.path.partition(b"?")[2]

    @property
    def scheme(self) -> str:
        """`http` or `https`, as the client said."""
        return self.head.scheme.decode("ascii")

    @property
    def authority(self) -> str:
        """Host and port that the client asked for: `:authority`, or the `host` field, or empty."""
        octets = self.head.authority
        return octets.decode("latin-1") if octets else (self.header("host") or "")

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The fields in order, names in lowercase, `cookie` in one piece. Shared with other requests: do not change."""
        return self.head.headers

    def header(self, name: str) -> str | None:
        """The value of a field, several joined with a comma and a space (RFC 9110 §5.3); None when it is not there."""
        wanted = name.lower().encode("latin-1")
        values = [value for each, value in self.head.headers if each == wanted]
        return b", ".join(values).decode("latin-1") if values else None

    @property
    def content_length(self) -> int | None:
        """Octets of content that the client announced; None when it did not."""
        length = self.head.content_length
        return length if length >= 0 else None

    @property
    def connection(self) -> ConnectionInfo:
        """The connection under the request."""
        return ConnectionInfo(self.driver)

    @property
    def is_disconnected(self) -> bool:
        """True once the client has reset the request or has gone."""
        return self.gone is not None

    # -- content -----------------------------------------------------------------------------------------------

    async def read(self, limit: int | None = None) -> bytes:
        """The whole content, of at most `limit` octets (None: the setting max_body_size).

        Raises HTTPError(413) when there is more, which becomes the answer unless the handler gives another, and
        ClientDisconnected when the client goes before its end.
        """
        if self.inbox is None:
            return b""
        if limit is None:
            limit = self.driver.service.max_body_size
        if self.head.content_length > limit:
            raise HTTPError(413, "Content Too Large")
        parts = []
        size = 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > limit:
                raise HTTPError(413, "Content Too Large")
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def stream(self) -> AsyncIterator[bytes]:
        """The content piece by piece as it comes; the client may send more only as pieces are taken.

        Raises ClientDisconnected when the client goes before its end.
        """
        inbox = self.inbox
        if inbox is None:
            return
        self.invite()
        while True:
            if inbox.owed:
                chunk = inbox.take()
                driver = self.driver
                driver.engine.acknowledge_data(self.stream_id, inbox.take_owed())
                if not driver.flush_due:
                    driver.schedule_flush()
                if chunk:
                    yield chunk
            elif inbox.ended:
                return
            elif self.gone is not None:
                raise ClientDisconnected(f"the content of stream {self.stream_id} is not complete: {self.gone}")
            elif self.state == COMPLETE:
                raise ClientDisconnected(f"the response to stream {self.stream_id} is complete; no more content comes")
            else:
                await inbox.changed(self.driver.loop)

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """The fields behind the content; empty until it has been read to its end, or when there are none."""
        inbox = self.inbox
        return inbox.trailers if inbox is not None and inbox.trailers is not None else []

    # -- before the answer -------------------------------------------------------------------------------------

    async def early_hints(self, headers: Headers) -> None:
        """Send 103 (RFC 8297) with `headers`, mostly `link`. Raises LocalProtocolError once the answer has begun."""
        self.inform(103, header_list(headers))

    # -- the worker --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        driver = self.driver
        try:
            response = driver.handler(self)
            if response.__class__ is CoroutineType or not isinstance(response, _RESPONSES):
                response = await response
            if isinstance(response, Response):
                headers: Any = response.headers
                body = response.body
                try:
                    try:
                        accepted = driver.engine.send_response(self.stream_id, response.status, headers, body)
                    except InvalidFieldError:
                        # Octets are the quick way and go through unseen; what is text or a mapping is found out here.
                        headers = header_list(headers)
                        accepted = driver.engine.send_response(self.stream_id, response.status, headers, body)
                except StreamClosedError as error:
                    raise self.disconnected(error) from None
                self.status = response.status
                self.sent = len(body)
                self.state = COMPLETE
                if self.inbox is not None:
                    self.inbox.wake()
                if not driver.flush_due:
                    driver.schedule_flush()
                if not accepted:
                    self.blocked = True
                    await self.unblocked()
            elif isinstance(response, StreamResponse):
                await self._stream(response)
            else:
                raise TypeError(f"a handler must return a Response or StreamResponse, not {type(response).__name__}")
        except BaseException as error:
            if self.fail(error):
                raise
        finally:
            if self.inbox is not None or self.task is not None or driver.record is not None:
                self.end()

    async def _stream(self, response: StreamResponse) -> None:
        self.start(response.status, _checked_headers(response.headers))
        opened = response.open(self._send)
        if isinstance(opened, AsyncIterable):
            try:
                async for piece in opened:
                    await self.write(piece)
            finally:
                close = getattr(opened, "aclose", None)
                if close is not None:
                    await close()
        else:
            await opened
        if self.state != COMPLETE:
            await self.write(b"", True)

    async def _send(self, data: bytes = b"", *, end: bool = False, trailers: Headers | None = None) -> None:
        if trailers is None:
            await self.write(data, end)
            return
        if not end:
            raise ValueError("trailers come with the end: send(..., end=True, trailers=...)")
        if data:
            await self.write(data)
        await self.write_trailers(header_list(trailers))


def _checked_headers(headers: Headers) -> HeaderList:
    """Headers as the engine takes them. Pairs of octets go through as they are; the engine looks at their content."""
    if isinstance(headers, (list, tuple)):
        for pair in headers:
            if type(pair[0]) is not bytes:
                return header_list(headers)
        return headers
    return header_list(headers)


class NativeApplication:
    """Serves a native handler."""

    exchange_type: Final = Request
    drop_connection_fields: Final = False
    name: Final = "native"

    def __init__(self, app: Handler, config: Config) -> None:
        self.handler = app
        self.state: dict[str, Any] | None = None
        self.cancel_on_disconnect: bool = getattr(app, "cancel_on_disconnect", True)

    async def startup(self) -> None:
        """Nothing: a native handler has no lifespan yet."""

    async def shutdown(self) -> None:
        """Nothing."""
