"""A sink that keeps what it is told, in order."""

from __future__ import annotations

from typing import Any

from headrace.server.telemetry import Telemetry


class Recorder(Telemetry):
    """`calls` holds a pair for each call: the method, and what tells requests apart in tests, their path."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.stopped: dict[bytes, tuple[int, int, int, str | None]] = {}
        self.errors: list[BaseException] = []
        self.durations: list[float] = []

    def names(self, path: bytes) -> list[str]:
        """What was told of the request for `path`."""
        return [name for name, what in self.calls if what == path]

    def server_started(self, service: Any) -> None:
        self.calls.append(("server_started", service))

    def connection_opened(self, connection: Any) -> None:
        self.calls.append(("connection_opened", None))

    def connection_closed(self, connection: Any, duration_s: float) -> None:
        self.calls.append(("connection_closed", None))
        self.durations.append(duration_s)

    def request_started(self, request: Any) -> None:
        self.calls.append(("started", request.head.path))

    def request_failed(self, request: Any, error: BaseException) -> None:
        self.calls.append(("failed", request.head.path))
        self.errors.append(error)

    def request_stopped(self, request: Any, duration_s: float) -> None:
        path = request.head.path
        self.calls.append(("stopped", path))
        self.stopped[path] = (request.status, request.sent, request.received, request.gone)
        self.durations.append(duration_s)

    def request_refused(self, connection: Any, count: int) -> None:
        self.calls.append(("refused", count))

    def stream_reset(self, connection: Any, stream_id: int, by: str, code: int) -> None:
        self.calls.append(("reset", (by, code)))

    def websocket_opened(self, request: Any) -> None:
        self.calls.append(("websocket opened", request.head.path))

    def websocket_closed(self, request: Any, duration_s: float) -> None:
        self.calls.append(("websocket closed", request.head.path))
        self.durations.append(duration_s)

    def drain_began(self, service: Any, timeout_s: float) -> None:
        self.calls.append(("drain began", timeout_s))
