"""What `make coverage` leaves out: lines with a reason, and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "src" / "headrace").rglob("*.py"))
REASON = re.compile(r"# pragma: no (cover|branch): \w+ \w+")
REPORT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]["report"]
PATTERNS = [re.compile(each) for each in (*REPORT["exclude_lines"], *REPORT["partial_branches"])]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_line_that_is_left_out_of_coverage_has_its_reason(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if "pragma" in line and "#" in line.partition("pragma")[0]:
            assert REASON.search(line), f"{path}:{number}: `# pragma: no cover: because ...`"


@pytest.mark.parametrize(
    ("line", "is_left_out"),
    [
        ("    pass  # pragma: no cover: only on PyPy", True),
        ("    pass  # pragma: no cover", False),
        ("    pass  # pragma: no cover:", False),
        ("    if x:  # pragma: no branch: only on PyPy", True),
        ("    if x:  # pragma: no branch", False),
        ("        ...", True),  # the body of a protocol's method
        ("    def stop(self) -> None: ...", True),
        ("    x = ...", False),
        ("if TYPE_CHECKING:", True),
        ("if not TYPE_CHECKING:", False),
        ("    raise NotImplementedError", False),
    ],
)
def test_nothing_else_is_left_out(line: str, is_left_out: bool) -> None:
    assert any(each.search(line) for each in PATTERNS) == is_left_out
