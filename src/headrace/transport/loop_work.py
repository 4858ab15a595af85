"""The work of one turn of the event loop, for all HTTP connections on it together.

Each connection's turn is bounded (`frames_per_turn`), but twenty that come at once add up, and what their frames lead
to, such as a hundred handlers cancelled, is done in the loop's next turn, all of it. So the work is summed up. Once it
is used up, a connection that is busy has to wait for a later turn, in order; one with a request or two never does.
"""

from __future__ import annotations

import contextvars
import weakref
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from headrace.transport.per_loop import PerLoop

if TYPE_CHECKING:
    import asyncio

WORK_A_TURN: Final = 200
"""Frames, and what counts as one, that one turn of the loop takes of all its connections, and a turn of one more."""
CANCELLED_WORK: Final = 8
"""What a request counts for that is reset while its handler runs: 100 such handlers are 6 ms of cancelling, where 100
small requests are less than one."""
LOW_WORK: Final = WORK_A_TURN // 2
"""What may be left before it is filled up in the next turn: eight connections with ten requests a turn each never wait;
when they did, it cost 5 % of their rate."""
LIGHT_WORK: Final = 8
"""Frames of its last turn with which a connection is not busy: a request or two with what belongs to them."""
LIGHT_READ: Final = 512
"""Bytes of a read that are no more than that."""


class Waiting(Protocol):
    """A connection with input, as `LoopWork` sees it."""

    def go_on(self) -> None:
        """It is your turn: go on with what waits."""


class LoopWork:
    """What is left of the turn of one loop, and who waits for the next."""

    __slots__ = ("__weakref__", "_context", "_due", "_loop", "_waiting", "left")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.left = WORK_A_TURN
        """Work that may be done before the next turn. It is filled up only when little is left, so it costs nothing
        where there is little to do."""
        self._loop = weakref.ref(loop)
        self._context = contextvars.Context()  # a turn is nobody's
        self._waiting: deque[Waiting] = deque()
        self._due = False

    def fill_up(self) -> None:
        """Fill up in the loop's next turn; to be called when no more than LOW_WORK is left."""
        if not self._due:
            loop = self._loop()
            if loop is not None:
                self._due = True
                loop.call_soon(self._turn, context=self._context)

    def wait(self, connection: Waiting) -> None:
        """Call `go_on` when it is the connection's turn. Only to be called while nothing is left."""
        self._waiting.append(connection)

    def _turn(self) -> None:
        self._due = False
        # What was done beyond a turn, such as one large field block, is made up for by turns without the busy: others
        # get what they come for, which takes some turns of the loop, between two blocks and not one block a turn.
        self.left = min(self.left + WORK_A_TURN, WORK_A_TURN)
        waiting = self._waiting
        try:
            while waiting and self.left > 0:
                waiting.popleft().go_on()
        finally:
            if waiting:
                self.left = min(self.left, 0)
            if self.left <= LOW_WORK:
                self.fill_up()


_works: Final = PerLoop(LoopWork)


def loop_work(loop: asyncio.AbstractEventLoop) -> LoopWork:
    """Return what the connections of a loop share. Hold it as long as it shall be shared."""
    return _works.of(loop)
