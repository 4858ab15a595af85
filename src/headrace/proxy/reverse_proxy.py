"""The handler that forwards a request to another server, and its response back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from secrets import token_hex
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

from headrace.client.calls.websocket import is_granted
from headrace.client.errors import ConnectError, PoolError, PoolTimeout, RequestError, RequestTimeout, StreamReset
from headrace.client.interface import Incoming, Origin, Outgoing, Transport
from headrace.client.timeouts import DEFAULT_TIMEOUTS, Timeouts
from headrace.engine.errors import INTERNAL_ERROR, LocalError
from headrace.proxy.fields import ForwardedKind, add_forwarded, end_to_end, forwarded_trailers
from headrace.proxy.hops import add_via, forwards_left, has_passed, with_forwards
from headrace.proxy.places import SHARE_OF_ADDRESS, SHARE_OF_CONNECTION, Capacity, Hold, UpstreamPlaces
from headrace.proxy.relay import Relay
from headrace.proxy.target import leaves_its_base
from headrace.server.connection.exchange import ServerExchange
from headrace.server.errors import ClientDisconnected
from headrace.server.handlers.headers import AnyHeaders, FieldList, HeaderList, checked_headers
from headrace.server.handlers.request import Request, no_request
from headrace.server.handlers.response import AnyResponse, Response
from headrace.server.handlers.websocket import ServerTunnel, TunnelInbox, refuse_handshake
from headrace.server.handlers.writer import Writer
from headrace.server.middleware.rate_limit import client_key
from headrace.transport.log import get_logger, printable

log: Final = get_logger("headrace.proxy")
_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]+")  # a pseudonym, or host and port (RFC 9110 §7.6.3)
_LIMITED: Final = (b"OPTIONS", b"TRACE")  # the methods that max-forwards means something to (RFC 9110 §7.6.2)
_CIRCLE: Final = "This request has been here before: the way to the server behind this one leads back here.\n"


class ReverseProxy:
    """Forwards every request to `upstream`, a URL such as `http://10.0.0.7:8000` whose path, if any, goes in front.

    Content streams in both directions, as fast as the slower side takes it, with trailers; 103 (Early Hints) and other
    1xx are forwarded; WebSockets pass between both protocols. Connection fields are removed (RFC 9110 §7.6.1), `via` is
    added. A client that disconnects resets the request upstream; an upstream that fails before its response is 502, too
    slow 504, too busy 503, and after it a reset.

    `transport` carries the requests, a `NetworkTransport` of its own by default, which `aclose` ends. `host` sends the
    upstream its own name, or with `preserve` the client's. `forwarded` names the client: `x-forwarded-for`, `-proto`
    and `-host`, or RFC 7239's `forwarded`, or neither; the client's own values are left out, unless
    `append_forwarded`, which is for a proxy behind one that is trusted. `via` is our name, one of this proxy's own when
    None: a request that has passed it is answered with 508, so proxies that stand behind one another must not share a
    name. Content of more than `max_body_size` bytes is 413. A path that has `..` in it, however written, is 400.
    OPTIONS and TRACE whose `max-forwards` is 0 are answered here.

    One visitor may hold `share_of_connection` of what the upstream takes at once (connections of HTTP/1.1, streams of
    HTTP/2) with the requests and WebSockets of one connection, and `share_of_address` with all of its address, which in
    IPv6 is its /64 network; a trusted Forwarded decides which. Further requests wait, up to the timeout `pool`, and
    takes nothing from others. 1.0 lets one visitor take all. Raises ValueError for a URL that cannot be an upstream, a
    name that is none, and a share that is not above 0 and at most 1.
    """

    takes_websockets: Final = True

    def __init__(
        self,
        upstream: str,
        *,
        transport: Transport | None = None,
        host: Literal["upstream", "preserve"] = "upstream",
        forwarded: ForwardedKind = "x-forwarded",
        append_forwarded: bool = False,
        via: str | None = None,
        max_body_size: int | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        share_of_connection: float = SHARE_OF_CONNECTION,
        share_of_address: float = SHARE_OF_ADDRESS,
    ) -> None:
        url = urlsplit(upstream)
        if url.scheme not in _PORTS or not url.hostname or url.query or url.fragment or url.username is not None:
            raise ValueError(f"an upstream is a URL of http or https, such as http://10.0.0.7:8000, not {upstream!r}")
        if host not in ("upstream", "preserve"):
            raise ValueError(f"the option host is upstream or preserve, not {host!r}")
        if forwarded not in ("x-forwarded", "forwarded", "none"):
            raise ValueError(f"the option forwarded is x-forwarded, forwarded or none, not {forwarded!r}")
        if via is not None and not _NAME.fullmatch(via):
            raise ValueError(f"the name in via is a word such as edge-1, or host and port, not {via!r}")
        for option, share in (("share_of_connection", share_of_connection), ("share_of_address", share_of_address)):
            if not 0 < share <= 1:
                raise ValueError(f"the option {option} is a part of all places, above 0 and at most 1, not {share!r}")
        if transport is None:
            from headrace.client.pool.network import NetworkTransport
            from headrace.proxy.network import UPSTREAM_NETWORK

            transport = NetworkTransport(UPSTREAM_NETWORK)
        self.transport: Any = transport
        self.origin: Origin = Origin(url.scheme, url.hostname, url.port or _PORTS[url.scheme])
        self._authority = url.netloc.encode("ascii")
        self._base = url.path.rstrip("/").encode("ascii")
        self._keeps_host = host == "preserve"
        self._forwarded: ForwardedKind = forwarded
        self._appends = append_forwarded
        self._via = via if via is not None else f"headrace-{token_hex(4)}"
        self._max_body_size = max_body_size
        self._timeouts = timeouts
        self._capacity = Capacity(transport, self.origin)
        self.places: UpstreamPlaces = UpstreamPlaces(self._capacity.of_requests, share_of_connection, share_of_address)
        """The places for requests, and which visitors hold them."""
        self.tunnel_places: UpstreamPlaces = UpstreamPlaces(
            self._capacity.of_tunnels, share_of_connection, share_of_address
        )
        """The same for WebSockets over HTTP/1.1; over HTTP/2 they need streams, as requests do."""

    async def __call__(self, request: Request) -> AnyResponse:
        """The handler."""
        if not isinstance(request, Request):
            raise no_request(request)
        head = request._exchange.head
        if head.protocol is not None:
            refusal = refuse_handshake(head)
            if refusal is not None:
                return refusal
        refusal = self._refuse(request)
        if refusal is not None:
            return refusal
        outgoing = self._outgoing(request)
        places, send = self.places, self.transport.send
        if outgoing.protocol is not None:
            send = self.transport.tunnel
            if not self._capacity.shares_streams:
                places = self.tunnel_places
        hold: Hold | None = None
        try:
            address = client_key(request) if request.client is not None else ""
            hold = await places.take(request._exchange.driver, address, self._timeouts.pool, outgoing.url)
            incoming: Incoming = await send(outgoing)
        except BaseException as error:
            if hold is not None:
                hold.give_back()
            if isinstance(error, RequestError):
                return self._refusal(request, error)
            raise
        return UpstreamResponse(self, outgoing, incoming, hold)

    async def aclose(self) -> None:
        """Close the connections to the upstream."""
        await self.transport.aclose()

    async def __aenter__(self) -> ReverseProxy:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def response_headers(self, incoming: Incoming) -> FieldList:
        """Return the fields of a response that are forwarded to the client."""
        headers = end_to_end(incoming.head.headers, is_request=False)
        add_via(headers, incoming.head.http_version, self._via)
        return headers

    def _refuse(self, request: Request) -> Response | None:
        """Return the answer to a request that must not be forwarded, else None. Raises HTTPError(400)."""
        head = request._exchange.head
        if leaves_its_base(head.path.partition(b"?")[0]):
            return Response.text("The path must not have segments such as '..'.\n", 400)
        if has_passed(head.headers, self._via):
            log.warning("%s: it goes in a circle: its via has %s, our name", request, self._via)
            return Response.text(_CIRCLE, 508)
        if head.method in _LIMITED and forwards_left(head.headers) == 0:
            return Response(204) if head.method == b"OPTIONS" else Response.text("TRACE ends here.\n", 501)
        return None

    def _outgoing(self, request: Request) -> Outgoing:
        head = request._exchange.head
        headers = end_to_end(head.headers, is_request=True)
        if head.method in _LIMITED:
            left = forwards_left(head.headers)
            if left is not None:
                headers = with_forwards(headers, left - 1)
        add_via(headers, request.http_version, self._via)
        client = request.connection.peer if self._appends else request.client
        address = client[0] if client is not None else None
        headers = add_forwarded(headers, self._forwarded, self._appends, address, request.scheme, request.authority)
        if self._max_body_size is not None and (request.body_limit is None or self._max_body_size < request.body_limit):
            request.body_limit = self._max_body_size
        has_content = request._exchange.inbox is not None and head.protocol is None
        path = head.path if head.path == b"*" else self._base + head.path
        informational = Informational(request)
        upload = ForwardedContent(request) if has_content else None
        outgoing = Outgoing(
            head.method if head.protocol is None else b"CONNECT",
            self.origin,
            (request.authority.encode("latin-1") if self._keeps_host else b"") or self._authority,
            path,
            headers,
            upload or b"",
            url=f"{self.origin}{path.decode('latin-1')}",
            timeouts=self._timeouts,
            protocol=head.protocol,
            on_informational=informational,
            never_indexed=head.shared.never_indexed,
        )
        informational.outgoing = outgoing
        if upload is not None:
            upload.outgoing = outgoing
        return outgoing

    def _refusal(self, request: Request, error: RequestError) -> Response:
        """Return the answer to a client whose request got no response. Only the log names the upstream."""
        log.warning("%s: %s: %s", request, type(error).__name__, printable(str(error)))
        if isinstance(error, (PoolTimeout, PoolError)):
            return Response.text("The server behind this one has too much to do. Try again later.\n", 503)
        if isinstance(error, RequestTimeout):
            return Response.text("The server behind this one did not answer in time.\n", 504)
        if isinstance(error, ConnectError):
            return Response.text("The server behind this one cannot be reached.\n", 502)
        return Response.text("The server behind this one failed before it had answered.\n", 502)


class Informational:
    """Forwards interim responses except 100, which concerns only two neighbours (RFC 9110 §15.2)."""

    __slots__ = ("_request", "outgoing")

    outgoing: Outgoing

    def __init__(self, request: Request) -> None:
        self._request = request

    def __call__(self, status: int, headers: FieldList) -> None:
        if status in (100, 101):
            return
        try:
            fields = end_to_end(headers, is_request=False)
            self._request._exchange.inform(status, fields, self.outgoing.never_indexed_back)
        except (ClientDisconnected, LocalError):
            pass  # no client is left, or it speaks HTTP/1.0: the final response is enough


class ForwardedContent:
    """A request's content, on its way to the upstream."""

    __slots__ = ("_is_open", "_request", "length", "outgoing")

    outgoing: Outgoing

    def __init__(self, request: Request) -> None:
        self.length: int | None = request.content_length
        self._request = request
        self._is_open = False

    @property
    def is_replayable(self) -> bool:
        """Return True as long as nothing of it was taken."""
        return not self._is_open

    def open(self) -> AsyncIterator[bytes]:
        """Yield the pieces as they arrive; the client may send more only when they are taken."""
        self._is_open = True
        return self._request.stream()

    def trailers(self) -> FieldList:
        """Return the trailers. Never-indexed fields are forwarded as such (RFC 7541 §6.2.3)."""
        inbox = self._request._exchange.inbox
        if inbox is not None and inbox.never_indexed is not None:
            self.outgoing.never_indexed = inbox.never_indexed | (self.outgoing.never_indexed or frozenset())
        return forwarded_trailers(self._request.trailers)


