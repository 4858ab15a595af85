"""`headrace` as a person starts it: a process of its own, its lines and its exit code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import headrace

SOURCE = Path(headrace.__file__).resolve().parents[1]
PATIENCE_S = 20.0


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a command under test: the headrace that these tests import, and no settings from outside."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    return {**outside, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", **(extra or {})}


def run(*arguments: str, cwd: Path, extra: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs `headrace ARGUMENTS` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "headrace", *arguments],
        cwd=cwd,
        env=environment(extra),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


class Running:
    """A server process: where it listens, what it said, how it ends."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def wait_for(self, pattern: str | re.Pattern[str]) -> re.Match[str]:
        """The first line, among those not yet looked at, that the pattern is found in."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            found = re.search(pattern, line)
            if found:
                return found
        raise AssertionError(f"the process ended without saying {pattern!r}: {self.lines}")

    def port(self, scheme: str = "http") -> int:
        """The port of the next start-up line of that scheme."""
        return int(self.wait_for(rf" {scheme}://127\.0\.0\.1:(\d+) ")[1])

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code; what else was said goes to `lines`."""
        assert self.process.stderr is not None
        self.lines += self.process.stderr.read().splitlines()
        return self.process.wait(PATIENCE_S)


@contextmanager
def serving(
    *arguments: str, cwd: Path, extra: Mapping[str, str] | None = None, pass_fds: tuple[int, ...] = ()
) -> Iterator[Running]:
    """`headrace serve ARGUMENTS`, ended at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", "serve", *arguments],
        cwd=cwd,
        env=environment(extra),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=pass_fds,
    )
    # A line that never comes must fail the test, not hang it.
    watchdog = threading.Timer(PATIENCE_S, process.kill)
    watchdog.start()
    try:
        yield Running(process)
    finally:
        # The second signal ends it at once, in order: so `make coverage` hears what it ran.
        for _ in range(2):
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
        watchdog.cancel()
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
