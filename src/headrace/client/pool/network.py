"""The transport over the network: it carries out the decisions of the pool's policy, and sends requests again that were
certainly not processed.

A request that finds room goes straight to its connection: no task, no timer, one future. All others wait in their
origin's queue for a connection with room: one future each, and one timer per origin for their timeouts (`wait_clock`).
A task of the pool makes a connection, not a request's task, so a caller that gives up, or has little time, takes
nothing from others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from headrace.client.connect.config import NetworkConfig
from headrace.client.connect.connector import Connector
from headrace.client.connection.delivery import MISDIRECTED
from headrace.client.connection.driver import ClientDriver
from headrace.client.connection.exchange import ClientExchange
from headrace.client.connection.held_response import HeldResponse
from headrace.client.errors import ConnectError, PoolError, RequestError, RequestTimeout
from headrace.client.interface import Incoming, Outgoing
from headrace.client.pool.coalescing import is_announced
from headrace.client.pool.http_proxies import HTTPProxies
from headrace.client.pool.opening import ConnectionOpener, Connects
from headrace.client.pool.place import CONNECT, REQUEST, WEBSOCKET, OriginPlace
from headrace.client.pool.policy import Close, Open, Policy, Pool, Refuse, Start
from headrace.client.pool.pooled_connection import PooledConnection
from headrace.client.pool.replay import is_replayable, may_replay
from headrace.client.pool.stats import PoolStats, stats_of
from headrace.client.pool.wait_clock import Attempt, WaitClock, Waiter


def own_connector(config: NetworkConfig) -> Connector:
    """Return a connector for `config` that keeps its connections to proxies for itself."""
    return Connector(config, HTTPProxies(config, NetworkTransport))


class NetworkTransport:
    """Carries requests over connections that it makes, shares and keeps. It belongs to the event loop of its first use.

    `connector` replaces `own_connector(config)` to make connections in another way; its one coroutine is `connect`.
    Raises ValueError for an invalid proxy in the environment.
    """

    def __init__(self, config: NetworkConfig | None = None, *, connector: Connects | None = None) -> None:
        self.config: NetworkConfig = config if config is not None else NetworkConfig()
        own = own_connector(self.config) if connector is None else None
        self._own_connector = own
        self.pool: Pool = Pool(Policy.of(self.config))
        self._places = self.pool.places
        self.links: dict[ClientDriver, PooledConnection] = {}
        """Connections whose transport is open, also those that the pool no longer counts."""
        self._opening = ConnectionOpener(self, connector if own is None else own, own)
        self._clocks: dict[OriginPlace, WaitClock] = {}
        self._is_closed = False
        self._all_gone: asyncio.Future[None] | None = None

    # -- requests ----------------------------------------------------------------------------------------------

    async def send(self, outgoing: Outgoing, *, whole: bool = False) -> Incoming:
        """Send a request and return its response; see `Transport.send`. Use `tunnel` for a tunnel. Raises
        RequestError, and InvalidFieldError for a field that must not be sent."""
        place = self._places.get(outgoing.origin)
        if place is not None and not place.requests:
            for driver in place.members:
                if driver.has_room:
                    exchange = driver.begin(outgoing, whole)  # type: ignore[attr-defined] # the pool's type has fewer methods
                    try:
                        incoming: Incoming = await exchange.head_arrived()
                    except RequestError as error:
                        if not may_replay(outgoing, error, 0, self.config.max_replays):
                            raise
                        return await self._send_by_queue(outgoing, whole, REQUEST, 1)
                    if exchange.status == MISDIRECTED and self._may_redirect(exchange):
                        incoming.close()
                        return await self._send_by_queue(outgoing, whole, REQUEST, 1, is_redirected=True)
                    return incoming
        return await self._send_by_queue(outgoing, whole, REQUEST, 0)

    async def tunnel(self, outgoing: Outgoing) -> HeldResponse:
        """Ask for a tunnel and return the response. With 101, or 2xx, its `tunnel` is open; else read and close it.

        With `outgoing.protocol` it is for a WebSocket, on a connection that can carry one: HTTP/2 where the server
        accepts it there, else HTTP/1.1. Without it is a plain CONNECT to a proxy. Other requests do not wait for it.
        Raises RequestError.
        """
        kind = CONNECT if outgoing.protocol is None else WEBSOCKET
        return cast("HeldResponse", await self._send_by_queue(outgoing, False, kind, 0))

    async def _send_by_queue(
        self, outgoing: Outgoing, whole: bool, kind: int, replays: int, *, is_redirected: bool = False
    ) -> Incoming:
        own = self._own_connector
        if own is not None and kind == REQUEST and outgoing.origin.scheme == "http":
            proxy = own.proxy_for(outgoing.origin)
            if proxy is not None and not proxy.is_socks:
                return await own.proxies.forward(proxy, outgoing, whole=whole)
        while True:
            exchange = await self._wait(outgoing, whole, kind, replays > 0)
            try:
                incoming: Incoming = await exchange.head_arrived()
            except RequestError as error:
                if not may_replay(outgoing, error, replays, self.config.max_replays):
                    raise
                replays += 1
                continue
            if exchange.status == MISDIRECTED and not is_redirected and self._may_redirect(exchange):
                incoming.close()
                is_redirected = True
                replays += 1
                continue
            return incoming

    def _may_redirect(self, exchange: ClientExchange) -> bool:
        """Return True when a request that got 421 should be sent once more on another connection (RFC 9110 §15.5.20).
        Then this origin no longer uses the connection that answered 421."""
        outgoing, driver = exchange.outgoing, cast("ClientDriver", exchange.driver)  # the pool has only ClientDrivers
        place = self._places.get(outgoing.origin)
        if place is None or not is_replayable(outgoing):
            return False
        link = self.links.get(driver)
        if link is not None and link.place is not place:
            place.is_alone = True  # it was another origin's connection; from now on this origin has its own
            self.pool.unshare(place, driver)
            return True
        if place.is_alone:
            return False  # its own connection says so, too: that is the answer
        place.is_alone = True
        self.pool.unusable(driver)
        driver.drain(driver.loop.time() + self.config.drain_timeout_s)
        return True

    async def _wait(self, outgoing: Outgoing, whole: bool, kind: int, is_again: bool) -> ClientExchange:
        """Begin the request on a connection with room, now or as soon as there is one."""
        pool = self.pool
        if self._is_closed:
            raise PoolError("the client is closed", url=outgoing.url)
        if pool.is_full and not is_again:
            raise PoolError(f"{pool.waiting} requests already wait for a connection (max_waiting)", url=outgoing.url)
        loop = asyncio.get_running_loop()
        place = pool.place(outgoing.origin)
        waiter = Waiter(place, kind, pool.next_serial(again=is_again), outgoing, whole, loop.create_future())
        pool.enqueue(waiter)
        self._serve(place)
        future = waiter.future
        if not future.done():
            self._clock_of(place).joined(waiter)
        try:
            return await future
        except BaseException:
            if not self._remove(waiter) and future.done() and not future.cancelled() and future.exception() is None:
                future.result().close()  # it had begun, and its caller had not yet learned of it
            raise
        finally:
            self._settle(place)

    def _clock_of(self, place: OriginPlace) -> WaitClock:
        clock = self._clocks.get(place)
        if clock is None:
            clock = self._clocks[place] = WaitClock(place, self.pool, self)
        return clock

    def _settle(self, place: OriginPlace) -> None:
        """Drop an origin's clock when no request waits and no attempt is under way."""
        if not (place.requests or place.tunnels or place.attempts or place.spare_attempts):
            clock = self._clocks.pop(place, None)
            if clock is not None:
                clock.stop()

    def attempts_of(self, place: OriginPlace) -> list[PooledConnection]:
        """See `wait_clock.Attempts`."""
        return self._opening.attempts_of(place)

    def give_up(self, waiter: Waiter, error: RequestTimeout) -> None:
        """See `wait_clock.Attempts`."""
        if self._remove(waiter):
            waiter.fail(error)

    def abandon(self, attempt: Attempt, error: RequestTimeout) -> None:
        """See `wait_clock.Attempts`."""
        assert isinstance(attempt, PooledConnection)
        self.failed(attempt, error)
        if attempt.task is not None:
            attempt.task.cancel()

    # -- carrying out the pool's steps -------------------------------------------------------------------------

    def _serve(self, place: OriginPlace) -> None:
        next_step = self.pool.next_step
        while (step := next_step(place)) is not None:
            if isinstance(step, Start):
                self._start(step)
            elif isinstance(step, Open):
                self._opening.open(step)
            elif isinstance(step, Close):
                assert isinstance(step.member, ClientDriver)
                step.member.drain(0.0)
            elif isinstance(step, Refuse):
                assert isinstance(step.ticket, Waiter)
                step.ticket.fail(ConnectError(step.reason, retryable=False))
        if self.pool.may_make_room:
            self._serve_many((), starved=True)

    def _remove(self, waiter: Waiter) -> bool:
        """Take a request out of its queue, for a reason of its own. Return False when it was not waiting."""
        found = self.pool.remove(waiter)
        if found:
            self._serve(waiter.place)
        return found

    def _start(self, step: Start) -> None:
        waiter, driver = step
        assert isinstance(waiter, Waiter)
        assert isinstance(driver, ClientDriver)
        link = self.links[driver]
        if waiter.future.done():  # its caller has given up, and has not yet removed it
            self.pool.return_connection(driver)
            return
        link.is_tunnel = waiter.kind != REQUEST and driver.http_version != "2"
        try:
            exchange = waiter.context.run(driver.begin, waiter.outgoing, waiter.whole)
        except Exception as error:  # such as a field that must not be sent: only the caller is at fault
            waiter.fail(error)
            self.pool.return_connection(driver)
        else:
            waiter.future.set_result(exchange)

    def _serve_many(self, places: Sequence[OriginPlace], *, starved: bool) -> None:
        """Serve the requests that wait at `places`; with `starved`, also those that need a new connection."""
        for place in self.pool.in_order(places, starved=starved):
            self._serve(place)

    # -- connections -------------------------------------------------------------------------------------------

    def opened(self, link: PooledConnection, driver: ClientDriver) -> None:
        """Let requests use a connection from now on. Called twice when both the connector and the driver report it."""
        if link.is_open or link.has_failed:
            return
        link.is_open = True
        self.links[driver] = link
        self.pool.opened(link.step, driver)
        if not driver.is_usable:
            self.pool.unusable(driver)
        self.attempt_ended(link.place)

    def failed(self, link: PooledConnection, error: Exception) -> None:
        """Fail the requests that depended on an attempt."""
        if link.is_open or link.has_failed:
            return
        link.has_failed = True
        for ticket in self.pool.failed(link.step):
            assert isinstance(ticket, Waiter)
            ticket.fail(error)
        self.attempt_ended(link.place)
        self._serve_many((), starved=True)

    def attempt_ended(self, place: OriginPlace) -> None:
        """Serve the waiting requests. For those that still wait, another limit counts now."""
        self._serve(place)
        self._clock_of(place).changed()
        self._settle(place)

    def attempt_changed(self, place: OriginPlace) -> None:
        """Handle that an attempt has begun or reached TLS: another limit counts for the waiting requests."""
        self._clock_of(place).changed()

    def has_room(self, driver: ClientDriver) -> None:
        """Serve the requests that `driver` may have room for. Called only while a request waits."""
        self._serve_many(self.pool.homes.get(driver, ()), starved=not driver.live)

    def narrowed(self, driver: ClientDriver) -> None:
        """Handle an ORIGIN frame: origins outside of the set begin no more requests on a shared connection (RFC 8336
        §2.4)."""
        strangers = [
            place
            for place in self.pool.homes.get(driver, ())[1:]
            if not is_announced(driver.announced_origins, place.origin)
        ]
        for place in strangers:
            self.pool.unshare(place, driver)
        self._serve_many(strangers, starved=False)

    def unusable(self, driver: ClientDriver) -> None:
        """Begin no new request on `driver`."""
        places = list(self.pool.homes.get(driver, ()))
        self.pool.unusable(driver)
        if not self._is_closed:
            self._serve_many(places, starved=False)

    def lost(self, link: PooledConnection, driver: ClientDriver) -> None:
        """Forget `driver`: its transport is lost."""
        if self.links.pop(driver, None) is None:
            return
        self.pool.record_end(link.place, driver.has_begun)
        places = self.pool.lost(driver)
        if not self._is_closed:
            self._serve_many(places, starved=True)
        elif not self.links and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)

    # -- the end -----------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Let running requests finish for `drain_timeout_s`, then end everything. Idempotent. Waiting ones get
        PoolError."""
        self._is_closed = True
        error = PoolError("the client was closed", retryable=False)
        for place in list(self._places.values()):
            for ticket in [*place.requests, *place.tunnels]:
                assert isinstance(ticket, Waiter)
                self.pool.remove(ticket)
                ticket.fail(error)
        await self._opening.aclose()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.config.drain_timeout_s
        for driver in list(self.links):
            driver.drain(deadline)
        if self.links:
            if self._all_gone is None:
                self._all_gone = loop.create_future()
            await asyncio.shield(self._all_gone)
        if self._own_connector is not None:
            await self._own_connector.aclose()

    def stats(self) -> PoolStats:
        """Return the open connections, running requests and waiting requests by origin, at this moment."""
        return stats_of(self.pool)
