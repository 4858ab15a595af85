"""What a connection does when time passes: every phase and every wait has its own deadline.

`deadline` is the time of the next check. Whoever starts a wait moves it forward (`_at_latest`), a check computes it
anew from what is still waiting. So a request that ends in time costs nothing.
"""

from __future__ import annotations

from headrace.engine import errors
from headrace.engine.events import DrainBegan, Event
from headrace.engine.h1.content import CHUNKS, CONTENT
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.sender import Sender
from headrace.engine.limits import Limits
from headrace.engine.message import BEFORE
from headrace.engine.timed import NEVER

_REAL_PROGRESS = 4_096  # octets in `stalled_send_timeout_s` that count; less is a drip


class Deadlines(Sender):
    """A sender that knows what it waits for."""

    def __init__(self, limits: Limits, now: float) -> None:
        super().__init__(limits, now)
        self._started = now
        self._drain_due: float = NEVER
        self._received: int = 0
        self._upload_mark: int = 0
        self._at_latest(now + limits.preface_timeout_s)

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what has become due at `now` and set the next deadline. Early calls are harmless."""
        self._now = now
        self._now_is_fresh = True
        if self._undated:
            self._set_dates(now)
        if not self.closed:
            try:
                due = self._check_time(now)
                self.deadline = NEVER if self.closed else due
            except MessageFault as fault:
                self._fail(fault)
        self._now_is_fresh = False
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
                self._end(errors.NO_ERROR, "local", "the rest of a request did not come in time", "RFC 9112 §9.3")
                return NEVER
        elif self._head_since != NEVER:
            due = self._head_since + limits.request_header_timeout_s
            if now >= due:
                raise MessageFault(
                    408, "the head of a request did not come in time", "RFC 9110 §15.5.9", "request_header_timeout_s"
                )
        elif self._out_size == 0 and not self._held:
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
        """A request's content must come at `min_upload_rate`, for as long as we read it and have not answered."""
        limits = self.limits
        if limits.min_upload_rate <= 0:
            return NEVER
        grace = max(limits.upload_grace_s, 0.001)
        if now >= self._upload_at + grace:
            if not self.read_paused and not self._awaits_continue:
                if self._received - self._upload_mark < limits.min_upload_rate * (now - self._upload_at):
                    raise MessageFault(
                        408, "the request's content came too slowly", "RFC 9110 §15.5.9", "min_upload_rate"
                    )
            self._upload_at = now
            self._upload_mark = self._received
        return self._upload_at + grace

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
        self._end(errors.CANCEL, "local", reason, "RFC 9112 §9.5")

    # -- drain -------------------------------------------------------------------------------------------------

    def begin_drain(self, now: float, deadline: float | None = None) -> None:
        """Begin the graceful end; idempotent.

        A request that is open, or whose head has come in part, is answered, with `connection: close` where its head is
        not sent yet; without one the connection ends at once. What is left at `deadline` (`drain_timeout_s` from `now`
        when None) is cut off.
        """
        if self.closed or self._draining:
            return
        self._now = now
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
                self._end(errors.CANCEL, "local", "the drain's deadline has come (drain_timeout_s)", "RFC 9112 §9.6")
            return NEVER
        return self._drain_due
