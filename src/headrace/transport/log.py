"""Loggers of headrace. An exception of a log handler of the application loses the record, and nothing else.

A record is written in the middle of work that must be finished: before a 500, between two connections' events, when a
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
    """Return the logger of that name, whose calls never raise: an exception of a handler or filter is reported on
    stderr, as by Python's own log handlers, unless `logging.raiseExceptions` is off."""
    logger = logging.getLogger(name)
    handle = logger.handle
    if "handle" not in vars(logger):

        def guarded(record: logging.LogRecord) -> None:
            try:
                handle(record)
            except Exception:
                _report()

        vars(logger)["handle"] = guarded
    return logger


def _report() -> None:
    if logging.raiseExceptions and sys.stderr is not None:
        try:
            sys.stderr.write("--- headrace: a handler of logging failed ---\n")
            traceback.print_exc(file=sys.stderr)
        except Exception:  # stderr does not work either
            pass


class Seldom:
    """Limits log messages about frequent events: the first one is logged, then one in `every_s` seconds."""

    def __init__(self, every_s: float = SELDOM_S) -> None:
        self._every_s = every_s
        self._next = 0.0
        self.silent: int = 0
        """Number of events since the last message; the caller that logs resets it."""

    def is_due(self) -> bool:
        """Return whether to log now."""
        now = time.monotonic()
        if now < self._next:
            self.silent += 1
            return False
        self._next = now + self._every_s
        return True


def printable(text: str) -> str:
    """Return `text` with all characters escaped that could begin a line, move a cursor or colour a terminal: control
    characters of C0 and C1, line and paragraph separators, marks of direction, lone surrogates."""
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() else ascii(each)[1:-1] for each in text])
