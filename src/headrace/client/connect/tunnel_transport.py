"""A tunnel through a proxy as an asyncio transport, so that TLS and a connection can use it like a socket.

Bytes that the protocol above does not read stay unacknowledged, so the proxy's window closes for this stream alone.
Bytes that the tunnel does not accept wait here, and the protocol's writing is paused.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.client.connection.held_response import HeldResponse
    from headrace.websocket.tunnel import Tunnel


class TunnelTransport(asyncio.Transport):
    """Both directions of the tunnel that `response` has granted. It begins with `attach`."""

    __slots__ = (
        "_has_ended",
        "_is_closing",
        "_is_over",
        "_is_paused",
        "_is_stopped",
        "_loop",
        "_owed",
        "_peer_ended",
        "_protocol",
        "_response",
        "_tunnel",
        "_unread",
        "_unwritten",
    )

    def __init__(self, response: HeldResponse) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._response = response
        self._protocol: asyncio.Protocol | None = None
        self._tunnel: Tunnel | None = None
        self._unwritten: list[bytes] = []
        self._unread = bytearray()  # in one buffer: an object of its own costs more than the bytes of a small piece
        self._owed = 0
        self._peer_ended = False
        self._has_ended = False
        self._is_paused = False  # the protocol has paused reading
        self._is_stopped = False  # the protocol's writing is paused
        self._is_closing = False
        self._is_over = False

    def attach(self, protocol: asyncio.Protocol) -> None:
        """Give the tunnel its protocol, and call its `connection_made`. Raises RequestError when the tunnel is lost
        already."""
        self._protocol = protocol
        self._is_paused = True  # early bytes are for after connection_made
        self._tunnel = self._response.tunnel(self)
        protocol.connection_made(self)
        self.resume_reading()

    # -- callbacks of the tunnel -------------------------------------------------------------------------------

    def on_bytes(self, data: bytes, owed: int, ended: bool) -> None:
        """Take bytes that have arrived."""
        self._owed += owed
        self._peer_ended = self._peer_ended or ended
        self._unread += data
        if not self._is_paused:
            self._deliver()

    def on_writable(self) -> None:
        """Handle that the last write is accepted."""
        tunnel = self._tunnel
        if tunnel is None or self._is_over:
            return
        if self._unwritten:
            data = b"".join(self._unwritten)
            self._unwritten = []
            self._write(data)
        if not tunnel.blocked:
            if self._is_stopped:
                self._is_stopped = False
                if self._protocol is not None:
                    self._protocol.resume_writing()
            if self._is_closing:
                self._finish()

    def on_lost(self, reason: str) -> None:
        """Handle the loss of the tunnel."""
        self._over(None if self._is_closing else ConnectionResetError(f"the tunnel through the proxy ended: {reason}"))

    # -- methods for the protocol above ------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes. Bytes that the tunnel does not accept wait."""
        tunnel = self._tunnel
        if tunnel is None or self._is_over or self._has_ended or not data:
            return
        if tunnel.blocked:
            self._unwritten.append(bytes(data))
        else:
            self._write(bytes(data))
        if tunnel.blocked and not self._is_stopped and self._protocol is not None:
            self._is_stopped = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the tunnel has not accepted."""
        return sum(map(len, self._unwritten))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: the tunnel's own limit counts."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the addresses of the connection to the proxy. Its socket and its TLS do not belong to this tunnel."""
        key = {"peername": "peer", "sockname": "local"}.get(name)
        return default if key is None else self._response.info.get(key, default)

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self._deliver()

    def is_reading(self) -> bool:
        return not (self._is_paused or self._is_closing)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """End our side, once everything is written."""
        if not self._has_ended and not self._is_over:
            self._has_ended = True
            if not self._unwritten:
                self._write(b"")

    def is_closing(self) -> bool:
        return self._is_closing or self._is_over

    def close(self) -> None:
        """Write the rest, then end both directions."""
        if self._is_closing or self._is_over:
            return
        self._is_closing = True
        self.write_eof()
        if not self._unwritten:
            self._finish()

    def abort(self) -> None:
        """End both directions at once."""
        self._is_closing = True
        self._finish()

    # -- inside ------------------------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        assert self._tunnel is not None
        try:
            self._tunnel.write(data, self._has_ended)
        except OSError as error:
            self._over(error)

    def _deliver(self) -> None:
        protocol = self._protocol
        while self._unread and not self._is_paused and not self._is_closing and protocol is not None:
            data = bytes(self._unread)
            self._unread = bytearray()
            protocol.data_received(data)
        if self._unread and not self._is_closing:
            return
        if self._owed and self._tunnel is not None:
            owed, self._owed = self._owed, 0
            self._tunnel.consumed(owed)
        if self._peer_ended and not self._is_closing and protocol is not None and not protocol.eof_received():
            self.close()

    def _finish(self) -> None:
        if self._tunnel is not None:
            self._tunnel.abort()
        else:
            self._response.close()
        self._over(None)

    def _over(self, error: Exception | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._unwritten = []
        if self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, error, context=contextvars.Context())
