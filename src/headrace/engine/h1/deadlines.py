"""What an HTTP/1.1 connection waits for, and since when. A time below 0 is not known yet: `date` sets it.

The parts are given the time; they return when to look again, and raise or return a verdict when something is too late.
"""

from __future__ import annotations

from typing import Final

from headrace.engine.errors import ProtocolError
from headrace.engine.h1.faults import MessageFault
from headrace.engine.limits import DRIPS, Limits
from headrace.engine.timed import NEVER

STALLED: Final = -1.0
_REAL_PROGRESS: Final = 4_096  # bytes in `stalled_send_timeout_s` that count; less is a drip


class Expired(ProtocolError):
    """Something that was waited for did not come in time: the connection ends, by a reset when `aborts`.

    `budget` names the limit that was passed where the peer is at fault (an attribute of Limits), "" for others.
    """

    def __init__(self, code: int, reason: str, section: str, cause: str, aborts: bool, budget: str = "") -> None:
        super().__init__(code, reason, section, cause)
        self.aborts = aborts
        self.budget = budget


class Phases:
    """Since when no request is open, a head has come in part, and the rest of a request is read and forgotten."""

    def __init__(self, now: float) -> None:
        self.idle_since: float = now
        self.head_since: float = NEVER
        self.discard_since: float = NEVER

    def begin_idle(self, now: float) -> None:
        """No request is open from `now` on."""
        self.idle_since = now

    def begin_head(self, now: float) -> None:
        """A part of a head has come: the rest of it has a time by which it must come."""
        self.head_since = now

    def end_head(self) -> None:
        """The head is whole, or was an empty line."""
        self.head_since = NEVER

    def begin_discard(self, now: float) -> None:
        """The rest of a request has a time by which it must come."""
        self.discard_since = now

    def end_discard(self) -> None:
        """The rest of the request has come."""
        self.discard_since = NEVER

    def date(self, now: float) -> bool:
        """Set the times that are not known; tell whether one of them has a deadline."""
        if self.idle_since < 0:
            self.idle_since = now
        has_deadline = False
        if self.head_since < 0:
            self.head_since = now
            has_deadline = True
        if self.discard_since < 0:
            self.discard_since = now
            has_deadline = True
        return has_deadline


class StallWatch:
    """Whether the peer takes our output. Its kernel may take a few bytes at a time for ever: they do not count."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._since: float = NEVER
        self._mark: int = 0
        self.is_on: bool = False
        """Output is waited for to be taken."""

    def begin(self, now: float, taken: int) -> None:
        """Watch from `now` on; `taken` bytes have been taken so far."""
        self._since = now
        self._mark = taken
        self.is_on = True

    def end(self) -> None:
        """Stop: the output is taken, or is nobody's business any more."""
        self._since = NEVER
        self.is_on = False

    def date(self, now: float) -> bool:
        """Set the time that is not known; tell whether it was one."""
        if self._since < 0:
            self._since = now
            return True
        return False

    def check(self, now: float, taken: int) -> float:
        """Return when to check again, or STALLED: too little was taken in `stalled_send_timeout_s`."""
        if now >= self._since + self._timeout:
            if taken - self._mark < _REAL_PROGRESS:
                return STALLED
            self._since = now
            self._mark = taken
        return self._since + self._timeout


class UploadPace:
    """How slowly the content of a request may come, for as long as it is read and has no response.

    Content whose length was announced, a chunk or a line of the chunked coding that has begun, and content that drips,
    come at `min_upload_rate`. Between chunks the client may pause, for `upload_pause_timeout_s`; or, between all
    pieces, for as long as the application says.
    """

    def __init__(self, limits: Limits) -> None:
        self._rate: float = limits.min_upload_rate
        self._first: float = limits.upload_grace_s
        self._grace: float = max(limits.upload_grace_s, 0.001)
        self._longest: float = limits.upload_pause_timeout_s
        self._at: float = NEVER
        self._received: int = 0
        self._mark: int = 0  # `_received` at `_at`
        self._quiet_since: float = -1.0  # nothing of the content has come since; below 0: since `_at`
        self._drips: int = 0  # pieces of content, since then, that are too small for a message
        self._pause_s: float = -1.0  # longest pause that the application allows, 0: any; below 0: it has not said

    def begin(self, now: float) -> None:
        """Begin with the content of a request."""
        self._at = now
        self._received = 0
        self._mark = 0
        self._quiet_since = -1.0
        self._drips = 0
        self._pause_s = -1.0

    def due(self, now: float) -> float:
        """Return when to check content for the first time that comes from `now` on."""
        longest = self._pause_s if self._pause_s >= 0 else self._longest
        return now + (min(self._first, longest) if longest > 0 else self._first)

    def restart(self, now: float) -> None:
        """Begin anew: the client was told to send its content (100)."""
        self._at = now
        self._quiet_since = -1.0

    def add(self, size: int, is_drip: bool) -> None:
        """Take note of a piece of content; `is_drip` says that it is too small for a message."""
        self._received += size
        if is_drip:
            self._drips += 1

    def allow_pauses(self, longest: float) -> None:
        """Let the content pause for `longest` seconds between any two pieces; 0: for as long as it likes."""
        self._pause_s = longest

    def date(self, now: float) -> None:
        """Set the time that is not known."""
        if self._at < 0:
            self._at = now

    def check(self, now: float, has_room: bool, is_owed: bool) -> float:
        """Return when to check again; raise MessageFault for content that came too slowly, or did not go on.

        `has_room` says that the client can send: content is read, and it does not wait for 100 (Continue). `is_owed`
        says that it has to: a chunk or announced content is not whole.
        """
        allowed = self._pause_s
        if allowed == 0 or (self._rate <= 0 and allowed < 0):
            return NEVER
        longest = allowed if allowed >= 0 else self._longest
        came = self._received - self._mark
        if now >= self._at + self._grace:
            if has_room and allowed < 0 and (is_owed or self._drips >= DRIPS):
                if came < self._rate * (now - self._at):
                    raise MessageFault(
                        408, "the request's content came too slowly", "RFC 9110 §15.5.9", "min_upload_rate"
                    )
            if came > 0 or not has_room:
                self._quiet_since = -1.0
            elif self._quiet_since < 0:
                self._quiet_since = self._at
            self._at = now
            self._mark = self._received
            self._drips = 0
            came = 0
        due = self._at + self._grace
        if longest > 0 and came == 0 and has_room and (not is_owed or allowed >= 0):
            ends = longest + (self._quiet_since if self._quiet_since >= 0 else self._at)
            if now >= ends:
                raise MessageFault(
                    408, "the request's content did not go on", "RFC 9110 §15.5.9", "upload_pause_timeout_s"
                )
            due = min(due, ends)
        return due
