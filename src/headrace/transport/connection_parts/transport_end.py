"""The end of a transport: the last output, a moment for the peer to read it, and the close."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    import contextvars
    from collections.abc import Callable

    from headrace.transport.connection_parts.stall import StallWatch

CLOSE_TIMEOUT_S: Final = 2.0  # from the close to the end of the transport, for every peer
LINGER_S: Final = 0.5  # time for the peer to read our last output, after we said that no more will come
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER, on, for no time
_TCP: Final = (socket.AF_INET, socket.AF_INET6)


class TransportEnd:
    """Ends `transport`, with timers on `loop`. Every call runs in a copy of `context`: asyncio's transports keep the
    context of a call that schedules a callback.

    With a `stall_watch`, time counts only from when the kernel has taken all output: a slow peer gets the end of what
    it asked for, and the watch ends one that takes nothing.
    """

    __slots__ = ("_context", "_loop", "_stall_watch", "_timer", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
        stall_watch: StallWatch | None = None,
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._context = context
        self._stall_watch = stall_watch
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
            self._after(LINGER_S, self.close)

    def close(self) -> None:
        """Close the transport, and abort it after CLOSE_TIMEOUT_S."""
        self._after(CLOSE_TIMEOUT_S, self.abort)
        self._apart(self._transport.close)

    def _after(self, seconds: float, step: Callable[[], None]) -> None:
        self._timer = self._loop.call_later(seconds, self._take, seconds, step, context=self._context.copy())

    def _take(self, seconds: float, step: Callable[[], None]) -> None:
        """Take the next step, or look again later while the peer is still given its output."""
        watch = self._stall_watch
        if watch is not None and watch.is_running and self._transport.get_write_buffer_size():
            self._after(seconds, step)
        else:
            step()

    def abort(self, is_cut: bool = False) -> None:
        """Abort the transport at once. With `is_cut`, or where output is lost with it, by a TCP reset: the peer must
        not take it for an orderly end, which may be that of its content (RFC 9112 §8)."""
        self.stop()
        transport = self._transport
        if is_cut or transport.get_write_buffer_size():
            sock = transport.get_extra_info("socket")
            if sock is not None and sock.family in _TCP:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._apart(transport.abort)

    def stop(self) -> None:
        """Cancel the timer; a no-op without one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _apart(self, call: Callable[[], None]) -> None:
        self._context.copy().run(call)
