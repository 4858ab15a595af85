"""Connections of a server that somebody listens to; see `observed` for its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.server.connection.driver import ServerDriver

if TYPE_CHECKING:
    import asyncio

    from headrace.engine.events import StreamReset
    from headrace.server.connection.service import Service
    from headrace.server.telemetry.interface import Telemetry


class ObservedDriver(ServerDriver):
    """A connection that tells of the streams that were refused or reset."""

    __slots__ = ("_refused", "_telemetry")

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop, telemetry: Telemetry) -> None:
        super().__init__(service, loop)
        self._refused = 0
        self._telemetry = telemetry

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        refused = getattr(self.engine, "streams_refused", 0)  # only HTTP/2 refuses
        if refused != self._refused:
            count, self._refused = refused - self._refused, refused
            self._telemetry.request_refused(self, count)

    def _on_reset(self, event: StreamReset) -> None:
        super()._on_reset(event)
        by = "client" if event.initiator == "remote" else "server"
        self._telemetry.stream_reset(self, event.stream_id, by, event.code)
