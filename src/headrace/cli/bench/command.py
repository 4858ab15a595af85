"""`headrace bench URL`: measures requests per second and latencies, and lists reasons to doubt them."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.cli.errors import EXIT_FAILED, CommandError, UsageError
from headrace.cli.exits import EXIT_INTERRUPTED, EXIT_STATUS, WriteError, fetch_error
from headrace.cli.interrupt import interruptible
from headrace.cli.request_options import (
    FORM,
    ConnectOptions,
    connect_options,
    parse_headers,
    parse_seconds,
    parse_url,
    read_data,
    take_connect_options,
)

if TYPE_CHECKING:
    from headrace.cli.bench.result import BenchResult, Plan
    from headrace.client.interface import Outgoing

_DEFAULT_DURATION_S = 10.0


@click.command(short_help="Measure a server.")
@click.argument("url")
@click.option("-n", "--requests", type=click.IntRange(1), metavar="N", help="End after N requests.")
@click.option("--duration", metavar="SECONDS", help="End after this time, such as 30 or 2m.  [default: 10, without -n]")
@click.option("-c", "--connections", type=click.IntRange(1, 10_000), default=1, metavar="N", help="[default: 1]")
@click.option(
    "-m", "--streams", type=click.IntRange(1, 10_000), default=1, metavar="N",
    help="Requests at once on each connection; always 1 for HTTP/1.1.  [default: 1]",
)  # fmt: skip
@click.option(
    "-r", "--rate", type=click.FloatRange(0, min_open=True), metavar="N",
    help="Open loop: N requests per second in all, whether or not earlier ones are answered; latency counts from the "
    "time a request was due. Without it each request waits for the one before (closed loop).",
)  # fmt: skip
@click.option("--poisson", is_flag=True, help="With --rate: requests are due at random times, as from many users.")
@click.option("--seed", type=int, metavar="N", help="With --poisson: repeat the times of an earlier run.")
@click.option("--warm-up", metavar="SECONDS", default="0", help="Time of load before the measurement.  [default: 0]")
@click.option(
    "--timeout", metavar="SECONDS", default="30", help="Time limit for each phase of a request.  [default: 30]"
)
@click.option("-X", "--request", "method", metavar="METHOD", help="[default: GET, with -d POST]")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="Repeatable; @FILE has one per line."
)
@click.option("-d", "--data", multiple=True, metavar="DATA", help="Content of each request; @FILE is a file.")
@connect_options
@click.option("--loop", "loop_name", type=click.Choice(["auto", "asyncio", "uvloop"]), default="auto",
              help="Event loop of this client; auto is uvloop where it is installed.")  # fmt: skip
@click.option(
    "--json", "json_file", metavar="FILE", help="Write all figures as JSON; - is stdout, instead of the report."
)
@click.option("--chart", "chart_file", metavar="FILE.svg", help="Draw latency by percentile, and requests over time.")
@click.option("--fail", is_flag=True, help=f"Exit with {EXIT_STATUS} when a status was 400 or above.")
@click.option("-q", "--quiet", is_flag=True, help="Show no report and no progress.")
def bench(url: str, **options: Any) -> int:
    """Send requests to URL as fast as it answers, or at a --rate, and report requests per second and latencies.

    Measure your own servers only. -c connections carry -m requests each. The report lists reasons for doubt, above all
    that this client was the bottleneck. Ctrl-C ends early and reports.

    Exit codes: 0, 1 when requests failed, 2 usage, 22 see --fail, 130 interrupted; and those of `headrace get` when no
    connection can be made.
    """
    connect = take_connect_options(options)
    plan, outgoing = _plan(url, options)
    for name in ("json_file", "chart_file"):
        _check_place(options[name])
    result = _run(plan, outgoing, connect, options["loop_name"], is_quiet=options["quiet"])
    result.environment["command"] = shlex.join(["headrace", *sys.argv[1:]])
    _report(result, options["json_file"], options["chart_file"], is_quiet=options["quiet"])
    if result.is_interrupted:
        return EXIT_INTERRUPTED
    if result.tally.failures or not result.tally.answers:
        return EXIT_FAILED
    if options["fail"] and any(status >= 400 for status in result.tally.statuses):
        return EXIT_STATUS
    return 0


def _plan(url: str, options: dict[str, Any]) -> tuple[Plan, Outgoing]:
    from headrace.cli.bench.result import Plan
    from headrace.client.message.request import ClientRequest
    from headrace.client.timeouts import Timeouts

    target = parse_url(url)
    if (options["poisson"] or options["seed"] is not None) and options["rate"] is None:
        raise UsageError("--poisson and --seed are for --rate")
    duration_s = None if options["requests"] else _DEFAULT_DURATION_S
    if options["duration"]:
        duration_s = parse_seconds("--duration", options["duration"])
    timeout = parse_seconds("--timeout", options["timeout"])
    if not timeout:
        raise UsageError("--timeout must be above 0")
    plan = Plan(
        url=target.without_userinfo(),
        method=(options["method"] or ("POST" if options["data"] else "GET")).upper(),
        content=read_data([("data", each) for each in options["data"]]),
        connections=options["connections"],
        streams=options["streams"],
        requests=options["requests"],
        duration_s=duration_s,
        rate=options["rate"],
        is_poisson=options["poisson"],
        seed=options["seed"],
        warm_up_s=parse_seconds("--warm-up", options["warm_up"]),
        timeout_s=timeout,
    )
    if plan.duration_s == 0:
        raise UsageError("--duration must be above 0")
    given, removed = parse_headers(options["headers"])
    named = {name.lower() for name, _ in given} | removed
    defaults = [("user-agent", "headrace-bench"), ("accept", "*/*")]
    if options["data"]:
        defaults.append(("content-type", FORM))
    headers = [pair for pair in defaults if pair[0] not in named] + given
    try:
        request = ClientRequest(
            plan.method, target, headers=headers, content=plan.content,
            timeouts=Timeouts(connect=timeout, tls=timeout, headers=timeout, read=timeout, write=timeout),
        )  # fmt: skip
        return plan, request.outgoing()
    except ValueError as error:
        raise UsageError(str(error)) from None


def _run(plan: Plan, outgoing: Outgoing, connect: ConnectOptions, loop_name: str, *, is_quiet: bool) -> BenchResult:
    from headrace.cli.bench.display import LiveDisplay
    from headrace.cli.bench.report import environment
    from headrace.cli.bench.run import Run
    from headrace.cli.process import loop_factory
    from headrace.cli.terminal import Palette, is_terminal, wants_colour, width_of_terminal
    from headrace.client.connection.driver import ClientDriver, DriverOwner
    from headrace.client.errors import ClientError
    from headrace.client.pool.network import own_connector

    origin = outgoing.origin
    protocols = connect.protocols(origin.scheme)
    try:
        connector = own_connector(connect.network(origin.scheme, idle_timeout_s=86_400.0))
    except ValueError as error:
        raise UsageError(str(error)) from None
    name, factory = loop_factory(loop_name)

    async def connected(owner: DriverOwner) -> ClientDriver:
        return await connector.connect(origin, owner, protocols=protocols, timeouts=outgoing.timeouts)

    async def run() -> BenchResult:
        try:
            return await Run(plan, outgoing, connected, display).run()
        finally:
            await connector.aclose()

    display = LiveDisplay(
        sys.stderr, plan, is_on=is_terminal(sys.stderr) and not is_quiet, palette=Palette(wants_colour(sys.stderr)),
        width=width_of_terminal(),
    )  # fmt: skip
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            result = runner.run(interruptible(run()))
    except ClientError as error:
        raise fetch_error(error) from None
    finally:
        display.clear()
    result.loop = name
    result.environment = environment()
    return result


def _report(result: BenchResult, json_file: str | None, chart_file: str | None, *, is_quiet: bool) -> None:
    from headrace.cli.bench.chart import svg_chart
    from headrace.cli.bench.report import json_report, text_report
    from headrace.cli.terminal import Palette, wants_colour, width_of_terminal

    if chart_file is not None:
        _write(chart_file, svg_chart(result))
    if json_file is not None:
        _write(json_file, json.dumps(json_report(result), indent=2) + "\n")
    if not is_quiet and json_file != "-":
        palette = Palette(wants_colour(sys.stdout))
        _write("-", text_report(result, palette, max(60, min(100, width_of_terminal()))))


def _check_place(file: str | None) -> None:
    """Check a file's folder: an error is better before the load than after it."""
    if file is not None and file != "-" and not Path(file).parent.is_dir():
        raise UsageError(f"{file}: there is no directory {Path(file).parent}")


def _write(file: str, text: str) -> None:
    try:
        if file == "-":
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            Path(file).write_text(text, "utf-8")
    except BrokenPipeError:
        raise WriteError("") from None
    except OSError as error:
        raise CommandError(f"{file}: {(error.strerror or str(error)).lower()}") from None
