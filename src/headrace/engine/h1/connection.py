"""The members of an HTTP/1.1 connection that are the same for both roles, on the parts that it is made of.

Each part owns its numbers and knows nothing of the connection: it gets arguments, and returns a verdict or raises one
(MessageFault, Expired). The connection acts on it. Where the roles differ, their table of states says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.engine import errors
from headrace.engine.causes import CLOSED
from headrace.engine.errors import LocalProtocolError, StreamClosedError
from headrace.engine.events import (
    ConnectionEnded,
    DataReceived,
    DrainBegan,
    PeerFault,
    SendAccepted,
    StreamReset,
    TrailersReceived,
)
from headrace.engine.fields import check_outgoing
from headrace.engine.fixed_fields import fixed_fields
from headrace.engine.h1 import states
from headrace.engine.h1.content import DISCARDED, ContentReader, Unread
from headrace.engine.h1.deadlines import Expired, Phases, StallWatch
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.heads.response import write_trailers
from headrace.engine.h1.input import Input
from headrace.engine.h1.open_request import OpenRequest
from headrace.engine.h1.persistence import Persistence
from headrace.engine.h1.queue import OUTPUT_HIGH, OutputQueue
from headrace.engine.h1.states import Role, is_open, is_tunnel
from headrace.engine.limits import Limits
from headrace.engine.message import bytes_of
from headrace.engine.timed import TimedEngine

_UNDERSCORE: Final = 0x5F


class H1Connection(TimedEngine):
    """Base of the server's and the client's connection. One request is open at a time."""

    def __init__(self, limits: Limits, now: float, role: Role) -> None:
        super().__init__(now)
        self.limits = limits
        self._role = role
        self._request = OpenRequest()
        self._input = Input()
        self._content = ContentReader(limits, role.is_server)
        self._unread = Unread(limits)
        self._out = OutputQueue(limits)
        self._persistence = Persistence()
        self._phases = Phases(now)
        self._stall = StallWatch(limits.stalled_send_timeout_s)

    # -- what the owner asks about -----------------------------------------------------------------------------

    @property
    def requests(self) -> int:
        """Requests that have begun."""
        return (self._request.stream_id + 1) >> 1

    @property
    def bytes_in(self) -> int:
        """Bytes that have come."""
        return self._input.received

    @property
    def bytes_out(self) -> int:
        """Bytes that were taken to be written."""
        return self._out.taken

    @property
    def open_streams(self) -> int:
        """1 while a request is open, else 0."""
        return 1 if is_open(self._request.state) else 0

    @property
    def input_pending(self) -> bool:
        """True when reading stopped at `frames_per_turn`: call `receive_data` again, with b"", in a later turn."""
        return self._input.turn_is_over and not self.closed

    @property
    def output_pending(self) -> bool:
        """True when `take_output` would return bytes now."""
        return self._out.size > 0

    @property
    def bodies_queued(self) -> bool:
        """True when there is so much to write that `take_buffers` is the cheaper way out."""
        return self._out.size >= OUTPUT_HIGH

    def has_stream(self, stream_id: int) -> bool:
        """Tell whether a request is open, so that verbs on it do not raise StreamClosedError."""
        request = self._request
        return stream_id == request.stream_id and is_open(request.state)

    def stats(self) -> dict[str, Any]:
        """Return a snapshot for people: requests and bytes of this connection."""
        return {
            "protocol": "HTTP/1.1",
            "requests": self.requests,
            "open_streams": self.open_streams,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "send_queued": self._out.size,
            "unread": self._unread.size,
        }

    # -- what comes --------------------------------------------------------------------------------------------

    def _add_input(self, data: bytes) -> None:
        """Put `data` behind the input, and begin a turn."""
        turns = self.turns
        self._input.add(data, self.limits.frames_per_turn if turns is None else turns.frames)

    def _hand_over(self, content: bytes, is_last: bool) -> None:
        """Tell the owner of content."""
        request = self._request
        size = len(content)
        self._unread.add(size, request.state >= states.TUNNEL)  # a tunnel's owner joins its pieces
        self._events.append(DataReceived(request.stream_id, content, size, is_last))

    def _hand_over_trailers(self) -> None:
        """Tell the owner of the trailer section, which ends the message."""
        trailers = self._content.trailers
        assert trailers is not None
        if self.drop_underscore_fields:
            trailers = [pair for pair in trailers if _UNDERSCORE not in pair[0]]
        self._events.append(TrailersReceived(self._request.stream_id, trailers))

    def acknowledge_data(self, stream_id: int, count: int) -> None:
        """Count `count` bytes (of DataReceived.flow_length) as consumed: more may be read.

        A no-op on a request that is over. Raises LocalProtocolError for more bytes than are unread.
        """
        request = self._request
        if stream_id == request.stream_id and is_open(request.state) and not self._unread.consume(count):
            unread = self._unread.size
            raise LocalProtocolError(f"stream {stream_id}: {count} bytes consumed of {unread} unread")

    # -- output ------------------------------------------------------------------------------------------------

    def take_output(self, limit: int = 262_144, now: float = -1.0) -> bytes:
        """Return the bytes to be written now, `limit` at most; b"" when there are none.

        Call it while `output_pending`, but not while the transport refuses more: what stays here is what makes workers
        wait. Look at `take_events` afterwards: sends may have been accepted, and requests that waited can begin.
        """
        if self._learns(now):
            self._date(now)
        output = self._out.take(limit)
        self._note_taken(len(output) > 0)
        return output

    def take_buffers(self, limit: int = 262_144, now: float = -1.0) -> list[Any]:
        """Return the same as a list of bytes and memoryviews, for a vectored write (`writelines`).

        Small pieces are joined, large ones are not copied.
        """
        if self._learns(now):
            self._date(now)
        buffers = self._out.take_buffers(limit)
        self._note_taken(len(buffers) > 0)
        return buffers

    def _note_taken(self, is_some: bool) -> None:
        """See what follows now that output is taken: an idle connection, a send that is accepted."""
        out = self._out
        request = self._request
        if is_some:
            request.is_begun = True
        if out.size == 0 and self._stall.is_on:
            self._stall.end()
            self._phases.begin_idle(self._now)
        if out.has_waiter and out.end_wait():
            if self._role.is_server:
                self._stall.end()
            self._events.append(SendAccepted(request.stream_id))
            self._go_on(request)

    def _date(self, now: float) -> None:
        """Date with `now` what began since the last input."""
        limits = self.limits
        if self._phases.date(now):
            self._at_latest(now + limits.request_header_timeout_s)
        if self._stall.date(now):
            self._at_latest(now + limits.stalled_send_timeout_s)

    def _check(self, stream_id: int, step: bytes) -> int:
        """Return the state after a step of ours, which is a column of the table; raise StreamClosedError or
        LocalProtocolError where it may not be."""
        request = self._request
        after = step[request.state]
        if after >= states.WAIT or stream_id != request.stream_id:
            if after != states.MISUSE or stream_id != request.stream_id:
                raise StreamClosedError(stream_id, "the connection has ended" if self.closed else "it has ended")
            raise LocalProtocolError(f"stream {stream_id}: {request.misuse(self._role, step)}")
        return after

    def send_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> bool:
        """Send a piece of content, and with `end_stream` the end of the message.

        Returns True when it is accepted: what waits to be written is within `max_stream_send_buffer`. After False wait
        for SendAccepted before sending more; a client does not get it when the response is complete before.

        Raises StreamClosedError when the request is gone, LocalProtocolError when the message's head is not sent yet,
        has ended, or when the bytes do not match its content-length: too many are refused, too few end the connection,
        so that no peer takes a short message for a whole one.
        """
        role = self._role
        after = self._check(stream_id, role.content)
        request = self._request
        size = bytes_of(data)
        if request.is_chunked:
            self._out.write_chunk(data, size, end_stream)
        elif not request.is_bodiless:
            self._count_sent(request, size, end_stream)
            if size:
                self._out.write(data)
        if end_stream:
            request.state = role.end[after]
        return self._accept(request, end_stream)

    def send_trailers(
        self,
        stream_id: int,
        headers: Sequence[tuple[bytes, bytes]],
        never_indexed: frozenset[bytes] | None = None,
    ) -> bool:
        """Send the trailer section, which ends the message (RFC 9112 §7.1.2). Returns and raises as `send_data` does.

        Raises InvalidFieldError for a field that must not be sent. Where the content is not chunked (a length was
        given, HTTP/1.0, no content at all) there is no place for trailers, and they are left out.
        """
        request = self._request
        after = self._check(stream_id, self._role.end)
        if is_tunnel(request.state):
            raise LocalProtocolError(f"stream {stream_id}: a tunnel has no trailers")
        checked, _ = check_outgoing(fixed_fields(headers), self._drops)
        if request.is_chunked:
            self._out.write(write_trailers(checked))
        elif not request.is_bodiless:
            self._count_sent(request, 0, True)
        request.state = after
        return self._accept(request, True)

    def _count_sent(self, request: OpenRequest, size: int, is_last: bool) -> None:
        """Count content of ours; raise LocalProtocolError where it does not match the content-length."""
        sent = request.sent + size
        declared = request.send_length
        if declared >= 0 and (sent > declared or (is_last and sent < declared)):
            text = f"stream {request.stream_id}: {sent} bytes for a content-length of {declared}"
            if sent < declared:
                self.reset_stream(request.stream_id, errors.INTERNAL_ERROR)
                text += ": reset"
            raise LocalProtocolError(text)
        request.sent = sent

    def _accept(self, request: OpenRequest, is_last: bool) -> bool:
        """Tell whether what was sent counts as accepted, and go on when it was the last; if not, owe a SendAccepted."""
        out = self._out
        if out.fits():
            if is_last:
                self._go_on(request)
            return True
        if out.begin_wait():
            self._stall.begin(self._stamp(), out.taken)
            self._at_latest(self._now + self.limits.stalled_send_timeout_s)
        return False

    def _go_on(self, request: OpenRequest) -> None:
        """Do what follows when all that was sent is accepted: after a response let the next request begin, forget the
        rest of this one, or end the connection (RFC 9112 §9.3); a tunnel ends with the connection."""
        after = self._role.accepted[request.state]
        if after == request.state or after == states.OTHER:
            return
        request.state = after
        self._unread.clear()
        if self._persistence.ends():
            reason = "drained" if self._persistence.is_draining else "the last message is sent"
            self._end(errors.NO_ERROR, "local", reason, "RFC 9112 §9.6")
        elif after == states.IDLE:
            self._phases.begin_idle(self._stamp())
        elif self._content.left > DISCARDED:
            self._end_for_the_rest()
        else:
            self._phases.begin_discard(self._stamp())

    # -- ends --------------------------------------------------------------------------------------------------

    def reset_stream(self, stream_id: int, code: int) -> None:
        """End a request before its time, and the connection with it (RFC 9112 §9.6); a no-op when it is over. No
        StreamReset follows.

        Output of a client that was not taken is dropped. Before a response's head a server sends nothing; after it the
        client sees a response that is cut off.
        """
        if self.has_stream(stream_id):
            self._cut()
            if not self._role.is_server:
                self._abort_here()  # a response that still comes shall not be waited for
            self._end(code, "local", "a request was ended before its time", "RFC 9112 §9.6")

    def begin_drain(self, now: float, deadline: float | None = None) -> None:
        """Begin the graceful end; idempotent.

        A request that is open, or whose head has come in part, goes on to its end, with `connection: close` in a
        response whose head is not sent yet; without one the connection ends at once. What is left at `deadline`
        (`drain_timeout_s` from `now` when None) is cut off.
        """
        if self.closed or self._persistence.is_draining:
            return
        request = self._request
        request.is_plain = False  # the head of its response has a field more
        due = now + self.limits.drain_timeout_s if deadline is None else deadline
        self._persistence.begin_drain(due)
        self._events.append(DrainBegan())
        if is_open(request.state) or (request.state == states.IDLE and self._input.left() > 0):
            self._at_latest(due)
        else:
            self._end(errors.NO_ERROR, "local", "drained", "RFC 9112 §9.6")

    def close(self, code: int = errors.NO_ERROR, reason: str = "") -> None:
        """End the connection now. Idempotent. A request that is open ends with a StreamReset event."""
        self._end(code, "local", reason or errors.error_name(code), "RFC 9112 §9.6")

    def _end_for_the_rest(self) -> None:
        """End the connection: too much of a request would have to be read for nothing."""
        reason = "too much of a request was left after its response"
        self._end(errors.NO_ERROR, "local", reason, "RFC 9112 §9.3")

    def _expire(self, expired: Expired) -> None:
        """End the connection: something was waited for too long."""
        reason = expired.reason
        if expired.budget:
            stream_id = self._request.stream_id
            section = expired.section
            self._events.append(PeerFault(errors.NO_ERROR, "stream", stream_id, reason, section, expired.budget))
            reason = f"{reason} ({expired.budget})"
        if expired.aborts:
            self._abort_here()
            self._out.drop()
        self._end(expired.code, "local", reason, expired.section, expired.cause)

    def _tell_fault(self, code: int, fault: MessageFault) -> None:
        """Tell the owner that the peer broke a rule."""
        request = self._request
        opened = is_open(request.state)
        scope = "stream" if opened else "connection"
        stream_id = request.stream_id if opened else 0
        self._events.append(PeerFault(code, scope, stream_id, fault.reason, fault.section, fault.budget))

    def _tell_reset(self, code: int, reason: str, section: str, initiator: str, cause: str) -> None:
        """End the request that is open, before its time."""
        if is_open(self._request.state):
            self._cut()
            self._events.append(StreamReset(self._request.stream_id, code, initiator, reason, section, cause))

    def _end(self, code: int, initiator: str, reason: str, section: str, cause: str = CLOSED) -> None:
        """End the connection: the one place that does. A request that is open ends with a StreamReset event."""
        if self.closed:
            return
        self._end_here()
        self._tell_reset(code, reason, section, initiator, cause)
        request = self._request
        request.state = self._role.close[request.state]
        self._input.clear()
        self._out.cancel_wait()
        self._events.append(ConnectionEnded(code, initiator, reason, section, cause))

    def _cut(self) -> None:
        """Close the request that is open in the middle of a message of ours.

        A request that is not taken is not sent any more. A response that is chunked or has a length cannot be taken for
        whole (RFC 9112 §8); one that ends with the connection can, so that the connection must not end in an orderly
        way.
        """
        request = self._request
        state = request.state
        request.state = self._role.close[state]
        if is_tunnel(state):
            return
        if not self._role.is_server:
            self._out.drop()
        elif not states.is_unanswered(state) and request.ends_with_connection():
            self._abort_here()
            self._out.drop()
