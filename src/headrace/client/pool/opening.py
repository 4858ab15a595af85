"""Makes the connections of a pool: one task for each attempt, and connections shared between origins."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any, Protocol

from headrace.client.errors import PoolError
from headrace.client.pool.coalescing import may_share
from headrace.client.pool.pooled_connection import Keeper, PooledConnection
from headrace.client.timeouts import NO_TIMEOUTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.client.connect.addresses import SocketAddress
    from headrace.client.connect.config import NetworkConfig
    from headrace.client.connect.connector import Connector
    from headrace.client.connection.driver import ClientDriver, DriverOwner
    from headrace.client.interface import Origin
    from headrace.client.pool.place import OriginPlace
    from headrace.client.pool.policy import Open


class Connects(Protocol):
    """Makes connections: `Connector`, or an object in its place."""

    async def connect(self, origin: Origin, owner: DriverOwner, **options: Any) -> ClientDriver:
        """See `Connector.connect`."""
        ...


class Opens(Keeper, Protocol):
    """The transport that asks for connections: see `NetworkTransport`."""

    config: NetworkConfig
    links: dict[ClientDriver, PooledConnection]

    def failed(self, link: PooledConnection, error: Exception) -> None:
        """Fail the requests that depended on an attempt."""

    def attempt_ended(self, place: OriginPlace) -> None:
        """Serve the waiting requests: an attempt has ended."""


class ConnectionOpener:
    """Makes connections for `network` by `connector`. `own` is the same connector when the network has made it."""

    __slots__ = ("_connecting", "_connector", "_network", "_own")

    def __init__(self, network: Opens, connector: Any, own: Connector | None) -> None:
        self._network = network
        self._connector = connector
        self._own = own
        self._connecting: dict[asyncio.Task[None], PooledConnection] = {}

    def open(self, step: Open) -> None:
        """Begin an attempt, in a task of its own."""
        loop = asyncio.get_running_loop()
        link = PooledConnection(self._network, step, self._is_proxied(step.place), loop.time())
        # In a new context, not in that of the first request: the connection serves all, and would keep it alive.
        task = link.task = loop.create_task(self._connect(link), context=contextvars.Context())
        self._connecting[task] = link
        task.add_done_callback(self._connecting.pop)
        self._network.attempt_changed(step.place)

    async def _connect(self, link: PooledConnection) -> None:
        step = link.step
        place = step.place
        # Without time limits: each waiting request has its own, and this ends when the last of them has gone.
        options: dict[str, Any] = {
            "protocols": step.protocols,
            "timeouts": NO_TIMEOUTS,
            "on_handshake": link.on_handshake,
        }
        if self._own is not None and self._may_share(step):

            def share(addresses: Sequence[SocketAddress]) -> ClientDriver | None:
                return self._shareable(place, addresses)

            options["share"] = share
        try:
            driver = await self._connector.connect(place.origin, link, **options)
        except asyncio.CancelledError:
            self._network.failed(link, PoolError("the client was closed"))
            raise
        except Exception as error:
            self._network.failed(link, error)
            return
        if link.has_failed:  # it was abandoned at the moment when it was done
            driver.abort()
        elif driver in self._network.links and self._network.links[driver] is not link:
            link.has_failed = True  # from now on it is not an attempt of its own
            self._network.pool.shared(step, driver)
            self._network.attempt_ended(place)
        else:
            self._network.opened(link, driver)

    def _may_share(self, step: Open) -> bool:
        config = self._network.config
        return config.coalesce and config.http2 and not step.is_spare and not step.place.is_alone

    def _shareable(self, place: OriginPlace, addresses: Sequence[SocketAddress]) -> ClientDriver | None:
        if not place.is_waited_for:
            return None
        for driver, link in self._network.links.items():
            if link.is_proxied or link.place is place or driver not in self._network.pool.homes:
                continue
            if may_share(driver, link.place.origin, place.origin, addresses):
                return driver
        return None

    def _is_proxied(self, place: OriginPlace) -> bool:
        own = self._own
        return own is None or self._network.config.uds is not None or own.proxy_for(place.origin) is not None

    def attempts_of(self, place: OriginPlace) -> list[PooledConnection]:
        """Return the attempts that are under way for an origin."""
        return [
            link
            for link in self._connecting.values()
            if link.place is place and not link.is_open and not link.has_failed
        ]

    async def aclose(self) -> None:
        """End the attempts, and wait for their tasks."""
        for task, link in self._connecting.items():
            if not link.is_open:  # else a request may run on it already
                task.cancel()
        if self._connecting:
            await asyncio.wait(list(self._connecting))
