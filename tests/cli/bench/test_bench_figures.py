"""The arithmetic of `headrace bench`: percentiles, due times, the report; time is an argument."""

from __future__ import annotations

import io
import itertools
import json
import math
import random
import xml.etree.ElementTree as ET

import pytest

from headrace.cli.bench.arrivals import NEVER, Arrivals
from headrace.cli.bench.chart import svg_chart, text_chart
from headrace.cli.bench.display import LiveDisplay, sparkline
from headrace.cli.bench.latency import Histogram
from headrace.cli.bench.report import doubts, json_report, text_report
from headrace.cli.bench.result import BenchResult, Interval, Plan, Tally
from headrace.cli.figures import byte_size, count, duration, printable
from headrace.cli.terminal import CLEAR_LINE, Palette


def histogram(values: list[float]) -> Histogram:
    made = Histogram()
    for value in values:
        made.record(value)
    return made


# -- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.000_000_4, "0.40 µs"), (0.000_812, "812 µs"), (0.000_999_4, "999 µs"), (0.000_999_9, "1.00 ms"),
        (0.003_214, "3.21 ms"), (0.0999, "99.9 ms"), (0.9996, "1.00 s"), (1.239, "1.24 s"), (61, "61.0 s"),
        (125, "2 min 5 s"), (3600 * 3 + 59, "3 h 0 min"), (-0.5, "-500 ms"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.98 KiB"), (12_900_000, "12.3 MiB"), (5 * 2**40, "5.00 TiB"),
     (9000 * 2**40, "9000 TiB")],
)  # fmt: skip
def test_bytes(number: int, text: str) -> None:
    assert byte_size(number) == text


def test_counts_and_what_is_printable() -> None:
    assert (count(1234567.4), count(3.25), count(3.0)) == ("1,234,567", "3.2", "3")
    assert printable("grün\x07\u202e") == r"grün\x07\u202e"


# -- percentiles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.5, 2.0, 4.0])
def test_percentiles_are_right_to_a_thousandth(spread: float) -> None:
    """Compare with sorting all values, over durations from nanoseconds to minutes."""
    chance = random.Random(7)
    values = sorted(math.exp(chance.gauss(-7.0, spread)) for _ in range(20_000))
    made = histogram(values)
    for percent in (0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0):
        true = values[max(0, math.ceil(len(values) * percent / 100 - 1e-9) - 1)]
        assert true - 1e-12 <= made.percentile(percent) <= true * 1.001 + 1.01e-7, percent
    assert made.mean == pytest.approx(sum(values) / len(values))
    assert (made.shortest, made.longest, made.count) == (values[0], values[-1], len(values))


def test_the_999th_of_1000_is_the_99_9th_percentile() -> None:
    made = histogram([0.001] * 999 + [1.0])
    assert made.percentile(99.9) == pytest.approx(0.001, rel=1e-3)
    assert made.percentile(99.91) == 1.0


def test_a_histogram_does_not_grow_with_what_it_counts() -> None:
    made = Histogram()
    chance = random.Random(1)
    for _ in range(50_000):
        made.record(10 ** chance.uniform(-8, 5))
    assert len(made._buckets) < 28_000
    assert made.percentile(100) == made.longest


def test_nothing_counted_and_below_zero() -> None:
    made = Histogram()
    assert (made.percentile(50), made.mean, made.deviation, made.bars([1.0])) == (0.0, 0.0, 0.0, [0, 0])
    made.record(-1e-9)
    assert (made.longest, made.percentile(99)) == (0.0, 0.0)


def test_histograms_add_up() -> None:
    one, two = histogram([0.001, 0.002]), histogram([0.003, 0.5])
    one.add(two)
    both = histogram([0.001, 0.002, 0.003, 0.5])
    assert (one.count, one.total, one.shortest, one.longest) == (both.count, both.total, both.shortest, both.longest)
    assert one.percentiles((25, 50, 75, 100)) == both.percentiles((25, 50, 75, 100))
    assert one.deviation == pytest.approx(both.deviation)


def test_bars_have_everything_once() -> None:
    made = histogram([0.5e-3, 1e-3, 1.5e-3, 2.5e-3, 9e-3])
    assert made.bars([1e-3, 2e-3, 5e-3]) == [1, 2, 1, 1]


# -- the open loop ---------------------------------------------------------------------------------------------------


def test_even_arrivals_do_not_drift() -> None:
    arrivals = Arrivals(100.0, 3.0, end=100.0 + 1e6)
    times = list(itertools.islice(iter(arrivals.take, NEVER), 300_001))
    assert times[:3] == [100.0, 100.0 + 1 / 3, 100.0 + 2 / 3]
    assert times[-1] == pytest.approx(100.0 + 100_000.0, abs=1e-9)


