"""A server that exists only in a test: it answers as a handler says, and fails as servers and networks do.

Between it and the client stand the real pool, the real driver and two real engines, joined in memory. So a fault has
the same effect as on a network.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable
from typing import Any, Literal

from headrace.client.connect.config import NetworkConfig
from headrace.client.connection.driver import ClientDriver, DriverOwner
from headrace.client.errors import RequestError
from headrace.client.interface import Incoming, Origin, Outgoing
from headrace.client.pool.network import NetworkTransport
from headrace.client.testing.memory import MemoryTransport
from headrace.client.testing.mock_server import MockConnection, MockHandler, MockRequest
from headrace.client.testing.script import (
    Answer,
    Drain,
    Fault,
    GoAway,
    Lost,
    Raw,
    Refused,
    Reset,
    Stall,
    Truncated,
)
from headrace.engine.limits import Limits
from headrace.transport.kinds import kind_of


class MockTransport:
    """Carries requests to `answers`: `Client(transport=MockTransport(handler))`.

    `answers` is a function of a MockRequest, called when the request has arrived whole; or a coroutine function, called
    as soon as its head has arrived, which may `await request.read()`. It returns an Answer, or a fault. Or `answers` is
    a list: each request gets the next one, and an AssertionError when there is none. The request raises the handler's
    exceptions.

    `attempts` has the results of attempts to connect, one after another: an error to raise, or None to succeed, as all
    further ones do. The server speaks `http_version`. `limits` are the server's. `config` is the client's: its limits
    of the pool count; its DNS, TLS and proxies do not.
    """

    def __init__(
        self,
        answers: MockHandler | Iterable[Answer | Fault],
        *,
        http_version: Literal["1.1", "2"] = "2",
        attempts: Iterable[Exception | None] = (),
        limits: Limits | None = None,
        config: NetworkConfig | None = None,
    ) -> None:
        self.requests: list[MockRequest] = []
        """Every request that has reached the server, in order. One that is sent again is listed twice."""
        self.connections: int = 0
        """Number of connections that were made."""
        self._handler: MockHandler = answers if callable(answers) else _script(answers)
        self._protocol: Literal["h2", "http/1.1"] = "h2" if http_version == "2" else "http/1.1"
        self._attempts = iter(attempts)
        self._limits = limits if limits is not None else Limits()
        self._config = config if config is not None else NetworkConfig()
        self._open: list[MockConnection] = []
        self._errors: dict[Outgoing, Exception] = {}
        self._context = contextvars.copy_context()
        self._network = NetworkTransport(self._config, connector=self)

    async def send(self, outgoing: Outgoing, *, whole: bool = False) -> Incoming:
        """See `headrace.client.interface.Transport.send`."""
        try:
            return await self._network.send(outgoing, whole=whole)
        except RequestError:
            error = self._errors.get(outgoing)
            if error is not None:
                raise error from None
            raise
        finally:
            self._errors.pop(outgoing, None)

    async def aclose(self) -> None:
        """End everything."""
        await self._network.aclose()
        for connection in self._open:
            connection.end()
        self._open.clear()

    async def connect(self, origin: Origin, owner: DriverOwner, **options: Any) -> ClientDriver:
        """Return a connection in memory; the pool calls it."""
        outcome = next(self._attempts, None)
        if outcome is not None:
            raise outcome
        loop = asyncio.get_running_loop()
        driver = ClientDriver(loop, self._config.limits, origin=origin, protocols=self._protocol, owner=owner)

        def on_error(stream_id: int, error: Exception) -> None:
            exchange = driver.live.get(stream_id)
            if exchange is not None:  # else no caller waits for it any more
                self._errors[exchange.outgoing] = error

        server = MockConnection(
            loop, origin, self._protocol, self._limits, self._handler, self.requests.append, on_error
        )
        server.context = self._context
        self._open.append(server)
        self.connections += 1
        MemoryTransport.pair(loop, server, driver)
        await driver.ready()
        return driver


def _script(answers: Iterable[Answer | Fault]) -> MockHandler:
    left = list(answers)
    count = len(left)
    for each in left:
        if not isinstance(each, (Answer, Fault)):
            raise TypeError(f"the answers of a MockTransport must be of Answer or of a fault, not {kind_of(each)}")

    def handler(request: MockRequest) -> Answer | Fault:
        if not left:
            raise AssertionError(f"the script has {count} answers, and none for the next request, {request!r}")
        return left.pop(0)

    return handler


__all__ = [
    "Answer",
    "Drain",
    "Fault",
    "GoAway",
    "Lost",
    "MockRequest",
    "MockTransport",
    "Raw",
    "Refused",
    "Reset",
    "Stall",
    "Truncated",
]
