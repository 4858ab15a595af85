"""WebSockets of a client: over a stream of HTTP/2 where the server accepts them (RFC 8441), else by HTTP/1.1's upgrade.

The caller gets a `headrace.websocket.connection.WebSocket`, the same class as in a server's handler. This module has
the opening handshake and the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from headrace.client.calls.options import CallOptions, split
from headrace.client.connection.tunnel import ExchangeTunnel
from headrace.client.errors import RemoteProtocolError, RequestError
from headrace.client.interface import Incoming, Outgoing, Pairs, ResponseHead
from headrace.client.message.headers import Headers
from headrace.client.message.url import URL
from headrace.engine.ws.connection import WebSocketConnection
from headrace.engine.ws.frames import GOING_AWAY, NORMAL
from headrace.engine.ws.negotiation import confirm_deflate, field_values, is_token, offer_deflate
from headrace.websocket.connection import WebSocket
from headrace.websocket.tunnel import (
    DEFAULT_CLOSE_TIMEOUT_S,
    DEFAULT_PING_INTERVAL_S,
    DEFAULT_PING_TIMEOUT_S,
    DEFAULT_QUEUE,
    Tunnel,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.client.calls.options import Caller

DEFAULT_MESSAGE_SIZE: Final = 1_048_576
REFUSAL_CONTENT: Final = 8_192  # bytes of a refusal's content that are kept
_REFUSAL_S: Final = 5.0
_SCHEMES: Final = {"ws": "http", "wss": "https"}


class TunnelIncoming(Incoming, Protocol):
    """The response to a request for a tunnel."""

    def tunnel(self, receiver: Any) -> Tunnel:
        """Return the tunnel. Its bytes go to `receiver`, which has `on_bytes`, `on_writable` and `on_lost`, like a
        WebSocket."""
        ...


class WebSocketRefused(RequestError):
    """The server answered the request for a WebSocket with an ordinary response. `head` is the response's head,
    `content` the first 8 KiB of its content."""

    def __init__(self, head: ResponseHead, content: bytes, *, url: str = "") -> None:
        super().__init__(f"the server refused the WebSocket: its answer is {head.status}", url=url)
        self.head: ResponseHead = head
        self.content = content

    @property
    def status(self) -> int:
        """Return the response's status."""
        return self.head.status

    @property
    def headers(self) -> Headers:
        """Return the response's fields."""
        return Headers.received(self.head.headers)


