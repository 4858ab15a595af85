"""The maps of the code are true: ARCHITECTURE.md is short, and each room's README.md names what exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

SRC = ROOT / "src/headrace"
MAPS = [ROOT / "ARCHITECTURE.md", *(page for top in (SRC, ROOT / "tests") for page in sorted(top.rglob("README.md")))]
ROOMS = [SRC, *(each for each in sorted(SRC.iterdir()) if each.is_dir() and any(each.glob("*.py")))]
ROOMS += [SRC / "engine" / protocol for protocol in ("h1", "h2", "hpack", "ws")]

PATH = re.compile(r"`([\w./-]+(?:\.(?:py|md)|/)|tests/[\w/]+)`")  # a file, or a folder
NAME = re.compile(r"`(?:[A-Z]\w+\.)?(_*[A-Za-z]\w*)`")  # a function, a class, a constant
ARCHITECTURE_SIZE = 8_192  # bytes: what can be read in ten minutes


def missing(page: Path, text: str) -> list[str]:
    """Return the files, names and tests in `text`, which stands in the file `page`, that do not exist."""
    bases = [page.parent, SRC, ROOT]
    found = [name for name in PATH.findall(text) if place_of(name, bases) is None]
    for line in text.splitlines():
        cells = line.strip().strip("|").split(" | ")
        if not line.startswith("| ") or len(cells) < 2:
            continue
        # The cells that name code: each has files, and then names that are in one of them.
        for cell in cells:
            sources = [place_of(name, bases) for name in PATH.findall(cell) if name.endswith(".py")]
            known = {name for source in sources if source for name in defined_in(source)}
            if known:
                found += [name for name in NAME.findall(cell) if name not in known]
    return found


def place_of(name: str, bases: list[Path]) -> Path | None:
    return next((base / name for base in bases if (base / name).exists()), None)


@cache
def defined_in(path: Path) -> frozenset[str]:
    """Return the names of functions, methods, classes and constants that a file defines."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(names)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("room", ROOMS, ids=named)
def test_a_room_has_a_map(room: Path) -> None:
    assert (room / "README.md").is_file()


@pytest.mark.parametrize("page", MAPS, ids=named)
def test_a_map_names_files_functions_and_tests_that_exist(page: Path) -> None:
    assert missing(page, page.read_text("utf-8")) == []


def test_the_architecture_is_read_in_ten_minutes() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_bytes()) <= ARCHITECTURE_SIZE


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("| x | `budget.py`, `Budget.spend` | `tests/test_docs.py`: `test_a_claim_without_a_test_is_found` |", []),
        ("| x | `h2/connection.py`, `Connection.acknowledge_data` | `tests/engine/h2` |", []),
        ("| x | `limits.py`, `BYTES_A_FRAME` and `NO_SUCH_LIMIT` | |", ["NO_SUCH_LIMIT"]),
        ("| x | `budget.py`, `no_such_function` | |", ["no_such_function"]),
        ("| x | `no_such_file.py` | |", ["no_such_file.py"]),
        ("| x | `budget.py` | `tests/test_docs.py`: `test_of_nothing` |", ["test_of_nothing"]),
        ("The folder `no/such/` and `tests/no_such`.", ["no/such/", "tests/no_such"]),
    ],
)
def test_what_a_map_names_wrongly_is_found(row: str, wrong: list[str]) -> None:
    """The control."""
    assert missing(SRC / "engine/README.md", row) == wrong
