"""The drain of a whole server (docs/explanation/connection.md).

It begins at once: no new connections, and GOAWAY on every connection, in two phases (RFC 9113 §6.8), which the engine
does. Running requests have until the deadline. Then remaining streams get RST_STREAM(CANCEL), their workers are
cancelled, and a transport that still does not close is aborted. So the end never waits for a client.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from headrace.transport.connection_parts.transport_end import CLOSE_TIMEOUT_S
from headrace.transport.log import get_logger

if TYPE_CHECKING:
    from headrace.server.connection.service import Service

TIDY_UP_S: Final = 1.0  # time for cancelled workers to end; later ones are left running

logger: Final = get_logger("headrace")


class ServerDrain:
    """Ends a `service` within `timeout_s`, and a little more for the last output."""

    def __init__(self, service: Service, timeout_s: float) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._cut = asyncio.Event()

    def begin(self) -> None:
        """Begin the drain of every connection now."""
        deadline = self._service.drain_deadline = asyncio.get_running_loop().time() + self._timeout_s
        for driver in list(self._service.drivers):
            driver.begin_drain(deadline)

    def cut_short(self) -> None:
        """Set the deadline to now."""
        self._cut.set()

    async def finished(self) -> None:
        """Wait until every connection is gone and every worker has ended, by itself or by force."""
        loop = asyncio.get_running_loop()
        empty = loop.create_task(self._service.wait_empty())
        cut = loop.create_task(self._cut.wait())
        try:
            deadline = self._service.drain_deadline
            assert deadline is not None  # it has begun
            left = max(0.0, deadline - loop.time())
            await asyncio.wait((empty, cut), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not empty.done():
                await self._force(empty)
        finally:
            empty.cancel()
            cut.cancel()

    async def _force(self, empty: asyncio.Task[None]) -> None:
        service = self._service
        service.is_ending = True
        workers = sum(len(driver.live) for driver in service.drivers)
        if workers:
            logger.warning("the drain is over; %d running requests are ended", workers)
        for driver in list(service.drivers):
            driver.cancel_workers()
        await asyncio.sleep(0)  # workers reset their own streams
        for driver in list(service.drivers):
            driver.close()
        await asyncio.wait((empty,), timeout=TIDY_UP_S)
        for driver in list(service.drivers):
            driver.abort()
        await asyncio.wait((empty,), timeout=CLOSE_TIMEOUT_S)
        left = sum(len(driver.live) for driver in service.drivers)
        if left:
            logger.error("%d handlers were cancelled and still run; the server ends without them", left)
