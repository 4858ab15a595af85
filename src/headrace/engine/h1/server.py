"""Everything that is read: heads, content, the octets of a tunnel (RFC 9112 §2.2, §3, §6).

One request is open at a time. While it is, further input waits; `take_events` reads it when the response is complete.
Verbs and `take_output` read nothing. MessageFault is raised where something is wrong, and caught at one spot, `_go_on`.
"""

from __future__ import annotations

from typing import Final

from headrace.engine import errors
from headrace.engine.causes import CONNECTION_LOST
from headrace.engine.events import ConnectReceived, DataReceived, Event, RequestReceived
from headrace.engine.h1.content import CHUNKS, CONTENT, HEAD, TUNNEL, UPGRADING, WHOLE
from headrace.engine.h1.deadlines import Deadlines
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.parse.chunked import ChunkedDecoder
from headrace.engine.h1.parse.request import HTTP1RequestHead, RequestReader
from headrace.engine.h1.queue import OUTPUT_HIGH
from headrace.engine.h1.sender import DISCARDED
from headrace.engine.limits import DRIP, Limits
from headrace.engine.message import BEFORE
from headrace.engine.timed import NEVER

_SMALL: Final = 256  # content below this is charged as much
_DEFAULT_URGENCY: Final = 3  # RFC 9218 §4.1; nobody shares an HTTP/1.1 connection


