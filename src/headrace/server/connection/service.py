"""The state that all connections of one server share: application, limits, clock of `date`, open connections."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from headrace.engine.contract import Turns
from headrace.engine.server_names import ServerNames
from headrace.server.request_id import RequestIds
from headrace.transport.addresses import address_pair
from headrace.transport.clock import DateClock
from headrace.transport.log import Seldom, get_logger
from headrace.transport.loop_work import LIGHT_WORK
from headrace.websocket.fair_share import ProcessRoom

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.engine.contract import ServerEngine
    from headrace.engine.limits import Limits
    from headrace.server.connection.application import Application, DrivenExchange
    from headrace.server.settings.config import Config
    from headrace.websocket.fair_share import ConnectionShare

CROWD: Final = 4  # connections with more input than a turn takes, before turns become shorter
LEAST_OF_A_TURN: Final = 5  # the shortest turn is a whole one divided by this: each turn costs a write
FIRST_TURN: Final = Turns(LIGHT_WORK)
"""The turn of a connection whose first input comes when the loop's work is used up. A browser's first request fits in
it, with its SETTINGS and WINDOW_UPDATE before it. Twenty first reads of a hundred requests each would delay others by
55 to 141 ms."""

protocol_log: Final = get_logger("headrace.protocol")


class ServedConnection(Protocol):
    """A connection as its exchanges, the service and telemetry see it.

    See `headrace.server.connection.driver.ServerDriver`.
    """

    app_state: dict[str, Any] | None
    client: tuple[str, int] | None
    context: contextvars.Context
    drain_deadline: float | None
    engine: ServerEngine
    flush_due: bool
    handler: Any
    http_version: str
    local: tuple[str, int | None] | None
    loop: asyncio.AbstractEventLoop
    scheme: str
    scope_base: dict[str, Any] | None
    service: Service
    transport: asyncio.Transport | None
    websocket_share: ConnectionShare | None

    def __hash__(self) -> int:
        """Return the same number for the same connection."""

    @property
    def live(self) -> Mapping[int, DrivenExchange]:
        """Exchanges whose workers have not ended, by the numbers of their streams."""

    @property
    def open_streams(self) -> int:
        """Requests that are open on this connection."""

    @property
    def peer_name(self) -> str:
        """The client's address, for a log."""

    def schedule_flush(self) -> None:
        """Write the engine's output at the end of this turn of the event loop; a no-op when that is due already."""

    def exchange_ended(self, exchange: DrivenExchange) -> None:
        """Free the place of a worker that has ended."""

    def on_stalled(self) -> None:
        """Handle that the peer has accepted no bytes for `stalled_send_timeout_s`."""

    def begin_drain(self, deadline: float) -> None:
        """Begin the graceful end, which is over at `deadline` at the latest."""

    def cancel_workers(self) -> None:
        """Cancel every worker that is still running."""

    def close(self, code: int = 0, reason: str = "") -> None:
        """End the connection now, with GOAWAY."""

    def abort(self) -> None:
        """Abort the transport at once."""


class ConnectionWatcher(Protocol):
    """A listener to a server's connections: telemetry, which stands above them."""

    def connection_opened(self, connection: ServedConnection) -> None:
        """Handle a new connection."""

    def connection_closed(self, connection: ServedConnection) -> None:
        """Handle the end of a connection, after its last worker has ended."""


class Service:
    """One object for a server, made before it listens; its connections read from it."""

    def __init__(self, application: Application, config: Config) -> None:
        self.application = application
        self.watcher: ConnectionWatcher | None = None
        """Listener to connections; None costs nothing."""
        self.request_ids: RequestIds = RequestIds(config.request_id_header)
        self.exchange_type: type[DrivenExchange] = application.exchange_type
        self.tunnel_type: type[DrivenExchange] = application.tunnel_type
        self.takes_websockets: bool = application.takes_websockets
        self.protocols: list[str] = config.protocols.split(",")
        self.cancel_on_disconnect: bool = application.cancel_on_disconnect
        self.drop_connection_fields: bool = application.drop_connection_fields
        self.drop_underscore_fields: bool = not config.underscore_fields
        self.server_names: ServerNames | None = ServerNames(config.server_names) if config.server_names else None
        self.limits: Limits = config.limits
        self.max_body_size: int = config.max_body_size
        self.root_path: str = config.root_path
        self.clock: DateClock = DateClock()
        self.exhaustion: Seldom = Seldom()
        """Limits how often a missing descriptor is logged."""
        self.context: contextvars.Context = contextvars.copy_context()
        """The context in which the server is started. Workers, timers and callbacks run in copies of it, whatever code
        starts them, so that no request sees another one's context variables."""
        self.debug_protocol: bool = protocol_log.isEnabledFor(logging.DEBUG)
        self.addresses: list[str] = []
        """Addresses where the server listens on TCP, as URLs without a path."""
        self.drivers: set[ServedConnection] = set()
        """Connections that are open, or whose workers still run."""
        self.turns: Turns = Turns(config.limits.frames_per_turn)
        """Frames of input that a connection takes at once; fewer in a crowd."""
        self.message_room: ProcessRoom = ProcessRoom(config.max_messages_size)
        self.crowd: int = 0
        """Connections that have more input than one turn takes, and wait for the next."""
        self.drain_deadline: float | None = None
        """Time, on the event loop's clock, when the drain ends; None while none has begun."""
        self.is_ending = False
        """True once workers are cancelled because the server ends."""
        self.on_lost: Callable[[], None] | None = None
        """Called when a connection's transport is gone."""
        self._empty: asyncio.Event | None = None

    def local_address(self, transport: asyncio.BaseTransport) -> tuple[str, int | None] | None:
        """Return our own end of a connection, as ASGI's `server`: host and port, or path and None."""
        name = transport.get_extra_info("sockname")
        if isinstance(name, str):
            return (name, None) if name else None
        if isinstance(name, bytes):
            return (name.decode("utf-8", "surrogateescape"), None) if name else None
        return address_pair(name)

    def opened(self, driver: ServedConnection) -> None:
        """Add an open connection."""
        self.drivers.add(driver)
        if self.watcher is not None:
            self.watcher.connection_opened(driver)

    def share_turns(self, change: int) -> None:
        """Count connections that have input for a further turn (`change` is 1 or -1). Above CROWD, all together get as
        many frames as CROWD connections would, so that a connection with one request does not wait for a hundred of
        each other one."""
        self.crowd += change
        whole = self.limits.frames_per_turn
        if self.crowd > CROWD:
            self.turns.frames = max(1, whole // LEAST_OF_A_TURN, whole * CROWD // self.crowd)
        else:
            self.turns.frames = whole

    def lost(self) -> None:
        """Note that a connection's transport is gone; workers of it may still run."""
        if self.on_lost is not None:
            self.on_lost()

    def closed(self, driver: ServedConnection) -> None:
        """Remove a connection that is gone, after the last of its workers has ended."""
        self.drivers.discard(driver)
        if self.watcher is not None:
            self.watcher.connection_closed(driver)
        if self._empty is not None and not self.drivers:
            self._empty.set()

    async def wait_empty(self) -> None:
        """Wait until no connection is left."""
        if self.drivers:
            self._empty = asyncio.Event()
            await self._empty.wait()
