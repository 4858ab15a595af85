"""Streams that are over: how each ended, and what may still come on it (RFC 9113 §5.1).

"An endpoint that sends a RST_STREAM frame on a stream that is in the "open" or "half-closed (local)" state could
receive any type of frame. The peer might have sent or enqueued for sending these frames before processing the
RST_STREAM frame. An endpoint MUST minimally process and then discard any frames it receives in this state."
"""

from __future__ import annotations

from typing import Final

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault, StreamFault
from headrace.engine.h2.states import (
    CLOSED,
    CLOSED_BY_PEER,
    CLOSED_BY_US,
    CLOSED_CONNECTION,
    CLOSED_STREAM,
    IGNORE,
    PROTOCOL_CONNECTION,
    next_state,
)
from headrace.engine.limits import DEFAULT_WINDOW, Limits

_REMEMBERED: Final = 1_024


class ClosedStreams:
    """The last streams that did not end on both sides, with the state of each; the others are CLOSED."""

    def __init__(self, limits: Limits) -> None:
        self._states: dict[int, int] | None = None
        self._largest_window: int = max(limits.initial_stream_window, DEFAULT_WINDOW)
        self._late_data: int = 0  # bytes of DATA that may still come on streams that we have reset

    def __len__(self) -> int:
        return 0 if self._states is None else len(self._states)

    def state(self, stream_id: int) -> int:
        """Return how a stream was closed: CLOSED where nothing else is remembered."""
        return CLOSED if self._states is None else self._states.get(stream_id, CLOSED)

    def reason(self, stream_id: int) -> str:
        """Return half a sentence for people that says why a stream is closed."""
        state = self.state(stream_id)
        if state == CLOSED_BY_PEER:
            return "the peer reset it"
        return "it was reset" if state == CLOSED_BY_US else "it has ended"

    def remember(self, stream_id: int, state: int) -> None:
        """Remember how a stream was closed, and forget the oldest where there are too many."""
        states = self._states
        if states is None:
            states = {}
            self._states = states
        elif len(states) >= _REMEMBERED:
            del states[next(iter(states))]
        states[stream_id] = state

    def receive(self, stream_id: int, state: int, step: int, name: str) -> None:
        """Take the frame `name` on a stream that is not open: return when it is to be ignored, else raise its fault."""
        outcome = next_state(state, step)
        if outcome < IGNORE:  # we had reset it, and now the peer is through with it as well
            self.remember(stream_id, outcome)
        elif outcome != IGNORE:
            raise_fault(stream_id, outcome, name)

    def expect_data(self, used: int) -> None:
        """Allow the DATA that may be under way on a stream that we reset: what is left of a window of which the peer
        had used so much, and no more (RFC 9113 §6.9.1)."""
        left = self._largest_window - used
        if left > 0:
            self._late_data += left

    def receive_data(self, length: int) -> None:
        """Count DATA on streams that we have reset. Raises ConnectionFault beyond what can have been under way: a peer
        that goes on would be read for ever, as the connection's credit comes back."""
        self._late_data -= length
        if self._late_data < 0:
            raise ConnectionFault(
                errors.FLOW_CONTROL_ERROR, "DATA beyond the windows of streams that were reset", "RFC 9113 §6.9.1"
            )


def raise_fault(stream_id: int, outcome: int, name: str) -> None:
    """Raise the fault that an outcome of `next_state` stands for, of the frame `name` (RFC 9113 §5.1)."""
    if outcome == PROTOCOL_CONNECTION:
        raise ConnectionFault(errors.PROTOCOL_ERROR, f"{name} on idle stream {stream_id}", "RFC 9113 §5.1")
    if outcome == CLOSED_CONNECTION:
        raise ConnectionFault(errors.STREAM_CLOSED, f"{name} on closed stream {stream_id}", "RFC 9113 §5.1")
    assert outcome == CLOSED_STREAM
    raise StreamFault(stream_id, errors.STREAM_CLOSED, f"{name} on a stream that the peer has ended", "RFC 9113 §5.1")
