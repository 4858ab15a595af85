"""A place for one connection of `headrace bench`: its requests, its loss, and its replacement."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from headrace.cli.bench.arrivals import NEVER
from headrace.client.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headrace.cli.bench.result import Plan, Tally
    from headrace.client.connection.driver import ClientDriver, DriverOwner
    from headrace.client.connection.exchange import ClientExchange
    from headrace.client.interface import Outgoing

_FIRST_PAUSE_S: Final = 0.05  # before a failed connection is tried again; doubled each time
_LONGEST_PAUSE_S: Final = 2.0


class Bench(Protocol):
    """The run that has the places: see `headrace.cli.bench.run.Run`."""

    plan: Plan
    outgoing: Outgoing
    connect: Callable[[DriverOwner], Awaitable[ClientDriver]]
    loop: asyncio.AbstractEventLoop
    clock: Callable[[], float]
    tally: Tally
    is_running: bool
    is_stopped: bool

    def offer(self, place: BenchPlace) -> None:
        """Begin requests: `place` may have room."""

    def on_change(self) -> None:
        """Handle that a connection has been made, or was lost."""


class BenchPlace:
    """Has one connection at a time, and is its owner. A lost one is replaced while the run goes on."""

    __slots__ = ("_current", "_is_open_loop", "_pause", "_run", "_task", "began", "drivers", "index", "is_dead",
                 "is_listed", "streams")  # fmt: skip

    def __init__(self, run: Bench, index: int) -> None:
        self.index: int = index
        self.streams: int = run.plan.streams
        self.drivers: set[ClientDriver] = set()
        """Connections that are not lost, including those that take no further request."""
        self.began: dict[ClientExchange, tuple[float, float]] = {}
        """Requests under way: when each was due, and when it was begun."""
        self.is_dead: bool = False
        """True once no connection can be made here any more."""
        self.is_listed: bool = False
        """True while it is in the list of places with room."""
        self._run = run
        self._is_open_loop = run.plan.rate is not None
        self._current: ClientDriver | None = None
        self._task: asyncio.Task[None] | None = None
        self._pause = 0.0

    @property
    def has_room(self) -> bool:
        """Return True when `begin` may be called."""
        return self._current is not None and len(self.began) < self.streams and self._current.has_room

    def begin(self, due: float) -> bool:
        """Send a request that was due at `due`, NEVER in a closed loop. Return False when it ended at once."""
        driver = self._current
        assert driver is not None
        run = self._run
        now = run.clock()
        exchange = driver.begin(run.outgoing, on_done=self._on_done, discard=True)
        began = (now if due == NEVER else due, now)
        if exchange.is_over:  # the connection was lost during the write
            self._count(exchange, began)
            return False
        self.began[exchange] = began
        return True

    def _on_done(self, exchange: ClientExchange) -> None:
        began = self.began.pop(exchange, None)
        if began is not None:
            self._count(exchange, began)

    def _count(self, exchange: ClientExchange, began: tuple[float, float]) -> None:
        tally = self._run.tally
        error = exchange.error
        if error is not None:
            if not self._run.is_stopped:
                message = error.message if isinstance(error, RequestError) else str(error)
                tally.error(self.index, type(error).__name__, message)
            return
        now = self._run.clock()
        self._pause = 0.0
        tally.answer(self.index, exchange.status, exchange.received, now - began[0])
        if self._is_open_loop:
            tally.service.record(now - began[1])

    # -- connections -------------------------------------------------------------------------------------------

    async def connect(self) -> Exception | None:
        """Make a connection. Return the error, or None."""
        run = self._run
        begin = run.clock()
        try:
            driver = await run.connect(self)
        except RequestError as error:
            return error
        run.tally.connect.record(run.clock() - begin)
        run.tally.connections[self.index].connects += 1
        if run.is_stopped:
            driver.abort()
        elif driver.is_usable:
            self._current = driver
        return None

    def try_again(self) -> None:
        """Make a connection, after a pause that grows while connections bring no answer."""
        if self._run.is_running and self._task is None:
            self._task = self._run.loop.create_task(self._try_again())

    async def _try_again(self) -> None:
        run = self._run
        while run.is_running and self._current is None:
            if self._pause:
                await asyncio.sleep(self._pause)
            if self._pause > _LONGEST_PAUSE_S:
                self.is_dead = True
                break
            self._pause = self._pause * 2 or _FIRST_PAUSE_S
            error = await self.connect()
            if error is not None:
                run.tally.error(self.index, type(error).__name__, getattr(error, "message", str(error)))
        self._task = None
        if self._current is None:
            run.on_change()
        else:
            run.offer(self)

    def end(self) -> None:
        """End everything here."""
        if self._task is not None:
            self._task.cancel()
        for driver in list(self.drivers):
            driver.close()

    # -- callbacks of the driver -------------------------------------------------------------------------------

    def on_ready(self, driver: ClientDriver) -> None:
        """See DriverOwner."""
        self.drivers.add(driver)

    def on_room(self, driver: ClientDriver) -> None:
        """See DriverOwner."""
        if driver is self._current:
            self._run.offer(self)
        if not self.began:
            self._run.on_change()

    def on_origins(self, driver: ClientDriver) -> None:
        """See `DriverOwner`."""

    def on_unusable(self, driver: ClientDriver) -> None:
        """See DriverOwner."""
        if driver is self._current:
            self._current = None
            driver.drain(self._run.loop.time() + self._run.plan.timeout_s)
            self.try_again()

    def on_lost(self, driver: ClientDriver, error: RequestError | None) -> None:
        """See DriverOwner."""
        self.drivers.discard(driver)
        self.on_unusable(driver)
        if not self.began:
            self._run.on_change()
