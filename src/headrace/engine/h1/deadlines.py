"""What a connection does when time passes: every phase and every wait has its own deadline.

`deadline` is the time of the next check. Whoever starts a wait moves it forward (`_at_latest`), a check computes it
anew from what is still waiting. So a request that ends in time costs nothing.
"""

from __future__ import annotations

from headrace.engine import errors
from headrace.engine.causes import TIMED_OUT
from headrace.engine.events import DrainBegan, Event
from headrace.engine.h1.content import CHUNKS, CONTENT
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.sender import Sender
from headrace.engine.limits import DRIPS, Limits
from headrace.engine.message import BEFORE
from headrace.engine.timed import NEVER

_REAL_PROGRESS = 4_096  # octets in `stalled_send_timeout_s` that count; less is a drip


class Deadlines(Sender):
    """A sender that knows what it waits for."""

    deadline: float

    def __init__(self, limits: Limits, now: float) -> None:
        super().__init__(limits, now)
        self._started = now
        self._drain_due: float = NEVER
        self._received: int = 0
        self._upload_mark: int = 0
        self._quiet_since: float = -1.0  # nothing of the content has come since; below 0: since `_upload_at`
        self._drips: int = 0  # pieces of content, since then, that are too small for a message
        self._pause_s: float = -1.0  # the longest pause that the application allows, 0: any; below 0: it has not said
        self._at_latest(now + limits.preface_timeout_s)

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what has become due at `now` and set the next deadline. Early calls are harmless."""
        self._enter(now)
        if self._learns(now):
            self._set_dates(now)
        if not self.closed:
            try:
                due = self._check_time(now)
                self.deadline = NEVER if self.closed else due
            except MessageFault as fault:
                self._fail(fault)
        self._leave()
        return self.take_events()

    def _check_time(self, now: float) -> float:
        limits = self.limits
        due = NEVER
        if self._is_open:
            due = now + limits.idle_timeout_s  # idle may begin unnoticed
            if not self._is_tunnel and self._progress == BEFORE and self._receiving in (CONTENT, CHUNKS):
                due = min(due, self._check_upload(now))
        elif self._discarding:
            due = self._discard_since + limits.request_header_timeout_s
            if now >= due:
                reason = "the rest of a request did not come in time"
                self._end(errors.NO_ERROR, "local", reason, "RFC 9112 §9.3", TIMED_OUT)
                return NEVER
        elif self._head_since != NEVER:
            due = self._head_since + limits.request_header_timeout_s
            if now >= due:
                raise MessageFault(
                    408, "the head of a request did not come in time", "RFC 9110 §15.5.9", "request_header_timeout_s"
                )
        elif self._out_size == 0 and not self._waits and not self._turn_is_over:
            due = (
                self._started + limits.preface_timeout_s
                if self.requests == 0
                else (self._idle_since + limits.idle_timeout_s)
            )
            if now >= due:
                self._end(errors.NO_ERROR, "local", "idle", "RFC 9112 §9.3")
                return NEVER
        if self._out_size > 0:
            due = min(due, self._check_stalled(now))
        return min(due, self._check_drain(now))

    def _check_upload(self, now: float) -> float:
        """Tell what a request's content must come up to, for as long as we read it and have not answered.

        Content whose length was announced, a chunk or a line of the chunked coding that has begun, and content that
        drips, come at `min_upload_rate`. Between chunks the client may pause, for `upload_pause_timeout_s`; or, between
        all pieces, for as long as the application says.
        """
        limits = self.limits
        longest = self._pause_s if self._pause_s >= 0 else limits.upload_pause_timeout_s
        if self._pause_s == 0 or (limits.min_upload_rate <= 0 and self._pause_s < 0):
            return NEVER
        has_room = not self.read_paused and not self._awaits_continue
        came = self._received - self._upload_mark
        grace = max(limits.upload_grace_s, 0.001)
        chunks = self._chunks
        is_owed = chunks is None or not chunks.is_between or self._position < len(self._input)
        if now >= self._upload_at + grace:
            if has_room and self._pause_s < 0 and (is_owed or self._drips >= DRIPS):
                if came < limits.min_upload_rate * (now - self._upload_at):
                    raise MessageFault(
                        408, "the request's content came too slowly", "RFC 9110 §15.5.9", "min_upload_rate"
                    )
            if came > 0 or not has_room:
                self._quiet_since = -1.0
            elif self._quiet_since < 0:
                self._quiet_since = self._upload_at
            self._upload_at = now
            self._upload_mark = self._received
            self._drips = 0
            came = 0
        due = self._upload_at + grace
        if longest > 0 and came == 0 and has_room and (not is_owed or self._pause_s >= 0):
            ends = longest + (self._quiet_since if self._quiet_since >= 0 else self._upload_at)
            if now >= ends:
                raise MessageFault(
                    408, "the request's content did not go on", "RFC 9110 §15.5.9", "upload_pause_timeout_s"
                )
            due = min(due, ends)
        return due

    def allow_pauses(self, stream_id: int, longest_s: float) -> None:
        """Let the content of a request pause for `longest_s` seconds between any two pieces (0: for as long as it
        likes), in place of what the limits say; a no-op when the request is over."""
        if self._is_open and stream_id == self._stream_id:
            self._pause_s = longest_s
            self._at_latest(self._now + self.limits.upload_grace_s)
            if longest_s > 0:
                self._at_latest(self._now + longest_s)

    def _check_stalled(self, now: float) -> float:
        """What is to be sent must be taken, whatever the client's kernel drips."""
        timeout = self.limits.stalled_send_timeout_s
        if self._stalled_at == NEVER:
            self._stalled_at = now
            self._stalled_mark = self.octets_out
        elif now >= self._stalled_at + timeout:
            if self.octets_out - self._stalled_mark < _REAL_PROGRESS:
                self._abort("the client did not take the response (stalled_send_timeout_s)")
                return NEVER
            self._stalled_at = now
            self._stalled_mark = self.octets_out
        return self._stalled_at + timeout

    def _abort(self, reason: str) -> None:
        """Give a client up that is in the middle of a response."""
        self.aborted = True
        self._out = []
        self._out_size = 0
        self._end(errors.CANCEL, "local", reason, "RFC 9112 §9.5", TIMED_OUT)

    # -- drain -------------------------------------------------------------------------------------------------

    def begin_drain(self, now: float, deadline: float | None = None) -> None:
        """Begin the graceful end; idempotent.

        A request that is open, or whose head has come in part, is answered, with `connection: close` where its head is
        not sent yet; without one the connection ends at once. What is left at `deadline` (`drain_timeout_s` from `now`
        when None) is cut off.
        """
        if self.closed or self._draining:
            return
        self._draining = True
        self._is_plain = False
        self._events.append(DrainBegan())
        if not self._is_open and (not self._input or self._discarding):
            self._end(errors.NO_ERROR, "local", "drained", "RFC 9112 §9.6")
            return
        self._drain_due = now + self.limits.drain_timeout_s if deadline is None else deadline
        self._at_latest(self._drain_due)

    def _check_drain(self, now: float) -> float:
        if self._draining and not self.closed and now >= self._drain_due:
            if self._is_open and self._progress != BEFORE:
                self._abort("the drain's deadline has come (drain_timeout_s)")
            else:
                reason = "the drain's deadline has come (drain_timeout_s)"
                self._end(errors.CANCEL, "local", reason, "RFC 9112 §9.6", TIMED_OUT)
            return NEVER
        return self._drain_due
