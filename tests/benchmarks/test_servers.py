"""The race of servers and clients: what h2load and /proc say, who takes part, and how long it takes."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from pathlib import Path
from typing import cast

import pytest

from benchmarks import __main__ as command
from benchmarks import budget, peers
from benchmarks.client import race as client_race
from benchmarks.results import Results
from benchmarks.servers import contenders, load, process
from benchmarks.servers import race as server_race
from benchmarks.servers.contenders import BY_NAME, Contender, Course, NotRaced, Running
from benchmarks.servers.scenarios import BY_NAME as SCENARIOS

REPORT = """finished in 1.00s, {rate} req/s, 2.04MB/s
requests: {done} total, {done} started, {done} done, {ok} succeeded, {failed} failed, 0 errored, 0 timeout
status codes: {ok} 2xx, 0 3xx, {bad} 4xx, 0 5xx
traffic: 1.02MB ({data}) total, 100B (100) headers (space savings 90.00%), 26.00KB ({data}) data
"""


def report(done: int = 2000, failed: int = 0, bad: int = 0, ok: int | None = None, data: int = 26_000) -> str:
    ok = done - failed - bad if ok is None else ok
    return REPORT.format(rate=done, done=done, ok=ok, failed=failed, bad=bad, data=data)


def test_h2loads_report_is_read() -> None:
    found = load.read(report(), SCENARIOS["hello-m10"])
    assert (found.rate, found.done, found.fault) == (2000.0, 2000, "")


@pytest.mark.parametrize("text", ["", report(failed=1), report(bad=1), report(done=0), report(data=26_001)])
def test_a_visit_with_a_failure_is_a_fault(text: str) -> None:
    assert load.read(text, SCENARIOS["hello-m10"]).fault


@pytest.mark.parametrize(("data", "is_fault"), [(26_000, False), (25_999, True)])
def test_responses_without_a_reason_phrase_count_by_their_content(data: int, is_fault: bool) -> None:
    """Hypercorn's have none; h2load calls them failed and sees no status. Others than these stay failures."""
    text = report(failed=2000, ok=0, data=data)
    assert bool(load.read(text, SCENARIOS["h1-hello"]).fault) is is_fault
    assert load.read(text, SCENARIOS["hello-m10"]).fault


def test_processor_time_is_read_behind_any_name() -> None:
    stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 200 0 0 31 11 5 6 20 0 1 0 500 1000 50"
    assert process.ticks(stat) == 42
    assert process.pss("Rss:  900 kB\nPss:                 123 kB\nPss_Dirty:  1 kB\n") == 123 * 1024
    with pytest.raises(ValueError, match="no line Pss"):
        process.pss("Rss: 1 kB\n")


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")
def test_what_this_process_uses_is_found() -> None:
    used = process.cpu_seconds(os.getpid())
    tick, end = 1 / os.sysconf("SC_CLK_TCK"), time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert process.cpu_seconds(os.getpid()) - used >= 0.05 - 2 * tick
    assert 0 < process.proportional(os.getpid()) <= process.resident(os.getpid()) * 1.05


def course(folder: Path) -> Course:
    found = Course(folder / "peers", folder, folder / "logs")
    found.log_folder.mkdir(exist_ok=True)
    found.pinned = False
    return found


def test_a_contender_that_cannot_start_is_said_with_the_reason(tmp_path: Path) -> None:
    missing = Contender("a", "{peers}/no-such-server {port}", "")
    broken = Contender("b", "{python} -c raise(SystemExit('no_such_option')) {port}", "")
    not_raced: dict[str, str] = {}
    with contenders.all_running(course(tmp_path), [missing, broken], False, "h2", not_raced) as up:
        assert up == []
    assert not_raced == {"a, h2": "no-such-server is not installed", "b, h2": "it did not start: no_such_option"}
    with pytest.raises(NotRaced):
        contenders.start(course(tmp_path), missing, True, "h1")


@pytest.mark.parametrize("protocol", ["h1", "h2", "ws1", "ws2"])
@pytest.mark.parametrize("tls", [False, True])
def test_every_contender_has_its_command_line(protocol: str, tls: bool, tmp_path: Path) -> None:
    for contender in contenders.CONTENDERS:
        words = course(tmp_path).command(contender, 4321, tls, protocol)
        assert any("4321" in word for word in words)
        assert not any("{" in word for word in words)
        assert any("key.pem" in word for word in words) is tls


