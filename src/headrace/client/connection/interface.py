"""The protocols through which an exchange, its connection and its parts call each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from headrace.websocket.tunnel import Tunnel

if TYPE_CHECKING:
    import asyncio
    import contextvars

    from headrace.client.interface import Outgoing, Pairs, ResponseHead
    from headrace.engine.contract import ClientEngine
    from headrace.engine.limits import Limits
    from headrace.websocket.fair_share import ConnectionShare


class Link(Protocol):
    """A connection as its exchanges see it: see `headrace.client.connection.driver`."""

    context: contextvars.Context
    engine: ClientEngine
    flush_due: bool
    http_version: str
    limits: Limits
    loop: asyncio.AbstractEventLoop
    websocket_share: ConnectionShare | None

    @property
    def info(self) -> dict[str, Any]:
        """Return `peer`, `local` and `tls`."""
        ...

    def schedule_flush(self) -> None:
        """Write what the engine has, at the end of the loop's turn."""

    def acknowledge(self, stream_id: int, count: int) -> None:
        """Count bytes of content as consumed."""

    def give_up(self, stream_id: int, code: int) -> None:
        """Reset a stream, and let go of its exchange."""

    def forget_exchange(self, stream_id: int) -> None:
        """Forget an exchange that has ended."""


class Receiver(Protocol):
    """Receives the bytes of a tunnel. The event loop calls all methods; they must be quick."""

    def on_bytes(self, data: bytes, owed: int, ended: bool) -> None:
        """Take bytes. Pass `owed` to `consumed` once they are consumed. `ended` is True when the peer sends no more."""

    def on_lost(self, reason: str) -> None:
        """Handle the loss of the tunnel in both directions, before it was ended."""

    def on_writable(self) -> None:
        """Handle that the last write is accepted."""


class TunnelWriter(Tunnel, Protocol):
    """The sending side of a tunnel; the exchange notifies it of input: see `headrace.client.connection.tunnel`."""

    def on_bytes(self, data: bytes, owed: int) -> None:
        """Take bytes that have arrived."""

    def on_peer_ended(self) -> None:
        """Handle that the peer sends no more."""

    def on_accepted(self) -> None:
        """Handle that the last write is accepted."""

    def on_over(self) -> None:
        """Handle that the exchange is over."""


class Granted(Protocol):
    """An exchange as its tunnel uses it: see `headrace.client.connection.exchange`."""

    driver: Link
    outgoing: Outgoing
    stream_id: int
    is_over: bool
    is_tunnel: bool
    peer_ended: bool
    error: Exception | None
    tunnel_writer: TunnelWriter | None

    def take_early(self) -> tuple[bytes, int]:
        """Return the bytes that arrived before the tunnel was opened, and their share of the window."""
        ...

    def close(self) -> None:
        """End the exchange."""


class Streamed(Protocol):
    """An exchange as the reader of its streamed response uses it: see `headrace.client.connection.exchange`."""

    driver: Link
    error: Exception | None
    head: ResponseHead
    is_over: bool
    outgoing: Outgoing
    owed: int
    trailers: Pairs
    tunnel_writer: TunnelWriter | None

    @property
    def info(self) -> dict[str, Any]:
        """See `Incoming.info`."""
        ...

    async def receive(self) -> bytes:
        """Return the next bytes of content."""
        ...

    async def read(self) -> bytes:
        """Return the rest of the content."""
        ...

    def close(self) -> None:
        """Give up the rest."""

    def drop_content(self) -> None:
        """Drop the rest of a response that has ended."""

    def tunnel(self, receiver: Receiver) -> Tunnel:
        """Pass the tunnel's bytes to `receiver`, and return the sending side."""
        ...


class Sending(Protocol):
    """The content of a request while it is sent: see `headrace.client.connection.upload`."""

    is_blocked: bool

    def on_continue(self) -> None:
        """Handle 100 (Continue)."""

    def on_accepted(self) -> None:
        """Handle that the engine has accepted the last piece."""

    def stop(self) -> None:
        """Send no further byte: the exchange is over."""
