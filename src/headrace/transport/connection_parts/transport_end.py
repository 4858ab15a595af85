"""The end of a transport: the last output, a moment for the peer to read it, and the close."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    import contextvars
    from collections.abc import Callable

CLOSE_TIMEOUT_S: Final = 2.0  # from the close to the end of the transport, for every peer
LINGER_S: Final = 0.5  # time for the peer to read our last output, after we said that no more will come
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER, on, for no time
_TCP: Final = (socket.AF_INET, socket.AF_INET6)


class TransportEnd:
    """Ends `transport`, with timers on `loop`. Every call runs in a copy of `context`: asyncio's transports keep the
    context of a call that schedules a callback."""

    __slots__ = ("_context", "_loop", "_timer", "_transport")

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, context: contextvars.Context
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._context = context
        self._timer: asyncio.TimerHandle | None = None

    def linger(self) -> None:
        """Announce the end of output, and close after LINGER_S, or as soon as the peer does.

        Closing with unread input makes the kernel send a reset, which may overtake the GOAWAY.
        """
        transport = self._transport
        if not transport.can_write_eof() or transport.is_closing():
            self.close()
            return
        try:
            transport.write_eof()
        except OSError:  # the peer closed in the meantime
            self.close()
        else:
            self._timer = self._loop.call_later(LINGER_S, self.close, context=self._context.copy())

    def close(self) -> None:
        """Close the transport, and abort it after CLOSE_TIMEOUT_S."""
        self._timer = self._loop.call_later(CLOSE_TIMEOUT_S, self.abort, context=self._context.copy())
        self._apart(self._transport.close)

    def reset(self) -> None:
        """End with a TCP reset, so that the peer cannot take it for an orderly end."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family in _TCP:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    def abort(self) -> None:
        """Abort the transport at once."""
        self._apart(self._transport.abort)

    def stop(self) -> None:
        """Cancel the timer, because the transport is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _apart(self, call: Callable[[], None]) -> None:
        self._context.copy().run(call)
