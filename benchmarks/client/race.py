"""Clients side by side: one after the other, pinned to one core, with the same server on another.

The server of HTTP/2 is nghttpd, that of HTTP/1.1 is Granian, which are faster than any of the clients.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.client import adapters, sync_adapters
from benchmarks.results import Cell, Results
from benchmarks.servers import contenders
from benchmarks.servers.contenders import Course, Running, all_running
from benchmarks.servers.load import LIMIT_S, ROOT
from benchmarks.servers.race import show

ON_OURS: Final = "headrace"  # a client with this in its name runs in the environment of headrace
ONLY_H1: Final = ("aiohttp",)
SERVERS: Final = {"h1": "granian", "h2": "nghttpd"}


@dataclass(frozen=True)
class Scenario:
    """What the clients do."""

    name: str
    what: str
    protocol: str
    at_once: int
    path: str = "/"
    size: int = 13
    tls: bool = False
    is_sync: bool = False


SCENARIOS: Final = (
    Scenario("client-h2-1", "13 bytes, one request at a time", "h2", 1),
    Scenario("client-h2-50", "13 bytes, 50 tasks; multiplexed, where the client does that", "h2", 50),
    Scenario("client-h2-1m", "1 MiB, 8 tasks", "h2", 8, "/1m", 1_048_576),
    Scenario("client-tls-h2-50", "client-h2-50 over TLS", "h2", 50, tls=True),
    Scenario("client-h1-1", "HTTP/1.1: 13 bytes, one request at a time", "h1", 1),
    Scenario("client-h1-50", "HTTP/1.1: 13 bytes, 50 tasks", "h1", 50),
    Scenario("client-sync-h2", "synchronous clients: 13 bytes, one request at a time", "h2", 1, is_sync=True),
    Scenario("client-threads-h1", "synchronous clients, HTTP/1.1: 13 bytes, 8 threads", "h1", 8, is_sync=True),
)
NAMES: Final = tuple(each.name for each in SCENARIOS)
CLIENTS: Final = (*adapters.ADAPTERS, *sync_adapters.ADAPTERS)


def able(scenario: Scenario, clients: Sequence[str]) -> list[str]:
    """Return the clients that can take part in a scenario."""
    field = sync_adapters.ADAPTERS if scenario.is_sync else adapters.ADAPTERS
    return [name for name in field if name in clients and not (name in ONLY_H1 and scenario.protocol == "h2")]


def race(
    course: Course, names: Sequence[str], clients: Sequence[str], rounds: int, seconds: float, results: Results
) -> None:
    """Race all clients in the scenarios of these names."""
    for scenario in SCENARIOS:
        if scenario.name not in names:
            continue
        server = contenders.BY_NAME[SERVERS[scenario.protocol]]
        row = results.row(scenario.name, "clients", scenario.what)
        row.cells = {name: Cell() for name in able(scenario, clients)}
        with all_running(course, [server], scenario.tls, scenario.protocol, results.not_raced) as up:
            for number in range(rounds * len(up)):
                turn = number % max(1, len(row.cells))
                order = list(row.cells)
                for name in order[turn:] + order[:turn]:
                    turn_of(course, name, scenario, up[0], f"{seconds:g}", row.cells[name])
        show(row)


def turn_of(course: Course, name: str, scenario: Scenario, server: Running, amount: str, cell: Cell) -> None:
    """Let one client work once, and add its figures to the cell."""
    if cell.fault:
        return
    python = sys.executable if ON_OURS in name else str(course.peers / "bin/python")
    where = [server.base + scenario.path, str(scenario.size), str(scenario.at_once), amount]
    command = [python, "-W", "ignore", "-m", "benchmarks.client.contender", name, scenario.protocol, *where]
    limit = LIMIT_S + (600.0 if amount.endswith("x") else float(amount))
    try:
        done = subprocess.run(
            course.on_load_core(command), cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        cell.fault = "it did not end"
        return
    if done.returncode:
        cell.fault = done.stderr.strip().rpartition("\n")[2][:200] or f"exit code {done.returncode}"
        return
    found = json.loads(done.stdout)
    cell.add(rate=found["count"] / found["seconds"], cpu=found["cpu"], memory=found["memory"])
