"""Logging for a server that runs by itself: everything below `headrace` goes to stderr, one line per record.

Only the command line calls this. An application that embeds the server configures logging itself; the loggers are
`headrace` (start, stop, drain), `headrace.access` (one line per request) and those named after modules.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Final

from headrace.server.request_id import RequestIdFilter
from headrace.transport.log import printable

ACCESS_LOGGER: Final = "headrace.access"

_HANDLER_NAME: Final = "headrace-stderr"


_INDENT: Final = "    "


class LineFormatter(logging.Formatter):
    """Formats `2026-11-21T10:00:00.123Z info headrace: message`, in UTC, in one line, with any text in the message.

    If the id of the request is known, it stands in brackets before the message. A traceback follows in indented lines:
    an exception's text may be a client's, and must not look like another record.
    """

    if not TYPE_CHECKING:
        converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format: str | None = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record = logging.makeLogRecord(record.__dict__)  # other handlers get the record unchanged
        record.levelname = record.levelname.lower()
        message = printable(record.getMessage())
        request_id = getattr(record, "request_id", "-")
        record.msg = message if request_id == "-" else f"[{printable(str(request_id))}] {message}"
        record.args = None
        behind = []
        if record.exc_info:
            behind.append(self.formatException(record.exc_info))  # not `exc_text`, which another formatter made
        elif record.exc_text:
            behind.append(record.exc_text)
        if record.stack_info:
            behind.append(self.formatStack(record.stack_info))
        record.exc_info = record.exc_text = record.stack_info = None
        lines = [super().format(record)]
        for text in behind:
            lines += [_INDENT + printable(line) for line in text.split("\n")]
        return "\n".join(lines)


def configure_logging(level: str) -> None:
    """Send `headrace`'s records of `level` (`debug` ... `critical`) and above to stderr. May be called again.

    Access lines have their own date and are not filtered by `level`: they have a switch of their own.
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
