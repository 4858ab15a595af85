"""The report of a benchmark, as text for a person and as JSON for a program, with reasons to doubt it."""

from __future__ import annotations

import os
import platform
from typing import Any, Final

from headrace.cli.bench.chart import text_chart
from headrace.cli.bench.latency import PERCENTILES, Histogram
from headrace.cli.bench.result import BenchResult
from headrace.cli.figures import byte_size, count, duration, printable
from headrace.cli.terminal import Palette
from headrace.cli.version import engine_is_compiled, version

BUSY: Final = 0.9  # of a core: with more, this client may limit the figures
_CROWDED: Final = 0.1  # of the time
_SHORT_S: Final = 1.0
_LATE_SHARE: Final = 0.1


def doubts(result: BenchResult) -> list[str]:
    """Return sentences that a reader of the figures must know, the most serious first."""
    tally, plan = result.tally, result.plan
    said = []
    if result.cpu_share >= BUSY:
        said.append(
            f"this client used {result.cpu_share:.0%} of a core: it was itself the bottleneck, and the server may be "
            "faster than this"
        )
    crowded = result.waited_s / result.seconds if result.seconds else 0.0
    if crowded >= _CROWDED:
        said.append(
            f"this client waited for a processor {crowded:.0%} of the time: the machine was busy with something else,"
            " perhaps the server; the latencies contain that"
        )
    if plan.rate is not None:
        if tally.never_begun:
            said.append(
                f"{count(tally.never_begun)} requests were due, but found no room on {plan.connections} × "
                f"{plan.streams} places; they count with the time that they had waited, which is less than they would "
                "have needed"
            )
        lag = tally.lag.percentile(50)
        if tally.lag.count and lag > _LATE_SHARE * tally.latency.percentile(50):
            said.append(
                f"requests began {duration(lag)} late in the median because of this client's own timer; the latencies "
                "contain that"
            )
    if tally.unfinished:
        said.append(f"{count(tally.unfinished)} requests were not answered at the end, and are not in the latencies")
    if result.is_cut_off:
        said.append("the run ended early: no connection could be made any more")
    if result.is_interrupted:
        said.append("the run was interrupted before its end")
    if 0 < result.seconds < _SHORT_S:
        said.append(f"{duration(result.seconds)} is a short time to measure; use -n or --duration for more")
    if not engine_is_compiled():
        said.append("headrace's engine is not compiled here: this client is slower than it could be")
    return said


def text_report(result: BenchResult, palette: Palette, width: int = 80) -> str:
    """Return the report, in lines of at most `width` columns where the figures allow."""
    tally, plan = result.tally, result.plan
    what = "connection" if plan.connections == 1 else "connections"
    shape = f"{plan.connections} {what}" + (f" × {plan.streams} streams" if plan.streams > 1 else "")
    if plan.rate is None:
        loop = "closed loop"
    else:
        loop = f"open loop, {count(plan.rate)}/s {'at random (Poisson)' if plan.is_poisson else 'evenly'}"
    engine = "compiled" if engine_is_compiled() else "pure Python"
    lines = [
        palette.paint("bold", f"{plan.method} {plan.url}"),
        f"HTTP/{result.http_version or '?'}{', ' + result.tls if result.tls else ''}, {shape}, {loop}",
        palette.paint("dim", f"client: {result.loop}, engine {engine}, {result.cpu_share:.0%} of a core"),
        "",
        _row("requests", f"{count(result.answers)} in {duration(result.seconds)}", f"{count(result.requests_per_s)}/s"),
        _row("content", byte_size(result.content), f"{byte_size(result.content_per_s)}/s"),
        _row("status", ", ".join(f"{status}: {count(number)}" for status, number in sorted(tally.statuses.items()))),
    ]
    if tally.answers > result.answers:
        lines.append(_row("", f"{count(tally.answers - result.answers)} of them answered after the end"))
    for kind, number in tally.errors.most_common():
        example = printable(tally.examples.get(kind, ""))
        lines.append(palette.paint("red", _row("error", f"{kind}: {count(number)}, such as: {example}")))
    if not tally.errors:
        lines.append(_row("errors", "none"))
    lines.append("")
    if tally.latency.count:
        lines.append(_row("latency", "from when it was due" if plan.rate else "from when it was begun"))
        lines += _percentile_rows(tally.latency)
        if plan.rate is not None:
            lines += ["", _row("service", "from when it was begun"), *_percentile_rows(tally.service)]
        lines += ["", *text_chart(tally.latency, width)]
    if plan.connections > 1:
        lines += ["", _row("connections", _spread(result))]
    if tally.connect.count:
        p50, p99 = tally.connect.percentiles((50.0, 99.0))
        times = f"{count(tally.connect.count)} times"
        lines.append(_row("connecting", f"p50 {duration(p50)}, p99 {duration(p99)}, {times}"))
    for doubt in doubts(result):
        lines += ["", palette.paint("yellow", f"! {doubt}")]
    return "\n".join(lines) + "\n"


