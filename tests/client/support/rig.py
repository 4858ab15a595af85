"""A driver on a real connection, an owner that keeps its notices, and requests for it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Literal

from headrace.client.connection.driver import CLIENT_LIMITS, ClientDriver
from headrace.client.errors import BodyConsumed, RequestError
from headrace.client.interface import Origin, Outgoing, Pairs
from headrace.client.timeouts import Timeouts
from headrace.engine.limits import Limits
from headrace.transport.tls_transport import TLSTransport

from tests.client.support.peer import Listening

PATIENT = Timeouts.of(None)
"""No timeouts: for tests of other things."""


class Owner:
    """Keeps the notices of a driver to its owner."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.error: RequestError | None = None
        self.lost = asyncio.Event()
        self.when_room: Callable[[ClientDriver], None] | None = None

    def on_ready(self, driver: ClientDriver) -> None:
        self.told.append("ready")

    def on_room(self, driver: ClientDriver) -> None:
        self.told.append("room")
        if self.when_room is not None:
            self.when_room(driver)

    def on_origins(self, driver: ClientDriver) -> None:
        """See `DriverOwner`."""

    def on_unusable(self, driver: ClientDriver) -> None:
        self.told.append("unusable")

    def on_lost(self, driver: ClientDriver, error: RequestError | None) -> None:
        self.told.append("lost")
        self.error = error
        self.lost.set()


async def connect(
    server: Listening,
    protocols: Literal["alpn", "h2", "http/1.1"] = "h2",
    *,
    limits: Limits = CLIENT_LIMITS,
    wait_for_settings: bool = False,
    tls: ssl.SSLContext | None = None,
) -> tuple[ClientDriver, Owner]:
    """Give a driver that is connected to the scripted server."""
    loop = asyncio.get_running_loop()
    owner = Owner()
    origin = Origin("https" if tls else "http", "127.0.0.1", server.port)
    driver = ClientDriver(
        loop, limits, origin=origin, protocols=protocols, owner=owner, wait_for_settings=wait_for_settings
    )
    server.losses.append(owner.lost)
    if tls is None:
        await loop.create_connection(lambda: driver, "127.0.0.1", server.port)
    else:
        shaken = loop.create_future()
        layer = TLSTransport(
            driver,
            tls,
            server_side=False,
            server_hostname="localhost",
            on_handshake=lambda _, fault: shaken.set_result(fault),
        )
        await loop.create_connection(lambda: layer, "127.0.0.1", server.port)
        assert await shaken is None
    return driver, owner


class Pieces:
    """Content from an iterable of pieces, or from an async generator function; with trailers, if given."""

    def __init__(
        self,
        pieces: Iterable[Any] | Callable[[], AsyncIterator[bytes]],
        *,
        length: int | None = None,
        trailers: Pairs | None = None,
    ) -> None:
        self._pieces = pieces
        self.length = length
        self.is_replayable = True
        self.opened = 0
        self.closed = 0
        self._trailers = trailers or []

    async def open_it(self) -> AsyncIterator[bytes]:
        self.opened += 1
        try:
            if callable(self._pieces):
                async for piece in self._pieces():
                    yield piece
            else:
                for piece in self._pieces:
                    yield piece
        finally:
            self.closed += 1

    def open(self) -> AsyncIterator[bytes]:
        if not self.is_replayable:
            raise BodyConsumed("the content was sent once, and is used up")
        return self.open_it()

    def trailers(self) -> Pairs:
        return self._trailers


def request(method: str = "GET", path: str = "/", content: Any = b"", **options: Any) -> Outgoing:
    """Return a request to the scripted server. `headers` and the other options are Outgoing's."""
    options.setdefault("timeouts", PATIENT)
    headers = options.pop("headers", [])
    origin = Origin("http", "127.0.0.1", 80)
    return Outgoing(
        method.encode(), origin, b"localhost", path.encode(), headers, content, url=f"http://localhost{path}", **options
    )


def get(path: str = "/", **options: Any) -> Outgoing:
    return request("GET", path, **options)


def post(content: Any, path: str = "/", **options: Any) -> Outgoing:
    return request("POST", path, content, **options)


async def settled(is_true: Callable[[], bool]) -> None:
    """Run turns of the event loop until `is_true` returns True, as work under way must make it."""
    async with asyncio.timeout(10.0):
        while not is_true():
            await asyncio.sleep(0.001)


async def seen(is_true: Callable[[], bool]) -> None:
    """Check at each turn of the event loop until `is_true`: for a state that may last less than a millisecond."""
    async with asyncio.timeout(10.0):
        while not is_true():
            await asyncio.sleep(0)
