"""How long others wait, and what memory it costs, while connections flood a server or a client.

`besieged` floods a victim (tests/security/support/victim.py, a process of its own) from this process, on any number
of raw connections in cleartext or TLS, while a bystander asks for something else on connections of its own. Server and
attackers have a core each where there are two. `Siege.holds` says whether it went as SECURITY.md promises.

`lag_of` measures the event loop of this process instead, for what a hostile server does to a client.

A flood is an iterator of batches of bytes: first what opens it, then for ever what floods. It ends by time, when it
has sent enough, or when the server closes the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import selectors
import socket
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Final, TypeVar

from headrace.engine.build import engine_is_compiled

from tests.conftest import amount
from tests.security.support.harness import Bystander, Seen, Server
from tests.security.support.rows import READINGS

MB: Final = 1_000_000
P50_MS: Final = 20.0
MOST_MS: Final = 100.0 if engine_is_compiled() else 300.0
GROWTH: Final = {1: 64 * MB, 20: 256 * MB}
"""Memory that so many attacking connections may cost, in bytes."""

SIEGE_S: Final = amount(0.7, 1.5)
"""How long a flood lasts: thirty requests of a bystander who need not wait, or twice as many."""

CONNECT_S: Final = 10.0
_RECEIVE: Final = 262_144

R = TypeVar("R")
Flood = Callable[[], Iterable[bytes]]


class Siege:
    """What a flood did. `sent` is in bytes; `closed` counts the connections that the server ended."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.seen = Seen([], [], 0)
        self.growth = 0
        self.sent = 0
        self.closed = 0

    @property
    def p50(self) -> float:
        """What half of the bystander's requests took at most, in milliseconds."""
        return statistics.median(self.seen.latencies) if self.seen.latencies else 0.0

    def is_quick(self, p50_ms: float = P50_MS, most_ms: float = MOST_MS) -> bool:
        """Tell whether nobody waited for longer than that, and nobody in vain."""
        return self.p50 <= p50_ms and self.seen.is_fine(most_ms) and self.seen.failed == 0 and bool(self.seen.latencies)

    def holds(self) -> bool:
        """Tell whether the bystander was quick, and memory stayed within what so many connections may cost."""
        return self.is_quick() and self.growth <= GROWTH.get(self.count, GROWTH[20])

    def __repr__(self) -> str:
        return (
            f"Siege({self.count} connections sent {self.sent / MB:.1f} MB, {self.closed} were closed; bystander p50 "
            f"{self.p50:.1f} ms, {self.seen!r}, {len(self.seen.latencies)} asked; memory +{self.growth / MB:.1f} MB)"
        )


@functools.cache
def flood_context(alpn: str) -> ssl.SSLContext:
    """TLS as an attacker does it, with one protocol in ALPN, and no look at the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    return context


class Flooder:
    """One connection of a flood. What comes back is read and forgotten, unless `reads` is False."""

    def __init__(self, port: int, batches: Iterable[bytes], alpn: str, reads: bool) -> None:
        self.sent = 0
        self.is_over = False
        self.is_closed = False
        self._batches = iter(batches)
        self._reads = reads
        self._pending = memoryview(b"")
        self.sock = socket.create_connection(("127.0.0.1", port), CONNECT_S)
        self._tls: ssl.SSLObject | None = None
        if alpn:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = flood_context(alpn).wrap_bio(self._incoming, self._outgoing)
            self._shake_hands(self._tls)
        self.sock.setblocking(False)

    def _shake_hands(self, tls: ssl.SSLObject) -> None:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self.sock.sendall(self._outgoing.read())
                self._incoming.write(self.sock.recv(_RECEIVE))
            else:
                self.sock.sendall(self._outgoing.read())
                return

    @property
    def interest(self) -> int:
        """Which of the selector's events this connection waits for."""
        return selectors.EVENT_WRITE | (selectors.EVENT_READ if self._reads else 0)

    def on_event(self, events: int) -> None:
        """Read, then write as much as is taken."""
        try:
            if events & selectors.EVENT_READ and not self.sock.recv(_RECEIVE):
                self._end(closed=True)
            if events & selectors.EVENT_WRITE and not self.is_over:
                self._write()
        except BlockingIOError:
            pass
        except OSError:
            self._end(closed=True)

    def _write(self) -> None:
        if not self._pending:
            batch = next(self._batches, None)
            if batch is None:
                self._end(closed=False)
                return
            if self._tls is not None:
                self._tls.write(batch)
                batch = self._outgoing.read()
            self._pending = memoryview(batch)
        taken = self.sock.send(self._pending)
        self.sent += taken
        self._pending = self._pending[taken:]

    def _end(self, *, closed: bool) -> None:
        self.is_over = True
        self.is_closed = closed


