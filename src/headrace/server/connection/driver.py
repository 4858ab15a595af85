"""One connection of a server: it starts a worker for each request, and gives events of a stream to its worker.

It knows nothing of logs and metrics: `headrace.server.telemetry` derives a class from this one for them.
"""

from __future__ import annotations

from asyncio import Task
from typing import TYPE_CHECKING, Any, Final

from headrace.engine.contract import ServerEngine
from headrace.engine.detection import Detection
from headrace.engine.errors import error_name
from headrace.engine.events import (
    ACCEPTED,
    CONNECT,
    DATA,
    DRAIN,
    ENDED,
    FAULT,
    PROTOCOL,
    REFUSED,
    REQUEST,
    RESET,
    TRAILERS,
    ConnectReceived,
    DataReceived,
    PeerFault,
    ProtocolDetected,
    RequestReceived,
    StreamRefused,
    StreamReset,
)
from headrace.engine.h1 import H1ServerConnection
from headrace.engine.h2 import H2ServerConnection
from headrace.server.connection.service import FIRST_TURN, Service
from headrace.server.connection.worker import IS_EAGER, start_worker, start_worker_in
from headrace.transport.addresses import address_pair, peer_text
from headrace.transport.connection import Connection
from headrace.transport.log import get_logger
from headrace.transport.loop_work import CANCELLED_WORK
from headrace.transport.peer_state import peer_has_closed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from headrace.server.connection.application import DrivenExchange
    from headrace.websocket.fair_share import ConnectionShare

protocol_log: Final = get_logger("headrace.protocol")


