"""What a soak's report finds in samples and logs, each finding with its control: a run that is flat has none."""

from __future__ import annotations

import contextlib
import io
import json
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.soak.__main__ import main
from tests.soak.logs import Row, unexpected
from tests.soak.processes import PORTS, TOGETHER, free_ports
from tests.soak.report import LIMITS, Limit, Report
from tests.soak.soak import Plan, Soak
from tests.soak.trend import theil_sen, warmed_up

Change = Callable[[int, dict[str, Any]], None]

FLAT = {
    "pid": 7,
    "fds": 10,
    "tasks": 2,
    "threads": 3,
    "objects": 30_000,
    "blocks": 200_000,
    "heap": 9_000,
    "uss": 20_000,
    "rss": 1,
    "pss": 1,
}
RESTS = 20
SHARES = {"polite.get": 0.5, "polite.crash": 0.3, "rude_h2.reset": 0.2}
WARNING = "2026-11-30T10:00:00.000Z warning headrace.protocol: 127.0.0.1:1: "


def report(folder: Path, change: Change | None = None, *, log: str = "", end: dict[str, Any] | None = None) -> Report:
    """Return the report on a run of two servers and the load, all flat but for what `change` does to each record."""
    records = [{"kind": "plan", "at": 0, "rate": 1.0, "rest_s": 300.0}]
    done = dict.fromkeys(SHARES, 0)
    for number in range(RESTS):
        done = {name: count + 100 for name, count in done.items()}
        record: dict[str, Any] = {
            "kind": "rest", "at": number * 300, "servers": {"asgi": {**FLAT}, "wsgi": {**FLAT}},
            "load": {**FLAT, "done": done, "shares": SHARES, "failed": {}, "failures": [], "skipped": 0, "faults": []},
        }  # fmt: skip
        if change is not None:
            change(number, record)
        records.append(record)
    ended = {"codes": {"asgi": 0}, "drains": {"codes": [0], "seconds": [0.1]}, **(end or {})}
    records.append({"kind": "end", "at": RESTS * 300, "load": records[-1]["load"], **ended})
    (folder / "samples.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    (folder / "asgi.log").write_text(log)
    return Report(folder)


def test_a_flat_run_has_no_findings(tmp_path: Path) -> None:
    found = report(tmp_path, log="2026-11-30T10:00:00.000Z info headrace: stopped\n")
    assert found.findings == []
    assert str(found).endswith(" 0 failed, 20 rests: flat")


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.figure)
@pytest.mark.parametrize("process", ["wsgi", "load"])
def test_growth_beyond_a_limit_is_found_in_each_process(tmp_path: Path, limit: Limit, process: str) -> None:
    def growing(by: float) -> Change:
        def change(number: int, record: dict[str, Any]) -> None:
            figures = record["load"] if process == "load" else record["servers"][process]
            figures[limit.figure] += by * number

        return change

    kept = len(warmed_up([(number, 0) for number in range(RESTS)])) - 1  # steps in the window
    allowed = limit.allowed(kept * 300.0, kept * 100 * len(SHARES))
    (finding,) = report(tmp_path, growing(allowed * 1.2 / kept)).findings
    assert finding.startswith(f"{process}: {limit.figure} have grown")
    assert report(tmp_path, growing(allowed * 0.8 / kept)).findings == []


def brief(number: int, record: dict[str, Any]) -> None:
    """Make the run one of half a minute: rests five seconds apart, with 130 operations in between."""
    record["at"] = number * 5
    record["load"]["done"] = {"polite.get": 130 * number}
    record["load"]["shares"] = {}


