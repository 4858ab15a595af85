"""WebSockets of a client: over a stream of HTTP/2 where the server takes them (RFC 8441), else by HTTP/1.1's upgrade.

What the caller holds is `headrace.websocket.connection.WebSocket`, the same object as a server's handler. Here is the
opening handshake, and the end.
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
REFUSAL_CONTENT: Final = 8_192  # octets of a refusal that are kept
_REFUSAL_S: Final = 5.0
_SCHEMES: Final = {"ws": "http", "wss": "https"}


class TunnelIncoming(Incoming, Protocol):
    """The answer to a request for a tunnel."""

    def tunnel(self, receiver: Any) -> Tunnel:
        """The tunnel, whose octets go to `receiver`: `on_octets`, `on_writable`, `on_lost`, as a WebSocket has them."""
        ...


class WebSocketRefused(RequestError):
    """The server answered the request for a WebSocket with an ordinary response. `head` is the response's head,
    `content` the first 8 KiB of what it says."""

    def __init__(self, head: ResponseHead, content: bytes, *, url: str = "") -> None:
        super().__init__(f"the server refused the WebSocket: its answer is {head.status}", url=url)
        self.head: ResponseHead = head
        self.content = content

    @property
    def status(self) -> int:
        """The response's status."""
        return self.head.status

    @property
    def headers(self) -> Headers:
        """The response's fields."""
        return Headers.received(self.head.headers)


class WebSocketOptions:
    """What is asked for in the handshake, and what bounds the WebSocket.

    `subprotocols` are offered in order of preference; `compression` offers permessage-deflate (RFC 7692).
    `max_message_size` bounds a received message in octets, inflated (more closes with 1009); `max_queue` messages may
    wait to be received before the server is slowed. A ping leaves after `ping_interval_s` of silence (None: never), and
    the WebSocket ends when `ping_timeout_s` pass without an answer (None: it waits). `close_timeout_s` bounds the wait
    for the server's close frame. Raises ValueError for a subprotocol that is no token or is named twice.
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
            raise TypeError("subprotocols is a list of names, not one name")
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
        """The handshake's fields, but for `sec-websocket-key`, which HTTP/1.1 alone has and its driver adds."""
        fields = [(b"sec-websocket-version", b"13")]
        if self.subprotocols:
            fields.append((b"sec-websocket-protocol", ", ".join(self.subprotocols).encode("latin-1")))
        if self.compression:
            fields.append((b"sec-websocket-extensions", offer_deflate()))
        return fields

    def confirm(self, head: ResponseHead) -> tuple[str | None, list[Any]]:
        """The subprotocol and the extensions that the server has chosen. Raises ValueError for what was not offered."""
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
    """A transport that asks for a WebSocket with each request it is given; for one opening, with all that a client does
    around a request: credentials, cookies, hooks, redirects."""

    def __init__(self, transport: Any, options: WebSocketOptions) -> None:
        """Raises TypeError when `transport` carries no tunnels."""
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
        """Nothing is held."""

    async def open(self, request: Any) -> WebSocket:
        """The WebSocket that the last answer opens. Raises WebSocketRefused for any answer but 101 on HTTP/1.1 and 2xx
        on HTTP/2, RemoteProtocolError for one that breaks RFC 6455."""
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
    """Whether a response opens the tunnel that was asked for: 101 on HTTP/1.1, 2xx on HTTP/2 (RFC 8441 §4)."""
    return 200 <= head.status < 300 if head.http_version == "2" else head.status == 101


async def _beginning(incoming: Incoming) -> bytes:
    """The first octets of a refusal; what goes wrong with it is no news any more."""
    content = b""
    try:
        async with asyncio.timeout(_REFUSAL_S):
            while len(content) < REFUSAL_CONTENT and (data := await incoming.receive()):
                content += data
    except (RequestError, TimeoutError):
        pass
    return content[:REFUSAL_CONTENT]


class _Receiver:
    """Hands the tunnel's octets to the WebSocket, which is made with the tunnel and so after it: what comes before that
    waits here."""

    __slots__ = ("_early", "_is_open", "_lost", "socket")

    def __init__(self) -> None:
        self.socket: WebSocket | None = None
        self._is_open = False
        self._early: list[tuple[bytes, int, bool]] = []
        self._lost: str | None = None

    def begin(self) -> None:
        """The WebSocket is there."""
        self._is_open = True
        for each in self._early:
            self.on_octets(*each)
        self._early.clear()
        if self._lost is not None:
            self.on_lost(self._lost)

    def on_octets(self, data: bytes, owed: int, ended: bool) -> None:
        """See `WebSocket.on_octets`."""
        if self._is_open and self.socket is not None:
            self.socket.on_octets(data, owed, ended)
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
    """What `Client.websocket` returns: opens the WebSocket when it is entered, or awaited, and closes it at the end.

        async with client.websocket("wss://example.org/chat") as ws:
            await ws.send("hello")
            async for message in ws:
                ...

    The block's end closes with 1000, an exception in it with 1001. Awaited instead, the caller closes.
    """

    __slots__ = ("_open", "socket")

    def __init__(self, opened: Callable[[], Awaitable[WebSocket]]) -> None:
        """`opened` does the handshake; it is called once."""
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
        # The close frames are all that is waited for: RFC 6455 §7.1.1 leaves it to the server to end the connection,
        # and the WebSocket sees to it when that does not.
        await socket.close(NORMAL if kind is None else GOING_AWAY)


def session(client: Caller, url: URL | str, wanted: WebSocketOptions, options: CallOptions) -> WebSocketSession:
    """What `Client.websocket` returns."""
    making, sending = split(options)
    sending.setdefault("follow_redirects", False)

    async def opened() -> WebSocket:
        request = client.build_request("GET", http_url(url), **making)
        handshake = Handshake(client.transport, wanted)
        response = await client._send(request, True, sending, handshake)
        return await handshake.open(response.request)

    return WebSocketSession(opened)


def http_url(url: URL | str) -> URL:
    """A URL of ws or wss as one of http or https, which it stands for (RFC 6455 §3); others as they are."""
    target = URL(url)
    scheme = _SCHEMES.get(target.scheme)
    return target if scheme is None else target.copy_with(scheme=scheme)
