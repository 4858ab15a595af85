"""Threads for an application that blocks: as many as are needed, up to a bound, and none that delays the end of the
process.

`concurrent.futures` has such a pool, but the interpreter waits for its threads before it ends, and one request that
never returns would keep a server from stopping. These are daemons: they end with the process. And that pool serves in
the order of arrival, so that one client's hundred requests delay all others. This pool takes addresses in turn, within
an address its connections, and keeps a few threads for clients that no thread waits for yet.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from queue import SimpleQueue

from headrace.wsgi.addresses import ClientRecord, Job


class Threads:
    """A pool of at most `size` threads at once; 0: 4 more than cores, and 32 at most.

    A thread that waits for its client computes nothing. While more than half of them do so, up to `spare` further ones
    run, for addresses that hold less than half of the threads so; half of the spare ones also for any connection that
    no thread waits for. With one thread there are no spare ones: that setting means one call at a time.

    While `is_short` says that room in files is short for an address, connections that have responses there get no
    thread, and the others one at a time: they are held back. Call `look` when there may be room again.

    Jobs come from the event loop's thread, and waits begin and end in the threads that wait.
    """

    def __init__(
        self, size: int, spare: int = 0, is_short: Callable[[ClientRecord], bool] = lambda address: False
    ) -> None:
        self.size: int = size or min(32, (os.cpu_count() or 1) + 4)
        self._spare = spare if self.size > 1 else 0
        self._is_short = is_short
        self.share: int = max(1, self.size // 2)
        """Threads that may wait for one address before others go first."""
        self._handed: SimpleQueue[Job | None] = SimpleQueue()
        """Queue to the idle threads; None lets one end."""
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()  # of everything below
        self._idle = 0
        self._running = 0
        """Threads that have a job, those that wait for their clients among them."""
        self._waiting = 0
        self._queued = 0
        self._turns: deque[ClientRecord] = deque()
        """Addresses with jobs, in order of their turns."""

    def stats(self) -> dict[str, int]:
        """Return the numbers of threads that are idle, that run, and that wait for clients among these; and of
        waiting jobs."""
        return {"idle": self._idle, "running": self._running, "waiting": self._waiting, "queued": self._queued}

    def are_held_up(self) -> bool:
        """Return whether jobs wait for a thread while more than half of the threads wait for clients."""
        return self._queued > 0 and self._waiting > self.size // 2

    def is_half_free(self) -> bool:
        """Return whether less than half of the threads run, so that one more may wait for its client."""
        return self._running < self.size // 2

    def start(self, job: Job, address: ClientRecord, connection: Hashable) -> bool:
        """Run `job` in a thread, as soon as one is free and it is its turn. It must not raise.

        Returns True when some job waits for a thread now, this one or another. Raises RuntimeError when the system
        gives no thread at all; then `job` may still run, when one is there again.
        """
        with self._lock:
            is_free = self._running < self.size and self._idle and not self._queued
            if is_free and not self._holds_back(address):
                self._idle -= 1
                self._running += 1
                self._handed.put(job)
                return False
            if not address.jobs:
                self._turns.append(address)
            address.add(connection, job)
            self._queued += 1
            self._dispatch()
            return self._queued > 0

    def look(self) -> None:
        """Start requests that were held back, if there is room in files for them now."""
        if self._queued:
            with self._lock:
                self._dispatch()

    def held_back(self) -> dict[Hashable, int]:
        """Return the number of requests that are held back, by the connection whose own responses take the room, or by
        address."""
        found: dict[Hashable, int] = {}
        with self._lock:
            for address in self._turns:
                if self._holds_back(address):
                    for connection in {*list(address.unread), *address.alone} & address.jobs.keys():
                        key = connection if connection in address.unread else address
                        found[key] = found.get(key, 0) + len(address.jobs[connection])
        return found

    def wait_began(self, address: ClientRecord, connection: Hashable) -> None:
        """Count a thread that waits for the client of `connection` from now on, until `wait_ended`."""
        with self._lock:
            self._waiting += 1
            address.waiting += 1
            address.waiting_of[connection] = address.waiting_of.get(connection, 0) + 1
            self._dispatch()

    def wait_ended(self, address: ClientRecord, connection: Hashable) -> None:
        """Count that the thread continues."""
        with self._lock:
            self._waiting -= 1
            address.waiting -= 1
            left = address.waiting_of[connection] - 1
            if left:
                address.waiting_of[connection] = left
            else:
                del address.waiting_of[connection]
            self._dispatch()

    def close(self) -> None:
        """Let every thread end after the jobs that are there already."""
        for _ in self._threads:
            self._handed.put(None)

    # -- under the lock ----------------------------------------------------------------------------------------

    def _room(self, running: int) -> int:
        """Return 2 when a thread is free beside `running` ones, 1 when a spare one is, 0 when none is."""
        if running < self.size:
            return 2
        return 1 if running < self.size + min(self._spare, self._waiting - self.size // 2) else 0

    def _dispatch(self) -> None:
        while self._queued and self._room(self._running):
            job = self._next(self._running)
            if job is None:
                return
            if self._idle:
                self._idle -= 1
                self._handed.put(job)
            elif not self._grow(job):
                return
            self._running += 1

    def _next(self, running: int) -> Job | None:
        """Return the job for a thread that is free beside `running` ones; None when no waiting job may have it."""
        if not self._queued:
            return None
        turns = self._turns
        if not self._waiting and running < self.size:  # the usual case: no job is passed over
            job = self._take(turns[0])
            if job is not None:
                self._queued -= 1
                if not turns[0].jobs:
                    turns.popleft()
                elif len(turns) > 1:
                    turns.rotate(-1)
                return job
        room = self._room(running)
        if not room:
            return None
        for only_modest in (True, False):
            if room == 1 and not only_modest and running >= self.size + self._spare // 2:
                break
            for _ in range(len(turns)):  # a few are passed over: each of them holds half of the threads, or files
                address = turns[0]
                turns.rotate(-1)
                if (address.waiting < self.share) == only_modest:
                    job = self._take(address, only_unheld=room == 1 and not only_modest)
                    if job is not None:
                        self._queued -= 1
                        if not address.jobs:
                            turns.pop()
                        return job
        return None

    def _holds_back(self, address: ClientRecord) -> bool:
        return bool(address.unread) and self._is_short(address)

    def _take(self, address: ClientRecord, only_unheld: bool = False) -> Job | None:
        is_short = self._holds_back(address)
        taken = address.take(only_unheld, is_short)
        if taken is None:
            return None
        job, connection = taken
        if not is_short:
            return job
        address.alone.add(connection)
        return partial(self._run_alone, job, address, connection)

    def _grow(self, job: Job) -> bool:
        thread = threading.Thread(
            target=self._run, args=([job],), name=f"headrace-wsgi-{len(self._threads) + 1}", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            # It waits before all others, for one of those that are there.
            address = ClientRecord(None)
            address.add(None, job)
            self._turns.appendleft(address)
            self._queued += 1
            if not self._threads:
                raise
            return False
        self._threads.append(thread)
        return True

    # -- in a thread -------------------------------------------------------------------------------------------

    def _run_alone(self, job: Job, address: ClientRecord, connection: Hashable) -> None:
        job()
        with self._lock:
            address.alone.discard(connection)
            self._dispatch()

    def _run(self, first: list[Job]) -> None:
        job: Job | None = first.pop()  # a thread keeps its arguments for its life; this list is empty then
        while job is not None:
            job()
            job = None  # with it, the request
            with self._lock:
                job = self._next(self._running - 1)
                if job is None:
                    self._running -= 1
                    self._idle += 1
            if job is None:
                job = self._handed.get()
