"""Every document, decision and file of code that a file of this repository names is in a clone of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = (".ci", ".github", "benchmarks", "docs", "examples", "src", "tests", "tools")
SUFFIXES = {".css", ".go", ".html", ".js", ".md", ".mod", ".py", ".toml", ".txt", ".yml"}
WITHOUT_SUFFIX = {".gitignore", "Makefile", "install-autobahn", "pythons", "run"}
NOT_OURS = {"__pycache__", "results"}  # what Python and the benchmarks leave behind

# Notes from which headrace was built, with their sections; they were never part of the repository.
OUTSIDE = re.compile(
    r"\bDESIGN\b|\bTRAPS\b|\bMYPYC\b|\bCONFORMANCE\b|\b[Tt]raps? \d|\bSECURITY(?:\.md)?,? (?:§|section )?\d|\.\./shared"
    r"|\b[Aa]cceptance \d|\b(?:of|to) the issue\b"
)
DOCUMENT = re.compile(r"(?<![\w/:.-])(?:\.\./)*[\w][\w./-]*\.md\b")
DECISION = re.compile(r"\b(?:[Dd]ecision|ADR) (\d+)\b|\badr/(\d{4})\b")
# In these, a name of a Python file means one of ours; elsewhere it may be a reader's own.
ABOUT_THE_CODE = (
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/adr/",
    "docs/explanation/",
    "src/",
    "tests/",
)
CODE = re.compile(r"`([\w./-]+\.(?:py|js|go))`")

WITH_FALSE_NAMES = {f"tests/{name}.py" for name in ("test_docs", "test_maps", "test_references")}  # for their controls
WRITTEN_LATER = {"benchmarks.md", "micro.md", "benchmarks/results/benchmarks.md"}  # by `make bench`, `make micro`


def text_files() -> Iterator[Path]:
    for path in (*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))):
        is_text = path.suffix in SUFFIXES or path.name in WITHOUT_SUFFIX
        if is_text and path.is_file() and not NOT_OURS & set(path.parts):
            yield path


@cache
def ends_of(paths: frozenset[str]) -> set[str]:
    """Return the ways to name each file: its path, and the path's ends."""
    return {"/".join(parts[start:]) for path in paths for parts in [path.split("/")] for start in range(len(parts))}


def dangling(name: str, text: str, paths: frozenset[str]) -> list[str]:
    """Return the names in `text`, the file `name` of a repository with the files `paths`, that lead nowhere."""
    ends = ends_of(paths)
    found = OUTSIDE.findall(text)
    found += [each for each in DOCUMENT.findall(text) if each.replace("../", "") not in ends | WRITTEN_LATER]
    for pair in DECISION.findall(text):
        number = int(pair[0] or pair[1])
        if not any(path.startswith(f"docs/adr/{number:04}-") for path in paths):
            found.append(f"decision {number}")
    if name.startswith(ABOUT_THE_CODE) and name.endswith(".md"):
        found += [each for each in CODE.findall(text) if each not in ends]
    return found


FILES = {str(path.relative_to(ROOT)): path for path in sorted(text_files())}


def test_nothing_is_named_that_a_clone_does_not_have() -> None:
    found = {}
    for name, path in FILES.items():
        if names := dangling(name, path.read_text("utf-8"), frozenset(FILES)):
            found[name] = names
    assert found == {}


def unknown_tests(texts: dict[str, str]) -> dict[str, set[str]]:
    """Return the tests that each of `texts` names in backquotes and none of them defines, nor is called by."""
    known = {Path(name).stem for name in texts} | {part for name in texts for part in name.split("/")}
    known.update(test for text in texts.values() for test in re.findall(r"\bdef (test_\w+)", text))
    named = {name: set(re.findall(r"`(test_\w+)`", text)) - known for name, text in texts.items()}
    return {name: tests for name, tests in named.items() if tests}


def test_each_test_that_is_named_exists() -> None:
    texts = {name: path.read_text("utf-8") for name, path in FILES.items()}
    assert {name: each for name, each in unknown_tests(texts).items() if name not in WITH_FALSE_NAMES} == {}


