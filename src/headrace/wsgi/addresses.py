"""One record per client address, so that no address takes all shared resources.

Threads, memory and disk are given out by address, because a client may open as many connections as it likes. Behind a
proxy all visitors have one address, so an address may use everything that no other wants: see `threads`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

from headrace.transport.addresses import client_key

Job = Callable[[], None]


class ClientRecord:
    """The requests of one client address: those that wait for a thread, and the resources of the others."""

    __slots__ = ("alone", "disk", "files", "jobs", "key", "memory", "requests", "unread", "waiting", "waiting_of")

    def __init__(self, key: Hashable) -> None:
        self.key: Hashable = key
        self.requests: int = 0
        """Number of requests that have not ended: the record exists while there are some."""
        self.jobs: OrderedDict[Hashable, deque[Job]] = OrderedDict()
        """Jobs that wait for a thread, by connection; the next turn is the first one's."""
        self.waiting: int = 0
        """Threads that wait for this client."""
        self.waiting_of: dict[Hashable, int] = {}
        """The same by connection."""
        self.memory: int = 0
        """Bytes of its requests and responses that are spooled in memory."""
        self.disk: int = 0
        """The same in files."""
        self.files: int = 0
        self.unread: dict[Hashable, int] = {}
        """Those of the files that hold responses, by connection."""
        self.alone: set[Hashable] = set()
        """Connections with a request that was started while room in files was short: they have one at a time."""

    def add(self, connection: Hashable, job: Job) -> None:
        """Queue `job`, behind those of its connection."""
        jobs = self.jobs.get(connection)
        if jobs is None:
            jobs = self.jobs[connection] = deque()
        jobs.append(job)

    def take(self, only_unheld: bool = False, is_short: bool = False) -> tuple[Job, Hashable] | None:
        """Return the next job, of the connections in turn, with its connection; None when there is none.

        `only_unheld` leaves out connections that a thread waits for, `is_short` those with responses in files, or with
        a request that may have one soon.
        """
        for connection, jobs in self.jobs.items():  # few are left out: there are not many threads, or files
            if only_unheld and connection in self.waiting_of:
                continue
            if is_short and (connection in self.unread or connection in self.alone):
                continue
            job = jobs.popleft()
            if jobs:
                self.jobs.move_to_end(connection)
            else:
                del self.jobs[connection]
            return job, connection
        return None


class ClientRecords:
    """The records of all client addresses with requests."""

    def __init__(self) -> None:
        self._records: dict[Hashable, ClientRecord] = {}

    def enter(self, host: str | None, connection: Hashable) -> ClientRecord:
        """Return the record for a new request from `host`; call `leave` when the request ends. On a unix socket each
        connection has one."""
        key = client_key(host, connection)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = ClientRecord(key)
        record.requests += 1
        return record

    def leave(self, record: ClientRecord) -> None:
        """Count the end of a request of `record`."""
        record.requests -= 1
        if not record.requests:
            del self._records[record.key]
