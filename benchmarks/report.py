"""What a race leaves behind: a Markdown page, a chart, and the figures as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import chart
from benchmarks.contenders import Contender, Course
from benchmarks.memory import Idle
from benchmarks.scenarios import Scenario

if TYPE_CHECKING:
    from benchmarks.race import Cell, Results


@dataclass(frozen=True)
class Facts:
    """Under which circumstances the figures came about."""

    machine: list[str]
    versions: dict[str, str]
    rounds: int
    seconds: float
    base: str


def write(out: Path, facts: Facts, scenarios: Sequence[Scenario], results: Results, idle: Sequence[Idle]) -> None:
    (out / "benchmarks.md").write_text(page(facts, scenarios, results, idle), "utf-8")
    (out / "benchmarks.svg").write_text(chart.draw(results, facts.base), "utf-8")
    (out / "benchmarks.json").write_text(json.dumps(as_data(facts, results, idle), indent=1) + "\n", "utf-8")


def page(facts: Facts, scenarios: Sequence[Scenario], results: Results, idle: Sequence[Idle]) -> str:
    names = list(dict.fromkeys(name for row in results.values() for name in row))
    lines = ["# Benchmarks", ""]
    lines += [
        f"Requests a second, median of {facts.rounds} rounds of {facts.seconds:g} s; in brackets the median of the "
        f"ratios to {facts.base} within each round. All servers were up at once, {pinning(facts)}, and were visited in "
        "turn. `make bench` does this again on your machine, where only the ratios can be compared with these.",
        "",
        "![The same figures as bars](benchmarks.svg)",
        "",
        "| scenario | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for scenario in scenarios:
        row = results.get(scenario.name, {})
        cells = [in_words(row.get(name), name == facts.base) for name in names]
        lines.append(f"| {scenario.name} | " + " | ".join(cells) + " |")
    lines += ["", "Not every server takes part everywhere: nghttpd (C) serves files and runs no application.", ""]
    lines += [f"- **{scenario.name}**: {scenario.what}" for scenario in scenarios]
    lines += ["", *faults(results)]
    if idle:
        lines += ["## Memory of an idle connection", "", "| server | KiB a connection | connections |", "|---|---|---|"]
        lines += [
            f"| {each.name} | {each.fault or f'{each.bytes_each / 1024:.1f}'} | {each.connections:,} |" for each in idle
        ]
        lines += [
            "",
            "Resident memory of the process, after one request on each connection; kernel buffers not counted.",
            "",
        ]
    lines += ["## Machine, versions, noise", "", *(f"- {fact}" for fact in facts.machine)]
    lines += [f"- {name} {version}" for name, version in facts.versions.items()]
    lines += [f"- Noise: {noise(results)}", ""]
    return "\n".join(lines)


def pinning(facts: Facts) -> str:
    return (
        "pinned to one core with the load on another" if any("pinned" in fact for fact in facts.machine) else "unpinned"
    )


def in_words(cell: Cell | None, base: bool) -> str:
    if cell is None:
        return ""
    if cell.fault:
        return "fault"
    return f"{cell.rate:,.0f}" + (f" ({cell.ratio:.2f})" if cell.ratios and not base else "")


def faults(results: Results) -> list[str]:
    found = [
        f"- {name} in {scenario}: {cell.fault}"
        for scenario, row in results.items()
        for name, cell in row.items()
        if cell.fault
    ]
    return ["Faults, whose figures do not count:", "", *found, ""] if found else []


def noise(results: Results) -> str:
    spreads = [
        cell.spread for row in results.values() for cell in row.values() if len(cell.rates) > 1 and not cell.fault
    ]
    if not spreads:
        return "one round says nothing about it."
    return (
        f"between the rounds, the fastest and slowest visit of a cell lay {statistics.median(spreads):.0%} of its "
        f"median apart (median of all cells; the worst {max(spreads):.0%}). Smaller differences say nothing."
    )


def machine(course: Course) -> list[str]:
    cores = f"{len(course.cores)} cores" if course.cores else "cores unknown"
    if course.pinned:
        cores += f", servers pinned to core {course.cores[0]}, load to core {course.cores[1]}"
    facts = [f"{processor()}, {cores}", f"{platform.system()} {platform.release()}, {platform.machine()}"]
    if hasattr(os, "getloadavg"):
        facts.append(f"load average when it began {os.getloadavg()[0]:.1f}; much above 0, others had their share")
    return facts


def processor() -> str:
    try:
        match = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        match = None
    return match[1] if match else platform.processor() or "unknown processor"


def versions(peers: Path, contenders: Sequence[Contender]) -> dict[str, str]:
    """The version of everything that took part; of headrace also how its engine runs."""
    from headrace.cli.version import version_text

    found = {
        "Python": platform.python_version(),
        "headrace": ", ".join(version_text().splitlines()[:2]).partition(" ")[2],
    }
    listing = [str(peers / "bin/python"), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    installed = {each["name"].lower(): each["version"] for each in json.loads(output(listing) or "[]")}
    for name in (*(each.package for each in contenders), "zttp", "uvloop"):
        if name in installed:
            found[name] = installed[name]
    found["peers' Python"] = output([str(peers / "bin/python"), "-V"]).removeprefix("Python ")
    found["h2load and nghttpd"] = output(["h2load", "--version"])
    return found


def output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    except OSError:
        return ""


def as_data(facts: Facts, results: Results, idle: Sequence[Idle]) -> dict[str, object]:
    return {
        "machine": facts.machine,
        "versions": facts.versions,
        "rounds": facts.rounds,
        "seconds": facts.seconds,
        "base": facts.base,
        "python": sys.version,
        "scenarios": {
            scenario: {
                name: {"rates": cell.rates, "ratio": cell.ratio, "spread": cell.spread, "fault": cell.fault}
                for name, cell in row.items()
            }
            for scenario, row in results.items()
        },
        "idle": {each.name: {"bytes_each": each.bytes_each, "fault": each.fault} for each in idle},
    }
