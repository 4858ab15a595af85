"""`headrace bench` against servers: our own, and servers that fail, disappear or do not answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace import Request, Response
from headrace.cli.bench import place as bench_place
from headrace.cli.bench import run as bench_run
from headrace.cli.bench.alarm import LoopAlarm, make_alarm
from headrace.cli.bench.result import BenchResult, Interval, Plan
from headrace.cli.errors import UsageError
from headrace.cli.request_options import parse_seconds
from headrace.client.connect.config import NetworkConfig
from headrace.client.connection.driver import ClientDriver
from headrace.client.interface import Origin, Outgoing
from headrace.client.pool.network import own_connector
from headrace.client.timeouts import Timeouts

from tests.cli.command import environment
from tests.cli.get.fetching import Run, answering, runner, unused_port
from tests.support.process import Served
from tests.support.process import serving as process_serving
from tests.support.serving import Run as LoopRun
from tests.support.serving import port, run, serving

__all__ = ["run"]
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with process_serving("tests.cli.get.fetched:app", tls=True) as served:
        yield served


@pytest.fixture
def bench(capfd: pytest.CaptureFixture[str]) -> Run:
    run_it = runner(capfd)
    return lambda *arguments: run_it("bench", *arguments)


# -- as a command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "scheme", "version"),
    [
        ((), "http", "1.1"), (("--h2c", "-m", "10"), "http", "2"), (("-k", "-m", "10"), "https", "2"),
        (("-k", "--http1"), "https", "1.1"), (("--h2c", "--loop", "asyncio"), "http", "2"),
    ],
)  # fmt: skip
def test_every_request_is_counted_once(
    server: Served, bench: Run, flags: tuple[str, ...], scheme: str, version: str
) -> None:
    done = bench("-n", "500", "-c", "3", "--json", "-", *flags, server.url("/hello/you", scheme))
    assert done.code == 0, done
    report = json.loads(done.out)
    assert (report["requests"], report["statuses"], report["errors"]) == (500, {"200": 500}, {})
    assert report["http_version"] == version
    assert report["content_bytes"] == 500 * len("hello you\n")
    assert sum(each["requests"] for each in report["per_connection"]) == 500
    assert [each["connects"] for each in report["per_connection"]] == [1, 1, 1]
    assert report["latency_s"]["count"] == 500
    assert 0 < report["latency_s"]["min"] <= report["latency_s"]["p50"] <= report["latency_s"]["max"]
    assert report["connect_s"]["count"] == 3
    assert report["environment"]["command"].split()[0] == "headrace"
    assert {"python", "platform", "cores", "engine", "headrace"} < set(report["environment"])
    assert report["client"]["loop"] == ("asyncio" if "asyncio" in flags else "uvloop")


def test_the_open_loop_asks_at_its_rate(server: Served, bench: Run) -> None:
    done = bench("-n", "100", "--rate", "1000", "--poisson", "--seed", "1", "-m", "50", "--h2c", "--json", "-",
                 server.url("/hello/you"))  # fmt: skip
    report = json.loads(done.out)
    assert (done.code, report["mode"], report["arrivals"], report["requests"]) == (0, "open", "poisson", 100)
    assert report["latency_s"]["count"] == report["service_s"]["count"] == 100
    assert report["latency_s"]["mean"] >= report["service_s"]["mean"]


def test_the_report_and_the_chart(server: Served, bench: Run, tmp_path: Path) -> None:
    done = bench("-n", "50", "-d", "a=1", "-H", "x-a: b", "--chart", str(tmp_path / "a.svg"), server.url("/echo"))
    assert done.code == 0
    assert done.err == ""
    assert f"POST {server.url('/echo')}" in done.out
    assert re.search(r"^requests +50 in ", done.out, re.M)
    assert re.search(r"^status +200: 50$", done.out, re.M)
    assert "p99.9" in done.out
    assert "\x1b" not in done.out
    assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")


def test_a_duration_ends_it(server: Served, bench: Run) -> None:
    done = bench(
        "--duration", "300ms", "--warm-up", "100ms", "-m", "5", "--h2c", "--json", "-", server.url("/hello/you")
    )
    report = json.loads(done.out)
    assert done.code == 0
    assert report["requests"] > 0
    assert report["warm_up_s"] == 0.1
    assert report["late"] <= 5
    assert report["seconds"] >= 0.3


def test_failing_statuses_are_answers(server: Served, bench: Run) -> None:
    arguments = ("-n", "20", "-q", server.url("/status/503"))
    assert bench(*arguments) == (0, "", "")
    assert bench("--fail", *arguments).code == 22


def test_resets_are_errors_by_their_kind(server: Served, bench: Run) -> None:
    done = bench("-n", "20", "-m", "4", "--h2c", "--json", "-", server.url("/breaks"))
    report = json.loads(done.out)
    assert (done.code, report["requests"], report["errors"]) == (1, 0, {"StreamReset": 20})
    assert "INTERNAL_ERROR" in report["error_examples"]["StreamReset"]
    assert bench("-n", "20", "-m", "4", "--h2c", server.url("/breaks")).out.count("StreamReset: 20") == 1


def test_a_server_that_closes_each_connection(bench: Run) -> None:
    with answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok") as url:
        done = bench("-n", "20", "-c", "2", "--json", "-", url)
    report = json.loads(done.out)
    assert (done.code, report["statuses"]) == (0, {"200": 20})
    assert sum(each["connects"] for each in report["per_connection"]) >= 20


def test_no_answer_in_time(bench: Run) -> None:
    with answering(closes=False) as url:
        done = bench("-n", "2", "--timeout", "50ms", "--json", "-", url)
    assert (done.code, json.loads(done.out)["errors"]) == (1, {"HeadersTimeout": 2})


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--poisson",), 2, "--poisson and --seed are for --rate"),
        (("--duration", "soon"), 2, "--duration 'soon' is not a time"),
        (("--duration", "0"), 2, "--duration must be above 0"),
        (("--timeout", "0"), 2, "--timeout must be above 0"),
        (("--json", "/missing/a"), 2, "/missing/a: there is no directory /missing"),
        (("--chart", "/missing/a"), 2, "/missing/a: there is no directory /missing"),
        (("-n", "0"), 2, "invalid value for '-n'"),
        (("-H", "a b: c"), 2, ""),
        (("--http1", "--h2c"), 2, "--http1, --http2 and --h2c exclude each other"),
        ((), 7, "no connection to 127.0.0.1"),
    ],
)  # fmt: skip
def test_what_cannot_be_begun_is_one_sentence(bench: Run, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    done = bench(*arguments, f"http://127.0.0.1:{unused_port()}/")
    (line,) = done.err.splitlines()
    assert (done.code, line[: len("headrace: " + sentence)], done.out) == (code, "headrace: " + sentence, "")


def test_a_certificate_is_checked(server: Served, bench: Run) -> None:
    done = bench("-n", "1", server.url("/", "https"))
    assert done.code == 35
    assert "certificate" in done.err


def test_a_terminal_sees_it_live_and_ctrl_c_reports_what_there_is(server: Served) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", "bench", "--duration", "1h", "--json", "-", server.url("/hello/you")],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=slave, env=environment({"TERM": "xterm"}),
    )  # fmt: skip
    os.close(slave)
    with process:
        shown = b""
        while not re.search(rb"\x1b\[2K\[ +\] .*/s  p50 ", shown):
            shown += os.read(master, 65_536)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_S)
    os.close(master)
    report = json.loads(out)
    assert (process.returncode, report["interrupted"]) == (130, True)
    assert report["requests"] > 0
    assert "the run was interrupted before its end" in report["doubts"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("1.5", 1.5), ("300ms", 0.3), ("10s", 10.0), ("2m", 120.0), ("1h", 3600.0), ("0", 0.0)]
)
def test_times(text: str, seconds: float) -> None:
    assert parse_seconds("--x", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "-1", "1d", "inf", "nan", "1e9"])
def test_no_times(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        parse_seconds("--x", text)


# -- the run, with a server in the same event loop -------------------------------------------------------------------


class Silent:
    def warm_up(self, now: float) -> None: ...
    def show(self, now: float, done: int, errors: int, last: Interval) -> None: ...


def outgoing(number: int, *, timeout_s: float = 10.0) -> Outgoing:
    origin = Origin("http", "127.0.0.1", number)
    timeouts = Timeouts(headers=timeout_s, read=timeout_s)
    return Outgoing(b"GET", origin, b"a.test", b"/", [(b"accept", b"*/*")], timeouts=timeouts)


async def load(
    number: int, plan: Plan, *, clock: Callable[[], float] | None = None, connect: bench_run.Connect | None = None
) -> BenchResult:
    """Run `plan` over HTTP/2 against the port `number`."""
    connector = own_connector(NetworkConfig(http1=False, trust_env=False))
    request = outgoing(number, timeout_s=plan.timeout_s)

    async def connected(owner: Any) -> ClientDriver:
        return await connector.connect(request.origin, owner, protocols="h2")

    options: dict[str, Any] = {} if clock is None else {"clock": clock}
    return await bench_run.Run(plan, request, connect or connected, Silent(), **options).run()


class Gate:
    """A handler that holds requests back, and counts them."""

    def __init__(self) -> None:
        self.most = 0
        self.waiting: list[asyncio.Future[None]] = []
        self.is_open = False

    async def __call__(self, request: Request) -> Response:
        if not self.is_open:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append(waiter)
            self.most = max(self.most, len(self.waiting))
            await waiter
        return Response.text("ok")

    def open(self) -> None:
        self.is_open = True
        for waiter in self.waiting:
            waiter.set_result(None)


@contextlib.asynccontextmanager
async def gated() -> AsyncIterator[tuple[Gate, int]]:
    gate = Gate()
    async with serving(gate) as server:
        yield gate, port(server)


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_true():
            await asyncio.sleep(0.001)


def test_a_closed_loop_has_as_many_under_way_as_it_says(run: LoopRun) -> None:
    async def check() -> None:
        async with gated() as (gate, number):
            plan = Plan("http://a/", connections=2, streams=3, requests=20, duration_s=None)
            task = asyncio.ensure_future(load(number, plan))
            await until(lambda: len(gate.waiting) == 6)
            gate.open()
            result = await task
            assert (gate.most, result.tally.answers, result.tally.unfinished) == (6, 20, 0)

    run(check())


def test_the_open_loop_counts_from_when_a_request_was_due(run: LoopRun) -> None:
    """One place, and a server that holds the first request back: those due meanwhile begin late, and their latency
    counts from the due time. Otherwise they would look fast: coordinated omission."""

    async def check() -> None:
        async with gated() as (gate, number):
            plan = Plan("http://a/", rate=100.0, requests=20, duration_s=None)
            task = asyncio.ensure_future(load(number, plan))
            await until(lambda: len(gate.waiting) == 1)
            loop = asyncio.get_running_loop()
            held_until = loop.time() + 0.3
            await asyncio.sleep(0.3)
            assert loop.time() >= held_until - 0.002
            gate.open()
            tally = (await task).tally
            assert (tally.answers, tally.latency.count, tally.service.count) == (20, 20, 20)
            # One was due each 10 ms of 0.2 s, and none could begin for 0.3 s: together they waited 4 s.
            assert tally.latency.total - tally.service.total > 1.0

    run(check())


def test_what_found_no_room_until_the_end_is_counted_with_its_wait(run: LoopRun) -> None:
    async def check() -> None:
        async with gated() as (gate, number):
            plan = Plan("http://a/", rate=100.0, duration_s=0.2)
            task = asyncio.ensure_future(load(number, plan))
            await until(lambda: len(gate.waiting) == 1)
            await asyncio.sleep(0.25)
            gate.open()
            tally = (await task).tally
            assert (tally.answers, tally.never_begun, tally.unfinished) == (1, 19, 0)
            assert tally.latency.count == 20
            assert tally.latency.longest > 0.19

    run(check())


def test_what_is_not_answered_in_time_is_told(run: LoopRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_run, "_LAST_ANSWERS_S", 0.05)

    async def check() -> None:
        async with gated() as (_, number):
            tally = (await load(number, Plan("http://a/", streams=4, duration_s=0.05))).tally
            assert (tally.answers, tally.unfinished, tally.failures) == (0, 4, 0)

    run(check())


def test_a_connection_that_is_lost_is_replaced_and_what_it_carried_are_errors(run: LoopRun) -> None:
    async def check() -> None:
        async with gated() as (gate, number):
            drivers: list[ClientDriver] = []
            connector = own_connector(NetworkConfig(http1=False, trust_env=False))

            async def connected(owner: Any) -> ClientDriver:
                driver = await connector.connect(outgoing(number).origin, owner, protocols="h2")
                drivers.append(driver)
                return driver

            plan = Plan("http://a/", streams=3, requests=10, duration_s=None)
            task = asyncio.ensure_future(load(number, plan, connect=connected))
            await until(lambda: len(gate.waiting) == 3)
            assert drivers[0].transport is not None
            drivers[0].transport.abort()
            gate.is_open = True
            result = await task
            assert len(drivers) == 2
            assert (result.tally.answers, result.tally.failures) == (7, 3)
            assert set(result.tally.errors) == {"ConnectionLost"}
            assert result.tally.connections[0].connects == 2

    run(check())


def test_a_server_that_drains_loses_no_request(run: LoopRun) -> None:
    async def check() -> None:
        async with gated() as (gate, number), gated() as (other, second):
            other.is_open = True
            connector = own_connector(NetworkConfig(http1=False, trust_env=False))
            ports = iter([number, second, second])

            async def connected(owner: Any) -> ClientDriver:
                return await connector.connect(outgoing(next(ports)).origin, owner, protocols="h2")

            plan = Plan("http://a/", streams=3, requests=10, duration_s=None)
            task = asyncio.ensure_future(load(number, plan, connect=connected))
            await until(lambda: len(gate.waiting) == 3)
            gate.waiting[0].get_loop().call_soon(gate.open)
            result = await task
            assert (result.tally.answers, result.tally.failures) == (10, 0)

    run(check())


def test_it_ends_when_nobody_can_be_reached_any_more(run: LoopRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_place, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(bench_place, "_LONGEST_PAUSE_S", 0.01)

    async def check() -> None:
        async with gated() as (gate, number):
            connector = own_connector(NetworkConfig(http1=False, trust_env=False))
            ports = iter([number])
            drivers: list[ClientDriver] = []

            async def connected(owner: Any) -> ClientDriver:
                driver = await connector.connect(outgoing(next(ports, unused)).origin, owner, protocols="h2")
                drivers.append(driver)
                return driver

            unused = unused_port()
            plan = Plan("http://a/", streams=1, requests=10, duration_s=None)
            task = asyncio.ensure_future(load(number, plan, connect=connected))
            await until(lambda: len(gate.waiting) == 1)
            assert drivers[0].transport is not None
            drivers[0].transport.abort()
            result = await task
            assert (result.is_cut_off, result.tally.answers) == (True, 0)
            assert result.tally.errors["ConnectError"] >= 1

    run(check())


def test_the_warm_up_is_not_counted(run: LoopRun) -> None:
    async def check() -> None:
        begun = 0

        async def app(request: Request) -> Response:
            nonlocal begun
            begun += 1
            return Response.text("ok")

        async with serving(app) as server:
            for rate in (None, 200.0):
                begun = 0
                plan = Plan("http://a/", warm_up_s=0.1, requests=10, duration_s=None, rate=rate)
                result = await load(port(server), plan)
                assert begun > 10
                assert 10 <= result.tally.answers <= 11  # the last one of the warm-up may end within the measurement

    run(check())


@pytest.mark.parametrize("make", [make_alarm, LoopAlarm])
def test_an_alarm_calls_once_at_its_time(run: LoopRun, make: Any) -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        called: list[float] = []
        rang = asyncio.Event()

        def on_time() -> None:
            called.append(time.monotonic())
            rang.set()

        alarm = make(loop, on_time)
        alarm.set(time.monotonic() + 3600)
        alarm.set(due := time.monotonic() + 0.02)
        await asyncio.wait_for(rang.wait(), PATIENCE_S)
        assert len(called) == 1
        assert called[0] >= due - 0.0015
        rang.clear()
        alarm.set(time.monotonic() - 1.0)
        await asyncio.wait_for(rang.wait(), PATIENCE_S)
        assert len(called) == 2
        alarm.close()
        alarm.close()

    run(check())
