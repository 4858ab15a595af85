"""What type checkers say of users' code: of `good.py` nothing, of `bad.py` what each line announces."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
GOOD, BAD = HERE / "good.py", HERE / "bad.py"


def announced() -> dict[int, list[str]]:
    """The codes that each line of bad.py has to be refused with."""
    found = {}
    for number, line in enumerate(BAD.read_text(encoding="utf-8").splitlines(), 1):
        if mark := re.search(r"# error: (.+)$", line):
            found[number] = sorted(mark[1].split())
    return found


@pytest.mark.slow
def test_mypy() -> None:
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", "--no-pretty"]
    done = subprocess.run([*command, str(GOOD), str(BAD)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    found: dict[int, list[str]] = {}
    for line in done.stdout.splitlines():
        error = re.fullmatch(r".*\b(\w+\.py):(\d+): error: .* \[([a-z-]+)\]", line)
        if error is None:
            assert ": note: " in line, line
            continue
        assert error[1] == "bad.py", line
        found.setdefault(int(error[2]), []).append(error[3])
    assert {number: sorted(codes) for number, codes in found.items()} == announced()


@pytest.mark.slow
def test_pyright() -> None:
    """Pyright has other codes; it has to refuse the same lines."""
    if importlib.util.find_spec("pyright") is not None:
        command = [sys.executable, "-m", "pyright"]
    elif (found := shutil.which("pyright")) is not None:
        command = [found]
    else:
        pytest.skip("pyright is not installed: pip install --group types")
    command += ["--outputjson", "--pythonpath", sys.executable, str(GOOD), str(BAD)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    errors = [each for each in json.loads(done.stdout)["generalDiagnostics"] if each["severity"] == "error"]
    assert [each for each in errors if not each["file"].endswith("bad.py")] == []
    assert {each["range"]["start"]["line"] + 1 for each in errors} == set(announced())
