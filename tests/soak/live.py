"""The soak by itself, for a second: that it runs, and that it sees what it is there to see.

Only `.ci/run` runs these two, by the file's name: they start and stop processes, which `make test` has no time for.
"""

from __future__ import annotations

from pathlib import Path

from tests.soak.report import Report
from tests.soak.soak import Plan, Soak

SOME = ("polite.get", "polite.upload", "polite.websocket", "rude_h1.cut", "rude_h2.malformed", "rude_h2.reset")


def findings(plan: Plan) -> list[str]:
    """Run a soak; return what it has found."""
    Soak(plan).run()
    return Report(plan.folder).findings


def test_a_short_soak_finds_nothing(tmp_path: Path) -> None:
    plan = Plan(
        folder=tmp_path, rests=4, rest_s=0.5, rate=60.0, sample_s=0.2, cycle_s=0.0, servers=("asgi",), only=SOME
    )  # fmt: skip
    assert findings(plan) == []


def test_a_server_that_leaks_and_errs_is_found(tmp_path: Path) -> None:
    """The control: for each request the application keeps its scope, opens a file and begins a task; and it gives
    everybody the first one's token."""
    plan = Plan(
        folder=tmp_path, rests=4, rest_s=0.5, rate=300.0, sample_s=1.0, cycle_s=0.0, servers=("asgi",),
        only=("polite.get",), faults="objects descriptors tasks answers",
    )  # fmt: skip
    text = "\n".join(findings(plan))
    for figure in ("objects", "blocks", "fds", "tasks"):
        assert f"asgi: {figure} have grown" in text
    assert "in answer to" in text