@pytest.mark.parametrize(
    ("figure", "steps", "is_kept"),
    [
        ("objects", [0, 36, 85, 82, 185, 160], True),  # the noisiest run
        ("objects", [360 / 3 * number for number in range(6)], False),  # a scope kept for each request, measured
        ("threads", [0, 0, 0, 1, 2, 3], True),  # a pool that fills late
        ("threads", [25 * number for number in range(6)], False),
    ],
)
def test_a_short_run_is_judged_by_its_operations(
    tmp_path: Path, figure: str, steps: list[float], is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(number: int, record: dict[str, Any]) -> None:
        brief(number, record)
        record["servers"]["asgi"][figure] += steps[number]

    monkeypatch.setattr("tests.soak.test_report.RESTS", len(steps))
    found = [each for each in report(tmp_path, change).findings if "have grown" in each]
    assert [each.partition(" have")[0] for each in found] == ([] if is_kept else [f"asgi: {figure}"])


def test_growth_that_ends_with_the_warm_up_is_none(tmp_path: Path) -> None:
    def change(number: int, record: dict[str, Any]) -> None:
        record["servers"]["asgi"]["objects"] += 10_000 * min(number, RESTS // 4)

    assert report(tmp_path, change).findings == []


def fail(number: int, record: dict[str, Any]) -> None:
    record["load"]["failed"] = {"polite.get": 1}
    record["load"]["failures"] = ["10:00:00 polite.get: Wrong: b in answer to a"]


def hold(number: int, record: dict[str, Any]) -> None:
    record["servers"]["asgi"]["headrace_connections_open"] = 1.0 if number == 5 else 0.0


def start_anew(number: int, record: dict[str, Any]) -> None:
    record["servers"]["wsgi"]["pid"] += number > 5


def skip(number: int, record: dict[str, Any]) -> None:
    record["load"]["skipped"] = 3


def upset(number: int, record: dict[str, Any]) -> None:
    record["load"]["faults"] = ["Task exception was never retrieved"]


def idle(number: int, record: dict[str, Any]) -> None:
    record["load"]["done"] = dict.fromkeys(record["load"]["done"], 0)


def miss(number: int, record: dict[str, Any]) -> None:
    record["load"]["done"] = record["load"]["done"] | {"rude_h2.reset": 0}


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        (fail, "b in answer to a"),
        (hold, "at 1500 s, at rest, {'headrace_connections_open': 1.0}"),
        (start_anew, "wsgi: it was started anew"),
        (skip, "3 operations were not begun"),
        (upset, "never retrieved"),
        (idle, "only 0 operations were done; 6000 were to be begun"),
        (miss, "no rude_h2.reset at all"),
    ],
)
def test_what_else_goes_wrong_is_found(tmp_path: Path, change: Change, sign: str) -> None:
    assert sign in "\n".join(report(tmp_path, change).findings)


@pytest.mark.parametrize(
    ("end", "sign"),
    [
        ({"codes": {"asgi": 1}}, "asgi: exit code 1"),
        ({"drains": {"codes": [0, -9], "seconds": [1.0]}}, "drained servers: exit codes"),
        ({"drains": {"codes": [0], "seconds": [13.0]}}, "a drain took 13.0 s"),
    ],
)
def test_a_bad_end_is_found(tmp_path: Path, end: dict[str, Any], sign: str) -> None:
    assert sign in "\n".join(report(tmp_path, end=end).findings)


def test_a_run_that_was_cut_has_its_figures(tmp_path: Path) -> None:
    assert report(tmp_path).code == 0
    file = tmp_path / "samples.jsonl"
    file.write_text(file.read_text()[:-20])
    cut = Report(tmp_path)
    assert (cut.findings, cut.code) == ([], 2)
    assert str(cut).endswith(" so far: flat; the run was cut")
    assert len(cut.trends) == 3 * len(LIMITS)


def test_a_run_under_way_has_not_failed(tmp_path: Path) -> None:
    """A report knows it by the lock, which goes with its process. A second run there is refused."""
    soak = Soak(Plan(folder=tmp_path))
    soak._write("plan", rate=1.0, rest_s=300.0)
    under_way = Report(tmp_path)
    assert (under_way.findings, under_way.code) == ([], 0)
    assert str(under_way).endswith(": so far: nothing found, and too short for a slope; the run is under way")
    with pytest.raises(BlockingIOError, match="another soak is under way"):
        Soak(Plan(folder=tmp_path))
    soak._file.close()
    assert Report(tmp_path).state == "cut"


