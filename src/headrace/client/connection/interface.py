"""The parts of an exchange as the exchange itself sees them."""

from __future__ import annotations

from typing import Protocol

from headrace.websocket.tunnel import Tunnel


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


class Sending(Protocol):
    """The content of the request on its way: see `headrace.client.connection.upload`."""

    is_blocked: bool

    def on_continue(self) -> None:
        """100 (Continue) has come."""

    def on_accepted(self) -> None:
        """The engine has accepted the last piece."""

    def stop(self) -> None:
        """The exchange is over: no further octet."""
