"""The live display of a benchmark: one line that is redrawn on a terminal."""

from __future__ import annotations

from typing import IO, Final

from headrace.cli.bench.result import Interval, Plan
from headrace.cli.figures import count, duration
from headrace.cli.terminal import CLEAR_LINE, Palette

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_BAR: Final = 12
_MOST_SPARKS: Final = 24


class LiveDisplay:
    """Draws on `stream`; silent when that is not a terminal."""

    def __init__(self, stream: IO[str], plan: Plan, *, is_on: bool, palette: Palette, width: int = 80) -> None:
        self._stream = stream
        self._plan = plan
        self._is_on = is_on
        self._palette = palette
        self._width = width
        self._rates: list[float] = []

    def show(self, now: float, done: int, errors: int, last: Interval) -> None:
        """Draw the line. `now`: seconds since the measurement began; `done`: responses since then; `last`: the last
        interval."""
        if not self._is_on:
            return
        length = last.end - last.begin
        self._rates.append(last.requests / length if length > 0 else 0.0)
        del self._rates[:-_MOST_SPARKS]
        self._draw(self.line(now, done, errors, last))

    def warm_up(self, now: float) -> None:
        """Draw the warm-up, of which `now` seconds are over."""
        if self._is_on:
            self._draw(f"warm-up {duration(now)} of {duration(self._plan.warm_up_s)}")

    def clear(self) -> None:
        """Erase the line."""
        if self._is_on:
            self._stream.write(CLEAR_LINE)
            self._stream.flush()

    def line(self, now: float, done: int, errors: int, last: Interval) -> str:
        """Return the line; without colours it is at most as wide as the terminal."""
        plan = self._plan
        share = done / plan.requests if plan.requests else now / plan.duration_s if plan.duration_s else 0.0
        full = min(_BAR, int(share * _BAR))
        parts = [
            f"[{'=' * full}{' ' * (_BAR - full)}] {duration(now)}",
            f"{count(self._rates[-1] if self._rates else 0)}/s",
            f"p50 {duration(last.p50)}  p99 {duration(last.p99)}",
        ]
        if errors:
            parts.append(self._palette.paint("red", f"errors {count(errors)}"))
        text = "  ".join(parts)
        room = self._width - 1 - len(text) - 2
        sparks = sparkline(self._rates[-min(room, _MOST_SPARKS) :]) if room >= 4 else ""
        return f"{text}  {sparks}" if sparks else text

    def _draw(self, text: str) -> None:
        self._stream.write(CLEAR_LINE + text)
        self._stream.flush()


def sparkline(values: list[float]) -> str:
    """Return one block for each value; the highest is full, and 0 is the lowest."""
    most = max(values, default=0.0)
    if most <= 0:
        return _BLOCKS[0] * len(values)
    return "".join([_BLOCKS[round(value / most * (len(_BLOCKS) - 1))] for value in values])
