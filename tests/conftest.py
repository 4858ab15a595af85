"""What every test may ask for: which engine is under test, how long it may take, and programs that are no packages.

`make test` runs the suite on the installed package, compiled where that was possible; `make test-all` takes longer, and
then runs it on `src/`, where nothing is compiled.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from tests.support import tracing

ROOT = Path(__file__).resolve().parent.parent
# They stay in the environment, for the processes of -n; servers that tests start take no notice of HEADRACE_CI_.
CI_STRICT = os.environ.get("HEADRACE_CI_STRICT", "") == "1"
LONG = os.environ.get("HEADRACE_CI_LONG", "") == "1"

T = TypeVar("T")


def engine_is_compiled() -> bool:
    """True when the engine that these tests import came out of the compiler."""
    from headrace.engine.h2 import connection

    return not str(connection.__file__).endswith(".py")


def amount(usual: T, long: T) -> T:
    """`long` under HEADRACE_CI_LONG=1, as in `make test-all` and in `.ci/run`; else `usual`, for `make test`."""
    return long if LONG else usual


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
    parser.addoption("--engine", choices=("compiled", "pure"), help="fail when another build of the engine is imported")
    parser.addoption("--only", choices=("shared", "alone"), help="tests that share the machine, or those that may not")


def pytest_configure(config: pytest.Config) -> None:
    if threading.gettrace() is not None:
        tracing.be_patient()
    wanted = config.getoption("--engine")
    if wanted is not None and engine_is_compiled() != (wanted == "compiled"):
        raise pytest.UsageError(f"--engine={wanted} was asked for, but another one is imported; look at PYTHONPATH")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files that have no test for `--only=alone`: importing all of them takes longer than some tests."""
    if config.getoption("--only") != "alone" or collection_path.suffix != ".py":
        return None
    return True if b"mark.alone" not in collection_path.read_bytes() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Files that take long come first, so that at the end no core waits for the last of them.
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)
    only = config.getoption("--only")
    if only is not None:
        chosen: list[pytest.Item] = []
        others: list[pytest.Item] = []
        for item in items:
            is_alone = item.get_closest_marker("alone") is not None
            (chosen if is_alone == (only == "alone") else others).append(item)
        config.hook.pytest_deselected(items=others)
        items[:] = chosen


def pytest_collection_finish() -> None:
    """Take what the collection made, some million objects, off the garbage collector's lists: it would look through
    them again during the tests, which took 0.3 s each time that a test asked for it.

    Not from 3.14 on: there Hypothesis looks for whoever refers to its random numbers, and finds nothing frozen."""
    if sys.version_info < (3, 14):
        gc.collect()
        gc.freeze()


def pytest_report_header(config: pytest.Config) -> str:
    try:
        kind = "compiled" if engine_is_compiled() else "pure Python"
    except ImportError as error:
        kind = f"cannot be imported ({error})"
    return f"headrace engine: {kind}"
