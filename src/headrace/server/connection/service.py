"""What all connections of one server share: the application, the limits, the clock of `date`, and who is connected."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from headrace.engine.contract import Turns
from headrace.engine.server_names import ServerNames
from headrace.server.request_id import RequestIds
from headrace.transport.addresses import address_pair
from headrace.transport.clock import DateClock
from headrace.transport.log import Seldom, get_logger
from headrace.transport.loop_work import LIGHT_WORK
from headrace.websocket.fair_share import ProcessRoom

if TYPE_CHECKING:
    from headrace.engine.limits import Limits
    from headrace.server.connection.application import Application
    from headrace.server.connection.driver import ServerDriver
    from headrace.server.connection.exchange import Exchange
    from headrace.server.settings.config import Config

CROWD: Final = 4  # connections with more input than a turn takes, before turns become shorter
LEAST_OF_A_TURN: Final = 5  # a turn is no shorter than this part of a whole one: each costs a write of its own
FIRST_TURN: Final = Turns(LIGHT_WORK)
"""The turn of a connection whose first input comes when the loop's work is used up: a browser's first request fits in
it, with the settings and the window before it. Twenty first reads of a hundred requests each held others up for 55 to
141 ms."""

protocol_log: Final = get_logger("headrace.protocol")


class Watcher(Protocol):
    """A listener to a server's connections: telemetry, which stands above them."""

    def connection_opened(self, connection: ServerDriver) -> None:
        """A client has connected."""

    def connection_closed(self, connection: ServerDriver) -> None:
        """A connection has gone, and the last of its workers has ended."""


class Service:
    """Made once a server, before it listens; connections read from it what they need."""

    def __init__(self, application: Application, config: Config) -> None:
        self.application = application
        self.watcher: Watcher | None = None
        """Told of connections; None when nobody wants to know, which costs nothing."""
        self.request_ids: RequestIds = RequestIds(config.request_id_header)
        self.exchange_type: type[Exchange] = application.exchange_type
        self.tunnel_type: type[Exchange] = application.tunnel_type
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
        """Says when the operator is told that the process has no descriptor left."""
        self.context: contextvars.Context = contextvars.copy_context()
        """The context in which the server is started. Workers, timers and callbacks run in copies of it, whoever makes
        them: what one request sets is seen by no other one."""
        self.debug_protocol: bool = protocol_log.isEnabledFor(logging.DEBUG)
        self.addresses: list[str] = []
        """Where the server listens on TCP, as URLs without a path."""
        self.drivers: set[ServerDriver] = set()
        """Connections that are open, or have workers left."""
        self.turns: Turns = Turns(config.limits.frames_per_turn)
        """How much of their input connections take at once; less in a crowd."""
        self.message_room: ProcessRoom = ProcessRoom(config.max_messages_size)
        self.crowd: int = 0
        """Connections that have more input than one turn takes, and wait for the next."""
        self.drain_deadline: float | None = None
        """When the drain ends, on the event loop's clock; None as long as none has begun."""
        self.is_ending = False
        """True once workers are cancelled because the server ends."""
        self.on_lost: Callable[[], None] | None = None
        """Called when a connection's transport is gone."""
        self._empty: asyncio.Event | None = None

    def local_address(self, transport: asyncio.BaseTransport) -> tuple[str, int | None] | None:
        """Our own end of a connection, as ASGI's `server`: host and port, or path and None."""
        name = transport.get_extra_info("sockname")
        if isinstance(name, str):
            return (name, None) if name else None
        if isinstance(name, bytes):
            return (name.decode("utf-8", "surrogateescape"), None) if name else None
        return address_pair(name)

    def opened(self, driver: ServerDriver) -> None:
        """A connection is there."""
        self.drivers.add(driver)
        if self.watcher is not None:
            self.watcher.connection_opened(driver)

    def share_turns(self, change: int) -> None:
        """So many connections more (or less) have input for a further turn. Above CROWD all together get as many frames
        as CROWD would: whoever comes with a single request does not wait for a hundred of each of the others."""
        self.crowd += change
        whole = self.limits.frames_per_turn
        if self.crowd > CROWD:
            self.turns.frames = max(1, whole // LEAST_OF_A_TURN, whole * CROWD // self.crowd)
        else:
            self.turns.frames = whole

    def lost(self) -> None:
        """A connection's transport is gone; workers of it may be left."""
        if self.on_lost is not None:
            self.on_lost()

    def closed(self, driver: ServerDriver) -> None:
        """A connection is gone, and the last of its workers has ended."""
        self.drivers.discard(driver)
        if self.watcher is not None:
            self.watcher.connection_closed(driver)
        if self._empty is not None and not self.drivers:
            self._empty.set()

    async def emptied(self) -> None:
        """Wait until no connection is left."""
        if self.drivers:
            self._empty = asyncio.Event()
            await self._empty.wait()