def test_poisson_arrivals_have_their_rate_and_are_repeatable() -> None:
    def times(seed: int) -> list[float]:
        return list(iter(Arrivals(0.0, 1000.0, is_poisson=True, seed=seed, end=20.0).take, NEVER))

    one = times(5)
    assert one == times(5)
    assert one != times(6)
    assert len(one) == pytest.approx(20_000, rel=0.03)
    gaps = [b - a for a, b in itertools.pairwise(one)]
    mean = sum(gaps) / len(gaps)
    # Exponential gaps vary as much as their mean; even ones would not vary at all.
    assert math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) == pytest.approx(mean, rel=0.05)


def test_arrivals_end_by_count_or_by_time() -> None:
    assert list(iter(Arrivals(0.0, 10.0, count=3).take, NEVER)) == pytest.approx([0.0, 0.1, 0.2])
    assert len(list(iter(Arrivals(0.0, 10.0, end=1.0).take, NEVER))) == 10
    stopped = Arrivals(0.0, 10.0)
    stopped.stop()
    assert (stopped.next, stopped.take(), stopped.taken) == (NEVER, NEVER, 0)


# -- counting --------------------------------------------------------------------------------------------------------


def tally_of(seconds: int, per_second: int = 100, errors_at: int = -1) -> Tally:
    tally = Tally(False, 2)
    for second in range(seconds):
        for number in range(per_second):
            tally.answer(number % 2, 200 if number else 404, 10, 0.001 * (1 + number / 100))
        if second == errors_at:
            tally.error(0, "StreamReset", "the server reset it: \x1b[31mCANCEL")
        tally.close_interval(second + 1.0)
    return tally


def result_of(tally: Tally, **options: object) -> BenchResult:
    plan = Plan("http://example.test/a?b=<c>", connections=2, streams=10)
    given = {"seconds": 10.0, "cpu_s": 3.0, "http_version": "2", "loop": "asyncio", "answers": tally.answers,
             "content": tally.content}  # fmt: skip
    return BenchResult(plan, tally, **{**given, **options})  # type: ignore[arg-type]


def test_what_the_warm_up_counted_is_forgotten() -> None:
    tally = tally_of(3, errors_at=1)
    tally.connections[1].connects = 1
    tally.begin_measuring()
    assert (tally.answers, tally.failures, tally.content, tally.intervals) == (0, 0, 0, [])
    assert (tally.connections[0].requests, tally.connections[1].connects) == (0, 1)
    tally.answer(1, 200, 5, 0.5)
    assert (tally.answers, tally.latency.count) == (1, 0)
    assert tally.close_interval(0.25) == Interval(0.0, 0.25, 1, 0, 0.5, 0.5)
    assert (tally.answers, tally.latency.count) == (1, 1)


def test_many_intervals_become_fewer_and_lose_nothing() -> None:
    tally = tally_of(1000, per_second=2, errors_at=500)
    assert len(tally.intervals) <= 240
    assert sum(each.requests for each in tally.intervals) == 2000
    assert sum(each.errors for each in tally.intervals) == 1
    assert (tally.intervals[0].begin, tally.intervals[-1].end) == (0.0, 1000.0)
    assert all(one.end == two.begin for one, two in itertools.pairwise(tally.intervals))


def test_only_some_examples_of_errors_are_kept_and_cut() -> None:
    tally = Tally(False, 1)
    for number in range(100):
        tally.error(0, f"kind {number % 50}", "x" * 10_000)
    assert (tally.failures, len(tally.errors), len(tally.examples)) == (100, 50, 8)
    assert len(tally.examples["kind 0"]) == 300


# -- messages --------------------------------------------------------------------------------------------------------


def test_the_report_says_what_there_is_to_know() -> None:
    text = text_report(result_of(tally_of(10, errors_at=4)), Palette(False))
    for part in (
        "GET http://example.test/a?b=<c>", "HTTP/2, 2 connections × 10 streams, closed loop", "30% of a core",
        "1,000 in 10.0 s", "100/s", "9.77 KiB", "200: 990, 404: 10",
        r"StreamReset: 1, such as: the server reset it: \x1b[31m",
        "p50", "p99.9", "max", "500 to 500 requests each",
    ):  # fmt: skip
        assert part in text, part
    assert "\x1b" not in text
    assert "bottleneck" not in text


def test_a_busy_client_says_that_it_was_the_bottleneck() -> None:
    assert "97% of a core: it was itself the bottleneck" in doubts(result_of(tally_of(1), cpu_s=9.7))[0]
    assert not any("bottleneck" in each for each in doubts(result_of(tally_of(1), cpu_s=8.9)))


def test_a_busy_machine_is_said() -> None:
    assert "waited for a processor 25% of the time" in doubts(result_of(tally_of(1), waited_s=2.5))[0]
    assert not any("processor" in each for each in doubts(result_of(tally_of(1), waited_s=0.9)))