def flood(flooders: list[Flooder], longest_s: float) -> None:
    """Let all of them write until `longest_s` is over. Those that are through stay open."""
    with selectors.DefaultSelector() as selector:
        for each in flooders:
            selector.register(each.sock, each.interest, each)
        end = time.monotonic() + longest_s
        while time.monotonic() < end:
            for key, events in selector.select(0.02):
                each = key.data
                each.on_event(events)
                if each.is_over:
                    selector.unregister(each.sock)


@contextlib.contextmanager
def on_cores_of_their_own(server: Server) -> Iterator[None]:
    """Give the server one core and this process, with what it starts, another, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        yield
        return
    os.sched_setaffinity(server.process.pid, cores[:1])
    os.sched_setaffinity(0, cores[1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def besieged(
    server: Server, make: Flood, *, count: int = 1, alpn: str = "", reads: bool = True, longest_s: float = SIEGE_S
) -> Siege:
    """Flood `server` from `count` connections for `longest_s` seconds, while a bystander asks it.

    `alpn` names the protocol of TLS; "" is cleartext. With `reads` False nothing that the server says is read. Memory
    is the highest that the server had meanwhile, against what it had before.
    """
    siege = Siege(count)
    with on_cores_of_their_own(server), contextlib.ExitStack() as stack:
        watcher = Bystander(server)
        stack.callback(watcher.close)
        before = server.mark()
        flooders = [Flooder(server.tls_port if alpn else server.port, make(), alpn, reads) for _ in range(count)]
        for each in flooders:
            stack.callback(each.sock.close)
        with watcher.watching() as seen:
            flood(flooders, longest_s)
        siege.seen = seen[0]
        siege.sent = sum(each.sent for each in flooders)
        siege.closed = sum(each.is_closed for each in flooders)
        for each in flooders:
            each.sock.close()
        siege.growth = server.stats()["peak"] - before["rss"]
    return siege


def steady(reading: Callable[[], R], holds: Callable[[R], bool]) -> R:
    """Return the first reading that `holds`, or the third. A reading beyond its bounds is taken again, as in
    tests/security/support/rows.py: what a flood causes comes back every time, what a busy machine does comes once."""
    for _ in range(READINGS - 1):
        found = reading()
        if holds(found):
            return found
    return reading()


# -- the loop of this process --


class Lag:
    """How late a task that sleeps for a millisecond came, in milliseconds."""

    def __init__(self) -> None:
        self.late: list[float] = []

    @property
    def p50(self) -> float:
        return statistics.median(self.late) if self.late else 0.0

    @property
    def worst(self) -> float:
        return max(self.late, default=0.0)

    def is_quick(self, p50_ms: float = P50_MS, most_ms: float = MOST_MS) -> bool:
        """Tell whether the loop was free for others in time."""
        return len(self.late) >= 3 and self.p50 <= p50_ms and self.worst <= most_ms

    def __repr__(self) -> str:
        return f"Lag(p50 {self.p50:.1f} ms, worst {self.worst:.1f} ms, {len(self.late)} times)"


def _waited_ms() -> float:
    """Milliseconds for which this thread was ready and had no core; 0 where the system does not tell."""
    try:
        with open("/proc/thread-self/schedstat") as figures:
            return int(figures.read().split()[1]) / 1e6
    except (OSError, IndexError):
        return 0.0


@contextlib.asynccontextmanager
async def lag_of() -> AsyncIterator[Lag]:
    """Measure the running loop's lag while the block runs, without the time in which there was no core for it."""
    lag = Lag()

    async def tick() -> None:
        while True:
            waited, start = _waited_ms(), time.monotonic()
            await asyncio.sleep(0.001)
            took = (time.monotonic() - start) * 1_000 - 1
            lag.late.append(max(0.0, took - (_waited_ms() - waited)))

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    lag.late.clear()
    try:
        yield lag
        await asyncio.sleep(0.005)
    finally:
        ticking.cancel()
