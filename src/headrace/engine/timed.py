"""The state that the connections of both protocols and roles have in common: the end, events, and the owner's clock.

Time comes in with input, output and deadlines. A worker that sends between two of them brings none: what it begins is
marked undated, and dated with the next time that comes in (docs/adr/0008).
"""

from __future__ import annotations

from typing import Any, Final, final

from headrace.engine.contract import Turns
from headrace.engine.events import Event
from headrace.engine.server_names import ServerNames

NEVER: Final = float("inf")


class TimedEngine:
    """Base of the connections; `now` is the owner's clock in seconds. `contract` describes the public attributes."""

    def __init__(self, now: float) -> None:
        self.closed: bool = False
        self.aborted: bool = False
        self.deadline: float = NEVER
        self.turns: Turns | None = None
        self.work: int = -1
        self.drop_underscore_fields = False
        self.server_names: ServerNames | None = None
        self.held_fields: list[Any] = []
        self._drops = False
        self._now = now
        self._now_is_fresh = True
        self._undated = False
        self._events: list[Event] = []

    @property
    def drop_connection_fields(self) -> bool:
        """With True, connection-specific fields of the application are left out, not refused (RFC 9113 §8.2.2)."""
        return self._drops

    @drop_connection_fields.setter
    def drop_connection_fields(self, drops: bool) -> None:
        self._drops = drops
        self._set_drops(drops)

    def _set_drops(self, drops: bool) -> None:
        """Hand `drop_connection_fields` to whatever writes heads."""

    @property
    def work_due(self) -> int:
        """Work that the next input, however small, may bring at once; only an incomplete field block of HTTP/2 does."""
        return 0

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

    @final
    def _enter(self, now: float) -> None:
        """Begin a call that brings the time: `_stamp` knows it until `_leave`."""
        self._now = now
        self._now_is_fresh = True

    @final
    def _leave(self) -> None:
        """End a call that brought the time: a worker that sends after it brings none."""
        self._now_is_fresh = False

    @final
    def _learns(self, now: float) -> bool:
        """Note the time of a call for output, unless it is below 0. Return True when something is to be dated with it,
        which the caller must do at once."""
        if now < 0:
            return False
        self._now = now
        if self._undated:
            self._undated = False
            return True
        return False

    @final
    def _end_here(self) -> None:
        """Read nothing more, and wait for nothing."""
        self.closed = True
        self.deadline = NEVER

    @final
    def _abort_here(self) -> None:
        """Make the end of the connection one that no peer can take for an orderly one."""
        self.aborted = True

    @final
    def _look_again(self, due: float) -> None:
        """Make `due`, which is computed anew from all that is waited for, the next deadline."""
        self.deadline = due

    @final
    def _count_work(self, work: int) -> None:
        """Set the work of the last input."""
        self.work = work

    def _stamp(self) -> float:
        """Return the time, or -1 when it is not known: a worker that sends between two inputs brings no clock."""
        if self._now_is_fresh:
            return self._now
        self._undated = True
        return -1.0

    def _at_latest(self, when: float) -> None:
        if when < self.deadline:
            self.deadline = when
