"""Code and options in README and docs are those that there are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest

import headrace
import headrace.client

from tests.conftest import ROOT
from tests.support.pages import PAGES, blocks, commands, module_of, options_of

API = "".join(page.read_text("utf-8") for page in (ROOT / "docs/reference/api").glob("*.md"))
# Loggers, a file, a message, a placeholder: names that begin like a module's.
NO_MODULES = {"access", "access_log", "error", "protocol", "proxy", "request", "toml"}


def check(folder: Path, modules: dict[str, str]) -> str:
    """Return what the type checker says of modules; empty when it is content."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    flags = "--config-file= --check-untyped-defs --ignore-missing-imports --follow-imports=silent --python-version=3.11"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *flags.split(), "--no-error-summary", f"--cache-dir={folder}/cache", "."],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_python_in_the_pages_is_what_a_type_checker_accepts(tmp_path: Path) -> None:
    modules = {each.name: module_of(each) for page in PAGES for each in blocks(page) if each.language == "python"}
    assert len(modules) > 50
    said = check(tmp_path, modules)
    assert not said, said


def test_the_engine_is_embedded_as_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    names = {"__name__": "__main__"}
    for each in blocks(ROOT / "docs/how-to/embed-the-engine.md"):
        exec(compile(each.text, str(each.page), "exec"), names)
    assert capsys.readouterr().out == "200: You asked for /fish\n"


class EngineOnTape:
    """An engine for `carry` of that page: it has `output`, then ends; `calls` are those of engine and socket."""

    input_pending = False
    deadline = float("inf")

    def __init__(self, **state: Any) -> None:
        self.calls: list[str] = []
        self.closed = self.aborted = self.read_paused = False
        self.output = [b"piece"]
        self.__dict__.update(state)

    def take_output(self, now: float) -> bytes:
        return self.output.pop() if self.output else b""

    def take_events(self) -> list[object]:
        return []

    def _end(self, *args: object) -> list[object]:
        self.closed = True
        return []

    receive_data = receive_eof = receive_failure = handle_deadline = _end

    def __getattr__(self, name: str) -> Any:  # the methods of the socket
        def call(*args: Any) -> bytes:
            self.calls.append(" ".join(map(str, (name, *args[:2]))))
            return b""

        return call


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ({}, ["settimeout 60.0", "sendall b'piece'", "settimeout None", "recv 65536", "close"]),
        ({"read_paused": True}, ["settimeout 60.0", "sendall b'piece'", "close"]),
        ({"aborted": True, "read_paused": True},
         ["settimeout 60.0", "sendall b'piece'", f"setsockopt {SOL_SOCKET} {SO_LINGER}", "close"]),
    ],
    ids=["a read", "paused", "aborted"],
)  # fmt: skip
def test_the_loop_of_the_page_obeys_its_rules(state: dict[str, Any], calls: list[str]) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for each in blocks(ROOT / "docs/how-to/embed-the-engine.md"):
        exec(compile(each.text, str(each.page), "exec"), names)
    engine = EngineOnTape(**state)
    names["carry"](engine, engine, print)
    assert engine.calls == calls


def test_the_modules_of_the_engines_api_page_are_those_that_the_package_names() -> None:
    documented = re.findall(
        r"^::: headrace\.engine\.(\w+)", (ROOT / "docs/reference/api/engine.md").read_text("utf-8"), re.M
    )
    named = re.findall(r"`(?:headrace\.engine)?\.(\w+)`", headrace.__doc__ or "")
    assert set(documented) | {"limits"} == set(named)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_command_in_a_page_has_its_options(page: Path) -> None:
    for words in commands(page):
        known = options_of(words[0])
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, words
            elif re.fullmatch("-[A-Za-z]", word):
                assert word in known, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_name_in_a_page_is_there(page: Path) -> None:
    for name in re.findall(r"`@?headrace\.([\w.]+)", page.read_text("utf-8")):
        if name.partition(".")[0] not in NO_MODULES or name.startswith("proxy."):
            assert resolved(f"headrace.{name.rstrip('.')}") is not None, name


def names_in_table(page: str, heading: str) -> list[str]:
    """Return the names of attributes, functions and classes in the first column of the table under a heading."""
    section = (ROOT / page).read_text("utf-8").partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    column = "".join(line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `"))
    return re.findall(r"(?:`|, |await |in )([A-Za-z_]\w*)(?=[`(,])", column.replace("``", "` `"))


@pytest.mark.parametrize(
    ("page", "heading", "owners", "least"),
    [
        ("docs/reference/handlers.md", "## The request", (headrace.Request,), 20),
        (
            "docs/reference/client.md",
            "## ClientResponse, SyncResponse",
            (headrace.ClientResponse, headrace.client.SyncResponse),
            30,
        ),
        ("docs/reference/client.md", "## Errors", (headrace.client,), 20),
    ],
)
def test_names_in_an_overview_are_there(page: str, heading: str, owners: tuple[object, ...], least: int) -> None:
    names = [each for each in names_in_table(page, heading) if each not in ("name", "size")]
    assert len(names) >= least
    assert [each for each in names if not any(hasattr(owner, each) for owner in owners)] == []


def resolved(name: str) -> object:
    """Return what a dotted name leads to; None when it leads nowhere."""
    found: object = headrace
    path = "headrace"
    for part in name.split(".")[1:]:
        path += f".{part}"
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = import_module(path)
            except ImportError:
                return None
    return found


NAMED = re.findall(r"^::: ([\w.]+)$", API, re.MULTILINE)


@pytest.mark.parametrize("name", [*headrace.__all__, *(f"client.{each}" for each in headrace.client.__all__)])
def test_the_api_pages_have_each_public_name(name: str) -> None:
    wanted = resolved(f"headrace.{name}")
    assert any(resolved(each) is wanted for each in NAMED)


@pytest.mark.parametrize("name", NAMED)
def test_what_the_api_pages_name_is_there(name: str) -> None:
    assert resolved(name) is not None
