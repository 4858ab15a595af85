"""The work of one turn of the event loop, for all HTTP connections on it together.

Each connection's turn is bounded (`frames_per_turn`), but twenty at once add up, and the consequences of their frames,
such as a hundred cancelled handlers, all run in the loop's next turn. So the work is summed up. Once it is used up, a
busy connection must wait for a later turn, in order; a connection with a request or two never waits.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from headrace.transport.per_loop import LoopTurns, PerLoop

if TYPE_CHECKING:
    import asyncio

WORK_A_TURN: Final = 200
"""Frames, and work counted as frames, that one turn of the loop takes of all its connections, and a turn of one
more."""
CANCELLED_WORK: Final = 8
"""Cost of a request that is reset while its handler runs: 100 such handlers are 6 ms of cancelling, where 100 small
requests are less than one."""
LOW_WORK: Final = WORK_A_TURN // 2
"""Remaining work at which it is filled up in the next turn: eight connections with ten requests a turn each never wait;
when they did, it cost 5 % of their rate."""
LIGHT_WORK: Final = 8
"""A connection with no more frames than this in its last turn is not busy: a request or two."""
LIGHT_READ: Final = 512
"""Bytes of a read that are no more work than that."""


class Waiting(Protocol):
    """A connection with input, as `LoopWork` sees it."""

    def take_turn(self) -> None:
        """Called when it is this connection's turn: continue with the waiting input."""


class LoopWork(LoopTurns):
    """The remaining work of one loop's turn, and the connections that wait for the next."""

    __slots__ = ("_waiting", "left")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.left: int = WORK_A_TURN
        """Work that may be done before the next turn. It is filled up only when little is left, so it costs nothing
        where there is little to do."""
        self._waiting: deque[Waiting] = deque()

    def fill_up(self) -> None:
        """Fill up in the loop's next turn; to be called when no more than LOW_WORK is left."""
        self.schedule()

    def wait(self, connection: Waiting) -> None:
        """Call `take_turn` when it is the connection's turn. Only to be called while nothing is left.

        The next turn is scheduled here, because work may have been used up without input: by a connection that is lost.
        """
        self._waiting.append(connection)
        self.schedule()

    def _turn(self) -> None:
        self._due = False
        # Work beyond a turn, such as one large field block, is paid back by turns without busy connections: others
        # get their answers, which take some turns of the loop, between two blocks and not one block a turn.
        self.left = min(self.left + WORK_A_TURN, WORK_A_TURN)
        waiting = self._waiting
        try:
            while waiting and self.left > 0:
                waiting.popleft().take_turn()
        finally:
            if waiting:
                self.left = min(self.left, 0)
            if self.left <= LOW_WORK:
                self.fill_up()


_works: Final = PerLoop(LoopWork)


def loop_work(loop: asyncio.AbstractEventLoop) -> LoopWork:
    """Return the object that the connections of a loop share. Keep a reference while it shall be shared."""
    return _works.of(loop)
