"""The state of a connection, for its owner: is it ready, has it room, how far away is the server."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from headrace.client.errors import ConnectionLost, RequestError
from headrace.engine.h2 import H2ClientConnection
from headrace.transport.connection import Connection

if TYPE_CHECKING:
    import asyncio

    from headrace.client.connection.exchange import ClientExchange
    from headrace.client.interface import Origin
    from headrace.engine.contract import ClientEngine
    from headrace.engine.limits import Limits
    from headrace.websocket.fair_share import ConnectionShare

BEFORE_SETTINGS: Final = 100
"""Requests at once on a connection before its SETTINGS have arrived: RFC 9113 §6.5.2 asks servers for no less."""


class DriverState(Connection):
    """A connection with the state that its owner may read."""

    __slots__ = (
        "_ended",
        "_is_unusable",
        "_pings",
        "_ready_waiters",
        "_tls",
        "announced_origins",
        "bytes_before_idle",
        "cause",
        "completed",
        "goaway_text",
        "has_begun",
        "http_version",
        "idle_since",
        "is_ready",
        "limits",
        "live",
        "local",
        "now",
        "origin",
        "peer",
        "settings_seen",
        "websocket_share",
    )

    engine: ClientEngine

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, origin: Origin) -> None:
        super().__init__(loop, limits.stalled_send_timeout_s)
        self.live: dict[int, ClientExchange] = {}
        """Exchanges that are not over, by stream."""
        self.now: float = loop.time()
        """The event loop's time at the last input."""
        self.limits: Limits = limits
        self.origin: Origin = origin
        self.websocket_share: ConnectionShare | None = None
        """State that the WebSockets of this connection share, once there is one."""
        self.http_version: str = ""
        """"2" or "1.1", once connected."""
        self.is_ready: bool = False
        """True from the time at which the first request may begin."""
        self.settings_seen: bool = False
        """True once the server's SETTINGS have arrived."""
        self.idle_since: float = self.now
        """The event loop's time at which the last exchange ended; valid while `live` is empty."""
        self.has_begun: bool = False
        """True once a request has begun here, however it was given to the connection."""
        self.completed: int = 0
        """Number of responses that were complete."""
        self.announced_origins: list[bytes] | None = None
        """The entries of ORIGIN frames, None before the first frame (RFC 8336 §2.3)."""
        self.peer: Any = None
        self.local: Any = None
        self.bytes_before_idle: int = 0
        """Bytes that arrived over HTTP/1.1 before `live` was last empty."""
        self.cause: str = ""
        """The operating system's reason for the end of the connection."""
        self.goaway_text: str = ""
        """The text of the server's GOAWAY, for a message."""
        self._tls: Any = None
        self._is_unusable = False
        self._ended: RequestError | None = None
        self._pings: dict[bytes, asyncio.Future[bool]] | None = None
        self._ready_waiters: list[asyncio.Future[None]] = []
        # An engine from the start, so that a connection that is never made can be lost in the same way as any other.
        self.engine = H2ClientConnection(limits, now=self.now)

    def before_input(self, now: float) -> None:
        self.now = now

    # -- questions of the owner --------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Return True when `begin` may be called now."""
        return (
            self.is_ready
            and not self._is_unusable
            and self.engine.can_send_request
            and (self.settings_seen or len(self.live) < BEFORE_SETTINGS)
        )

    @property
    def is_usable(self) -> bool:
        """Return True while a further request may begin here at some time: not after GOAWAY, at the end, or in a
        drain."""
        return not self._is_unusable and not self.engine.closed and not self._ending

    @property
    def capacity(self) -> int:
        """Return how many requests may be open at once: MAX_CONCURRENT_STREAMS, 100 before SETTINGS; 1 over
        HTTP/1.1."""
        engine = self.engine
        if not isinstance(engine, H2ClientConnection):
            return 1
        return engine.peer.max_concurrent_streams if self.settings_seen else BEFORE_SETTINGS

    @property
    def takes_websockets(self) -> bool | None:
        """Return True when a WebSocket can be opened here (RFC 8441 §3), None until SETTINGS have arrived."""
        engine = self.engine
        if not isinstance(engine, H2ClientConnection):
            return True
        return engine.peer.enable_connect_protocol == 1 if self.settings_seen else None

    @property
    def info(self) -> dict[str, Any]:
        """Return a dict: `peer` and `local` as the socket names them; `tls` is None, or a dict of version, cipher,
        alpn, certificate."""
        tls = self._tls
        return {
            "peer": self.peer,
            "local": self.local,
            "tls": None
            if tls is None
            else {
                "version": tls.version(),
                "cipher": tls.cipher(),
                "alpn": tls.selected_alpn_protocol(),
                "certificate": tls.getpeercert(),
            },
        }

    async def ready(self) -> None:
        """Wait until the first request may begin. Raises RequestError when the connection ends before."""
        while not self.is_ready:
            if self._ending or self.engine.closed:
                raise self._ended or ConnectionLost("the connection ended before it was ready", retryable=True)
            waiter = self.loop.create_future()
            self._ready_waiters.append(waiter)
            await waiter

    async def ping(self) -> float:
        """Send a PING, wait for its acknowledgement, and return the seconds between them (RFC 9113 §6.7). Raises
        ConnectionLost when the connection ends before, and RuntimeError over HTTP/1.1, which has no PING."""
        if self.http_version != "2":
            raise RuntimeError("HTTP/1.1 has no PING")
        if self.engine.closed:
            raise ConnectionLost("the connection has ended")
        pings = self._pings
        if pings is None:
            pings = self._pings = {}
        opaque = os.urandom(8)
        waiter = pings[opaque] = self.loop.create_future()
        self.engine.send_ping(opaque)
        began = time.perf_counter()  # the event loop's clock may have a tick of a millisecond
        if not self.flush_due:
            self._flush()
        try:
            is_answered = await waiter
        finally:
            pings.pop(opaque, None)
        if not is_answered:
            raise ConnectionLost("the connection ended before the PING was acknowledged")
        return time.perf_counter() - began

    # -- waiters -----------------------------------------------------------------------------------------------

    def _wake_ready(self) -> None:
        waiters = self._ready_waiters
        self._ready_waiters = []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _end_pings(self) -> None:
        if self._pings is not None:
            for waiter in self._pings.values():
                if not waiter.done():
                    waiter.set_result(False)

    def _on_ping_ack(self, opaque: bytes) -> None:
        waiter = self._pings.get(opaque) if self._pings is not None else None
        if waiter is not None and not waiter.done():
            waiter.set_result(True)
