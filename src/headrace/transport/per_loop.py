"""One object per event loop, as long as it is used; and its turns."""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes one object for each event loop, and keeps none of them alive.

    The connections of a loop hold the object. It may refer to them and to the loop: all of it goes together, also when
    the loop was stopped in the middle of its work and closed.
    """

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], T]) -> None:
        self._make = make
        # A value that refers to its key would keep a dead loop, and all that waits on it, for ever.
        self._known: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[T]] = weakref.WeakKeyDictionary()

    def of(self, loop: asyncio.AbstractEventLoop) -> T:
        """Return the object of `loop`, a new one when there is no reference to one."""
        known = self._known.get(loop)
        found = None if known is None else known()
        if found is None:
            found = self._make(loop)
            self._known[loop] = weakref.ref(found)
        return found


class LoopTurns:
    """Base of the objects that give out turns of one event loop: calls `_turn` in a later turn of the loop."""

    __slots__ = ("__weakref__", "_context", "_due", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._context = contextvars.Context()  # a turn belongs to no request
        self._due = False

    def schedule(self) -> None:
        """Have `_turn` called in the loop's next turn; a no-op while that is due already."""
        if not self._due:
            loop = self._loop()
            if loop is not None:
                self._due = True
                loop.call_soon(self._turn, context=self._context)

    def _turn(self) -> None:
        """Give out a turn. Clears `_due`, at the beginning or at the end."""
        raise NotImplementedError
