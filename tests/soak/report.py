"""Reads what a run has written, and judges it: slopes, limits, logs, operations."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.soak.logs import EXPECTED, Row, unexpected
from tests.soak.trend import Slope, theil_sen, warmed_up

HOUR_S = 3_600.0
POOL = min(32, (os.cpu_count() or 1) + 4)
"""Threads of a pool, of the standard library and of the server for WSGI."""
BRIEF_S = 600.0
"""A shorter window does not tell a pool that fills from threads that are kept: only more than a pool has are found."""
LEAST_OBJECTS = 250.0
"""Objects that come and go from rest to rest, in whatever time: half a minute had growths up to 170, in six runs."""


class Limit(NamedTuple):
    """The most by which a figure may have grown at rest, from the end of the warm-up to the end of the run."""

    figure: str
    unit: str
    growth: float
    reason: str
    least_window_s: float = 0.0
    """A shorter run is not judged by it."""
    by_operation: float | None = None
    """The same for each operation in between, of all servers together: what a short run is judged by."""

    def allowed(self, window_s: float, operations: int) -> float:
        """Return the growth that a window of this length may have, with so many operations in it."""
        if window_s < self.least_window_s:
            return math.inf
        if self.figure == "threads" and window_s < BRIEF_S:
            return float(POOL)
        if self.by_operation is None:
            return self.growth
        return min(self.growth, max(self.by_operation * operations, LEAST_OBJECTS))


LIMITS = (
    Limit("fds", "descriptors", 1.0, "a figure's own connection may still be closing; nothing else is open at rest"),
    Limit("tasks", "tasks", 1.0, "likewise, its worker"),
    Limit("threads", "threads", 2.0, "pools of threads may get their last ones late; they are bounded"),
    Limit(
        "objects",
        "objects",
        2_000.0,
        "memories of heads, origins and addresses fill up to their limits",
        by_operation=0.25,
    ),
    Limit("blocks", "blocks", 4_000.0, "likewise; these are all objects, bytes and text included"),
    Limit("heap", "KiB", 1_024.0, "likewise, and what TLS keeps; used bytes, so its holes do not count"),
    Limit("uss", "KiB", 6_144.0, "a heap's holes take an hour to settle; 50 bytes an operation are more", 2_400.0),
)
AT_REST = (
    "headrace_connections_open",
    "headrace_streams_open",
    "headrace_handlers_running",
    "headrace_websockets_open",
)
LEAST_SEEN = 30.0
"""Operations of a kind that were to be expected, from which on none at all is a finding."""
LEAST_WORK = 0.5
"""Part of the operations that have to be done of those that are begun on average: they come by chance."""
DRAIN_S = 12.0
"""Seconds that a drain may take: the limit of the server is 10."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A figure of one process at rest."""

    process: str
    limit: Limit
    first: float
    last: float
    window_s: float
    operations: int
    """Operations in the window."""
    slope: Slope
    """In units a second."""

    @property
    def growth(self) -> float:
        """Return the growth over the window, as the slope has it."""
        return self.slope.value * self.window_s

    @property
    def is_kept(self) -> bool:
        """Return True when the growth is within the limit, or the run too short to tell."""
        return self.growth <= self.allowed

    @property
    def allowed(self) -> float:
        """Return the growth that the window may have."""
        return self.limit.allowed(self.window_s, self.operations)

    def __str__(self) -> str:
        hourly = self.slope.times(HOUR_S)
        by_work = self.growth / self.operations * 100_000 if self.operations else 0.0
        most = f"{self.allowed:,.0f}" if math.isfinite(self.allowed) else "any: the run is too short"
        return (
            f"{self.process:8} {self.limit.figure:8} {self.first:>8.0f} {self.last:>8.0f}"
            f" {hourly.value:>+10.1f} [{hourly.low:+.1f}, {hourly.high:+.1f}] {self.limit.unit}/h"
            f" | {by_work:+.1f} per 100,000 operations | grown {self.growth:+.1f} of {most}"
            f"{'' if self.is_kept else '  TOO MUCH'}"
        )


