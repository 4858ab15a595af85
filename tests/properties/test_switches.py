"""The variables that choose how the suite runs reach the processes that run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROBE = """
from tests.conftest import CI_STRICT, LONG, amount, need

def test_what_is_asked_for():
    assert (CI_STRICT, LONG, amount(1, 2)) == ({strict}, {long}, {amount})

def test_a_program_that_is_missing():
    need("a-program-that-nobody-has")
"""


@pytest.mark.parametrize("processes", ["0", "1"])
@pytest.mark.parametrize("asked", [True, False])
def test_they_reach_each_process(tmp_path: Path, asked: bool, processes: str) -> None:
    """Processes of `-n` did not: HEADRACE_CI_STRICT=1 was taken out of the environment before they were started."""
    names = {"HEADRACE_CI_STRICT": "1", "HEADRACE_CI_LONG": "1"} if asked else {}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "PYTEST_"))}
    (tmp_path / "test_probe.py").write_text(PROBE.format(strict=asked, long=asked, amount=2 if asked else 1))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest"]
    done = subprocess.run(
        [*command, "-n", processes, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT, env={**kept, **names}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    wanted = "1 failed, 1 passed" if asked else "1 passed, 1 skipped"
    assert wanted in done.stdout, done.stdout + done.stderr
