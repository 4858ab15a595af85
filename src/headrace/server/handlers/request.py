"""The request of a native handler: `async def handler(request) -> Response`, or a plain `def`, which runs inline and
must not block.

A `Request` is a view: it reads all its values from the exchange behind it, which belongs to the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from headrace.engine.message import COMPLETE
from headrace.server.connection.exchange import ServerExchange
from headrace.server.errors import ClientDisconnected, HTTPError
from headrace.server.handlers.headers import AnyHeaders, header_list
from headrace.transport.kinds import kind_of

if TYPE_CHECKING:
    from headrace.server.connection.service import ServedConnection

Handler = Callable[["Request"], Any]


def no_request(given: object) -> TypeError:
    """Return the error for an object that is not a request of a server."""
    return TypeError(f"a handler is called with a headrace.Request, not with {kind_of(given)}")


class ConnectionInfo:
    """The connection that a request came over, as its handler may see it."""

    __slots__ = ("_driver",)

    def __init__(self, driver: ServedConnection) -> None:
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
        """True if the connection is encrypted: all the way, or up to a load balancer that said so in its PROXY
        header."""
        return self._driver.scheme == "https"

    @property
    def drain_deadline(self) -> float | None:
        """Time, on the event loop's clock, when running requests are ended; None while no drain has begun."""
        return self._driver.drain_deadline

    @property
    def server_addresses(self) -> list[str]:
        """All addresses where this server listens on TCP, as URLs without a path: `https://127.0.0.1:8443`."""
        return list(self._driver.service.addresses)

    def stats(self) -> dict[str, Any]:
        """Return frames, streams and windows of the connection at this moment, and `live_handlers`."""
        return {**self._driver.engine.stats(), "live_handlers": len(self._driver.live)}


class RequestExchange(ServerExchange):
    """An exchange with the values of its `Request` that the router, middleware and the handler set."""

    # Nothing here refers to the Request: together they would be garbage that only the collector finds.
    params: Mapping[str, Any] = MappingProxyType({})
    route: Any = None
    state: Any = None
    body_limit: int | None = None
    trusted_scheme: str | None = None
    """The scheme, as a proxy that a middleware trusts says."""
    trusted_authority: str | None = None
    trusted_client: tuple[str, int | None] | None = None


