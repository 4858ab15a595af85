"""The graceful end of a connection: two GOAWAYs, a round trip apart (RFC 9113 §6.8).

"A server that is attempting to gracefully shut down a connection SHOULD send an initial GOAWAY frame with the last
stream identifier set to 2^31-1 and a NO_ERROR code. [...] After allowing time for any in-flight stream creation (at
least one round-trip time), the server MAY send another GOAWAY frame with an updated last stream identifier."
"""

from __future__ import annotations

from typing import Final

from headrace.engine.limits import MAX_STREAM_ID
from headrace.engine.timed import NEVER

DRAIN_PING: Final = b"headrace"
_ROUND_TRIP_S: Final = 1.0  # at most, for the PING between the two GOAWAYs


class Drain:
    """How far the end of a connection has come, whichever side began it."""

    def __init__(self) -> None:
        self.has_begun: bool = False
        """We have sent the first GOAWAY."""
        self.goaway_received: bool = False
        """The peer has sent GOAWAY: no new streams."""
        self.refuse_above: int = MAX_STREAM_ID
        """Streams of the peer above this are refused."""
        self.ends_when_empty: bool = False
        """The connection ends with its last stream."""
        self._ping_due: float = NEVER
        self._due: float = NEVER

    def begin(self, now: float, deadline: float) -> float:
        """Begin the first phase, with GOAWAY(2^31-1) and a PING; return when the next check is due."""
        self.has_begun = True
        self._ping_due = now + _ROUND_TRIP_S
        self._due = deadline
        return self.due()

    def awaits_ping(self) -> bool:
        """Tell whether the first phase goes on: it ends with the acknowledgement of its PING."""
        return self._ping_due != NEVER

    def round_trip_is_over(self, now: float) -> bool:
        """Tell whether the first phase has lasted for long enough, also without that acknowledgement."""
        return now >= self._ping_due

    def finish(self, last_id: int) -> None:
        """Begin the second phase, with the true last stream id: later streams are refused."""
        self._ping_due = NEVER
        self.refuse_above = last_id
        self.ends_when_empty = True

    def has_told_last_id(self) -> bool:
        """Tell whether our GOAWAY with the true last stream id has been sent."""
        return self.refuse_above != MAX_STREAM_ID

    def expire(self, now: float) -> bool:
        """Return True once the time for what still runs is over; from then on nothing ends by itself."""
        if now < self._due:
            return False
        self.ends_when_empty = False
        return True

    def due(self) -> float:
        """Return when the next check is due."""
        return min(self._ping_due, self._due)

    def receive_goaway(self) -> bool:
        """Take a GOAWAY of the peer's; return True for the first."""
        is_first = not self.goaway_received
        self.goaway_received = True
        return is_first

    def end_when_empty(self) -> None:
        """End the connection with its last stream, without a drain of ours."""
        self.ends_when_empty = True