class H1ServerConnection(Deadlines):
    """An HTTP/1.1 server connection in memory.

    `limits` bound it (defaults when None), `now` is the owner's clock in seconds, `scheme` that of the connection,
    b"http" or b"https". With `websockets` an upgrade to WebSocket comes as ConnectReceived; without, it is an ordinary
    request. Requests are numbered 1, 3, 5, and so on, as streams of HTTP/2 are.

    The owner feeds `receive_data`, answers the events with verbs, takes `take_events` until there are none, and writes
    what `take_output` returns; it calls `handle_deadline` at the time that `deadline` names, stops reading while
    `read_paused`, and ends the transport once `closed` is True and the output is written: by a reset when `aborted`.
    """

    requests: int
    work: int

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        now: float = 0.0,
        scheme: bytes = b"http",
        websockets: bool = False,
    ) -> None:
        own = limits if limits is not None else Limits()
        super().__init__(own, now)
        self._reader = RequestReader(own, scheme, websockets)
        self._discard_left: int = 0

    @property
    def remembered_heads(self) -> int:
        """Request heads that would not be parsed again; for people."""
        return self._reader.count

    # -- input -------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take octets from the client and return what happened, in order. Never raises for what the client sent.

        `now` is the time in seconds on the clock that the owner uses for `deadline`. After ConnectionEnded further
        input is ignored.
        """
        if self.closed:
            return self.take_events()
        self._enter(now)
        self._take_input(data)
        self._go_on()
        self.work = self._whole_turn - self._turn
        self._leave()
        return self.take_events()

    def take_events(self) -> list[Event]:
        """Return and forget the events that arose outside `receive_data`, and read input that waited: the next
        pipelined request after a response, the bytes behind an upgrade."""
        if self._can_go_on():
            self._go_on()
        events = self._events
        if events:
            self._events = []
        return events

    def receive_eof(self, now: float) -> list[Event]:
        """The client is gone: a request that is open ends with a StreamReset event, then ConnectionEnded. A tunnel ends
        with an empty DataReceived that has `end_stream` first."""
        self._enter(now)
        if self._receiving == TUNNEL and self._is_open:
            self._events.append(DataReceived(self._stream_id, b"", 0, True))
        self._end(errors.NO_ERROR, "remote", "the peer closed the connection", "RFC 9112 §9.5", CONNECTION_LOST)
        return self.take_events()

    def receive_failure(self, now: float, reason: str) -> list[Event]:
        """End like `receive_eof`: no request's content ends with the connection."""
        return self.receive_eof(now)

    def _go_on(self) -> None:
        """Read as far as what has come allows: the one place where input is read."""
        self._waits = False
        try:
            while self._position < len(self._input):
                receiving = self._receiving
                if receiving == HEAD:
                    if self._out_size >= OUTPUT_HIGH:
                        self._waits = True
                        return
                    if self._turn == 0:
                        self._turn_is_over = True
                        return
                    if not self._take_head():
                        break
                elif receiving == CONTENT:
                    self._take_content()
                elif receiving == CHUNKS:
                    if self._turn == 0:
                        self._turn_is_over = True
                        return
                    if not self._take_chunks():
                        break
                elif receiving == TUNNEL:
                    self._take_rest()
                else:
                    self._waits = True
                    return
            else:
                self._input = b""
                self._position = 0
        except MessageFault as fault:
            self._fail(fault)

    # -- heads -------------------------------------------------------------------------------------------------

    def _take_head(self) -> bool:
        """Read a request's head; False while it is not whole."""
        reader = self._reader
        head = reader.take(self._input, self._position, self.drop_underscore_fields, self.server_names)
        self._position = reader.position
        if head is not None:
            self._open(head)
            return True
        if self._position < len(self._input):
            self._await_head()
            return False
        self._head_since = NEVER
        return True

    def _await_head(self) -> None:
        """A part of a head has come: from now on there is a time by which the rest has to."""
        if self._head_since == NEVER:
            self._head_since = self._stamp()
            if self._head_since >= 0:
                self._at_latest(self._head_since + self.limits.request_header_timeout_s)

    def _open(self, head: HTTP1RequestHead) -> None:
        """A request begins."""
        stream_id = self._stream_id + 2
        self._stream_id = stream_id
        self._spend(1 + self._reader.work)
        self.requests += 1
        self._head_since = NEVER
        self._is_open = True
        self._progress = BEFORE
        self._end_queued = False
        self._is_chunked = False
        self._bodiless = False
        self._send_length = -1
        self._sent = 0
        self._is_head = head.is_head
        self._is_http_1_0 = head.is_http_1_0
        self._closing = not head.keeps_alive
        self._awaits_continue = head.expect_continue
        self._is_plain = head.is_plain and not self._draining
        if head.protocol is not None:
            self._receiving = UPGRADING
            self._upgrade_key = head.upgrade_key
            self._events.append(ConnectReceived(stream_id, head, False, _DEFAULT_URGENCY, False))
            return
        if head.end_stream:
            self._receiving = WHOLE
        else:
            self._begin_content(head)
        waits = head.expect_continue
        self._events.append(RequestReceived(stream_id, head, head.end_stream, waits, _DEFAULT_URGENCY, False))

    # -- content -----------------------------------------------------------------------------------------------

    def _begin_content(self, head: HTTP1RequestHead) -> None:
        if head.is_chunked:
            self._receiving = CHUNKS
            self._chunks = ChunkedDecoder(self.limits)
        else:
            self._receiving = CONTENT
            self._recv_left = head.content_length
        self._received = 0
        self._upload_mark = 0
        self._quiet_since = -1.0
        self._drips = 0
        self._pause_s = -1.0
        self._upload_at = self._stamp()
        self._at_latest(self._now + self.limits.upload_grace_s)
        if self.limits.upload_pause_timeout_s > 0:
            self._at_latest(self._now + self.limits.upload_pause_timeout_s)

    def _take_in(self, content: bytes, is_last: bool) -> None:
        """Hand content to the owner; or forget it, where the response is complete already."""
        size = len(content)
        self._received += size
        if self._discarding:
            self._discard_left -= size
            if self._discard_left < 0:
                self._end(
                    errors.NO_ERROR, "local", "too much of a request was left after its response", "RFC 9112 §9.3"
                )
            return
        self._awaits_continue = False
        self._unread += size
        if size < _SMALL and not self._is_tunnel:  # what a tunnel brings is kept in one piece
            self._small_unread += _SMALL
            if size < DRIP and not is_last:
                self._drips += 1
        self._events.append(DataReceived(self._stream_id, content, size, is_last))

    def _content_ended(self) -> None:
        if self.closed:
            return
        if not self._discarding:
            self._receiving = WHOLE
            return
        self._discarding = False
        self._discard_since = NEVER
        self._receiving = HEAD
        self._idle_since = self._stamp()

    def _discard(self) -> None:
        """The response is complete: what is left of the request is read and forgotten, if it is little enough, as
        otherwise the connection could not be used again (RFC 9112 §9.3)."""
        if self._receiving == CONTENT and self._recv_left > DISCARDED:
            self._end(errors.NO_ERROR, "local", "too much of a request was left after its response", "RFC 9112 §9.3")
            return
        self._discarding = True
        self._discard_left = DISCARDED
        self._discard_since = self._stamp()
        if self._discard_since >= 0:
            self._at_latest(self._discard_since + self.limits.request_header_timeout_s)
