"""The turns of one connection's input: how much the loop parses at once, and input that waits for its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from headrace.transport.loop_work import LIGHT_READ, LIGHT_WORK, loop_work

if TYPE_CHECKING:
    import asyncio

    from headrace.transport.loop_work import LoopWork

HELD: Final = 65_536  # bytes that are kept while input waits for its turn, before reading stops


class TurnTaker(Protocol):
    """A connection as its turns see it."""

    transport: asyncio.Transport | None

    @property
    def is_ending(self) -> bool:
        """True once no more input counts."""

    def on_turn(self, change: int) -> None:
        """Note that input is left for a later turn (1), or that this turn is here (-1)."""

    def data_received(self, data: bytes) -> None:
        """Parse input, as far as this turn allows."""

    def end_of_input(self) -> None:
        """Handle the peer's end of input."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the loss of the transport."""


class InputTurns:
    """The share of one connection in the work of its loop."""

    __slots__ = ("_held", "eof_due", "is_due", "is_held_back", "loss_due", "work")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.work: LoopWork = loop_work(loop)
        self.is_due: bool = False
        """True while input waits for a turn."""
        self.is_held_back: bool = False
        """True while that turn waits for the work of other connections."""
        self.eof_due: bool = False
        """True when the peer's end of input comes after the input that waits."""
        self.loss_due: bool = False
        """True when the loss of the transport does."""
        self._held = b""

    def is_heavy(self, size: int, last_work: int, work_due: int) -> bool:
        """Return whether input of `size` bytes may be more than a request or two, by the work of this connection's last
        turn: only such input waits for others. The first input of a connection (work -1) never waits."""
        return last_work > LIGHT_WORK or (last_work >= 0 and size > LIGHT_READ) or work_due > LIGHT_WORK

    def hold(self, data: bytes) -> bool:
        """Keep input for its turn. Return True when so much is kept that reading must stop."""
        self._held = self._held + data if self._held else data
        return len(self._held) > HELD

    def held_size(self) -> int:
        """Return the number of bytes that wait."""
        return len(self._held)

    def take_turn(self, connection: TurnTaker) -> None:
        """Let `connection` parse the input that waits, and then hear of its end, if that has come."""
        self.is_due = False
        if self.is_held_back:
            self.is_held_back = False
        else:
            connection.on_turn(-1)
        held, self._held = self._held, b""
        if connection.is_ending or (connection.transport is None and not self.loss_due):
            return
        connection.data_received(held)
        if self.is_due:
            return
        if self.loss_due:
            self.loss_due = False
            connection.connection_lost(None)
        elif self.eof_due and not connection.is_ending:
            connection.end_of_input()
