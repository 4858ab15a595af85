"""A test that is red is red for everybody: each property has a number of tries, the same ones on every run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_each_property_has_its_tries(path: Path) -> None:
    """`given` alone is random, and fails where an example takes longer than 200 ms: on a busy machine, any."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            decorators = [ast.unparse(each).partition("(")[0] for each in function.decorator_list]
            assert decorators.count("given") == decorators.count("tries"), f"{path}:{function.lineno}: @tries(...)"
