"""The access log: one line a request, in the common log format with the time taken, on the logger `headrace.access`.

    192.0.2.1 - - [21/Nov/2026:10:00:00 +0000] "GET /path?query HTTP/2" 200 1234 3.1ms

Status and octets are `-` and 0 when no response was begun; a request that ended before its time has the reason at the
end of its line.
What comes from the client is escaped, so that no request can write a line of its own or colour a terminal.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Final

from headrace.server.logs import ACCESS_LOGGER

if TYPE_CHECKING:
    from headrace.server.exchange import Exchange

_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")  # all but printable ASCII without " and \


class AccessLog:
    """Writes the access log. `record` is the hook that `headrace.server.driver` describes."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(ACCESS_LOGGER)
        self._second = -1
        self._date = ""

    def record(self, exchange: Exchange, duration_s: float) -> None:
        """Write the line of a request that has ended, `duration_s` seconds after it began."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._date = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))
        head = exchange.head
        client = exchange.driver.client
        self._logger.info(
            '%s - - [%s] "%s %s HTTP/2" %s %d %.1fms%s',
            client[0] if client is not None else "-",
            self._date,
            escaped(head.method),
            # CONNECT has no path (RFC 9113 §8.5): its target is the authority.
            escaped(head.path or head.authority),
            exchange.status or "-",
            exchange.sent if head.method != b"HEAD" else 0,  # what a handler gave, the engine left out
            duration_s * 1000,
            f" ({exchange.gone})" if exchange.gone else "",
        )


def escaped(octets: bytes) -> str:
    """Octets as printable ASCII: quotes, backslashes and all others as \\xNN."""
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02x}", octets.decode("latin-1"))
