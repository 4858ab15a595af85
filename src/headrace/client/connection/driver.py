"""One connection of a client, over HTTP/2 or HTTP/1.1: requests become streams, and events go to their exchanges.

The driver is the connection's protocol object, on the event loop: a request is a call of `begin`, an event a call of
its exchange. There is no task and no queue between them (ADR 0018). A request that finds no room waits with the owner,
which the driver notifies when there is room. The base class in `state` has the answers to the owner's questions;
`delivery` passes events to exchanges, and `deadlines` has their timeouts.
"""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from headrace.client.connection import failures
from headrace.client.connection.deadlines import ExchangeTimeouts
from headrace.client.connection.delivery import deliver
from headrace.client.connection.exchange import COUNTED, STREAMED, WHOLE, ClientExchange
from headrace.client.connection.owner import CLIENT_LIMITS, Owner
from headrace.client.connection.state import DriverState
from headrace.client.connection.upload import begin_upload
from headrace.client.errors import ConnectionLost, RequestError, TLSError
from headrace.engine.events import (
    ENDED,
    GOAWAY,
    ORIGIN,
    PING_ACK,
    SETTINGS,
)
from headrace.engine.h1 import H1ClientConnection
from headrace.engine.h2 import H2ClientConnection
from headrace.engine.limits import MAX_STREAM_ID
from headrace.transport.connection import logger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from headrace.client.interface import Origin, Outgoing
    from headrace.engine.contract import ClientEngine
    from headrace.engine.limits import Limits

__all__ = ["CLIENT_LIMITS", "ClientDriver", "DriverOwner", "DriverProtocols"]

DriverProtocols = Literal["alpn", "h2", "http/1.1"]
DriverOwner: TypeAlias = Owner["ClientDriver"]

H1_WINDOW: Final = 524_288
"""Bytes of a response over HTTP/1.1 that may be unread. The kernel's buffers do the work of HTTP/2's windows there, and
the connection is free for the next request when the response has arrived, read or not."""
_ANNOUNCED: Final = frozenset((b"POST", b"PUT", b"PATCH"))  # methods whose empty content has a length (RFC 9110 §8.6)


