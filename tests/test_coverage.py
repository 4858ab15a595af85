"""What `make coverage` leaves out, lines with a reason and nothing else; and what it asks of each room."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support import tracing
from tools import coverage_rooms

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "src" / "headrace").rglob("*.py"))
REASON = re.compile(r"# pragma: no (cover|branch): \w+ \w+")
TABLE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]
REPORT = TABLE["report"]
LINES = [re.compile(each) for each in REPORT["exclude_lines"]]
BRANCHES = [re.compile(each) for each in REPORT["partial_branches"]]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_line_that_is_left_out_of_coverage_has_its_reason(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if "pragma" in line and "#" in line.partition("pragma")[0]:
            assert REASON.search(line), f"{path}:{number}: `# pragma: no cover: because ...`"


@pytest.mark.parametrize(
    ("line", "left_out"),
    [
        ("    pass  # pragma: no cover: only on PyPy", "lines"),
        ("    pass  # pragma: no cover", ""),
        ("    pass  # pragma: no cover:", ""),
        ("    if x:  # pragma: no branch: only on PyPy", "branch"),
        ("    if x:  # pragma: no branch", ""),
        ("        ...", "lines"),  # the body of a protocol's method
        ("    def stop(self) -> None: ...", "lines"),
        ("    async def stop(self) -> None: ...", "lines"),
        ("    x = ...", ""),
        ("def untested(x: int) -> int:  # for people: ...", ""),  # it would take the whole function along
        ("    if x:  # see: ...", ""),
        ("if TYPE_CHECKING:", "lines"),
        ("    if not TYPE_CHECKING:", "branch"),  # what stands under it always runs
        ("    raise NotImplementedError", ""),
    ],
)
def test_nothing_else_is_left_out_by_its_line(line: str, left_out: str) -> None:
    assert any(each.search(line) for each in LINES) == (left_out == "lines")
    assert any(each.search(line) for each in BRANCHES) == (left_out == "branch")


def test_nothing_else_leaves_anything_out() -> None:
    """`omit`, `exclude_also` and a file that goes before pyproject.toml would, and no line in src/ would show it."""
    assert set(TABLE) == {"run", "report"}
    assert set(TABLE["run"]) == {"source", "branch", "relative_files", "parallel", "patch", "sigterm"}
    assert set(REPORT) == {"exclude_lines", "partial_branches", "show_missing", "skip_covered"}
    assert (TABLE["run"]["source"], len(LINES), len(BRANCHES)) == (["src/headrace"], 4, 2)
    others = [ROOT / name for name in (".coveragerc", "setup.cfg", "tox.ini")]  # a source archive has a setup.cfg
    assert not [path for path in others if path.exists() and "coverage" in path.name + path.read_text(encoding="utf-8")]


def test_a_folder_of_modules_is_a_package() -> None:
    """Coverage reports on modules that nothing imports only where their folder is one."""
    assert [folder for folder in {path.parent for path in MODULES} if not (folder / "__init__.py").exists()] == []


class Slow:
    """A trace function that takes its time to go."""

    def __init__(self, entered: threading.Event, released: threading.Event) -> None:
        self.entered, self.released = entered, released

    def __call__(self, *_: object) -> None:
        pass

    def __del__(self) -> None:
        self.entered.set()
        self.released.wait(10)


def test_a_thread_begins_while_another_lets_go_of_its_trace_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython 3.11 says "Cannot install a trace function while another trace function is being installed"."""
    entered, released, began = threading.Event(), threading.Event(), threading.Event()

    def lets_go() -> None:
        sys.settrace(Slow(entered, released))
        sys.settrace(None)

    monkeypatch.setattr(threading, "_sys", sys)
    tracing.be_patient()
    before = threading.gettrace()
    threading.settrace(lambda *_: None)
    try:
        first = threading.Thread(target=lets_go)
        first.start()
        assert entered.wait(10)
        second = threading.Thread(target=began.set)
        second.start()
    finally:
        threading.settrace(before)
    released.set()
    assert began.wait(10)
    first.join()
    second.join()


# -- the gate of each room ---------------------------------------------------------------------------------------------


def a_file(lines: int, taken_lines: int, branches: int, taken_branches: int) -> dict[str, Any]:
    counts = {"num_statements": lines, "covered_lines": taken_lines}
    return {"summary": {**counts, "num_branches": branches, "covered_branches": taken_branches}}


def gate(tmp_path: Path, files: dict[str, dict[str, Any]], limit: str = "95") -> int:
    report = tmp_path / "coverage.json"
    report.write_text(json.dumps({"files": {f"src/headrace/{name}": each for name, each in files.items()}}))
    return coverage_rooms.main(str(report), limit)


def test_no_room_hides_behind_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 1,000 branches 996 are taken, but of the small room's 10 only 6."""
    files = {"large/a.py": a_file(2_000, 2_000, 990, 990), "small/deep/b.py": a_file(20, 20, 10, 6)}
    assert gate(tmp_path, files) == 1
    large, small = capsys.readouterr().out.splitlines()
    assert "below" not in large
    assert " ".join(small.split()) == "small 60.0 % 0 lines, 4 branches not taken below 95 %"


def test_a_room_needs_its_branches_and_its_lines(tmp_path: Path) -> None:
    assert gate(tmp_path, {"a/b.py": a_file(100, 100, 100, 95), "a/c.py": a_file(0, 0, 0, 0)}) == 0
    assert gate(tmp_path, {"a/b.py": a_file(1_000, 1_000, 100, 94)}) == 1  # 99.5 % with its lines
    assert gate(tmp_path, {"a/b.py": a_file(100, 50, 4, 4)}) == 1


def test_modules_beside_the_rooms_are_one_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate(tmp_path, {"__init__.py": a_file(90, 90, 0, 0), "testing.py": a_file(10, 5, 0, 0)}) == 0
    assert capsys.readouterr().out.startswith("(beside the rooms)")


def test_a_report_of_nothing_fails(tmp_path: Path) -> None:
    assert gate(tmp_path, {}) == 1


def test_the_makefile_leaves_out_files_that_exist() -> None:
    """A name that has gone would leave nothing out, and nobody would see it."""
    command = ["make", "--dry-run", "--no-print-directory", "coverage"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
    said = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True, check=True).stdout
    whole, rooms = [line.split() for line in said.splitlines() if "-m pytest" in line and "coverage run" in line]
    assert "--fail-under=100" in said
    assert said.splitlines()[-1].endswith(".coverage.json 95")
    assert "tests/engine" in whole
    ignored = [word.removeprefix("--ignore=") for word in rooms if word.startswith("--ignore=")]
    for each in (*ignored, *(word for word in (*whole, *rooms) if word.startswith("tests/"))):
        assert (ROOT / each).exists(), each
    asked = {word.split("/")[1] for word in rooms if word.startswith("tests/")}
    rooms_of_src = {path.parent.name for path in (ROOT / "src" / "headrace").glob("*/__init__.py")}
    of_rooms = {name for name in rooms_of_src if (ROOT / "tests" / name).is_dir()}
    assert of_rooms - {"engine"} <= asked, "each room's own tests are among them"