class Request:
    """The request of a native handler.

    It has the attributes that are listed here and no others: setting another attribute raises AttributeError, as does
    setting one that is not described as settable. An application's own data belongs in `state`.
    """

    __slots__ = ("_exchange",)

    def __init__(self, exchange: RequestExchange) -> None:
        self._exchange = exchange

    def __str__(self) -> str:
        """Return the request in one line, safe for a log."""
        return str(self._exchange)

    def __repr__(self) -> str:
        return f"<Request {self}>"

    # -- the request's head -----------------------------------------------------------------------------------

    @property
    def method(self) -> str:
        """The method, such as `GET`."""
        return self._exchange.head.method.decode("ascii")

    @property
    def path(self) -> str:
        """The path without the query, percent-decoded as UTF-8."""
        path = self._exchange.head.path.decode("latin-1")
        if "?" in path:  # text first: to partition the bytes costs 0.07 us, of which most requests need nothing
            path = path.partition("?")[0]
        return unquote(path) if "%" in path else path  # the call alone costs 0.15 us

    @property
    def raw_path(self) -> bytes:
        """Path and query, exactly as the client sent them."""
        return self._exchange.head.path

    @property
    def query_string(self) -> bytes:
        """The part behind the first question mark, exactly as the client sent it."""
        return self._exchange.head.path.partition(b"?")[2]

    @property
    def scheme(self) -> str:
        """`http` or `https`: the connection's scheme, not the client's claim (RFC 9110 §7.4), or the value that a
        middleware has set for a trusted proxy. Settable."""
        trusted = self._exchange.trusted_scheme
        return trusted if trusted is not None else self._exchange.head.scheme.decode("ascii")

    @scheme.setter
    def scheme(self, value: str) -> None:
        self._exchange.trusted_scheme = value

    @property
    def authority(self) -> str:
        """Host and port that the client asked for: `:authority`, or the `host` field, or empty; or the value that a
        middleware has set for a trusted proxy. Settable."""
        exchange = self._exchange
        if exchange.trusted_authority is not None:
            return exchange.trusted_authority
        data = exchange.head.authority
        return data.decode("latin-1") if data else (self.header("host") or "")

    @authority.setter
    def authority(self, value: str) -> None:
        self._exchange.trusted_authority = value

    @property
    def client(self) -> tuple[str, int | None] | None:
        """Host and port of the client: the connection's other end, or the value that a middleware has set for a trusted
        proxy. The port may be unknown (None). None on a unix socket. Settable."""
        exchange = self._exchange
        return exchange.trusted_client if exchange.trusted_client is not None else exchange.driver.client

    @client.setter
    def client(self, value: tuple[str, int | None]) -> None:
        self._exchange.trusted_client = value

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The fields in order, names in lowercase, `cookie` as one field. The list belongs to this request alone."""
        return self._exchange.head.headers

    def header(self, name: str) -> str | None:
        """Return the value of a field, several joined with a comma and a space (RFC 9110 §5.3); None if there is
        none."""
        wanted = name.lower().encode("latin-1")
        values = [value for each, value in self._exchange.head.headers if each == wanted]
        return b", ".join(values).decode("latin-1") if values else None

    @property
    def content_length(self) -> int | None:
        """Size of the content in bytes, as the client announced it; None if it did not."""
        length = self._exchange.head.content_length
        return length if length >= 0 else None

    @property
    def http_version(self) -> str:
        """The protocol's version: `2`, `1.1` or `1.0`."""
        return self._exchange.head.shared.http_version

    @property
    def is_websocket(self) -> bool:
        """True if the client asks for a WebSocket (RFC 6455 §4.1, RFC 8441 §4)."""
        return self._exchange.head.protocol == b"websocket"

    @property
    def connection(self) -> ConnectionInfo:
        """The connection that the request came over."""
        return ConnectionInfo(self._exchange.driver)

    @property
    def stream_id(self) -> int:
        """The number of the request's stream: 1, 3, 5 and so on, over HTTP/1.1 as well."""
        return self._exchange.stream_id

    @property
    def request_id(self) -> str:
        """The request's id in logs and traces: made when it is first asked for, or taken from the field that the
        setting request_id_header names."""
        return self._exchange.request_id

    @property
    def is_disconnected(self) -> bool:
        """True once the client has reset the request or has gone."""
        return self._exchange.gone is not None

    # -- values of the application -----------------------------------------------------------------------------

    @property
    def params(self) -> Mapping[str, Any]:
        """Values of the route's parameters; see `headrace.server.routing.router`."""
        return self._exchange.params

    @property
    def route(self) -> Any:
        """The route that matched; None without a router."""
        return self._exchange.route

    @property
    def state(self) -> Any:
        """The place for an application's own data: the `state` of the route, until a middleware or the handler sets
        another value."""
        return self._exchange.state

    @state.setter
    def state(self, value: Any) -> None:
        self._exchange.state = value

    @property
    def body_limit(self) -> int | None:
        """Bytes of content that may be read; more raises 413, with `read` as with `stream`. Settable by middleware."""
        return self._exchange.body_limit

    @body_limit.setter
    def body_limit(self, value: int | None) -> None:
        self._exchange.body_limit = value

    @property
    def cancel_on_disconnect(self) -> bool | None:
        """Whether the handler is cancelled when its client has gone; None leaves it to the application. Settable."""
        return self._exchange.cancel_on_disconnect

    @cancel_on_disconnect.setter
    def cancel_on_disconnect(self, value: bool | None) -> None:
        self._exchange.cancel_on_disconnect = value

    # -- content -----------------------------------------------------------------------------------------------

    async def read(self, limit: int | None = None) -> bytes:
        """Return the whole content, of at most `limit` bytes (None: the setting max_body_size).

        Raises HTTPError(413) if there is more, which becomes the answer unless the handler gives another, and
        ClientDisconnected if the client goes before the end.
        """
        exchange = self._exchange
        if exchange.inbox is None or exchange.head.protocol is not None:
            return b""
        if limit is None:
            limit = exchange.driver.service.max_body_size
        if exchange.body_limit is not None and exchange.body_limit < limit:
            limit = exchange.body_limit
        if exchange.head.content_length > limit:
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
        """Yield the content piece by piece as it comes. The client may send more only as pieces are taken.

        Raises ClientDisconnected if the client goes before the end, HTTPError(413) above `body_limit`.
        """
        exchange = self._exchange
        inbox = exchange.inbox
        if inbox is None or exchange.head.protocol is not None:  # data of the latter belongs to the tunnel
            return
        limit = exchange.body_limit
        if limit is not None and exchange.head.content_length > limit:
            raise HTTPError(413, "Content Too Large")
        exchange.send_continue()
        size = 0
        while True:
            if inbox.owed:
                chunk = inbox.take()
                size += len(chunk)
                if limit is not None and size > limit:
                    raise HTTPError(413, "Content Too Large")
                driver = exchange.driver
                driver.engine.acknowledge_data(exchange.stream_id, inbox.take_owed())
                if not driver.flush_due:
                    driver.schedule_flush()
                if chunk:
                    yield chunk
            elif inbox.ended:
                return
            elif exchange.gone is not None:
                raise ClientDisconnected(f"the content of stream {exchange.stream_id} is not complete: {exchange.gone}")
            elif exchange.progress == COMPLETE:
                raise ClientDisconnected(
                    f"the response to stream {exchange.stream_id} is complete; no more content comes"
                )
            else:
                await inbox.changed(exchange.driver.loop)

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """The fields behind the content; empty until it has been read to its end, and if there are none."""
        inbox = self._exchange.inbox
        return inbox.trailers if inbox is not None and inbox.trailers is not None else []

    def allow_pauses(self, longest_s: float | None = None) -> None:
        """Let the client pause for `longest_s` seconds between two pieces of its content; None: for any time.

        For calls that send messages now and then. Without it, `min_upload_rate` and `upload_pause_timeout_s` end a
        request whose content comes too slowly, until the response has begun. Raises ValueError unless positive.
        """
        self._exchange.allow_pauses(longest_s)

    # -- before the answer -------------------------------------------------------------------------------------

    async def early_hints(self, headers: AnyHeaders) -> None:
        """Send 103 (RFC 8297) with `headers`, mostly `link`. Raises LocalProtocolError once the answer has begun."""
        self._exchange.inform(103, header_list(headers))