class ClientDriver(DriverState):
    """The protocol object of a connection, for `loop.create_connection` on cleartext, or for a `TLSTransport`.

    `origin` is the origin that the connection is made for. `protocols` chooses the protocol: by ALPN, or HTTP/2 or
    HTTP/1.1 by prior knowledge (RFC 9113 §3.3). With `wait_for_settings` the driver is ready after the server's
    SETTINGS, one round trip later. Without it, up to 100 requests may begin before; one that the server then refuses is
    retryable.
    """

    __slots__ = (
        "_cut",
        "_drain_timer",
        "_is_alone",
        "_is_draining",
        "_protocols",
        "_timeouts",
        "_wait_for_settings",
        "owner",
    )

    # Base classes declare these, too. A type checker that reads the installed package needs them in this class, which
    # sets them.
    announced_origins: list[bytes] | None
    cause: str
    completed: int
    engine: ClientEngine
    goaway_text: str
    has_begun: bool
    bytes_before_idle: int
    http_version: str
    idle_since: float
    local: Any
    now: float
    peer: Any
    settings_seen: bool

    reads_to_the_end = True

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits = CLIENT_LIMITS,
        *,
        origin: Origin,
        protocols: DriverProtocols,
        owner: DriverOwner,
        wait_for_settings: bool = False,
    ) -> None:
        super().__init__(loop, limits, origin)
        self.owner: DriverOwner = owner
        self._timeouts = ExchangeTimeouts(loop, self.context, self.live)
        self._protocols = protocols
        self._wait_for_settings = wait_for_settings
        self._is_alone = True
        self._is_draining = False
        self._cut = ""
        self._drain_timer: asyncio.TimerHandle | None = None

    # -- requests ----------------------------------------------------------------------------------------------

    def begin(
        self,
        outgoing: Outgoing,
        whole: bool = False,
        *,
        on_done: Callable[[ClientExchange], None] | None = None,
        discard: bool = False,
    ) -> ClientExchange:
        """Send a request; call it only when `has_room`. Await `head_arrived` on the result, or pass `on_done`, which is
        called at the end. With `whole` the exchange collects the response. With `discard` it counts the content and
        forgets it.

        Raises InvalidFieldError for a field that must not be sent, and LocalProtocolError when there is no room; then
        nothing is sent. A later failure ends the exchange, not this call.
        """
        content = outgoing.content
        method = outgoing.method
        protocol = outgoing.protocol
        headers = outgoing.headers
        is_tunnel = method == b"CONNECT"
        scheme = b"https" if outgoing.origin.scheme == "https" else b"http"
        length = -1
        end = False
        if is_tunnel:
            if protocol is None:
                scheme = b""
            elif self.http_version != "2":
                headers = [*headers, (b"sec-websocket-key", base64.b64encode(os.urandom(16)))]
        elif not content:
            end = True
            if method in _ANNOUNCED:
                length = 0
        elif isinstance(content, bytes):
            length = len(content)
        elif content.length is not None:
            length = content.length
        authority, path, never_indexed = outgoing.authority, outgoing.path, outgoing.never_indexed
        if end and length < 0 and protocol is None and never_indexed is None:  # as usual: keywords cost time
            stream_id = self.engine.send_request(method, scheme, authority, path, headers, end_stream=True)
        else:
            stream_id = self.engine.send_request(
                method,
                scheme,
                authority,
                path,
                headers,
                end_stream=end,
                protocol=protocol,
                content_length=length,
                never_indexed=never_indexed,
            )
        exchange = ClientExchange(self, outgoing, stream_id, COUNTED if discard else WHOLE if whole else STREAMED)
        if on_done is not None:
            exchange.is_plain = False
            exchange.on_done = on_done
        self.has_begun = True
        live = self.live
        live[stream_id] = exchange
        if stream_id >= MAX_STREAM_ID:  # RFC 9113 §5.1.1: the next request needs another connection
            self._is_draining = True
            self._set_unusable()
        self._timeouts.watch(exchange)
        if not end:
            exchange.is_plain = False
            exchange.has_content = True
            exchange.is_sending = True
            if not is_tunnel:
                begin_upload(exchange, content)
        if not self.flush_due:
            if self._is_alone and len(live) == 1:
                self._flush()  # no other request shares the write
            else:
                self.schedule_flush()
        return exchange

    def give_up(self, stream_id: int, code: int) -> None:
        """Reset the stream of an exchange that our side has ended, and forget the exchange."""
        self.engine.reset_stream(stream_id, code)
        self.forget_exchange(stream_id)

    def forget_exchange(self, stream_id: int) -> None:
        """Forget an exchange that has ended outside of a batch of input."""
        exchange = self.live.pop(stream_id, None)
        if exchange is None:
            return
        if not exchange.is_over:  # a tunnel that both sides have ended
            exchange.on_complete()
        self.schedule_flush()
        self._has_ended_some(self.loop.time())

    def acknowledge(self, stream_id: int, count: int) -> None:
        """Count bytes of content as consumed, outside of a batch of input. Over HTTP/2 the engine may have a
        WINDOW_UPDATE to write. Over HTTP/1.1 reading may resume, without anything to write."""
        engine = self.engine
        engine.acknowledge_data(stream_id, count)
        if not self.flush_due and (self._read_paused or engine.output_pending):
            self.schedule_flush()

    # -- the connection ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.peer = transport.get_extra_info("peername")
        self.local = transport.get_extra_info("sockname")
        tls = self._tls = transport.get_extra_info("ssl_object")
        protocol = self._protocols
        chosen = tls.selected_alpn_protocol() if tls is not None else None
        now = self.now = self.idle_since = self.loop.time()
        if protocol == "h2" or (protocol == "alpn" and chosen == "h2"):
            self.http_version = "2"
            self.engine = H2ClientConnection(self.limits, now=now)
        else:
            self.http_version = "1.1"
            self.settings_seen = True
            limits = self.limits
            if limits.initial_stream_window > H1_WINDOW:
                limits = replace(limits, initial_stream_window=H1_WINDOW)
            self.engine = H1ClientConnection(limits, now=now)
        super().connection_made(transport)
        if protocol == "h2" and tls is not None and chosen != "h2":  # RFC 9113 §3.2: over TLS, ALPN chooses it
            self._ended = TLSError("the server did not choose HTTP/2 in the handshake (ALPN, RFC 9113 §3.2)")
            self.abort()
        elif not (self._wait_for_settings and self.http_version == "2"):
            self._set_ready()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and not self.cause:
            self.cause = str(exc) or type(exc).__name__
        if self._turns.is_due and not self._ending and self.transport is not None:  # input is read to its end first
            self._cut = self.transport.get_extra_info("cut") or ""
            self._set_unusable()
        super().connection_lost(exc)

    def _lose(self) -> None:
        engine = self.engine
        self.flush_due = True
        if not engine.closed:
            now = self.loop.time()
            # TLS can tell the server's own end from one that anybody on the network could have made (RFC 9112 §9.8).
            cut = self.cause or self._cut
            if not cut and self.transport is not None:
                cut = self.transport.get_extra_info("cut")
            try:
                self.on_events(engine.receive_failure(now, cut) if cut else engine.receive_eof(now))
            except Exception:
                logger.exception("a connection could not be ended properly")
        self._ending = True

    def on_stalled(self) -> None:
        self.cause = f"the server has accepted no bytes for {self._stall_watch.timeout_s:g} s"

    def on_lost(self) -> None:
        self._timeouts.stop()
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None
        # The engine has ended every exchange. Should one be left, it must not wait for ever.
        for exchange in list(self.live.values()):
            exchange.on_failed(failures.connection_lost_error(self, exchange, "it was lost"))
        self.live.clear()
        self._wake_ready()
        self._end_pings()
        self._set_unusable()
        self.owner.on_lost(self, self._ended)

    # -- events ------------------------------------------------------------------------------------------------

    def on_events(self, events: Sequence[Any]) -> None:
        deliver(self, events)

    def on_connection_event(self, event: Any) -> None:
        """Handle an event of the engine that belongs to no exchange."""
        kind = event.kind
        if kind == SETTINGS:
            self._on_settings()
        elif kind == GOAWAY:
            self.goaway_text = failures.goaway_text(event.code, event.debug)
            self._set_unusable()
        elif kind == PING_ACK:
            self._on_ping_ack(event.opaque)
        elif kind == ORIGIN:
            self.announced_origins = [*(self.announced_origins or ()), *event.origins]
            self.owner.on_origins(self)
        elif kind == ENDED:
            if self._ended is None:
                self._ended = failures.connection_error(self, event)
            self._set_unusable()

    def on_exchanges_ended(self, completed: int) -> None:
        """Handle that exchanges have ended in a batch of input, of which `completed` have a complete response."""
        self.completed += completed
        self._is_alone = completed == 1
        self._has_ended_some(self.now)

    def _on_settings(self) -> None:
        self.settings_seen = True
        if not self.is_ready:
            self._set_ready()
        else:
            self.owner.on_room(self)

    def _set_ready(self) -> None:
        self.is_ready = True
        self._wake_ready()
        self.owner.on_ready(self)

    def _set_unusable(self) -> None:
        if not self._is_unusable:
            self._is_unusable = True
            self.owner.on_unusable(self)

    def _has_ended_some(self, now: float) -> None:
        if not self.live:
            self.idle_since = now
            if isinstance(self.engine, H1ClientConnection):
                self.bytes_before_idle = self.engine.bytes_in
            if self._is_draining:
                self.close()
                return
        self.owner.on_room(self)

    # -- the end -----------------------------------------------------------------------------------------------

    def drain(self, deadline: float) -> None:
        """Begin no new request, let running ones finish, then close. Those left at `deadline`, on the loop's clock,
        fail. Idempotent."""
        if self._is_draining or self.engine.closed:
            return
        self._is_draining = True
        self._set_unusable()
        if not self.live:
            self.close()
        else:
            self._drain_timer = self.loop.call_at(deadline, self._drain_is_over, context=self.context.copy())

    def _drain_is_over(self) -> None:
        self._drain_timer = None
        self._fail_all(ConnectionLost("the client was closed before the response was complete"))
        self.close()

    def abort(self, error: RequestError | None = None) -> None:
        """End everything now: each exchange fails with `error` (default: ConnectionLost). Send GOAWAY if possible."""
        if error is not None and self._ended is None:
            self._ended = error
        self._set_unusable()  # first: each exchange that ends makes room, and no request may use it
        self._fail_all(error or ConnectionLost("the client gave the connection up"))
        if not self.engine.closed:
            self.engine.close()
            if not self.write_blocked and self.transport is not None:
                self.transport.write(self.engine.take_output())
        super().abort()

    def _fail_all(self, error: RequestError) -> None:
        for exchange in list(self.live.values()):
            exchange.fail(type(error)(error.message, retryable=error.retryable))
