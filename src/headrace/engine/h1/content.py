"""The message that is open, and its content in both directions, which is the same for both roles (RFC 9112 §6, §7)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from headrace.engine import errors
from headrace.engine.causes import CLOSED
from headrace.engine.errors import LocalProtocolError
from headrace.engine.events import TrailersReceived
from headrace.engine.fields import check_outgoing
from headrace.engine.fixed_fields import fixed_fields
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.heads.response import write_trailers
from headrace.engine.h1.parse.chunked import ChunkedDecoder
from headrace.engine.h1.queue import OutputQueue
from headrace.engine.limits import CHUNKS_A_FRAME, Limits
from headrace.engine.message import octets_of
from headrace.engine.timed import NEVER

# What is read next. WHOLE and UPGRADING are a server's, IDLE and UNTIL_CLOSE a client's.
_UNDERSCORE: Final = 0x5F

HEAD: Final = 0
CONTENT: Final = 1  # of a known length
CHUNKS: Final = 2
WHOLE: Final = 3  # nothing: the request is whole, its response is not
UPGRADING: Final = 4  # nothing: an upgrade is asked for, and not answered
TUNNEL: Final = 5
IDLE: Final = 6  # nothing: no request is open
UNTIL_CLOSE: Final = 7  # content that ends with the connection

# Small pieces are charged as much at which reading stops, even where `small_data_budget` is more: HTTP/1.1 can wait,
# where HTTP/2 has to take what the windows allow.
_SMALL_PAUSE: Final = 65_536


class ContentConnection(OutputQueue):
    """One request is open at a time: what is known of it, its content as it comes and as it goes."""

    octets_in: int

    def __init__(self, limits: Limits, now: float) -> None:
        super().__init__(limits, now)
        # input
        self._input = b""
        self._position: int = 0
        self._receiving: int = HEAD
        self._turn: int = -1  # work left in this turn, in frames; -1: no limit
        self._whole_turn: int = -1
        self._turn_is_over = False
        self._recv_left: int = 0
        self._chunks: ChunkedDecoder | None = None
        self._discarding = False  # what comes of the message is not wanted any more
        self._unread: int = 0
        self._small_unread: int = 0
        # the request that is open, or was the last one
        self._stream_id: int = -1
        self._is_open = False
        self._end_queued = False
        self._is_head = False
        self._is_tunnel = False
        self._is_chunked = False
        self._bodiless = False
        self._upgrade_key = b""
        self._send_length: int = -1
        self._sent: int = 0
        self._draining = False
        # time
        self._idle_since = now
        self._head_since: float = NEVER
        self._stalled_at: float = NEVER
        self._stalled_mark: int = 0

    # -- what the owner asks about -----------------------------------------------------------------------------

    @property
    def open_streams(self) -> int:
        """1 while a request is open, else 0."""
        return 1 if self._is_open else 0

    @property
    def input_pending(self) -> bool:
        """True when reading stopped at `frames_per_turn`: call `receive_data` again, with b"", in a later turn."""
        return self._turn_is_over and not self.closed

    @property
    def read_paused(self) -> bool:
        """True while the owner must not read: there is content to be consumed first."""
        return self._is_behind()

    @property
    def needs_attention(self) -> bool:
        """True when, after `take_output`, there is an event, more output, the end, or a reason to stop reading."""
        return self.closed or len(self._events) > 0 or len(self._out) > 0 or self.read_paused or self.input_pending

    def _is_behind(self) -> bool:
        limits = self.limits
        small = limits.small_data_budget
        if small > _SMALL_PAUSE:
            small = _SMALL_PAUSE
        return self._unread >= limits.initial_stream_window or self._small_unread > small

    def has_stream(self, stream_id: int) -> bool:
        """Tell whether a request is open, so that verbs on it do not raise StreamClosedError."""
        return self._is_open and stream_id == self._stream_id

    def stats(self) -> dict[str, Any]:
        """Return a snapshot for people: requests and octets of this connection."""
        return {
            "protocol": "HTTP/1.1",
            "requests": self.requests,
            "open_streams": self.open_streams,
            "octets_in": self.octets_in,
            "octets_out": self.octets_out,
            "send_queued": self._out_size,
            "unread": self._unread,
        }

    # -- input -------------------------------------------------------------------------------------------------

    def _take_input(self, data: bytes) -> None:
        """Put `data` behind what is left of the input, and begin a turn."""
        self.octets_in += len(data)
        if not self._input:
            self._input = data
            self._position = 0
        elif data:
            self._input = self._input[self._position :] + data
            self._position = 0
        turns = self.turns
        turn = self.limits.frames_per_turn if turns is None else turns.frames
        self._turn = self._whole_turn = turn if turn > 0 else -1
        self._turn_is_over = False

    def _spend(self, work: int) -> None:
        """Take `work` from what is left of this turn, in frames."""
        turn = self._turn
        if turn > 0:
            self._turn = turn - work if turn > work else 0

    # -- content that comes ------------------------------------------------------------------------------------

    def _take_content(self) -> None:
        """Content of a known length (RFC 9112 §6.2)."""
        data = self._input
        start = self._position
        size = len(data) - start
        if size > self._recv_left:
            size = self._recv_left
        self._position = start + size
        self._recv_left -= size
        is_last = self._recv_left == 0
        self._take_in(data if size == len(data) else data[start : start + size], is_last)
        if is_last:
            self._content_ended()

    def _take_chunks(self) -> bool:
        """Chunked content (RFC 9112 §7.1); False when there is no whole line to go on with, or the turn is over."""
        chunks = self._chunks
        assert chunks is not None
        begin = self._position
        turn = self._turn
        chunks.turn = turn * CHUNKS_A_FRAME if turn > 0 else -1
        try:
            self._position = chunks.decode(self._input, begin)
            if turn > 0:
                self._turn = chunks.turn // CHUNKS_A_FRAME
        except MessageFault:
            content = chunks.take_content()
            if content:
                self._take_in(content, False)
            raise
        content = chunks.take_content()
        if not chunks.is_complete:
            if content:
                self._take_in(content, False)
            return self._position > begin and not self.closed
        self._chunks = None
        if chunks.trailers and not self._discarding:
            if content:
                self._take_in(content, False)
            trailers = chunks.trailers
            if self.drop_underscore_fields:
                trailers = [pair for pair in trailers if _UNDERSCORE not in pair[0]]
            self._events.append(TrailersReceived(self._stream_id, trailers))
        else:
            self._take_in(content, True)
        self._content_ended()
        return True

    def _take_rest(self) -> None:
        """Whatever is there: the octets of a tunnel, or content without a length."""
        data = self._input
        content = data if self._position == 0 else data[self._position :]
        self._position = len(data)
        self._take_in(content, False)

    def _take_in(self, content: bytes, is_last: bool) -> None:
        """Hand content to the owner; each role knows how."""
        raise NotImplementedError

    def _content_ended(self) -> None:
        """The last of it has come; each role knows what follows."""
        raise NotImplementedError

    def acknowledge_data(self, stream_id: int, count: int) -> None:
        """The application consumed `count` octets (of DataReceived.flow_length): more may be read.

        A no-op on a request that is over. Raises LocalProtocolError for more octets than are unread.
        """
        if not self._is_open or stream_id != self._stream_id:
            return
        if count > self._unread or count < 0:
            raise LocalProtocolError(f"stream {stream_id}: {count} octets consumed of {self._unread} unread")
        self._unread -= count
        if self._unread == 0:
            self._small_unread = 0

    # -- content that goes -------------------------------------------------------------------------------------

    def _check_sending(self, stream_id: int) -> None:
        """Raise where no content can be sent; each role knows its reasons."""
        raise NotImplementedError

    def _check_length(self, stream_id: int, size: int, end_stream: bool) -> None:
        declared = self._send_length
        if declared < 0 or self._bodiless:
            return
        sent = self._sent + size
        if sent > declared:
            raise LocalProtocolError(f"stream {stream_id}: {sent} octets for a content-length of {declared}")
        if end_stream and sent < declared:
            self.reset_stream(stream_id, errors.INTERNAL_ERROR)
            raise LocalProtocolError(f"stream {stream_id}: {sent} octets for a content-length of {declared}: reset")

    def send_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> bool:
        """Send a piece of content, and with `end_stream` the end of the message.

        Returns True when it is accepted: what waits to be written is within `max_stream_send_buffer`. After False wait
        for SendAccepted before sending more; a client does not get it when the response is complete before.

        Raises StreamClosedError when the request is gone, LocalProtocolError when the message's head is not sent yet,
        has ended, or when the octets do not match its content-length: too many are refused, too few end the connection,
        so that no peer takes a short message for a whole one.
        """
        self._check_sending(stream_id)
        size = octets_of(data)
        if self._bodiless:
            size = 0
        else:
            self._check_length(stream_id, size, end_stream)
        out = self._out
        if self._is_chunked:
            if size:
                start = b"%x\r\n" % size
                out.append(start)
                out.append(data)
                ending = b"\r\n0\r\n\r\n" if end_stream else b"\r\n"
                out.append(ending)
                self._out_size += len(start) + size + len(ending)
            elif end_stream:
                self._write(b"0\r\n\r\n")
        elif size:
            out.append(data)
            self._out_size += size
        self._sent += size
        self._end_queued = end_stream
        return self._accepted()

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
        self._check_sending(stream_id)
        if self._is_tunnel:
            raise LocalProtocolError(f"stream {stream_id}: a tunnel has no trailers")
        checked, _ = check_outgoing(fixed_fields(headers), self._drops)
        self._check_length(stream_id, 0, True)
        if self._is_chunked:
            self._write(write_trailers(checked))
        self._end_queued = True
        return self._accepted()

    def _accepted(self) -> bool:
        """Tell whether what was sent counts as accepted, and finish the message when it was the last; if not, owe it a
        SendAccepted."""
        if not self._fits():
            if not self._waiting:
                self._waiting = True
                self._stalled_at = self._stamp()
                self._stalled_mark = self.octets_out
                self._at_latest(self._now + self.limits.stalled_send_timeout_s)
            return False
        if self._end_queued:
            self._finish()
        return True

    def _finish(self) -> None:
        """Our message is accepted to its end; each role knows what follows."""
        raise NotImplementedError

    # -- ends --------------------------------------------------------------------------------------------------

    @abstractmethod
    def reset_stream(self, stream_id: int, code: int) -> None:
        """End a request before its time; each role has its own way."""

    def close(self, code: int = errors.NO_ERROR, reason: str = "") -> None:
        """End the connection now. Idempotent. A request that is open ends with a StreamReset event."""
        self._end(code, "local", reason or errors.error_name(code), "RFC 9112 §9.6")

    def _end(self, code: int, initiator: str, reason: str, section: str, cause: str = CLOSED) -> None:
        """End the connection: the one place that does; each role has its own."""
        raise NotImplementedError
