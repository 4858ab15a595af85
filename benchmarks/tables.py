"""A race in words: Markdown tables of all rows, and a sentence that names those in which somebody else is first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.results import MEASURES, SECTIONS, Lead, Results, Row, leads, noise

HEADS: Final = {
    "servers": "Servers: requests a second, in brackets the server's processor time for each in µs",
    "latency": "Servers, open loop: latency in ms at p50 / p99 / p99.9, all of a row at the same rate",
    "websocket": "WebSocket: messages echoed a second, in brackets the server's processor time for each in µs",
    "memory": "Memory: MiB (PSS) after the load; for *memory-idle* KiB of an idle connection",
    "clients": "Clients: requests a second, in brackets the client's processor time for each in µs, and memory in MiB",
}
LEAD_HEADS: Final = {
    "rate": "Rate",
    "cpu": "Processor time",
    "p50": "Latency p50",
    "p99": "Latency p99",
    "p99.9": "Latency p99.9",
    "memory": "Memory",
    "idle": "Memory of an idle connection",
}
BUSY: Final = 0.5  # load average, of one minute


def number(value: float) -> str:
    """Return a figure with three digits that count, or in whole thousands' groups."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def words(row: Row, name: str) -> str:
    """Return what a cell of the table says."""
    cell = row.cells.get(name)
    if cell is None:
        return ""
    if cell.fault:
        return "fault"
    if cell.unusable:
        return "unusable"
    found = {measure: value for measure in row.measures if (value := cell.median(measure)) is not None}
    if "rate" in found:
        rest = ", ".join(number(found[measure]) for measure in ("cpu", "memory") if measure in found)
        return number(found["rate"]) + (f" ({rest})" if rest else "")
    return " / ".join(number(value) for value in found.values())


def first(row: Row) -> str:
    """Return the contender that is first by the row's first measure."""
    measure = row.measures[0] if row.measures else ""
    known = {name: value for name, cell in row.cells.items() if (value := cell.median(measure)) is not None}
    if not known:
        return ""
    return (max if MEASURES[measure].more_is_better else min)(known, key=lambda name: known[name])


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a table with a row a scenario and a column a contender; the first is bold."""
    names = list(dict.fromkeys(name for row in rows for name in row.cells))
    yield "| | " + " | ".join(names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for row in rows:
        best = first(row)
        cells = [f"**{text}**" if name == best else text for name in names for text in [words(row, name)]]
        yield f"| {row.name} | " + " | ".join(cells) + " |"


def all_tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of as many tables as there are groups of rows that have no contender in common."""
    groups: list[list[Row]] = []
    for row in rows:
        home = next((group for group in groups if any(row.cells.keys() & each.cells.keys() for each in group)), None)
        if home is None:
            groups.append([row])
        else:
            home.append(row)
    for group in groups:
        yield from (*table(group), "")


def noise_in_words(results: Results) -> str:
    """Return how far the rounds lay apart."""
    found = noise(results)
    if found is None:
        return "Noise: unknown, as there was one round."
    middle, worst = found
    return (
        f"Noise: the fastest and the slowest round of a rate lay {middle:.0%} of its median apart (median of all; "
        f"the worst {worst:.0%})."
    )


def lead_in_words(lead: Lead) -> str:
    """Return one row in which somebody else is first, and by how much."""
    if not lead.ratio:
        return f"{lead.row} ({lead.leader}; headrace has no figure)"
    return f"{lead.row} ({lead.leader} {lead.ratio:.2f}×{', within noise' if lead.is_noise else ''})"


def somebody_else(results: Results) -> list[str]:
    """Return the lines that name every row in which somebody else is first."""
    found = leads(results)
    if not found:
        return ["Somebody else is first in: none."]
    measures = [measure for measure in MEASURES if any(lead.measure == measure for lead in found)]
    lines = [
        "Somebody else is first, before headrace with an ASGI application or headrace's client (*within noise*: the "
        "rounds of the two overlap):",
        "",
    ]
    for measure in measures:
        named = ", ".join(lead_in_words(lead) for lead in found if lead.measure == measure)
        lines.append(f"- {LEAD_HEADS[measure]}: {named}.")
    return lines


def is_busy(load: str) -> bool:
    """Return True if others had their share of the processors before the race began."""
    return load != "unknown" and float(load) > BUSY


def render(results: Results) -> list[str]:
    """Return the figures as lines of Markdown."""
    facts = results.facts
    lines = [
        f"Measured by `make bench` on {facts['date']}: {facts['machine']}, {facts['kernel']}; Python "
        f"{facts['python']}; {facts['pinning']}; {facts['rounds']}, medians; load average before it {facts['load']}. "
        + noise_in_words(results),
        "",
    ]
    if is_busy(facts["load"]):
        lines += ["**Preliminary**: other programs used the machine meanwhile.", ""]
    lines += [
        "Versions: " + ", ".join(f"{name} {version}" for name, version in results.versions.items()) + ".",
        "",
    ]
    for section in SECTIONS:
        rows = [row for row in results.rows if row.section == section]
        if rows:
            lines += [f"{HEADS[section]}:", "", *all_tables(rows)]
    lines += [*somebody_else(results), ""]
    if results.not_raced:
        lines += ["Not raced: " + "; ".join(f"{name} ({why})" for name, why in results.not_raced.items()) + ".", ""]
    found = [f"{name} in {row.name} ({cell.fault})" for row, name, cell in results.faults()]
    if found:
        lines += ["Faults, whose figures do not count: " + "; ".join(found) + ".", ""]
    lines += [
        line
        for row, why, names in results.unusable()
        for line in (f"Unusable, and not compared: {row} of {', '.join(names)} ({why}).", "")
    ]
    lines += ["<details><summary>The rows</summary>", ""]
    lines += [f"- {row.name}: {row.what}." for row in results.rows]
    return [*lines, "", "</details>"]
