"""`headrace get -v`: shows the events of the connections, line by line on stderr, each with its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Final

from headrace.cli.figures import byte_size, duration, printable
from headrace.cli.get.frames import TraceLine
from headrace.cli.get.tap import SENT, Tap
from headrace.cli.terminal import Palette

if TYPE_CHECKING:
    from headrace.client.interface import Origin

_INDENT: Final = " " * 4
_ARROWS: Final = {">": "cyan", "<": "green", "*": "magenta"}


class Trace:
    """Writes the lines. Times are milliseconds since it was made. Connections are numbered once there are two."""

    def __init__(self, stream: IO[str], palette: Palette, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._palette = palette
        self._clock = clock
        self._begin = clock()
        self._connections = 0

    def tap(self, protocol: asyncio.Protocol, origin: Origin) -> asyncio.Protocol:
        """Return a tap on a new connection; see `NetworkConfig.tap`."""
        self._connections += 1
        number = self._connections
        return Tap(protocol, lambda direction, lines: self._wire(number, direction, lines))

    def on_step(self, origin: Origin, step: str, details: str) -> None:
        """Show a step of a new connection; see `NetworkConfig.on_step`."""
        words = {"resolved": f"{origin.host} has the address {details}", "connected": f"connected to {details}",
                 "tls": f"TLS: {details}"}  # fmt: skip
        self.note(words.get(step, f"{step}: {details}"))

    def note(self, text: str) -> None:
        """Show a remark that no frame has."""
        self._write("*", [self._palette.paint("magenta", printable(text))])

    def done(self, url: str, status: int, http_version: str, content: int, head_s: float, whole_s: float) -> None:
        """Show the end of a response."""
        self.note(
            f"{url}: status {status} over HTTP/{http_version}, head after {duration(head_s)}, {byte_size(content)} of"
            f" content after {duration(whole_s)}"
        )

    def _wire(self, number: int, direction: str, lines: list[TraceLine]) -> None:
        mark = f"#{number} " if self._connections > 1 else ""
        paint = self._palette.paint
        texts = []
        for line in lines:
            if line.depth:
                name, colon, value = line.text.partition(": ")
                shown = f"{paint('blue', name)}{colon}{value}" if colon else line.text
                texts.append(_INDENT + (shown if not line.style else paint(line.style, line.text)))
            else:
                texts.append(mark + paint(line.style, line.text))
        self._write(">" if direction == SENT else "<", texts)

    def _write(self, arrow: str, texts: list[str]) -> None:
        moment = self._palette.paint("dim", f"{(self._clock() - self._begin) * 1000:9.3f}")
        shown = self._palette.paint(_ARROWS[arrow], arrow)
        try:
            self._stream.write("".join([f"{moment} {shown} {text}\n" for text in texts]))
            self._stream.flush()
        except OSError:
            pass  # the reader of stderr has gone; the response matters more
