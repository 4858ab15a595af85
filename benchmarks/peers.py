"""The environment of the peers: made on this Python when it is not there, or when its list has changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
WANTED: Final = HERE / "peers.txt"


def listed(text: str) -> list[str]:
    """Return the requirements in a list: a line each, without comments."""
    return [line for each in text.splitlines() if (line := each.partition("#")[0].strip())]


def install(not_raced: dict[str, str]) -> Path:
    """Return the environment. `not_raced` gets what cannot be installed on this Python, with the reason."""
    folder = HERE.parent / f".venv-peers-{sys.version_info[0]}.{sys.version_info[1]}"
    done, missing = folder / "installed", folder / "missing"
    if not done.exists() or done.read_text() != WANTED.read_text():
        print(f"installing the peers into {folder.name} ...", flush=True)
        python = getattr(sys, "_base_executable", sys.executable)
        subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
        wanted = listed(WANTED.read_text())
        reasons = {} if pip(folder, wanted) is None else {each: pip(folder, [each]) for each in wanted}
        missing.write_text("\n".join(f"{name}: {why}" for name, why in reasons.items() if why))
        done.write_text(WANTED.read_text())
    for line in missing.read_text().splitlines():
        name, _, why = line.partition(": ")
        not_raced[name] = f"cannot be installed on Python {sys.version_info[0]}.{sys.version_info[1]}: {why}"
    return folder


def pip(folder: Path, wanted: list[str]) -> str | None:
    """Install packages. Return pip's last words when that fails, or None."""
    command = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip().rpartition("\n")[2] or "pip failed")[:200]
