"""A WebSocket as the answer to a request: over an upgrade of HTTP/1.1, or a stream of HTTP/2 (RFC 6455, RFC 8441).

The handler holds a `headrace.websocket.connection.WebSocket`. This module joins it to its request: the opening
handshake, the tunnel, and the handler's cancellation when the WebSocket ends.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from headrace.engine.errors import CANCEL, StreamClosedError
from headrace.engine.ws import WebSocketConnection
from headrace.engine.ws.frames import GOING_AWAY, INTERNAL_ERROR
from headrace.engine.ws.negotiation import accept_deflate, choose_subprotocol, is_same_host, is_same_origin, is_token
from headrace.server.connection.exchange import ServerExchange
from headrace.server.connection.inbox import Inbox
from headrace.server.handlers.headers import AnyHeaders, HeaderList, header_list
from headrace.server.handlers.response import AnyResponse, Response
from headrace.transport.log import get_logger
from headrace.websocket.connection import WebSocket
from headrace.websocket.fair_share import ConnectionShare
from headrace.websocket.tunnel import WebSocketClosed

if TYPE_CHECKING:
    from headrace.engine.events import RequestReceived
    from headrace.server.connection.service import ServedConnection
    from headrace.server.handlers.request import Request
    from headrace.server.handlers.writer import Writer

WebSocketHandler = Callable[[WebSocket], Awaitable[object]]
OriginCheck = Callable[["Request"], bool] | Literal["same-host", "same-origin"] | None

VERSION: Final = b"13"
_PLAIN: Final = (b"content-type", b"text/plain; charset=utf-8")
_FOREIGN: Final = (
    b"Pages of this origin may not open this WebSocket (check_origin; a proxy in front must forward the host).\n"
)
error_log: Final = get_logger("headrace.error")


class TunnelInbox(Inbox):
    """The inbox of an accepted tunnel: it gives bytes to the WebSocket at once."""

    __slots__ = ("exchange", "socket")

    def __init__(self, exchange: ServerExchange, socket: WebSocket) -> None:
        super().__init__()
        self.exchange: ServerExchange = exchange
        self.socket: WebSocket = socket
        self.continue_sent = True

    def put(self, data: bytes, flow_length: int, ended: bool) -> None:
        """Give bytes of the tunnel to the WebSocket."""
        self.socket.on_bytes(data, flow_length, ended)

    def wake(self) -> None:
        """Handle a change of the stream: it is gone, or the last write is accepted."""
        gone = self.exchange.gone
        if gone is not None:
            self.socket.on_lost(gone)
        elif not self.exchange.blocked:
            self.socket.on_writable()


class ServerTunnel:
    """The stream of an exchange as a WebSocket's tunnel; see `headrace.websocket.tunnel.Tunnel`."""

    __slots__ = ("_driver", "_exchange")

    def __init__(self, exchange: ServerExchange) -> None:
        self._exchange = exchange
        self._driver = exchange.driver

    @property
    def blocked(self) -> bool:
        """True while the last write is not accepted."""
        return self._exchange.blocked

    async def unblocked(self) -> None:
        """Wait until it is."""
        await self._exchange.unblocked()

    def write(self, data: bytes, end: bool) -> None:
        """Send bytes, and END_STREAM with `end`."""
        exchange = self._exchange
        driver = self._driver
        if exchange.gone is not None:
            raise exchange.disconnected(None)
        try:
            accepted = driver.engine.send_data(exchange.stream_id, data, end)
        except StreamClosedError as error:
            raise exchange.disconnected(error) from None
        exchange.sent += len(data)
        if not accepted:
            exchange.blocked = True
        if end:
            exchange.complete()
        driver.schedule_flush()

    def consumed(self, count: int) -> None:
        """Give window back."""
        driver = self._driver
        driver.engine.acknowledge_data(self._exchange.stream_id, count)
        driver.schedule_flush()

    def abort(self) -> None:
        """Reset the stream: RFC 8441 §5 names CANCEL for the equivalent of a TCP reset. A no-op when it has ended."""
        self._exchange.reset(CANCEL)

    def abort_later(self, seconds: float) -> asyncio.TimerHandle:
        """Reset the stream then. Nobody tells when the client has ended it after the handler, so the timer keeps
        nothing: a connection that is over meanwhile is forgotten."""
        driver = self._driver
        return driver.loop.call_later(
            seconds, _abort, weakref.ref(driver), self._exchange.stream_id, context=driver.context.copy()
        )


def _abort(connection: weakref.ref[ServedConnection], stream_id: int) -> None:
    driver = connection()
    if driver is None:
        return
    exchange = driver.live.get(stream_id)
    if isinstance(exchange, ServerExchange):
        exchange.reset(CANCEL)
    else:
        driver.engine.reset_stream(stream_id, CANCEL)
        driver.schedule_flush()