def test_the_field_is_that_of_today() -> None:
    """Every one of them has HTTP/1.1 and HTTP/2 by one name or two; nghttpd has no application."""
    names = set(BY_NAME)
    assert names >= {"granian", "uvicorn", "uvicorn-zttp", "hypercorn", "gunicorn", "h2corn", "nghttpd"}
    clients = {name.removesuffix("-sync") for name in client_race.CLIENTS}
    assert clients >= {"httpx2", "httpx", "aiohttp", "niquests", "pyreqwest", "curl_cffi"}
    wanted = {requirement.partition("[")[0].partition(">")[0] for requirement in peers.listed(peers.WANTED.read_text())}
    packages = {each.package for each in contenders.CONTENDERS} - {"", "headrace"}
    assert wanted >= packages | clients - {"headrace", "httpx2-headrace"}


def test_who_takes_part_where() -> None:
    assert not server_race.takes_part(BY_NAME["nghttpd"], SCENARIOS["echo-1k"])
    assert server_race.takes_part(BY_NAME["nghttpd"], SCENARIOS["hello-m1"])
    assert not server_race.takes_part(BY_NAME["granian-rsgi"], SCENARIOS["h1-down-1m"])
    by_name = {each.name: each for each in client_race.SCENARIOS}
    assert "aiohttp" not in client_race.able(by_name["client-h2-50"], client_race.CLIENTS)
    assert "aiohttp" in client_race.able(by_name["client-h1-50"], client_race.CLIENTS)


@pytest.mark.parametrize(("rate", "measures"), [(900.0, {"p50", "p99"}), (1_000.0, {"p50", "p99", "p99.9"})])
def test_a_thousandth_needs_a_thousand_requests(
    rate: float, measures: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator is late in the first server's turn only: that cell is unusable."""
    figures = {"p50": 1.0, "p99": 2.0, "p99.9": 3.0}
    monkeypatch.setattr(
        server_race, "generated", lambda _, __, options, ___: figures | {"late": 5.0 if options[0] == "1" else 0.1}
    )
    none = cast("subprocess.Popen[bytes]", None)
    running = [
        Running(BY_NAME[name], False, none, f"http://127.0.0.1:{port}")
        for port, name in enumerate(("headrace", "granian"), start=1)
    ]
    found = Results({}, {})
    wanted = server_race.Wanted(("latency-h1",), (), rounds=2, seconds=1 / server_race.LATENCY_LENGTH, rate=rate)
    server_race.latency(course(tmp_path), running, "latency-h1", found, wanted)
    (row,) = found.rows
    assert set(row.measures) == measures
    assert [bool(cell.unusable) for cell in row.cells.values()] == [True, False]


def test_rows_are_chosen_by_name_and_by_pattern() -> None:
    options = command.parse(["--only", "hello-m1,client-*", "--rounds", "2", "--seconds", "1"])
    assert options.names == ("hello-m1", *client_race.NAMES)
    assert not set(command.EXTRA.split(",")) & set(command.parse([]).names)
    assert command.parse(["--only", "*"]).names == command.NAMES
    assert set(command.EXTRA.split(",")) | set(command.QUICK.split(",")) <= set(command.NAMES)
    for some in (["--quick"], ["--only", "varied"], ["--servers", "headrace"], ["--clients", "headrace"]):
        with pytest.raises(SystemExit):  # a row that was left out would not be missed in README
            command.parse(["--write-readme", *some])
    for wrong in (["--only", "hallo"], ["--servers", "apache"], ["--rounds", "0"], ["--minutes", "1"]):
        with pytest.raises(SystemExit):
            command.parse(wrong)


def test_the_length_of_a_visit_fits_the_minutes() -> None:
    options = command.parse(["--minutes", "30"])
    took = budget.estimate(options.wanted, options.chosen_clients, options.names, options.wanted.seconds)
    assert took == pytest.approx(30 * 60)
    assert command.parse(["--only", "varied"]).wanted.seconds == command.LONGEST_S  # few rows do not fill the minutes
    more = dataclasses.replace(options.wanted, rounds=options.wanted.rounds + 1)
    assert budget.estimate(more, options.chosen_clients, options.names, options.wanted.seconds) > took


@pytest.mark.parametrize(("seconds", "words"), [(59.4, "0 min 59 s"), (119.6, "2 min 0 s"), (422.0, "7 min 2 s")])
def test_the_budget_is_said_in_minutes(seconds: float, words: str) -> None:
    assert budget.in_words(seconds) == words


def test_what_cannot_be_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "HERE", tmp_path / "benchmarks")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: Path(command[-1]).mkdir(parents=True))
    monkeypatch.setattr(peers, "pip", lambda _, wanted: "no wheel" if "h2corn>=2" in wanted else None)
    for _ in range(2):  # the second time from what was noted at the first
        not_raced: dict[str, str] = {}
        peers.install(not_raced)
        ((name, reason),) = not_raced.items()
        assert name == "h2corn>=2"
        assert reason.startswith("cannot be installed on Python 3.") and reason.endswith(": no wheel")
