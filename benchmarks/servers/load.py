"""One visit by a load generator: its command, and what its words mean."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.servers.contenders import Course, Running
from benchmarks.servers.process import cpu_seconds
from benchmarks.servers.scenarios import Scenario

ROOT: Final = Path(__file__).resolve().parents[2]
CHECKED: Final = 8  # answers looked at before a server takes part
LIMIT_S: Final = 20.0  # beyond the length of a visit
VISIT_LIMIT_S: Final = 10.0  # of a visit, which should take a second or two
RATE: Final = re.compile(r"finished in [^,]*, ([\d.]+) req/s")
REQUESTS: Final = re.compile(
    r"requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored"
)
CODES: Final = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")
DATA: Final = re.compile(r"\((\d+)\) data$", re.MULTILINE)


@dataclass(frozen=True)
class Visit:
    """What one visit found. `fault` is empty, or says why the figures must not count."""

    rate: float = 0.0
    """Requests a second."""
    done: int = 0
    fault: str = ""
    cpu_us: float = 0.0
    """Processor time of the server for each request."""


def visit(course: Course, running: Running, scenario: Scenario, count: int) -> Visit:
    """Load one server with so many requests. All of them end in the visit, so the processor time is theirs."""
    try:
        before = cpu_seconds(running.process.pid)
        found = read(h2load(course, running, scenario, ["-n", str(count)], VISIT_LIMIT_S), scenario)
        used = cpu_seconds(running.process.pid) - before
    except OSError as error:  # of /proc
        return Visit(fault=f"the server is gone: {error}")
    return Visit(found.rate, found.done, found.fault, used * 1e6 / found.done if found.done else 0.0)


def pace(course: Course, running: Running, scenario: Scenario, seconds: float) -> float:
    """Load one server for so long. Return about how many requests it takes a second: to warm it up, and to plan."""
    text = h2load(course, running, scenario, ["-D", f"{int(seconds * 1000)}ms"], seconds)
    found = RATE.search(text)
    return float(found[1]) if found else 0.0


def fault_of(course: Course, running: Running, scenario: Scenario) -> str:
    """Return why this server cannot take part: an answer that is none, or has the wrong length. Else nothing."""
    return read(h2load(course, running, scenario, ["-n", str(CHECKED)], 0.0, "-c", "1", "-m", "1"), scenario).fault


def h2load(course: Course, running: Running, scenario: Scenario, amount: list[str], seconds: float, *more: str) -> str:
    """Return h2load's report, or nothing when it does not end."""
    command = ["h2load", *amount, *scenario.arguments(course.folder), *more]
    command += scenario.targets(running.base, course.folder)
    return output(course.on_load_core(command), seconds)


def output(command: list[str], seconds: float) -> str:
    """Return what a load generator writes, or nothing when it does not end."""
    limit = seconds + LIMIT_S
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False).stdout
    except subprocess.TimeoutExpired:
        return ""


def read(text: str, scenario: Scenario) -> Visit:
    """Return what h2load's report says. A failed request is a fault, and so is content of another length.

    h2load takes no note of a status that has no reason phrase, and calls such a response of HTTP/1.1 failed. Where it
    saw no status at all, the responses count by their content.
    """
    rate, requests, codes, data = (each.search(text) for each in (RATE, REQUESTS, CODES, DATA))
    if rate is None or requests is None or codes is None or data is None:
        return Visit(fault="no report")
    done, failed, errored = (int(number) for number in requests.groups())
    statuses = [int(number) for number in codes.groups()]
    if scenario.protocol == "h1" and failed == done and not any(statuses):
        failed = 0
    if not done or failed or errored or sum(statuses[1:]):
        wrong = f"{failed} failed, {errored} ended with an error and {sum(statuses[1:])} got another status than 2xx"
        return Visit(fault=f"of {done} requests {wrong}")
    if int(data[1]) != done * scenario.body:
        return Visit(fault=f"{data[1]} bytes in {done} answers, not {scenario.body} each")
    return Visit(float(rate[1]), done)


def generated(course: Course, module: str, arguments: list[str], seconds: float) -> dict[str, Any]:
    """Run one of our load generators on the load's core. Return its figures, or its `fault`."""
    command = [sys.executable, "-m", f"benchmarks.generators.{module}", *arguments]
    text = output(course.on_load_core(command), seconds)
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"fault": "the load generator said nothing"}
    return found
