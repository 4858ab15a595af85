"""The server's role: requests come in one at a time, responses go out (RFC 9112).

`states` says what may follow what. Input is read in one place, `_read`: for `receive_data`, and for `take_events` where
input waited. Verbs and `take_output` read nothing. A fault of the client is raised as MessageFault, and caught there.
"""

from __future__ import annotations

from typing import Final

from headrace.engine import errors
from headrace.engine.causes import CONNECTION_LOST
from headrace.engine.errors import LocalProtocolError
from headrace.engine.events import ConnectReceived, Event, RequestReceived, StreamRefused
from headrace.engine.h1 import states
from headrace.engine.h1.connection import H1Connection
from headrace.engine.h1.content import DISCARDED
from headrace.engine.h1.deadlines import Expired, UploadPace
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.open_request import OpenRequest
from headrace.engine.h1.parse.request import HTTP1RequestHead, RequestReader
from headrace.engine.h1.queue import OUTPUT_HIGH
from headrace.engine.h1.responses import Fields, ResponseWriter
from headrace.engine.h1.server_deadlines import ServerDeadlines
from headrace.engine.h1.states import SERVER, is_answered, is_open, is_unanswered
from headrace.engine.limits import DRIP, Limits
from headrace.engine.timed import NEVER

_PIPELINED: Final = 65_536  # bytes of further requests that wait for the one that is open
_OPENED: Final = SERVER.after(states.IDLE, states.REQUEST_HEAD)
_OPENED_WHOLE: Final = SERVER.after(states.IDLE, states.REQUEST_HEAD_END)
_OPENED_UPGRADE: Final = SERVER.after(states.IDLE, states.REQUEST_UPGRADE)
_DEFAULT_URGENCY: Final = 3  # RFC 9218 §4.1; nobody shares an HTTP/1.1 connection


