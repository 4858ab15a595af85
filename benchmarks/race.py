"""`make bench`: servers side by side, over HTTP/2 and HTTP/1.1, in one run, on one machine.

All servers are up at once, each pinned to the same core; the load comes from another one. They are visited in turn,
round after round, so that whatever else the machine does hits all alike. What counts is the median of the ratios within
each round, not a figure of one run against a figure of another day.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import memory, report
from benchmarks.contenders import CONTENDERS, Course, Running, all_running
from benchmarks.load import fault_of, visit
from benchmarks.scenarios import BY_NAME, SCENARIOS, Scenario

HERE = Path(__file__).resolve().parent
BASE = "granian"


@dataclass
class Cell:
    """What one server did in one scenario."""

    rates: list[float] = field(default_factory=list)
    """Requests a second, a value a round."""
    ratios: list[float] = field(default_factory=list)
    """To the base server, of the same rounds."""
    fault: str = ""

    @property
    def rate(self) -> float:
        return statistics.median(self.rates) if self.rates else 0.0

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios) if self.ratios else 0.0

    @property
    def spread(self) -> float:
        """How far the rounds lie apart: largest minus smallest, in parts of the median."""
        return (max(self.rates) - min(self.rates)) / self.rate if self.rate else 0.0


Results = dict[str, dict[str, Cell]]


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if shutil.which("h2load") is None:
        print("h2load is missing; it comes with nghttp2 (on Debian: apt-get install nghttp2-client nghttp2-server)")
        return 2
    scenarios = [BY_NAME[name] for name in options.only.split(",")] if options.only else list(SCENARIOS)
    contenders = [each for each in CONTENDERS if not options.servers or each.name in options.servers.split(",")]
    out = Path(options.out).resolve()
    peers = Path(options.peers) if options.peers else install_peers()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        course = Course(peers, Path(folder), out / "logs")
        course.prepare()
        machine = report.machine(course)  # before there is load of our own
        results: Results = {}
        for tls, protocol in ((False, "h2"), (True, "h2"), (False, "h1"), (True, "h1")):
            chosen = [each for each in scenarios if each.tls == tls and each.protocol == protocol]
            if chosen:
                able = [each for each in contenders if protocol in each.protocols]
                with all_running(course, able, tls, protocol) as servers:
                    for scenario in chosen:
                        results[scenario.name] = race(course, servers, scenario, options)
        idle = [] if options.no_memory else memory.measure(course, contenders, options.idle)
        facts = report.Facts(
            machine=machine,
            versions=report.versions(peers, contenders),
            rounds=options.rounds,
            seconds=options.seconds,
            base=options.base,
        )
    report.write(out, facts, scenarios, results, idle)
    print(f"\nwritten: {out / 'benchmarks.md'}, {out / 'benchmarks.svg'}, {out / 'benchmarks.json'}")
    return 1 if any(cell.fault and ours(name) for row in results.values() for name, cell in row.items()) else 0


def ours(name: str) -> bool:
    return name.startswith("headrace")


def race(course: Course, servers: list[Running], scenario: Scenario, options: argparse.Namespace) -> dict[str, Cell]:
    """One scenario: every server that can take part, in turn, for all rounds. Prints a line a server."""
    row: dict[str, Cell] = {}
    running: list[Running] = []
    for server in servers:
        if server.contender.static and not scenario.static:
            continue
        if server.contender.hello_only and scenario.path != "/":
            continue
        cell = row[server.contender.name] = Cell(fault=fault_of(course, server, scenario))
        if not cell.fault:
            running.append(server)
    for number in range(options.rounds):
        # Another order each round: nobody always comes after the one who leaves the caches cold.
        turn = number % len(running) if running else 0
        for server in running[turn:] + running[:turn]:
            cell = row[server.contender.name]
            found = visit(course, server, scenario, options.seconds)
            cell.rates.append(found.rate)
            cell.fault = cell.fault or found.fault
    base = row.get(options.base)
    for name, cell in row.items():
        if base is not None:
            cell.ratios = [rate / other for rate, other in zip(cell.rates, base.rates, strict=False) if other]
        note = f"  FAULT: {cell.fault}" if cell.fault else ""
        ratio = f"{cell.ratio:6.2f} x {options.base}" if cell.ratios else ""
        print(
            f"{scenario.name:15} {name:16} {cell.rate:10,.0f} req/s {ratio}  ±{cell.spread / 2:4.0%}{note}", flush=True
        )
    return row


def install_peers() -> Path:
    """The environment of the peers, on this Python, made when it is not there or its list has changed."""
    folder = HERE.parent / f".venv-peers-{sys.version_info[0]}.{sys.version_info[1]}"
    wanted, done = HERE / "peers.txt", folder / "installed"
    if not done.exists() or done.read_text() != wanted.read_text():
        print(f"installing the peers into {folder.name} ...", flush=True)
        python = getattr(sys, "_base_executable", sys.executable)
        subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(folder / "bin/python"), "-m", "pip", "install", "-q", "-r", str(wanted)], check=True)
        done.write_text(wanted.read_text())
    return folder


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.race", description="Race HTTP/2 servers side by side.")
    parser.add_argument("--rounds", type=int, default=5, help="visits to each server in each scenario (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a visit (2)")
    parser.add_argument("--only", default="", help=f"scenarios, with commas: {','.join(BY_NAME)}")
    parser.add_argument("--servers", default="", help=f"servers, with commas: {','.join(c.name for c in CONTENDERS)}")
    parser.add_argument("--base", default=BASE, help=f"what ratios are taken to ({BASE})")
    parser.add_argument("--peers", default="", help="an environment that holds the peers already")
    parser.add_argument("--idle", type=int, default=2_000, help="idle connections for the memory figure (2000)")
    parser.add_argument("--no-memory", action="store_true", help="leave the memory figure out")
    parser.add_argument("--out", default=str(HERE / "results"), help="where the report goes (benchmarks/results)")
    options = parser.parse_args(arguments)
    for name in filter(None, options.only.split(",")):
        if name not in BY_NAME:
            parser.error(f"there is no scenario '{name}'")
    if options.rounds < 1 or options.seconds < 0.2:
        parser.error("at least one round of 0.2 s")
    return options


if __name__ == "__main__":
    sys.exit(main())