def test_a_test_that_is_named_and_gone_is_found() -> None:
    """The control."""
    texts = {"tests/test_a.py": "def test_b(): ...", "README.md": "`test_a`, `test_b`, " + "`test_c`"}
    assert unknown_tests(texts) == {"README.md": {"test_c"}}


@pytest.mark.parametrize(
    "text",
    [  # with marks in them, or each would be found in this file
        "DES~IGN §4", "TRA~PS~.md 33", "Tr~ap 7: credit", "(tr~aps 5 and 28)", "MY~PYC~.md", "CONFORM~ANCE~.md",
        "SECURITY.md ~3.1", "SECURITY ~0.9", "SECURITY.md sec~tion 5", "see docs/gone~.md", "`gone~.md`",
        "decision~ 9999", "docs/adr~/9999-gone", "Accept~ance 3", "as to~ the issue", "`engine/gone.py~`",
    ],
)  # fmt: skip
def test_what_is_not_there_is_found(text: str) -> None:
    """The control."""
    known = frozenset({"SECURITY.md", "docs/adr/0004-credit.md", "src/headrace/engine/limits.py"})
    assert dangling("tests/traps/README.md", text.replace("~", ""), known)


def test_what_is_there_may_be_named() -> None:
    known = frozenset({"SECURITY.md", "docs/adr/0004-credit.md", "src/headrace/engine/limits.py"})
    text = "SECURITY.md, [decision 4](../docs/adr/0004-credit.md), `engine/limits.py`, traps, 3 designs, security 3"
    assert dangling("tests/traps/README.md", text, known) == []


# -- members of classes

MEMBER = re.compile(r"`([A-Z]\w*)\.(_*[a-z]\w*)(?:\([^`]*\))?`")
OF_OTHERS = {"Protocol.current_size"}  # of the library `websockets`
SOURCES = [path.read_text("utf-8") for path in sorted((ROOT / "src").rglob("*.py"))]


def members_of(sources: list[str]) -> dict[str, set[str]]:
    """Return the methods and attributes of each class and each alias of a class, with those of its bases."""
    own: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for node in (each for source in sources for each in ast.parse(source).body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            for target in node.targets:
                bases.setdefault(ast.unparse(target), set()).add(node.value.id)
        elif isinstance(node, ast.ClassDef):
            names = own.setdefault(node.name, set())
            bases.setdefault(node.name, set()).update(re.findall(r"\w+", " ".join(map(ast.unparse, node.bases))))
            for each in ast.walk(node):
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
                    names.add(each.name)
                elif isinstance(each, ast.Name | ast.Attribute) and isinstance(each.ctx, ast.Store):
                    names.add(each.id if isinstance(each, ast.Name) else each.attr)

    def with_bases(name: str, above: frozenset[str]) -> set[str]:
        known = set(own.get(name, ()))
        for base in bases.get(name, set()) - above:
            known |= with_bases(base, above | {name})
        return known

    return {name: with_bases(name, frozenset()) for name in own.keys() | bases.keys()}


def unknown_members(text: str, members: dict[str, set[str]]) -> list[str]:
    """Return each `Class.member` in `text` that no class has."""
    named = (f"{name}.{member}" for name, member in MEMBER.findall(text) if member not in members.get(name, ()))
    return [each for each in named if each not in OF_OTHERS and not each.endswith(".md")]


@pytest.mark.parametrize(
    "name", [each for each in FILES if each.endswith(".md") and each.startswith(ABOUT_THE_CODE[:-1])]
)
def test_each_member_of_a_class_that_is_named_exists(name: str) -> None:
    assert unknown_members(FILES[name].read_text("utf-8"), members_of_src()) == []


@cache
def members_of_src() -> dict[str, set[str]]:
    return members_of(SOURCES)


def test_a_member_that_is_named_and_gone_is_found() -> None:
    """The control."""
    members = members_of(["class A:\n    x = 1\n    def f(self): self.y = 2\nclass B(A):\n    pass\nC = B\n"])
    text = "`A.x`, `B.f()`, `C.y`, `C.f(1)`, `SECURITY.md`, " + "`A.gone`, `B.gone(1)`, `D.x`"
    assert unknown_members(text, members) == ["A.gone", "B.gone", "D.x"]
