"""What a connection waits for besides its streams: the handshake, acknowledgements, a sign of life, a next request.

Each wait is a time that is known when it begins. A check gets the time, raises ConnectionFault where that has passed,
and returns when to look again: so a request that ends in time costs one comparison, and no timer of its own.
"""

from __future__ import annotations

from typing import Final

from headrace.engine import errors
from headrace.engine.causes import CONNECTION_LOST
from headrace.engine.errors import ConnectionFault
from headrace.engine.limits import Limits
from headrace.engine.timed import NEVER

KEEPALIVE_PING: Final = b"keep-ali"


class Timers:
    """The waits of one connection, in seconds of its owner's clock."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._started: float = now
        self._settings_due: float = now + limits.settings_ack_timeout_s
        self._heard_at: float = now
        self._ping_due: float = NEVER
        self._idle_since: float = now

    def first_due(self) -> float:
        """Return when the first check is due."""
        limits = self._limits
        due = min(self._started + limits.preface_timeout_s, self._settings_due)
        return min(due, self._started + limits.keepalive_ping_s) if limits.keepalive_ping_s > 0 else due

    def hear(self, now: float) -> None:
        """Note that something has come from the peer."""
        self._heard_at = now

    # -- the handshake and SETTINGS ----------------------------------------------------------------------------

    def check_handshake(self, now: float) -> float:
        """Check a connection whose peer has not sent its SETTINGS yet (RFC 9113 §3.4)."""
        due = self._started + self._limits.preface_timeout_s
        if now >= due:
            raise ConnectionFault(
                errors.PROTOCOL_ERROR, "no preface and SETTINGS in time", "RFC 9113 §3.4", "preface_timeout_s"
            )
        return min(due, self._settings_due)

    def check_settings(self, now: float) -> float:
        """Check whether our SETTINGS were acknowledged: "If the sender of a SETTINGS frame does not receive an
        acknowledgment within a reasonable amount of time, it MAY issue a connection error (Section 5.4.1) of type
        SETTINGS_TIMEOUT." (RFC 9113 §6.5.3)"""
        if now >= self._settings_due:
            raise ConnectionFault(
                errors.SETTINGS_TIMEOUT,
                "SETTINGS not acknowledged in time",
                "RFC 9113 §6.5.3",
                "settings_ack_timeout_s",
            )
        return self._settings_due

    def awaits_settings(self) -> bool:
        """Tell whether SETTINGS of ours are under way."""
        return self._settings_due != NEVER

    def send_settings(self, now: float) -> float:
        """Begin to wait for the acknowledgement of SETTINGS, and return when it is due."""
        self._settings_due = now + self._limits.settings_ack_timeout_s
        return self._settings_due

    def settings_acknowledged(self) -> None:
        """Wait for SETTINGS no longer."""
        self._settings_due = NEVER

    # -- idle time ---------------------------------------------------------------------------------------------

    def begin_idle(self, now: float) -> None:
        """Count idle time from `now` on, or from the next `date` where that is below 0."""
        self._idle_since = now

    def date(self, now: float) -> None:
        """Date with `now` an idle time that began when no time was known."""
        if self._idle_since < 0:
            self._idle_since = now

    def idle_due(self) -> float:
        """Return when a connection without streams has been idle for long enough."""
        return self._idle_since + self._limits.idle_timeout_s

    # -- PING --------------------------------------------------------------------------------------------------

    def wants_ping(self, now: float) -> bool:
        """Return True when a PING is to be sent now, and wait for its acknowledgement from then on."""
        after = self._limits.keepalive_ping_s
        if after <= 0 or self._ping_due != NEVER or now < self._heard_at + after:
            return False
        self._ping_due = now + self._limits.keepalive_ack_s
        return True

    def check_ping(self, now: float) -> None:
        """Check whether a PING has been left without an answer."""
        if now >= self._ping_due:
            reason = "PING not acknowledged in time"
            raise ConnectionFault(errors.NO_ERROR, reason, "RFC 9113 §6.7", "keepalive_ack_s", CONNECTION_LOST)

    def ping_check_due(self) -> float:
        """Return when to look for a sign of life again."""
        after = self._limits.keepalive_ping_s
        if self._ping_due != NEVER or after <= 0:
            return self._ping_due
        return self._heard_at + after

    def awaits_ping(self) -> bool:
        """Tell whether a PING of ours is under way."""
        return self._ping_due != NEVER

    def ping_acknowledged(self, now: float) -> float:
        """Take the acknowledgement of our PING, and return when the next one is due."""
        self._ping_due = NEVER
        return now + self._limits.keepalive_ping_s
