"""`python -m tests.soak --time 7200`: runs a soak; with --report, says what a run has found until now.

Exit codes: 0 when nothing is found, also by a report on a run under way; 1 for findings; 2 for a run that was cut and
has found nothing until then.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path


def main() -> int:
    """Run as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--time", type=float, default=7_200.0, help="seconds (7200)")
    parser.add_argument("--rate", type=float, default=25.0, help="operations a second (25)")
    parser.add_argument("--seed", type=int, default=1, help="seed of what goes by chance (1)")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/soak"), help="where samples and logs go (build/soak)"
    )
    parser.add_argument("--servers", default="asgi,native,wsgi,proxy", help="applications, of those four")
    parser.add_argument("--only", default="", help="operations, such as native.topic,polite.get (all)")
    parser.add_argument("--report", action="store_true", help="report on the run in that folder, and run nothing")
    options = parser.parse_args()
    from tests.soak.report import Report
    from tests.soak.soak import Plan, Soak

    folder = options.folder.resolve()
    try:
        if not options.report:
            time_s, rests = options.time, max(6, round(options.time / 300))
            plan = Plan(
                folder=folder,
                rests=rests,
                rest_s=time_s / rests,
                rate=options.rate,
                servers=tuple(options.servers.split(",")),
                only=tuple(filter(None, options.only.split(","))),
                seed=options.seed,
                sample_s=min(30.0, time_s / 20),
                cycle_s=min(55.0, time_s / 4),
            )
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: all processes end, and it reports
            try:
                Soak(plan).run()
            except KeyboardInterrupt:
                print("cut; this is what it found, and `make soak SOAK_ARGS=--report` says it again:", file=sys.stderr)
        report = Report(folder)
    except (FileNotFoundError, BlockingIOError) as error:
        print(error, file=sys.stderr)
        return 2
    print(report)
    return report.code


if __name__ == "__main__":
    sys.exit(main())
