"""What is waited for on a stream: that its peer takes what we send, and that its content goes on.

A check gets the time and returns when to look again. For a stream that has to be given up it raises StreamFault with
CANCEL, whose reason names the limit.
"""

from __future__ import annotations

from typing import Final

from headrace.engine import errors
from headrace.engine.causes import TIMED_OUT
from headrace.engine.errors import StreamFault
from headrace.engine.h2.stream import Stream
from headrace.engine.limits import DRIPS, Limits
from headrace.engine.timed import NEVER

_REAL_PROGRESS: Final = 4_096  # bytes in `stalled_send_timeout_s` that count; less is a drip


def given_up(stream: Stream, reason: str, limit: str) -> StreamFault:
    """Return the fault of a stream that is given up because of a limit."""
    return StreamFault(stream.stream_id, errors.CANCEL, f"{reason} ({limit})", "RFC 9113 §10.5", TIMED_OUT)


def upload_check_s(limits: Limits) -> float:
    """Return the time after which an upload that has begun, or may pause, is looked at first."""
    pause = limits.upload_pause_timeout_s
    return pause if 0 < pause < limits.upload_grace_s else limits.upload_grace_s


def check_stalled(stream: Stream, limits: Limits, now: float) -> float:
    """Check a stream that has content to send: it must make progress, whatever the peer drips into its window."""
    timeout = limits.stalled_send_timeout_s
    if now >= stream.stalled_at + timeout:  # the very sum that is the deadline: rounding must not hold it up
        if stream.written - stream.stalled_mark < _REAL_PROGRESS:
            raise given_up(stream, "the peer did not take the response", "stalled_send_timeout_s")
        stream.stalled_at = now
        stream.stalled_mark = stream.written
    return stream.stalled_at + timeout


def check_upload(stream: Stream, limits: Limits, has_room: bool, now: float) -> float:
    """Check the content of a request that is not answered, for as long as there is room for it in its windows.

    Content whose length was announced, or that drips, comes at `min_upload_rate`. Between the pieces of any other its
    peer may pause, for `upload_pause_timeout_s`; or, between all pieces, for as long as the application says.
    """
    longest = stream.pause_s if stream.pause_s >= 0 else limits.upload_pause_timeout_s
    if stream.pause_s == 0 or (limits.min_upload_rate <= 0 and stream.pause_s < 0):
        return NEVER
    has_room = has_room and not stream.awaits_continue
    came = stream.received - stream.upload_mark
    grace = max(limits.upload_grace_s, 0.001)
    if now >= stream.upload_at + grace:
        if has_room and stream.pause_s < 0 and (stream.recv_length >= 0 or stream.drips >= DRIPS):
            if came < limits.min_upload_rate * (now - stream.upload_at):
                raise given_up(stream, "the request's content came too slowly", "min_upload_rate")
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
            raise given_up(stream, "the request's content did not go on", "upload_pause_timeout_s")
        due = min(due, ends)
    return due