class UpstreamResponse(AnyResponse):
    """The upstream's response, as the answer to the client. Middleware sees its `status`, and changes `headers`."""

    __slots__ = ("_hold", "_incoming", "_outgoing", "headers", "status")

    answers_once = True

    def __init__(self, proxy: ReverseProxy, outgoing: Outgoing, incoming: Incoming, hold: Hold) -> None:
        self._outgoing = outgoing
        self._hold = hold
        self._incoming = incoming
        self.status: int = incoming.head.status
        self.headers: AnyHeaders = proxy.response_headers(incoming)

    async def send_on(self, request: Request, writer: Writer) -> None:
        """Send the head, then the content as it arrives, as fast as the client takes it; or join the two tunnels."""
        incoming = self._incoming
        try:
            headers = checked_headers(self.headers)
            if self._outgoing.protocol is not None and is_granted(incoming.head):
                await self._relay(request._exchange, headers)
                return
            writer.start(self.status, headers, self._outgoing.never_indexed_back)
            while data := await incoming.receive():
                await writer.write(data)
            trailers = forwarded_trailers(incoming.trailers)
            if trailers:
                await writer.write_trailers(trailers, self._outgoing.never_indexed_back)
            else:
                await writer.write(b"", True)
        except RequestError as error:
            log.warning("%s: the response broke off: %s", request, printable(str(error)))
            writer.reset(error.code if isinstance(error, StreamReset) else INTERNAL_ERROR)
        finally:
            incoming.close()
            self._hold.give_back()

    async def _relay(self, exchange: ServerExchange, headers: HeaderList) -> None:
        relay = Relay()
        exchange.accept_tunnel(headers, self._outgoing.never_indexed_back)
        early = exchange.inbox
        exchange.inbox = TunnelInbox(exchange, cast("Any", relay.up))
        exchange.cancel_on_disconnect = False  # the relay notices it
        if early is None or early.owed or early.has_content() or early.ended:
            ended = early is None or early.ended
            data, owed = (b"", 0) if early is None else (early.take(), early.take_owed())
            relay.up.on_bytes(data, owed, ended)
        incoming: Any = self._incoming
        await relay.run(ServerTunnel(exchange), incoming.tunnel(relay.down))