def test_the_other_doubts() -> None:
    tally = tally_of(1)
    tally.never_begun, tally.unfinished = 7, 8
    tally.lag.record(0.01)
    plan = Plan("http://a/", rate=100.0)
    said = " ".join(doubts(BenchResult(plan, tally, 0.5, 0.1, is_interrupted=True)))
    for part in (
        "7 requests were due",
        "8 requests were not answered",
        "timer",
        "interrupted",
        "500 ms is a short time",
    ):
        assert part in said, part


def test_the_open_loop_reports_both_latencies() -> None:
    tally = tally_of(10)
    tally.service.record(0.002)
    plan = Plan("http://a/", rate=1000.0, is_poisson=True)
    text = text_report(BenchResult(plan, tally, 10.0, 1.0), Palette(False))
    assert "open loop, 1,000/s at random (Poisson)" in text
    assert "from when it was due" in text
    assert "from when it was begun" in text


def test_colours_only_where_they_are_wanted() -> None:
    assert "\x1b[31m" in text_report(result_of(tally_of(2, errors_at=1)), Palette(True))


def test_json_has_every_figure() -> None:
    report = json.loads(json.dumps(json_report(result_of(tally_of(10, errors_at=3)))))
    assert report["requests"] == 1000
    assert report["requests_per_s"] == 100.0
    assert report["statuses"] == {"200": 990, "404": 10}
    assert report["errors"] == {"StreamReset": 1}
    assert report["latency_s"]["p50"] == pytest.approx(0.001_49, rel=2e-3)
    assert {"p50", "p75", "p90", "p99", "p99.9", "p99.99", "min", "max", "mean", "deviation"} < set(report["latency_s"])
    assert [each["requests"] for each in report["per_connection"]] == [500, 500]
    assert len(report["intervals"]) == 10
    assert report["client"] == {"cpu_s": 3.0, "waited_s": 0.0, "cpu_share": 0.3, "loop": "asyncio"}
    assert report["service_s"] is None


def test_the_chart_in_text() -> None:
    lines = text_chart(tally_of(10).latency, 60)
    assert all(len(line) <= 60 for line in lines)
    assert lines[-1].endswith("100.00 %")
    assert text_chart(Histogram()) == []
    assert len(text_chart(histogram([0.001]))) > 0


@pytest.mark.parametrize(
    "tally", [tally_of(10, errors_at=4), tally_of(1, per_second=1), Tally(False, 1)], ids=["many", "one", "none"]
)
def test_the_chart_in_svg_is_well_formed_and_inside_its_frame(tally: Tally) -> None:
    root = ET.fromstring(svg_chart(result_of(tally)))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for each in root.iter():
        for name, most in (("x", width), ("x1", width), ("x2", width), ("y", height), ("y1", height), ("y2", height)):
            assert 0 <= float(each.get(name, "0")) <= most, (each.tag, each.attrib)
        for point in each.get("points", "").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= width and 0 <= y <= height
    assert "example.test/a?b=<c>" in "".join(root.itertext())


# -- the live display ------------------------------------------------------------------------------------------------


def test_the_line_is_drawn_over_itself_and_fits() -> None:
    stream = io.StringIO()
    display = LiveDisplay(stream, Plan("http://a/"), is_on=True, palette=Palette(False), width=80)
    for second in range(40):
        display.show(second + 1.0, 100 * second, 3, Interval(second, second + 1.0, 100 + second, 0, 0.001, 0.002))
    display.clear()
    lines = stream.getvalue().split(CLEAR_LINE)
    assert lines[0] == lines[-1] == ""
    assert lines[10] == "[============] 10.0 s  109/s  p50 1.00 ms  p99 2.00 ms  errors 3  ▇▇████████"
    assert max(map(len, lines)) <= 79


def test_progress_is_by_requests_where_these_are_limited() -> None:
    display = LiveDisplay(io.StringIO(), Plan("http://a/", requests=400, duration_s=None), is_on=True,
                          palette=Palette(False))  # fmt: skip
    assert display.line(3.0, 100, 0, Interval(0, 0, 0, 0, 0, 0)).startswith("[===         ] 3.00 s")


def test_off_a_terminal_it_is_silent() -> None:
    stream = io.StringIO()
    display = LiveDisplay(stream, Plan("http://a/", warm_up_s=1.0), is_on=False, palette=Palette(False))
    display.warm_up(0.5)
    display.show(1.0, 1, 0, Interval(0, 1, 1, 0, 0.1, 0.1))
    display.clear()
    assert stream.getvalue() == ""


def test_sparklines() -> None:
    assert sparkline([0.0, 50.0, 100.0]) == "▁▅█"
    assert sparkline([0.0, 0.0]) == "▁▁"
