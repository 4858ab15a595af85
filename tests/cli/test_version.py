"""What `headrace --version` says of builds and Pythons that the tests do not run on."""

from __future__ import annotations

import platform
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest

from headrace.cli import version as version_module
from headrace.cli.version import python_text, version, version_text


def pure(monkeypatch: pytest.MonkeyPatch, folder: Path, note: str | None) -> None:
    """Make the engine a pure one, whose build left `note`."""
    monkeypatch.setattr(version_module, "engine_is_compiled", lambda: False)
    monkeypatch.setattr(version_module, "__file__", str(folder / "cli" / "version.py"))
    if note is not None:
        (folder / "build.txt").write_text(note)


def test_a_pure_engine_says_why_if_its_build_knew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pure(monkeypatch, tmp_path, "pure: no C compiler\n")
    assert version_text().splitlines()[1] == "engine: pure Python (no C compiler)"


def test_a_pure_engine_of_a_source_tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pure(monkeypatch, tmp_path, None)
    assert version_text().splitlines()[1] == "engine: pure Python"


def test_a_compiled_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_module, "engine_is_compiled", lambda: True)
    assert version_text().splitlines()[1] == "engine: compiled (mypyc)"


def test_a_python_without_the_gil_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    assert python_text().endswith(f" {platform.python_version()}, free-threaded (not supported)")


@pytest.mark.parametrize("name", ["CPython", "PyPy"])
def test_another_python_is_not_tested(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(platform, "python_implementation", lambda: name)
    monkeypatch.setattr(version_module, "tested_pythons", lambda: ["3.1", "3.2"])
    assert python_text() == f"{name} {platform.python_version()} (not tested; CPython 3.1 to 3.2 are)"


def test_a_tree_that_was_never_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> NoReturn:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    monkeypatch.setattr(metadata, "metadata", missing)
    assert (version(), version_module.tested_pythons()) == ("0+source", [])
    assert "tested" not in python_text()
