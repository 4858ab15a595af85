"""The load: places for connections, requests that follow each other on them, and the clock that ends it.

It uses `ClientDriver` directly: no pool, no ClientResponse, no task for each request. A request is a call of `begin`,
and its end is a callback. The next requests begin when the driver reports room, once for each batch of input, so that
they leave in one write.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

from headrace.cli.bench.alarm import Alarm, make_alarm
from headrace.cli.bench.arrivals import NEVER, Arrivals
from headrace.cli.bench.place import BenchPlace
from headrace.cli.bench.result import BenchResult, Interval, Plan, Tally

if TYPE_CHECKING:
    from headrace.client.connection.driver import ClientDriver, DriverOwner
    from headrace.client.interface import Outgoing

TICK_S: Final = 0.25
_LAST_ANSWERS_S: Final = 5.0  # time for the requests under way at the end
_AT_ONCE: Final = 64  # handshakes at the same time

Connect = Callable[["DriverOwner"], Awaitable["ClientDriver"]]


class RunDisplay(Protocol):
    """Follows the progress of a run: the live display."""

    def warm_up(self, now: float) -> None:
        """Show that `now` seconds of the warm-up are over."""

    def show(self, now: float, done: int, errors: int, last: Interval) -> None:
        """Show progress; called four times a second."""


class Run:
    """One run of a plan. `outgoing` is sent again and again; `connect` returns a connection that is ready."""

    def __init__(
        self,
        plan: Plan,
        outgoing: Outgoing,
        connect: Connect,
        watcher: RunDisplay,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan = plan
        self.outgoing = outgoing
        self.connect = connect
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.clock = clock  # not the loop's: uvloop's clock counts milliseconds, and stands still within a turn
        self.tally: Tally = Tally(plan.rate is not None, plan.connections)
        self.arrivals: Arrivals | None = None
        """The open loop's due times; None in the closed loop, and in its warm-up."""
        self.is_running: bool = False
        """True while requests may begin."""
        self.is_stopped: bool = False
        """True once no further connection is made either."""
        self._watcher = watcher
        self._left: float = 0
        self._places = [BenchPlace(self, index) for index in range(plan.connections)]
        self._free: deque[BenchPlace] = deque()
        self._alarm: Alarm | None = None
        self._is_armed = False
        self._changed: asyncio.Future[None] | None = None
        self._start = 0.0

    # -- the run -----------------------------------------------------------------------------------------------

    async def run(self) -> BenchResult:
        """Connect, warm up, measure, and return the result. When it is cancelled during the measurement, it returns the
        result so far, marked as interrupted.

        Raises RequestError when not a single connection can be made.
        """
        plan = self.plan
        result = BenchResult(plan, self.tally, 0.0, 0.0)
        if plan.rate is not None:
            self._alarm = make_alarm(self.loop, self._on_time)
        try:
            await self._connect_all()
            result.http_version, result.address, result.tls = self._describe()
            await self._warm_up()
            await self._measure(result)
        finally:
            self.is_running = False
            self.is_stopped = True
            if self._alarm is not None:
                self._alarm.close()
            for place in self._places:
                place.end()
            await self._until(lambda: not any(place.drivers for place in self._places), _LAST_ANSWERS_S)
        return result

    async def _connect_all(self) -> None:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(place: BenchPlace) -> Exception | None:
            async with gate:
                return await place.connect()

        errors = await asyncio.gather(*(one(place) for place in self._places))
        if None not in errors:
            raise next(error for error in errors if error is not None)

    async def _warm_up(self) -> None:
        plan = self.plan
        if plan.warm_up_s:
            begin = self.clock()
            end = begin + plan.warm_up_s
            self._left = math.inf
            if plan.rate is not None:
                self.arrivals = Arrivals(begin, plan.rate, is_poisson=plan.is_poisson, seed=plan.seed, end=end)
            self._begin()
            while (now := self.clock()) < end:
                self._watcher.warm_up(now - begin)
                await asyncio.sleep(min(TICK_S, end - now))
        connects = self.tally.connect
        self.tally.begin_measuring()
        self.tally.connect = connects

    async def _measure(self, result: BenchResult) -> None:
        plan, tally = self.plan, self.tally
        start = self._start = self.clock()
        cpu, queued = time.process_time(), waited_for_cpu_s()
        end = NEVER if plan.duration_s is None else start + plan.duration_s
        if plan.rate is not None:
            self.arrivals = Arrivals(
                start, plan.rate, is_poisson=plan.is_poisson, seed=plan.seed, count=plan.requests, end=end
            )
        else:
            self._left = math.inf if plan.requests is None else plan.requests
        self._begin()
        try:
            await self._watch(end)
        except asyncio.CancelledError:
            result.is_interrupted = True
        self.is_running = False
        now = self.clock()
        tally.close_interval(now - start)
        result.seconds = now - start
        result.cpu_s = time.process_time() - cpu
        result.waited_s = waited_for_cpu_s() - queued
        result.answers, result.content = tally.answers, tally.content
        result.is_cut_off = all(place.is_dead for place in self._places)
        self._count_never_begun(now)
        if not result.is_interrupted:
            try:
                await self._until(lambda: not self.in_flight, min(plan.timeout_s, _LAST_ANSWERS_S))
            except asyncio.CancelledError:
                result.is_interrupted = True
        tally.unfinished = self.in_flight
        tally.add_late()

    async def _watch(self, end: float) -> None:
        """Wait until everything is done, or until `end`."""
        start, tally = self._start, self.tally
        tick = start + TICK_S
        while True:
            now = self.clock()
            if now >= end or self._is_done():
                return
            if now >= tick:
                last = tally.close_interval(now - start)
                self._watcher.show(now - start, tally.answers, tally.failures, last)
                tick = max(tick + TICK_S, now)
            await self._change(min(tick, end) - now)

    def _is_done(self) -> bool:
        if self.in_flight:
            return False
        if all(place.is_dead for place in self._places):
            return True
        if self.arrivals is not None:
            return self.arrivals.next == NEVER and self.plan.duration_s is None
        return self._left <= 0

    async def _until(self, is_true: Callable[[], bool], seconds: float) -> None:
        """Wait until `is_true` returns True, `seconds` at most."""
        end = self.clock() + seconds
        while not is_true() and (left := end - self.clock()) > 0:
            await self._change(left)

    async def _change(self, seconds: float) -> None:
        """Wait until something has ended with nothing after it, `seconds` at most."""
        changed = self._changed = self.loop.create_future()
        handle = self.loop.call_later(seconds, self.on_change)
        try:
            await changed
        finally:
            handle.cancel()
            self._changed = None

    def on_change(self) -> None:
        """Wake a task that waits for an end."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    @property
    def in_flight(self) -> int:
        """Return the number of requests that are begun and not over."""
        return sum(len(place.began) for place in self._places)

    def _describe(self) -> tuple[str, str, str]:
        driver = next(driver for place in self._places for driver in place.drivers)
        info = driver.info
        tls, peer = info["tls"], info["peer"]
        address = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else str(peer or "")
        cipher = tls["cipher"][0] if tls and tls["cipher"] else ""
        return driver.http_version, address, f"{tls['version']} {cipher}" if tls else ""

    # -- beginning requests ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.is_running = True
        for place in self._places:
            if not place.drivers:
                place.try_again()
            self.offer(place)
        self._arm()

    def offer(self, place: BenchPlace) -> None:
        """Begin the next requests on `place`, which may have room."""
        if not self.is_running:
            return
        arrivals = self.arrivals
        if arrivals is None:
            while self._left > 0 and place.has_room and place.begin(NEVER):
                self._left -= 1
            return
        if arrivals.next < NEVER:
            # An overdue request begins late because there was no room; its latency counts from its due time.
            while arrivals.next <= self.clock() and place.has_room and place.begin(arrivals.take()):
                pass
            if not self._is_armed:
                self._arm()
        if not place.is_listed and place.has_room:
            place.is_listed = True
            self._free.append(place)

    def _on_time(self) -> None:
        """Begin the requests that are due. Those that find no room begin later; see `offer`."""
        self._is_armed = False
        arrivals, free = self.arrivals, self._free
        if arrivals is None or not self.is_running:
            return
        now = self.clock()
        while arrivals.next <= now and free:
            place = free.popleft()
            place.is_listed = False
            if place.has_room:
                due = arrivals.take()
                self.tally.lag.record(now - due)
                if place.begin(due) and place.has_room:
                    place.is_listed = True
                    free.append(place)
        self._arm()

    def _arm(self) -> None:
        """Set the alarm for the next request that is due; not while one is overdue, which waits for room."""
        if self._alarm is None or self.arrivals is None:
            return
        due = self.arrivals.next
        if due < NEVER and (self._free or due > self.clock()):
            self._is_armed = True
            self._alarm.set(due)

    def _count_never_begun(self, now: float) -> None:
        """Count the requests that were due and found no room, with the time that they have waited until now. Without
        them the latencies would belong to a smaller load."""
        arrivals = self.arrivals
        while arrivals is not None and arrivals.next <= now:
            self.tally.record_unstarted(now - arrivals.take())


def waited_for_cpu_s() -> float:
    """Return the seconds in which this process was ready and had no processor, since it began; 0 where the system
    does not tell."""
    try:
        with open("/proc/self/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