class Report:
    """What a run has shown until now. `findings` has what is wrong, a sentence each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records = list(_records(folder / "samples.jsonl"))
        if not self._records:
            raise FileNotFoundError(f"there is no run in {folder}: `make soak` begins one")
        self._plan = self._records[0]
        self._rests = [each for each in self._records if each["kind"] == "rest"]
        ends = [each for each in self._records if each["kind"] == "end"]
        self._end: dict[str, Any] | None = ends[0] if ends else None
        self.state = "ended" if ends else "under way" if _is_under_way(folder / "samples.jsonl") else "cut"
        seen = [each["load"] for each in self._records if "load" in each]
        self.load: Mapping[str, Any] = seen[-1] if seen else {"done": {}, "failed": {}}
        self.processes = _processes(self._rests)
        self.rows: Counter[Row] = Counter()
        self.trends = list(self._trends())
        self.findings = [*self._of_trends(), *self._of_rests(), *self._of_load(), *self._of_logs(), *self._of_end()]

    def _trends(self) -> Iterator[Trend]:
        for process in self.processes:
            for limit in LIMITS:
                points = [
                    (each["at"], figures[limit.figure])
                    for each in self._rests
                    if limit.figure in (figures := _figures(each, process))
                ]
                kept = warmed_up(points)
                if len(kept) < 3:
                    continue
                counts = [
                    sum(each["load"]["done"].values())
                    for each in self._rests
                    if each["at"] in (kept[0][0], kept[-1][0])
                ]
                yield Trend(
                    process,
                    limit,
                    kept[0][1],
                    kept[-1][1],
                    kept[-1][0] - kept[0][0],
                    counts[-1] - counts[0],
                    theil_sen(kept),
                )

    def _of_trends(self) -> Iterator[str]:
        for each in self.trends:
            if not each.is_kept:
                grown = f"{each.growth:.0f} {each.limit.unit} ({each.allowed:,.0f} allowed)"
                yield f"{each.process}: {each.limit.figure} have grown by {grown}"
        if not self.trends and self._end is not None:
            yield "there are fewer than three rests after the warm-up: no slope"

    def _of_rests(self) -> Iterator[str]:
        pids: dict[str, set[int]] = {}
        for each in self._rests:
            for name, figures in each["servers"].items():
                pids.setdefault(name, set()).add(figures["pid"])
                held = {figure: figures[figure] for figure in AT_REST if figures.get(figure)}
                if held:
                    yield f"{name}: at {each['at']} s, at rest, {held}"
        for name, found in pids.items():
            if len(found) != 1:
                yield f"{name}: it was started anew: processes {sorted(found)}"

    def _of_load(self) -> Iterator[str]:
        load = self.load
        if load["failed"]:
            yield f"operations failed: {load['failed']}"
            yield from load["failures"]
        if load.get("skipped"):
            yield f"{load['skipped']} operations were not begun: too many were running"
        for fault in load.get("faults", ()):
            yield f"the load's event loop: {fault}"
        total = sum(load["done"].values())
        wanted = self._plan["rate"] * self._plan["rest_s"] * len(self._rests)
        if total < LEAST_WORK * wanted:
            yield f"only {total} operations were done; {wanted:.0f} were to be begun"
        for name, share in load.get("shares", {}).items():
            if share * total >= LEAST_SEEN and not load["done"].get(name):
                yield f"no {name} at all"

    def _of_logs(self) -> Iterator[str]:
        for log in sorted(self._folder.glob("*.log")):
            lines = log.read_text("utf-8", "replace").splitlines()
            found = lines if log.name == "load.log" else unexpected(lines, self.rows)
            if found:
                yield f"{log.name}: {len(found)} lines that nothing explains, first:\n    " + "\n    ".join(found[:20])
        for row, count in self.rows.items():
            causes = sum(self.load[kind].get(name, 0) for kind in ("done", "failed") for name in row.operations)
            if self._end is not None and count > causes:
                yield f"log: {count} lines like {row.pattern!r}, for which there were {causes} causes"

    def _of_end(self) -> Iterator[str]:
        if self._end is None:
            return
        for name, code in self._end["codes"].items():
            if code:
                yield f"{name}: exit code {code}"
        drains = self._end["drains"]
        if any(drains.get("codes", ())):
            yield f"drained servers: exit codes {Counter(drains['codes'])}"
        if max(drains.get("seconds", ()), default=0.0) > DRAIN_S:
            yield f"drained servers: a drain took {max(drains['seconds'])} s"

    @property
    def code(self) -> int:
        """Return the exit code: 1 for findings, 2 for a run that was cut and has none until then, otherwise 0."""
        return 1 if self.findings else 2 if self.state == "cut" else 0

    @property
    def verdict(self) -> str:
        """Return the last words of the report."""
        found = "FAILED" if self.findings else "flat" if self.trends else "nothing found, and too short for a slope"
        if self._end is not None:
            return found
        return f"so far: {found}; the run {'is under way' if self.state == 'under way' else 'was cut'}"

    def __str__(self) -> str:
        done = self.load["done"]
        at = self._records[-1]["at"] if self._records else 0.0
        lines = ["at rest, after the warm-up: first, last, slope (Theil-Sen, with its 95 % interval)"]
        lines += map(str, self.trends)
        lines += list(_under_load(self._records))
        lines += [
            f"{process:8} objects that grew most: {_most_grown(self._rests, process)}" for process in self.processes
        ]
        lines += [f"{name:26} {count:>8,}" for name, count in sorted(done.items())]
        lines += [f"log: {self.rows[row]:,} times {row.pattern!r}: {row.reason}" for row in EXPECTED]
        if self._end is not None and self._end["drains"]:
            seconds = self._end["drains"]["seconds"]
            lines.append(f"drained and started anew {len(seconds)} times, longest drain {max(seconds)} s")
        lines += [f"FOUND: {each}" for each in self.findings]
        failed = sum(self.load["failed"].values())
        work = f"{sum(done.values()):,} operations in {at:,.0f} s, {failed} failed, {len(self._rests)} rests"
        lines.append(f"soak: {work}: {self.verdict}")
        return "\n".join(lines)


def _under_load(records: list[dict[str, Any]]) -> Iterator[str]:
    """Slopes of memory and descriptors between rests: not judged, since what happens to be open moves them."""
    samples = [each for each in records if each["kind"] == "sample"]
    for process in _processes(samples):
        for figure, unit in (("rss", "KiB"), ("pss", "KiB"), ("fds", "descriptors")):
            kept = warmed_up([(each["at"], _figures(each, process)[figure]) for each in samples])
            if len(kept) >= 3:
                slope = theil_sen(kept).times(HOUR_S)
                interval = f"[{slope.low:+.1f}, {slope.high:+.1f}]"
                yield f"{process:8} {figure:4} under load: {slope.value:+.1f} {interval} {unit}/h"


def _most_grown(rests: list[dict[str, Any]], process: str) -> str:
    """Return the types of which there are more at the end than after the warm-up: what a leak would be made of."""
    kept = warmed_up([(each["at"], number) for number, each in enumerate(rests)])
    if not kept:
        return "none"
    first, last = (rests[int(number)] for _, number in (kept[0], kept[-1]))
    before, after = (_figures(each, process).get("types", {}) for each in (first, last))
    grown = Counter({name: count - before[name] for name, count in after.items() if count > before.get(name, count)})
    return ", ".join(f"{name} +{count}" for name, count in grown.most_common(5)) or "none"


def _processes(records: list[dict[str, Any]]) -> list[str]:
    return [*records[0]["servers"], "load"] if records else []


def _figures(record: dict[str, Any], process: str) -> dict[str, Any]:
    found: dict[str, Any] = record["load"] if process == "load" else record["servers"][process]
    return found


def _is_under_way(path: Path) -> bool:
    """Return True if a process has the lock that a run holds on its samples until it ends."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records; a last one that was cut is left out."""
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            return
