"""The end of a WebSocket: its code and reason, and the tasks that wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.engine.ws.frames import ABNORMAL
from headrace.websocket.tunnel import Tunnel, WebSocketClosed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Closing:
    """The state of one WebSocket's end."""

    __slots__ = ("_sent", "_waiters", "code", "is_noticed", "on_closed", "reason", "timer")

    def __init__(self) -> None:
        self.code: int | None = None
        """None until the WebSocket is closed; then the close frame's code, 1005 or 1006 (RFC 6455 §7.1.5)."""
        self.reason: str = ""
        """The close frame's reason, or in words why there was none."""
        self.is_noticed: bool = False
        """True once the handler has seen the end, by a return value or by an exception."""
        self.on_closed: Callable[[], None] | None = None
        """Called once when the WebSocket is closed or its tunnel lost; for the owner of the tunnel."""
        self.timer: asyncio.TimerHandle | None = None
        """Of the wait for the peer: for its close frame, then for the end of its side."""
        self._sent: WebSocketClosed | None = None
        self._waiters: list[asyncio.Future[None]] = []

    def begin(self, code: int, reason: str) -> None:
        """Note that our close frame was sent, ahead of the peer's."""
        self._sent = WebSocketClosed(code, reason)

    def end(self, code: int, reason: str) -> WebSocketClosed:
        """Set the final code and reason, wake every waiter, and return the error for other tasks."""
        self.code = code
        self.reason = reason
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        return WebSocketClosed(code, reason)

    async def wait(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the end."""
        if self.code is None:
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.append(waiter)
            await waiter

    def wait_for_end(self, tunnel: Tunnel, seconds: float) -> None:
        """Take the tunnel from a peer that does not end its side in time (RFC 6455 §7.1.1)."""
        if self.timer is None:
            self.timer = tunnel.abort_later(seconds)

    def stop_timer(self) -> None:
        """Wait for the peer no more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def announce(self) -> None:
        """Call `on_closed`; a no-op after the first time."""
        on_closed = self.on_closed
        if on_closed is not None:
            self.on_closed = None
            on_closed()

    def error(self) -> WebSocketClosed:
        """Return the error for a task that sends; the handler has noticed the end then."""
        self.is_noticed = True
        if self.code is None and self._sent is not None:
            return WebSocketClosed(self._sent.code, self._sent.reason)
        return WebSocketClosed(self.code or ABNORMAL, self.reason)
