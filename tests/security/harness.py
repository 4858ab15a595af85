"""Attacks over real sockets on a real server, with a bystander who must not notice (SECURITY.md section 5).

`Server` runs tests/security/victim.py. `Server.attack` opens one attacking connection, writes batches until an error,
the end of the attack, 3 s or 8 MB, and reads what comes back in a thread. `Server.bystander` measures others' latency.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests import wire
from tests.conftest import ROOT
from tests.security.probe import ask

LONGEST_S = 3.0
MOST_OCTETS = 8_000_000


class Report:
    """How one attack ended. Times in seconds from its first octet; None: it did not happen."""

    def __init__(self) -> None:
        self.goaway: int | None = None
        self.debug = b""
        self.goaway_at: float | None = None
        self.closed_at: float | None = None
        self.frames: Counter[str] = Counter()
        self.resets: Counter[int] = Counter()
        self.octets_out = 0
        self.octets_in = 0
        self.finished = False

    def __repr__(self) -> str:
        return f"Report({vars(self)})"


class Bystander:
    """What the probe saw: latencies in milliseconds and failures."""

    def __init__(self, latencies: list[float], failed: int) -> None:
        self.latencies = latencies
        self.failed = failed

    @property
    def worst(self) -> float:
        """The longest wait in milliseconds."""
        return max(self.latencies)


class Server:
    """A running victim."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Any) -> None:
        self.process = process
        self.port = port
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

    def settled(self, limit_s: float = 5.0, **wanted: int) -> dict[str, int]:
        """Stats once each named figure is at most what is wanted; the last ones seen when it takes too long."""
        end = time.monotonic() + limit_s
        while True:
            stats = self.stats()
            if all(stats[name] <= most for name, most in wanted.items()) or time.monotonic() > end:
                return stats
            time.sleep(0.05)

    @contextlib.contextmanager
    def bystander(self) -> Iterator[list[Bystander]]:
        """Probe while the block runs; the result is in the list afterwards."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.security.probe", str(self.port)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        seen: list[Bystander] = []
        time.sleep(0.4)  # it starts a Python first, and takes some readings before anything happens
        try:
            yield seen
        finally:
            out, _ = process.communicate(b"", timeout=20)
            answer = json.loads(out)
            seen.append(Bystander(answer["latencies"], answer["failed"]))

    def connect(self, settings: dict[int, int] | None = None, *, receive_buffer: int = 0) -> socket.socket:
        """A connection after its preface; the server's own SETTINGS are acknowledged blindly."""
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(LONGEST_S)
        sock.connect(("127.0.0.1", self.port))
        sock.sendall(wire.client_preface(settings or {}) + wire.settings_ack())
        return sock

    def attack(self, batches: Iterable[bytes], *, read: bool = True, wait_s: float = 2.0) -> Report:
        """Run one attack to its end, then wait at most `wait_s` for the server to close."""
        report = Report()
        start = time.monotonic()
        sock = self.connect()
        reader = threading.Thread(target=self._read, args=(sock, report, start))
        if read:
            reader.start()
        try:
            for batch in batches:
                sock.sendall(batch)
                report.octets_out += len(batch)
                if report.octets_out > MOST_OCTETS or time.monotonic() - start > LONGEST_S or report.goaway is not None:
                    break
            else:
                report.finished = True
        except OSError:
            pass
        if not read:
            time.sleep(0.3)
            reader.start()
        reader.join(wait_s)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        reader.join(5)
        return report

    def _read(self, sock: socket.socket, report: Report, start: float) -> None:
        frames = wire.FrameReader()
        try:
            while octets := sock.recv(262_144):
                report.octets_in += len(octets)
                for frame in frames.feed(octets):
                    report.frames[frame.name] += 1
                    if frame.type == wire.RST_STREAM:
                        report.resets[frame.code] += 1
                    elif frame.type == wire.GOAWAY:
                        report.goaway = frame.code
                        report.debug = frame.payload[8:]
                        report.goaway_at = time.monotonic() - start
        except OSError:
            pass
        report.closed_at = time.monotonic() - start


@contextlib.contextmanager
def victim(mode: str = "sleep", **limits: float) -> Iterator[Server]:
    """A server under attack, with some limits of its own; ended by SIGTERM, or killed after 15 s."""
    with tempfile.NamedTemporaryFile(prefix="headrace-victim-") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.security.victim", mode, json.dumps(limits)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=log, env=dict(os.environ),
        )  # fmt: skip
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.wait(10)
            raise RuntimeError(f"the victim did not start:\n{Path(log.name).read_text()}")
        server = Server(process, int(line), log)
        try:
            yield server
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


OFF: dict[str, float] = {
    "max_concurrent_streams": 1_000_000,
    "max_field_section_size": 16_777_216,
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
