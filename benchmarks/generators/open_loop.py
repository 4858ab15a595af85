"""A load at a fixed rate: `python -m benchmarks.generators.open_loop PORT h1|h2 RATE SECONDS SEED [tls]`.

The times at which requests are due are fixed before the first one is sent: a Poisson process, from the seed, so all
servers meet the same ones. A latency counts from the time a request was due to the last byte of its answer, whether or
not earlier ones have been answered: a server that stops for a while shows that in each request of that while
(no coordinated omission). The generator spins on a core of its own, and reports how late it noticed that requests were
due. It prints one line of JSON.
"""

from __future__ import annotations

import gc
import json
import math
import random
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from benchmarks.generators import wire
from benchmarks.generators.wire import Broken

HELLO: Final = b"Hello, World!"
CONNECTIONS: Final = {"h1": 64, "h2": 4}
STREAMS: Final = 100  # requests at once on a connection of HTTP/2
GRACE_S: Final = 2.0  # for the answers that are open when the last request has been due
WARM_UP: Final = 200  # requests that do not count


def percentile(ordered: Sequence[float], per_mille: int) -> float:
    """Return the smallest value that at least `per_mille` thousandths of the ascending values do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * per_mille / 1000) - 1)]


def schedule(rate: float, count: int, seed: int) -> list[float]:
    """Return when each of `count` requests is due, in seconds from the start."""
    rnd = random.Random(seed)
    times, now = [], 0.0
    for _ in range(count):
        now += rnd.expovariate(rate)
        times.append(now)
    return times


class H1Connection:
    """A connection of HTTP/1.1 with one request at a time."""

    def __init__(self, port: int, tls: bool) -> None:
        self.peer = wire.connected(port, tls=tls, alpn="http/1.1")
        self.buffer = bytearray()
        self.due = 0.0
        self.places = 1

    def send(self, due: float) -> None:
        self.places, self.due = 0, due
        self.peer.sendall(wire.H1_REQUEST)

    def receive(self) -> list[float]:
        """Return when the requests were due that are answered now."""
        wire.read(self.peer, self.buffer)
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0 or len(self.buffer) < head + 4 + len(HELLO):
            return []
        if self.buffer[9:12] != b"200" or self.buffer[head + 4 :] != HELLO:
            raise Broken(f"a wrong answer: {bytes(self.buffer[:200])!r}")
        self.buffer.clear()
        self.places = 1
        return [self.due]


class H2Connection:
    """A connection of HTTP/2 with up to 100 requests at once."""

    def __init__(self, port: int, tls: bool) -> None:
        self.peer = wire.connected(port, tls=tls, alpn="h2")
        self.buffer = bytearray()
        self.fields = wire.REQUEST_TLS if tls else wire.REQUEST
        self.next_id = 1
        self.open: dict[int, float] = {}
        self.content: dict[int, bytes] = {}
        self.places = STREAMS
        self.peer.sendall(wire.opening())

    def send(self, due: float) -> None:
        self.places -= 1
        self.open[self.next_id] = due
        self.peer.sendall(wire.frame(wire.HEADERS, wire.END_STREAM | wire.END_HEADERS, self.next_id, self.fields))
        self.next_id += 2

    def receive(self) -> list[float]:
        """Return when the requests were due that are answered now."""
        wire.read(self.peer, self.buffer)
        answered = []
        for kind, flags, stream_id, payload in wire.frames(self.buffer):
            if kind == wire.DATA:
                self.content[stream_id] = self.content.get(stream_id, b"") + wire.content(flags, payload)
            elif kind in (wire.GOAWAY, wire.RST_STREAM):
                raise Broken(f"the server sent frame {kind}: {payload!r}")
            elif kind in (wire.SETTINGS, wire.PING) and not flags & wire.ACK:
                self.peer.sendall(wire.frame(kind, wire.ACK, 0, payload if kind == wire.PING else b""))
            if kind in (wire.DATA, wire.HEADERS) and flags & wire.END_STREAM:
                if self.content.pop(stream_id, b"") != HELLO:
                    raise Broken("a wrong answer")
                answered.append(self.open.pop(stream_id))
                self.places += 1
        return answered


class Connection(Protocol):
    """A connection to the server under load."""

    places: int
    """How many requests more it can send now."""

    def send(self, due: float) -> None:
        """Send a request that was due at this time."""

    def receive(self) -> list[float]:
        """Return when the requests were due that are answered now."""


def run(port: int, protocol: str, times: Sequence[float], *, tls: bool) -> dict[str, float]:
    """Send all requests when they are due. Return percentiles in milliseconds. Raises Broken."""
    make = H1Connection if protocol == "h1" else H2Connection
    connections = [make(port, tls) for _ in range(CONNECTIONS[protocol])]
    poll = select.epoll()
    by_fd: dict[int, Connection] = {each.peer.fileno(): each for each in connections}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    latencies, late = drive(
        connections, times, time.perf_counter, lambda: [by_fd[fd] for fd, _ in poll.poll(0)], GRACE_S
    )
    return figures(latencies[WARM_UP:], late[WARM_UP:])


def drive(
    connections: Sequence[Connection],
    times: Sequence[float],
    clock: Callable[[], float],
    readable: Callable[[], Sequence[Connection]],
    grace_s: float,
) -> tuple[list[float], list[float]]:
    """Send all requests when they are due, in seconds from now, on any connection that has a place.

    Return their latencies, in the order in which they were due, and how late each was noticed to be due. Raises Broken
    when some are not answered `grace_s` after the last was due.
    """
    latencies: dict[float, float] = {}
    late: list[float] = []
    waiting: deque[float] = deque()
    start = clock()
    end = start + times[-1] + grace_s
    turn = 0
    while len(latencies) < len(times):
        now = clock()
        if now > end:
            missing = len(times) - len(latencies)
            raise Broken(f"{missing} of {len(times)} requests were not answered {grace_s:g} s after the last was due")
        while len(late) < len(times) and start + times[len(late)] <= now:
            waiting.append(start + times[len(late)])
            late.append(now - waiting[-1])
        while waiting:
            order = range(turn, turn + len(connections))
            free = next((at for each in order if connections[at := each % len(connections)].places), None)
            if free is None:
                break
            turn = free + 1
            connections[free].send(waiting.popleft())
        for connection in readable():
            answered = connection.receive()
            now = clock()
            for due in answered:
                latencies[due] = now - due
    return [latencies[due] for due in sorted(latencies)], late


def figures(latencies: Sequence[float], late: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of the latencies, and of the generator's own delay, in milliseconds."""
    ordered, own = sorted(latencies), sorted(late)
    found = {name: percentile(ordered, mille) * 1e3 for name, mille in (("p50", 500), ("p99", 990), ("p99.9", 999))}
    return found | {"samples": len(ordered), "late": percentile(own, 990) * 1e3}


def main() -> None:
    port, protocol, rate, seconds, seed = sys.argv[1:6]
    count = WARM_UP + math.ceil(float(rate) * float(seconds))
    gc.disable()
    try:
        found: dict[str, object] = dict(
            run(int(port), protocol, schedule(float(rate), count, int(seed)), tls="tls" in sys.argv[6:])
        )
    except (Broken, OSError) as error:
        found = {"fault": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
