"""The version of headrace, and whether its engine is machine code."""

from __future__ import annotations

import platform
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from headrace.engine.build import engine_is_compiled

__all__ = ["engine_is_compiled", "version", "version_text"]


def version() -> str:
    """Return the installed version, or `0+source` if headrace runs from a source tree that was never installed."""
    try:
        return metadata.version("headrace")
    except metadata.PackageNotFoundError:
        return "0+source"


def version_text() -> str:
    """Return the output of `headrace --version`: the version, how the engine runs (and why, if pure), and the Python
    version."""
    engine = "compiled (mypyc)"
    if not engine_is_compiled():
        note = Path(__file__).parents[1] / "build.txt"  # written by the build, absent in a source tree
        reason = note.read_text("utf-8").partition(": ")[2].strip() if note.exists() else ""
        engine = f"pure Python ({reason})" if reason else "pure Python"
    return f"headrace {version()}\nengine: {engine}\n{python_text()}"


def python_text() -> str:
    """Return the name and version of this Python, with a remark if headrace is not tested on it."""
    name = platform.python_implementation()
    said = f"{name} {platform.python_version()}"
    if is_free_threaded():
        return f"{said}, free-threaded (not supported)"
    tested = tested_pythons()
    if tested and (name != "CPython" or f"{sys.version_info[0]}.{sys.version_info[1]}" not in tested):
        return f"{said} (not tested; CPython {tested[0]} to {tested[-1]} are)"
    return said


def is_free_threaded() -> bool:
    """Return True if this Python was built to run without a GIL, whether or not one is in use now."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def tested_pythons() -> list[str]:
    """Return the versions of Python that this version of headrace is tested on, such as `3.11`; empty when headrace
    runs from a source tree that was never installed."""
    try:
        classifiers = metadata.metadata("headrace").get_all("Classifier", [])
    except metadata.PackageNotFoundError:
        return []
    prefix = "Programming Language :: Python :: "
    return [each.removeprefix(prefix) for each in classifiers if each.startswith(f"{prefix}3.")]
