"""A long run by hand: legitimate traffic, resets and attacks at random, and what of it stays in the server.

`python -m tests.security.support.soak --minutes 60` attacks a server of its own, in cleartext and over TLS, and
prints a line a minute. It exits 1 when handles or tasks are left, when the log has a traceback, when legitimate
traffic was refused, or when memory grows. That is read from the second half, as allocators fill up in the first: a
line through the readings, less twice the standard error of its slope. Resident memory may rise by a megabyte an hour,
but by one in any case, for it goes up and down by as much: a run of minutes tells little, one of two hours tells it.
The number of blocks that Python has allocated is steadier, and tells sooner: it may rise by one in a hundred.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from tests.security.support import attacks
from tests.security.support.harness import Server, victim
from tests.security.support.rows import ROWS
from tests.security.test_slow_clients import DEADLINES
from tests.support import wire

MB = 1_000_000
MOST_MB = 1.0  # an hour, and in all
MOST_BLOCKS = 0.01  # of those there are
READ_EVERY_S = 2.0
LIMITS = dict.fromkeys((*DEADLINES, "tls_handshake_timeout_s"), 2.0)


class Soak:
    """The traffic. `done` counts what was done, `refused` the legitimate requests that were not answered."""

    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.rnd = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.refused = 0
        self.kinds: list[tuple[int, str, Callable[[], None]]] = [
            (30, "requests", self.requests),
            (20, "cancels", self.cancels),
            (10, "upload", self.upload),
            (10, "download given up", self.download_given_up),
            (10, "vanished", self.vanished),
            (10, "attack", self.attack),
            (5, "attacks together", self.attacks_together),
        ]

    def step(self) -> None:
        """One thing, at random."""
        weights = [weight for weight, _, _ in self.kinds]
        _, name, run = self.rnd.choices(self.kinds, weights)[0]
        self.done[name] += 1
        run()

    @property
    def tls(self) -> bool:
        return self.rnd.random() < 0.4

    def _answers(self, data: bytes, wanted: set[int], tls: bool) -> None:
        """Send bytes on a connection and count which of the wanted answers do not come."""
        reader = wire.FrameReader()
        left = set(wanted)
        try:
            with self.server.connect(tls=tls) as sock:
                sock.sendall(data)
                while left and (got := sock.recv(65_536)):
                    left -= {frame.stream_id for frame in reader.feed(got) if frame.end_stream}
        except OSError:
            pass
        self.refused += len(left)

    def requests(self) -> None:
        """A browser's page: some requests at once, all answered."""
        ids = range(1, 1 + 2 * self.rnd.randrange(1, 60), 2)
        extra = [(b"x-%d" % self.rnd.randrange(500), self.rnd.randbytes(8).hex().encode()) for _ in range(3)]
        self._answers(b"".join(wire.request(n, b"/probe", extra=extra) for n in ids), set(ids), self.tls)

    def cancels(self) -> None:
        """Half of a page is cancelled, the rest answered."""
        ids = range(1, 1 + 2 * self.rnd.randrange(2, 60), 2)
        kept, dropped = set(ids[::2]), set(ids[1::2])
        data = b"".join(wire.request(n, b"/probe" if n in kept else b"/") for n in ids)
        self._answers(data + b"".join(wire.rst_stream(n, wire.CANCEL) for n in dropped), kept, self.tls)

    def upload(self) -> None:
        """Content that nobody reads, cancelled by the client; then a request that is answered."""
        parts = b"".join(wire.data(1, b"x" * self.rnd.randrange(300, 16_384)) for _ in range(10))
        raw = wire.request(1, method=b"POST", end_stream=False) + parts + wire.rst_stream(1, wire.CANCEL)
        self._answers(raw + wire.request(3, b"/probe"), {3}, self.tls)

    def download_given_up(self) -> None:
        """A large answer, of which a part is read."""
        with self.server.connect({wire.INITIAL_WINDOW_SIZE: self.rnd.choice([0, 100, 1 << 20])}, tls=self.tls) as sock:
            sock.sendall(b"".join(wire.request(n, b"/big") for n in range(1, 12, 2)))
            sock.recv(self.rnd.randrange(1, 200_000))

    def vanished(self) -> None:
        """A client that goes away in the middle of something."""
        raw = wire.request(1) + wire.request(3, method=b"POST", end_stream=False) + wire.data(3, b"x" * 5_000)
        with self.server.connect(tls=self.tls) as sock:
            sock.sendall(raw[: self.rnd.randrange(len(raw))])

    def attack(self) -> None:
        """One of the rows."""
        make, _ = ROWS[self.rnd.choice(list(ROWS))]
        self.server.attack(make(), tls=self.tls, wait_s=self.rnd.choice([0.0, 0.5]))

    def attacks_together(self) -> None:
        """Several at once, some of which do not read."""
        made: list[Iterable[bytes]] = [ROWS[self.rnd.choice(list(ROWS))][0]() for _ in range(8)]
        made += [attacks.medium_bomb(varied=True), attacks.data_dribble(5_000)]
        self.server.attack_all(made, tls=self.tls, reads=self.rnd.random() < 0.7, wait_s=0.2, longest_s=1.0)


