"""What a connection does when time passes: every phase and every wait has its own deadline.

`Output.deadline` is the time of the next check. Whoever starts a wait moves it forward (`_at_latest`), a check
computes it anew from what is still waiting. So a request that ends in time costs one comparison, and no timer of its
own.
"""

from __future__ import annotations

from headrace.engine import errors
from headrace.engine.causes import CONNECTION_LOST, TIMED_OUT
from headrace.engine.errors import ConnectionFault
from headrace.engine.events import DrainBegan, Event, StreamReset
from headrace.engine.h2 import frames
from headrace.engine.h2.output import DRAINING, FRAMES_UNDER_WAY, OPEN, PREFACE, SETTINGS
from headrace.engine.h2.sender import Sender
from headrace.engine.h2.states import CLOSED_BY_US
from headrace.engine.h2.stream import Stream
from headrace.engine.limits import DRIPS, MAX_STREAM_ID, Limits
from headrace.engine.timed import NEVER

_DRAIN_PING = b"headrace"
_KEEPALIVE_PING = b"keep-ali"
_DRAIN_ROUND_TRIP_S = 1.0  # time for the PING between the two GOAWAYs (RFC 9113 §6.8)
_REAL_PROGRESS = 4_096  # octets in `stalled_send_timeout_s` that count; less is a drip


