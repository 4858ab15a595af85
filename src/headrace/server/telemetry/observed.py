"""Requests of a server with a sink.

Without a sink none of this is used: the server makes exchanges of the adapter's own class, which knows nothing of
telemetry. With one, `Observed` is put on top of that class, and calls the sinks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from headrace.server.connection.exchange import ServerExchange
from headrace.server.errors import ClientDisconnected, HTTPError
from headrace.server.request_id import request_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.engine.events import DataReceived, RequestReceived
    from headrace.server.connection.application import DrivenExchange
    from headrace.server.connection.service import ServedConnection


class Observer(Protocol):
    """A listener to requests: see `headrace.server.telemetry.interface.Telemetry`."""

    def request_started(self, request: Observed) -> None:
        """Handle that a handler is about to run."""

    def request_failed(self, request: Observed, error: BaseException) -> None:
        """Handle an exception of the handler, or of writing its response."""

    def request_stopped(self, request: Observed, duration_s: float) -> None:
        """Handle the end of the handler."""

    def stream_reset(self, connection: ServedConnection, stream_id: int, by: str, code: int) -> None:
        """Handle the end of a stream before its time."""

    def websocket_opened(self, request: Observed) -> None:
        """Handle that a WebSocket was accepted."""

    def websocket_closed(self, request: Observed, duration_s: float) -> None:
        """Handle the end of an accepted WebSocket."""


def observed(kind: type[DrivenExchange], observer: Observer) -> type[DrivenExchange]:
    """Return the exchange class `kind` as one that notifies `observer`."""
    return type(f"Observed{kind.__name__}", (Observed, kind), {"telemetry": observer})


class Observed(ServerExchange):
    """A request whose start, end and failures are reported to `telemetry`."""

    telemetry: Observer
    is_observed = True

    received: int = 0
    """Bytes of content that have come."""
    _is_started: bool = False
    _is_stopped: bool = False
    _opened: float | None = None

    def __init__(self, driver: ServedConnection, head: RequestReceived) -> None:
        super().__init__(driver, head)
        self.arrived: float = time.perf_counter()

    # Values that a sink may read of every kind of request; native exchanges have some of them already.

    @property
    def http_version(self) -> str:
        """`2`, `1.1` or `1.0`."""
        return self.head.shared.http_version

    @property
    def route_path(self) -> str:
        """The pattern of the route that matched; empty if there is none, or it is unknown."""
        route = getattr(self, "route", None)
        return str(route.path) if route is not None else ""

    @property
    def client_address(self) -> tuple[str, int | None] | None:
        """Host and port of the client; behind a trusted proxy, the value that a middleware has set."""
        found: tuple[str, int | None] | None = getattr(self, "trusted_client", None)
        return found if found is not None else self.driver.client

    # -- the worker's life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        self._start()
        try:
            await super().run()
        finally:
            self._stop()

    def _start(self) -> None:
        self._is_started = True
        request_id.set(self.request_id)
        self.telemetry.request_started(self)

    def _stop(self) -> None:
        if self._is_started and not self._is_stopped:
            self._is_stopped = True
            now = time.perf_counter()
            if self._opened is not None:
                self.telemetry.websocket_closed(self, now - self._opened)
            self.telemetry.request_stopped(self, now - self.arrived)

    def end(self) -> None:
        super().end()
        if not self._is_started:
            # Cancelled before it could begin, which is possible up to Python 3.11. Call sinks in a context of their
            # own, as after a normal end: not in the canceller's.
            context = self.driver.service.context.copy()
            context.run(self._start)
            context.run(self._stop)

    def fail(self, error: BaseException) -> bool:
        is_consequence = self.gone is not None or self.driver.service.is_ending
        must_go_on = super().fail(error)
        if not is_consequence and not isinstance(error, (ClientDisconnected, HTTPError)):
            self.telemetry.request_failed(self, error)
        return must_go_on

    # -- what happens meanwhile --------------------------------------------------------------------------------

    def accept_tunnel(
        self, headers: Sequence[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None
    ) -> None:
        super().accept_tunnel(headers, never_indexed)
        self._opened = time.perf_counter()
        self.telemetry.websocket_opened(self)

    def reset(self, code: int) -> None:
        was_open = self.gone is None
        super().reset(code)
        if was_open:
            self.telemetry.stream_reset(self.driver, self.stream_id, "handler", code)

    def on_data(self, event: DataReceived) -> None:
        self.received += len(event.data)
        super().on_data(event)
