"""README and the pages of docs/, taken apart: blocks of code, and options that they name."""

from __future__ import annotations

import ast
import builtins
import re
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple

import click

import headrace
import headrace.client
from headrace.cli.main import cli

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What blocks take for granted; any other name that nobody has defined is of any type.
_GIVEN = {
    "bus": "headrace.bus.LocalBus",
    "client": "headrace.Client",
    "request": "headrace.Request",
    "server": "headrace.Server",
    "url": "str",
    "ws": "headrace.WebSocket",
}


class Block(NamedTuple):
    """A block of code between fences."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """A name that is one of a module, too."""
        page = re.sub(r"\W", "_", str(self.page.relative_to(ROOT).with_suffix("")))
        return f"{page}_line_{self.line}"


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in order."""
    text = page.read_text("utf-8")
    return [Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2]) for found in _FENCE.finditer(text)]


def module_of(block: Block) -> str:
    """Return the block as a module that a type checker can read: with the imports of the page's earlier blocks, and its
    own lines in a coroutine, so that `await` and `return` may stand in it."""
    tree = _parse(block.text)
    bound = {*dir(builtins)}
    imports = []
    for earlier in blocks(block.page):
        if earlier.line < block.line and earlier.language == "python":
            for node in ast.walk(_parse(earlier.text)):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    imports.append(ast.unparse(node))
                    bound |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    used: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler):
            bound.add(node.name or "")
        elif isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
    lines = ["from typing import Any as _Any", "import headrace, headrace.bus, headrace.client", *imports]
    for name in sorted(used - bound):
        if name in _GIVEN:
            lines.append(f"{name}: {_GIVEN[name]}")
        elif name in headrace.__all__:
            lines.append(f"from headrace import {name}")
        elif name in headrace.client.__all__:
            lines.append(f"from headrace.client import {name}")
        else:
            lines.append(f"{name}: _Any")
    return "\n".join(lines) + "\nasync def _block() -> _Any:\n" + textwrap.indent(block.text, "    ")


def _parse(text: str) -> ast.Module:
    return ast.parse("async def _block():\n" + textwrap.indent(text, "    "))


def commands(page: Path) -> list[list[str]]:
    """Return the arguments of each call of `headrace` in a page's blocks that are not Python."""
    found = []
    for block in blocks(page):
        if block.language == "python":
            continue
        for line in block.text.splitlines():
            call = re.search(r"(?:^|\s|/|=)headrace ((?:serve|get|bench|--).*)", line)
            if call is not None:
                found.append(shlex.split(call[1].replace("…", "").rstrip("\\"), comments=True))
    return found


def options_of(command: str) -> set[str]:
    """Return all options of a command, by all their names."""
    known = cli.commands.get(command, cli)
    names = {"--help", "-h"}
    for parameter in known.params:
        if isinstance(parameter, click.Option):
            names |= {*parameter.opts, *parameter.secondary_opts}
    return names