def open_tunnel(
    exchange: ServerExchange,
    headers: HeaderList,
    request: Request | None = None,
    *,
    subprotocol: str | None,
    compression: bool,
    max_message_size: int | None = None,
    max_queue: int | None = None,
    ping_interval_s: float | None = None,
    ping_timeout_s: float | None = None,
    close_timeout_s: float | None = None,
) -> WebSocket:
    """Accept a request for a WebSocket and return the WebSocket. The response has `headers` beside the handshake's own
    fields. `request` becomes the WebSocket's.

    Arguments that are None have the values of the server's limits. Raises InvalidFieldError for headers that must not
    be sent, ClientDisconnected when the client has gone.
    """
    limits = exchange.driver.service.limits
    if max_message_size is None:
        max_message_size = limits.max_message_size
    if ping_interval_s is None:
        ping_interval_s = limits.websocket_ping_interval_s
    if ping_timeout_s is None:
        ping_timeout_s = limits.websocket_ping_timeout_s
    if close_timeout_s is None:
        close_timeout_s = limits.websocket_close_timeout_s
    fields = list(headers)
    if subprotocol is not None:
        fields.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
    extensions: list[Any] | None = None
    if compression:
        value, extensions = accept_deflate(exchange.head.headers)
        if extensions:
            fields.append((b"sec-websocket-extensions", value))
    exchange.accept_tunnel(fields)
    driver = exchange.driver
    loop = driver.loop
    share = driver.websocket_share
    if share is None:
        room = driver.service.message_room
        share = driver.websocket_share = ConnectionShare(loop, limits.max_connection_messages_size, room)
    socket = WebSocket(
        ServerTunnel(exchange),
        WebSocketConnection(False, max_message_size, extensions),
        loop,
        request=request,
        subprotocol=subprotocol,
        max_queue=limits.max_message_queue if max_queue is None else max_queue,
        queue_size=limits.max_message_queue_size,
        share=share,
        ping_interval_s=ping_interval_s or None,
        ping_timeout_s=ping_timeout_s or None,
        close_timeout_s=close_timeout_s,
    )
    is_cancelled = exchange.cancel_on_disconnect
    if is_cancelled is None:
        is_cancelled = exchange.driver.service.cancel_on_disconnect
    exchange.cancel_on_disconnect = False  # the rule below takes its place
    if is_cancelled:
        socket.closing.on_closed = _Watch(exchange, socket, close_timeout_s).begin
    early = exchange.inbox
    exchange.inbox = TunnelInbox(exchange, socket)
    exchange.drain_listener = lambda deadline: socket.go_away()
    if early is None or early.owed or early.has_content() or early.ended:
        ended = early is None or early.ended
        data, owed = (b"", 0) if early is None else (early.take(), early.take_owed())
        socket.on_bytes(data, owed, ended)
    if early is not None:
        early.wake()
    if exchange.driver.drain_deadline is not None:
        socket.go_away()
    return socket


