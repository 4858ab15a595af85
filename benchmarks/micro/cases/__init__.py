"""The cases, a module for each part of headrace; `of` finds them by name, and imports no other module than theirs."""

from __future__ import annotations

import importlib
from typing import Final

from benchmarks.micro.case import Case

MODULES: Final = ("hpack", "h2", "h1", "ws", "asgi", "native")


def of(module: str) -> tuple[Case, ...]:
    """Return the cases of one module."""
    found: tuple[Case, ...] = importlib.import_module(f"{__name__}.{module}").CASES
    return found


def named(name: str) -> Case:
    """Return one case. Raises KeyError when there is none of this name."""
    return {case.name: case for case in of(name.partition(":")[0])}[name]


def every() -> tuple[Case, ...]:
    """Return all cases."""
    return tuple(case for module in MODULES for case in of(module))
