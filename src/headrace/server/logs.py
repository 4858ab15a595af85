"""Logging for a server that runs by itself: everything below `headrace` goes to stderr, in one line a record.

Only the command line calls this. An application that embeds the server configures logging as it likes; the loggers are
`headrace` (start, stop, drain), `headrace.access` (one line a request) and those named after modules.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Final

from headrace.server.telemetry.request_id import RequestIdFilter

ACCESS_LOGGER: Final = "headrace.access"

_HANDLER_NAME: Final = "headrace-stderr"


class LineFormatter(logging.Formatter):
    """`2026-11-21T10:00:00.123Z info headrace: message`, in UTC, with line breaks in the message made visible.

    Where the id of the request is known, it stands in brackets before the message.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record = logging.makeLogRecord(record.__dict__)  # other handlers get the record unchanged
        record.levelname = record.levelname.lower()
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        request_id = getattr(record, "request_id", "-")
        record.msg = message if request_id == "-" else f"[{request_id}] {message}"
        record.args = None
        return super().format(record)


def configure_logging(level: str) -> None:
    """Sends `headrace`'s records of `level` (`debug` ... `critical`) and above to stderr. May be called again.

    Access lines carry their own date and are never held back by `level`: they have a switch of their own.
    """
    _give_handler(logging.getLogger("headrace"), LineFormatter(), getattr(logging, level.upper()))
    _give_handler(logging.getLogger(ACCESS_LOGGER), logging.Formatter("%(message)s"), logging.INFO)


def _give_handler(logger: logging.Logger, formatter: logging.Formatter, level: int) -> None:
    for old in [each for each in logger.handlers if each.name == _HANDLER_NAME]:
        logger.removeHandler(old)
    handler = logging.StreamHandler(sys.stderr)
    handler.name = _HANDLER_NAME
    handler.setFormatter(formatter)
    handler.addFilter(RequestIdFilter())
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
