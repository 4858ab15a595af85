"""The resources that WebSockets share: the work of a loop's turn, and the memory for large messages.

A peer that sends two megabytes of empty frames, or a kilobyte that inflates to a megabyte, makes more work than its
bytes show. So work is counted, and one turn of the loop does a bounded amount of it, for all WebSockets together; the
rest continues in the next turn, connection by connection, so that a hundred streams of one peer get no more than one of
another.

Small messages always have room. A message that grows beyond that reserves `max_message_size`, while its handler waits
for it. A connection's reservations have a bound, and those of all connections together have another; WebSockets without
room wait in order, and one of each connection always continues.
"""

from __future__ import annotations

import contextvars
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from headrace.engine.build import engine_is_compiled
from headrace.transport.per_loop import LoopTurns, PerLoop

if TYPE_CHECKING:
    import asyncio

WORK_PER_TURN: Final = 1_000 if engine_is_compiled() else 250
"""Units of the engine's work (a frame, 4 KiB of payload, 256 bytes that are inflated or 64 that they are inflated from,
half a message) that a turn of the loop does for all its WebSockets: 1 to 3 ms."""
SLICE: Final = 100
"""Units that one WebSocket does before the next one's turn."""
SENDS_PER_TURN: Final = 256
"""Messages, or units of 4 KiB, that a sender sends before it yields to other tasks, if nothing else makes it wait."""
TAKEN_PER_TURN: Final = 64
"""Messages, or units of 4 KiB, that one handler takes before it yields to other tasks, if nothing else makes it
wait."""
WEIGHT_SHIFT: Final = 12  # a message counts one, and one more for each 4 KiB
WEIGHT: Final = 1 << WEIGHT_SHIFT
DEFAULT_CONNECTION_MESSAGES: Final = 8_388_608
DEFAULT_PROCESS_MESSAGES: Final = 33_554_432
STALL_S: Final = 10.0  # for which a message may stand still while others wait for its room
STALL_PROGRESS: Final = 4_096  # bytes within STALL_S that count; less is a drip


class Sharer(Protocol):
    """The view of a WebSocket that the shared resources have."""

    def resume(self) -> None:
        """Called when it is this WebSocket's turn: continue with the waiting input."""

    def on_room(self) -> None:
        """Called when the requested room is reserved."""

    def stalled(self) -> bool:
        """Return whether the peer has sent less than STALL_PROGRESS of a message since the last call."""
        ...

    def end_stalled(self) -> None:
        """End, because others need the room."""


class LoopShare(LoopTurns):
    """The turns of one loop."""

    __slots__ = ("_waiting", "_work", "left", "room", "sent")

    def __init__(self, loop: asyncio.AbstractEventLoop, work: int = WORK_PER_TURN) -> None:
        super().__init__(loop)
        self.left: int = work
        """Work that may be done before the next turn. It is filled up only when it was used up, so it costs nothing
        where there is little to do."""
        self.sent: int = 0
        """Amount sent since a sender yielded; see SENDS_PER_TURN."""
        self.room: ProcessRoom = ProcessRoom()
        """For connections without one of their own."""
        self._work = work
        self._waiting: deque[ConnectionShare] = deque()

    def wait(self, share: ConnectionShare) -> None:
        """Let a connection have its turn."""
        self._waiting.append(share)
        self.schedule()

    def _turn(self) -> None:
        self.left = self._work
        waiting = self._waiting
        try:
            while waiting and self.left > 0:
                share = waiting.popleft()
                if share.give_turn():
                    waiting.append(share)
        finally:  # one WebSocket's fault is not the end of the others' turns
            self._due = False
            if waiting:
                self.schedule()
            self.left = self._work  # for connections with little input, meanwhile


_shares: Final = PerLoop(LoopShare)


def loop_share(loop: asyncio.AbstractEventLoop) -> LoopShare:
    """Return the object that the WebSockets of a loop share. Keep a reference while it shall be shared."""
    return _shares.of(loop)


class ProcessRoom:
    """The room for large messages of all connections together, in bytes."""

    __slots__ = ("limit", "reserved", "waiting")

    def __init__(self, limit: int = DEFAULT_PROCESS_MESSAGES) -> None:
        self.limit: int = limit
        self.reserved: int = 0
        self.waiting: dict[ConnectionShare, None] = {}
        """The connections that wait for it, in order."""

    def freed(self) -> None:
        """Serve the waiting connections, as far as there is room."""
        waiting = self.waiting
        for _ in range(len(waiting)):
            share = next(iter(waiting))
            del waiting[share]
            if not share.serve():  # it was put back; the next one may not overtake it
                break