class _Watch:
    """A watch over a WebSocket's handler. It cancels a handler that does not notice the end, because it waits for
    something else.

    A handler that still takes earlier messages is left alone, as is one in which `receive` or `send` has raised.
    """

    def __init__(self, exchange: ServerExchange, socket: WebSocket, grace_s: float) -> None:
        self._exchange = exchange
        self._socket = socket
        self._grace_s = grace_s
        self._taken = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Watch from now on, until the handler has ended."""
        task = self._exchange.task
        if task is not None:
            task.add_done_callback(self._stop)
        self._watch()

    def _watch(self) -> None:
        self._taken = self._socket.taken
        driver = self._exchange.driver
        self._timer = driver.loop.call_later(self._grace_s, self._check, context=driver.context.copy())

    def _check(self) -> None:
        task = self._exchange.task
        if task is None or task.done() or self._socket.closing.is_noticed:
            return
        if self._socket.taken != self._taken:
            self._watch()
        else:
            task.cancel()

    def _stop(self, task: object) -> None:
        """Stop the timer, which would keep the whole connection in memory."""
        if self._timer is not None:
            self._timer.cancel()


def refuse_handshake(head: RequestReceived) -> Response | None:
    """Return the answer to a request that is not for a WebSocket of version 13; None if it is (RFC 6455 §4.2)."""
    # HTTP/2 has no upgrade (RFC 9113 §8.6). Over HTTP/1.1 the engine adds the field that a 426 must have.
    status = 400 if head.shared.http_version == "2" else 426
    if head.protocol != b"websocket":
        return Response(status, [_PLAIN], b"This resource is a WebSocket.\n")
    versions = [value for name, value in head.headers if name == b"sec-websocket-version"]
    if versions != [VERSION]:
        fields = [(b"sec-websocket-version", VERSION), _PLAIN]
        return Response(status, fields, b"This server supports only version 13 of WebSocket.\n")
    return None


class WebSocketResponse(AnyResponse):
    """Opens a WebSocket and runs `handler` on it, over HTTP/1.1 and HTTP/2 alike.

        async def chat(ws):
            async for message in ws:
                await ws.send(message)

        async def app(request):
            return WebSocketResponse(chat)

    When the handler returns, the WebSocket is closed with 1000; when it fails, with 1011 and a line in the log. A
    handler that waits for something else when the WebSocket ends is cancelled `close_timeout_s` later, unless
    `cancel_on_disconnect` is False.

    `subprotocols` are those that the handler speaks, best first; the first that the client offers is agreed on.
    `headers` go into the response. `compression` agrees to permessage-deflate if the client offers it. `check_origin`
    decides which browsers' pages may open it: `"same-origin"`; `"same-host"`, the default, which accepts https pages on
    cleartext, where a proxy may have ended TLS; a function of the request; or None for all pages. Others get 403. This
    check is the only protection: browsers send cookies with a WebSocket of any page. Clients that are not browsers send
    no `origin` and are accepted.

    The rest is as in the server's limits, unless given here. `max_message_size` (1 MiB) bounds an inflated message in
    bytes, with 256 more for each fragment of a fragmented one; a larger one closes with 1009. `max_queue` (16) messages
    wait for the handler, `max_message_size` bytes together; then the client has to wait. `ping_interval_s` (20) without
    a byte leads to a ping, `ping_timeout_s` (20) more without one to the end; 0 is never. `close_timeout_s` (5) is the
    time that the client has for its close frame.

    A request that is not for a WebSocket gets 426 over HTTP/1.1, 400 over HTTP/2. Raises ValueError for a subprotocol
    that is not a token, and for numbers out of range.
    """

    __slots__ = ("_options", "check_origin", "handler", "headers", "subprotocols")

    def __init__(
        self,
        handler: WebSocketHandler,
        subprotocols: Sequence[str] = (),
        *,
        headers: AnyHeaders = (),
        compression: bool = True,
        max_message_size: int | None = None,
        max_queue: int | None = None,
        ping_interval_s: float | None = None,
        ping_timeout_s: float | None = None,
        close_timeout_s: float | None = None,
        check_origin: OriginCheck = "same-host",
    ) -> None:
        for name in subprotocols:
            if not is_token(name):
                raise ValueError(f"the subprotocol {name!r} is not a token (RFC 9110 §5.6.2)")
        for value in (max_message_size, max_queue):
            if value is not None and value < 1:
                raise ValueError("max_message_size and max_queue must be at least 1")
        self.handler: WebSocketHandler = handler
        self.subprotocols: Sequence[str] = subprotocols
        self.headers: HeaderList = header_list(headers)
        self.check_origin: OriginCheck = check_origin
        self._options: dict[str, Any] = {
            "compression": compression,
            "max_message_size": max_message_size,
            "max_queue": max_queue,
            "ping_interval_s": ping_interval_s,
            "ping_timeout_s": ping_timeout_s,
            "close_timeout_s": close_timeout_s,
        }

    async def send_on(self, request: Request, writer: Writer) -> None:
        """Open the WebSocket and run the handler to its end. Only a refusal goes through `writer`."""
        exchange = request._exchange
        head = exchange.head
        refusal = refuse_handshake(head)
        if refusal is None and not self._is_allowed(request):
            refusal = Response(403, [_PLAIN], _FOREIGN)
        if refusal is not None:
            await refusal.send_on(request, writer)
            return
        subprotocol = choose_subprotocol(head.headers, self.subprotocols)
        socket = open_tunnel(exchange, self.headers, request, subprotocol=subprotocol, **self._options)
        await run_handler(exchange, socket, self.handler(socket))

    def _is_allowed(self, request: Request) -> bool:
        check = self.check_origin
        if check is None:
            return True
        if callable(check):
            return check(request)
        compare = is_same_host if check == "same-host" else is_same_origin
        return compare(request.headers, request.scheme.encode(), request.authority.encode("latin-1"))


async def run_handler(exchange: ServerExchange, socket: WebSocket, running: Awaitable[object]) -> None:
    """Await the handler of a WebSocket, then end the WebSocket, however the handler ended."""
    try:
        try:
            await running
        except WebSocketClosed:
            if socket.is_open:  # another task's cancellation
                raise
        await socket.finish()
    except BaseException as error:
        abandon(exchange, socket, error)
        raise


def abandon(exchange: ServerExchange, socket: WebSocket, error: BaseException) -> None:
    """Handle a failed or cancelled handler of a WebSocket: close with 1011, or 1001 when the server ends, as the drain
    has said already."""
    is_ending = isinstance(error, asyncio.CancelledError) and exchange.driver.service.is_ending
    socket.give_up(GOING_AWAY if is_ending else INTERNAL_ERROR)
