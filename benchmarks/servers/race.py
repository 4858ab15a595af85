"""Servers side by side, in one run, on one machine.

All servers of a protocol are up at once, each pinned to the same core; the load comes from another one. They are
visited in turn, round after round, so that other work of the machine affects all of them alike.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.results import MEASURES, Cell, Results, Row
from benchmarks.servers import memory
from benchmarks.servers.contenders import Contender, Course, Running, all_running
from benchmarks.servers.load import fault_of, generated, pace, visit
from benchmarks.servers.process import cpu_seconds, proportional
from benchmarks.servers.scenarios import BY_NAME, SCENARIOS, Scenario

WARM_UP_S: Final = 0.3
SHARE: Final = 0.5  # of what the slowest server can do: the rate of the open loop
LEAST: Final = 2  # requests of a visit, for each that is open at once
TRIAL_S: Final = 0.5
LATENCY_LENGTH: Final = 3.0  # visits of the open loop are longer: a thousandth needs thousands
ENOUGH: Final = 1000  # requests a visit, to speak of a thousandth
LEAST_RATE: Final = 100.0
LATENCIES: Final = {"latency-h1": ("h1", False), "latency-h2": ("h2", False), "latency-tls-h2": ("h2", True)}
WEBSOCKETS: Final = {"websocket-h1": "ws1", "websocket-h2": "ws2"}
MEMORIES: Final = {"memory-h1": "h1", "memory-h2": "h2", "memory-websocket": "ws1"}
IDLE: Final = "memory-idle"
GROUPS: Final = (("h2", False), ("h2", True), ("h1", False), ("h1", True), ("ws1", False), ("ws2", False))
NAMES: Final = (*BY_NAME, *LATENCIES, *WEBSOCKETS, *MEMORIES, IDLE)


@dataclass(frozen=True)
class Wanted:
    """What is raced, and for how long."""

    names: tuple[str, ...]
    contenders: tuple[Contender, ...]
    rounds: int
    seconds: float
    rate: float = 0.0
    """Requests a second in the open loop; 0 for half of what the slowest server can do."""
    connections: int = 2_000
    """Idle ones, for the memory of each."""

    def scenarios(self, protocol: str, tls: bool) -> list[Scenario]:
        """Return the scenarios of a group."""
        return [each for each in SCENARIOS if (each.protocol, each.tls) == (protocol, tls) and each.name in self.names]

    def others(self, protocol: str, tls: bool) -> list[str]:
        """Return the names of the group's rows that are no scenarios of h2load."""
        rows = [name for name, group in LATENCIES.items() if group == (protocol, tls)]
        rows += [name for name, each in WEBSOCKETS.items() if (each, False) == (protocol, tls)]
        rows += [name for name, each in MEMORIES.items() if (each, False) == (protocol, tls)]
        return [name for name in rows if name in self.names]

    def able(self, protocol: str) -> list[Contender]:
        """Return the contenders of a group."""
        return [each for each in self.contenders if protocol in each.protocols]


