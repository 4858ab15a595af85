"""The access log: one line per request on the logger `headrace.access`, in the common log format with the time taken:

    192.0.2.1 - - [21/Nov/2026:10:00:00 +0000] "GET /path?query HTTP/2" 200 1234 3.1ms

or as an object in JSON, with more values. Status and bytes are `-` and 0 (null and 0) if no response was begun; a
request that ended before its time has the reason at the end of its line. Text from the client is escaped, so that no
request can write a line of its own or colour a terminal.
"""

from __future__ import annotations

import json
import logging
import re
import time
from typing import TYPE_CHECKING, Final

from headrace.server.telemetry.interface import Telemetry
from headrace.server.telemetry.logs import ACCESS_LOGGER
from headrace.transport.log import get_logger, printable

if TYPE_CHECKING:
    from headrace.server.telemetry.observed import Observed

_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")  # all but printable ASCII without " and \


class AccessLog(Telemetry):
    """Writes the access log, as `plain` or `json`."""

    def __init__(self, style: str = "plain") -> None:
        self._logger = get_logger(ACCESS_LOGGER)
        self._line = _json_line if style == "json" else self._plain_line
        self._second = -1
        self._date = ""

    def request_stopped(self, request: Observed, duration_s: float) -> None:
        """Write the line of a request that has ended, `duration_s` seconds after it came."""
        if self._logger.isEnabledFor(logging.INFO):
            self._logger.info("%s", self._line(request, duration_s))

    def _plain_line(self, request: Observed, duration_s: float) -> str:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._date = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))
        head = request.head
        client = request.client_address
        return '%s - - [%s] "%s %s HTTP/%s" %s %d %.1fms%s' % (  # noqa: UP031 - a third quicker, once a request
            client[0] if client is not None else "-",
            self._date,
            escaped(head.method),
            # CONNECT has no path (RFC 9113 §8.5): its target is the authority.
            escaped(head.path or head.authority),
            request.http_version,
            request.status or "-",
            _sent(request),
            duration_s * 1000,
            f" ({printable(request.gone)})" if request.gone else "",
        )


def _json_line(request: Observed, duration_s: float) -> str:
    """Return the request as one line of JSON, ASCII only. Bytes that are not UTF-8 stand as `\\xNN` in it."""
    head = request.head
    client = request.client_address
    now = time.time()
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    fields = {
        "time": f"{seconds}.{int(now % 1 * 1e6):06d}Z",
        "request_id": request.request_id,
        "client": client[0] if client is not None else None,
        "method": _text(head.method),
        "target": _text(head.path or head.authority),
        "host": _text(head.authority) or next((_text(value) for name, value in head.headers if name == b"host"), None),
        "protocol": f"HTTP/{request.http_version}",
        "status": request.status or None,
        "sent": _sent(request),
        "received": request.received,
        "duration_ms": round(duration_s * 1000, 3),
        "route": request.route_path or None,
        "user_agent": next((_text(value) for name, value in head.headers if name == b"user-agent"), None),
        "ended": request.gone,
    }
    return json.dumps(fields, separators=(",", ":"))


def _sent(request: Observed) -> int:
    return request.sent if request.head.method != b"HEAD" else 0  # the engine drops the content


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def escaped(data: bytes) -> str:
    """Return bytes as printable ASCII: quotes, backslashes and all others as \\xNN."""
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", data.decode("latin-1"))
