"""The plan of a run of `headrace bench`, the counters while it runs, and its result."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from headrace.cli.bench.latency import Histogram

_MOST_INTERVALS: Final = 240
_MOST_EXAMPLES: Final = 8
_LONGEST_EXAMPLE: Final = 300


@dataclass(frozen=True)
class Plan:
    """The plan of a run. Exactly one of `requests` and `duration_s` ends it; `rate` makes the loop an open one."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
    connections: int = 1
    streams: int = 1
    requests: int | None = None
    duration_s: float | None = 10.0
    rate: float | None = None
    is_poisson: bool = False
    seed: int | None = None
    warm_up_s: float = 0.0
    timeout_s: float = 30.0


class Interval(NamedTuple):
    """A piece of the run, for the chart over time, in seconds from the beginning of the measurement."""

    begin: float
    end: float
    requests: int
    errors: int
    p50: float
    p99: float


@dataclass
class PerConnection:
    """Figures of one place for a connection. When its connection is lost, a new one takes the same place."""

    requests: int = 0
    errors: int = 0
    content: int = 0
    connects: int = 0


class Tally:
    """Counts answers and errors. `begin_measuring` forgets the counts of the warm-up."""

    def __init__(self, is_open_loop: bool, connections: int) -> None:
        self.is_open_loop = is_open_loop
        self.connections: list[PerConnection] = [PerConnection() for _ in range(connections)]
        self.begin_measuring()

    def begin_measuring(self) -> None:
        """Count everything from 0."""
        self.latency: Histogram = Histogram()
        """From the due time of a request (open loop) or its begin (closed loop) to the last byte of its response."""
        self.service: Histogram = Histogram()
        """Open loop: the same from the begin of the request."""
        self.lag: Histogram = Histogram()
        """Open loop: how much later than due a request was begun although there was room: this client's own delay."""
        self.connect: Histogram = Histogram()
        """Times to connect: of connections made during the measurement, and of the first ones."""
        self.statuses: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.answers: int = 0
        """Number of whole responses, with any status."""
        self.content: int = 0
        self.never_begun: int = 0
        self.unfinished = 0
        self.intervals: list[Interval] = []
        for each in self.connections:
            each.requests = each.errors = each.content = 0
        self._recent = Histogram()
        self._recent_errors = 0
        self._mark = 0.0

    @property
    def failures(self) -> int:
        """Return the number of requests that ended in an error instead."""
        return sum(self.errors.values())

    def answer(self, place: int, status: int, content: int, latency: float) -> None:
        """Count a whole response."""
        self._recent.record(latency)
        self.answers += 1
        self.statuses[status] += 1
        self.content += content
        connection = self.connections[place]
        connection.requests += 1
        connection.content += content

    def error(self, place: int, kind: str, message: str) -> None:
        """Count an error under its kind, and keep one message of each kind."""
        self.errors[kind] += 1
        self._recent_errors += 1
        self.connections[place].errors += 1
        if kind not in self.examples and len(self.examples) < _MOST_EXAMPLES:
            self.examples[kind] = message[:_LONGEST_EXAMPLE]

    def record_unstarted(self, seconds: float) -> None:
        """Count a request that was due and never begun, with the time that it has waited at least."""
        self.never_begun += 1
        self.latency.record(seconds)

    def close_interval(self, now: float) -> Interval:
        """Move the counts since the last call into the total figures, and return them. `now` is seconds since the
        beginning of the measurement. When there are many intervals, each two become one."""
        recent = self._recent
        p50, p99 = recent.percentiles((50.0, 99.0))
        interval = Interval(self._mark, now, recent.count, self._recent_errors, p50, p99)
        self._mark = now
        self._recent_errors = 0
        self.latency.add(recent)
        self._recent = Histogram()
        if interval.end > interval.begin:
            self.intervals.append(interval)
        if len(self.intervals) > _MOST_INTERVALS:
            self.intervals = _halved(self.intervals)
        return interval

    def add_late(self) -> None:
        """Count answers after the last interval: they are in the latencies, and in no rate."""
        self.latency.add(self._recent)
        self._recent = Histogram()


@dataclass
class BenchResult:
    """The result of a run."""

    plan: Plan
    tally: Tally
    seconds: float
    cpu_s: float
    """Processor time of this process during the measurement."""
    waited_s: float = 0.0
    """Seconds in which it was ready to run and had no processor, because other processes used them."""
    answers: int = 0
    """Number of responses within `seconds`; `tally` also has those that were under way at the end."""
    content: int = 0
    """Bytes of their content."""
    http_version: str = ""
    loop: str = ""
    address: str = ""
    tls: str = ""
    is_interrupted: bool = False
    is_cut_off: bool = False
    """True when it ended early because no connection could be made any more."""
    environment: dict[str, object] = field(default_factory=dict)

    @property
    def requests_per_s(self) -> float:
        return self.answers / self.seconds if self.seconds else 0.0

    @property
    def content_per_s(self) -> float:
        return self.content / self.seconds if self.seconds else 0.0

    @property
    def cpu_share(self) -> float:
        """Return the processor time as a share of one core: this process has one working thread."""
        return self.cpu_s / self.seconds if self.seconds else 0.0


def _halved(intervals: list[Interval]) -> list[Interval]:
    """Join each two neighbours. The percentiles of a pair are the worse ones, so a joined interval hides nothing."""
    halves = []
    for at in range(0, len(intervals) - 1, 2):
        one, two = intervals[at], intervals[at + 1]
        halves.append(
            Interval(
                one.begin,
                two.end,
                one.requests + two.requests,
                one.errors + two.errors,
                max(one.p50, two.p50),
                max(one.p99, two.p99),
            )
        )
    return halves + intervals[len(halves) * 2 :]
