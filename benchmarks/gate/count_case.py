"""Does the work of one case, and tells callgrind when to count. Run by `benchmarks.gate.counting`, under valgrind.

    valgrind --tool=callgrind --instr-atstart=no --collect-atstart=no python -m benchmarks.gate.count_case MARKS CASE

MARKS is the library made from `marks.c`. Without valgrind its calls do nothing.
"""

from __future__ import annotations

import ctypes
import gc
import sys

from headrace.engine.build import engine_is_compiled

from benchmarks.micro import cases

WARM = 3  # times without counting: caches fill, and Python specialises its byte code
COUNTED = 3


def main() -> None:
    marks = ctypes.CDLL(sys.argv[1])
    if not engine_is_compiled():
        raise SystemExit("the engine is not compiled")
    case = cases.named(sys.argv[2])
    gc.disable()  # one collection more or less would be most of a difference
    for _ in range(WARM):
        case.make()()
    marks.start()
    for _ in range(COUNTED):
        work = case.make()
        marks.toggle()
        work()
        marks.toggle()
    print(f"units {COUNTED * case.units}")


if __name__ == "__main__":
    main()
