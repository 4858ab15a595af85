"""What every test may ask for: which engine is under test, and the programs that are not Python packages.

`make test` runs the suite twice: on the installed package, compiled where that was possible, and with `--pure-round` on
`src/`, where nothing is compiled; there only the tests of the engine and of one server are run again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Taken out of the environment: the servers that tests start refuse HEADRACE_ variables that are not settings.
CI_STRICT = os.environ.pop("HEADRACE_CI_STRICT", "") == "1"
PURE_ROUND_FOLDERS = ("engine", "properties", "security")


def engine_is_compiled() -> bool:
    """True when the engine that these tests import came out of the compiler."""
    from headrace.engine.h2 import connection

    return not str(connection.__file__).endswith(".py")


def missing(what: str) -> NoReturn:
    """Skips the test because `what` is not on this machine; under HEADRACE_CI_STRICT=1 it fails instead."""
    if CI_STRICT:
        pytest.fail(f"{what} is missing, and HEADRACE_CI_STRICT=1 asks for it", pytrace=False)
    pytest.skip(f"{what} is not installed here")


def need(program: str) -> str:
    """The path of a program such as `nghttp`; without it, see `missing`."""
    found = shutil.which(program)
    if found is None:
        missing(program)
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pure-round",
        action="store_true",
        help="only what the pure Python build must prove again: the engine's tests and those marked smoke",
    )


def pytest_report_header(config: pytest.Config) -> str:
    try:
        kind = "compiled" if engine_is_compiled() else "pure Python"
    except ImportError as error:
        kind = f"cannot be imported ({error})"
    return f"headrace engine: {kind}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--pure-round"):
        return
    if engine_is_compiled():
        raise pytest.UsageError("--pure-round was asked for, but the engine that is imported is compiled")
    kept = [item for item in items if in_pure_round(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def in_pure_round(item: pytest.Item) -> bool:
    marked = item.get_closest_marker("engine") or item.get_closest_marker("smoke")
    return marked is not None or item.path.relative_to(ROOT / "tests").parts[0] in PURE_ROUND_FOLDERS
