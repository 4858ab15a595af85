"""Request ids, for people who search a log for one request.

An id is made when it is first asked for, or when a sink is on: a prefix of the server, and a number. With the setting
`request_id_header`, the id comes from that field of the request, which a trusted proxy writes.
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
"""Id of the request that the running code belongs to. `-` outside of requests, and when neither a sink nor the setting
request_id_header is on."""

_GOOD: Final = re.compile(rb"[!-~]{1,128}")


class RequestIds:
    """Makes the ids of one server. `header` names the field that is trusted to hold one; empty: no field is trusted."""

    def __init__(self, header: str = "") -> None:
        self._header = header.lower().encode("latin-1")
        self._prefix = secrets.token_hex(5)
        self._numbers = itertools.count(1)

    def of(self, head: RequestReceived) -> str:
        """Return the request's own id if it is trusted and is printable ASCII of at most 128 bytes; else a new one."""
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
