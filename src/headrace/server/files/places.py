"""Places for files that are being sent: how many of them a client, and all clients together, may hold open.

A file stays open as long as its client takes to read it, and each request may be for one. So a file that is more than a
client's share is not opened before others have ended; its request waits, in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final

from headrace.server.open_limit import open_limit
from headrace.transport.addresses import client_key

if TYPE_CHECKING:
    from headrace.server.connection.exchange import Exchange

PART: Final = 4
"""All files together have one part in so many of the process's descriptors; where the kernel sends them, each has a
duplicate of its socket beside."""


def most_files() -> int:
    """Return how many files may be open at once."""
    return max(1, open_limit() // PART)


class Place:
    """The right to hold one file open, until it is given back."""

    __slots__ = ("_client", "_places")

    def __init__(self, places: Places, client: Hashable) -> None:
        self._places: Places | None = places
        self._client = client

    def give_back(self) -> None:
        """Give it back, from any thread, also while garbage is collected. Idempotent."""
        places, self._places = self._places, None
        if places is not None:
            places.give_back(self._client)


class _Turn:
    """A request that waits for a place."""

    __slots__ = ("future", "is_granted", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: asyncio.Future[None] | None = None
        self.is_granted = False

    def wake(self) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(None)


class Places:
    """Gives out places, to threads and to event loops.

    No client gets more than it leaves free for others: the first has up to half of them, the next up to half of the
    rest, so that there are some for whoever comes. `most` says how many there are at the moment.
    """

    def __init__(self, most: Callable[[], int] = most_files) -> None:
        self._most = most
        self._lock = threading.Lock()  # of everything below but `_returned`
        self._used = 0
        self._held: dict[Hashable, int] = {}
        self._waiting: OrderedDict[Hashable, deque[_Turn]] = OrderedDict()
        """Whose turn is next stands first."""
        self._returned: deque[Hashable] = deque()
        """Clients whose places have come back and are not counted yet: the collector of garbage must not wait."""

    def usage(self) -> tuple[int, int]:
        """Return how many places are held, and how many requests wait for one."""
        with self._lock:
            usage = self._used - len(self._returned), sum(map(len, self._waiting.values()))
        self._settle()
        return usage

    def take(self, client: Hashable) -> Place | None:
        """Return a place; None when `client` has its share, or others of its requests wait."""
        with self._lock:
            is_taken = client not in self._waiting and self._take(client)
        self._settle()
        return Place(self, client) if is_taken else None

    async def wait(self, exchange: Exchange) -> Place:
        """Return a place as soon as it is the turn of `exchange`. Raises ClientDisconnected when its client goes."""
        client = client_of(exchange)
        place = self.take(client)
        if place is not None:
            return place
        loop = exchange.driver.loop
        turn = _Turn(loop)
        with self._lock:
            self._waiting.setdefault(client, deque()).append(turn)
            self._grant()  # what has come back since
        self._settle()
        try:
            while not turn.is_granted:
                if exchange.gone is not None:
                    raise exchange.disconnected(None)
                turn.future = loop.create_future()
                exchange.watch(turn.future)
                try:
                    await turn.future
                finally:
                    exchange.unwatch(turn.future)
        except BaseException:
            self._leave(client, turn)
            raise
        return Place(self, client)

    def give_back(self, client: Hashable) -> None:
        """Take a place back, and give it to whoever waits."""
        self._returned.append(client)
        self._settle()

    def _leave(self, client: Hashable, turn: _Turn) -> None:
        with self._lock:
            if turn.is_granted:
                self._returned.append(client)
            else:
                turns = self._waiting[client]
                turns.remove(turn)
                if not turns:
                    del self._waiting[client]
        self._settle()

    def _settle(self) -> None:
        """Count what has come back. Whoever holds the lock meanwhile does so after it."""
        while self._returned and self._lock.acquire(blocking=False):
            try:
                while self._returned:
                    client = self._returned.popleft()
                    self._used -= 1
                    self._held[client] -= 1
                    if not self._held[client]:
                        del self._held[client]
                self._grant()
            finally:
                self._lock.release()

    # Under the lock.

    def _take(self, client: Hashable) -> bool:
        held = self._held.get(client, 0)
        if held >= self._most() - self._used:
            return False
        self._used += 1
        self._held[client] = held + 1
        return True

    def _grant(self) -> None:
        while (client := next(filter(self._take, self._waiting), None)) is not None:
            turns = self._waiting[client]
            turn = turns.popleft()
            if turns:
                self._waiting.move_to_end(client)
            else:
                del self._waiting[client]
            turn.is_granted = True
            with contextlib.suppress(RuntimeError):  # a loop that is closed: its task is collected, and gives it back
                turn.loop.call_soon_threadsafe(turn.wake)


PLACES: Final = Places()
"""Those of the process, as its limit is."""


def client_of(exchange: Exchange) -> Hashable:
    """Return the key of the client of a request; on a unix socket, each connection is one."""
    client = exchange.driver.client
    return client_key(None if client is None else client[0], exchange.driver)
