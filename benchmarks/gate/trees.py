"""This tree and the one that it is compared with: which commit that is, and which files of them count."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import tomllib
from pathlib import Path
from typing import Final

COMPILED: Final = ("src/headrace/engine", "src/headrace/asgi/answer.py", "setup.py")
"""Files that the compiled engine is made from, besides the build system that pyproject.toml names."""
MEASURED: Final = (
    *COMPILED,
    *(f"src/headrace/{room}" for room in ("__init__.py", "testing.py", "transport", "websocket", "server", "asgi")),
    *("benchmarks/micro", "benchmarks/gate", "benchmarks/apps"),
)
"""Files that the cases run, or that say how: where none of them differs, no count can."""


class NoBase(Exception):
    """There is nothing to compare this tree with, which is a mistake."""


def git(root: Path, *arguments: str) -> str:
    """Return what a git command prints. Raises NoBase with what it says against it."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise NoBase("git is not installed") from None
    if done.returncode:
        raise NoBase(done.stderr.strip() or f"git {arguments[0]} failed")
    return done.stdout.strip()


def base_of(root: Path, named: str = "") -> str | None:
    """Return the commit to compare with: the one that is `named`, or HEAD where changes are not committed yet, or its
    parent; None for the first commit. Raises NoBase where that cannot be known."""
    if named:
        return git(root, "rev-parse", "--verify", f"{named}^{{commit}}")
    head = git(root, "rev-parse", "--verify", "HEAD")
    if git(root, "status", "--porcelain", "--", *MEASURED, "pyproject.toml", "benchmarks"):
        return head
    parents = git(root, "rev-list", "--parents", "--max-count=1", "HEAD").split()[1:]
    if parents:
        return parents[0]
    if git(root, "rev-parse", "--is-shallow-repository") == "true":
        raise NoBase("the clone is shallow, and lacks the commit before: git fetch --deepen=1")
    return None


def extract(root: Path, commit: str, folder: Path) -> None:
    """Write the files of a commit into `folder`, which does not exist."""
    done = subprocess.run(["git", "-C", str(root), "archive", commit], capture_output=True, check=True)
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def contents(tree: Path, places: tuple[str, ...]) -> dict[str, str]:
    """Return digests of a tree's Python and C files in these places, by their paths."""
    found = {}
    for place in places:
        path = tree / place
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.suffix in (".py", ".c")]
        for each in files:
            found[each.relative_to(tree).as_posix()] = hashlib.sha256(each.read_bytes()).hexdigest()
    return found


def recipe(tree: Path) -> dict[str, str]:
    """Return what decides over the compiled engine of a tree: digests of files, and the tools that build it."""
    project = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))
    return {**contents(tree, COMPILED), "build-system": repr(project["build-system"])}


def measured(tree: Path) -> dict[str, str]:
    """Return what decides over the counts of a tree."""
    return {**contents(tree, MEASURED), **recipe(tree)}


def differences(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Return the names whose values differ, or that only one has."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
