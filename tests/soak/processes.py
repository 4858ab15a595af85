"""The processes of a soak: how they are started, and what the kernel says of them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
START_S = 30.0
PORTS = range(10_000, 20_000)
"""Below those that the kernel hands out itself: a server that is started anew must find its port free."""
TOGETHER = ["setpriv", "--pdeathsig", "KILL"] if sys.platform == "linux" and shutil.which("setpriv") else []
"""Begins a command whose process ends with the one that started it, however that one ends."""
# Soaks that begin at the same time, which have neighbouring process ids, begin 40 ports apart.
_ports = itertools.chain.from_iterable(itertools.repeat([*PORTS[(at := os.getpid() * 40 % len(PORTS)) :], *PORTS[:at]]))
ANNOUNCED = re.compile(r"https?://127\.0\.0\.1:(\d+)")
METRIC = re.compile(
    r"^(headrace_\w+_(?:open|running|stalled|draining)|headrace_connections_total)(?:\{[^}]*\})? ([\d.e+]+)$", re.M
)


def kernel_figures(pid: int) -> dict[str, int]:
    """Return memory in KiB, descriptors, threads, and CPU time in ms of a process."""
    base = Path("/proc", str(pid))
    memory = {}
    for line in (base / "smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        memory[name] = int(rest.split()[0])
    stat = (base / "stat").read_text().rpartition(")")[2].split()
    return {
        "rss": memory["Rss"],
        "pss": memory["Pss"],
        "uss": memory["Private_Clean"] + memory["Private_Dirty"],
        "fds": count_fds(pid),
        "threads": int(stat[17]),
        "cpu_ms": (int(stat[11]) + int(stat[12])) * 1_000 // os.sysconf("SC_CLK_TCK"),
    }


def count_fds(pid: int) -> int:
    """Return the number of descriptors that a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that were free a moment ago, none of them twice."""
    found: list[int] = []
    for port in itertools.islice(_ports, len(PORTS)):
        if len(found) == count:
            break
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found


class Server:
    """A `headrace serve` of one of the applications, with both listeners and metrics."""

    def __init__(
        self,
        name: str,
        folder: Path,
        certificate: Path,
        loop: str,
        *,
        faults: str = "",
        upstream: str = "",
        ports: list[int] | None = None,
    ) -> None:
        self.name = name
        self.http, self.https, self.metrics = ports or free_ports(3)
        self.log = folder / f"{name}.log"
        app = name.partition("-")[0]
        self.websockets = app != "wsgi"
        command = [
            *TOGETHER, sys.executable, "-m", "headrace", "serve", f"tests.soak.apps:{app}", "--app-dir", str(ROOT),
            "--interface", "native" if app == "proxy" else app,
            "--bind", f"127.0.0.1:{self.https}", "--tls-cert", str(certificate),
            "--cleartext-bind", f"127.0.0.1:{self.http}", "--metrics-bind", f"127.0.0.1:{self.metrics}",
            "--loop", loop, "--idle-timeout", "20", "--stalled-send-timeout", "3", "--preface-timeout", "5",
            "--request-header-timeout", "10", "--tls-handshake-timeout", "10", "--drain-timeout", "10",
            "--websockets", "on" if self.websockets else "auto",
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        environment |= {"SOAK_FAULTS": faults, "SOAK_FILE": str(folder / "files" / "file"), "SOAK_UPSTREAM": upstream}
        self._begin = self.log.stat().st_size if self.log.exists() else 0
        self._least_fds = 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env=environment, process_group=0)

    def wait_ready(self) -> None:
        """Return when it listens. Raises RuntimeError with its log when it does not come to that."""
        end = time.monotonic() + START_S
        while b"| pid" not in self.log.read_bytes()[self._begin :]:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.name} did not start; its log:\n{self.log.read_text()[-2_000:]}")
            time.sleep(0.02)

    def place(self) -> dict[str, Any]:
        """Return the arguments of the server's Place."""
        return {"name": self.name, "http": self.http, "https": self.https, "websockets": self.websockets}

    def figures(self, *, deep: bool = False) -> dict[str, Any]:
        """Return what kernel, metrics and application say of it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        metrics = {"headrace_connections_open": 0.0}
        for name, value in METRIC.findall(text):
            metrics[name] = metrics.get(name, 0.0) + float(value)
        url = f"http://127.0.0.1:{self.http}/census{'?deep' if deep else ''}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        kernel = kernel_figures(self.process.pid)
        for _ in range(10 if deep else 0):  # the connections of these two requests end behind their answers
            if kernel["fds"] <= self._least_fds:
                break
            time.sleep(0.02)
            kernel["fds"] = min(kernel["fds"], count_fds(self.process.pid))
        if deep:
            self._least_fds = kernel["fds"]
        return kernel | metrics | found

    def stop(self, limit_s: float = 20.0) -> int:
        """Send SIGTERM; return the exit code, -9 when it took too long and was killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Load:
    """The process of the load."""

    def __init__(self, config: dict[str, Any], log: Path) -> None:
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [*TOGETHER, sys.executable, "-m", "tests.soak.load", json.dumps(config)],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, text=True, process_group=0,
            )  # fmt: skip

    def say(self, command: str) -> dict[str, Any]:
        """Send a command; return the answer, with the kernel's figures."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the load has ended")
        found: dict[str, Any] = json.loads(line)
        return kernel_figures(self.process.pid) | found if command != "end" else found


@contextlib.contextmanager
def rude_server() -> Iterator[dict[str, int]]:
    """The server that breaks the rules, for the length of the block: its ports."""
    process = subprocess.Popen(
        [*TOGETHER, sys.executable, "-m", "tests.soak.rude_server"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        h1, h2 = process.stdout.readline().split()
        yield {"h1": int(h1), "h2": int(h2)}
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
