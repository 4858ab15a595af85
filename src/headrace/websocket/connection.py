"""The WebSocket object of handlers, over any tunnel: a server's stream, or a client's.

The owner of the connection passes bytes to `on_bytes`; `intake` parses them, and a message waits in a bounded queue
for `receive`. Output leaves at once as far as the tunnel accepts it. A silent peer is pinged, and one that does not
answer a close frame is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any

from headrace.engine.ws.connection import WebSocketConnection
from headrace.engine.ws.events import CLOSE, FAILED, PONG
from headrace.engine.ws.frames import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, NORMAL
from headrace.websocket.closing import Closing
from headrace.websocket.fair_share import SENDS_PER_TURN, TAKEN_PER_TURN, WEIGHT, WEIGHT_SHIFT, ConnectionShare
from headrace.websocket.fragments import Fragments
from headrace.websocket.intake import Intake, WebSocketMessage
from headrace.websocket.keepalive import Keepalive, Pings
from headrace.websocket.tunnel import (
    DEFAULT_CLOSE_TIMEOUT_S,
    DEFAULT_PING_INTERVAL_S,
    DEFAULT_PING_TIMEOUT_S,
    DEFAULT_QUEUE,
    DEFAULT_QUEUE_SIZE,
    Tunnel,
    WebSocketClosed,
)


class WebSocket(Intake):
    """An open WebSocket.

        async for message in ws:        # str for text, bytes for binary; ends when the WebSocket does
            await ws.send(message)

    One task may receive at a time; any number may send.
    """

    __slots__ = (
        "_close_timeout_s",
        "_ended",
        "_fragments",
        "_keepalive",
        "_pings",
        "closing",
        "request",
        "subprotocol",
    )

    def __init__(
        self,
        tunnel: Tunnel,
        protocol: WebSocketConnection,
        loop: asyncio.AbstractEventLoop,
        *,
        request: Any = None,
        subprotocol: str | None = None,
        max_queue: int = DEFAULT_QUEUE,
        queue_size: int = DEFAULT_QUEUE_SIZE,
        share: ConnectionShare | None = None,
        ping_interval_s: float | None = DEFAULT_PING_INTERVAL_S,
        ping_timeout_s: float | None = DEFAULT_PING_TIMEOUT_S,
        close_timeout_s: float = DEFAULT_CLOSE_TIMEOUT_S,
    ) -> None:
        super().__init__(tunnel, protocol, loop, max_queue, queue_size, share)
        self.request: Any = request
        """The request that opened the WebSocket."""
        self.subprotocol: str | None = subprotocol
        """The agreed subprotocol, or None."""
        self.closing: Closing = Closing()
        """The state of the end; for the owner of the tunnel."""
        self._ended = False
        self._fragments: Fragments | None = None
        self._pings = Pings(loop)
        self._close_timeout_s = close_timeout_s
        self._keepalive: Keepalive | None = None
        if ping_interval_s is not None:
            self._keepalive = Keepalive(loop, ping_interval_s, ping_timeout_s, self._ping_silence, self._on_silence)

    @property
    def is_open(self) -> bool:
        """True while messages can be sent."""
        return self._protocol.is_open

    @property
    def close_code(self) -> int | None:
        """None until the WebSocket is closed; then the close frame's code, 1005 or 1006 (RFC 6455 §7.1.5)."""
        return self.closing.code

    @property
    def close_reason(self) -> str:
        """The close frame's reason, or in words why there was none."""
        return self.closing.reason

    # -- receiving ---------------------------------------------------------------------------------------------

    def __aiter__(self) -> WebSocket:
        return self

    async def __anext__(self) -> WebSocketMessage:
        if self._streak >= TAKEN_PER_TURN:
            await self._pause()
        while not self._queue:
            closing = self.closing
            if closing.code is not None:
                closing.is_noticed = True
                raise StopAsyncIteration
            await self._wait_for_message()
        return self._take()

    async def receive(self) -> WebSocketMessage:
        """Return the next message: str for text, bytes for binary. Raises WebSocketClosed when there are no more.

        Yields to other tasks after 64 messages that were there already, or 256 KiB of them.
        """
        if self._streak >= TAKEN_PER_TURN:
            await self._pause()
        while not self._queue:
            closing = self.closing
            if closing.code is not None:
                closing.is_noticed = True
                raise WebSocketClosed(closing.code, closing.reason)
            await self._wait_for_message()
        return self._take()

    def _on_control(self, event: Any) -> None:
        kind = event.kind
        if kind == PONG:
            self._pings.answered(event.data)
        elif kind in (CLOSE, FAILED):
            self._close(event.code, event.reason)
            if not (self._ended or self._protocol.output_ended):  # a client leaves the first step to the server
                self.closing.wait_for_end(self._tunnel, self._close_timeout_s)

    def _on_end(self) -> None:
        for event in self._protocol.receive_eof():
            self._on_control(event)
        self._flush()

    # -- calls of the tunnel's owner ---------------------------------------------------------------------------

    def on_bytes(self, data: bytes, owed: int, ended: bool) -> None:
        """Take bytes, which used `owed` of the tunnel's window; with `ended` they are the last."""
        keepalive = self._keepalive
        if keepalive is not None:
            keepalive.heard = True
        self._owed += owed
        if self._has_room:
            self._heard += len(data)
        if ended:
            self._tunnel_ended = True
            if self._ended and self.closing.code is not None:
                self._stop_timers()
        if self._is_held:
            self._held += data
            self._credit()
        else:
            self._parse(data)

    def on_lost(self, reason: str) -> None:
        """Handle the loss of the tunnel. Earlier messages can still be received."""
        self._ended = self._tunnel_ended = True
        self._lost = reason
        self._owed = 0
        if not self._is_held:
            self._on_end()
        if self.closing.code is not None:
            self._stop_timers()
        self.closing.announce()

    def on_writable(self) -> None:
        """Handle that the tunnel has accepted the last write."""
        if self._protocol.output_pending:
            self._flush()

    def go_away(self) -> None:
        """Close with 1001 because the connection is about to end, and give the peer time for its close frame."""
        self._say_close(GOING_AWAY, "")

    def give_up(self, code: int) -> None:
        """End at once: a close frame with `code`, and the end of our side, without waiting for the peer's."""
        for event in self._protocol.fail(code, ""):
            self._on_control(event)
        self._flush()
        if not self._ended:
            self._abort()

    # -- sending -----------------------------------------------------------------------------------------------

    async def send(self, message: WebSocketMessage | bytearray | memoryview | AsyncIterable[WebSocketMessage]) -> None:
        """Send a message: text, bytes, or an async iterable whose pieces become the fragments of one message.

        Returns when it is accepted, so a slow peer slows its sender. Raises WebSocketClosed when the WebSocket is
        closed or closing; TypeError for an object that is not a message.
        """
        if self._tunnel.blocked or self._fragments is not None:
            await self._turn()
        protocol = self._protocol
        if not protocol.is_open:
            raise self.closing.error()
        if isinstance(message, str):
            protocol.send_text(message)
        elif isinstance(message, bytes):
            protocol.send_bytes(message)
        elif isinstance(message, (bytearray, memoryview)):
            protocol.send_bytes(bytes(message))
        elif isinstance(message, AsyncIterable):
            fragments = self._fragments = Fragments()
            try:
                await fragments.send(self, message)
            finally:
                self._fragments = None
            return
        else:
            raise TypeError(f"a message is str, bytes or an async iterable of them, not {type(message).__name__}")
        # As `_write` does, without another coroutine: this is what an echo does for each message.
        tunnel = self._tunnel
        try:
            tunnel.write(protocol.take_output(), False)
        except OSError as error:
            raise self._tunnel_lost(error) from None
        if tunnel.blocked:
            await self._unblocked()
        else:
            size = len(message)
            turn = self._pace
            sent = turn.sent + (1 if size < WEIGHT else 1 + (size >> WEIGHT_SHIFT))
            if sent < SENDS_PER_TURN:
                turn.sent = sent
            else:  # a sender that never waits would stop all other tasks
                turn.sent = 0
                await asyncio.sleep(0)

    async def until_writable(self) -> None:
        """Wait until a fragment can be sent; see `headrace.websocket.fragments.FragmentWriter`."""
        if self._tunnel.blocked:
            await self._unblocked()
        if not self._protocol.is_open:
            raise self.closing.error()

    async def write_fragment(self, piece: WebSocketMessage, is_first: bool, is_last: bool) -> None:
        """Send a fragment, and wait until it is accepted; see `headrace.websocket.fragments.FragmentWriter`."""
        protocol = self._protocol
        if not is_first:
            protocol.send_fragment(piece, is_last)
        elif isinstance(piece, str):
            protocol.send_text(piece, is_last)
        else:
            protocol.send_bytes(bytes(piece), is_last)
        tunnel = self._tunnel
        try:
            tunnel.write(protocol.take_output(), False)
        except OSError as error:
            raise self._tunnel_lost(error) from None
        if tunnel.blocked:
            await self._unblocked()
        else:
            turn = self._pace
            turn.sent += 1 + (len(piece) >> WEIGHT_SHIFT)
            if turn.sent >= SENDS_PER_TURN:
                turn.sent = 0
                await asyncio.sleep(0)

    async def _unblocked(self) -> None:
        try:
            await self._tunnel.unblocked()
        except OSError as error:
            raise self._tunnel_lost(error) from None

    async def _turn(self) -> None:
        """Wait until the last write is accepted and no fragmented message of another task is under way."""
        while self._tunnel.blocked or self._fragments is not None:
            if self._fragments is not None:
                await self._fragments.ended()
            else:
                await self._unblocked()

    async def ping(self) -> float:
        """Send a ping, wait for its pong, and return the seconds between them. Raises WebSocketClosed."""
        protocol = self._protocol
        if not protocol.is_open:
            raise self.closing.error()
        payload, pong = self._pings.expect()
        try:
            protocol.send_ping(payload)
            self._flush()
            return await pong
        finally:
            self._pings.forget(payload)

    def _flush(self) -> None:
        """Write the protocol's output, unless the tunnel must accept earlier output first."""
        if self._ended or self._tunnel.blocked:
            return
        protocol = self._protocol
        end = protocol.output_ended
        data = protocol.take_output()
        if not data and not end:
            return
        self._ended = end
        try:
            self._tunnel.write(data, end)
        except OSError as error:
            self.on_lost(str(error))
        if end and self._tunnel_ended and self.closing.code is not None:
            self._stop_timers()
        elif end:
            self.closing.wait_for_end(self._tunnel, self._close_timeout_s)

    # -- the end -----------------------------------------------------------------------------------------------

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close the WebSocket (RFC 6455 §7.1.2), and wait for the peer's close frame, `close_timeout_s` at most.

        Messages that were not received yet are dropped. A no-op when it is closed already. Raises ValueError for a code
        or reason that must not be sent.
        """
        self.close_soon(code, reason)
        await self.closing.wait(self._loop)

    async def finish(self) -> None:
        """Close the WebSocket, and end our side of the tunnel; for the owner of the tunnel."""
        await self.close()
        if not self._ended:
            try:
                async with asyncio.timeout(self._close_timeout_s):
                    await self._tunnel.unblocked()
            except (OSError, TimeoutError):
                pass
            self._flush()
        if not self._ended:
            self._abort()

    def close_soon(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin the close handshake without waiting. Raises ValueError like `close`."""
        self._say_close(code, reason)
        self._discards = True
        self._protocol.discards = True
        self._leave()
        self._queue.clear()
        self._queued = 0
        if self._is_held:
            self._release()

    def _say_close(self, code: int, reason: str) -> None:
        protocol = self._protocol
        is_first = protocol.is_open
        protocol.send_close(code, reason)
        if is_first:
            self.closing.begin(code, reason)
            self._flush()
            if self.closing.code is None:
                self._stop_timers()
                self.closing.timer = self._loop.call_later(self._close_timeout_s, self._on_close_timeout)

    def _on_close_timeout(self) -> None:
        self._close(ABNORMAL, f"no close frame came within {self._close_timeout_s:g} s")
        self._abort()

    def _abort(self) -> None:
        self._ended = True
        self._stop_timers()
        self._tunnel.abort()

    def _close(self, code: int, reason: str) -> None:
        closing = self.closing
        if closing.code is not None:
            return
        self._stop_timers()
        self._leave()
        self._pings.give_up(closing.end(code, self._lost or reason if code == ABNORMAL else reason))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        closing.announce()

    def _tunnel_lost(self, error: OSError) -> WebSocketClosed:
        """Handle a tunnel that was lost during a write, and return the error for the sender."""
        self.on_lost(str(error))
        return self.closing.error()

    def _stop_timers(self) -> None:  # which would keep the whole connection in memory after its end
        if self._keepalive is not None:
            self._keepalive.stop()
        self.closing.stop_timer()

    def _ping_silence(self) -> bool:
        """Send a ping to a silent peer. Return False while our side does not read."""
        if self._is_held or self._owed:
            return False
        self._protocol.send_ping()
        self._flush()
        return True

    def _on_silence(self, timeout_s: float) -> None:
        self._lost = f"no answer to a ping within {timeout_s:g} s"
        self._close(ABNORMAL, "")
        self.give_up(INTERNAL_ERROR)
