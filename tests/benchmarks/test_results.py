"""The figures of `make bench`: medians, spreads, the rows in which somebody else is first, and README's tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmarks import chart, readme, results, tables
from benchmarks.results import Cell, Lead, Results, leads

FACTS = {
    "date": "2026-11-30",
    "machine": "a processor, 2 cores",
    "kernel": "Linux 6",
    "python": "3.13.0",
    "pinning": "servers pinned to one core, the load to another",
    "rounds": "3 rounds of 1 s, interleaved",
    "load": "0.1",
}


def small(**headrace: float) -> Results:
    """Return results of two rows, in which headrace has these medians beside a peer's 100."""
    found = Results(dict(FACTS), {"headrace": "1", "granian": "2.8"})
    row = found.row("hello", "servers", "13 bytes")
    row.cells["headrace"] = Cell({"rate": [headrace.get("rate", 200.0)] * 3, "cpu": [headrace.get("cpu", 5.0)] * 3})
    row.cells["headrace-native"] = Cell({"rate": [900.0] * 3, "cpu": [1.0] * 3})
    row.cells["granian"] = Cell({"rate": [100.0, 90.0, 110.0], "cpu": [10.0, 10.0, 10.0]})
    late = found.row("latency", "latency", "at 1,000 a second")
    late.cells["headrace"] = Cell({name: [headrace.get(name, 0.5)] * 3 for name in ("p50", "p99", "p99.9")})
    late.cells["granian"] = Cell({name: [1.0] * 3 for name in ("p50", "p99", "p99.9")})
    return found


def test_nobody_else_is_first_where_headrace_is() -> None:
    assert leads(small()) == []
    assert tables.somebody_else(small()) == ["Somebody else is first in: none."]


@pytest.mark.parametrize(
    ("figure", "worse"), [("rate", 50.0), ("cpu", 20.0), ("p50", 2.0), ("p99", 2.0), ("p99.9", 2.0)]
)
def test_a_row_in_which_somebody_else_is_first_is_named(figure: str, worse: float) -> None:
    """By each measure, whether more or less is better, and whatever our native handler does."""
    (lead,) = leads(small(**{figure: worse}))
    row = "hello" if figure in ("rate", "cpu") else "latency"
    assert lead == Lead(row, figure, "granian", 2.0, is_noise=False)
    text = "\n".join(tables.render(small(**{figure: worse})))
    assert f"- {tables.LEAD_HEADS[figure]}: {row} (granian 2.00×)." in text
    assert "first in: none" not in text


def test_a_lead_within_noise_is_named_and_called_so() -> None:
    (lead,) = leads(small(rate=95.0))
    assert lead.is_noise
    assert "hello (granian 1.05×, within noise)" in "\n".join(tables.render(small(rate=95.0)))


def test_the_best_of_the_others_is_named() -> None:
    found = small(rate=50.0)
    found.rows[0].cells["h2corn"] = Cell({"rate": [150.0] * 3})
    assert [lead.leader for lead in leads(found)] == ["h2corn"]


def test_a_fault_of_headrace_gives_the_row_to_somebody_else() -> None:
    found = small()
    found.rows[0].cells["headrace"].fault = "of 8 requests 8 failed"
    assert {(lead.row, lead.measure, lead.ratio) for lead in leads(found)} == {
        ("hello", "rate", 0.0),
        ("hello", "cpu", 0.0),
    }
    text = "\n".join(tables.render(found))
    assert "hello (granian; headrace has no figure)" in text
    assert "Faults, whose figures do not count: headrace in hello (of 8 requests 8 failed)." in text


def test_a_fault_of_somebody_else_is_no_lead_and_has_no_figure() -> None:
    found = small(rate=50.0)
    found.rows[0].cells["granian"].fault = "no report"
    assert leads(found) == []
    assert "| hello | 50 (5) | **900 (1)** | fault |" in "\n".join(tables.render(found))


