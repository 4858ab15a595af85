"""The client's role: requests go out one at a time, responses come in (RFC 9112).

`states` says what may follow what. Input is read in one place, `_read`. A fault of the server is raised as
MessageFault, and caught there. A connection whose bytes could be read in two ways is not read any further: it ends, and
so does the request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headrace.engine import errors
from headrace.engine.budget import Budget
from headrace.engine.causes import CONNECTION_LOST, CONTENT_TOO_SHORT, NOT_PROCESSED
from headrace.engine.errors import InvalidFieldError, LocalProtocolError
from headrace.engine.events import Event, InformationalReceived, ResponseReceived
from headrace.engine.h1 import states
from headrace.engine.h1.client_deadlines import ClientDeadlines
from headrace.engine.h1.connection import H1Connection
from headrace.engine.h1.deadlines import Expired
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.heads.request import RequestHeads
from headrace.engine.h1.open_request import OpenRequest
from headrace.engine.h1.parse.response import HTTP1ResponseHead, ResponseReader
from headrace.engine.h1.states import CLIENT, is_open, is_tunnel
from headrace.engine.h1.upgrade import accept_value
from headrace.engine.limits import Limits
from headrace.engine.message import is_bodiless
from headrace.engine.timed import NEVER

_OPENED: Final = CLIENT.after(states.IDLE, states.REQUEST_HEAD)
_OPENED_WHOLE: Final = CLIENT.after(states.IDLE, states.REQUEST_HEAD_END)
_OPENED_UPGRADE: Final = CLIENT.after(states.IDLE, states.REQUEST_UPGRADE)
INTERIM_A_REQUEST: Final = 4  # interim responses that a request pays for: 100 or 102, early hints more than once


class H1ClientConnection(H1Connection):
    """An HTTP/1.1 client connection in memory.

    `limits` bound it (defaults when None), `now` is the owner's clock in seconds. Verbs and events are those of
    `engine/contract.py`. One request is open at a time: while it is, and once the connection ends, `can_send_request`
    is False. The connection ends with a response after which it cannot be used again (RFC 9112 §9.3), and with one that
    came before all of its request was written.

    The owner feeds `receive_data`, takes `take_events` until there are none, and writes what `take_output` returns; it
    calls `handle_deadline` at the time that `deadline` names, stops reading while `read_paused`, and ends the transport
    once `closed` is True and the output is written: by a reset when `aborted`.
    """

    def __init__(self, limits: Limits | None = None, *, now: float = 0.0) -> None:
        own = limits if limits is not None else Limits()
        super().__init__(own, now, CLIENT)
        self._reader = ResponseReader(own)
        self._heads = RequestHeads()
        self._deadlines = ClientDeadlines(own)
        self._odd = Budget("odd_frames", own.odd_frame_burst, own.odd_frame_rate, now, INTERIM_A_REQUEST)
        self._version = "1.1"
        self._at_latest(now + own.idle_timeout_s)

    # -- what the owner asks about -----------------------------------------------------------------------------

    @property
    def http_version(self) -> str:
        """Version of the response that came last, "1.0" or "1.1"."""
        return self._version

    @property
    def remembered_heads(self) -> int:
        """Response heads that would not be parsed again; for people."""
        return self._reader.count

    @property
    def can_send_request(self) -> bool:
        """True while no request is open and the connection goes on."""
        return self._request.state == states.IDLE and not self._persistence.is_draining

    @property
    def needs_attention(self) -> bool:
        """True when, after `take_output`, there is an event, more output, the end, or a reason to stop reading."""
        return (
            self.closed
            or len(self._events) > 0
            or self._out.size > 0
            or self._unread.is_too_much()
            or self._input.turn_is_over
        )

    @property
    def read_paused(self) -> bool:
        """True while the owner must not read: there is content to be consumed first."""
        return self._unread.is_too_much()

    def _set_drops(self, drops: bool) -> None:
        self._heads.cache.set_drops(drops)

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
        if self._request.state != states.IDLE or self._persistence.is_draining:
            raise LocalProtocolError("no request can be sent now: the connection ends, or another request is open")
        is_upgrade = protocol is not None
        if is_upgrade:
            if protocol != b"websocket" or method not in (b"CONNECT", b"GET"):
                raise InvalidFieldError(f"an upgrade to {protocol!r} by {method!r}: only WebSocket is known")
            method = b"GET"
        is_connect = method == b"CONNECT"
        target = path
        if is_connect:
            if scheme or path:
                raise InvalidFieldError("CONNECT has an authority and neither scheme nor path (RFC 9110 §9.3.6)")
            target = authority
            end_stream = True
        else:
            self._heads.check_path(method, path)
        tail = self._heads.tail(method, authority, headers, content_length, end_stream, is_upgrade)
        if is_connect or is_upgrade:
            state = _OPENED_UPGRADE
        else:
            state = _OPENED_WHOLE if end_stream else _OPENED
        request = self._request
        request.begin(state)
        request.is_head = method == b"HEAD"
        request.is_connect = is_connect
        request.is_chunked = tail.is_chunked
        request.upgrade_key = tail.upgrade_key
        request.send_length = tail.content_length
        self._unread.clear()
        self._persistence.begin_request(not tail.asks_to_close)
        self._out.write(method + b" " + target + tail.block)
        return request.stream_id

    def send_ping(self, opaque: bytes) -> None:
        """Raises LocalProtocolError: HTTP/1.1 has no PING."""
        raise LocalProtocolError("HTTP/1.1 has no PING")

    def hold_data(self, count: int) -> None:
        """Do nothing: with one stream, there is no bound over the unread bytes of all."""

    # -- input -------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the server and return what happened, in order. Never raises for what the server sent.

        `now` is the time in seconds on the clock that the owner uses for `deadline`. After ConnectionEnded further
        input is ignored.
        """
        if not self.closed:
            self._enter(now)
            self._add_input(data)
            self._read()
            self._count_work(self._input.work)
            self._leave()
        return self.take_events()

    def receive_eof(self, now: float) -> list[Event]:
        """End: the server has ended the connection. Content without a length is complete with it, a tunnel has an empty
        DataReceived with `end_stream`; any other request that is open ends with a StreamReset (RFC 9112 §8)."""
        self._enter(now)
        request = self._request
        if is_tunnel(request.state):
            self._hand_over(b"", True)
        elif CLIENT.reads[request.state] == states.CONTENT and self._content.ends_with_connection:
            self._hand_over(b"", True)
            self._finish(request)
        return self.receive_failure(now, "the peer closed the connection")

    def receive_failure(self, now: float, reason: str) -> list[Event]:
        """End: the transport failed. A request that is open ends with a StreamReset, also where its content would have
        been complete with the connection's orderly end."""
        self._enter(now)
        state = self._request.state
        if is_open(state) and not self._request.is_begun:
            reason = f"{reason}, and nothing of the request was sent"
            self._end(errors.REFUSED_STREAM, "remote", reason, "", NOT_PROCESSED)
        else:
            cause = CONTENT_TOO_SHORT if states.is_answered(state) else CONNECTION_LOST
            self._end(errors.NO_ERROR, "remote", reason, "RFC 9112 §8", cause)
        return self.take_events()

    def _read(self) -> None:
        """Read as far as the input allows: the one place where parsing begins."""
        source = self._input
        request = self._request
        try:
            while source.data:
                reads = CLIENT.reads[request.state]
                if reads == states.CONTENT:
                    if (self._content.is_chunked and not source.has_turn()) or not self._read_content(request):
                        return
                elif reads == states.HEAD and request.is_begun:
                    if not source.has_turn() or not self._read_head(request):
                        return
                else:
                    raise MessageFault(0, "bytes that answer no request", "RFC 9112 §9.2")
        except MessageFault as fault:
            self._fail(fault)

    def _read_head(self, request: OpenRequest) -> bool:
        """Read a response's head; False while it is not whole."""
        source = self._input
        reader = self._reader
        head = reader.take(source.data, source.position)
        if head is not None:
            source.move_to(reader.position)
            source.spend(1 + reader.work)
            self._phases.end_head()
            self._open(request, head)
            return True
        if self._phases.head_since == NEVER:
            self._phases.begin_head(self._now)
            self._at_latest(self._now + self.limits.request_header_timeout_s)
        return False

    def _open(self, request: OpenRequest, head: HTTP1ResponseHead) -> None:
        """Take a response's head, and see what follows it (RFC 9112 §6.3)."""
        stream_id = request.stream_id
        status = head.status
        if status < 200 and status != 101:
            self._odd.earn(self.requests)
            if not self._odd.spend(1, self._now):
                raise MessageFault(400, "interim responses without end", "RFC 9110 §15.2", self._odd.name)
            request.state = CLIENT.interim[request.state]
            self._events.append(InformationalReceived(stream_id, status, head.headers))
            return
        if status == 101:
            _check_upgrade(request, head)
        self._version = head.http_version
        if status == 101 or (request.is_connect and status < 300):
            request.state = CLIENT.switch[request.state]
            self._content.begin_tunnel()
            self._persistence.end_with_response()
            self._events.append(ResponseReceived(stream_id, status, head.headers, False))
            return
        request.state = CLIENT.response_head[request.state]
        length = head.content_length
        is_whole = request.is_head or is_bodiless(status) or length == 0
        if not head.keeps_alive or not (is_whole or head.is_chunked or length > 0):
            self._persistence.end_with_response()
        self._events.append(ResponseReceived(stream_id, status, head.headers, is_whole))
        if is_whole:
            self._finish(request)
        else:
            self._content.begin(length, head.is_chunked)

    def _read_content(self, request: OpenRequest) -> bool:
        """Read content; False when there was none. The last of it ends the response."""
        reader = self._content
        source = self._input
        left = source.left() if reader.is_chunked else 0
        content = reader.read(source)
        if not reader.is_complete:
            if content:
                self._hand_over(content, False)
            if reader.fault is not None:
                raise reader.fault
            return not reader.is_chunked or source.left() < left
        if reader.trailers is not None:
            if content:
                self._hand_over(content, False)
            self._hand_over_trailers()
        else:
            self._hand_over(content, True)
        self._finish(request)
        return True

    def _finish(self, request: OpenRequest) -> None:
        """See what follows now that the response is whole: another request may, or the connection ends (RFC 9112 §9.3).

        A request that was not written to its end leaves a connection that cannot be used again.
        """
        after = CLIENT.response_end[request.state]
        request.state = after
        self._unread.clear()
        persistence = self._persistence
        if after == states.CLOSED or self._out.size > 0:
            self._out.drop()
            self._end(errors.NO_ERROR, "local", "the response came before the end of its request", "RFC 9112 §9.3")
        elif persistence.ends():
            reason = "drained" if persistence.is_draining else "the last response has come"
            self._end(errors.NO_ERROR, "local", reason, "RFC 9112 §9.6")
        else:
            self._phases.begin_idle(self._now)
            self._at_latest(self._now + self.limits.idle_timeout_s)

    def _fail(self, fault: MessageFault) -> None:
        """End the connection, and the request that is open, for a fault of the server."""
        code = errors.ENHANCE_YOUR_CALM if fault.budget else fault.code  # as HTTP/2 has it: it is no orderly end
        self._tell_fault(code, fault)
        reset = code if self._request.is_begun else errors.REFUSED_STREAM
        self._tell_reset(reset, fault.reason, fault.section, "local", fault.cause)
        self._end(code, "local", fault.reason, fault.section, fault.cause)

    # -- time --------------------------------------------------------------------------------------------------

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what has become due at `now` and set the next deadline. Early calls are harmless."""
        self._enter(now)
        if self._learns(now):
            self._date(now)
        if not self.closed:
            opened = is_open(self._request.state)
            try:
                due = self._deadlines.check(now, self._phases, self._stall, opened, self._out.taken)
                self._look_again(min(due, self._persistence.check_drain(now, opened)))
            except Expired as expired:
                self._expire(expired)
        self._leave()
        return self.take_events()


def _check_upgrade(request: OpenRequest, head: HTTP1ResponseHead) -> None:
    """Raise MessageFault for a status 101 that was not asked for, or has another key (RFC 6455 §4.1)."""
    if not request.upgrade_key:
        raise MessageFault(400, "status 101 without an upgrade", "RFC 9110 §15.2.2")
    if not head.is_upgrade:
        raise MessageFault(400, "status 101 for something else than WebSocket", "RFC 6455 §4.1")
    if head.accept != accept_value(request.upgrade_key):
        raise MessageFault(400, "sec-websocket-accept does not belong to our key", "RFC 6455 §4.1")
