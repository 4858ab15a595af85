"""Ends requests that keep all threads waiting: those of clients that do not take their responses while others get no
thread.

Room for responses and spare threads are bounded, so clients that never read can use up both. From the moment when
requests wait for a thread and more than half of the threads wait for clients, each of these clients has `limit_s`
seconds to make progress. Then responses without progress are ended, those that wait longest first, no more of them than
requests wait. The same goes for responses of a connection whose requests are held back (`Threads.held_back`), for
any state of the threads. Nothing is ended while no request waits for a thread, and a client that reads is never ended.

Everything here is for the event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from headrace.transport.log import Seldom, get_logger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable
    from contextvars import Context

    from headrace.server.connection.service import ServedConnection
    from headrace.wsgi.addresses import ClientRecord
    from headrace.wsgi.threads import Threads

PROGRESS: Final = 4_096
"""Bytes that a client must take, or send, within `wsgi_stall_s`: less is a drip, which would hold a thread for ever."""
CHECKS: Final = 4  # in `limit_s`: what stalls is ended that much later at most

protocol_log: Final = get_logger("headrace.protocol")


class Holder(Protocol):
    """A request that holds a thread, or room, while its client makes it wait: see `WSGICycle`."""

    address: ClientRecord | None
    driver: ServedConnection

    def awaits_client(self) -> bool:
        """Return whether the request is stuck until the client sends or takes something."""
        ...

    def awaits_room(self) -> bool:
        """Return whether its thread waits for room."""
        ...

    def is_waited_for(self) -> bool:
        """Return whether a thread waits for the client."""
        ...

    def moved(self) -> int:
        """Return the bytes that the client has sent to a waiting thread, plus those it has taken."""
        ...

    def look_for_room(self) -> None:
        """Let its thread go on if there is room now."""

    def give_up(self, reason: str) -> None:
        """End it."""


class Stalls:
    """The requests that hold a thread or room while their clients make them wait. `limit_s` 0: none is ever ended."""

    def __init__(self, threads: Threads, limit_s: float) -> None:
        self._threads = threads
        self._limit_s = limit_s
        self._held: dict[Holder, tuple[float, int] | None] = {}
        """The time since when each has made no progress, and the bytes it had moved then; None while it makes
        progress."""
        self._is_watching = False
        self._log_limit = Seldom()

    def enter(self, cycle: Holder) -> None:
        """Watch `cycle`, which holds a thread, or room, for as long as its client likes. Idempotent until `leave`."""
        self._held.setdefault(cycle, None)

    def leave(self, cycle: Holder) -> None:
        """Stop watching `cycle`, which has ended; a no-op when it never entered."""
        self._held.pop(cycle, None)

    def watch(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Begin to check the requests that hold a thread, because one waits for a thread, until none waits. `context`
        is the server's."""
        if self._limit_s and not self._is_watching:
            self._is_watching = True
            self._check(loop, context)

    def _check(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        held, now = self._held, loop.time()
        held_back = self._threads.held_back()
        are_held_up = self._threads.are_held_up()
        if not are_held_up and not held_back:
            for cycle in held:
                held[cycle] = None
            if not self._threads.stats()["queued"]:
                self._is_watching = False
                return
        else:
            for cycle, mark in held.items():
                if not cycle.awaits_client():
                    held[cycle] = None
                elif mark is None or cycle.moved() - mark[1] >= PROGRESS:
                    held[cycle] = now, cycle.moved()
            self._end_some(now - self._limit_s, held_back, self._threads.stats()["queued"] if are_held_up else 0)
        loop.call_later(self._limit_s / CHECKS, self._check, loop, context, context=context.copy())

    def _end_some(self, before: float, held_back: dict[Hashable, int], left: int) -> None:
        """End those without progress since `before`, the longest without it first: `left` that hold a thread, or room
        for which one waits, and of those in `held_back` as many as requests of theirs wait."""
        stalled = [(mark[0], cycle) for cycle, mark in self._held.items() if mark is not None and mark[0] <= before]
        if not stalled:
            return
        stalled.sort(key=lambda each: each[0])
        wanting = [cycle for cycle in self._held if cycle.awaits_room()]
        addresses = {cycle.address for cycle in wanting}
        for _, cycle in stalled:
            key = cycle.driver if held_back.get(cycle.driver) else cycle.address
            if held_back.get(key):
                held_back[key] -= 1
                left -= left > 0
            # One that holds no thread is ended only if it has the room for which a thread of its own address waits.
            elif left and (cycle.is_waited_for() or cycle.address in addresses):
                left -= 1
            else:
                continue
            self._held[cycle] = None
            self._end(cycle)
        for cycle in wanting:
            cycle.look_for_room()

    def _end(self, cycle: Holder) -> None:
        if self._log_limit.is_due():
            protocol_log.warning(
                "%s: its client made no progress while others waited for a thread (limit wsgi_stall_s); "
                "%d more were ended so without a line here",
                cycle, self._log_limit.silent,
            )  # fmt: skip
            self._log_limit.silent = 0
        cycle.give_up("it made no progress while others waited for a thread (limit wsgi_stall_s)")
