"""`make micro`: every case on the installed engine and on pure Python (src/), side by side in a table."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pyperf

ROOT: Final = Path(__file__).resolve().parents[2]
SUITE: Final = Path(__file__).with_name("suite.py")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.micro", description="Time the engine, compiled and pure."
    )
    parser.add_argument("--fast", action="store_true", help="fewer values: seconds instead of minutes")
    parser.add_argument("--out", default=str(ROOT / "benchmarks/results"), help="where the report goes")
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    kinds = {kind(""): "", kind(str(ROOT / "src")): str(ROOT / "src")}
    suites = {name: run(path, out / f"micro-{name}.json", options.fast) for name, path in kinds.items()}
    text = table(suites)
    (out / "micro.md").write_text(text, "utf-8")
    print(text)
    return 0


def environment(path: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, str(ROOT)]))}


def kind(path: str) -> str:
    """`compiled` or `pure`: how the engine that `path` leads to runs."""
    code = "from headrace.cli.version import engine_is_compiled as c; print('compiled' if c() else 'pure')"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment(path), capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def run(path: str, file: Path, fast: bool) -> pyperf.BenchmarkSuite:
    file.unlink(missing_ok=True)
    command = [
        sys.executable,
        str(SUITE),
        "-o",
        str(file),
        "--quiet",
        "--inherit-environ=PYTHONPATH",
        *(["--fast"] if fast else []),
    ]
    subprocess.run(command, env=environment(path), check=True)
    return pyperf.BenchmarkSuite.load(str(file))


def table(suites: dict[str, pyperf.BenchmarkSuite]) -> str:
    lines = ["| time of one | " + " | ".join(suites) + " | ratio |", "|---" * (len(suites) + 2) + "|"]
    first = next(iter(suites.values()))
    for bench in first.get_benchmarks():
        each = [suite.get_benchmark(bench.get_name()) for suite in suites.values()]
        cells = [f"{b.format_value(b.median())} ± {b.stdev() / b.mean():.0%}" for b in each]
        ratio = f"{each[-1].median() / each[0].median():.1f}" if len(each) > 1 else ""
        lines.append(f"| {bench.get_name()} | " + " | ".join(cells) + f" | {ratio} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
