"""Build and try a wheel for each Python that is found here: `make wheels`.

    python -m tools.wheels [--out dist] [--python COMMAND]...

First it makes the source archive; `build_one.py` makes each wheel from that, and keeps it only if it works. Pythons are
those of pyproject.toml's classifiers: on the path, of pyenv, and in the chroot of `.ci/pythons`. COMMAND starts another
one, which sees the same files: of another C library, or under an emulator. The table at the end says what was made.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD_ONE: Final = "tools/wheels/build_one.py"
INSIDE: Final = "src/headrace"  # of the repository's copy in the chroot
PROBE: Final = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"


def versions() -> list[str]:
    """Return the versions of Python that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    prefix = "Programming Language :: Python :: "
    found = [each.removeprefix(prefix) for each in project["classifiers"] if each.startswith(prefix)]
    return [each for each in found if re.fullmatch(r"3\.\d+", each)]


def starts(command: list[str], version: str) -> bool:
    """Return True if a command starts a Python of this version that can make environments."""
    try:
        done = subprocess.run([*command, "-c", PROBE], check=False, capture_output=True, text=True)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def on_this_system(version: str) -> list[str] | None:
    """Return the command of an installed Python, or None."""
    pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
    for command in ([f"python{version}"], *([str(path)] for path in reversed(pyenv))):
        if starts(command, version):
            return command
    return None


def chroot() -> tuple[Path, list[str]] | None:
    """Return the folder and the Pythons of the chroot that `.ci/pythons make` has made, or None."""
    folder = Path(os.environ.get("PYTHONS_ROOT", ROOT / ".pythons"))
    packages = folder / "packages"
    if not packages.exists():
        return None
    return folder, re.findall(r"\bpython(3\.\d+)(?=,|$)", packages.read_text("utf-8").strip())


def make(command: list[str], source: str, out: str) -> dict[str, Any]:
    """Build and try one wheel; return what is known about it, or the reason why there is none under "failed"."""
    full = [*command, BUILD_ONE, source, out]
    done = subprocess.run(full, check=False, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        return {"failed": "\n".join(done.stdout.splitlines()[-30:])}
    about: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return about


def make_inside(folder: Path, version: str, archive: Path, out: Path) -> dict[str, Any]:
    """Do the same in the chroot, and fetch the wheel."""
    about = make(["bash", ".ci/pythons", "run", f"python{version}"], f"dist/{archive.name}", "dist")
    if "wheel" in about:
        shutil.copy(folder / INSIDE / "dist" / about["wheel"], out)
    return about


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return a line for each Python."""
    lines = ["| Python | wheel | bytes | unpacked | tried on (combinations of TLS and HTTP) |", "|---|---|---|---|---|"]
    for name, about in results.items():
        if "wheel" in about:
            sizes = f"{about['size']:,} | {about['unpacked']:,}"
            lines.append(
                f"| {name} | {about['wheel']} | {sizes} | {about['python']}, {about['libc']}: {about['tried']} |"
            )
        else:
            lines.append(f"| {name} | none: {about['failed'].splitlines()[-1]} | | | |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.wheels")
    parser.add_argument("--out", default="dist", help="folder for the archive and the wheels")
    parser.add_argument("--only", action="append", metavar="VERSION", help="build for 3.13, say, alone")
    parser.add_argument("--python", action="append", default=[], metavar="COMMAND", help="starts a further Python")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="wheels that are built at once")
    options = parser.parse_args()
    out = Path(options.out).resolve()
    build = [sys.executable, "-m", "build", "--sdist", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(build, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nthe source archive could not be built")
    archive = max(out.glob("headrace-*.tar.gz"), key=lambda path: path.stat().st_mtime)
    print(f"{archive.name}: {archive.stat().st_size:,} bytes", flush=True)

    place = chroot()
    if place is not None:
        subprocess.run(["bash", ".ci/pythons", "make", *place[1]], cwd=ROOT, check=True)
        (place[0] / INSIDE / "dist").mkdir(exist_ok=True)
        shutil.copy(archive, place[0] / INSIDE / "dist")
    with ThreadPoolExecutor(options.jobs) as pool:
        futures = {}
        for version in options.only or versions():
            if (command := on_this_system(version)) is not None:
                futures[version] = pool.submit(make, command, str(archive), str(out))
            elif place is not None and version in place[1]:
                futures[version] = pool.submit(make_inside, place[0], version, archive, out)
            else:
                print(f"no Python {version} was found", flush=True)
        for command in options.python:
            futures[command] = pool.submit(make, shlex.split(command), str(archive), str(out))
        results = {name: future.result() for name, future in futures.items()}
    for name, about in results.items():
        if "failed" in about:
            print(f"\n{name}:\n{about['failed']}", file=sys.stderr)
    print(table(results))
    return int(not results or any("failed" in about for about in results.values()))


if __name__ == "__main__":
    sys.exit(main())
