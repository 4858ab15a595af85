"""What an exchange, its connection and its parts know of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from headrace.websocket.tunnel import Tunnel

if TYPE_CHECKING:
    import asyncio
    import contextvars

    from headrace.client.interface import Outgoing
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

    def let_go(self, stream_id: int) -> None:
        """Forget an exchange that has ended."""


class Receiver(Protocol):
    """Takes what comes through a tunnel. All are called on the loop, and must be quick."""

    def on_octets(self, data: bytes, owed: int, ended: bool) -> None:
        """Octets have come. Hand `owed` to `consumed` once they are; with `ended` the other end sends no more."""

    def on_lost(self, reason: str) -> None:
        """The tunnel is gone in both directions, before it was ended."""

    def on_writable(self) -> None:
        """The last write is accepted."""


class WayOut(Tunnel, Protocol):
    """The way out of a tunnel, which is told what comes: see `headrace.client.connection.tunnel`."""

    def on_octets(self, data: bytes, owed: int) -> None:
        """Octets have come."""

    def on_peer_ended(self) -> None:
        """The other end sends no more."""

    def on_accepted(self) -> None:
        """The last write is accepted."""

    def on_over(self) -> None:
        """The exchange is over."""


class Granted(Protocol):
    """An exchange as its tunnel sees it: see `headrace.client.connection.exchange`."""

    driver: Link
    outgoing: Outgoing
    stream_id: int
    is_over: bool
    is_tunnel: bool
    peer_ended: bool
    error: Exception | None
    way_out: WayOut | None

    def take_early(self) -> tuple[bytes, int]:
        """Take the bytes that came before the tunnel was opened, and what they cost of the window."""
        ...

    def close(self) -> None:
        """End the exchange."""


class Sending(Protocol):
    """The content of the request on its way: see `headrace.client.connection.upload`."""

    is_blocked: bool

    def on_continue(self) -> None:
        """100 (Continue) has come."""

    def on_accepted(self) -> None:
        """The engine has accepted the last piece."""

    def stop(self) -> None:
        """The exchange is over: no further octet."""
