"""What a client's connection writes: requests, their content; and when it ends.

Time comes here too. An owner has timeouts of its own for the phases of a request, so that what is bounded here is what
it cannot see: a head that comes in part, output that the server does not take, a connection that nobody uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headrace.engine import errors
from headrace.engine.budget import Budget
from headrace.engine.causes import CLOSED, TIMED_OUT
from headrace.engine.errors import InvalidFieldError, LocalProtocolError, StreamClosedError
from headrace.engine.events import ConnectionEnded, DrainBegan, Event, PeerFault, SendAccepted, StreamReset
from headrace.engine.h1.content import HEAD, IDLE, ContentConnection
from headrace.engine.h1.heads.request import RequestHeads
from headrace.engine.limits import Limits
from headrace.engine.timed import NEVER

INTERIM_A_REQUEST: Final = 4  # interim responses that a request pays for: 100 or 102, early hints more than once
_REAL_PROGRESS: Final = 4_096  # octets in `stalled_send_timeout_s` that count; less is a drip


class ClientSender(ContentConnection):
    """The writing half of a client's connection."""

    aborted: bool
    deadline: float
    octets_out: int
    requests: int

    def __init__(self, limits: Limits, now: float) -> None:
        super().__init__(limits, now)
        self._heads = RequestHeads()
        self._odd = Budget("odd_frames", limits.odd_frame_burst, limits.odd_frame_rate, now, INTERIM_A_REQUEST)
        self._version = "1.1"
        self._receiving = IDLE
        # the request that is open, or was the last one
        self._is_begun = False  # some of it is on its way
        self._is_connect = False
        self._close_after = False  # the connection ends with this response
        # time
        self._drain_due: float = NEVER
        self.deadline = now + limits.idle_timeout_s

    def _set_drops(self, drops: bool) -> None:
        self._heads.cache.set_drops(drops)

    # -- what the owner asks about -----------------------------------------------------------------------------

    @property
    def http_version(self) -> str:
        """Version of the response that came last, "1.0" or "1.1"."""
        return self._version

    @property
    def can_send_request(self) -> bool:
        """True while no request is open and the connection goes on."""
        return not self._is_open and not self.closed and not self._draining

    # -- requests ----------------------------------------------------------------------------------------------

    def send_request(
        self,
        method: bytes,
        scheme: bytes,
        authority: bytes,
        path: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        end_stream: bool,
        protocol: bytes | None = None,
        content_length: int = -1,
        never_indexed: frozenset[bytes] | None = None,
    ) -> int:
        """Send a request's head and return its identifier; content follows by `send_data` unless `end_stream`.

        Without `content_length` content is chunked; POST, PUT and PATCH without content say so. `path` may be in
        absolute form, for a proxy. A `protocol` other than b"websocket" raises InvalidFieldError; see the contract for
        everything else.
        """
        if self._is_open or self.closed or self._draining:
            raise LocalProtocolError("no request can be sent now: the connection ends, or another request is open")
        is_upgrade = protocol is not None
        if is_upgrade:
            if protocol != b"websocket" or method not in (b"CONNECT", b"GET"):
                raise InvalidFieldError(f"an upgrade to {protocol!r} by {method!r}: only WebSocket is known")
            method = b"GET"
        is_connect = method == b"CONNECT"
        if is_connect:
            if scheme or path:
                raise InvalidFieldError("CONNECT has an authority and neither scheme nor path (RFC 9110 §9.3.6)")
            target = authority
            end_stream = True
        else:
            self._heads.check_path(method, path)
            target = path
        tail = self._heads.tail(method, authority, headers, content_length, end_stream, is_upgrade)
        stream_id = self._stream_id + 2
        self._stream_id = stream_id
        self.requests += 1
        self._is_open = True
        self._is_begun = False
        self._end_queued = end_stream or is_upgrade  # until a tunnel is open there is nothing to follow
        self._is_head = method == b"HEAD"
        self._is_connect = is_connect
        self._is_tunnel = False
        self._is_chunked = tail.is_chunked
        self._upgrade_key = tail.upgrade_key
        self._send_length = tail.content_length
        self._sent = 0
        self._unread = 0
        self._small_unread = 0
        self._close_after = tail.asks_to_close
        self._receiving = HEAD
        out = self._out
        octets = method + b" " + target + tail.octets
        out.append(octets)
        self._out_size += len(octets)
        return stream_id

    def send_ping(self, opaque: bytes) -> None:
        """Raises LocalProtocolError: HTTP/1.1 has no PING."""
        raise LocalProtocolError("HTTP/1.1 has no PING")

    # -- content -----------------------------------------------------------------------------------------------

    def _check_sending(self, stream_id: int) -> None:
        if not self._is_open or stream_id != self._stream_id:
            raise StreamClosedError(stream_id, "the connection has ended" if self.closed else "it has ended")
        if self._end_queued:
            if (self._is_connect or self._upgrade_key) and not self._is_tunnel:
                raise LocalProtocolError(f"stream {stream_id}: the tunnel is not open yet")
            raise LocalProtocolError(f"stream {stream_id}: the message has ended already")

    def _took(self, size: int) -> None:
        self.octets_out += size
        self._out_size -= size
        if size:
            self._is_begun = True
        if self._waiting and self._fits():
            self._waiting = False
            self._events.append(SendAccepted(self._stream_id))
            if self._end_queued:
                self._finish()
        if self._out_size == 0:
            self._stalled_at = NEVER

    def _finish(self) -> None:
        """The request is accepted to its end; a tunnel has ended with it, since HTTP/1.1 has no way to say so but the
        end of the connection."""
        if self._is_tunnel:
            self._is_open = False
            self._end(errors.NO_ERROR, "local", "the tunnel has ended", "RFC 9112 §9.6")

    # -- ends --------------------------------------------------------------------------------------------------

    def reset_stream(self, stream_id: int, code: int) -> None:
        """Give a request up, and the connection with it (RFC 9112 §9.6); a no-op when it is over. No StreamReset
        follows. What was not written yet is not written any more."""
        if not self._is_open or stream_id != self._stream_id:
            return
        self._is_open = False
        self._give_up_output()
        self.aborted = True  # what still comes shall not be waited for
        self._end(code, "local", "a request was given up", "RFC 9112 §9.6")

    def _give_up_output(self) -> None:
        self._out = []
        self._out_size = 0
        self._waiting = False

    def _close_over(self) -> None:
        """The response is whole, so the request is over; whether the connection ends is decided here."""
        unsent = not self._end_queued or self._out_size > 0
        self._is_open = False
        self._unread = 0
        self._small_unread = 0
        if unsent:
            self._give_up_output()
            self._end(errors.NO_ERROR, "local", "the response came before the end of its request", "RFC 9112 §9.3")
        elif self._draining:
            self._end(errors.NO_ERROR, "local", "drained", "RFC 9112 §9.6")
        elif self._close_after:
            self._end(errors.NO_ERROR, "local", "the last response has come", "RFC 9112 §9.6")

    def _end(self, code: int, initiator: str, reason: str, section: str, cause: str = CLOSED) -> None:
        """End the connection: the one place that does. A request that is open ends with a StreamReset event."""
        if self.closed:
            return
        self.closed = True
        self.deadline = NEVER
        self._input = b""
        self._position = 0
        self._waiting = False
        if self._is_open:
            self._is_open = False
            if not self._is_tunnel:
                self._give_up_output()
            self._events.append(StreamReset(self._stream_id, code, initiator, reason, section, cause))
        self._events.append(ConnectionEnded(code, initiator, reason, section, cause))

    # -- time --------------------------------------------------------------------------------------------------

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what has become due at `now` and set the next deadline. Early calls are harmless."""
        self._enter(now)
        if self._learns(now):
            self._set_dates(now)
        if not self.closed:
            due = self._check_time(now)
            self.deadline = NEVER if self.closed else due
        self._leave()
        return self.take_events()

    def _check_time(self, now: float) -> float:
        limits = self.limits
        due = now + limits.idle_timeout_s  # idle may begin unnoticed
        if not self._is_open:
            due = self._idle_since + limits.idle_timeout_s
            if now >= due:
                self._end(errors.NO_ERROR, "local", "idle", "RFC 9112 §9.3")
                return NEVER
        if self._head_since != NEVER:
            due = min(due, self._head_since + limits.request_header_timeout_s)
            if now >= self._head_since + limits.request_header_timeout_s:
                self._time_out("the head of a response did not come in time", "request_header_timeout_s")
                return NEVER
        if self._stalled_at != NEVER:
            if now >= self._stalled_at + limits.stalled_send_timeout_s:
                if self.octets_out - self._stalled_mark < _REAL_PROGRESS:
                    self._time_out("the peer did not take the request", "stalled_send_timeout_s")
                    return NEVER
                self._stalled_at = now
                self._stalled_mark = self.octets_out
            due = min(due, self._stalled_at + limits.stalled_send_timeout_s)
        if now >= self._drain_due:
            self.aborted = self._is_open
            reason = "the drain's deadline has come (drain_timeout_s)"
            self._end(errors.CANCEL, "local", reason, "RFC 9112 §9.6", TIMED_OUT)
            return NEVER
        return min(due, self._drain_due)

    def _time_out(self, reason: str, limit: str) -> None:
        self._events.append(PeerFault(errors.NO_ERROR, "stream", self._stream_id, reason, "RFC 9112 §9.5", limit))
        self.aborted = True
        self._end(errors.CANCEL, "local", f"{reason} ({limit})", "RFC 9112 §9.5", TIMED_OUT)

    def begin_drain(self, now: float, deadline: float | None = None) -> None:
        """Begin the graceful end; idempotent. A request that is open has until `deadline` (`drain_timeout_s` from `now`
        when None); without one the connection ends at once."""
        if self.closed or self._draining:
            return
        self._draining = True
        self._events.append(DrainBegan())
        if not self._is_open:
            self._end(errors.NO_ERROR, "local", "drained", "RFC 9112 §9.6")
            return
        self._drain_due = now + self.limits.drain_timeout_s if deadline is None else deadline
        self._at_latest(self._drain_due)

    def _set_dates(self, now: float) -> None:
        """Date with `now` what began since the last input."""
        if self._stalled_at < 0:
            self._stalled_at = now
            self._at_latest(now + self.limits.stalled_send_timeout_s)
