"""The figures of a race: rows, cells, and the rows in which a peer is first. They are kept as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final


@dataclass(frozen=True)
class Measure:
    """One kind of figure of a row."""

    unit: str
    more_is_better: bool = False


MEASURES: Final = {
    "rate": Measure("/s", more_is_better=True),
    "cpu": Measure("µs of CPU"),
    "p50": Measure("ms"),
    "p99": Measure("ms"),
    "p99.9": Measure("ms"),
    "memory": Measure("MiB"),
    "idle": Measure("KiB"),
}
SECTIONS: Final = ("servers", "latency", "websocket", "memory", "clients")


@dataclass
class Cell:
    """The figures of one contender in one row: for each measure, a value a round."""

    values: dict[str, list[float]] = field(default_factory=dict)
    fault: str = ""
    """Why the figures do not count, or nothing."""
    unusable: str = ""
    """Why the generator's figures say nothing of the contender, which is not to blame; or nothing."""

    def add(self, **figures: float) -> None:
        """Add one round."""
        for name, value in figures.items():
            self.values.setdefault(name.replace("p99_9", "p99.9"), []).append(value)

    def median(self, measure: str) -> float | None:
        """Return the median of the rounds; None when there is no figure that counts."""
        values = self.values.get(measure)
        return statistics.median(values) if values and not self.fault and not self.unusable else None

    def check_lateness(self) -> None:
        """Set `unusable` where the generator was later than the latencies that it is to measure."""
        late, p50 = self.median("late"), self.median("p50")
        if late is not None and p50 is not None and late > p50:
            self.unusable = "1 % of the requests were sent later than p50"

    def spread(self, measure: str) -> float | None:
        """Return how far the rounds lie apart: largest minus smallest, in parts of the median; None for one round."""
        values, median = self.values.get(measure, []), self.median(measure)
        return (max(values) - min(values)) / median if len(values) > 1 and median else None


@dataclass
class Row:
    """One scenario."""

    name: str
    section: str
    what: str
    """One sentence about it."""
    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def measures(self) -> list[str]:
        """The measures that any contender has, in the order of MEASURES."""
        return [name for name in MEASURES if any(name in cell.values for cell in self.cells.values())]


@dataclass
class Results:
    """Everything that a run found, and under which circumstances."""

    facts: dict[str, str]
    """Machine, Python, rounds, load: a name and what to say about it."""
    versions: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    not_raced: dict[str, str] = field(default_factory=dict)
    """The contenders that could not take part, each with the reason."""

    def row(self, name: str, section: str, what: str) -> Row:
        """Add a row."""
        self.rows.append(Row(name, section, what))
        return self.rows[-1]

    def unusable(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield rows with the reason why cells are unusable, and the contenders of these."""
        for row in self.rows:
            for why in dict.fromkeys(cell.unusable for cell in row.cells.values() if cell.unusable):
                yield row.name, why, [name for name, cell in row.cells.items() if cell.unusable == why]

    def faults(self) -> Iterator[tuple[Row, str, Cell]]:
        """Yield the cells that have a fault."""
        for row in self.rows:
            for name, cell in row.cells.items():
                if cell.fault:
                    yield row, name, cell


@dataclass(frozen=True)
class Lead:
    """A row in which a peer is before headrace."""

    row: str
    measure: str
    leader: str
    ratio: float
    """How many times better; 0 when headrace has no figure."""
    is_noise: bool
    """True if the rounds of the two overlap, so that another run may come out the other way."""


def ours(name: str) -> bool:
    """Return True for contenders that are headrace, or stand on it."""
    return "headrace" in name


def compared(row: Row) -> str:
    """Return the contender of ours that others are compared with: the one with an ASGI application, as they have."""
    mine = [name for name in row.cells if ours(name) and name in ("headrace", "headrace-sync")]
    return mine[0] if mine else "headrace"


def leads(results: Results) -> list[Lead]:
    """Return all rows, and measures of them, in which somebody else is first."""
    found = []
    for row in results.rows:
        for measure in row.measures:
            others = {name: cell.median(measure) for name, cell in row.cells.items() if not ours(name)}
            known = {name: value for name, value in others.items() if value is not None}
            if not known:
                continue
            more = MEASURES[measure].more_is_better
            leader = (max if more else min)(known, key=lambda name: known[name])
            own = row.cells.get(compared(row), Cell())
            mine, best = own.median(measure), known[leader]
            if own.unusable:
                continue
            if mine is None:
                found.append(Lead(row.name, measure, leader, 0.0, is_noise=False))
            elif (best > mine) if more else (best < mine):
                better, worse = (best, mine) if more else (mine, best)
                overlap = _overlap(own.values[measure], row.cells[leader].values[measure])
                found.append(Lead(row.name, measure, leader, better / worse if worse else 0.0, overlap))
    return found


def _overlap(one: list[float], other: list[float]) -> bool:
    return max(min(one), min(other)) <= min(max(one), max(other)) and (len(one) > 1 or len(other) > 1)


def noise(results: Results) -> tuple[float, float] | None:
    """Return how far the rounds of a cell lie apart, for rates: the median of all cells, and the worst."""
    spreads = [spread for row in results.rows for cell in row.cells.values() if (spread := cell.spread("rate"))]
    return (statistics.median(spreads), max(spreads)) if spreads else None


def to_text(results: Results) -> str:
    """Return the results as JSON, a line a cell."""
    head = {"facts": results.facts, "versions": results.versions, "not_raced": results.not_raced}
    lines = []
    for row in results.rows:
        cells = ",\n".join(f"   {json.dumps(name)}: {json.dumps(_kept(cell))}" for name, cell in row.cells.items())
        start = json.dumps({"name": row.name, "section": row.section, "what": row.what}, ensure_ascii=False)
        lines.append(f'  {start[:-1]}, "cells": {{\n{cells}\n  }}}}')
    return json.dumps(head, indent=1, ensure_ascii=False)[:-2] + ',\n "rows": [\n' + ",\n".join(lines) + "\n ]\n}\n"


def _kept(cell: Cell) -> dict[str, Any]:
    found = {"values": _short(cell.values), "fault": cell.fault}
    return found | ({"unusable": cell.unusable} if cell.unusable else {})


def _short(values: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return the values with four digits that count: more would be noise."""
    return {name: [float(f"{value:.4g}") for value in rounds] for name, rounds in values.items()}


def from_text(text: str) -> Results:
    """Return the results that to_text wrote."""
    data: dict[str, Any] = json.loads(text)
    rows = [
        Row(
            row["name"],
            row["section"],
            row["what"],
            {
                name: Cell(cell["values"], cell["fault"], cell.get("unusable", ""))
                for name, cell in row["cells"].items()
            },
        )
        for row in data["rows"]
    ]
    return Results(data["facts"], data["versions"], rows, data["not_raced"])


def load(path: Path) -> Results:
    """Read a file of results."""
    return from_text(path.read_text("utf-8"))
