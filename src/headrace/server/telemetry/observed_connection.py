"""Connections of a server with a sink; see `observed` for its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.server.connection.driver import ServerDriver

if TYPE_CHECKING:
    import asyncio

    from headrace.engine.events import StreamRefused, StreamReset
    from headrace.server.connection.service import Service
    from headrace.server.telemetry.interface import Telemetry


class ObservedDriver(ServerDriver):
    """A connection that reports streams that were refused or reset."""

    __slots__ = ("_telemetry",)

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop, telemetry: Telemetry) -> None:
        super().__init__(service, loop)
        self._telemetry = telemetry

    def _on_refused(self, event: StreamRefused) -> None:
        self._telemetry.request_refused(self, 1)

    def _on_reset(self, event: StreamReset) -> None:
        super()._on_reset(event)
        by = "client" if event.initiator == "remote" else "server"
        self._telemetry.stream_reset(self, event.stream_id, by, event.code)
