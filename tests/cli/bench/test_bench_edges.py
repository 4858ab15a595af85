"""`headrace bench` at its edges: what hardly ever happens to a run, and figures that are none."""

from __future__ import annotations

import asyncio
import io
from typing import Any, cast

import pytest

from headrace.cli.bench import command as bench_command
from headrace.cli.bench import run as bench_run
from headrace.cli.bench.arrivals import NEVER
from headrace.cli.bench.chart import _round_up, edges_for
from headrace.cli.bench.display import LiveDisplay
from headrace.cli.bench.latency import Histogram
from headrace.cli.bench.place import BenchPlace
from headrace.cli.bench.report import doubts
from headrace.cli.bench.result import BenchResult, Plan, Tally
from headrace.cli.bench.run import waited_for_cpu_s
from headrace.cli.errors import CommandError
from headrace.cli.exits import WriteError
from headrace.cli.terminal import Palette
from headrace.client.errors import ConnectionLost, RequestError


def histogram(*seconds: float) -> Histogram:
    made = Histogram()
    for each in seconds:
        made.record(each)
    return made


def test_microseconds_have_bars_of_their_own() -> None:
    made = histogram(1e-7, 3e-7, 50e-6)
    assert made.bars([2e-7, 1e-6]) == [1, 1, 1]


def test_edges_are_round_where_five_to_fourteen_of_them_do() -> None:
    assert edges_for(histogram(0.0015, 0.06)) == pytest.approx([0.002, 0.005, 0.01, 0.02, 0.05])
    narrow = edges_for(histogram(0.0010, 0.0011))
    assert len(narrow) == 10
    assert narrow == sorted(narrow)
    assert 0.0010 < narrow[0] < narrow[-1] < 0.0011


def test_a_scale_without_a_value_ends_at_one() -> None:
    assert [_round_up(value) for value in (0.0, -1.0, 0.3, 7.0)] == pytest.approx([1.0, 1.0, 0.5, 10.0])


def test_the_warm_up_is_shown() -> None:
    stream = io.StringIO()
    LiveDisplay(stream, Plan("http://a/", warm_up_s=2.0), is_on=True, palette=Palette(False), width=80).warm_up(0.5)
    assert stream.getvalue().endswith("warm-up 500 ms of 2.00 s")


def test_an_interval_without_a_length_is_none() -> None:
    tally = Tally(False, 1)
    tally.answer(0, 200, 10, 0.001)
    interval = tally.close_interval(0.0)
    assert (interval.begin, interval.end, interval.requests) == (0.0, 0.0, 1)
    assert tally.intervals == []
    assert tally.latency.count == 1


def test_a_run_that_was_cut_off_says_so() -> None:
    result = BenchResult(Plan("http://a/"), Tally(False, 1), 9.0, 1.0)
    result.is_cut_off = True
    assert "the run ended early: no connection could be made any more" in doubts(result)


def test_an_interrupted_run_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(plan: Plan, *_: Any, **__: Any) -> BenchResult:
        result = BenchResult(plan, Tally(False, 1), 9.0, 1.0)
        result.is_interrupted = True
        return result

    monkeypatch.setattr(bench_command, "_run", interrupted)
    assert bench_command.bench.main(["-q", "http://127.0.0.1:1/"], standalone_mode=False) == 130


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [(BrokenPipeError(), WriteError, ""), (OSError(28, "No space left"), CommandError, "-: no space left")],
)
def test_a_report_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, error: OSError, kind: type[CommandError], sentence: str
) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise error

    monkeypatch.setattr("sys.stdout", Gone())
    with pytest.raises(kind) as caught:
        bench_command._write("-", "{}")
    assert str(caught.value) == sentence


@pytest.mark.parametrize("content", [None, b"", b"12 many 3\n"])
def test_a_system_that_does_not_tell_of_waiting_for_a_processor(
    monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    def opened(*_: Any) -> io.BytesIO:
        if content is None:
            raise FileNotFoundError
        return io.BytesIO(content)

    monkeypatch.setattr(bench_run, "open", opened, raising=False)
    assert waited_for_cpu_s() == 0.0


# -- connections -------------------------------------------------------------------------------------------------------


class FakeExchange:
    """A request that was over as soon as it was written, or is not over yet."""

    status = 200
    received = 5

    def __init__(self, error: Exception | None, is_over: bool) -> None:
        self.error = error
        self.is_over = is_over


class FakeDriver:
    """A connection whose requests end as the test says."""

    has_room = True
    is_usable = True

    def __init__(self, exchange: FakeExchange | None = None) -> None:
        self.exchange = exchange
        self.aborted = 0

    def begin(self, *_: Any, **__: Any) -> FakeExchange | None:
        return self.exchange

    def abort(self) -> None:
        self.aborted += 1


class FakeRun:
    """A run with one place, whose connections are the test's."""

    outgoing = None
    is_running = True
    is_stopped = False

    def __init__(self, *drivers: FakeDriver | Exception) -> None:
        self.plan = Plan("http://a/", connections=1, streams=1)
        self.tally = Tally(False, 1)
        self.drivers = list(drivers)
        self.changes = 0
        self.offered: list[BenchPlace] = []

    def clock(self) -> float:
        return 7.0

    async def connect(self, owner: BenchPlace) -> FakeDriver:
        await asyncio.sleep(0)
        driver = self.drivers.pop(0)
        if isinstance(driver, Exception):
            raise driver
        return driver

    def on_change(self) -> None:
        self.changes += 1

    def offer(self, place: BenchPlace) -> None:
        self.offered.append(place)


def place_of(run: FakeRun) -> BenchPlace:
    return BenchPlace(cast(Any, run), 0)


def test_a_request_that_is_lost_during_its_write_is_counted_at_once() -> None:
    run = FakeRun(FakeDriver(FakeExchange(ConnectionLost("gone"), True)))

    async def main() -> None:
        place = place_of(run)
        assert await place.connect() is None
        assert place.has_room
        assert not place.begin(NEVER)
        assert not place.began

    asyncio.run(main())
    assert dict(run.tally.errors) == {"ConnectionLost": 1}


def test_a_request_that_is_not_ours_is_not_counted() -> None:
    exchange = FakeExchange(None, False)
    run = FakeRun(FakeDriver(exchange))

    async def main() -> None:
        place = place_of(run)
        await place.connect()
        assert place.begin(NEVER)
        place._on_done(cast(Any, FakeExchange(None, True)))
        assert run.tally.answers == 0
        place._on_done(cast(Any, exchange))
        assert (run.tally.answers, place.began) == (1, {})

    asyncio.run(main())


def test_a_connection_that_is_made_after_the_end_is_closed() -> None:
    driver = FakeDriver()
    run = FakeRun(driver)
    run.is_stopped = True

    async def main() -> None:
        place = place_of(run)
        assert await place.connect() is None
        assert not place.has_room

    asyncio.run(main())
    assert driver.aborted == 1


def test_a_connection_that_is_no_use_is_not_taken() -> None:
    driver = FakeDriver()
    driver.is_usable = False

    async def main() -> None:
        place = place_of(FakeRun(driver))
        assert await place.connect() is None
        assert not place.has_room

    asyncio.run(main())
    assert driver.aborted == 0


def test_connections_that_fail_are_counted_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.cli.bench.place._FIRST_PAUSE_S", 0.0001)
    run = FakeRun(RequestError("no"), RequestError("no"), FakeDriver())

    async def main() -> None:
        place = place_of(run)
        await place._try_again()
        assert run.offered == [place]
        assert not place.is_dead

    asyncio.run(main())
    assert dict(run.tally.errors) == {"RequestError": 2}
