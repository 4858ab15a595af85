"""Limits for reading from one transport, beside its back-pressure: large reads in a turn, reads of a peer that takes
nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    import contextvars
    from collections.abc import Callable

LARGE_READ: Final = 131_072  # bytes of a read that may not be the last of its turn: uvloop reads on 32 times
READS_IN_A_ROW: Final = 2  # large reads of one loop turn; the third waits in the kernel, while others have their turn
READ_WHILE_BLOCKED: Final = 65_536  # bytes that are read while the peer takes none of ours: resets, windows


class ReadLimits:
    """The counts behind these limits."""

    __slots__ = ("_large", "_while_blocked")

    def __init__(self) -> None:
        self._large = 0
        self._while_blocked = 0

    def count_large(
        self, loop: asyncio.AbstractEventLoop, next_turn: Callable[[], None], context: contextvars.Context
    ) -> bool:
        """Count a read that was so large that the event loop may read again at once, before other connections.

        Return True when reading must wait for the next turn of the loop, in which `next_turn` is called.
        """
        if self._large == 0:
            loop.call_soon(next_turn, context=context.copy())
        self._large += 1
        return self._large >= READS_IN_A_ROW

    def new_turn(self) -> None:
        """Forget the large reads, because the loop has turned."""
        self._large = 0

    def begin_blocked(self) -> None:
        """Note that the peer takes no output from now on."""
        self._while_blocked = 0

    def count_blocked(self, size: int) -> bool:
        """Count input of a peer that takes no output. Return True when it may send no more."""
        self._while_blocked += size
        return self._while_blocked > READ_WHILE_BLOCKED

    def forbids(self, is_write_blocked: bool, is_ending: bool) -> bool:
        """Return True while one of the limits forbids to resume reading."""
        if self._large >= READS_IN_A_ROW:
            return True
        return is_write_blocked and not is_ending and self._while_blocked > READ_WHILE_BLOCKED
