"""Our loggers. What a handler of the application's logging raises costs the record, and nothing else.

A record is written in the middle of what must be finished: before a 500, between two connections' events, when a
connection is given up. A handler whose disk is full, or whose service is away, must not stop that.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from typing import Final

SELDOM_S: Final = 60.0


def get_logger(name: str) -> logging.Logger:
    """The logger of that name, whose calls raise nothing: what a handler or a filter raises is told on stderr, as the
    handlers of Python's own logging do, unless `logging.raiseExceptions` is off."""
    logger = logging.getLogger(name)
    handle = logger.handle
    if "handle" not in vars(logger):

        def guarded(record: logging.LogRecord) -> None:
            try:
                handle(record)
            except Exception:
                _tell()

        vars(logger)["handle"] = guarded
    return logger


def _tell() -> None:
    if logging.raiseExceptions and sys.stderr is not None:
        try:
            sys.stderr.write("--- headrace: a handler of logging failed ---\n")
            traceback.print_exc(file=sys.stderr)
        except Exception:  # nobody is left who could be told
            pass


class Seldom:
    """Says when what may happen at any rate is told: the first time, then once in `every_s` seconds."""

    def __init__(self, every_s: float = SELDOM_S) -> None:
        self._every_s = every_s
        self._next = 0.0
        self.silent = 0
        """How often it happened without being told; reset by whoever tells."""

    def is_due(self) -> bool:
        """Return whether it is to be told now."""
        now = time.monotonic()
        if now < self._next:
            self.silent += 1
            return False
        self._next = now + self._every_s
        return True


def printable(text: str) -> str:
    """Return `text` with everything escaped that could begin a line, move a cursor or colour a terminal: control
    characters of C0 and C1, line and paragraph separators, marks of direction, lone surrogates."""
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() else ascii(each)[1:-1] for each in text])
