"""Runs h2spec and reads its report, case by case."""

from __future__ import annotations

import os
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import need

CASES = 146  # of release 2.2.1, run with --strict; later versions have 147
LIMIT_S = 400.0


@dataclass(frozen=True)
class Report:
    """What h2spec found: names of cases, such as `http2/6.9.1 Sends SETTINGS frame ...`."""

    passed: list[str]
    failed: list[str]
    skipped: list[str]

    @property
    def total(self) -> int:
        return len(self.passed) + len(self.failed) + len(self.skipped)


def run(port: int, *sections: str, tls: bool = False, case_timeout_s: int = 2) -> Report:
    """Every strict case of `sections` (default: all) against 127.0.0.1:`port`. $H2SPEC names another program."""
    program = os.environ.get("H2SPEC") or need("h2spec")
    with tempfile.TemporaryDirectory(prefix="h2spec-") as folder:
        report = Path(folder, "report.xml")
        command = [
            program,
            "--strict",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-o",
            str(case_timeout_s),
            "-j",
            str(report),
        ]
        command += ["-t", "-k"] if tls else []
        subprocess.run([*command, *sections], stdout=subprocess.DEVNULL, timeout=LIMIT_S, check=False)
        return read(report)


def read(report: Path) -> Report:
    """Reads the report, whose words decide and not the exit code."""
    result = Report([], [], [])
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('package')} {case.get('classname')}"
        if case.find("skipped") is not None:
            result.skipped.append(name)
        elif case.find("failure") is not None or case.find("error") is not None:
            result.failed.append(name)
        else:
            result.passed.append(name)
    return result
