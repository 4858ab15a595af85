"""Shares of the upstream: each visitor may have a share of the places, so that others have some.

A request needs a place at the upstream: a connection of HTTP/1.1, or a stream of HTTP/2. Their number is the
transport's limit, and the transport has one queue for all. So a request enters that queue only when its visitor has a
place left; until then it waits in a queue of its connection. Connections of one address take turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from headrace.client.errors import PoolTimeout
from headrace.client.interface import Origin

SHARE_OF_CONNECTION: Final = 0.25
"""The share of all places that requests of one connection may hold: three such connections leave as much to a
fourth."""
SHARE_OF_ADDRESS: Final = 0.5
"""The same for one address (IPv4, or a /64 of IPv6): an office or a carrier has many users behind one, and half of the
places is left when it is one attacker with many connections."""
_STREAMS: Final = 100  # what most servers allow on a connection, for as long as ours has not said


class UpstreamPlaces:
    """Gives places to visitors, of which there are `capacity()`: asked each time, so it may change; with None no
    visitor waits. A visitor gets one at least."""

    def __init__(self, capacity: Callable[[], int | None], of_connection: float, of_address: float) -> None:
        self._capacity = capacity
        self._of_connection = of_connection
        self._of_address = of_address
        self._addresses: dict[str, _AddressRequests] = {}

    @property
    def held(self) -> int:
        """Places that are taken."""
        return sum(address.held for address in self._addresses.values())

    @property
    def waiting(self) -> int:
        """Requests that wait because their visitor has its share."""
        return sum(len(each.waiting) for address in self._addresses.values() for each in address.connections.values())

    @property
    def visitors(self) -> int:
        """Number of addresses that hold a place or wait."""
        return len(self._addresses)

    async def take(self, connection: object, address: str, timeout: float | None, url: str) -> Hold:
        """Wait until this visitor may have a place, first come first served, and return it, for a request of
        `connection`. An empty `address` is an unknown one, which has no share of its own. Raises PoolTimeout after
        `timeout` seconds."""
        loop = asyncio.get_running_loop()
        visitor = self._addresses.get(address)
        if visitor is None:
            visitor = self._addresses[address] = _AddressRequests(address)
        line = visitor.connections.get(connection)
        if line is None:
            line = visitor.connections[connection] = _ConnectionRequests(connection)
        of_connection, of_address = self._shares(visitor)
        if not line.waiting and not visitor.ready and line.held < of_connection and visitor.held < of_address:
            line.held += 1
            visitor.held += 1
            return Hold(self, visitor, line, loop)
        future: asyncio.Future[None] = loop.create_future()
        line.waiting[future] = None
        if line.held < of_connection:
            visitor.ready[line] = None
        self._serve(visitor)
        timer = None if timeout is None else loop.call_later(timeout, _time_out, future, timeout, url)
        try:
            await future
        except BaseException:
            line.waiting.pop(future, None)
            if future.cancelled() or future.exception() is not None:
                self._forget(visitor, line)
            else:  # the place was granted, and this task was cancelled before it resumed
                self.give_back(visitor, line)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return Hold(self, visitor, line, loop)

    def give_back(self, visitor: _AddressRequests, line: _ConnectionRequests) -> None:
        """End a request; the next request of its visitor gets its place."""
        line.held -= 1
        visitor.held -= 1
        if line.waiting:
            visitor.ready[line] = None
        self._serve(visitor)
        self._forget(visitor, line)

    def _shares(self, visitor: _AddressRequests) -> tuple[float, float]:
        """Return how many places one connection of `visitor` may hold, and how many all of its connections together."""
        capacity = self._capacity()
        if capacity is None:
            return float("inf"), float("inf")
        of_address = max(1, int(capacity * self._of_address)) if visitor.name else float("inf")
        return max(1, int(capacity * self._of_connection)), of_address

    def _serve(self, visitor: _AddressRequests) -> None:
        of_connection, of_address = self._shares(visitor)
        ready = visitor.ready
        while ready and visitor.held < of_address:
            line = next(iter(ready))
            del ready[line]
            while line.waiting and line.held < of_connection:
                future = next(iter(line.waiting))
                del line.waiting[future]
                if not future.done():
                    line.held += 1
                    visitor.held += 1
                    future.set_result(None)
                    break
            if line.waiting and line.held < of_connection:
                ready[line] = None  # behind the other connections: they take turns
            else:
                self._forget(visitor, line)

    def _forget(self, visitor: _AddressRequests, line: _ConnectionRequests) -> None:
        """Forget a connection that holds nothing and waits for nothing."""
        if line.waiting:
            return
        visitor.ready.pop(line, None)
        if line.held or visitor.connections.get(line.connection) is not line:
            return
        del visitor.connections[line.connection]
        if not visitor.connections and self._addresses.get(visitor.name) is visitor:
            del self._addresses[visitor.name]


class _ConnectionRequests:
    """The requests of one connection: how many hold a place, and which wait."""

    __slots__ = ("connection", "held", "waiting")

    def __init__(self, connection: object) -> None:
        self.connection: object = connection
        self.held: int = 0
        self.waiting: dict[asyncio.Future[None], None] = {}


class _AddressRequests:
    """The connections of one address. Those in `ready` have waiting requests, and may hold more themselves."""

    __slots__ = ("connections", "held", "name", "ready")

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.held: int = 0
        self.connections: dict[object, _ConnectionRequests] = {}
        self.ready: dict[_ConnectionRequests, None] = {}


class Hold:
    """One held place, until `give_back`, or until no object refers to it, such as a response that a middleware has
    replaced."""

    __slots__ = ("_line", "_loop", "_places", "_visitor")

    def __init__(
        self,
        places: UpstreamPlaces,
        visitor: _AddressRequests,
        line: _ConnectionRequests,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._places: UpstreamPlaces | None = places
        self._loop = loop
        self._visitor = visitor
        self._line = line

    def give_back(self) -> None:
        """Give it back. A no-op after the first time."""
        places, self._places = self._places, None
        if places is not None:
            places.give_back(self._visitor, self._line)

    def __del__(self) -> None:
        places = self._places
        if places is not None and not self._loop.is_closed():  # any thread may be the one that collects garbage
            self._loop.call_soon_threadsafe(places.give_back, self._visitor, self._line)


def _time_out(future: asyncio.Future[None], timeout: float, url: str) -> None:
    if not future.done():
        text = f"this visitor's other requests have held its share of the places for {timeout:g} s"
        future.set_exception(PoolTimeout(text, url=url))


class Capacity:
    """Numbers of requests, and of WebSockets, that the upstream accepts at once over `transport`."""

    def __init__(self, transport: Any, origin: Origin) -> None:
        self._config: Any = getattr(transport, "config", None)
        self._pool: Any = getattr(transport, "pool", None)
        self._origin = origin

    @property
    def speaks(self) -> str | None:
        """Protocol of the upstream: "2" or "1.1"; None while it is not known."""
        if not self._config.http1:
            return "2"
        if self._origin.scheme == "http" or not self._config.http2:
            return "1.1"
        place = self._pool.places.get(self._origin)
        speaks: str | None = None if place is None else place.speaks
        return speaks

    @property
    def shares_streams(self) -> bool:
        """True when WebSockets need the same places as requests: streams of HTTP/2."""
        return self._pool is not None and self.speaks != "1.1"

    def of_requests(self) -> int | None:
        """Return the number of places for requests, with WebSockets over HTTP/2; None for a transport without
        limits."""
        config = self._config
        if self._pool is None:
            return None
        speaks = self.speaks
        connections: int = min(config.max_h1_connections_per_origin, config.max_connections)
        if speaks == "1.1":
            return connections
        place = self._pool.places.get(self._origin)
        allowed = [each.capacity for each in place.members if each.http_version == "2"] if place is not None else []
        streams: int = config.max_h2_connections_per_origin * min(allowed, default=_STREAMS)
        return streams if speaks == "2" else min(connections, streams)

    def of_tunnels(self) -> int | None:
        """Return the number of places for WebSockets over HTTP/1.1: the connections that requests leave, at least half
        of all."""
        config = self._config
        if self._pool is None:
            return None
        most: int = config.max_connections
        return max(most - int(config.max_h1_connections_per_origin), most // 2)
