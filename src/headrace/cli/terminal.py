"""The other end of stdout and stderr, a person at a terminal or a program; and colours for a person."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import IO, Any, Final

RESET: Final = "\x1b[0m"
STYLES: Final = {
    "dim": "\x1b[2m",
    "bold": "\x1b[1m",
    "red": "\x1b[31m",
    "green": "\x1b[32m",
    "yellow": "\x1b[33m",
    "blue": "\x1b[34m",
    "magenta": "\x1b[35m",
    "cyan": "\x1b[36m",
}
CLEAR_LINE: Final = "\r\x1b[2K"


def is_terminal(stream: IO[Any] | None) -> bool:
    """Return whether a person sees this at once. False for a stream that is closed, or was never open."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def wants_colour(stream: IO[Any] | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether to use colours: only on a terminal that has them, and never with NO_COLOR (any value but the empty
    one)."""
    return is_terminal(stream) and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def width_of_terminal() -> int:
    """Return the number of columns, 80 if it is unknown."""
    return shutil.get_terminal_size((80, 24)).columns


class Palette:
    """Paints text, or leaves it as it is."""

    __slots__ = ("is_on",)

    def __init__(self, is_on: bool) -> None:
        self.is_on: bool = is_on

    def paint(self, style: str, text: str) -> str:
        """Return `text` in one of STYLES; "" is no style."""
        return f"{STYLES[style]}{text}{RESET}" if self.is_on and style else text
