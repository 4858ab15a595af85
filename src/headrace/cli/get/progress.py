"""Shows the progress of downloads on one line of a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Final

from headrace.cli.figures import byte_size, duration
from headrace.cli.terminal import CLEAR_LINE

_EVERY_S: Final = 0.1
_BAR: Final = 24
_SMOOTH: Final = 0.3  # weight of the latest interval in the speed that is shown


class DownloadProgress:
    """Several downloads together. It draws ten times a second at most; `finish` leaves a last line on the screen."""

    def __init__(self, stream: IO[str], clock: Callable[[], float], width: int = 80) -> None:
        self._stream = stream
        self._clock = clock
        self._width = width
        self._begin = clock()
        self._drawn_at = -1e9
        self._is_drawn = False
        self._received: dict[str, int] = {}
        self._totals: dict[str, int | None] = {}
        self._speed = 0.0
        self._mark = (self._begin, 0)

    def begin(self, name: str, total: int | None) -> None:
        """Add a download of `total` bytes, None when that is unknown."""
        self._received[name] = 0
        self._totals[name] = total

    def add(self, name: str, count: int) -> None:
        """Count `count` more bytes."""
        self._received[name] += count
        now = self._clock()
        if now - self._drawn_at >= _EVERY_S:
            self._drawn_at = now
            self._measure(now)
            self._draw(self.line(now))

    def finish(self) -> None:
        """Draw the last line, and go to the next."""
        if self._received:
            now = self._clock()
            elapsed = max(now - self._begin, 1e-6)
            done = sum(self._received.values())
            self._speed = done / elapsed
            self._draw(f"{self._name()}  {byte_size(done)} in {duration(elapsed)}  {byte_size(self._speed)}/s")
            self._stream.write("\n")
            self._stream.flush()

    def clear(self) -> None:
        """Erase the line, so that other output can be written; the next `add` draws it again."""
        if self._is_drawn:
            self._is_drawn = False
            self._stream.write(CLEAR_LINE)
            self._stream.flush()

    def line(self, now: float) -> str:
        """Return the line at `now`, at most as wide as the terminal."""
        done = sum(self._received.values())
        total = 0
        for each in self._totals.values():
            if each is None:
                text = f"{self._name()}  {byte_size(done)}  {byte_size(self._speed)}/s  {duration(now - self._begin)}"
                return text[: self._width - 1]
            total += each
        share = min(1.0, done / total) if total else 1.0
        full = int(share * _BAR)
        bar = "=" * full + " " * (_BAR - full)
        text = f"[{bar}] {share:4.0%}  {byte_size(done)} of {byte_size(total)}  {byte_size(self._speed)}/s"
        if self._speed > 0 and done < total:
            text += f"  {duration((total - done) / self._speed)} left"
        room = self._width - 1 - len(text) - 2
        name = self._name()
        if room >= 8:
            text = f"{name if len(name) <= room else name[: room - 1] + '…'}  {text}"
        return text[: self._width - 1]

    def _name(self) -> str:
        return next(iter(self._received)) if len(self._received) == 1 else f"{len(self._received)} files"

    def _measure(self, now: float) -> None:
        then, before = self._mark
        done = sum(self._received.values())
        if now > then:
            speed = (done - before) / (now - then)
            self._speed = speed if not self._speed else _SMOOTH * speed + (1 - _SMOOTH) * self._speed
            self._mark = (now, done)

    def _draw(self, text: str) -> None:
        self._is_drawn = True
        self._stream.write(CLEAR_LINE + text)
        self._stream.flush()