class ConnectionShare:
    """The WebSockets of one connection: their turns, and their room for large messages."""

    __slots__ = (
        "__weakref__",
        "_asking",
        "_holders",
        "_is_serving",
        "_is_waiting",
        "_limit",
        "_loop",
        "_ready",
        "_room",
        "_timer",
        "turn",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limit: int = DEFAULT_CONNECTION_MESSAGES,
        room: ProcessRoom | None = None,
    ) -> None:
        self.turn: LoopShare = loop_share(loop)
        self._loop = loop
        self._limit = limit
        self._room = self.turn.room if room is None else room
        self._ready: deque[Sharer] = deque()
        self._is_waiting = False
        self._holders: dict[Sharer, int] = {}
        self._asking: dict[Sharer, int] = {}
        self._is_serving = False
        self._timer: asyncio.TimerHandle | None = None

    # -- turns -------------------------------------------------------------------------------------------------

    def wait(self, socket: Sharer) -> None:
        """Call the socket's `resume` when it is its turn."""
        self._ready.append(socket)
        if not self._is_waiting:
            self._is_waiting = True
            self.turn.wait(self)

    def give_turn(self) -> bool:
        """Give the next socket its turn. Return True while there are more."""
        try:
            if self._ready:
                self._ready.popleft().resume()
        except BaseException:  # one WebSocket's fault is not the end of the others' turns
            self._is_waiting = bool(self._ready)
            if self._is_waiting:
                self.turn.wait(self)
            raise
        self._is_waiting = bool(self._ready)
        return self._is_waiting

    # -- room --------------------------------------------------------------------------------------------------

    @property
    def reserved(self) -> int:
        """Bytes that are reserved now."""
        return sum(self._holders.values())

    def ask(self, socket: Sharer, size: int) -> bool:
        """Reserve `size` bytes. Return True when there is room; otherwise `on_room` is called later, unless `leave` is
        called before."""
        if socket in self._asking:
            return False
        if not self._asking and self._has_room(size):
            self._reserve(socket, size)
            return True
        self._asking[socket] = size
        self._wait_for_process(size)
        if self._timer is None:
            self._timer = self._loop.call_later(STALL_S, self._check_stalled, context=contextvars.Context())
            for each in self._holders:
                each.stalled()  # counts from now
        return False

    def leave(self, socket: Sharer) -> None:
        """Release the socket's reservation, and cancel its request for one; a no-op without either."""
        self._asking.pop(socket, None)
        size = self._holders.pop(socket, 0)
        if size:
            self._room.reserved -= size
            if not self._is_serving:  # otherwise the serving loop continues
                self.serve()
                if self._room.waiting:
                    self._room.freed()

    def serve(self) -> bool:
        """Give room to waiting sockets, in order. Return True when none must wait for other connections."""
        asking = self._asking
        self._is_serving = True
        while asking:
            socket, size = next(iter(asking.items()))
            if not self._has_room(size):
                self._is_serving = False
                self._wait_for_process(size)
                return self not in self._room.waiting
            del asking[socket]
            self._reserve(socket, size)
            socket.on_room()
        self._is_serving = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return True

    def _has_room(self, size: int) -> bool:
        if not self._holders:
            return True  # one always goes on, or a message could be too large for ever
        return self._fits_connection(size) and self._room.reserved + size <= self._room.limit

    def _fits_connection(self, size: int) -> bool:
        return self.reserved + size <= self._limit

    def _wait_for_process(self, size: int) -> None:
        if self._fits_connection(size):
            self._room.waiting[self] = None

    def _reserve(self, socket: Sharer, size: int) -> None:
        self._holders[socket] = size
        self._room.reserved += size

    def _check_stalled(self) -> None:
        """Take room, while others wait, from sockets whose message does not arrive."""
        self._timer = None
        if not self._asking:
            return
        for socket in list(self._holders):
            if socket.stalled():
                socket.end_stalled()
        if self._asking:
            self._timer = self._loop.call_later(STALL_S, self._check_stalled, context=contextvars.Context())
