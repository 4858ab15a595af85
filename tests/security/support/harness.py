"""A real server in a process of its own, to be attacked, and the bystander who must not notice.

`victim` runs tests/security/support/victim.py, `Server.attack` opens attacking connections (peer.py), `Bystander`
measures how long others wait meanwhile (probe.py).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.transport.tls import local_certificate

from tests.conftest import ROOT
from tests.security.support.peer import Attacker, Report, client_context, drive
from tests.security.support.probe import ask
from tests.support import wire

LATENCY_MS = 100.0
PATIENCE_S = 10.0  # for what must come; only a test that fails waits that long


class Seen:
    """What the bystander saw in one span: milliseconds without those in which there was no core, and failures."""

    def __init__(self, latencies: list[float], waits: list[float], failed: int) -> None:
        self.latencies = latencies
        self.waits = waits
        self.failed = failed

    def __repr__(self) -> str:
        return f"Seen(worst {self.worst:.0f} ms, and {max(self.waits, default=0):.0f} for a core, {self.failed} failed)"

    @property
    def worst(self) -> float:
        """The longest wait in milliseconds."""
        return max(self.latencies, default=0.0)

    def is_fine(self, most_ms: float = LATENCY_MS) -> bool:
        """L: nobody had to wait for longer."""
        return self.worst <= most_ms


class Bystander:
    """A probe process at a server."""

    def __init__(self, server: Server) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.security.support.probe", str(server.port), str(server.process.pid)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def _say(self, word: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    @contextlib.contextmanager
    def watching(self) -> Iterator[list[Seen]]:
        """Measure while the block runs; what was seen is in the list afterwards."""
        seen: list[Seen] = []
        assert self._say("begin") == "begun\n"
        yield seen
        found = json.loads(self._say("end"))
        seen.append(Seen(found["latencies"], found["waits"], found["failed"]))

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=PATIENCE_S)


class Server:
    """A running victim. `port` is in cleartext, `tls_port` is 0 without TLS."""

    def __init__(self, process: subprocess.Popen[bytes], ports: list[int], log: Any) -> None:
        self.process = process
        self.port, self.tls_port = [*ports, 0][:2]
        self._log = log

    @property
    def log(self) -> str:
        """What the server wrote to stderr until now."""
        self._log.flush()
        return Path(self._log.name).read_text("utf-8", "replace")

    def stats(self) -> dict[str, int]:
        """Handlers, tasks, handles and memory of the victim."""
        found: dict[str, int] = json.loads(ask(self.port, b"/stats"))
        return found

    def mark(self) -> dict[str, int]:
        """Stats, with the peaks beginning anew."""
        found: dict[str, int] = json.loads(ask(self.port, b"/mark"))
        return found

    def until(self, is_true: Callable[[dict[str, int]], bool], limit_s: float = PATIENCE_S) -> dict[str, int]:
        """Stats once they satisfy `is_true`; the last ones seen when that takes too long, for the test to judge."""
        end = time.monotonic() + limit_s
        while True:
            stats = self.stats()
            if is_true(stats) or time.monotonic() > end:
                return stats
            time.sleep(0.02)

    def settled(self, limit_s: float = PATIENCE_S, **wanted: int) -> dict[str, int]:
        """Stats once each named figure is at most what is wanted."""
        return self.until(lambda stats: all(stats[name] <= most for name, most in wanted.items()), limit_s)

    def connect(
        self, settings: dict[int, int] | None = None, *, receive_buffer: int = 0, tls: bool = False
    ) -> socket.socket:
        """A connection after its preface; the server's own SETTINGS are acknowledged blindly. Close it, or use `with`.

        With `tls` it is one of `ssl`, which takes one thread at a time.
        """
        sock = socket.socket()
        try:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(PATIENCE_S)
            sock.connect(("127.0.0.1", self.tls_port if tls else self.port))
            if tls:
                sock = client_context().wrap_socket(sock)
            sock.sendall(wire.client_preface(settings or {}) + wire.settings_ack())
        except BaseException:
            sock.close()
            raise
        return sock

    def attack(self, batches: Iterable[bytes], *, reads: bool = True, tls: bool = False, wait_s: float = 2.0) -> Report:
        """Run one attack to its end, then wait at most `wait_s` for the server to close."""
        return self.attack_all([batches], reads=reads, tls=tls, wait_s=wait_s)[0]

    def attack_all(
        self, attacks: Iterable[Iterable[bytes]], *, reads: bool = True, tls: bool = False, wait_s: float = 2.0,
        longest_s: float = 3.0,
    ) -> list[Report]:  # fmt: skip
        """Run attacks side by side, each on a connection of its own."""
        port, context = (self.tls_port, client_context()) if tls else (self.port, None)
        with contextlib.ExitStack() as stack:
            opened = [
                stack.enter_context(Attacker(port, each, tls=context, reads=reads, longest_s=longest_s))
                for each in attacks
            ]
            return drive(opened, wait_s=wait_s)


@functools.cache
def certificate() -> Path:
    """A certificate for localhost, made once a test run."""
    folder = tempfile.TemporaryDirectory(prefix="headrace-victim-")
    atexit.register(folder.cleanup)
    return local_certificate(Path(folder.name))


@contextlib.contextmanager
def victim(
    mode: str = "sleep", limits: Mapping[str, float] | None = None, *, tls: bool = False, **more: float
) -> Iterator[Server]:
    """A server to attack, with some limits of its own; ended by SIGTERM, or killed after 15 s."""
    with tempfile.NamedTemporaryFile(prefix="headrace-victim-") as log:
        command = [sys.executable, "-m", "tests.security.support.victim", mode, json.dumps({**(limits or {}), **more})]
        process = subprocess.Popen(
            [*command, str(certificate())] if tls else command,
            cwd=ROOT, stdout=subprocess.PIPE, stderr=log, env=dict(os.environ),
        )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.wait(10)
            process.stdout.close()
            raise RuntimeError(f"the victim did not start:\n{Path(log.name).read_text()}")
        try:
            yield Server(process, [int(port) for port in line.split()], log)
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            finally:
                process.stdout.close()


@contextlib.contextmanager
def bystander_at(server: Server) -> Iterator[Bystander]:
    """A bystander for the length of the block."""
    watcher = Bystander(server)
    try:
        yield watcher
    finally:
        watcher.close()


OFF: dict[str, float] = {
    "max_concurrent_streams": 1_000_000,
    "max_field_section_size": 16_777_216,
    "max_connection_fields_size": 2**31 - 1,
    "max_fields": 65_536,
    "max_block_size": 16_777_216,
    "max_continuations": 1_000_000_000,
    "max_unread": 1_000_000_000,
    "early_reset_burst": 1_000_000_000,
    "provoked_reset_burst": 1_000_000_000,
    "odd_frame_burst": 1_000_000_000,
    "small_data_budget": 1_000_000_000,
    "control_queue_pause": 1_000_000_000,
    "control_queue_end": 1_000_000_000,
    "stalled_send_timeout_s": 86_400,
    "idle_timeout_s": 86_400,
    "frames_per_turn": 0,
}
