"""A `headrace serve` process for tests that need the real thing: sockets, signals, other people's clients."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.conftest import ROOT

START_LIMIT_S = 30.0
ANNOUNCED = re.compile(r"(https?)://127\.0\.0\.1:(\d+) ")


class Served:
    """A running server. `ports` holds the port of each scheme that it announced."""

    def __init__(self, process: subprocess.Popen[bytes], log_file: Path) -> None:
        self.process = process
        self.log_file = log_file
        self.ports: dict[str, int] = {}

    @property
    def log(self) -> str:
        """What it wrote to stdout and stderr until now."""
        return self.log_file.read_text("utf-8", "replace")

    def url(self, path: str = "/", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.ports[scheme]}{path}"

    def wait_announced(self, schemes: int) -> None:
        """Returns when it has said where it listens. Raises RuntimeError with its log when it ends or never says so."""
        end = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end:
            self.ports = {scheme: int(port) for scheme, port in ANNOUNCED.findall(self.log)}
            if len(self.ports) == schemes:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"the server did not start; its log:\n{self.log}")

    def stop(self, limit_s: float = 15.0) -> int:
        """SIGTERM, then the exit code. Kills, and raises subprocess.TimeoutExpired, when it does not end in time."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextlib.contextmanager
def serving(
    target: str, *flags: str, tls: bool = False, app_dir: Path = ROOT, env: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """Serves `target` in cleartext on a free port of 127.0.0.1 and, with `tls`, on another one over TLS.

    The engine is the one that this process imports, compiled or pure: environment and interpreter are passed on.
    """
    binds = ["--bind", "127.0.0.1:0"]
    if tls:
        binds = ["--dev-tls", "--bind", "127.0.0.1:0", "--cleartext-bind", "127.0.0.1:0"]
    command = [sys.executable, "-m", "headrace", "serve", target, "--app-dir", str(app_dir), *binds, *flags]
    with tempfile.TemporaryDirectory(prefix="headrace-test-") as folder:
        log_file = Path(folder, "log")
        with log_file.open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env={**os.environ, **(env or {})})
        served = Served(process, log_file)
        try:
            served.wait_announced(2 if tls else 1)
            yield served
        finally:
            if process.poll() is None:
                served.stop()


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago, for what cannot say which port it got."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
