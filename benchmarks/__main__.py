"""`make bench`: servers and clients side by side, over HTTP/1.1, HTTP/2, TLS and WebSocket, in one run."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import budget, peers, readme, report
from benchmarks.client import race as client_race
from benchmarks.results import Results, ours
from benchmarks.servers import race as server_race
from benchmarks.servers.contenders import CONTENDERS, Course
from benchmarks.servers.race import Wanted, chosen

RESULTS: Final = Path(__file__).resolve().parent / "results"
NAMES: Final = (*server_race.NAMES, *client_race.NAMES)
SERVERS: Final = tuple(each.name for each in CONTENDERS)
EXTRA: Final = "hello-m10,down-64k,tls-hello-m1,tls-up-1m,h1-pipelined,h1-tls-down-1m"  # raced only by name
QUICK: Final = "hello-m10,varied,h1-hello,latency-h2,websocket-h1,client-h2-50"
SHORTEST_S: Final = 0.2
LONGEST_S: Final = 2.0  # of a visit, however few rows share the minutes


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    if shutil.which("h2load") is None:
        print("h2load is missing; it comes with nghttp2 (on Debian: apt-get install nghttp2-client nghttp2-server)")
        return 2
    names, wanted, clients = options.names, options.wanted, options.chosen_clients
    not_raced: dict[str, str] = {}
    environment = Path(options.peers).resolve() if options.peers else peers.install(not_raced)
    took = budget.estimate(wanted, clients, names, wanted.seconds)
    rows = f"{len(names)} rows, {wanted.rounds} rounds, {wanted.seconds:.2g} s a visit"
    print(f"{rows}: about {budget.in_words(took)}", flush=True)
    begin = time.monotonic()
    out = Path(options.out).resolve()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        course = Course(environment, Path(folder), out / "logs")
        course.prepare()
        packages = [each.package for each in wanted.contenders if each.package]
        found = Results(
            report.facts(course, wanted.rounds, wanted.seconds),
            report.versions(environment, packages),
            not_raced=not_raced,
        )
        server_race.race(course, wanted, found)
        client_race.race(course, names, clients, wanted.rounds, wanted.seconds, found)
    paths = report.write(out, found)
    if options.write_readme:
        readme.write(found)
        paths += [readme.KEPT, readme.README]
    print(f"\n{time.monotonic() - begin:.0f} s; written: {', '.join(str(path) for path in paths)}")
    return 1 if any(ours(name) for _, name, _ in found.faults()) else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options, with what they choose: `names`, `wanted`, `chosen_clients`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", default="", help=f"rows, with commas, or patterns such as client-*; * is all, also {EXTRA}"
    )
    parser.add_argument("--servers", default="", help=f"servers, with commas: {','.join(SERVERS)}")
    parser.add_argument("--clients", default="", help=f"clients, with commas: {','.join(client_race.CLIENTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="visits to each contender in each row (3)")
    parser.add_argument("--seconds", type=float, default=0.0, help="length of a visit, instead of --minutes")
    parser.add_argument("--minutes", type=float, default=20.0, help="what all should take at most (20)")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second of the open loop")
    parser.add_argument("--idle", type=int, default=2_000, help="idle connections for the memory of each (2000)")
    parser.add_argument("--quick", action="store_true", help="a few rows, one round of half a second")
    parser.add_argument("--write-readme", action="store_true", help="write the figures into README.md")
    parser.add_argument("--peers", default="", help="an environment that holds the peers already")
    parser.add_argument("--out", default=str(RESULTS), help="where the report goes (benchmarks/results)")
    options = parser.parse_args(arguments)
    if options.write_readme and (options.quick or options.only or options.servers or options.clients):
        parser.error("README has all rows and everybody: --write-readme chooses none of them")
    if options.quick:
        options.only, options.rounds, options.seconds = options.only or QUICK, 1, 0.5
    try:
        options.names = chosen(options.only, NAMES)
        if not options.only:
            options.names = tuple(name for name in options.names if name not in EXTRA.split(","))
        servers = chosen(options.servers, SERVERS)
        options.chosen_clients = chosen(options.clients, client_race.CLIENTS)
    except ValueError as error:
        parser.error(str(error))
    field = tuple(each for each in CONTENDERS if each.name in servers)
    wanted = Wanted(options.names, field, options.rounds, options.seconds, options.rate, options.idle)
    if not options.seconds:
        seconds = budget.length(wanted, options.chosen_clients, options.names, options.minutes)
        wanted = dataclasses.replace(wanted, seconds=min(seconds, LONGEST_S))
    if options.rounds < 1 or wanted.seconds < SHORTEST_S:
        parser.error(f"{options.rounds} rounds of {wanted.seconds:.2g} s are too few; at least 1 of {SHORTEST_S} s")
    options.wanted = wanted
    return options


if __name__ == "__main__":
    sys.exit(main())
