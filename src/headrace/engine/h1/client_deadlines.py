"""When a client's connection is too quiet, where its owner cannot see it: a head that comes in part, output that the
server does not take, a connection that nobody uses. An owner has timeouts of its own for the phases of a request."""

from __future__ import annotations

from headrace.engine import errors
from headrace.engine.causes import CLOSED, TIMED_OUT
from headrace.engine.h1.deadlines import STALLED, Expired, Phases, StallWatch
from headrace.engine.limits import Limits
from headrace.engine.timed import NEVER


class ClientDeadlines:
    """The bounds of one connection's phases."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def check(self, now: float, phases: Phases, stall: StallWatch, is_open: bool, taken: int) -> float:
        """Return when to check again; raise Expired. `taken` bytes of our output are taken."""
        limits = self._limits
        due = now + limits.idle_timeout_s  # idle may begin unnoticed
        if not is_open:
            due = phases.idle_since + limits.idle_timeout_s
            if now >= due:
                raise Expired(errors.NO_ERROR, "idle", "RFC 9112 §9.3", CLOSED, False)
        if phases.head_since != NEVER:
            ends = phases.head_since + limits.request_header_timeout_s
            if now >= ends:
                raise _late("the head of a response did not come in time", "request_header_timeout_s")
            due = min(due, ends)
        if stall.is_on:
            ends = stall.check(now, taken)
            if ends == STALLED:
                raise _late("the peer did not take the request", "stalled_send_timeout_s")
            due = min(due, ends)
        return due


def _late(reason: str, limit: str) -> Expired:
    return Expired(errors.CANCEL, reason, "RFC 9112 §9.5", TIMED_OUT, True, limit)
