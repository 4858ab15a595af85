"""The tunnel under a WebSocket: the interface that server and client implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

DEFAULT_QUEUE: Final = 16
DEFAULT_QUEUE_SIZE: Final = 32_768
DEFAULT_PING_INTERVAL_S: Final = 20.0
DEFAULT_PING_TIMEOUT_S: Final = 20.0
DEFAULT_CLOSE_TIMEOUT_S: Final = 5.0


class WebSocketClosed(OSError):
    """Raised when the WebSocket is closed or closing: nothing more is received or sent. `code` and `reason` are the
    close frame's (RFC 6455 §7.4): 1005 when it had none, 1006 when there was no close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the WebSocket is closed: {code}{' ' if reason else ''}{reason}")
        self.code = code
        self.reason = reason


class Tunnel(Protocol):
    """Two directions of bytes on one stream. Input goes to `WebSocket.on_bytes`."""

    @property
    def blocked(self) -> bool:
        """True while the last `write` is not accepted: wait for `unblocked` before the next one."""
        ...

    async def unblocked(self) -> None:
        """Return when the last write is accepted. Raises OSError when the tunnel is gone."""

    def write(self, data: bytes, end: bool) -> None:
        """Send bytes, and with `end` the end of our side. Raises OSError when the tunnel is gone."""

    def consumed(self, count: int) -> None:
        """Mark `count` received bytes as consumed: the peer may send as many again."""

    def abort(self) -> None:
        """End the tunnel in both directions, at once; a no-op when it has ended."""

    def abort_later(self, seconds: float) -> asyncio.TimerHandle:
        """Return a timer that does so."""
        ...