class WebSocketOptions:
    """The options of the handshake, and the limits of the WebSocket.

    `subprotocols` are offered in order of preference; `compression` offers permessage-deflate (RFC 7692).
    `max_message_size` limits a received message in bytes, decompressed; a larger one closes the WebSocket with 1009.
    `max_queue` messages may wait to be received before the server is slowed. A ping is sent after `ping_interval_s` of
    silence (None: never), and the WebSocket ends when `ping_timeout_s` pass without an answer (None: it waits).
    `close_timeout_s` limits the wait for the server's close frame. Raises ValueError for a subprotocol that is not a
    token or occurs twice.
    """

    __slots__ = (
        "close_timeout_s",
        "compression",
        "max_message_size",
        "max_queue",
        "ping_interval_s",
        "ping_timeout_s",
        "subprotocols",
    )

    def __init__(
        self,
        *,
        subprotocols: Sequence[str] = (),
        compression: bool = True,
        max_message_size: int = DEFAULT_MESSAGE_SIZE,
        max_queue: int = DEFAULT_QUEUE,
        ping_interval_s: float | None = DEFAULT_PING_INTERVAL_S,
        ping_timeout_s: float | None = DEFAULT_PING_TIMEOUT_S,
        close_timeout_s: float = DEFAULT_CLOSE_TIMEOUT_S,
    ) -> None:
        if isinstance(subprotocols, str):
            raise TypeError("subprotocols must be a list of names, not one name")
        for name in subprotocols:
            if not is_token(name):
                raise ValueError(f"the subprotocol {name!r} is not a token (RFC 6455 §4.1)")
        if len(set(subprotocols)) != len(subprotocols):
            raise ValueError("a subprotocol is offered twice (RFC 6455 §4.1)")
        self.subprotocols: tuple[str, ...] = tuple(subprotocols)
        self.compression: bool = compression
        self.max_message_size: int = max_message_size
        self.max_queue: int = max_queue
        self.ping_interval_s: float | None = ping_interval_s
        self.ping_timeout_s: float | None = ping_timeout_s
        self.close_timeout_s: float = close_timeout_s

    def fields(self) -> Pairs:
        """Return the handshake's fields, except `sec-websocket-key`: only HTTP/1.1 has it, and its driver adds it."""
        fields = [(b"sec-websocket-version", b"13")]
        if self.subprotocols:
            fields.append((b"sec-websocket-protocol", ", ".join(self.subprotocols).encode("latin-1")))
        if self.compression:
            fields.append((b"sec-websocket-extensions", offer_deflate()))
        return fields

    def confirm(self, head: ResponseHead) -> tuple[str | None, list[Any]]:
        """Return the subprotocol and the extensions that the server has chosen. Raises ValueError when they were not
        offered."""
        values = [value for name, value in head.headers if name == b"sec-websocket-protocol"]
        subprotocol = values[0].decode("latin-1") if values else None
        if len(values) > 1 or (subprotocol is not None and subprotocol not in self.subprotocols):
            raise ValueError("the server chose a subprotocol that was not offered (RFC 6455 §4.1)")
        if self.compression:
            return subprotocol, confirm_deflate(head.headers)
        if field_values(head.headers, b"sec-websocket-extensions"):
            raise ValueError("the server chose an extension that was not offered (RFC 6455 §4.1)")
        return subprotocol, []


class Handshake:
    """A transport that asks for a WebSocket with each request. It serves one opening, so that the client can do its
    work around the request: credentials, cookies, hooks, redirects."""

    def __init__(self, transport: Any, options: WebSocketOptions) -> None:
        """Wrap a transport. Raises TypeError when it cannot carry tunnels."""
        self._tunnel: Callable[[Outgoing], Awaitable[TunnelIncoming]] | None = getattr(transport, "tunnel", None)
        if self._tunnel is None:
            raise TypeError(f"{type(transport).__name__} carries no WebSockets")
        self._options = options
        self._outgoing: Outgoing | None = None
        self._incoming: TunnelIncoming | None = None

    async def send(self, outgoing: Outgoing, *, whole: bool = False) -> Incoming:
        """Send the handshake."""
        assert self._tunnel is not None
        outgoing.method = b"CONNECT"
        outgoing.protocol = b"websocket"
        outgoing.headers = [*outgoing.headers, *self._options.fields()]
        incoming = await self._tunnel(outgoing)
        self._outgoing = outgoing
        self._incoming = incoming
        return incoming

    async def aclose(self) -> None:
        """Do nothing: the client closes the transport."""

    async def open(self, request: Any) -> WebSocket:
        """Return the WebSocket that the last response opens. Raises WebSocketRefused for any response but 101 on
        HTTP/1.1 and 2xx on HTTP/2, and RemoteProtocolError for one that breaks RFC 6455."""
        incoming, outgoing, options = self._incoming, self._outgoing, self._options
        assert incoming is not None
        assert outgoing is not None
        head = incoming.head
        try:
            if not is_granted(head):
                raise WebSocketRefused(head, await _beginning(incoming), url=outgoing.url)
            try:
                subprotocol, extensions = options.confirm(head)
            except ValueError as error:
                raise RemoteProtocolError(str(error), url=outgoing.url) from None
        except BaseException:
            incoming.close()
            raise
        receiver = _Receiver()
        tunnel = incoming.tunnel(receiver)
        socket = receiver.socket = WebSocket(
            tunnel,
            WebSocketConnection(True, options.max_message_size, extensions),
            asyncio.get_running_loop(),
            request=request,
            subprotocol=subprotocol,
            max_queue=options.max_queue,
            share=tunnel.share if isinstance(tunnel, ExchangeTunnel) else None,
            ping_interval_s=options.ping_interval_s,
            ping_timeout_s=options.ping_timeout_s,
            close_timeout_s=options.close_timeout_s,
        )
        receiver.begin()
        return socket


