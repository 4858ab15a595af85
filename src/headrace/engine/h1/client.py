"""The client's role: requests go out one at a time, responses come in (RFC 9112).

Reading stands here, writing in `client_sender`. What is wrong is raised as MessageFault and caught at one spot,
`_go_on`. A connection whose octets could be read in two ways is not read any further: it ends, and so does the request.
"""

from __future__ import annotations

from typing import Final

from headrace.engine import errors
from headrace.engine.causes import CONNECTION_LOST, CONTENT_TOO_SHORT, NOT_PROCESSED
from headrace.engine.events import (
    DataReceived,
    Event,
    InformationalReceived,
    PeerFault,
    ResponseReceived,
    StreamReset,
)
from headrace.engine.h1.client_sender import ClientSender
from headrace.engine.h1.content import CHUNKS, CONTENT, HEAD, IDLE, TUNNEL, UNTIL_CLOSE
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.parse.chunked import ChunkedDecoder
from headrace.engine.h1.parse.response import HTTP1ResponseHead, ResponseReader
from headrace.engine.h1.upgrade import accept_value
from headrace.engine.limits import Limits
from headrace.engine.message import is_bodiless
from headrace.engine.timed import NEVER

_SMALL: Final = 256  # content below this is charged as much


class H1ClientConnection(ClientSender):
    """An HTTP/1.1 client connection in memory.

    `limits` bound it (defaults when None), `now` is the owner's clock in seconds. Verbs and events are those of
    `engine/contract.py`. One request is open at a time: while it is, and once the connection ends, `can_send_request`
    is False. The connection ends with a response after which it cannot be used again (RFC 9112 §9.3), and with one that
    came before all of its request was written.

    The owner feeds `receive_data`, takes `take_events` until there are none, and writes what `take_output` returns; it
    calls `handle_deadline` at the time that `deadline` names, stops reading while `read_paused`, and ends the transport
    once `closed` is True and the output is written: by a reset when `aborted`.
    """

    work: int

    def __init__(self, limits: Limits | None = None, *, now: float = 0.0) -> None:
        own = limits if limits is not None else Limits()
        super().__init__(own, now)
        self._reader = ResponseReader(own)

    @property
    def remembered_heads(self) -> int:
        """Response heads that would not be parsed again; for people."""
        return self._reader.count

    # -- input -------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take octets from the server and return what happened, in order. Never raises for what the server sent.

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

    def receive_eof(self, now: float) -> list[Event]:
        """The server has ended the connection. Content without a length is complete with it, a tunnel has an empty
        DataReceived with `end_stream`; any other request that is open ends with a StreamReset (RFC 9112 §8)."""
        self._enter(now)
        if not self.closed and self._is_open:
            if self._receiving == UNTIL_CLOSE:
                self._events.append(DataReceived(self._stream_id, b"", 0, True))
                self._close_over()
            elif self._receiving == TUNNEL:
                self._events.append(DataReceived(self._stream_id, b"", 0, True))
        return self.receive_failure(now, "the peer closed the connection")

    def hold_data(self, count: int) -> None:
        """Do nothing: with one stream, there is no bound over the unread bytes of all."""

    def receive_failure(self, now: float, reason: str) -> list[Event]:
        """The transport failed: a request that is open ends with a StreamReset, also where its content would have been
        complete with the connection's orderly end."""
        self._enter(now)
        if self._is_open and not self._is_begun:
            reason = f"{reason}, and nothing of the request was sent"
            self._end(errors.REFUSED_STREAM, "remote", reason, "", NOT_PROCESSED)
        else:
            cause = CONTENT_TOO_SHORT if self._is_open and self._receiving != HEAD else CONNECTION_LOST
            self._end(errors.NO_ERROR, "remote", reason, "RFC 9112 §8", cause)
        return self.take_events()

    def _go_on(self) -> None:
        """Read as far as what has come allows."""
        try:
            while self._position < len(self._input):
                receiving = self._receiving
                if receiving == HEAD and self._is_begun:
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
                elif receiving == UNTIL_CLOSE or receiving == TUNNEL:
                    self._take_rest()
                else:
                    raise MessageFault(0, "octets that answer no request", "RFC 9112 §9.2")
            else:
                self._input = b""
                self._position = 0
        except MessageFault as fault:
            self._fail(fault)

    def _fail(self, fault: MessageFault) -> None:
        """The server broke a rule: the request that is open and the connection end."""
        stream_id = self._stream_id if self._is_open else 0
        scope = "stream" if self._is_open else "connection"
        code = errors.ENHANCE_YOUR_CALM if fault.budget else fault.code  # as HTTP/2 has it: it is no orderly end
        self._events.append(PeerFault(code, scope, stream_id, fault.reason, fault.section, fault.budget))
        if self._is_open:
            self._is_open = False
            reset = code if self._is_begun else errors.REFUSED_STREAM
            self._give_up_output()
            self._events.append(StreamReset(stream_id, reset, "local", fault.reason, fault.section, fault.cause))
        self._end(code, "local", fault.reason, fault.section, fault.cause)

    # -- heads -------------------------------------------------------------------------------------------------

    def _take_head(self) -> bool:
        """Read a response's head; False while it is not whole."""
        reader = self._reader
        head = reader.take(self._input, self._position)
        if head is None:
            if self._head_since == NEVER:
                self._head_since = self._now
                self._at_latest(self._now + self.limits.request_header_timeout_s)
            return False
        self._position = reader.position
        self._open(head)
        return True

    def _open(self, head: HTTP1ResponseHead) -> None:
        """A response's head is there: what follows it (RFC 9112 §6.3)."""
        stream_id = self._stream_id
        status = head.status
        self._spend(1 + self._reader.work)
        self._head_since = NEVER
        if status < 200:
            if status == 101:
                self._take_upgrade(head)
                return
            self._odd.earn(self.requests)
            if not self._odd.spend(1, self._now):
                raise MessageFault(400, "interim responses without end", "RFC 9110 §15.2", self._odd.name)
            self._events.append(InformationalReceived(stream_id, status, head.headers))
            return
        self._version = head.http_version
        if self._is_connect and status < 300:
            self._begin_tunnel(head)
            return
        if not head.keeps_alive:
            self._close_after = True
        length = head.content_length
        if self._is_head or is_bodiless(status) or length == 0:
            self._events.append(ResponseReceived(stream_id, status, head.headers, True))
            self._content_ended()
            return
        if head.is_chunked:
            self._receiving = CHUNKS
            self._chunks = ChunkedDecoder(self.limits)
        elif length > 0:
            self._receiving = CONTENT
            self._recv_left = length
        else:
            self._receiving = UNTIL_CLOSE
            self._close_after = True
        self._events.append(ResponseReceived(stream_id, status, head.headers, False))

    def _take_upgrade(self, head: HTTP1ResponseHead) -> None:
        """101 (Switching Protocols): for what was asked for, with the right key, or not at all (RFC 6455 §4.1)."""
        if not self._upgrade_key:
            raise MessageFault(400, "status 101 without an upgrade", "RFC 9110 §15.2.2")
        if not head.is_upgrade:
            raise MessageFault(400, "status 101 for something else than WebSocket", "RFC 6455 §4.1")
        if head.accept != accept_value(self._upgrade_key):
            raise MessageFault(400, "sec-websocket-accept does not belong to our key", "RFC 6455 §4.1")
        self._version = head.http_version
        self._begin_tunnel(head)

    def _begin_tunnel(self, head: HTTP1ResponseHead) -> None:
        self._receiving = TUNNEL
        self._is_tunnel = True
        self._end_queued = False
        self._close_after = True
        self._events.append(ResponseReceived(self._stream_id, head.status, head.headers, False))

    # -- content -----------------------------------------------------------------------------------------------

    def _take_in(self, content: bytes, is_last: bool) -> None:
        size = len(content)
        self._unread += size
        if size < _SMALL and not self._is_tunnel:  # what a tunnel brings is kept in one piece
            self._small_unread += _SMALL
        self._events.append(DataReceived(self._stream_id, content, size, is_last))

    def _content_ended(self) -> None:
        """The response is whole: another request may follow, or the connection ends (RFC 9112 §9.3)."""
        self._close_over()
        if self.closed:
            return
        self._receiving = IDLE
        self._idle_since = self._now
        self._at_latest(self._now + self.limits.idle_timeout_s)
