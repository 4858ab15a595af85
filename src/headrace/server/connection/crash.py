"""Exceptions of handlers: whether they follow from a disconnect, and their texts for a log."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

from headrace.server.errors import ClientDisconnected
from headrace.server.open_limit import open_limit
from headrace.transport.log import get_logger, printable

if TYPE_CHECKING:
    from headrace.transport.log import Seldom

error_log: Final = get_logger("headrace.error")


def follows_disconnect(error: BaseException | None) -> bool:
    """Return whether `error` follows from ClientDisconnected: the error, a group of it, or a consequence."""
    for _ in range(8):
        if error is None or isinstance(error, ClientDisconnected):
            break
        if isinstance(error, BaseExceptionGroup):
            return all(follows_disconnect(each) for each in error.exceptions)
        error = error.__cause__ or error.__context__
    return isinstance(error, ClientDisconnected)


def log_exhaustion(seldom: Seldom, request: object, handler: str, error: BaseException) -> None:
    """Log, now and then, that the process has no descriptor left for a request."""
    if seldom.is_due():
        error_log.error(
            "%s: %s found no descriptor left (%s), as did %d requests before it that were not logged; the limit of "
            "open files (ulimit -n) is %d",
            request,
            handler,
            error_text(error),
            seldom.silent,
            open_limit(),
        )
        seldom.silent = 0


def error_text(error: BaseException) -> str:
    """Return the exception's text, safe for a log, even if its `__str__` raises."""
    try:
        return printable(str(error)[:512])
    except Exception:
        return "(no text)"


def error_summary(error: BaseException) -> str:
    """Return the exception's type and the first line of its message, safe for a log."""
    text = traceback.format_exception_only(error)[-1].strip().partition("\n")[0][:512]
    return printable(text)