class ServerDriver(Connection):
    """Joins a connection to the workers of its requests.

    `live` holds the exchanges whose workers have not ended, also those whose streams were reset. Their number counts
    against `max_concurrent_streams`, so that resets buy no more work. As many requests again may wait for a place.
    """

    __slots__ = (
        "__weakref__",
        "_date",
        "_detection",
        "_waiting",
        "app_state",
        "client",
        "drain_deadline",
        "exchange_type",
        "handler",
        "http_version",
        "live",
        "local",
        "max_live",
        "scheme",
        "scope_base",
        "service",
        "websocket_share",
    )

    engine: ServerEngine
    writes_to_the_end = True

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop, service.limits.stalled_send_timeout_s, service.context)
        self.service: Service = service
        self.exchange_type: type[DrivenExchange] = service.exchange_type
        self.handler: Any = service.application.handler
        self.app_state: dict[str, Any] | None = service.application.state
        self.scope_base: dict[str, Any] | None = None
        """Scope that the requests of this connection share, for an adapter."""
        self.max_live: int = service.limits.max_concurrent_streams
        self.live: dict[int, DrivenExchange] = {}
        self._waiting: dict[int, DrivenExchange] | None = None
        self._date: object = None
        self._detection: Detection | None = None
        self.client: tuple[str, int] | None = None
        self.local: tuple[str, int | None] | None = None
        self.scheme: str = "http"
        """`https` over TLS, or if a load balancer's PROXY header says that its client speaks TLS to it."""
        self.http_version: str = "2"
        self.websocket_share: ConnectionShare | None = None
        """Resources that the WebSockets of this connection share, once there is one."""
        self.drain_deadline: float | None = None
        """Time, on the event loop's clock, when the drain ends; None while none has begun."""

    # -- the connection ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.client = address_pair(transport.get_extra_info("peername"))
        self.local = self.service.local_address(transport)
        tls = transport.get_extra_info("ssl_object")
        service = self.service
        protocols = service.protocols
        chosen: str | None = protocols[0] if len(protocols) == 1 else None
        if tls is not None or transport.get_extra_info("proxied_tls"):
            self.scheme = "https"
        if tls is not None:
            chosen = tls.selected_alpn_protocol() or "http/1.1"
        if chosen in protocols:
            self._use_protocol(chosen)
        else:
            self._detect()
        service.opened(self)
        super().connection_made(transport)
        if service.drain_deadline is not None:  # it was accepted before the listener closed
            self.begin_drain(service.drain_deadline)
        if chosen is not None and chosen not in protocols:  # RFC 9113 §3.2: over TLS, HTTP/2 is chosen by ALPN
            if service.debug_protocol:
                protocol_log.debug("%s: TLS without ALPN for %s", peer_text(self.client), " or ".join(protocols))
            self.close()

    def _detect(self) -> None:
        """Let the client's first bytes decide the protocol. Until then there is no engine."""
        connection: Connection = self  # the transport calls no verbs, so a Detection is enough for it
        connection.engine = self._detection = Detection(self.service.limits, self.loop.time())

    def _use_protocol(self, protocol: str) -> None:
        """Create the engine of `protocol`, by its name in ALPN."""
        self._detection = None
        service = self.service
        now = self.loop.time()
        engine: ServerEngine
        if protocol == "h2":
            engine = H2ServerConnection(
                service.limits,
                enable_connect_protocol=service.takes_websockets,
                now=now,
                scheme=self.scheme.encode(),
            )
            self.http_version = "2"
        else:
            engine = H1ServerConnection(
                service.limits, now=now, scheme=self.scheme.encode(), websockets=service.takes_websockets
            )
            self.http_version = "1.1"
        engine.turns = service.turns
        engine.drop_connection_fields = service.drop_connection_fields
        engine.drop_underscore_fields = service.drop_underscore_fields
        engine.server_names = service.server_names
        self._date = None
        self.engine = engine

    def before_input(self, now: float) -> None:
        clock = self.service.clock
        if now >= clock.valid_until:
            clock.renew(now)
        if clock.fields is not self._date and self._detection is None:
            engine = self.engine
            engine.set_default_fields(clock.fields)
            if engine.work < 0 and self._turns.work.left <= 0:
                engine.turns = FIRST_TURN  # `_date` stays, so that the next input comes here again
            else:
                engine.turns = self.service.turns
                self._date = clock.fields

    def on_turn(self, change: int) -> None:
        self.service.share_turns(change)

    def take_turn(self) -> None:
        """Take the turn that was waited for, but not for a client that has gone: while reading is paused, nothing else
        reports its end, and each turn would start handlers for it."""
        if self._read_paused and peer_has_closed(self.transport):
            self.abort()
        super().take_turn()

    def on_lost(self) -> None:
        if self._waiting:
            self._waiting.clear()
        self.service.lost()
        if not self.live:
            self.service.closed(self)

    def on_stalled(self) -> None:
        protocol_log.warning("%s: the client took no byte of our output (limit stalled_send_timeout_s)", self.peer_name)

    @property
    def peer_name(self) -> str:
        """The client's address, for a log."""
        return peer_text(self.client)

    @property
    def open_streams(self) -> int:
        """Requests that are open on this connection."""
        return self.engine.open_streams if self._detection is None else 0

    def begin_drain(self, deadline: float) -> None:
        """Begin the graceful end of this connection: GOAWAY at once, the rest at `deadline` at the latest."""
        if self.transport is None or self._ending:
            return
        self._drain_began(deadline)
        if self._detection is not None:
            self.close()
            return
        self.engine.begin_drain(self.loop.time(), deadline)
        self._flush()

    def _drain_began(self, deadline: float) -> None:
        self.drain_deadline = deadline
        for exchange in list(self.live.values()):
            exchange.on_drain(deadline)

    def cancel_workers(self) -> None:
        """Cancel every worker that is still running."""
        for exchange in list(self.live.values()):
            exchange.cancel()

    # -- events ------------------------------------------------------------------------------------------------

    def on_events(self, events: Sequence[Any]) -> None:
        # Enter the context here, where workers are started: a task takes the context of the code that makes it. Enter
        # it once a batch, because giving each task a copy by name costs 2 % of a small request; a request that comes
        # alone is cheaper by name, and a piece of content starts nothing.
        if len(events) == 1:
            event = events[0]
            kind = event.kind
            if kind == REQUEST and not self._waiting and len(self.live) < self.max_live:
                exchange = self.exchange_type(self, event)
                task = start_worker_in(self.context.copy(), exchange.run(), self.loop)
                if not task.done():
                    exchange.task = task
                    self.live[event.stream_id] = exchange
                return
            if kind == DATA:
                self._on_data(event)
                return
        self.context.copy().run(self._take_events, events)

    def _take_events(self, events: Sequence[Any]) -> None:
        # Typed loosely: `kind` says what an event is, and an isinstance for mypy costs 30 ns an event.
        live = self.live
        loop = self.loop
        exchange_type = self.exchange_type
        for event in events:
            kind = event.kind
            if kind == REQUEST:
                if self._waiting or len(live) >= self.max_live:
                    self._postpone(event)
                    continue
                exchange = exchange_type(self, event)
                if IS_EAGER:  # pragma: no cover: Python 3.12; as start_worker, whose call costs 1 % of a small request
                    task = Task(exchange.run(), loop=loop, eager_start=True)  # type: ignore[call-arg]  # from 3.12 on
                else:
                    task = start_worker(exchange.run(), loop)
                if not task.done():
                    exchange.task = task
                    live[event.stream_id] = exchange
            elif kind == DATA:
                self._on_data(event)
            elif kind == ACCEPTED:
                found = live.get(event.stream_id)
                if found is not None:
                    found.on_accepted()
            elif kind == RESET:
                self._on_reset(event)
            elif kind == TRAILERS:
                found = self._find(event.stream_id)
                if found is not None:
                    found.on_trailers(event.headers, event.never_indexed)
            elif kind == FAULT:
                self._on_fault(event)
            elif kind == ENDED:
                if self.service.debug_protocol:
                    protocol_log.debug(
                        "%s: connection ended by %s: %s", self.peer_name, _side(event.initiator), event.reason
                    )
            elif kind == CONNECT:
                self._on_connect(event)
            elif kind == PROTOCOL:
                self._on_protocol(event)
            elif kind == REFUSED:
                self._on_refused(event)
            elif kind == DRAIN and self.drain_deadline is None:
                self._drain_began(self.loop.time() + self.service.limits.drain_timeout_s)

    def _on_data(self, event: DataReceived) -> None:
        exchange = self.live.get(event.stream_id)
        if exchange is None and self._waiting:
            exchange = self._waiting.get(event.stream_id)
        if exchange is None:
            self.engine.acknowledge_data(event.stream_id, event.flow_length)
        else:
            exchange.on_data(event)

    def _find(self, stream_id: int) -> DrivenExchange | None:
        exchange = self.live.get(stream_id)
        if exchange is None and self._waiting:
            return self._waiting.get(stream_id)
        return exchange

    def _on_reset(self, event: StreamReset) -> None:
        if self._waiting:
            self._waiting.pop(event.stream_id, None)
        exchange = self.live.get(event.stream_id)
        if exchange is not None:
            self._turns.work.left -= CANCELLED_WORK
            exchange.on_reset(event.reason)

    def _on_refused(self, event: StreamRefused) -> None:
        """Do nothing: nothing is kept of a refused request. ObservedDriver reports it."""

    def _on_fault(self, event: PeerFault) -> None:
        if event.budget:
            protocol_log.warning("%s: %s (limit %s, %s)", self.peer_name, event.reason, event.budget, event.section)
        elif self.service.debug_protocol:
            where = f"stream {event.stream_id}" if event.scope == "stream" else "connection"
            protocol_log.debug(
                "%s: %s on %s: %s (%s)", self.peer_name, error_name(event.code), where, event.reason, event.section
            )

    # -- workers -----------------------------------------------------------------------------------------------

    def exchange_ended(self, exchange: DrivenExchange) -> None:
        """Free the place of a worker that had to wait and has ended."""
        self.live.pop(exchange.stream_id, None)
        exchange.task = None  # with the error that ended it, it would be garbage for the collector
        if self._waiting:
            self.loop.call_soon(self._start_waiting, context=self.context.copy())
        elif self.transport is None and not self.live:
            self.service.closed(self)

    def _on_connect(self, event: ConnectReceived) -> None:
        """Handle a request for a tunnel. Applications get only those for WebSocket (RFC 9110 §15.6.2)."""
        if event.protocol != b"websocket":
            self.engine.send_response(event.stream_id, 501, (), b"")
        elif self._waiting or len(self.live) >= self.max_live:
            self._postpone(event)
        else:
            self._start(self.service.tunnel_type(self, event))

    def _start(self, exchange: DrivenExchange) -> None:
        task = start_worker(exchange.run(), self.loop)
        if not task.done():
            exchange.task = task
            self.live[exchange.stream_id] = exchange

    def _on_protocol(self, event: ProtocolDetected) -> None:
        """Switch to the engine of the protocol that the client speaks."""
        self._use_protocol(event.protocol)
        self.before_input(self.loop.time())
        events = self.engine.receive_data(event.data, self.loop.time())
        if events:
            self.on_events(events)

    def _postpone(self, head: RequestReceived) -> None:
        """Let a request wait for a place, or refuse it: all are taken, some by workers whose streams are over
        already."""
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = {}
        if len(waiting) >= self.max_live:
            self.engine.refuse_stream(head.stream_id)
        else:
            make = self.exchange_type if head.kind == REQUEST else self.service.tunnel_type
            waiting[head.stream_id] = make(self, head)

    def _start_waiting(self) -> None:
        waiting = self._waiting
        while waiting and len(self.live) < self.max_live and self.transport is not None:
            stream_id = next(iter(waiting))
            self._start(waiting.pop(stream_id))


def _side(initiator: str) -> str:
    return "the client" if initiator == "remote" else "the server"
