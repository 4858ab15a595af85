"""The cases by the clock. Run by `python -m benchmarks.micro`, or alone, with pyperf's own options.

What a case needs is made before its clock starts, fresh for every loop, so that remembered state helps as it does on a
real connection and no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pyperf

from benchmarks.micro import cases
from benchmarks.micro.case import Case


def timed(case: Case) -> Callable[[int], float]:
    """Return what pyperf calls: a function that does a case's work `loops` times, and returns the seconds it took."""

    def run(loops: int) -> float:
        spent = 0.0
        for _ in range(loops):
            work = case.make()
            begin = time.perf_counter()
            work()
            spent += time.perf_counter() - begin
        return spent

    return run


def main() -> None:
    runner = pyperf.Runner(processes=3, values=5)
    runner.metadata["description"] = "the protocol engine of headrace, and a server's connections on it"
    for case in cases.every():
        runner.bench_time_func(case.name, timed(case), inner_loops=case.units)


if __name__ == "__main__":
    main()
