"""Places for files that are being sent: how many of them one client, and all clients together, may hold open.

A file stays open while its client reads it, and each request may be for a file. So a file above a client's share is not
opened before others have ended; its request waits, in order.
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
    from headrace.server.connection.exchange import ServerExchange

PART: Final = 4
"""All files together may use the process's descriptors divided by this. If the kernel sends a file, a duplicate of its
socket is open, too."""


def most_files() -> int:
    """Return how many files may be open at once."""
    return max(1, open_limit() // PART)


class FilePlace:
    """The right to hold one file open, until it is returned."""

    __slots__ = ("_client", "_places")

    def __init__(self, places: FilePlaces, client: Hashable) -> None:
        self._places: FilePlaces | None = places
        self._client = client

    def give_back(self) -> None:
        """Return the place, from any thread, also during garbage collection. Idempotent."""
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


class FilePlaces:
    """Gives out places, to threads and to event loops.

    Each client must leave as many places free as it holds: the first gets up to half of them, the next up to half of
    the rest, so that new clients find some. `most` is the current number of places.
    """

    def __init__(self, most: Callable[[], int] = most_files) -> None:
        self._most = most
        self._lock = threading.Lock()  # of everything below but `_returned`
        self._used = 0
        self._held: dict[Hashable, int] = {}
        self._waiting: OrderedDict[Hashable, deque[_Turn]] = OrderedDict()
        """Waiting requests; the next one stands first."""
        self._returned: deque[Hashable] = deque()
        """Clients whose places were returned and are not counted yet: the garbage collector must not wait for the
        lock."""

    def usage(self) -> tuple[int, int]:
        """Return how many places are held, and how many requests wait for one."""
        with self._lock:
            usage = self._used - len(self._returned), sum(map(len, self._waiting.values()))
        self._settle()
        return usage

    def take(self, client: Hashable) -> FilePlace | None:
        """Return a place; None if `client` has its share, or others of its requests wait."""
        with self._lock:
            is_taken = client not in self._waiting and self._take(client)
        self._settle()
        return FilePlace(self, client) if is_taken else None

    async def wait(self, exchange: ServerExchange) -> FilePlace:
        """Wait for the turn of `exchange` and return a place. Raises ClientDisconnected if its client goes."""
        client = client_of(exchange)
        place = self.take(client)
        if place is not None:
            return place
        loop = exchange.driver.loop
        turn = _Turn(loop)
        with self._lock:
            self._waiting.setdefault(client, deque()).append(turn)
            self._grant()  # places returned since
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
        return FilePlace(self, client)

    def give_back(self, client: Hashable) -> None:
        """Take a place back, and give it to a waiting request."""
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
        """Count returned places. If another thread holds the lock now, it counts them when it is done."""
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
            with contextlib.suppress(RuntimeError):  # a closed loop: its task is collected, and returns the place
                turn.loop.call_soon_threadsafe(turn.wake)


PLACES: Final = FilePlaces()
"""Places for files of this process, by its limit of descriptors."""


def client_of(exchange: ServerExchange) -> Hashable:
    """Return the key of a request's client; on a unix socket, each connection is a client."""
    client = exchange.driver.client
    return client_key(None if client is None else client[0], exchange.driver)