def is_granted(head: ResponseHead) -> bool:
    """Return True when a response opens the tunnel: 101 on HTTP/1.1, 2xx on HTTP/2 (RFC 8441 §4)."""
    return 200 <= head.status < 300 if head.http_version == "2" else head.status == 101


async def _beginning(incoming: Incoming) -> bytes:
    """Return the first bytes of a refusal's content; errors while reading it are ignored."""
    content = b""
    try:
        async with asyncio.timeout(_REFUSAL_S):
            while len(content) < REFUSAL_CONTENT and (data := await incoming.receive()):
                content += data
    except (RequestError, TimeoutError):
        pass
    return content[:REFUSAL_CONTENT]


class _Receiver:
    """Passes the tunnel's bytes to the WebSocket. The WebSocket is made after the tunnel; earlier bytes wait here."""

    __slots__ = ("_early", "_is_open", "_lost", "socket")

    def __init__(self) -> None:
        self.socket: WebSocket | None = None
        self._is_open = False
        self._early: list[tuple[bytes, int, bool]] = []
        self._lost: str | None = None

    def begin(self) -> None:
        """Pass the waiting bytes to the WebSocket, which exists now."""
        self._is_open = True
        for each in self._early:
            self.on_bytes(*each)
        self._early.clear()
        if self._lost is not None:
            self.on_lost(self._lost)

    def on_bytes(self, data: bytes, owed: int, ended: bool) -> None:
        """See `WebSocket.on_bytes`."""
        if self._is_open and self.socket is not None:
            self.socket.on_bytes(data, owed, ended)
        else:
            self._early.append((data, owed, ended))

    def on_lost(self, reason: str) -> None:
        """See `WebSocket.on_lost`."""
        if self._is_open and self.socket is not None:
            self.socket.on_lost(reason)
        else:
            self._lost = reason

    def on_writable(self) -> None:
        """See `WebSocket.on_writable`."""
        if self.socket is not None:
            self.socket.on_writable()


class WebSocketSession:
    """The result of `Client.websocket`. Entering or awaiting it opens the WebSocket; the end of the block closes it.

        async with client.websocket("wss://example.org/chat") as ws:
            await ws.send("hello")
            async for message in ws:
                ...

    The end of the block closes with 1000, an exception in it with 1001. When it is awaited instead, the caller closes.
    """

    __slots__ = ("_open", "socket")

    def __init__(self, opened: Callable[[], Awaitable[WebSocket]]) -> None:
        """Wrap a function that does the handshake; it is called once."""
        self._open = opened
        self.socket: WebSocket | None = None

    def __await__(self) -> Any:
        return self._open().__await__()

    async def __aenter__(self) -> WebSocket:
        self.socket = await self._open()
        return self.socket

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        socket = self.socket
        assert socket is not None
        # Wait only for the close frames. RFC 6455 §7.1.1 leaves the end of the connection to the server, and the
        # WebSocket ends it when the server does not.
        await socket.close(NORMAL if kind is None else GOING_AWAY)


def session(client: Caller, url: URL | str, wanted: WebSocketOptions, options: CallOptions) -> WebSocketSession:
    """Return the block for `Client.websocket`."""
    making, sending = split(options)
    sending.setdefault("follow_redirects", False)

    async def opened() -> WebSocket:
        request = client.build_request("GET", http_url(url), **making)
        handshake = Handshake(client.transport, wanted)
        response = await client._send(request, True, sending, handshake)
        return await handshake.open(response.request)

    return WebSocketSession(opened)


def http_url(url: URL | str) -> URL:
    """Return a URL of ws or wss as the http or https URL that it stands for (RFC 6455 §3); return others unchanged."""
    target = URL(url)
    scheme = _SCHEMES.get(target.scheme)
    return target if scheme is None else target.copy_with(scheme=scheme)
