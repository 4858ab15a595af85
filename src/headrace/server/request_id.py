"""Names for requests, for people who look for one in a log.

An id is made when somebody asks, or when a sink is on: a prefix that is the server's own, and a number. It is taken
from the request instead where a proxy that is trusted puts one there (`request_id_header`).
"""

from __future__ import annotations

import itertools
import logging
import re
import secrets
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headrace.engine.events import RequestReceived

request_id: Final[ContextVar[str]] = ContextVar("headrace.request_id", default="-")
"""The id of the request that the running code belongs to; `-` outside of one, and where neither a sink nor the setting
request_id_header is on."""

_GOOD: Final = re.compile(rb"[!-~]{1,128}")


class RequestIds:
    """Makes the ids of one server. `header` is the field that is trusted to have one; empty trusts none."""

    def __init__(self, header: str = "") -> None:
        self._header = header.lower().encode("latin-1")
        self._prefix = secrets.token_hex(5)
        self._numbers = itertools.count(1)

    def of(self, head: RequestReceived) -> str:
        """The id that the request came with, if that is trusted and printable ASCII of at most 128 octets; else a new
        one."""
        if self._header:
            for name, value in head.headers:
                if name == self._header:
                    if _GOOD.fullmatch(value):
                        return value.decode("ascii")
                    break
        return f"{self._prefix}-{next(self._numbers)}"


class RequestIdFilter(logging.Filter):
    """Gives every log record the attribute `request_id`, for `%(request_id)s` in a format; `-` outside of requests.

    Add it to a handler: `handler.addFilter(RequestIdFilter())`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = request_id.get()
        return True
