"""The adapter that puts an ASGI application on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.asgi.http import HTTPCycle
from headrace.asgi.lifespan import Lifespan
from headrace.asgi.tls import first_certificate
from headrace.asgi.websocket import WebSocketCycle

if TYPE_CHECKING:
    from headrace.asgi.types import ASGIApp
    from headrace.server.settings.config import Config


class ASGIApplication:
    """Serves an ASGI 3 application, with its lifespan if it has one."""

    exchange_type: Final = HTTPCycle
    tunnel_type: Final = WebSocketCycle
    drop_connection_fields: Final = True  # applications that know only HTTP/1 run unchanged
    name: Final = "asgi"

    def __init__(self, app: ASGIApp, config: Config) -> None:
        self.handler = app
        self.cancel_on_disconnect: bool = getattr(app, "cancel_on_disconnect", True)
        self.takes_websockets: bool = config.websockets != "off"
        self.websocket_compression: bool = config.websocket_compression
        self.server_cert: str | None = first_certificate(config.tls_cert)
        self.root_path: str = config.root_path
        self.state: dict[str, Any] | None = None
        """The application's `scope["state"]` after its start; every request gets a shallow copy."""
        self._lifespan = Lifespan(app, config.lifespan, config.drain_timeout_s) if config.lifespan != "off" else None

    async def startup(self) -> None:
        """Run the lifespan's start. Raises StartupError."""
        if self._lifespan is not None:
            self.state = await self._lifespan.startup()

    async def shutdown(self) -> None:
        """Run the lifespan's shutdown."""
        if self._lifespan is not None:
            await self._lifespan.shutdown()