class H1ServerConnection(H1Connection):
    """An HTTP/1.1 server connection in memory.

    `limits` bound it (defaults when None), `now` is the owner's clock in seconds, `scheme` that of the connection,
    b"http" or b"https". With `websockets` an upgrade to WebSocket comes as ConnectReceived; without, it is an ordinary
    request. Requests are numbered 1, 3, 5, and so on, as streams of HTTP/2 are.

    The owner feeds `receive_data`, answers the events with verbs, takes `take_events` until there are none, and writes
    what `take_output` returns; it calls `handle_deadline` at the time that `deadline` names, stops reading while
    `read_paused`, and ends the transport once `closed` is True and the output is written: by a reset when `aborted`.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        now: float = 0.0,
        scheme: bytes = b"http",
        websockets: bool = False,
    ) -> None:
        own = limits if limits is not None else Limits()
        super().__init__(own, now, SERVER)
        self._reader = RequestReader(own, scheme, websockets)
        self._responses = ResponseWriter(self._out, self._content, self._persistence)
        self._deadlines = ServerDeadlines(own, now)
        self._pace = UploadPace(own)
        self._waits = False  # input is there, and waits for an answer, or for output to be taken
        self._at_latest(now + own.preface_timeout_s)

    @property
    def remembered_heads(self) -> int:
        """Request heads that would not be parsed again; for people."""
        return self._reader.count

    @property
    def needs_attention(self) -> bool:
        """True when, after `take_output`, there is an event, perhaps one that `take_events` is about to read, more
        output, the end, or a reason to stop reading."""
        return (
            self.closed
            or len(self._events) > 0
            or self._out.size > 0
            or self._input.turn_is_over
            or self.read_paused
            or self._can_read()
        )

    @property
    def read_paused(self) -> bool:
        """True while the owner must not read: the handler has content to read first, or other requests wait."""
        if self._waits or SERVER.reads[self._request.state] == states.NOTHING:
            return self._input.left() >= _PIPELINED
        return self._unread.is_too_much()

    def _set_drops(self, drops: bool) -> None:
        self._responses.heads.cache.set_drops(drops)

    def set_default_fields(self, default_fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Set fields that every final response gets unless the application names them, such as `date` and `server`.

        Pairs of lowercase name and value, not checked. What was remembered of earlier heads is forgotten.
        """
        self._responses.heads.cache.set_default_fields(default_fields)

    # -- input -------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the client and return what happened, in order. Never raises for what the client sent.

        `now` is the time in seconds on the clock that the owner uses for `deadline`. After ConnectionEnded further
        input is ignored.
        """
        if not self.closed:
            self._enter(now)
            self._add_input(data)
            self._read()
            self._count_work(self._input.work)
            self._leave()
        return super().take_events()

    def take_events(self) -> list[Event]:
        """Return and forget the events that arose outside `receive_data`, and read input that waited: the next
        pipelined request after a response, the bytes behind an upgrade."""
        if self._can_read():
            self._read()
        return super().take_events()

    def receive_eof(self, now: float) -> list[Event]:
        """End: the client is gone. An open request ends with a StreamReset, a tunnel with an empty DataReceived before
        it, which has `end_stream`; then comes ConnectionEnded."""
        self._enter(now)
        if states.is_tunnel(self._request.state):
            self._hand_over(b"", True)
        self._end(errors.NO_ERROR, "remote", "the peer closed the connection", "RFC 9112 §9.5", CONNECTION_LOST)
        return super().take_events()

    def receive_failure(self, now: float, reason: str) -> list[Event]:
        """End as `receive_eof` does: the transport failed."""
        return self.receive_eof(now)

    def _can_read(self) -> bool:
        """Tell whether input that waited can be read now."""
        return self._waits and self._may_read(SERVER.reads[self._request.state])

    def _may_read(self, reads: int) -> bool:
        """Tell whether the response before is complete, and enough of the output is taken."""
        return self._out.size < OUTPUT_HIGH if reads == states.HEAD else reads != states.NOTHING

    def _read(self) -> None:
        """Read as far as the input allows: the one place where parsing begins."""
        source = self._input
        request = self._request
        self._waits = False
        try:
            while source.data:
                reads = SERVER.reads[request.state]
                if not self._may_read(reads):
                    self._waits = True
                    return
                if reads == states.HEAD:
                    if not source.has_turn() or not self._read_head():
                        return
                elif (self._content.is_chunked and not source.has_turn()) or not self._read_content(request):
                    return
        except MessageFault as fault:
            self._fail(fault)

    def _read_head(self) -> bool:
        """Read a request's head; False while it is not whole."""
        source = self._input
        reader = self._reader
        head = reader.take(source.data, source.position, self.drop_underscore_fields, self.server_names)
        source.move_to(reader.position)
        if head is not None:
            self._phases.end_head()
            source.spend(1 + reader.work)
            self._open(head)
            return True
        if not source.data:
            self._phases.end_head()
        elif self._phases.head_since == NEVER:
            now = self._stamp()
            self._phases.begin_head(now)
            if now >= 0:
                self._at_latest(now + self.limits.request_header_timeout_s)
        return False

    def _open(self, head: HTTP1RequestHead) -> None:
        """Begin a request."""
        is_whole = head.end_stream
        request = self._request
        request.begin(_OPENED_WHOLE if is_whole else _OPENED)
        request.is_head = head.is_head
        request.is_http_1_0 = head.is_http_1_0
        request.awaits_continue = head.expect_continue
        request.is_plain = head.is_plain and not self._persistence.is_draining
        self._persistence.begin_request(head.keeps_alive)
        stream_id = request.stream_id
        if head.protocol is not None:
            request.state = _OPENED_UPGRADE
            request.upgrade_key = head.upgrade_key
            self._events.append(ConnectReceived(stream_id, head, False, _DEFAULT_URGENCY, False))
            return
        if not is_whole:
            self._content.begin(head.content_length, head.is_chunked)
            self._pace.begin(self._stamp())
            self._at_latest(self._pace.due(self._now))
        self._events.append(RequestReceived(stream_id, head, is_whole, head.expect_continue, _DEFAULT_URGENCY, False))

    def _read_content(self, request: OpenRequest) -> bool:
        """Read content; False when there was none. After its end the response can end, or the next request begin."""
        reader = self._content
        source = self._input
        left = source.left() if reader.is_chunked else 0
        content = reader.read(source)
        if not reader.is_complete:
            if content:
                self._take_content(request, content, False)
            if reader.fault is not None:
                raise reader.fault
            return not reader.is_chunked or source.left() < left
        if reader.trailers is not None and request.state != states.DISCARD:
            if content:
                self._take_content(request, content, False)
            self._hand_over_trailers()
        else:
            self._take_content(request, content, True)
        if not self.closed:
            if request.state == states.DISCARD:
                self._phases.end_discard()
                self._phases.begin_idle(self._stamp())
            request.state = SERVER.request_end[request.state]
        return True

    def _take_content(self, request: OpenRequest, content: bytes, is_last: bool) -> None:
        """Hand content to the owner; or forget it, where the response is complete already."""
        size = len(content)
        if request.state == states.DISCARD:
            request.discarded += size
            if request.discarded > DISCARDED:
                self._end_for_the_rest()
            return
        request.awaits_continue = False
        self._pace.add(size, size < DRIP and not is_last)
        self._hand_over(content, is_last)

    # -- responses ---------------------------------------------------------------------------------------------

    def send_response(self, stream_id: int, status: int, headers: Fields, body: bytes) -> bool:
        """Send a whole response in one go.

        `headers` are pairs of name and value; names are lowered, content-length and the default fields are added where
        they are missing. Connection-specific fields are refused or left out (`drop_connection_fields`), but for
        `connection: close`, which is obeyed. For HEAD, 204 and 304 the body is left out. Returns True when accepted, as
        `send_data`. Raises StreamClosedError when the request is gone; InvalidFieldError for fields that must not be
        sent; LocalProtocolError when the response has begun already or a content-length differs from the body. Nothing
        is written when it raises.
        """
        after = self._check(stream_id, SERVER.response_head)
        request = self._request
        self._responses.write_whole(request, status, headers, body)
        request.state = SERVER.end[after]
        if self._out.fits():  # as `_accept` does, with a call less: 0.5 % of a request
            self._go_on(request)
            return True
        return self._accept(request, True)

    def send_headers(
        self,
        stream_id: int,
        status: int,
        headers: Fields,
        end_stream: bool = False,
        never_indexed: frozenset[bytes] | None = None,
    ) -> None:
        """Send the final response's header section, to be followed by `send_data`. Raises as `send_response` does.

        Without content-length the content is chunked; to a client of HTTP/1.0 it ends with the connection.
        """
        after = self._check(stream_id, SERVER.response_head)
        request = self._request
        self._responses.write_head(request, status, headers, end_stream)
        request.state = after
        if end_stream:
            request.state = SERVER.end[after]
            self._go_on(request)

    def send_informational(
        self, stream_id: int, status: int, headers: Fields, never_indexed: frozenset[bytes] | None = None
    ) -> None:
        """Send a 1xx response before the final one (RFC 9110 §15.2), such as 100 or 103. HTTP/1.0 does not get it.

        Raises InvalidFieldError for another status, for 101, which is `accept_tunnel`'s, or for fields that must not be
        sent; LocalProtocolError after the final response has begun; StreamClosedError.
        """
        after = self._check(stream_id, SERVER.interim)
        request = self._request
        if self._responses.write_interim(request, status, headers):
            request.state = after
            if status == 100:
                request.awaits_continue = False
                self._pace.restart(self._stamp())

    def accept_tunnel(self, stream_id: int, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> None:
        """Say yes to an upgrade: 101 with what WebSocket's handshake asks for, and `headers` (RFC 6455 §4.2.2).

        From then on content goes both ways until each side has ended its own. Raises LocalProtocolError when the
        request is no upgrade or has been answered, InvalidFieldError, and StreamClosedError.
        """
        after = self._check(stream_id, SERVER.switch)
        request = self._request
        self._responses.write_switch(request, headers)
        self._content.begin_tunnel()
        request.state = after

    def content_sent(self, stream_id: int, count: int) -> None:
        """Take note that `count` bytes of content went out past this connection (the kernel's sendfile), behind all
        that `take_output` had given. The response ends when its content-length is reached.

        Raises LocalProtocolError when the content is chunked or has no content-length, when output is pending, or for
        more bytes than were declared; StreamClosedError.
        """
        after = self._check(stream_id, SERVER.content)
        request = self._request
        if request.send_length < 0 or request.is_bodiless or self._out.size:
            raise LocalProtocolError(f"stream {stream_id}: content can go past only by length, and in its turn")
        self._count_sent(request, count, False)
        self._out.pass_by(count)
        if request.sent == request.send_length:
            request.state = SERVER.end[after]
            self._go_on(request)

    def written(self, stream_id: int) -> int:
        """Return the bytes that have gone out on the connection, which has one response at a time."""
        return self._out.taken

    def refuse_stream(self, stream_id: int) -> None:
        """Refuse a request that has been announced but not begun: 503, and the end; a no-op when it is gone."""
        request = self._request
        if stream_id == request.stream_id and is_unanswered(request.state):
            self._persistence.end_with_response()
            request.is_plain = False
            self._events.append(StreamRefused(stream_id))
            self.send_response(stream_id, 503, ((b"retry-after", b"1"),), b"")

    def _fail(self, fault: MessageFault) -> None:
        """End the connection for a fault of the client, with an answer where none has begun (RFC 9112 §9.6)."""
        if self.closed:
            return
        request = self._request
        self._tell_fault(fault.code, fault)
        if fault.status and (request.state == states.IDLE or is_unanswered(request.state)):
            is_head = self._input.starts_with(b"HEAD ") if request.state == states.IDLE else request.is_head
            self._responses.write_answer(fault, is_head)
        self._end(fault.code, "local", fault.reason, fault.section, fault.cause)

    # -- time --------------------------------------------------------------------------------------------------

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what has become due at `now` and set the next deadline. Early calls are harmless."""
        self._enter(now)
        if self._learns(now):
            self._date(now)
        if not self.closed:
            try:
                self._look_again(self._check_time(now))
            except MessageFault as fault:
                self._fail(fault)
            except Expired as expired:
                self._expire(expired)
        self._leave()
        return self.take_events()

    def _check_time(self, now: float) -> float:
        """Return when to look again. Raises MessageFault or Expired for what is too late."""
        out = self._out
        request = self._request
        due = now + self.limits.idle_timeout_s  # idle may begin unnoticed
        if request.state == states.REQUEST:
            has_room = not self.read_paused and not request.awaits_continue
            is_owed = not self._content.is_between_chunks or self._input.left() > 0
            due = min(due, self._pace.check(now, has_room, is_owed))
        elif not is_open(request.state):
            is_busy = out.size > 0 or self._waits or self._input.turn_is_over
            due = self._deadlines.check_phases(now, self._phases, self.requests > 0, is_busy)
        if out.size > 0:
            due = min(due, self._deadlines.check_output(now, self._stall, out.taken))
        return min(due, self._persistence.check_drain(now, is_answered(request.state)))

    def _date(self, now: float) -> None:
        """Date with `now` what began since the last input."""
        self._pace.date(now)
        super()._date(now)

    def allow_pauses(self, stream_id: int, longest_s: float) -> None:
        """Let the content of a request pause for `longest_s` seconds between any two pieces (0: for as long as it
        likes), in place of what the limits say; a no-op when the request is over."""
        if self.has_stream(stream_id):
            self._pace.allow_pauses(longest_s)
            self._at_latest(self._pace.due(self._now))
