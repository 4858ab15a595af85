"""Compiled builds of two trees, side by side in folders of their own.

A build is the compiled libraries, which are kept by the content that they are made from, and a tree's Python files over
them: so a change outside of the compiled engine needs no second compilation.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

from benchmarks.gate.trees import contents, differences, recipe

LIBRARIES: Final = "headrace*" + (sysconfig.get_config_var("EXT_SUFFIX") or ".so")  # beside the package


class NoBuild(Exception):
    """A tree could not be compiled, or the installed build is another tree's."""


def key(parts: dict[str, str]) -> str:
    """Return the name under which the libraries of a recipe are kept."""
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
    version = "" if compiler is None else subprocess.check_output([compiler, "--version"], text=True).partition("\n")[0]
    said = repr((sorted(parts.items()), sys.version, platform.platform(), version))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def of_installed(root: Path, cache: Path) -> Path:
    """Return the libraries of the build that this interpreter imports, which has to be that of the tree `root`."""
    spec = importlib.util.find_spec("headrace")
    if spec is None or spec.origin is None:
        raise NoBuild("headrace is not installed here; make speed-gate installs it")
    site = Path(spec.origin).resolve().parents[1]
    tree = {name: digest for name, digest in contents(root, ("src/headrace",)).items() if name.endswith(".py")}
    there = {f"src/{name}": digest for name, digest in contents(site, ("headrace",)).items()}
    if differing := differences(tree, there):
        raise NoBuild(f"the installed headrace is not this tree's: {differing[0]} differs; make speed-gate installs it")
    if not any(site.glob(LIBRARIES)):
        raise NoBuild("the installed headrace is not compiled; headrace --version says why")
    return _keep(site, cache / key(recipe(root)))


def of_tree(tree: Path, cache: Path) -> tuple[Path, bool]:
    """Return the libraries of a tree, and whether they had to be compiled."""
    kept = cache / key(recipe(tree))
    if kept.exists():
        return kept, False
    site = tree / ".site"
    environment = {name: value for name, value in os.environ.items() if name not in ("HEADRACE_PURE", "PYTHONPATH")}
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(tree)]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if done.returncode or not any(site.glob(LIBRARIES)):
        raise NoBuild(f"the base cannot be compiled:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return _keep(site, kept), True


def _keep(site: Path, kept: Path) -> Path:
    """Copy the libraries of headrace in `site` to where they are kept, unless they are there already."""
    if not kept.exists():
        part = kept.with_name(f"{kept.name}.part{os.getpid()}")
        names = [*site.glob(LIBRARIES), *(site / "headrace").rglob("*.so")]
        for name in names:
            target = part / name.relative_to(site)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(name, target)
        part.rename(kept)
    return kept


def put_together(libraries: Path, tree: Path, site: Path) -> Path:
    """Make a folder to import headrace from: a tree's files, and compiled libraries. Return it."""
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(tree / "src/headrace", site / "headrace", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(libraries, site, dirs_exist_ok=True)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(site)], check=True)
    return site
