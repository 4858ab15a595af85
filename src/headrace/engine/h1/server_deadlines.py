"""When a server's connection is too quiet: every phase and every wait has its own deadline.

A request that ends in time costs nothing: the start of a wait moves the connection's deadline forward, and a check
computes it anew from all that is still waited for.
"""

from __future__ import annotations

from headrace.engine import errors
from headrace.engine.causes import CLOSED, TIMED_OUT
from headrace.engine.h1.deadlines import STALLED, Expired, Phases, StallWatch
from headrace.engine.h1.faults import MessageFault
from headrace.engine.limits import Limits
from headrace.engine.timed import NEVER


class ServerDeadlines:
    """The bounds of one connection's phases. `started` is when the connection began."""

    def __init__(self, limits: Limits, started: float) -> None:
        self._limits = limits
        self._started = started

    def check_phases(self, now: float, phases: Phases, has_had_requests: bool, is_busy: bool) -> float:
        """Return when to check again while no request is open. `is_busy` says that output or input is worked on.

        Raises MessageFault for a head that did not come in time, Expired for the rest of a request that did not, and
        for a connection that is idle.
        """
        limits = self._limits
        if phases.discard_since != NEVER:
            due = phases.discard_since + limits.request_header_timeout_s
            if now >= due:
                reason = "the rest of a request did not come in time"
                raise Expired(errors.NO_ERROR, reason, "RFC 9112 §9.3", TIMED_OUT, False)
            return due
        if phases.head_since != NEVER:
            due = phases.head_since + limits.request_header_timeout_s
            if now >= due:
                raise MessageFault(
                    408, "the head of a request did not come in time", "RFC 9110 §15.5.9", "request_header_timeout_s"
                )
            return due
        if is_busy:
            return NEVER
        if has_had_requests:
            due = phases.idle_since + limits.idle_timeout_s
        else:
            due = self._started + limits.preface_timeout_s
        if now >= due:
            raise Expired(errors.NO_ERROR, "idle", "RFC 9112 §9.3", CLOSED, False)
        return due

    def check_output(self, now: float, stall: StallWatch, taken: int) -> float:
        """Return when to check again while there is output, of which `taken` bytes are taken; raise Expired when the
        client takes too little, whatever its kernel drips."""
        if not stall.is_on:
            stall.begin(now, taken)
        due = stall.check(now, taken)
        if due == STALLED:
            reason = "the client did not take the response (stalled_send_timeout_s)"
            raise Expired(errors.CANCEL, reason, "RFC 9112 §9.5", TIMED_OUT, True)
        return due
