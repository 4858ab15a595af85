"""The version of headrace, and whether its engine is machine code."""

from __future__ import annotations

import platform
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
    return f"headrace {version()}\nengine: {engine}\n{platform.python_implementation()} {platform.python_version()}"
