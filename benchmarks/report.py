"""What a race leaves behind: a Markdown page, a chart, and the figures as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import chart, results, tables
from benchmarks.results import Results
from benchmarks.servers.contenders import Course

CLIENT_PACKAGES = ("httpx2", "httpx", "aiohttp", "niquests", "pyreqwest", "curl_cffi")
PARTS = ("zttp", "httptools", "websockets", "gunicorn_h1c", "h2", "uvloop")


def write(out: Path, found: Results) -> list[Path]:
    """Write all three into the folder `out`. Return their paths."""
    texts = {
        "benchmarks.md": "\n".join(
            ["# Benchmarks", "", "![Rates as bars](benchmarks.svg)", "", *tables.render(found), ""]
        ),
        "benchmarks.svg": chart.draw(found),
        "benchmarks.json": results.to_text(found),
    }
    for name, text in texts.items():
        (out / name).write_text(text, "utf-8")
    return [out / name for name in texts]


def facts(course: Course, rounds: int, seconds: float) -> dict[str, str]:
    """Return the circumstances, before there is load of our own."""
    cores = f"{len(course.cores)} cores" if course.cores else "cores unknown"
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{processor()}, {cores}",
        "kernel": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "pinning": "servers pinned to one core, the load to another" if course.pinned else "nothing pinned to a core",
        "rounds": f"{rounds} round{'s' if rounds > 1 else ''} of {seconds:.2g} s, interleaved",
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
    }


def processor() -> str:
    try:
        match = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        match = None
    return match[1] if match else platform.processor() or "unknown processor"


def versions(peers: Path, packages: Sequence[str]) -> dict[str, str]:
    """Return the version of everything that took part; of headrace also how its engine runs."""
    from headrace.cli.version import version_text

    found = {"headrace": ", ".join(version_text().splitlines()[:2]).partition(" ")[2]}
    listing = [str(peers / "bin/python"), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"]
    installed = {normal(each["name"]): each["version"] for each in json.loads(output(listing) or "[]")}
    for name in (*dict.fromkeys(packages), *CLIENT_PACKAGES, *PARTS):
        if normal(name) in installed:
            found[name] = installed[normal(name)]
    match = re.search(r"nghttp2/([\d.]+)", output(["h2load", "--version"]))
    found["nghttpd and h2load"] = match[1] if match else "unknown"
    return found


def normal(name: str) -> str:
    return name.lower().replace("_", "-")


def output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
    except OSError:
        return ""