def test_a_run_begins_without_what_earlier_ones_left(tmp_path: Path) -> None:
    report(tmp_path, log="Segmentation fault")
    Soak(Plan(folder=tmp_path))._file.close()
    assert (tmp_path / "samples.jsonl").read_text() == ""
    assert list(tmp_path.glob("*.log")) == []


def test_a_report_without_a_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["soak", "--report", "--folder", str(tmp_path)])
    with contextlib.redirect_stderr(said):
        assert main() == 2
    assert said.getvalue() == f"there is no run in {tmp_path}: `make soak` begins one\n"


def test_ctrl_c_ends_a_run_with_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(self: Soak) -> None:
        self._write("plan", rate=1.0, rest_s=300.0)
        self._file.close()
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["soak", "--folder", str(tmp_path)])
    monkeypatch.setattr(Soak, "run", cut)
    said, told = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(said):
            assert main() == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "make soak SOAK_ARGS=--report" in told.getvalue() and told.getvalue().count("\n") == 1
    assert said.getvalue().endswith("; the run was cut\n")


def test_no_port_is_one_that_the_kernel_hands_out() -> None:
    """Otherwise a connection may have the port of a server that is about to be started anew."""
    ports = free_ports(3) + free_ports(3)
    assert len(set(ports)) == 6 and set(ports) <= set(PORTS)
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if given.exists():
        assert max(PORTS) < int(given.read_text().split()[0])


@pytest.mark.skipif(not TOGETHER, reason="needs Linux, and setpriv of util-linux")
def test_a_process_ends_with_the_one_that_started_it() -> None:
    """However that one ends: it is killed here, and then nobody has the pipe any more."""
    child = [*TOGETHER, sys.executable, "-c", "import time; print('up', flush=True); time.sleep(30)"]
    starts = f"import subprocess, sys; subprocess.Popen({child}); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", starts], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        parent.kill()
        assert select.select([parent.stdout], [], [], 20)[0] and parent.stdout.read() == b""


@pytest.mark.parametrize("rests", range(3))
def test_a_run_that_has_only_begun_can_be_reported(tmp_path: Path, rests: int) -> None:
    report(tmp_path)
    file = tmp_path / "samples.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[: 1 + rests]))
    assert str(Report(tmp_path)).endswith("so far: nothing found, and too short for a slope; the run was cut")


def test_a_run_that_ended_needs_a_slope(tmp_path: Path) -> None:
    report(tmp_path)
    file = tmp_path / "samples.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:3], lines[-1]]))
    assert "there are fewer than three rests after the warm-up: no slope" in Report(tmp_path).findings


def test_a_line_of_the_log_needs_a_cause(tmp_path: Path) -> None:
    """The load had 2,000 requests that the application fails for: one line more is not its doing."""
    line = WARNING.replace("warning", "error") + "the handler failed: tests.soak.apps.Wanted: asked for by 0a1b\n"
    causes = 100 * RESTS
    assert report(tmp_path, log=line * causes).findings == []
    (finding,) = report(tmp_path, log=line * (causes + 1)).findings
    assert "2001 lines" in finding


def test_lines_that_no_row_explains_are_found_with_their_tracebacks() -> None:
    expected = WARNING + "a request line beyond 8,192 bytes (limit request_line, RFC 9112 §3)"
    traceback = ["    Traceback (most recent call last):", "    ValueError: x"]
    strange = WARNING + "something else"
    seen: Counter[Row] = Counter()
    assert unexpected([expected, *traceback, strange, *traceback, "Segmentation fault"], seen) == [
        strange, *traceback, "Segmentation fault",
    ]  # fmt: skip
    assert seen.total() == 1


def test_a_slope_is_the_median_of_all_pairs() -> None:
    straight = [(float(x), 2.0 * x + 1) for x in range(20)]
    assert theil_sen(straight) == (2.0, 2.0, 2.0)
    outlier = [*straight[:10], (10.0, 1_000.0), *straight[11:]]
    assert theil_sen(outlier).value == 2.0
    noisy = [(x, y + 7 * x % 5) for x, y in straight]
    slope = theil_sen(noisy)
    assert slope.low < 2.0 < slope.high
    with pytest.raises(ValueError, match="three points"):
        theil_sen(straight[:2])
