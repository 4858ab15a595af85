"""Instructions of a case, counted by callgrind: of its work alone, not of the start of Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

MARKS: Final = Path(__file__).with_name("marks.c")
LONGEST_S: Final = 300  # of a case, which takes three


class Place(NamedTuple):
    """Where a case runs: `benchmarks` come from `tree`, headrace from `site`."""

    tree: Path
    site: Path


class CannotCount(Exception):
    """A tool is missing, or a case does not run."""


def marks(folder: Path) -> Path:
    """Compile the calls to callgrind; return the library. Raises CannotCount."""
    if shutil.which("valgrind") is None:
        raise CannotCount("valgrind is not installed (on Debian: apt-get install valgrind)")
    library = folder / "marks.so"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(MARKS)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise CannotCount(f"no C compiler ({compiler}) was found") from None
    if done.returncode:
        raise CannotCount(f"{MARKS.name} cannot be compiled: {done.stderr.strip()}")
    return library


def count(case: str, place: Place, library: Path) -> float:
    """Return the instructions of one unit of a case. Raises CannotCount with the end of what it printed."""
    command = [
        "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--instr-atstart=no", "--collect-atstart=no",
        sys.executable, "-m", "benchmarks.gate.count_case", str(library), case,
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PYTHONHASHSEED": "0", "PYTHONPATH": str(place.site), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, check=False, cwd=place.tree, env=environment, capture_output=True, text=True, timeout=LONGEST_S
    )
    found = parse(done.stdout, done.stderr)
    if done.returncode or found is None:
        said = [line for line in done.stderr.splitlines() if not line.startswith("==")]
        raise CannotCount(f"{case}: " + ("\n".join(said[-12:]) or done.stderr[-1000:]))
    return found


def parse(stdout: str, stderr: str) -> float | None:
    """Return the instructions of one unit from what `count_case` and callgrind print; None where they are not there."""
    units = re.search(r"^units (\d+)$", stdout, re.M)
    collected = re.search(r"^==\d+== Collected : (\d+)$", stderr, re.M)
    if units is None or collected is None or not int(collected[1]):
        return None
    return int(collected[1]) / int(units[1])


def count_all(cases: Iterable[str], now: Place, base: Place, library: Path) -> dict[str, tuple[float, float | None]]:
    """Return counts of this tree and of the base, by case.

    The base runs this tree's cases, as long as it can; else its own of the same name; None where it has none.
    """

    def before(case: str) -> float | None:
        for place in (Place(now.tree, base.site), base):
            try:
                return count(case, place, library)
            except CannotCount:
                continue
        return None

    names = list(cases)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        counts = [(pool.submit(count, name, now, library), pool.submit(before, name)) for name in names]
        try:
            return {name: (ours.result(), theirs.result()) for name, (ours, theirs) in zip(names, counts, strict=True)}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
