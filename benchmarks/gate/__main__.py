"""`make speed-gate`: fails when a case takes more than 5 % more instructions than in the commit before."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.gate import acknowledged, builds, counting, trees
from benchmarks.gate.comparison import compare, table, verdict
from benchmarks.micro import cases

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "build/speed-gate"


class NoCase(Exception):
    """`--only` names nothing."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--base", default=os.environ.get("SPEED_BASE", ""), help="the commit to compare with")
    parser.add_argument("--only", default="", help="beginnings of names of cases, with commas between them")
    parser.add_argument("--build", action="store_true", help="only compile the base, so that it is there later")
    parser.add_argument("--noise", type=int, default=0, metavar="N", help="count the same build N times instead")
    options = parser.parse_args()
    try:
        return noise(options) if options.noise else gate(options)
    except (trees.NoBase, builds.NoBuild, counting.CannotCount, acknowledged.FileError, NoCase) as error:
        print(f"the speed gate cannot be run: {error}", file=sys.stderr)
        return 2


def chosen(only: str) -> list[str]:
    """Return the names of the cases to count. Raises NoCase where there is none."""
    found = [case.name for case in cases.every() if case.name.startswith(tuple(only.split(",")))]
    if not found:
        raise NoCase(f"no case begins with {only!r}; `make micro` lists them")
    return found


def gate(options: argparse.Namespace) -> int:
    """Compare with the base; return the exit code."""
    commit = trees.base_of(ROOT, options.base)
    if commit is None:
        print("This is the first commit: there is nothing to compare it with.")
        return 0
    name = trees.git(ROOT, "log", "-1", "--format=%h (%s)", commit)
    tree = FOLDER / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    trees.extract(ROOT, commit, tree)
    changed = trees.differences(trees.measured(ROOT), trees.measured(tree))
    if not changed:
        print(f"No file that the cases run differs from {name}: nothing is counted.")
        return 0
    begin = time.monotonic()
    cache = FOLDER / "libraries"
    if options.build:
        builds.of_tree(tree, cache)
        return 0
    ours = builds.of_installed(ROOT, cache)
    theirs, was_compiled = builds.of_tree(tree, cache)
    how = "the same" if theirs == ours else "another one, compiled now" if was_compiled else "another one, kept"
    print(f"Compared with {name}: {len(changed)} files differ, first {changed[0]}; its engine is {how}.", flush=True)
    now = counting.Place(ROOT, builds.put_together(ours, ROOT, FOLDER / "sites/now"))
    base = counting.Place(tree, builds.put_together(theirs, tree, FOLDER / "sites/old"))
    ready = time.monotonic()
    losses, passed = acknowledged.in_force(acknowledged.read(ROOT), acknowledged.read(tree), chosen(""))
    counts = counting.count_all(chosen(options.only), now, base, counting.marks(FOLDER))
    rows = compare(
        {case: old for case, (_, old) in counts.items()}, {case: new for case, (new, _) in counts.items()}, losses
    )
    print(table(rows))
    for loss in passed:
        print(f"{acknowledged.FILE}: {loss.case!r} ({loss.reason}) stood there in {name}, and counts no more.")
    print(verdict(rows, name.partition(" ")[0]))
    print(f"{ready - begin:.0f} s for builds, {time.monotonic() - ready:.0f} s for {len(counts)} cases, twice.")
    return 1 if any(row.failed for row in rows) else 0


def noise(options: argparse.Namespace) -> int:
    """Count this tree's build in two folders, several times; print the largest difference of each case."""
    ours = builds.of_installed(ROOT, FOLDER / "libraries")
    library = counting.marks(FOLDER)
    found: dict[str, list[float]] = {}
    for turn in range(options.noise):
        places = [
            counting.Place(ROOT, builds.put_together(ours, ROOT, FOLDER / folder))
            for folder in ("sites/now", f"sites/{'another-' * (turn + 1)}folder")
        ]
        for case, (new, old) in counting.count_all(chosen(options.only), places[0], places[1], library).items():
            found.setdefault(case, []).extend([new, old or new])
    for case, each in found.items():
        print(f"{case:50}  {min(each):12,.0f}  {(max(each) / min(each) - 1) * 100:8.4f} %")
    worst = max((max(each) / min(each) - 1) * 100 for each in found.values())
    print(f"{2 * options.noise} counts of each case: the largest difference is {worst:.4f} %.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
