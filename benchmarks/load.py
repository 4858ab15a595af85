"""One visit by h2load: its command, and what its words mean."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import Final

from benchmarks.contenders import Course, Running
from benchmarks.scenarios import Scenario

WARM_UP_MS: Final = 300
CHECKED: Final = 8  # answers looked at before a server takes part
RATE: Final = re.compile(r"finished in [^,]*, ([\d.]+) req/s")
REQUESTS: Final = re.compile(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed")
CODES: Final = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")
DATA: Final = re.compile(r"\((\d+)\) data$", re.MULTILINE)


@dataclass(frozen=True)
class Visit:
    """What one visit found. `fault` is empty, or says why the figure must not count."""

    rate: float
    """Requests a second."""
    fault: str = ""


def visit(course: Course, running: Running, scenario: Scenario, seconds: float) -> Visit:
    """Loads one server for `seconds`."""
    return read(h2load(course, running, scenario, ["-D", f"{int(seconds * 1000)}ms", f"--warm-up-time={WARM_UP_MS}ms"]))


def fault_of(course: Course, running: Running, scenario: Scenario) -> str:
    """Why this server cannot take part in a scenario: an answer that is none, or has the wrong length. Else nothing."""
    text = h2load(course, running, scenario, ["-n", str(CHECKED)], single=True)
    found, data = read(text), DATA.search(text)
    if found.fault:
        return found.fault
    raw = int(data[1]) if data else 0
    return "" if raw == CHECKED * scenario.body else f"{raw} bytes in {CHECKED} answers, not {scenario.body} each"


def h2load(course: Course, running: Running, scenario: Scenario, amount: list[str], *, single: bool = False) -> str:
    """h2load's report, or nothing when it does not end. With `single`, by one client with one stream."""
    command = ["h2load", *amount, *scenario.arguments(course.folder)]
    command += ["-c", "1", "-m", "1"] if single else []
    command += scenario.targets(running.base, course.folder)
    try:
        done = subprocess.run(course.on_load_core(command), capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout


def read(text: str) -> Visit:
    """What h2load's report says. A failed request is a fault."""
    rate, requests, codes = RATE.search(text), REQUESTS.search(text), CODES.search(text)
    if rate is None or requests is None or codes is None:
        return Visit(0.0, "no report")
    done, _, failed = (int(number) for number in requests.groups())
    refused = sum(int(number) for number in codes.groups()[1:])
    if not done or failed or refused:
        return Visit(float(rate[1]), f"of {done} requests {failed} failed and {refused} got another status than 2xx")
    return Visit(float(rate[1]))
