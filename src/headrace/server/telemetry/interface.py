"""The one interface between a server and sinks that count, log or trace its work."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from headrace.server.telemetry.observed import Observed, observed
from headrace.transport.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.server.connection.service import ServedConnection, Service

error_log: Final = get_logger("headrace.error")


class Telemetry:
    """Base of all sinks: its methods do nothing, and a sink overrides those that it wants. Give sinks to
    `Server(telemetry=...)`.

    All methods are called on the event loop and must not block. Exceptions that they raise are logged and do no harm.
    Of a `request` they may read `request_id`, `head` (method, path, authority, headers ...), `client_address`,
    `http_version`, `route_path` (the route's pattern; empty without one), `status` (0: no response was begun), `sent`
    and `received` (bytes of content), `gone` (None, or why the stream ended before its time), `arrived` (seconds on
    `time.perf_counter`) and `driver`, its connection. Of a connection: `client`, `local`, `scheme`, `http_version`,
    `engine.stats()`.
    """

    def server_started(self, service: Service) -> None:
        """Handle that the server is about to listen. `service.drivers` holds its connections at any time."""

    def connection_opened(self, connection: ServedConnection) -> None:
        """Handle a new connection; under TLS, after the handshake."""

    def connection_closed(self, connection: ServedConnection, duration_s: float) -> None:
        """Handle the end of a connection, after its last worker has ended."""

    def request_started(self, request: Observed) -> None:
        """Handle that a handler is about to run. Called in its task, so that it sees context variables that are set
        here."""

    def request_failed(self, request: Observed, error: BaseException) -> None:
        """Handle an exception of the handler, or of writing its response. `request_stopped` follows."""

    def request_stopped(self, request: Observed, duration_s: float) -> None:
        """Handle the end of a request: called exactly once for each `request_started`, after the worker has ended.
        `duration_s` counts from the request's arrival, so it includes the time that it waited for a place."""

    def request_refused(self, connection: ServedConnection, count: int) -> None:
        """Handle that `count` requests were refused with REFUSED_STREAM, or 503 over HTTP/1.1, because too many are
        open, or the connection drains."""

    def stream_reset(self, connection: ServedConnection, stream_id: int, by: str, code: int) -> None:
        """Handle the end of a stream before its time. `by` is `client` (which may also have gone away), `server` (a
        fault of the client, or a deadline) or `handler` (the application's fault, or decision); `code` is one of RFC
        9113 §7."""

    def websocket_opened(self, request: Observed) -> None:
        """Handle that a WebSocket was accepted."""

    def websocket_closed(self, request: Observed, duration_s: float) -> None:
        """Handle the end of an accepted WebSocket; `duration_s` is from its acceptance. `request_stopped` follows."""

    def drain_began(self, service: Service, timeout_s: float) -> None:
        """Handle the beginning of the server's graceful end; running requests have `timeout_s` seconds."""


class Listeners(Telemetry):
    """Several sinks as one. An exception of a sink ends here, with a line in the log."""

    def __init__(self, sinks: Sequence[Telemetry]) -> None:
        self._sinks = tuple(sinks)
        self._opened: dict[ServedConnection, float] = {}
        # Call only sinks that listen: one method per sink that overrides it.
        self._calls = {
            name: [
                (getattr(sink, name), type(sink).__name__)
                for sink in sinks
                if getattr(type(sink), name) is not getattr(Telemetry, name)
            ]
            for name in vars(Telemetry)
            if not name.startswith("_")
        }

    def observe(self, service: Service) -> None:
        """Send the events of all connections and requests of `service`, which has none yet, to `sink`."""
        service.watcher = self
        service.exchange_type = observed(service.exchange_type, self)
        service.tunnel_type = observed(service.tunnel_type, self)

    def _notify(self, name: str, *arguments: Any) -> None:
        for call, sink in self._calls[name]:
            try:
                call(*arguments)
            except (Exception, asyncio.CancelledError):  # the task that this runs in was not cancelled
                error_log.exception("telemetry: %s of %s failed", name, sink)

    def server_started(self, service: Service) -> None:
        self._notify("server_started", service)

    def connection_opened(self, connection: ServedConnection) -> None:
        self._opened[connection] = time.perf_counter()
        self._notify("connection_opened", connection)

    def connection_closed(self, connection: ServedConnection, duration_s: float = 0.0) -> None:
        opened = self._opened.pop(connection, None)
        if opened is not None:
            self._notify("connection_closed", connection, time.perf_counter() - opened)

    def request_started(self, request: Observed) -> None:
        self._notify("request_started", request)

    def request_failed(self, request: Observed, error: BaseException) -> None:
        self._notify("request_failed", request, error)

    def request_stopped(self, request: Observed, duration_s: float) -> None:
        self._notify("request_stopped", request, duration_s)

    def request_refused(self, connection: ServedConnection, count: int) -> None:
        self._notify("request_refused", connection, count)

    def stream_reset(self, connection: ServedConnection, stream_id: int, by: str, code: int) -> None:
        self._notify("stream_reset", connection, stream_id, by, code)

    def websocket_opened(self, request: Observed) -> None:
        self._notify("websocket_opened", request)

    def websocket_closed(self, request: Observed, duration_s: float) -> None:
        self._notify("websocket_closed", request, duration_s)

    def drain_began(self, service: Service, timeout_s: float) -> None:
        self._notify("drain_began", service, timeout_s)
