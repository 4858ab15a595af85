"""An application as its connections see it: the adapters of ASGI, WSGI and native handlers are such classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from headrace.server.connection.exchange import Exchange


class Application(Protocol):
    """An application with its adapter."""

    name: str
    """`asgi`, `wsgi` or `native`."""
    exchange_type: type[Exchange]
    """Class of the exchange for a request: made as `exchange_type(driver, head)`, then its `run()` is awaited in a
    task."""
    tunnel_type: type[Exchange]
    """Class of the exchange for a WebSocket's request."""
    takes_websockets: bool
    """Whether WebSockets are offered: over HTTP/2 by SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 §3)."""
    cancel_on_disconnect: bool
    """Whether a worker is cancelled when its client has gone."""
    drop_connection_fields: bool
    """Whether fields that only HTTP/1 has are dropped silently (RFC 9113 §8.2.2) instead of being an error."""
    handler: Any
    """The callable that the exchange calls."""
    state: dict[str, Any] | None
    """The state that the application's start left for its requests; each gets a shallow copy."""

    async def startup(self) -> None:
        """Start the application, before the first connection. Raises StartupError, see `headrace.server.interface`."""

    async def shutdown(self) -> None:
        """Stop it, after the last connection."""
