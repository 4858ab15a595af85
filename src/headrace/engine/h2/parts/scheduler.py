"""Whose turn it is to send DATA: RFC 9218 §10, frame by frame.

Lower urgency numbers go first. Within one urgency, incremental streams take turns, streams that asked for the contrary
(`i=?0`, or a priority without `i`) go one after the other by stream id, and the two groups alternate so that neither
starves. Only streams that have content and a window of their own stand here, so a turn never searches.
"""

from __future__ import annotations

from headrace.engine.h2.priority import LEVELS
from headrace.engine.h2.stream import Stream


class Level:
    """The streams of one urgency."""

    def __init__(self) -> None:
        self.turns: list[Stream] = []
        self.ordered: list[Stream] = []
        self.ordered_next = False


class Scheduler:
    """Ready streams by urgency. `count` is their number."""

    def __init__(self) -> None:
        self.count: int = 0
        self._levels: list[Level] | None = None

    def add(self, stream: Stream) -> None:
        """Let a stream take part; a no-op when it does already."""
        if stream.scheduled:
            return
        if self._levels is None:
            self._levels = [Level() for _ in range(LEVELS)]
        level = self._levels[stream.urgency]
        if stream.incremental:
            level.turns.append(stream)
        else:
            ordered = level.ordered
            place = len(ordered)
            while place > 0 and ordered[place - 1].stream_id > stream.stream_id:
                place -= 1
            ordered.insert(place, stream)
        stream.scheduled = True
        self.count += 1

    def remove(self, stream: Stream) -> None:
        """Take a stream out; a no-op when it is not in."""
        if not stream.scheduled or self._levels is None:
            return
        level = self._levels[stream.urgency]
        if stream.incremental:
            level.turns.remove(stream)
        else:
            level.ordered.remove(stream)
        stream.scheduled = False
        self.count -= 1

    def change(self, stream: Stream, urgency: int, incremental: bool) -> None:
        """Give a stream another priority, keeping its place in the scheduler if it has one (RFC 9218 §7)."""
        was_in = stream.scheduled
        self.remove(stream)
        stream.urgency = urgency
        stream.incremental = incremental
        if was_in:
            self.add(stream)

    def next(self) -> Stream | None:
        """Return the stream whose turn it is, and move it behind its equals; None when no stream is ready."""
        if self.count == 0 or self._levels is None:
            return None
        for level in self._levels:
            if level.ordered and (level.ordered_next or not level.turns):
                level.ordered_next = False
                return level.ordered[0]
            if level.turns:
                level.ordered_next = True
                stream = level.turns[0]
                if len(level.turns) > 1:
                    del level.turns[0]
                    level.turns.append(stream)
                return stream
        return None  # pragma: no cover: the count says that a level has a stream
