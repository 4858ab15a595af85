"""A server's connections without a network: the whole path of a request, from its bytes to those of its answer.

The event loop has no clock and waits for nothing, so that each run takes the same steps.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

from headrace.engine.limits import Limits
from headrace.server.connection.driver import ServerDriver
from headrace.server.connection.service import Service
from headrace.server.interface import adapt
from headrace.server.settings.config import Config
from headrace.testing import PREFACE, SETTINGS_ACK, data_frame, headers_frame, settings_frame, window_update_frame

from benchmarks.micro.case import Work
from benchmarks.micro.cases.hpack import blocks
from benchmarks.micro.cases.messages import PATHS, POST, head, section

WIDE = 2**31 - 1


class NoWaiting(selectors.SelectSelector):
    """Finds nothing ready, at once."""

    def select(self, timeout: float | None = None) -> list[Any]:
        return []


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still."""

    def __init__(self) -> None:
        super().__init__(NoWaiting())

    def time(self) -> float:
        return 0.0

    def turn(self) -> None:
        """Run once what is ready."""
        self.call_soon(self.stop)
        self.run_forever()


class Sink(asyncio.BaseTransport):
    """A transport that accepts everything at once; like uvloop's, it is no asyncio.Transport."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def write(self, data: bytes) -> None:
        self.sent += len(data)

    def writelines(self, pieces: list[bytes]) -> None:
        self.sent += sum(map(len, pieces))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Accept: nothing is ever buffered."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


LOOP = Loop()


def h2_reads(count: int, *, body: bytes = b"") -> list[bytes]:
    """Return the input of an HTTP/2 connection: ten reads with `count` requests altogether."""
    encoded = blocks([section(path, b"POST" if body else b"GET") for path in PATHS[:count]])
    requests = [
        headers_frame(2 * i + 1, block, end_stream=not body)
        + (data_frame(2 * i + 1, body, end_stream=True) if body else b"")
        for i, block in enumerate(encoded)
    ]
    each = count // 10
    return [b"".join(requests[i : i + each]) for i in range(0, count, each)]


def h1_reads(count: int, *, body: bytes = b"") -> list[bytes]:
    """Return the input of an HTTP/1.1 connection: `count` requests, one a read."""
    if body:
        return [head(path, b"POST", len(POST)) + body for path in PATHS[:count]]
    return [head(path) for path in PATHS[:count]]


def served(app: Any, protocol: str, reads: list[bytes]) -> Callable[[], Work]:
    """Return a case: `app` answers what comes in `reads` on one connection."""

    def make() -> Work:
        config = Config(protocols=protocol, limits=Limits(odd_frame_burst=10**9, early_reset_burst=10**9))
        service = Service(adapt(app, config), config)
        service.clock.renew(0.0)
        sink = Sink()
        driver = ServerDriver(service, LOOP)
        driver.connection_made(sink)
        if protocol == "h2":
            driver.data_received(
                PREFACE + settings_frame([(4, WIDE)]) + SETTINGS_ACK + window_update_frame(0, WIDE - 65_535)
            )
        LOOP.turn()

        def work() -> None:
            for data in reads:
                before = sink.sent
                driver.data_received(data)
                while driver.live or driver.open_streams or sink.sent == before:
                    LOOP.turn()

        return work

    return make
