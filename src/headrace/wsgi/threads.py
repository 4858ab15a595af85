"""Threads for an application that blocks: as many as are needed, up to a bound, and none that holds up the end.

`concurrent.futures` has such a pool, but the interpreter waits for its threads before it ends, and one request that
never returns would keep a server from stopping. These are daemons: they end with the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]


class Threads:
    """At most `size` threads that take jobs in the order in which they came; 0: 4 more than cores, and 32 at most.

    Used from one thread, the event loop's.
    """

    def __init__(self, size: int) -> None:
        self._size = size or min(32, (os.cpu_count() or 1) + 4)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)
        """Counts the threads that wait for a job and are not spoken for."""

    def start(self, job: Job) -> None:
        """Run `job` in a thread, as soon as one is free. It must not raise.

        Raises RuntimeError when the system gives no thread at all; then `job` may still run, when one is there again.
        """
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._size:
            name = f"headrace-wsgi-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                if not self._threads:
                    raise
                return  # one of those that are there will take it
            self._threads.append(thread)

    def close(self) -> None:
        """Let every thread end after the jobs that are there already."""
        for _ in self._threads:
            self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # with it, the request
            self._idle.release()
