"""A WebSocket through the proxy: two tunnels, and the output of each is the other's input, frame or not.

Nothing is parsed, so extensions and subprotocols stay between the two ends. A sender gets its window back when the
other side has taken its data.
"""

from __future__ import annotations

import asyncio

from headrace.websocket.tunnel import Tunnel


class Direction:
    """From `source` to `sink`. It receives from `source`; its `opposite` reports when `sink` takes more."""

    def __init__(self, relay: Relay) -> None:
        self.opposite: Direction = self
        self.source: Tunnel | None = None
        self.sink: Tunnel | None = None
        self.has_ended: bool = False
        self._relay = relay
        # In one piece: the window bounds its bytes, and as an object of its own each piece of two would cost fifty.
        self._waiting = bytearray()
        self._owed = 0
        self._is_last = False

    def on_bytes(self, data: bytes, owed: int, ended: bool) -> None:
        """Handle bytes from `source`."""
        self._owed += owed
        self._is_last = self._is_last or ended
        self.pump(data)

    def on_writable(self) -> None:
        """Handle that `source` takes more data of the other direction."""
        self.opposite.pump()

    def on_lost(self, reason: str) -> None:
        """Handle the loss of `source`: end both directions."""
        self._relay.end()

    def pump(self, data: bytes = b"") -> None:
        """Forward the waiting data and then `data`, if the sink accepts; otherwise keep them."""
        sink, source = self.sink, self.source
        if sink is None or source is None or self.has_ended or sink.blocked:
            self._waiting += data
            return
        if data or self._waiting or self._is_last:
            if self._waiting:
                data = bytes(self._waiting + data)
                self._waiting = bytearray()
            try:
                sink.write(data, self._is_last)
            except OSError:
                self._relay.end()
                return
            if self._is_last:
                self.has_ended = True
                self._relay.look()
        if self._owed and not sink.blocked:
            owed, self._owed = self._owed, 0
            source.consumed(owed)


class Relay:
    """Both directions between two tunnels."""

    def __init__(self) -> None:
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tunnels: list[Tunnel] = []
        self._has_ended = False
        self.down: Direction = Direction(self)
        """From the upstream to the client."""
        self.up: Direction = Direction(self)
        """From the client to the upstream."""
        self.down.opposite, self.up.opposite = self.up, self.down

    async def run(self, client: Tunnel, upstream: Tunnel) -> None:
        """Relay until both sides have ended, or one is gone. Cancelled, it ends both."""
        self._tunnels = [client, upstream]
        self.up.source = self.down.sink = client
        self.down.source = self.up.sink = upstream
        self.up.pump()
        self.down.pump()
        try:
            await self._done
            # The last accepted bytes must leave before the request's task ends.
            for tunnel in self._tunnels:
                if tunnel.blocked:
                    await tunnel.unblocked()
        except OSError:
            pass
        finally:
            self.end()

    def look(self) -> None:
        """End when both directions have."""
        if self.up.has_ended and self.down.has_ended and not self._done.done():
            self._done.set_result(None)

    def end(self) -> None:
        """End both tunnels, if they have not."""
        if self._has_ended:
            return
        self._has_ended = True
        for tunnel in self._tunnels:
            tunnel.abort()
        if not self._done.done():
            self._done.set_result(None)
