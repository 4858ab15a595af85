"""Regular expressions: none of ours takes a line's end for the end of the text."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parent.parent / "src" / "headrace"
CALLS = {"compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer"}


def ends_at_a_line(pattern: str | bytes) -> bool:
    """Whether `$` stands there outside of brackets, which matches before a last LF as well; or MULTILINE is on."""
    text = pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern
    bare = re.sub(r"\\.", "", text, flags=re.DOTALL)
    bare = re.sub(r"\[\^?\]?[^\]]*\]", "", bare)
    return "$" in bare or re.search(r"\(\?[a-z]*m", bare) is not None


def patterns(tree: ast.AST) -> list[str | bytes]:
    """The literal parts of what `re`'s functions get first, also where it is put together of several."""
    found: list[str | bytes] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        of = node.func.value
        if node.func.attr in CALLS and isinstance(of, ast.Name) and of.id == "re":
            parts = [each.value for each in ast.walk(node.args[0]) if isinstance(each, ast.Constant)]
            found += [each for each in parts if isinstance(each, (str, bytes))]
            names = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
            assert not names & {"M", "MULTILINE"}
    return found


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda path: str(path.relative_to(SRC)))
def test_the_end_of_a_line_is_not_taken_for_the_end_of_the_text(path: Path) -> None:
    """`fullmatch`, or a backslash with Z, say where a text ends; `$` would let "1.2.3.4" and a LF through."""
    for each in patterns(ast.parse(path.read_text())):
        assert not ends_at_a_line(each), each


@pytest.mark.parametrize("pattern", ["a$", r"(a|$)", rb"\.(?!$)", r"[$]$", r"[]$]$", "(?m)a"])
def test_the_rule_sees_it(pattern: str | bytes) -> None:
    assert ends_at_a_line(pattern)


@pytest.mark.parametrize("pattern", [r"a\Z", r"[$^]", r"\$", rb"[!#$%]+", r"[^$]", r"[\]$]", "(?i)a"])
def test_the_rule_lets_pass(pattern: str | bytes) -> None:
    assert not ends_at_a_line(pattern)