def slope(readings: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Least squares through (hours, figure): figure an hour, and the standard error of that."""
    n = len(readings)
    mean_x = sum(x for x, _ in readings) / n
    mean_y = sum(y for _, y in readings) / n
    spread = sum((x - mean_x) ** 2 for x, _ in readings)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in readings) / spread
    rest = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in readings)
    return rise, (rest / max(1, n - 2) / spread) ** 0.5


def run(minutes: float, seed: int) -> int:
    """Soak and report; the exit code."""
    with victim("sleep", LIMITS, tls=True) as server:
        before = server.settled()
        soak = Soak(server, seed)
        start = time.monotonic()
        end = start + minutes * 60
        readings: list[tuple[float, dict[str, int]]] = []
        next_reading, next_line = start, start + 60
        while (now := time.monotonic()) < end:
            if now >= next_reading:
                next_reading = now + READ_EVERY_S
                stats = server.settled(live=0, connections=1)
                readings.append(((now - start) / 3600, stats))
                if now >= next_line:
                    next_line += 60
                    counts = ", ".join(f"{stats[name]} {name}" for name in ("blocks", "handles", "tasks"))
                    said = f"{stats['rss'] / MB:.2f} MB, {counts}"
                    print(f"{(now - start) / 60:.0f} min: {said}, {soak.done.total()} steps", flush=True)
            soak.step()
        after = server.settled(live=0, connections=1, handles=before["handles"], tasks=before["tasks"])
        log = server.log
    if len(readings) < 10:
        print("FAILED: too short to tell anything; give it a minute at least")
        return 1
    readings = readings[len(readings) // 2 :]
    span = readings[-1][0] - readings[0][0]
    rise, error = slope([(at, stats["rss"] / MB) for at, stats in readings])
    more, unsure = slope([(at, float(stats["blocks"])) for at, stats in readings])
    print(f"steps: {dict(soak.done)}; legitimate requests that were not answered: {soak.refused}")
    for name in ("handles", "tasks", "blocks", "rss"):
        print(f"{name}: {before[name]} at the start, {readings[0][1][name]} at half time, {after[name]} at the end")
    print(f"an hour: {rise:+.2f} ± {error:.2f} MB, {more:+.0f} ± {unsure:.0f} blocks ({len(readings)} readings)")
    faults = [
        (after["live"] > 0 or any(after[name] > before[name] for name in ("handles", "tasks")), "something is left"),
        ("Traceback" in log, "the log has a traceback"),
        (soak.refused > 0, "legitimate requests were not answered"),
        ((rise - 2 * error) * span > max(MOST_MB, MOST_MB * span), "resident memory grows"),
        ((more - 2 * unsure) * span > MOST_BLOCKS * after["blocks"], "the number of Python's blocks grows"),
    ]
    found = [text for is_so, text in faults if is_so]
    print("FAILED: " + "; ".join(found) if found else "passed")
    return 1 if found else 0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.security.support.soak", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="of what is done in which order (default 1)")
    given = parser.parse_args()
    sys.exit(run(given.minutes, given.seed))


if __name__ == "__main__":
    main()
