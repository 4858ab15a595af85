"""What the parts of a server's connection share beside its content: how a response ends, and with it the request.

What is to be written stands in `queue`: the answers to all pipelined requests of one read batch leave in one write. A
request whose last send was not accepted stays open until it is.
"""

from __future__ import annotations

from typing import Final

from headrace.engine import errors
from headrace.engine.causes import CLOSED
from headrace.engine.events import ConnectionEnded, SendAccepted, StreamReset
from headrace.engine.h1.content import HEAD, UPGRADING, WHOLE, ContentConnection
from headrace.engine.h1.heads.response import Heads
from headrace.engine.h1.queue import OUTPUT_HIGH
from headrace.engine.limits import Limits
from headrace.engine.message import BEFORE, COMPLETE
from headrace.engine.timed import NEVER

PIPELINED: Final = 65_536  # octets of further requests that wait for the one that is open


class Output(ContentConnection):
    """The shared state of a connection, and its output."""

    octets_out: int

    def __init__(self, limits: Limits, now: float) -> None:
        super().__init__(limits, now)
        self._heads = Heads()
        self._waits = False  # input is there, and waits for an answer, or for output to be taken
        # the request that is open, or was the last one
        self._progress: int = BEFORE
        self._is_plain = False
        self._is_http_1_0 = False
        self._awaits_continue = False
        self._closing = True  # the connection ends with this response
        # time
        self._upload_at: float = now
        self._discard_since: float = NEVER

    # -- what the owner asks about -----------------------------------------------------------------------------

    @property
    def needs_attention(self) -> bool:
        """True when, after `take_output`, there is an event, more output, the end, or a reason to stop reading. An
        event may be one that `take_events` is about to read."""
        return (
            self.closed
            or len(self._events) > 0
            or len(self._out) > 0
            or self.input_pending
            or self.read_paused
            or self._can_go_on()
        )

    def _can_go_on(self) -> bool:
        """Tell whether input that waited can be read: the answer is complete, and enough of the output is taken."""
        if not self._waits:
            return False
        receiving = self._receiving
        if receiving == HEAD:
            return self._out_size < OUTPUT_HIGH
        return receiving != WHOLE and receiving != UPGRADING

    @property
    def read_paused(self) -> bool:
        """True while the owner must not read: the handler has content to read first, or other requests wait."""
        receiving = self._receiving
        if receiving == WHOLE or receiving == UPGRADING or self._waits:
            return len(self._input) - self._position >= PIPELINED
        return self._is_behind()

    # -- output ------------------------------------------------------------------------------------------------

    def _took(self, size: int) -> None:
        self.octets_out += size
        self._out_size -= size
        if self._out_size == 0 and self._stalled_at != NEVER:
            self._stalled_at = NEVER
            self._idle_since = self._now
        if self._waiting and self._fits():
            self._waiting = False
            self._stalled_at = NEVER
            self._events.append(SendAccepted(self._stream_id))
            if self._end_queued:
                self._finish()

    # -- ends --------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """The response is written: the next request may begin, or the connection ends."""
        self._is_open = False
        self._progress = COMPLETE
        self._unread = 0
        self._small_unread = 0
        if self._closing or self._draining:
            reason = "drained" if self._draining else "the last response is sent"
            self._end(errors.NO_ERROR, "local", reason, "RFC 9112 §9.6")
            return
        if self._receiving == WHOLE:
            self._receiving = HEAD
            self._idle_since = self._stamp()
        else:
            self._discard()

    def _end(self, code: int, initiator: str, reason: str, section: str, cause: str = CLOSED) -> None:
        """End the connection: the one place that does. A request that is open ends with a StreamReset event."""
        if self.closed:
            return
        self.closed = True
        self.deadline = NEVER
        self._input = b""
        self._position = 0
        self._waits = False
        self._waiting = False
        if self._is_open:
            self._is_open = False
            self._cut()
            self._events.append(StreamReset(self._stream_id, code, initiator, reason, section, cause))
        self._events.append(ConnectionEnded(code, initiator, reason, section, cause))

    def _cut(self) -> None:
        """A response ends before its time. What is chunked or has a length cannot be taken for whole (RFC 9112 §8);
        what ends with the connection can, so that the connection must not end in an orderly way."""
        if self._progress == BEFORE or self._is_chunked or self._bodiless or self._is_tunnel:
            return
        if self._send_length < 0:
            self.aborted = True
            self._out = []
            self._out_size = 0

    def _discard(self) -> None:
        """The response is complete, the request is not; the reading half knows."""
        raise NotImplementedError

    # -- time --------------------------------------------------------------------------------------------------

    def _set_dates(self, now: float) -> None:
        """Date with `now` what began since the last input."""
        limits = self.limits
        if self._idle_since < 0:
            self._idle_since = now
        if self._head_since < 0:
            self._head_since = now
            self._at_latest(now + limits.request_header_timeout_s)
        if self._upload_at < 0:
            self._upload_at = now
        if self._discard_since < 0:
            self._discard_since = now
            self._at_latest(now + limits.request_header_timeout_s)
        if self._stalled_at < 0:
            self._stalled_at = now
