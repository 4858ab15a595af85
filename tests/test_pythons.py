"""Every place that names the supported versions of Python names the same ones."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import sysconfig
import tomllib
from email import message_from_string
from importlib import metadata

import pytest

from headrace import Config, Response, Server
from headrace.cli import process, version

from tests.cli.command import environment
from tests.conftest import ROOT, engine_is_compiled

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
CLASSIFIERS = "\n".join(PYPROJECT["project"]["classifiers"])
SUPPORTED = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", CLASSIFIERS, re.MULTILINE)


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_classifiers_leave_out_no_version() -> None:
    first, last = (int(each.removeprefix("3.")) for each in (SUPPORTED[0], SUPPORTED[-1]))
    assert [f"3.{minor}" for minor in range(first, last + 1)] == SUPPORTED


def test_the_oldest_version_is_the_same_everywhere() -> None:
    oldest = SUPPORTED[0]
    assert PYPROJECT["project"]["requires-python"] == f">={oldest}"
    assert PYPROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    for name in ("README.md", "CONTRIBUTING.md", "Makefile", "docs/tutorial.md", "docs/reference/pythons.md"):
        assert set(re.findall(r"Python (3\.\d+)\s+or\s+later", text(name))) == {oldest}, name


def test_the_page_about_pythons_has_a_row_a_version() -> None:
    rows = re.findall(r"^\| CPython (3\.\d+) \|", text("docs/reference/pythons.md"), re.MULTILINE)
    assert rows == SUPPORTED
    assert f"CPython {SUPPORTED[0]} to {SUPPORTED[-1]}" in text("README.md")


def test_ci_tests_every_version() -> None:
    script = text(".ci/run")
    main = re.search(r"^main=\$\(find_python (\S+)\)", script, re.MULTILINE)
    newest = re.search(r"^newest=(\S+)$", script, re.MULTILINE)
    here = re.search(r"^for version in ([\d. ]+); do$", script, re.MULTILINE)
    apart = re.search(r"apart=\(([\d. ]+) \"\$newest\"\)$", script, re.MULTILINE)
    assert main is not None and newest is not None and here is not None and apart is not None
    assert [main[1], *here[1].split(), *apart[1].split(), newest[1]] == SUPPORTED


def test_each_version_gets_wheels_and_a_job_of_the_forge() -> None:
    assert PYPROJECT["tool"]["cibuildwheel"]["build"] == [f"cp{each.replace('.', '')}-*" for each in SUPPORTED]
    matrix = re.search(r"^ +python: \[(.*)\]$", text(".github/workflows/tests.yml"), re.MULTILINE)
    assert matrix is not None and matrix[1] == ", ".join(f'"{each}"' for each in SUPPORTED)
    assert f"CPython {SUPPORTED[0]} to {SUPPORTED[-1]}" in text("docs/releasing.md")


@pytest.mark.parametrize(
    ("name", "numbers", "is_free_threaded", "said"),
    [
        ("CPython", (3, 12), 0, "CPython 3.99.1"),
        ("CPython", (3, 99), 0, "CPython 3.99.1 (not tested; CPython 3.11 to 3.15 are)"),
        ("PyPy", (3, 11), 0, "PyPy 3.99.1 (not tested; CPython 3.11 to 3.15 are)"),
        ("CPython", (3, 14), 1, "CPython 3.99.1, free-threaded (not supported)"),
    ],
)
def test_the_version_says_when_this_python_is_not_tested(
    monkeypatch: pytest.MonkeyPatch, name: str, numbers: tuple[int, int], is_free_threaded: int, said: str
) -> None:
    monkeypatch.setattr(platform, "python_implementation", lambda: name)
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.1")
    monkeypatch.setattr(sys, "version_info", (*numbers, 1, "final", 0))
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: is_free_threaded)
    monkeypatch.setattr(version, "tested_pythons", lambda: SUPPORTED)
    assert version.python_text() == said


@pytest.mark.parametrize("is_it", [False, True])
def test_a_free_threaded_python_is_a_warning_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, is_it: bool
) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: int(is_it))
    process._announce(Server(lambda request: Response(200), Config(bind="127.0.0.1:0")), "app:app", "asyncio")
    assert [each.getMessage() for each in caplog.records] == is_it * [
        "this Python is free-threaded: headrace is not supported there, and its objects have no locks"
    ]


def test_the_tested_versions_are_those_of_the_classifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"Classifier: {each}\n" for each in PYPROJECT["project"]["classifiers"]]
    installed = message_from_string("Name: headrace\n" + "".join(lines))
    monkeypatch.setattr(metadata, "metadata", lambda name: installed)
    assert version.tested_pythons() == SUPPORTED


IN_A_SUBINTERPRETER = """
import sys
new = sys.version_info >= (3, 13)
interpreters = __import__("_interpreters" if new else "_xxsubinterpreters")
if FIRST_HERE:
    import headrace.engine.h2
made = interpreters.create("legacy") if new else interpreters.create(isolated=False)
path = f"import sys; sys.path[:] = {sys.path!r}\\n"
try:
    said = (interpreters.exec if new else interpreters.run_string)(made, path + "import headrace.engine.h2")
    print("loaded" if said is None else said.formatted)
except Exception as error:  # up to Python 3.12
    print(error)
interpreters.destroy(made)
"""


@pytest.mark.parametrize("is_first_here", [False, True])
def test_a_subinterpreter_gets_a_clear_answer(is_first_here: bool) -> None:
    """A compiled engine has one state a process; pure Python has one an interpreter."""
    code = IN_A_SUBINTERPRETER.replace("FIRST_HERE", str(is_first_here))
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    if engine_is_compiled():
        assert "headrace's compiled engine does not load in a subinterpreter; use the main interpreter" in done.stdout
    else:
        assert done.stdout == "loaded\n"