def test_a_latency_below_the_lateness_of_its_generator_is_unusable() -> None:
    """It is shown as such, and compared with nothing, whoever has it."""
    for name, p50 in (("granian", 0.5), ("headrace", 2.0)):
        found = small(p50=2.0)
        cell = found.rows[1].cells[name]
        cell.values |= {"late": [0.1, 1.0, 3.0], "p50": [p50, p50, p50]}
        cell.check_lateness()
        assert bool(cell.unusable) is (name == "granian")
        cell.values["late"] = [9.0, 0.1, 9.0]
        cell.check_lateness()
        assert leads(found) == []
        text = "\n".join(tables.render(found))
        assert "| unusable |" in text
        assert f"Unusable, and not compared: latency of {name} (1 % of the requests were sent later than p50)." in text
        again = results.from_text(results.to_text(found))
        assert again.rows[1].cells[name].unusable == cell.unusable


def test_rows_without_a_contender_in_common_have_tables_of_their_own() -> None:
    found = small()
    found.row("sync", "servers", "no one of the others").cells["headrace-sync"] = Cell({"rate": [1.0]})
    lines = tables.render(found)
    assert "| | headrace | headrace-native | granian |" in lines and "| | headrace-sync |" in lines
    assert lines[lines.index("| | headrace-sync |") - 1] == ""


def test_who_could_not_take_part_is_named_with_the_reason() -> None:
    found = small()
    found.not_raced["h2corn"] = "cannot be installed on Python 3.15"
    assert "Not raced: h2corn (cannot be installed on Python 3.15)." in tables.render(found)


def test_medians_spreads_and_noise() -> None:
    cell = Cell()
    for rate in (100.0, 130.0, 90.0):
        cell.add(rate=rate, p99_9=1.0)
    assert (cell.median("rate"), cell.spread("rate"), cell.median("p99.9"), cell.median("cpu")) == (
        100.0,
        0.4,
        1.0,
        None,
    )
    assert Cell({"rate": [5.0]}).spread("rate") is None
    found = small()
    found.rows[0].cells["granian"] = cell
    assert results.noise(found) == (0.4, 0.4)
    assert "lay 40% of its median apart" in tables.noise_in_words(found)


@pytest.mark.parametrize(("load", "is_preliminary"), [("0.5", False), ("0.6", True), ("unknown", False)])
def test_figures_of_a_busy_machine_are_called_preliminary(load: str, is_preliminary: bool) -> None:
    found = small()
    found.facts["load"] = load
    assert any("Preliminary" in line for line in tables.render(found)) is is_preliminary


def test_results_come_back_from_their_text() -> None:
    found = small()
    found.rows[0].cells["granian"].values["rate"][0] = 123_456.789
    again = results.from_text(results.to_text(found))
    assert again.rows[0].cells["granian"].values["rate"][0] == 123_500
    assert dataclasses.asdict(results.from_text(results.to_text(again))) == dataclasses.asdict(again)
    assert again.facts == FACTS


def test_the_chart_has_a_bar_a_rate() -> None:
    text = chart.draw(small())
    assert text.count("<rect class=") == 4  # the ground, and three bars
    assert text.count('class="ours"') == 2


def test_only_the_figures_between_the_markers_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, kept = tmp_path / "README.md", tmp_path / "readme.json"
    page.write_text(f"before\n{readme.BEGIN}\nold figures\n{readme.END}\nafter\n", "utf-8")
    monkeypatch.setattr(readme, "README", page)
    monkeypatch.setattr(readme, "KEPT", kept)
    readme.write(small())
    text = page.read_text("utf-8")
    assert text.startswith(f"before\n{readme.BEGIN}\n") and text.endswith(f"{readme.END}\nafter\n")
    assert "old figures" not in text and "| hello | 200 (5) | **900 (1)** | 100 (10) |" in text
    assert readme.written(text, results.load(kept)) == text


@pytest.mark.parametrize(
    "text", ["", f"{readme.BEGIN}", f"{readme.END}{readme.BEGIN}", 2 * f"{readme.BEGIN}{readme.END}"]
)
def test_readme_without_its_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="README needs the lines"):
        readme.block(text)


# -- the figures in README ---------------------------------------------------------------------------------------------


def test_readme_has_the_figures_that_were_measured_and_no_others() -> None:
    """Who changes them by hand, or keeps other results, is found; so is a table that names no leaders."""
    found = results.load(readme.KEPT)
    block = readme.block(readme.README.read_text("utf-8"))
    assert block == f"\n{readme.body(found)}", "write README's figures by `python -m benchmarks.readme`"
    for fact in found.facts.values():
        assert fact in block
    for lead in leads(found):
        assert f"{lead.row} ({lead.leader}" in block