def chosen(patterns: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names that any of the patterns fits, with commas between them; all for none. Raises ValueError."""
    wanted = [each for each in patterns.split(",") if each]
    for pattern in wanted:
        if not fnmatch.filter(names, pattern):
            raise ValueError(f"nothing is called '{pattern}'; there are {', '.join(names)}")
    return tuple(name for name in names if not wanted or any(fnmatch.fnmatchcase(name, each) for each in wanted))


def takes_part(contender: Contender, scenario: Scenario) -> bool:
    """Return True if a server can take part: file servers only where files are asked for."""
    return (scenario.static or not contender.static) and not (contender.hello_only and scenario.body != 13)


def race(course: Course, wanted: Wanted, results: Results) -> None:
    """Race all groups."""
    for protocol, tls in GROUPS:
        scenarios, others = wanted.scenarios(protocol, tls), wanted.others(protocol, tls)
        if not scenarios and not others:
            continue
        with all_running(course, wanted.able(protocol), tls, protocol, results.not_raced) as servers:
            for scenario in scenarios:
                row = results.row(scenario.name, "servers", scenario.what)
                closed_loop(course, servers, scenario, row, wanted)
            for name in others:
                if name in LATENCIES:
                    latency(course, servers, name, results, wanted)
                elif name in WEBSOCKETS:
                    echoes(course, servers, name, results, wanted)
                else:
                    row = results.row(name, "memory", f"memory (PSS) after the load over {protocol}")
                    row.cells = {each.contender.name: Cell() for each in servers}
                    in_turn(servers, row, 1, remember)
    if IDLE in wanted.names:
        what = f"memory of an idle HTTP/2 connection, of {wanted.connections:,}"
        memory.idle(course, list(wanted.contenders), wanted.connections, results.row(IDLE, "memory", what))


def in_turn(servers: Sequence[Running], row: Row, rounds: int, visit: Callable[[Running, Cell, int], None]) -> None:
    """Visit each server whose cell has no fault, in each round, and show the row."""
    for number in range(rounds):
        # Another order each round: nobody always comes after the one who leaves the caches cold.
        turn = number % max(1, len(servers))
        for server in [*servers[turn:], *servers[:turn]]:
            cell = row.cells[server.contender.name]
            if cell.fault:
                continue
            try:
                visit(server, cell, number)
            except OSError as error:  # of /proc
                cell.fault = f"the server is gone: {error}"
    show(row)


def closed_loop(course: Course, servers: list[Running], scenario: Scenario, row: Row, wanted: Wanted) -> None:
    """Load the servers with as much as they can take."""
    able = [each for each in servers if takes_part(each.contender, scenario)]
    for server in able:
        row.cells[server.contender.name] = Cell(fault=fault_of(course, server, scenario))

    counts: dict[str, int] = {}

    def once(server: Running, cell: Cell, number: int) -> None:
        name = server.contender.name
        if name not in counts:
            least = LEAST * scenario.clients * scenario.streams
            counts[name] = max(least, int(pace(course, server, scenario, WARM_UP_S) * wanted.seconds))
        found = visit(course, server, scenario, counts[name])
        cell.fault = found.fault
        if not found.fault:
            cell.add(rate=found.rate, cpu=found.cpu_us)

    in_turn(able, row, wanted.rounds, once)


def latency(course: Course, servers: list[Running], name: str, results: Results, wanted: Wanted) -> None:
    """Load the servers at a fixed rate, the same for all."""
    protocol, tls = LATENCIES[name]
    able = [each for each in servers if not each.contender.hello_only]
    seconds = LATENCY_LENGTH * wanted.seconds
    rate = wanted.rate or trial(course, able, protocol, tls)
    what = f"hello at {rate:,.0f} requests a second, {protocol}{' over TLS' if tls else ''}, open loop"
    row = results.row(name, "latency", what)
    row.cells = {each.contender.name: Cell() for each in able}
    late = []
    samples = rate * seconds

    def once(server: Running, cell: Cell, number: int) -> None:
        options = [str(server.port), protocol, str(rate), str(seconds), str(number), *(["tls"] if tls else [])]
        found = generated(course, "open_loop", options, seconds)
        cell.fault = found.get("fault", "")
        if not cell.fault:
            cell.add(p50=found["p50"], p99=found["p99"], late=found["late"])
            if samples >= ENOUGH:
                cell.add(p99_9=found["p99.9"])
            late.append(found["late"])

    in_turn(able, row, wanted.rounds, once)
    for cell in row.cells.values():
        cell.check_lateness()
    if late:
        row.what += f"; 99 % of the requests were sent at most {max(late) * 1e3:,.0f} µs late"
        row.what += f"; {samples:,.0f} requests a round" + ("" if samples >= ENOUGH else ", too few for p99.9")


def trial(course: Course, servers: list[Running], protocol: str, tls: bool) -> float:
    """Return half of the rate that the slowest server can do, rounded down to two digits."""
    base = BY_NAME["h1-hello" if protocol == "h1" else "hello-m10"]
    scenario = dataclasses.replace(base, name="trial", tls=tls)
    slowest = min(filter(None, (pace(course, server, scenario, TRIAL_S) for server in servers)), default=0.0)
    return max(LEAST_RATE, float(f"{slowest * SHARE:.2g}"))


def echoes(course: Course, servers: list[Running], name: str, results: Results, wanted: Wanted) -> None:
    """Load the servers with WebSocket messages of 128 bytes, which they echo."""
    protocol = WEBSOCKETS[name]
    where = "64 connections of HTTP/1.1" if protocol == "ws1" else "64 streams on 4 connections of HTTP/2"
    row = results.row(name, "websocket", f"128 bytes echoed, one message at a time on {where}")
    row.cells = {each.contender.name: Cell() for each in servers}
    busy = []

    def once(server: Running, cell: Cell, number: int) -> None:
        before = cpu_seconds(server.process.pid)
        found = generated(course, "websocket", [str(server.port), protocol, str(wanted.seconds)], wanted.seconds)
        used = cpu_seconds(server.process.pid) - before
        cell.fault = found.get("fault", "")
        if not cell.fault:
            cell.add(rate=found["count"] / found["seconds"], cpu=used * 1e6 / max(1, found["total"]))
            busy.append(found["busy"])

    in_turn(servers, row, wanted.rounds, once)
    if busy:
        row.what += f"; the generator used at most {max(busy):.0%} of its core"


def remember(server: Running, cell: Cell, number: int) -> None:
    """Note a server's memory."""
    cell.add(memory=proportional(server.process.pid) / (1 << 20))


def show(row: Row) -> None:
    """Print a line for each cell."""
    for name, cell in row.cells.items():
        values = "  ".join(figure(cell, measure) for measure in row.measures if cell.median(measure) is not None)
        print(f"{row.name:15} {name:16} {f'FAULT: {cell.fault}' if cell.fault else values}", flush=True)


def figure(cell: Cell, measure: str) -> str:
    """Return a median with its unit, and half of the spread."""
    value, spread = cell.median(measure) or 0.0, cell.spread(measure)
    digits = ",.0f" if value >= 1000 else ".3g"
    return f"{value:{digits}} {MEASURES[measure].unit}" + ("" if spread is None else f" ±{spread / 2:.0%}")
