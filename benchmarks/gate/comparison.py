"""What the counts say: which cases became slower, and by how much; as a table, and as a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from benchmarks.gate.acknowledged import FILE, Loss

LIMIT: Final = 5.0  # percent; the noise is 1.04 at most (docs/how-to/benchmark.md)


class Row(NamedTuple):
    """One case, with the instructions of one unit; None for `before` where the base cannot run it."""

    case: str
    before: float | None
    now: float
    said: str
    failed: bool

    @property
    def change(self) -> float | None:
        """Percent that the case takes more than before, below 0 less."""
        return None if self.before is None else percent(self.before, self.now)


def percent(before: float, now: float) -> float:
    """Return by how much a count has grown; rounded, so that 5 % of 1,000 are 5 % and not a little more."""
    return round((now / before - 1) * 100, 6)


def compare(
    before: Mapping[str, float | None], now: Mapping[str, float], losses: Sequence[Loss] = (), limit: float = LIMIT
) -> list[Row]:
    """Return a row a case. `before` has None for a case that the base cannot run."""
    allowed = {loss.case: loss for loss in losses}
    return [_row(case, before.get(case), count, allowed.get(case), limit) for case, count in now.items()]


def _row(case: str, before: float | None, now: float, loss: Loss | None, limit: float) -> Row:
    if before is None:
        return Row(case, None, now, "new: nothing to compare with", False)
    change = percent(before, now)
    if change <= limit:
        said = "better" if change < -limit else ""
        return Row(case, before, now, said, False)
    if loss is None:
        return Row(case, before, now, "SLOWER", True)
    if change > loss.percent:
        return Row(case, before, now, f"SLOWER, beyond the {loss.percent:g} % that are acknowledged", True)
    return Row(case, before, now, f"acknowledged: {loss.reason}", False)


def table(rows: Sequence[Row]) -> str:
    """Return the rows for people."""
    title = "instructions of one"
    width = max(len(title), *(len(row.case) for row in rows))
    lines = [f"{title:{width}}  {'before':>12}  {'now':>12}  {'change':>8}"]
    for row in rows:
        cells = [f"{'-' if count is None else format(count, ',.0f'):>12}" for count in (row.before, row.now)]
        change = "" if row.change is None else f"{row.change:+.2f} %"
        lines.append(f"{row.case:{width}}  {'  '.join(cells)}  {change:>8}  {row.said}".rstrip())
    return "\n".join(lines)


def verdict(rows: Sequence[Row], base: str, limit: float = LIMIT) -> str:
    """Return the sentence under the table, and what to do."""
    failed = [row for row in rows if row.failed]
    compared = [row for row in rows if row.change is not None]
    if not failed:
        most = max((row.change or 0.0 for row in compared), default=0.0)
        return (
            f"The speed gate passes: none of {len(compared)} cases takes over {limit:g} % more instructions than in "
            f"{base}, unless it is acknowledged; the largest change for the worse is {max(most, 0.0):.2f} %."
        )
    entries = "".join(
        f'\n\n    [[loss]]\n    case = "{row.case}"\n    percent = {(row.change or 0.0) + 0.5:.0f}\n    reason = ""'
        for row in failed
    )
    return (
        f"THE SPEED GATE FAILS: {len(failed)} of {len(compared)} cases take over {limit:g} % more instructions than in "
        f"{base}.\nMake them as fast as they were; or, if the loss is wanted, say why in {FILE}:{entries}"
    )
