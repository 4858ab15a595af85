"""One connection of a pool: the attempt to make it, and the owner of its driver."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from headrace.client.pool.wait_clock import CONNECT as CONNECTING
from headrace.client.pool.wait_clock import TLS

if TYPE_CHECKING:
    from headrace.client.connection.driver import ClientDriver
    from headrace.client.errors import RequestError
    from headrace.client.pool.place import OriginPlace
    from headrace.client.pool.policy import Open, Pool


class Keeper(Protocol):
    """The transport that keeps the connections: see `NetworkTransport`."""

    pool: Pool

    def attempt_changed(self, place: OriginPlace) -> None:
        """Handle that an attempt has begun or reached TLS: another limit counts for the waiting requests."""

    def opened(self, link: PooledConnection, driver: ClientDriver) -> None:
        """Let requests use a connection from now on."""

    def has_room(self, driver: ClientDriver) -> None:
        """Serve the requests that `driver` may have room for."""

    def narrowed(self, driver: ClientDriver) -> None:
        """Handle an ORIGIN frame."""

    def unusable(self, driver: ClientDriver) -> None:
        """Begin no new request on `driver`."""

    def lost(self, link: PooledConnection, driver: ClientDriver) -> None:
        """Forget `driver`: its transport is lost."""


class PooledConnection:
    """One connection, or the attempt to make one, and its place in the pool: the owner of its driver."""

    __slots__ = (
        "has_failed",
        "is_open",
        "is_proxied",
        "is_tunnel",
        "network",
        "phase",
        "phase_since",
        "place",
        "step",
        "task",
    )

    def __init__(self, network: Keeper, step: Open, is_proxied: bool, now: float) -> None:
        self.network: Keeper = network
        self.step: Open = step
        self.place: OriginPlace = step.place
        self.is_proxied: bool = is_proxied
        self.is_open: bool = False
        self.has_failed: bool = False
        self.is_tunnel: bool = False
        self.task: asyncio.Task[None] | None = None
        self.phase: int = CONNECTING
        self.phase_since: float = now

    def on_handshake(self) -> None:
        """Handle that the server is connected, and TLS begins."""
        self.phase = TLS
        self.phase_since = asyncio.get_running_loop().time()
        self.network.attempt_changed(self.place)

    def on_ready(self, driver: ClientDriver) -> None:
        """See `DriverOwner`."""
        self.network.opened(self, driver)

    def on_room(self, driver: ClientDriver) -> None:
        """See `DriverOwner`. Called once per request, so it first checks whether a request waits."""
        if self.is_tunnel and driver.has_room:
            self.is_tunnel = False
            self.network.pool.return_connection(driver)
        if self.network.pool.waiting and self.is_open:
            self.network.has_room(driver)

    def on_origins(self, driver: ClientDriver) -> None:
        """See `DriverOwner`."""
        if self.is_open:
            self.network.narrowed(driver)

    def on_unusable(self, driver: ClientDriver) -> None:
        """See `DriverOwner`."""
        if self.is_open:
            self.network.unusable(driver)

    def on_lost(self, driver: ClientDriver, error: RequestError | None) -> None:
        """See `DriverOwner`. The connector reports a connection that was never ready."""
        if self.is_open:
            self.network.lost(self, driver)
