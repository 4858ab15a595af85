"""An application as its connections see it: the adapters of ASGI, WSGI and native handlers are such classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio

    from headrace.engine.events import DataReceived, RequestReceived


class DrivenExchange(Protocol):
    """An exchange as its connection sees it; see `headrace.server.connection.exchange.Exchange`."""

    stream_id: int
    task: asyncio.Task[None] | None
    blocked: bool

    def __init__(self, driver: Any, head: RequestReceived) -> None:
        """Make the exchange of a request that has come over the connection `driver`."""

    async def run(self) -> None:
        """Run the worker from start to end. Raises nothing but cancellation."""

    def on_accepted(self) -> None:
        """Handle that the engine accepted the last send."""

    def on_data(self, event: DataReceived) -> None:
        """Take a piece of the request's content."""

    def on_trailers(self, headers: list[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None) -> None:
        """Take the request's trailers, which end it."""

    def on_reset(self, reason: str) -> None:
        """Handle the end of the stream before its time."""

    def on_drain(self, deadline: float) -> None:
        """Handle the beginning of the connection's drain."""

    def cancel(self) -> None:
        """Cancel the worker."""


class Application(Protocol):
    """An application with its adapter."""

    name: str
    """`asgi`, `wsgi` or `native`."""
    exchange_type: type[DrivenExchange]
    """Class of the exchange for a request: made as `exchange_type(driver, head)`, then its `run()` is awaited in a
    task."""
    tunnel_type: type[DrivenExchange]
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
