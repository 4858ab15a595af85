"""What a fault of the peer leads to, and what its oddities cost.

A frame handler raises StreamFault or ConnectionFault, which end in `Connection.receive_data`. A stream's fault is
answered here with RST_STREAM (RFC 9113 §5.4.2), a connection's in `output` with GOAWAY (RFC 9113 §5.4.1).
"""

from __future__ import annotations

from typing import Final

from headrace.engine import errors
from headrace.engine.budget import Budget
from headrace.engine.causes import CONTENT_TOO_LONG, CONTENT_TOO_SHORT
from headrace.engine.errors import ConnectionFault, Oversize, StreamFault
from headrace.engine.events import PeerFault, StreamReset
from headrace.engine.h2 import frames
from headrace.engine.h2.deadlines import Deadlines
from headrace.engine.h2.states import (
    CLOSED,
    CLOSED_BY_US,
    CLOSED_CONNECTION,
    CLOSED_STREAM,
    IDLE,
    IGNORE,
    PROTOCOL_CONNECTION,
    next_state,
)
from headrace.engine.h2.stream import Stream
from headrace.engine.limits import Limits

# A reset is early, and charged, when its stream was open for less. A place that is held so long is no cheaper than one
# whose request is answered in that time; so nothing has to be believed that a client says of its reasons.
_EARLY_S: Final = 0.010
_EARLY_AN_ANSWER: Final = 2.0  # hedged calls: of three attempts at once, one is answered and two are taken back
_PROVOKED_AN_ANSWER: Final = 0.1  # through a proxy, also of those who have nothing to do with it
MOST_FREE_FRAMES: Final = 10_000
# Frames that a response with too many or too large fields counts for; its request pays as many.
_OVERSIZE_COST: Final = 4


def length_fault(stream: Stream) -> StreamFault:
    """Return the fault of a message whose DATA is not as long as its content-length says (RFC 9113 §8.1.1)."""
    is_long = stream.received > stream.recv_length
    reason = f"{'more' if is_long else 'fewer'} octets of DATA than content-length says"
    cause = CONTENT_TOO_LONG if is_long else CONTENT_TOO_SHORT
    return StreamFault(stream.stream_id, errors.PROTOCOL_ERROR, reason, "RFC 9113 §8.1.1", cause)


class Faults(Deadlines):
    """The budgets of a connection, and the answers to faults on its streams."""

    def __init__(self, limits: Limits, is_server: bool, now: float) -> None:
        super().__init__(limits, is_server, now)
        self._odd = Budget("odd_frames", limits.odd_frame_burst, limits.odd_frame_rate, now)
        self._provoked = Budget(
            "provoked_resets", limits.provoked_reset_burst, limits.provoked_reset_rate, now, _PROVOKED_AN_ANSWER
        )
        self._early = Budget("early_resets", limits.early_reset_burst, limits.early_reset_rate, now, _EARLY_AN_ANSWER)

    def _answered(self) -> int:
        """Return how many requests had a whole response; counted by what is rare, so that an answer costs nothing."""
        return self.streams_opened - len(self._streams) - self._unanswered

    def _spend_free(self, units: int) -> None:
        """Charge what lawful peers send beside their work, such as PING: content and requests have paid for some of it
        (`_free_frames`); what is beyond that is odd."""
        if self._free_frames >= units:
            self._free_frames = min(self._free_frames, MOST_FREE_FRAMES) - units
        else:
            self._spend_odd(units)

    def _spend_early(self, stream: Stream) -> None:
        """Charge a request that its client has taken back before it was answered, unless it held its place."""
        if self._now - stream.opened_at >= _EARLY_S:
            return
        self._early.earn(self._answered())
        if not self._early.spend(1, self._now):
            raise ConnectionFault(
                errors.ENHANCE_YOUR_CALM, "too many requests taken back", "RFC 9113 §10.5", self._early.name
            )

    def _spend_odd(self, units: int) -> None:
        """Charge something legal but odd; ends in GOAWAY(ENHANCE_YOUR_CALM) when the budget is used up."""
        if not self._odd.spend(units, self._now):
            raise ConnectionFault(
                errors.ENHANCE_YOUR_CALM, "too many frames that do no work", "RFC 9113 §10.5", self._odd.name
            )

    def _spend_provoked(self) -> None:
        self._provoked.earn(self._answered())
        if not self._provoked.spend(1, self._now):
            raise ConnectionFault(
                errors.ENHANCE_YOUR_CALM, "too many streams that had to be reset", "RFC 9113 §10.5", self._provoked.name
            )

    def _reset_for(self, fault: StreamFault) -> None:
        """A stream error (RFC 9113 §5.4.2): RST_STREAM, one event for the owner; everything else goes on."""
        stream_id = fault.stream_id
        self._events.append(PeerFault(fault.code, "stream", stream_id, fault.reason, fault.section, ""))
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._drop(stream, CLOSED_BY_US)
            self._events.append(StreamReset(stream_id, fault.code, "local", fault.reason, fault.section, fault.cause))
        elif not self.closed:
            self._remember_closed(stream_id, CLOSED_BY_US)
            self._expect_late_data(0)
        if not self.closed:
            self._write_control(frames.write_rst_stream(stream_id, fault.code))
            if isinstance(fault, Oversize):
                self._spend_free(_OVERSIZE_COST)
            else:
                self._spend_provoked()

    def _state_of(self, stream_id: int) -> int:
        """Return the state of a stream that is not open (RFC 9113 §5.1): idle, or how it was closed."""
        if self._is_idle(stream_id):
            return IDLE
        if self._closed_streams is None:
            return CLOSED
        return self._closed_streams.get(stream_id, CLOSED)

    def _is_idle(self, stream_id: int) -> bool:
        """Tell whether neither side has opened this stream yet."""
        raise NotImplementedError

    def _refuse_step(self, stream_id: int, state: int, step: int, name: str) -> None:
        """Raise what a frame on a stream that is not open deserves; return when it is to be ignored."""
        outcome = next_state(state, step)
        if outcome == IGNORE:
            return
        if outcome < IGNORE:  # we had reset it, and now the peer is through with it as well
            self._remember_closed(stream_id, outcome)
            return
        if outcome == PROTOCOL_CONNECTION:
            raise ConnectionFault(errors.PROTOCOL_ERROR, f"{name} on idle stream {stream_id}", "RFC 9113 §5.1")
        if outcome == CLOSED_CONNECTION:
            raise ConnectionFault(errors.STREAM_CLOSED, f"{name} on closed stream {stream_id}", "RFC 9113 §5.1")
        assert outcome == CLOSED_STREAM
        raise StreamFault(
            stream_id, errors.STREAM_CLOSED, f"{name} on a stream that the peer has ended", "RFC 9113 §5.1"
        )
