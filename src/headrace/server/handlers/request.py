"""Native handlers: `async def handler(request) -> Response`, or a plain `def`, which runs inline and must not block."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from types import CoroutineType, MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from headrace.engine.errors import InvalidFieldError, StreamClosedError
from headrace.engine.message import COMPLETE
from headrace.server.connection.exchange import Exchange
from headrace.server.errors import ClientDisconnected, HTTPError
from headrace.server.handlers.response import AnyResponse, Headers, Response, header_list
from headrace.transport.kinds import kind_of

if TYPE_CHECKING:
    from headrace.server.connection.driver import ServerDriver
    from headrace.server.settings.config import Config

Handler = Callable[["Request"], Any]


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
        """True when the connection is encrypted: all the way, or up to a load balancer that said so in its PROXY
        header."""
        return self._driver.scheme == "https"

    @property
    def drain_deadline(self) -> float | None:
        """When running requests are ended, on the event loop's clock; None as long as no drain has begun."""
        return self._driver.drain_deadline

    @property
    def server_addresses(self) -> list[str]:
        """Everywhere that this server listens on TCP, as URLs without a path: `https://127.0.0.1:8443`."""
        return list(self._driver.service.addresses)

    def stats(self) -> dict[str, Any]:
        """Frames, streams and windows of the connection at this moment, and `live_handlers`."""
        return {**self._driver.engine.stats(), "live_handlers": len(self._driver.live)}


class Request(Exchange):
    """A request, as a native handler gets it."""

    sent: int
    status: int
    _scheme: str | None = None
    _authority: str | None = None
    _client: tuple[str, int | None] | None = None
    params: Mapping[str, Any] = MappingProxyType({})
    """What the route's parameters matched; see `headrace.server.routing.router`."""
    route: Any = None
    """The route that matched, None without a router."""
    state: Any = None
    """What the route was given as its `state`."""
    body_limit: int | None = None
    """Octets of content that a middleware lets pass; more is 413, however it is read."""

    # -- what was asked ----------------------------------------------------------------------------------------

    @property
    def method(self) -> str:
        """The method, such as `GET`."""
        return self.head.method.decode("ascii")

    @property
    def path(self) -> str:
        """The path without the query, percent-decoded as UTF-8."""
        path = self.head.path.partition(b"?")[0].decode("latin-1")
        return unquote(path) if "%" in path else path  # the call alone costs 0.15 us

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
        """`http` or `https`: the connection's, whatever the client says (RFC 9110 §7.4), or what a proxy says that a
        middleware trusts."""
        return self._scheme if self._scheme is not None else self.head.scheme.decode("ascii")

    @scheme.setter
    def scheme(self, value: str) -> None:
        self._scheme = value

    @property
    def authority(self) -> str:
        """Host and port that the client asked for: `:authority`, or the `host` field, or empty; or what a proxy that a
        middleware trusts says of it."""
        if self._authority is not None:
            return self._authority
        octets = self.head.authority
        return octets.decode("latin-1") if octets else (self.header("host") or "")

    @authority.setter
    def authority(self, value: str) -> None:
        self._authority = value

    @property
    def client(self) -> tuple[str, int | None] | None:
        """Host and port of the client: of the connection's other end, or what a proxy that a middleware trusts says.
        The port may be unknown. None on a unix socket."""
        return self._client if self._client is not None else self.driver.client

    @client.setter
    def client(self, value: tuple[str, int | None]) -> None:
        self._client = value

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The fields in order, names in lowercase, `cookie` in one piece. The list is the request's own."""
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
    def http_version(self) -> str:
        """The protocol's version: `2`, `1.1` or `1.0`."""
        return self.head.shared.http_version

    @property
    def is_websocket(self) -> bool:
        """True when the client asks for a WebSocket (RFC 6455 §4.1, RFC 8441 §4)."""
        return self.head.protocol == b"websocket"

    @property
    def connection(self) -> ConnectionInfo:
        """The connection under the request."""
        return ConnectionInfo(self.driver)

    @property
    def is_disconnected(self) -> bool:
        """True once the client has reset the request or has gone."""
        return self.gone is not None

    @property
    def handler_text(self) -> str:
        """The handler by its route, where there is one."""
        return "the handler" if self.route is None else f"the handler of {self.route}"

    # -- content -----------------------------------------------------------------------------------------------

    async def read(self, limit: int | None = None) -> bytes:
        """The whole content, of at most `limit` octets (None: the setting max_body_size).

        Raises HTTPError(413) when there is more, which becomes the answer unless the handler gives another, and
        ClientDisconnected when the client goes before its end.
        """
        if self.inbox is None or self.head.protocol is not None:
            return b""
        if limit is None:
            limit = self.driver.service.max_body_size
        if self.body_limit is not None and self.body_limit < limit:
            limit = self.body_limit
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
        if inbox is None or self.head.protocol is not None:  # what comes behind the latter is the tunnel's
            return
        limit = self.body_limit
        if limit is not None and self.head.content_length > limit:
            raise HTTPError(413, "Content Too Large")
        self.invite()
        size = 0
        while True:
            if inbox.owed:
                chunk = inbox.take()
                size += len(chunk)
                if limit is not None and size > limit:
                    raise HTTPError(413, "Content Too Large")
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
            elif self.progress == COMPLETE:
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
            if response.__class__ is CoroutineType or (
                not isinstance(response, AnyResponse) and inspect.isawaitable(response)
            ):
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
                self.progress = COMPLETE
                if self.inbox is not None:
                    self.inbox.wake()
                if not driver.flush_due:
                    driver.schedule_flush()
                if not accepted:
                    self.blocked = True
                    await self.unblocked()
            elif isinstance(response, AnyResponse):
                await response.send_on(self)
            else:
                raise TypeError(
                    f"{self.route or 'the handler'} must return a response such as headrace.Response, "
                    f"not {kind_of(response)}"
                )
        except BaseException as error:
            if self.fail(error):
                raise
        finally:
            if self.inbox is not None or self.task is not None:
                self.end()

    async def send_piece(self, data: bytes = b"", *, end: bool = False, trailers: Headers | None = None) -> None:
        """The `send` of a stream's producer; see `headrace.server.handlers.response.Send`."""
        if trailers is None:
            await self.write(data, end)
            return
        if not end:
            raise ValueError("trailers come with the end: send(..., end=True, trailers=...)")
        if data:
            await self.write(data)
        await self.write_trailers(header_list(trailers))


class NativeApplication:
    """Serves a native handler."""

    exchange_type: Final = Request
    drop_connection_fields: Final = False
    name: Final = "native"

    def __init__(self, app: Handler, config: Config) -> None:
        self.handler = app
        self.takes_websockets: bool = config.websockets == "on" or (
            config.websockets == "auto" and bool(getattr(app, "takes_websockets", False))
        )
        self.tunnel_type = Request
        self.state: dict[str, Any] | None = None
        self.cancel_on_disconnect: bool = getattr(app, "cancel_on_disconnect", True)

    async def startup(self) -> None:
        """Nothing: a native handler has no lifespan yet."""

    async def shutdown(self) -> None:
        """Nothing."""
