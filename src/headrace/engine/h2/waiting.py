"""The checks of a connection when time passes: every phase and every wait has its own deadline.

Functions over a connection's record. `deadline` is the time of the next check: a wait that begins moves it forward, and
a check computes it anew from all that is still waited for.
"""

from __future__ import annotations

from headrace.engine import errors
from headrace.engine.causes import TIMED_OUT
from headrace.engine.errors import ConnectionFault, StreamFault
from headrace.engine.events import Event, StreamReset
from headrace.engine.h2 import frames
from headrace.engine.h2.connection import Connection
from headrace.engine.h2.parts.stream_deadlines import check_stalled, check_upload, given_up
from headrace.engine.h2.parts.timers import KEEPALIVE_PING
from headrace.engine.timed import NEVER


def handle_deadline(conn: Connection, now: float) -> list[Event]:
    """Do what has become due at `now`, and set the next deadline. Early calls are harmless."""
    conn._enter(now)
    if conn._learns(now):
        conn._set_dates(now)
    if not conn.closed:
        try:
            conn._look_again(_check(conn, now))
        except ConnectionFault as fault:
            conn._fail(fault)
    conn._leave()
    return conn.take_events()


def _check(conn: Connection, now: float) -> float:
    """Do what has become due at `now` and return when the next check is. Raises ConnectionFault for a late peer."""
    timers = conn._timers
    blocks = conn._blocks
    due = timers.check_settings(now) if conn.peer.received else timers.check_handshake(now)
    due = min(due, blocks.check(now))
    if conn._streams.open:
        due = min(due, _check_streams(conn, now), now + conn.limits.idle_timeout_s)  # idle may begin unnoticed
    elif conn.peer.received and not conn._drain.has_begun and not blocks.is_coming():
        if now >= timers.idle_due():
            conn.close(errors.NO_ERROR, "idle")
            return NEVER
        due = min(due, timers.idle_due())
    if conn.peer.received:
        timers.check_ping(now)
        if timers.wants_ping(now):
            conn._output.write_control(frames.write_ping(KEEPALIVE_PING, False))
        due = min(due, timers.ping_check_due())
    return min(due, _check_drain(conn, now))


def _check_streams(conn: Connection, now: float) -> float:
    """Check the streams that wait for their peer, and give those up that have waited for too long."""
    limits = conn.limits
    due = NEVER
    for stream in list(conn._streams.open.values()):
        try:
            if stream.queued:
                due = min(due, check_stalled(stream, limits, now))
            if conn.is_server and stream.peer_is_open() and not stream.headers_sent and not stream.is_tunnel:
                due = min(due, check_upload(stream, limits, conn._windows.has_room(stream.window), now))
        except StreamFault as fault:
            _give_up(conn, fault)
    return due


def _give_up(conn: Connection, fault: StreamFault) -> None:
    """Reset a stream that has waited for too long; that is no fault of the peer's."""
    stream_id = fault.stream_id
    conn._events.append(StreamReset(stream_id, fault.code, "local", fault.reason, fault.section, fault.cause))
    conn.reset_stream(stream_id, fault.code)


def _check_drain(conn: Connection, now: float) -> float:
    """Go on with a drain: the second GOAWAY after a round trip, and the end of what is left at its deadline."""
    drain = conn._drain
    if drain.round_trip_is_over(now):
        conn._finish_drain()
    if not conn.closed and drain.expire(now):
        reason = "the drain's deadline has come"
        for stream in list(conn._streams.open.values()):
            _give_up(conn, given_up(stream, reason, "drain_timeout_s"))
        conn._output.write_control(
            frames.write_goaway(conn._streams.last_taken_id, errors.NO_ERROR, b"drain_timeout_s")
        )
        conn._end(errors.NO_ERROR, "local", reason, "RFC 9113 §6.8", TIMED_OUT)
    return NEVER if conn.closed else drain.due()
