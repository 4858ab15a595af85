"""What a million requests leave in the client's memory: `python -m benchmarks.client --requests 1000000`.

headrace's client makes a tenth of them, and then all in a new process, 50 at a time over HTTP/2, from nghttpd.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.client.race import SCENARIOS, turn_of
from benchmarks.results import Cell
from benchmarks.servers import contenders


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    options = parser.parse_args()
    scenario = next(each for each in SCENARIOS if each.name == "client-h2-50")
    with tempfile.TemporaryDirectory() as folder:
        course = contenders.Course(Path(), Path(folder), Path(folder))
        course.prepare()
        with contenders.all_running(course, [contenders.BY_NAME["nghttpd"]], False, "h2", {}) as up:
            for count in (options.requests // 10, options.requests) if up else ():
                cell = Cell()
                turn_of(course, "headrace", scenario, up[0], f"{count}x", cell)
                print(cell.fault or f"{count:>10,} requests: {cell.median('memory'):.1f} MiB resident")


if __name__ == "__main__":
    main()