def _row(name: str, *values: str) -> str:
    return f"{name:<12} " + "".join(f"{value:<28}" for value in values).rstrip()


def _percentile_rows(histogram: Histogram) -> list[str]:
    values = histogram.percentiles(PERCENTILES)
    named = [(f"p{percent:g}", value) for percent, value in zip(PERCENTILES, values, strict=True)]
    named += [("max", histogram.longest), ("min", histogram.shortest)]
    named += [("mean", histogram.mean), ("deviation", histogram.deviation)]
    rows = []
    for at in range(0, len(named), 4):
        rows.append("  " + "  ".join(f"{name:>9} {duration(value):>8}" for name, value in named[at : at + 4]))
    return rows


def _spread(result: BenchResult) -> str:
    """Return how evenly connections were served."""
    numbers = sorted(each.requests for each in result.tally.connections)
    middle = numbers[len(numbers) // 2]
    text = f"{count(numbers[0])} to {count(numbers[-1])} requests each, median {count(middle)}"
    again = sum(max(0, each.connects - 1) for each in result.tally.connections)
    return text + (f"; {count(again)} were made again" if again else "")


def environment() -> dict[str, Any]:
    """Return the environment of the run, on which its figures depend besides the server."""
    return {
        "headrace": version(),
        "engine": "compiled" if engine_is_compiled() else "pure",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def json_report(result: BenchResult) -> dict[str, Any]:
    """Return all figures. Times are in seconds, content in bytes."""
    tally, plan = result.tally, result.plan
    return {
        "url": plan.url,
        "method": plan.method,
        "http_version": result.http_version,
        "tls": result.tls or None,
        "address": result.address,
        "mode": "closed" if plan.rate is None else "open",
        "rate": plan.rate,
        "arrivals": None if plan.rate is None else "poisson" if plan.is_poisson else "even",
        "connections": plan.connections,
        "streams": plan.streams,
        "warm_up_s": plan.warm_up_s,
        "content_sent_bytes": len(plan.content),
        "seconds": result.seconds,
        "requests": result.answers,
        "late": tally.answers - result.answers,
        "requests_per_s": result.requests_per_s,
        "content_bytes": result.content,
        "content_bytes_per_s": result.content_per_s,
        "statuses": {str(status): number for status, number in sorted(tally.statuses.items())},
        "errors": dict(tally.errors),
        "error_examples": tally.examples,
        "never_begun": tally.never_begun,
        "unfinished": tally.unfinished,
        "interrupted": result.is_interrupted,
        "cut_off": result.is_cut_off,
        "latency_s": _json_histogram(tally.latency),
        "service_s": _json_histogram(tally.service) if plan.rate is not None else None,
        "start_lag_s": _json_histogram(tally.lag) if plan.rate is not None else None,
        "connect_s": _json_histogram(tally.connect),
        "per_connection": [vars(each) for each in tally.connections],
        "intervals": [each._asdict() for each in tally.intervals],
        "client": {
            "cpu_s": result.cpu_s,
            "waited_s": result.waited_s,
            "cpu_share": result.cpu_share,
            "loop": result.loop,
        },
        "doubts": doubts(result),
        "environment": result.environment,
    }


def _json_histogram(histogram: Histogram) -> dict[str, float | int] | None:
    if not histogram.count:
        return None
    values = histogram.percentiles(PERCENTILES)
    found: dict[str, float | int] = {f"p{percent:g}": value for percent, value in zip(PERCENTILES, values, strict=True)}
    found |= {
        "min": histogram.shortest,
        "max": histogram.longest,
        "mean": histogram.mean,
        "deviation": histogram.deviation,
        "count": histogram.count,
    }
    return found
