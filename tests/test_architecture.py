"""The house rules of ARCHITECTURE.md that a machine can hold: who may import whom, and how long a file may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parent.parent / "src" / "headrace"
MODULES = sorted(SRC.rglob("*.py"))

# A room may import itself and the rooms named here: engine ← transport ← {server, client} ← {asgi, proxy ...} ← cli.
BELOW = {
    "engine": set(),
    "testing": {"engine"},
    "transport": {"engine"},
    "websocket": {"engine", "transport"},
    "server": {"engine", "transport", "websocket"},
    "client": {"engine", "transport", "websocket"},
    "asgi": {"engine", "transport", "websocket", "server"},
    "wsgi": {"engine", "transport", "server"},
    "bus": {"engine", "transport", "server"},
    "proxy": {"engine", "transport", "websocket", "server", "client"},
    "pytest_plugin": {"engine", "transport", "server", "client"},
}
TOP = {"cli", "demo", "__init__", "__main__"}  # these may import everything below; the demo is an app, beside the cli
PROTOCOLS = {"h1", "h2", "ws"}
COMPILED_OUTSIDE = {"asgi/answer.py"}  # setup.py compiles it together with the engine
NO_IO = {
    "asyncio",
    "logging",
    "os",
    "random",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
}
LONG_FILES = {"connection.py": 700, "static_table.py": 700, "huffman.py": 700}
LONGEST = 500


def imported(path: Path) -> Iterator[str]:
    """The absolute dotted names that a module imports, wherever in it the import stands."""
    package = ["headrace", *path.relative_to(SRC).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_module_imports_only_what_lies_below_its_room(path: Path) -> None:
    here = room(path)
    assert here in BELOW or here in TOP, f"{here} is a new room: give it its place in BELOW"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "headrace" and here not in TOP:
            target = parts[1] if len(parts) > 1 else "__init__"
            assert target == here or target in BELOW[here], f"{path} imports {name}"
        if path.relative_to(SRC).as_posix() in COMPILED_OUTSIDE:
            assert parts[0] not in NO_IO, f"{path} imports {name}: it is compiled with the engine, and as free of I/O"
        if here == "engine":
            assert parts[0] not in NO_IO, f"{path} imports {name}: the engine touches no I/O, clock or randomness"
            own = PROTOCOLS & set(path.relative_to(SRC).parts)
            assert not own or not (PROTOCOLS - own) & set(parts[2:3]), f"{path} imports {name}: another protocol"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_a_file_is_short_enough_to_be_read_whole(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONG_FILES.get(path.name, LONGEST), f"{path} has {lines} lines: split it by RFC section"
