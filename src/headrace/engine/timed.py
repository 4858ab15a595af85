"""What the connections of both protocols keep besides their protocol: events that wait, and the owner's clock.

Time comes in with input, output and deadlines. A worker that sends between two of them brings none: what it begins is
marked undated, and dated with the next time that comes in (docs/adr/0008).
"""

from __future__ import annotations

from typing import Final

from headrace.engine.contract import Engine
from headrace.engine.events import Event

NEVER: Final = float("inf")


class TimedEngine(Engine):
    """Base of the connections; `now` is the owner's clock in seconds."""

    def __init__(self, now: float) -> None:
        super().__init__()
        self._now = now
        self._now_is_fresh = True
        self._undated = False
        self._events: list[Event] = []

    def take_events(self) -> list[Event]:
        """Return and forget the events that arose outside `receive_data`: SendAccepted after `take_output`, or the next
        pipelined request after a response."""
        events = self._events
        if events:
            self._events = []
        return events

    def next_deadline(self) -> float | None:
        """Return when to call `handle_deadline` next, on the owner's clock; None when nothing is waited for."""
        return None if self.deadline == NEVER else self.deadline

    def _stamp(self) -> float:
        """Return the time, or -1 when it is not known: a worker that sends between two inputs brings no clock."""
        if self._now_is_fresh:
            return self._now
        self._undated = True
        return -1.0

    def _at_latest(self, when: float) -> None:
        if when < self.deadline:
            self.deadline = when
