"""The receiving half of an open WebSocket: bytes in, messages in a bounded queue out.

Bytes are parsed on arrival while there is work left in the loop's turn and room in the queue; otherwise they wait
unparsed. The peer's credit goes back at once while little is kept. Beyond that it goes back only while the handler
waits for a message that is larger than that, and has the room for it: that is how a slow handler slows its peer, and
why a handler that never receives keeps no more than its stream's window.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any

from headrace.engine.ws.connection import WebSocketConnection
from headrace.engine.ws.events import MESSAGE, MessageReceived
from headrace.engine.ws.frames import TRY_AGAIN_LATER
from headrace.websocket.fair_share import SLICE, STALL_PROGRESS, WEIGHT, WEIGHT_SHIFT, ConnectionShare

if TYPE_CHECKING:
    from headrace.websocket.tunnel import Tunnel

WebSocketMessage = str | bytes


class Intake:
    """Data that a WebSocket has received and its handler has not taken."""

    __slots__ = (
        "_discards",
        "_has_room",
        "_heard",
        "_held",
        "_is_held",
        "_is_in_turn",
        "_loop",
        "_lost",
        "_max_queue",
        "_most",
        "_owed",
        "_pace",
        "_protocol",
        "_queue",
        "_queue_size",
        "_queued",
        "_share",
        "_streak",
        "_tunnel",
        "_tunnel_ended",
        "_waiter",
        "taken",
    )

    def __init__(
        self,
        tunnel: Tunnel,
        protocol: WebSocketConnection,
        loop: asyncio.AbstractEventLoop,
        max_queue: int,
        queue_size: int,
        share: ConnectionShare | None,
    ) -> None:
        self.taken: int = 0
        """Messages that the handler has taken."""
        self._tunnel = tunnel
        self._protocol = protocol
        self._loop = loop
        self._max_queue = max_queue
        self._most = protocol.max_message_size
        self._queue_size = queue_size
        self._queue: deque[MessageReceived] = deque()
        self._queued = 0
        """Size of the queue in bytes; each message counts as LEAST_MESSAGE at least."""
        self._waiter: asyncio.Future[None] | None = None
        self._streak = 0
        """Number of messages taken without waiting since the handler last yielded."""
        # Bytes that wait unparsed, and the credit for all bytes that are kept.
        self._is_held = False
        self._held = bytearray()
        self._owed = 0
        self._heard = 0
        self._discards = False
        self._tunnel_ended = False
        self._lost = ""
        if share is None:
            share = ConnectionShare(loop)
        self._share = share
        self._pace = share.turn
        self._is_in_turn = False
        """True while this WebSocket waits for its turn in a later turn of the loop."""
        self._has_room = False
        """The room for a message of max_message_size is reserved."""

    @property
    def waiting(self) -> int:
        """Messages that wait to be received."""
        return len(self._queue)

    @property
    def kept(self) -> int:
        """Bytes of memory for received data that the handler has not taken, within some hundred bytes."""
        return self._queued + len(self._held) + self._protocol.kept

    # -- methods of the other half -----------------------------------------------------------------------------

    def _on_control(self, event: Any) -> None:
        raise NotImplementedError

    def _on_end(self) -> None:
        raise NotImplementedError

    def _flush(self) -> None:
        raise NotImplementedError

    @abstractmethod
    def give_up(self, code: int) -> None:
        """End at once, with a close frame of `code`."""

    # -- the handler's side ------------------------------------------------------------------------------------

    async def _wait_for_message(self) -> None:
        """Wait until something has happened; the caller checks what."""
        if self._waiter is not None:
            raise RuntimeError("another task already receives from this WebSocket; only one may at a time")
        waiter = self._waiter = self._loop.create_future()
        self._streak = 0
        try:
            if self._owed or self._is_held:
                self._want_room()
            await waiter
        finally:
            self._waiter = None

    async def _pause(self) -> None:
        """Yield to other tasks: a handler that always finds a message would never do so."""
        self._streak = 0
        await asyncio.sleep(0)

    def _take(self) -> WebSocketMessage:
        queue = self._queue
        event = queue.popleft()
        self.taken += 1
        if queue:
            size = event.size
            self._queued -= size
            self._streak += 1 if size < WEIGHT else 1 + (size >> WEIGHT_SHIFT)
            # Parsing several messages at once costs less, so held bytes wait until there is room for some.
            if self._is_held and len(queue) * 2 <= self._max_queue:
                self._release()
        else:
            self._queued = 0
            if self._has_room:
                self._has_room = False
                self._share.leave(self)
            if self._is_held:
                self._release()
                if queue:  # else the next message comes in a later turn of the loop, and there is nothing to count
                    self._streak += 1 + (event.size >> WEIGHT_SHIFT)
        if self._owed:
            self._credit()
        return event.data

    # -- parsing -----------------------------------------------------------------------------------------------

    def _is_full(self) -> bool:
        if self._discards:
            return False
        return len(self._queue) >= self._max_queue or self._queued >= self._most

    def _hold(self, data: bytes) -> None:
        """Let `data` wait for the next turn."""
        self._is_held = True
        self._held += data
        if not self._is_in_turn:
            self._is_in_turn = True
            self._share.wait(self)

    def _release(self) -> None:
        """Parse the held bytes, as far as there is room."""
        if not self._is_held or self._is_in_turn or self._is_full():
            return
        self._is_held = False
        if self._protocol.input_pending:
            self._parse(b"")
        else:
            held = bytes(self._held)
            self._held = bytearray()
            self._parse(held)

    def _parse(self, data: bytes) -> None:
        turn = self._pace
        if turn.left <= 0:
            self._hold(data)
            return
        protocol = self._protocol
        queue = self._queue
        event: Any
        if self._discards:
            events = protocol.receive_data(data, 0, SLICE)
        elif self._has_room and not queue:  # a large message, and nothing behind it yet
            events = protocol.receive_data(data, 1, SLICE)
        else:
            queued = self._queued
            if queued:
                room = self._most - queued
                inflated = self._queue_size - queued
                events = protocol.receive_data(
                    data, self._max_queue - len(queue), SLICE, room if room > 0 else 0, inflated if inflated > 0 else 0
                )
            else:
                events = protocol.receive_data(data, self._max_queue, SLICE, self._most, self._queue_size)
        turn.left -= protocol.work_done
        for event in events:
            if event.kind != MESSAGE:
                self._on_control(event)
            elif not self._discards:
                queue.append(event)
                self._queued += event.size
        waiter = self._waiter
        if waiter is not None and queue and not waiter.done():
            waiter.set_result(None)
        is_pending = protocol.input_pending
        is_full = not self._discards and (len(queue) >= self._max_queue or self._queued >= self._most)
        if is_pending or is_full or self._held:
            self._is_held = True
            if (is_pending or self._held) and not protocol.wants_room and not is_full:
                self._hold(b"")
            self._credit()
            self._want_room()
        else:
            if self._tunnel_ended:
                self._on_end()
            owed = self._owed
            if owed:
                if protocol.kept + self._queued <= self._queue_size:
                    self._owed = 0
                    self._tunnel.consumed(owed)
                else:
                    self._credit()
                    self._want_room()
        if protocol.output_pending:
            self._flush()

    def resume(self) -> None:
        """See `headrace.websocket.fair_share.Sharer`."""
        self._is_in_turn = False
        self._release()

    # -- credit and room ---------------------------------------------------------------------------------------

    def _credit(self) -> None:
        """Give the peer's credit back, if little is kept, or there is room for a large message. Bytes that wait to be
        parsed are not a message yet."""
        if not self._owed:
            return
        if self.kept <= self._queue_size or (
            not self._is_held and (self._discards or (self._has_room and not self._queue))
        ):
            owed, self._owed = self._owed, 0
            self._tunnel.consumed(owed)

    def _want_room(self) -> None:
        """Request room for the message that the handler waits for, if it is large."""
        if self._has_room or self._waiter is None or self._queue or self._discards:
            return
        if not self._protocol.wants_room and (not self._owed or self._is_held or self.kept <= self._queue_size):
            return
        if self._share.ask(self, self._most):
            self.on_room()

    def on_room(self) -> None:
        """See `headrace.websocket.fair_share.Sharer`."""
        if self._waiter is None or self._queue or self._protocol.is_done:  # no task waits for it any more
            self._share.leave(self)
            return
        self._has_room = True
        self._heard = 0
        self._credit()
        self._release()

    def stalled(self) -> bool:
        """See `headrace.websocket.fair_share.Sharer`."""
        heard, self._heard = self._heard, 0
        return heard < STALL_PROGRESS and not self._is_held and not self._queue

    def end_stalled(self) -> None:
        """See `headrace.websocket.fair_share.Sharer`."""
        self.give_up(TRY_AGAIN_LATER)

    def _leave(self) -> None:
        """Release the room, because nothing more is received."""
        self._has_room = False
        self._share.leave(self)
