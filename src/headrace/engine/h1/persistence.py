"""Whether a connection persists after the response that is open (RFC 9112 §9.3, §9.6)."""

from __future__ import annotations

from headrace.engine import errors
from headrace.engine.causes import TIMED_OUT
from headrace.engine.h1.deadlines import Expired
from headrace.engine.timed import NEVER


class Persistence:
    """The reasons for which a connection ends with its response.

    "If the 'close' connection option is present, the connection will not persist after the current response; else, if
    the received protocol is HTTP/1.1 (or later), the connection will persist after the current response; else, if the
    received protocol is HTTP/1.0, the 'keep-alive' connection option is present ..., the connection will persist"
    (RFC 9112 §9.3). The readers of heads find that out. A drain ends it too.
    """

    def __init__(self) -> None:
        self.closes: bool = True
        """The connection ends with the response that is open, or was the last one."""
        self.is_draining: bool = False
        self.drain_due: float = NEVER
        """When a drain cuts off what is left."""

    def begin_request(self, persists: bool) -> None:
        """Take note of a request, which lets the connection persist or does not."""
        self.closes = not persists

    def end_with_response(self) -> None:
        """End the connection with the response that is open."""
        self.closes = True

    def begin_drain(self, due: float) -> None:
        """End the connection with the response that is open, or at `due`."""
        self.is_draining = True
        self.drain_due = due

    def ends(self) -> bool:
        """Tell whether the connection ends, now that the response is complete."""
        return self.closes or self.is_draining

    def check_drain(self, now: float, aborts: bool) -> float:
        """Return when the drain cuts off what is left; raise Expired, with `aborts`, when that time has come."""
        if now >= self.drain_due:
            reason = "the drain's deadline has come (drain_timeout_s)"
            raise Expired(errors.CANCEL, reason, "RFC 9112 §9.6", TIMED_OUT, aborts)
        return self.drain_due