class Deadlines(Sender):
    """A sender that knows what it waits for."""

    deadline: float

    def __init__(self, limits: Limits, is_server: bool, now: float) -> None:
        super().__init__(limits, is_server, now)
        self._started = now
        self.upload_check_s: float = limits.upload_grace_s
        if 0 < limits.upload_pause_timeout_s < self.upload_check_s:
            self.upload_check_s = limits.upload_pause_timeout_s
        self._settings_due: float = now + limits.settings_ack_timeout_s
        self._block_due: float = NEVER
        self._heard_at = now
        self._ping_due: float = NEVER
        self._drain_ping_due: float = NEVER
        self._drain_due: float = NEVER
        self._refuse_above: int = MAX_STREAM_ID
        self._at_latest(now + limits.preface_timeout_s)
        self._at_latest(self._settings_due)
        if limits.keepalive_ping_s > 0:
            self._at_latest(now + limits.keepalive_ping_s)

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what has become due at `now` and set the next deadline. Early calls are harmless."""
        self._enter(now)
        if self._learns(now):
            self._set_dates(now)
        if not self.closed:
            try:
                self.deadline = self._check_time(now)
            except ConnectionFault as fault:
                self._fail(fault)
        self._leave()
        return self.take_events()

    def _check_time(self, now: float) -> float:
        limits = self.limits
        due = NEVER
        if self.phase == PREFACE or self.phase == SETTINGS:
            due = self._started + limits.preface_timeout_s
            if now >= due:
                raise ConnectionFault(
                    errors.PROTOCOL_ERROR, "no preface and SETTINGS in time", "RFC 9113 §3.4", "preface_timeout_s"
                )
        elif now >= self._settings_due:
            raise ConnectionFault(
                errors.SETTINGS_TIMEOUT,
                "SETTINGS not acknowledged in time",
                "RFC 9113 §6.5.3",
                "settings_ack_timeout_s",
            )
        if self._settings_due < due:
            due = self._settings_due
        if now >= self._block_due:
            raise ConnectionFault(
                errors.ENHANCE_YOUR_CALM,
                "a field block was not finished in time",
                "RFC 9113 §4.3",
                "request_header_timeout_s",
            )
        due = min(due, self._block_due)
        if self._streams:
            due = min(due, self._check_streams(now), now + limits.idle_timeout_s)  # idle may begin unnoticed
        elif self.phase == OPEN and self._block_due == NEVER:
            idle = self._idle_since + limits.idle_timeout_s
            if now >= idle:
                self.close(errors.NO_ERROR, "idle")
                return NEVER
            due = min(due, idle)
        due = min(due, self._check_keepalive(now))
        return min(due, self._check_drain(now))

    def _check_streams(self, now: float) -> float:
        due = NEVER
        for stream in list(self._streams.values()):
            if stream.queued:
                due = min(due, self._check_stalled(stream, now))
            if self.is_server and stream.peer_is_open() and not stream.headers_sent and not stream.is_tunnel:
                due = min(due, self._check_upload(stream, now))
        return due

    def _check_stalled(self, stream: Stream, now: float) -> float:
        """A stream with octets to send must make progress, whatever the peer drips into its window."""
        timeout = self.limits.stalled_send_timeout_s
        if now >= stream.stalled_at + timeout:  # the very sum that is the deadline: rounding must not hold it up
            if stream.written - stream.stalled_mark < _REAL_PROGRESS:
                self._give_up(stream, "the peer did not take the response", "stalled_send_timeout_s")
                return NEVER
            stream.stalled_at = now
            stream.stalled_mark = stream.written
        return stream.stalled_at + timeout

    def _check_upload(self, stream: Stream, now: float) -> float:
        """Tell what a request's content must come up to, for as long as we leave it room and have not answered.

        Content whose length was announced, or that drips, comes at `min_upload_rate`. Between the pieces of any other
        its peer may pause, for `upload_pause_timeout_s`; or, between all pieces, for as long as the application says.
        """
        limits = self.limits
        longest = stream.pause_s if stream.pause_s >= 0 else limits.upload_pause_timeout_s
        if stream.pause_s == 0 or (limits.min_upload_rate <= 0 and stream.pause_s < 0):
            return NEVER
        has_room = self._has_room(stream) and not stream.awaits_continue
        came = stream.received - stream.upload_mark
        grace = max(limits.upload_grace_s, 0.001)
        if now >= stream.upload_at + grace:
            if has_room and stream.pause_s < 0 and (stream.recv_length >= 0 or stream.drips >= DRIPS):
                if came < limits.min_upload_rate * (now - stream.upload_at):
                    self._give_up(stream, "the request's content came too slowly", "min_upload_rate")
                    return NEVER
            if came > 0 or not has_room:
                stream.quiet_since = -1.0
            elif stream.quiet_since < 0:
                stream.quiet_since = stream.upload_at
            stream.upload_at = now
            stream.upload_mark = stream.received
            stream.drips = 0
            came = 0
        due = stream.upload_at + grace
        if longest > 0 and came == 0 and has_room and (stream.recv_length < 0 or stream.pause_s >= 0):
            ends = longest + (stream.quiet_since if stream.quiet_since >= 0 else stream.upload_at)
            if now >= ends:
                self._give_up(stream, "the request's content did not go on", "upload_pause_timeout_s")
                return NEVER
            due = min(due, ends)
        return due

    def _give_up(self, stream: Stream, reason: str, limit: str) -> None:
        stream_id = stream.stream_id
        self._drop(stream, CLOSED_BY_US)
        self._free_frames += FRAMES_UNDER_WAY
        self._write_control(frames.write_rst_stream(stream_id, errors.CANCEL))
        reason = f"{reason} ({limit})"
        self._events.append(StreamReset(stream_id, errors.CANCEL, "local", reason, "RFC 9113 §10.5", TIMED_OUT))

    def _check_keepalive(self, now: float) -> float:
        if now >= self._ping_due:
            reason = "PING not acknowledged in time"
            raise ConnectionFault(errors.NO_ERROR, reason, "RFC 9113 §6.7", "keepalive_ack_s", CONNECTION_LOST)
        after = self.limits.keepalive_ping_s
        if after <= 0 or self.phase < OPEN:
            return self._ping_due
        due = self._heard_at + after
        if now >= due and self._ping_due == NEVER:
            self._ping_due = now + self.limits.keepalive_ack_s
            self._write_control(frames.write_ping(_KEEPALIVE_PING, False))
        return self._ping_due if self._ping_due != NEVER else due

    # -- drain -------------------------------------------------------------------------------------------------

    def begin_drain(self, now: float, deadline: float | None = None) -> None:
        """Begin the graceful end (RFC 9113 §6.8); idempotent.

        Sends GOAWAY(2^31-1, NO_ERROR) and a PING at once. When it is acknowledged, or after a second, GOAWAY with the
        true last stream id follows, later streams get REFUSED_STREAM, and the connection ends with its last stream.
        What is left at `deadline` (`drain_timeout_s` from `now` when None) gets RST_STREAM(CANCEL).
        """
        if self.closed or self.phase == DRAINING:
            return
        if self.phase < OPEN:  # nothing has been asked yet, and the peer may retry whatever is under way
            self.close(errors.NO_ERROR, "drained")
            return
        self.phase = DRAINING
        self._drain_due = now + self.limits.drain_timeout_s if deadline is None else deadline
        self._drain_ping_due = now + _DRAIN_ROUND_TRIP_S
        self._write_control(frames.write_goaway(MAX_STREAM_ID, errors.NO_ERROR, b""))
        self._write_control(frames.write_ping(_DRAIN_PING, False))
        self._at_latest(min(self._drain_ping_due, self._drain_due))
        self._events.append(DrainBegan())

    def _finish_drain(self) -> None:
        """The second GOAWAY: from here on, later streams are refused."""
        self._drain_ping_due = NEVER
        self._refuse_above = self._last_peer_id
        self._write_control(frames.write_goaway(self._last_peer_id, errors.NO_ERROR, b""))
        self._end_when_empty = True
        if not self._streams:
            self._end(errors.NO_ERROR, "local", "drained", "RFC 9113 §6.8")

    def _check_drain(self, now: float) -> float:
        if self.phase != DRAINING:
            return NEVER
        if now >= self._drain_ping_due:
            self._finish_drain()
        if now >= self._drain_due and not self.closed:
            self._end_when_empty = False
            for stream in list(self._streams.values()):
                self._give_up(stream, "the drain's deadline has come", "drain_timeout_s")
            self._write_control(frames.write_goaway(self._last_peer_id, errors.NO_ERROR, b"drain_timeout_s"))
            self._end(errors.NO_ERROR, "local", "the drain's deadline has come", "RFC 9113 §6.8", TIMED_OUT)
        return NEVER if self.closed else min(self._drain_ping_due, self._drain_due)

    def _on_ping_ack(self, opaque: bytes) -> bool:
        """Take a PING acknowledgement that one of our own waits is for; False when it is the caller's."""
        if opaque == _DRAIN_PING and self._drain_ping_due != NEVER:
            self._finish_drain()
            return True
        if opaque == _KEEPALIVE_PING and self._ping_due != NEVER:
            self._ping_due = NEVER
            self._at_latest(self._now + self.limits.keepalive_ping_s)
            return True
        return False
