"""A soak: starts everything, takes samples until it is over, and writes each one at once into a file."""

from __future__ import annotations

import fcntl
import itertools
import json
import subprocess
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from headrace.transport.tls import local_certificate

from tests.soak.apps import FILE_SIZE, pattern
from tests.soak.processes import Load, Server, rude_server

LOOPS = {"asgi": "uvloop", "native": "asyncio", "wsgi": "uvloop", "proxy": "uvloop"}
REST_S = 25.0
"""Seconds in which all connections of a server have ended after the load has: its limits are shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long, how much and how often."""

    folder: Path
    rests: int = 24
    """How often the load stops, and everything that is still held is counted."""
    rest_s: float = 300.0
    """Seconds under load before each rest."""
    rate: float = 25.0
    """Operations a second."""
    seed: int = 1
    sample_s: float = 30.0
    """Seconds from sample to sample under load."""
    cycle_s: float = 55.0
    """Seconds that the server lives that is drained and started anew; 0: there is none."""
    servers: tuple[str, ...] = ("asgi", "native", "wsgi", "proxy")
    """The proxy asks `native`, which stands before it."""
    only: tuple[str, ...] = ()
    """Names of operations; all of them if there are none."""
    faults: str = ""
    """What the applications do wrong on purpose, for tests of the soak itself."""


class Cycle:
    """A server that is drained with requests under way, and started anew with another application, over and over."""

    def __init__(self, plan: Plan, certificate: Path) -> None:
        self._plan, self._certificate = plan, certificate
        self._over = threading.Event()
        self._applications = itertools.cycle(("native", "asgi", "wsgi"))
        self.server = self._start()
        self.codes: list[int] = []
        """Exit codes of the drained ones."""
        self.drains_s: list[float] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self._plan.cycle_s):
            self._stop()
            self.server = self._start([self.server.http, self.server.https, self.server.metrics])
        self._stop()

    def _start(self, ports: list[int] | None = None) -> Server:
        name = next(self._applications)
        server = Server(f"{name}-cycled", self._plan.folder, self._certificate, LOOPS[name], ports=ports)
        server.wait_ready()
        return server

    def _stop(self) -> None:
        begin = time.monotonic()
        self.codes.append(self.server.stop())
        self.drains_s.append(round(time.monotonic() - begin, 2))

    def end(self) -> None:
        """Drain the last one."""
        self._over.set()
        self._thread.join()


class Soak:
    """One run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        plan.folder.mkdir(parents=True, exist_ok=True)
        (plan.folder / "files").mkdir(exist_ok=True)
        (plan.folder / "files" / "file").write_bytes(pattern("file", FILE_SIZE))
        self._file = (plan.folder / "samples.jsonl").open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # so that a report knows that the run is under way
        except BlockingIOError:
            self._file.close()
            raise BlockingIOError(f"another soak is under way in {plan.folder}") from None
        self._file.truncate(0)
        for log in plan.folder.glob("*.log"):
            log.unlink()
        self._begin = time.monotonic()

    def _write(self, kind: str, **figures: Any) -> None:
        at = round(time.monotonic() - self._begin, 1)
        self._file.write(json.dumps({"kind": kind, "at": at, **figures}) + "\n")
        self._file.flush()

    def run(self) -> None:
        """Run to the end. All processes end in every case."""
        plan = self._plan
        certificate = local_certificate(plan.folder)
        servers: list[Server] = []
        cycle: Cycle | None = None
        load: Load | None = None
        self._write("plan", **(asdict(plan) | {"folder": str(plan.folder)}))
        try:
            for name in plan.servers:
                upstream = next((f"http://127.0.0.1:{each.http}" for each in servers if each.name == "native"), "")
                servers.append(
                    Server(name, plan.folder, certificate, LOOPS[name], faults=plan.faults, upstream=upstream)
                )
            cycle = Cycle(plan, certificate) if plan.cycle_s else None
            with rude_server() as rude:
                config = {
                    "authority": str(plan.folder / "localhost-ca.pem"),
                    "steady": [each.place() for each in servers],
                    "cycled": cycle.server.place() if cycle else None,
                    "rude": rude,
                    "seed": plan.seed,
                    "rate": plan.rate,
                    "only": plan.only,
                }
                load = Load(config, plan.folder / "load.log")
                for server in servers:
                    server.wait_ready()
                self._begin = time.monotonic()
                self._sample_all(servers, load)
                final = load.say("end")
                load.process.wait(30)
            if cycle is not None:
                cycle.end()
            codes = {each.name: each.stop() for each in servers}
            drains = {"codes": cycle.codes, "seconds": cycle.drains_s} if cycle else {}
            self._write("end", load=final, codes=codes, drains=drains)
        finally:
            if load is not None:
                _kill(load.process)
            if cycle is not None:
                cycle.end()
            for server in servers:
                _kill(server.process)
            self._file.close()

    def _sample_all(self, servers: list[Server], load: Load) -> None:
        for _ in range(self._plan.rests):
            load.say("go")
            rest = time.monotonic() + self._plan.rest_s
            while (left := rest - time.monotonic()) > self._plan.sample_s:
                time.sleep(self._plan.sample_s)
                self._write("sample", load=load.say("state"), servers={each.name: each.figures() for each in servers})
            time.sleep(max(left, 0.0))
            self._rest(servers, load)

    def _rest(self, servers: list[Server], load: Load) -> None:
        """Let everything end, and count what is held nevertheless."""
        found = load.say("rest")
        waiting = time.monotonic() + REST_S
        figures = {}
        for server in servers:
            while server.figures()["headrace_connections_open"] and time.monotonic() < waiting:
                time.sleep(0.1)
            figures[server.name] = server.figures(deep=True)
        self._write("rest", load=found, servers=figures)


def _kill(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
