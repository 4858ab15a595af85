"""Everything that is written: heads, DATA within the peer's windows, trailers, resets; fair among streams.

The output is a list of octets that `take_output` joins, so that all answers of one read batch leave in one transport
write. A body goes straight into it when windows and write buffer have room and nobody else is waiting; else it stands
in its stream's queue and leaves by the scheduler's turns, frame by frame, while `take_output` has room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.engine import errors
from headrace.engine.errors import (
    ConnectionFault,
    InvalidFieldError,
    LocalProtocolError,
    StreamClosedError,
    error_name,
)
from headrace.engine.events import ConnectionEnded, Event, PeerFault, SendAccepted, StreamReset
from headrace.engine.fields import check_outgoing
from headrace.engine.h2 import frames
from headrace.engine.h2.scheduler import Scheduler
from headrace.engine.h2.settings import Settings
from headrace.engine.h2.states import (
    CLOSED,
    CLOSED_BY_PEER,
    CLOSED_BY_US,
    HALF_CLOSED_LOCAL,
    HALF_CLOSED_REMOTE,
)
from headrace.engine.h2.stream import Stream
from headrace.engine.hpack.encoder import Encoder
from headrace.engine.limits import DEFAULT_WINDOW, Limits

PREFACE: Final = 0  # waiting for the client's 24 octets
SETTINGS: Final = 1  # waiting for the peer's first SETTINGS
OPEN: Final = 2
DRAINING: Final = 3
ENDED: Final = 4

NEVER: Final = float("inf")

# Octets written and not taken at which DATA goes to the stream's queue instead, where a write can block its worker.
OUTPUT_HIGH: Final = 65_536
_LARGEST_DATA: Final = 65_536  # a larger frame would make siblings wait, whatever the peer allows
_REMEMBERED_HEADS: Final = 128
_REMEMBERED_CLOSED: Final = 1_024


class EncodedHead:
    """A response's HEADERS frame without its stream identifier; valid while the HPACK encoder does not change."""

    def __init__(self, block: bytes, content_length: int) -> None:
        self.block = block
        self.content_length = content_length
        self.prefix = frames.write_prefix(len(block), frames.HEADERS, frames.END_HEADERS)
        self.last_prefix = frames.write_prefix(len(block), frames.HEADERS, frames.END_HEADERS | frames.END_STREAM)
        self.size = len(block) + frames.HEADER_SIZE


class Sender:
    """The writing half of a connection, and the state that both halves share."""

    def __init__(self, limits: Limits, is_server: bool, now: float) -> None:
        self.limits = limits
        self.is_server = is_server
        self.phase: int = PREFACE if is_server else SETTINGS
        self.closed = False
        self.peer = Settings()
        self.send_window: int = DEFAULT_WINDOW
        self.default_fields: tuple[tuple[bytes, bytes], ...] = ()
        self.drop_connection_fields = False
        self.deadline: float = NEVER
        self.frames_in: int = 0
        self.frames_out: int = 0
        self.streams_opened: int = 0
        self._now = now
        self._now_is_fresh = True
        self._undated = False
        self._streams: dict[int, Stream] = {}
        self._closed_streams: dict[int, int] | None = None
        self._last_peer_id: int = 0
        self._events: list[Event] = []
        self._out: list[bytes] = []
        self._out_size: int = 0
        self._control_queued: int = 0
        self._encoder = Encoder()
        self._heads: dict[int, dict[object, EncodedHead]] | None = None
        self._heads_count: int = 0
        self._heads_generation: int = 0
        self._scheduler = Scheduler()
        self._queued: int = 0
        self._waiting: list[Stream] | None = None
        self._unread: int = 0
        self._small_unread: int = 0
        self._idle_since = now
        self._free_updates: int = 100
        self._end_when_empty = False

    # -- what the owner asks about -----------------------------------------------------------------------------

    @property
    def open_streams(self) -> int:
        """Streams that count against the concurrency limit (RFC 9113 §5.1.2)."""
        return len(self._streams)

    @property
    def output_pending(self) -> bool:
        """True when `take_output` would return octets now."""
        return len(self._out) > 0 or (self._scheduler.count > 0 and self.send_window > 0)

    @property
    def read_paused(self) -> bool:
        """True while the owner must not read: our control frames pile up (limit `control_queue_pause`)."""
        return self._control_queued > self.limits.control_queue_pause

    @property
    def events_pending(self) -> bool:
        """True when `take_events` has something."""
        return len(self._events) > 0

    def has_stream(self, stream_id: int) -> bool:
        """Tell whether a stream is open or half-closed."""
        return stream_id in self._streams

    def take_events(self) -> list[Event]:
        """Return and forget the events that arose outside `receive_data`, such as SendAccepted after `take_output`."""
        events = self._events
        if events:
            self._events = []
        return events

    # -- output ------------------------------------------------------------------------------------------------

    def take_output(self, limit: int = 262_144, now: float = -1.0) -> bytes:
        """Return what is to be written now, about `limit` octets of DATA at most; b"" when there is nothing.

        Call it while `output_pending`, but not while the transport refuses more: what stays here is what makes workers
        wait. Look at `take_events` afterwards: queued sends may have been accepted.

        `now`, where the owner has it, dates what was sent since the last input: idle time and stalls count from there.
        Without it they count from the next deadline on.
        """
        if self._undated and now >= 0:
            self._set_dates(now)
        if self._scheduler.count > 0:
            self._pump(limit)
        out = self._out
        if not out:
            return b""
        self._out = []
        self._out_size = 0
        self._control_queued = 0
        return out[0] if len(out) == 1 else b"".join(out)

    def _write_control(self, frame: bytes) -> None:
        self._out.append(frame)
        self._out_size += len(frame)
        self.frames_out += 1
        self._control_queued += 1

    def _pump(self, limit: int) -> None:
        """Write DATA of the streams that are ready, turn by turn, within windows and `limit`."""
        scheduler = self._scheduler
        out = self._out
        frame_size = min(self.peer.max_frame_size, _LARGEST_DATA)
        while self._out_size < limit and self.send_window > 0:
            stream = scheduler.next()
            if stream is None:
                break
            size = self.peer.initial_window_size + stream.send_credit
            if size <= 0:
                scheduler.remove(stream)  # comes back with its WINDOW_UPDATE
                continue
            if size > self.send_window:
                size = self.send_window
            if size > frame_size:
                size = frame_size
            if size > stream.queued:
                size = stream.queued
            ends = size == stream.queued and stream.end_queued and stream.trailers is None
            out.append(frames.data_prefix(size, ends))
            out.append(stream.id_octets)
            self._take_queued(stream, size)
            self._out_size += size + frames.HEADER_SIZE
            self.frames_out += 1
            if stream.queued == 0:
                scheduler.remove(stream)
                if stream.trailers is not None:
                    self._write_trailers(stream)
                elif ends:
                    self._finish(stream)
        if self._waiting is not None:
            self._accept_waiting()

    def _take_queued(self, stream: Stream, size: int) -> None:
        """Move `size` octets of a stream's queue to the output and charge the windows."""
        queue = stream.queue
        assert queue is not None
        left = size
        while left > 0:
            chunk = queue[0]
            offset = stream.queue_offset
            room = len(chunk) - offset
            if room <= left:
                self._out.append(chunk if offset == 0 else chunk[offset:])
                left -= room
                del queue[0]
                stream.queue_offset = 0
            else:
                self._out.append(chunk[offset : offset + left])
                stream.queue_offset = offset + left
                left = 0
        stream.queued -= size
        stream.written += size
        stream.send_credit -= size
        self._queued -= size
        self.send_window -= size
        self._free_updates += 2

    def _enqueue(self, stream: Stream, data: bytes) -> None:
        if stream.queue is None:
            stream.queue = [data]
        else:
            stream.queue.append(data)
        if stream.queued == 0:
            stream.stalled_at = self._stamp()
            stream.stalled_mark = stream.written
            self._at_latest(self._now + self.limits.stalled_send_timeout_s)
        stream.queued += len(data)
        self._queued += len(data)
        if self.peer.initial_window_size + stream.send_credit > 0:
            self._scheduler.add(stream)

    def _accepted(self, stream: Stream) -> bool:
        """Tell whether what a stream has queued counts as accepted; if not, owe it a SendAccepted."""
        limits = self.limits
        if stream.queued <= limits.max_stream_send_buffer and self._queued <= limits.max_connection_send_buffer:
            return True
        if not stream.waiting:
            stream.waiting = True
            if self._waiting is None:
                self._waiting = [stream]
            else:
                self._waiting.append(stream)
        return False

    def _accept_waiting(self) -> None:
        waiting = self._waiting
        if waiting is None:
            return
        limits = self.limits
        still: list[Stream] = []
        for stream in waiting:
            if not stream.waiting:
                continue
            if stream.queued == 0 or (
                stream.queued <= limits.max_stream_send_buffer and self._queued <= limits.max_connection_send_buffer
            ):
                stream.waiting = False
                self._events.append(SendAccepted(stream.stream_id))
            else:
                still.append(stream)
        self._waiting = still if still else None

    # -- heads -------------------------------------------------------------------------------------------------

    def _head(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> EncodedHead:
        """Return a response's head, remembered where possible."""
        if self._heads_generation != self._encoder.generation or self._heads is None:
            self._heads = {}
            self._heads_count = 0
            self._heads_generation = self._encoder.generation
        by_status = self._heads.get(status)
        if by_status is None:
            by_status = {}
            self._heads[status] = by_status
        key: object = headers if isinstance(headers, tuple) else tuple(headers)
        try:
            head = by_status.get(key)
        except TypeError:  # pairs as lists: legal in ASGI, but not hashable
            key = tuple([tuple(pair) for pair in headers])
            head = by_status.get(key)
        if head is None:
            head = self._new_head(status, headers)
            if self._heads_generation == self._encoder.generation:
                if self._heads_count >= _REMEMBERED_HEADS:
                    self._heads = {}
                    self._heads_count = 0
                else:
                    by_status[key] = head
                    self._heads_count += 1
        return head

    def _new_head(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> EncodedHead:
        if status < 100 or status > 999:
            raise InvalidFieldError(f"status {status} is not a number of three digits (RFC 9110 §15)")
        checked, length = check_outgoing(headers, self.drop_connection_fields)
        if status < 200 or status == 204:  # RFC 9110 §8.6: no content-length there
            checked = [pair for pair in checked if pair[0] != b"content-length"]
            length = -1
        fields = [(b":status", str(status).encode())]
        fields.extend(checked)
        if self.default_fields and status >= 200:
            names = {pair[0] for pair in checked}
            for pair in self.default_fields:
                if pair[0] not in names:
                    fields.append(pair)
        return EncodedHead(self._encoder.encode(fields), length)

    def set_default_fields(self, default_fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Set fields that every final response gets unless the application names them, such as `date` and `server`."""
        self.default_fields = default_fields
        self._heads = None

    def _write_head(self, stream: Stream, head: EncodedHead, end_stream: bool) -> None:
        if len(head.block) <= self.peer.max_frame_size:
            self._out.append(head.last_prefix if end_stream else head.prefix)
            self._out.append(stream.id_octets)
            self._out.append(head.block)
            self._out_size += head.size
        else:
            block = frames.write_field_block(head.block, stream.id_octets, end_stream, self.peer.max_frame_size)
            self._out.append(block)
            self._out_size += len(block)
        self.frames_out += 1

    def _write_trailers(self, stream: Stream) -> None:
        trailers = stream.trailers
        stream.trailers = None
        if trailers is not None:
            block = self._encoder.encode(trailers)
            frame = frames.write_field_block(block, stream.id_octets, True, self.peer.max_frame_size)
            self._out.append(frame)
            self._out_size += len(frame)
            self.frames_out += 1
            self._finish(stream)

    # -- the verbs that both roles have ------------------------------------------------------------------------

    def _stream(self, stream_id: int) -> Stream:
        stream = self._streams.get(stream_id)
        if stream is None:
            raise StreamClosedError(stream_id, self._why_closed(stream_id))
        return stream

    def _why_closed(self, stream_id: int) -> str:
        if self.closed:
            return "the connection has ended"
        cause = CLOSED if self._closed_streams is None else self._closed_streams.get(stream_id, CLOSED)
        if cause == CLOSED_BY_PEER:
            return "the peer reset it"
        return "it was reset" if cause == CLOSED_BY_US else "it has ended"

    def send_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> bool:
        """Send a piece of content, and with `end_stream` the end of the message.

        Returns True when it is accepted: written, or waiting within the limits `max_stream_send_buffer` and
        `max_connection_send_buffer`. After False wait for SendAccepted before sending more: one pending write a stream.

        Raises StreamClosedError when the stream is gone, LocalProtocolError when the message's head is not sent yet,
        has ended, or when the octets do not match its content-length: too many are refused, too few reset the stream
        with INTERNAL_ERROR, so that no peer takes a short message for a whole one.
        """
        stream = self._stream(stream_id)
        self._check_sending(stream)
        size = len(data)
        if stream.bodiless:
            size = 0
        else:
            self._check_length(stream, size, end_stream)
        if size == 0:
            if not end_stream:
                return True
            stream.end_queued = True
            if stream.queued == 0:
                self._write_end(stream)
                return True
            return self._accepted(stream)
        window = self.peer.initial_window_size + stream.send_credit
        if (
            stream.queued == 0
            and size <= window
            and size <= self.send_window
            and size <= self.peer.max_frame_size
            and self._scheduler.count == 0
            and self._out_size < OUTPUT_HIGH
        ):
            out = self._out
            out.append(frames.data_prefix(size, end_stream))
            out.append(stream.id_octets)
            out.append(data)
            self._out_size += size + frames.HEADER_SIZE
            self.frames_out += 1
            stream.send_credit -= size
            stream.written += size
            self.send_window -= size
            self._free_updates += 2
            if end_stream:
                stream.end_queued = True
                self._finish(stream)
            return True
        stream.end_queued = end_stream
        self._enqueue(stream, data)
        return self._accepted(stream)

    def send_trailers(self, stream_id: int, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Send the trailer section, which ends the message (RFC 9113 §8.1). Returns and raises as `send_data` does.

        Raises InvalidFieldError for a field that must not be sent. Where the response has no content (HEAD, 204, 304)
        the trailers are left out with it.
        """
        stream = self._stream(stream_id)
        self._check_sending(stream)
        checked, _ = check_outgoing(headers, self.drop_connection_fields)
        self._check_length(stream, 0, True)
        stream.end_queued = True
        if not checked or stream.bodiless:
            if stream.queued == 0:
                self._write_end(stream)
                return True
            return self._accepted(stream)
        stream.trailers = checked
        if stream.queued == 0:
            self._write_trailers(stream)
            return True
        return self._accepted(stream)

    def _check_sending(self, stream: Stream) -> None:
        if not stream.headers_sent:
            raise LocalProtocolError(f"stream {stream.stream_id}: send the headers before the content")
        if stream.end_queued or not stream.we_are_open():
            raise LocalProtocolError(f"stream {stream.stream_id}: the message has ended already")

    def _check_length(self, stream: Stream, size: int, end_stream: bool) -> None:
        stream.sent += size
        declared = stream.send_length
        if declared < 0 or stream.bodiless:
            return
        if stream.sent > declared:
            stream.sent -= size
            raise LocalProtocolError(
                f"stream {stream.stream_id}: {stream.sent + size} octets for a content-length of {declared}"
            )
        if end_stream and stream.sent < declared:
            self.reset_stream(stream.stream_id, errors.INTERNAL_ERROR)
            raise LocalProtocolError(
                f"stream {stream.stream_id}: {stream.sent} octets for a content-length of {declared}: reset"
            )

    def _write_end(self, stream: Stream) -> None:
        """End with an empty DATA frame, which a window of 0 does not hold back (RFC 9113 §6.9.1)."""
        self._out.append(frames.data_prefix(0, True))
        self._out.append(stream.id_octets)
        self._out_size += frames.HEADER_SIZE
        self.frames_out += 1
        self._finish(stream)

    def reset_stream(self, stream_id: int, code: int) -> None:
        """Send RST_STREAM and forget what the stream had queued; no event follows. A no-op when the stream is gone."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._drop(stream, CLOSED_BY_US)
            self._write_control(frames.write_rst_stream(stream_id, code))

    # -- ends of streams ---------------------------------------------------------------------------------------

    def _finish(self, stream: Stream) -> None:
        """END_STREAM is written: the slot is free if the peer has ended too."""
        if stream.waiting:
            stream.waiting = False
            self._events.append(SendAccepted(stream.stream_id))
        if stream.state == HALF_CLOSED_REMOTE:
            self._drop(stream, CLOSED)
        elif self.is_server:
            # An early final response: what is still under way of the request is not wanted (RFC 9113 §8.1).
            self._drop(stream, CLOSED_BY_US)
            self._write_control(frames.write_rst_stream(stream.stream_id, errors.NO_ERROR))
        else:
            stream.state = HALF_CLOSED_LOCAL

    def _drop(self, stream: Stream, state: int) -> None:
        """Forget a stream. What its application has not consumed goes back to the connection's account, once."""
        stream_id = stream.stream_id
        del self._streams[stream_id]
        stream.state = state
        if stream.queue is not None:
            self._scheduler.remove(stream)
            self._queued -= stream.queued
            stream.queued = 0
            stream.queue = None
            stream.waiting = False
        if stream.unread:
            self._unread -= stream.unread
            stream.unread = 0
            self._small_unread -= stream.small_charge
            stream.small_charge = 0
            if not self.closed:
                self._credit_connection()
        if state != CLOSED:
            self._remember_closed(stream_id, state)
        if not self._streams:
            self._idle_since = self._stamp()
            if self._end_when_empty:
                self._end(errors.NO_ERROR, "local", "drained", "")

    def _remember_closed(self, stream_id: int, state: int) -> None:
        closed = self._closed_streams
        if closed is None:
            closed = {}
            self._closed_streams = closed
        elif len(closed) >= _REMEMBERED_CLOSED:
            del closed[next(iter(closed))]  # the oldest
        closed[stream_id] = state

    # -- end of the connection ---------------------------------------------------------------------------------

    def close(self, code: int = errors.NO_ERROR, reason: str = "") -> None:
        """End the connection now with GOAWAY that carries the true last stream id (RFC 9113 §6.8). Idempotent.

        Open streams end with a StreamReset event each; the owner flushes `take_output` and closes the transport.
        """
        if self.closed:
            return
        self._out.append(frames.write_goaway(self._last_peer_id, code, reason.encode("ascii", "replace")[:256]))
        self.frames_out += 1
        self._end(code, "local", reason or error_name(code), "RFC 9113 §6.8")

    def _end(self, code: int, initiator: str, reason: str, section: str) -> None:
        """Move to ENDED: the one place that does."""
        if self.closed:
            return
        self.closed = True
        self.phase = ENDED
        self.deadline = NEVER
        for stream_id in list(self._streams):
            self._drop(self._streams[stream_id], CLOSED_BY_US)
            self._events.append(StreamReset(stream_id, code, initiator, reason, section))
        self._events.append(ConnectionEnded(code, initiator, reason, section))

    def _fail(self, fault: ConnectionFault) -> None:
        """A connection error: GOAWAY with the last stream id and the code, then the end (RFC 9113 §5.4.1)."""
        if self.closed:
            return
        self._events.append(PeerFault(fault.code, "connection", 0, fault.reason, fault.section, fault.budget))
        debug = fault.budget or fault.reason
        self._out.append(frames.write_goaway(self._last_peer_id, fault.code, debug.encode("ascii", "replace")))
        self.frames_out += 1
        self._end(fault.code, "local", fault.reason, fault.section)

    def _credit_connection(self) -> None:
        """Give connection credit back where there is enough to be worth a frame; the reading half knows."""
        raise NotImplementedError

    def _stamp(self) -> float:
        """Return the time, or -1 when it is not known: a worker that sends between two inputs brings no clock."""
        if self._now_is_fresh:
            return self._now
        self._undated = True
        return -1.0

    def _set_dates(self, now: float) -> None:
        """Date with `now` what began since the last input."""
        self._undated = False
        if self._idle_since < 0:
            self._idle_since = now
        for stream in self._streams.values():
            if stream.stalled_at < 0:
                stream.stalled_at = now
            if stream.upload_at < 0:
                stream.upload_at = now

    def _at_latest(self, when: float) -> None:
        if when < self.deadline:
            self.deadline = when

    def stats(self) -> dict[str, Any]:
        """Return a snapshot for people: frames, streams and windows of this connection."""
        return {
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            "streams_opened": self.streams_opened,
            "open_streams": len(self._streams),
            "send_window": self.send_window,
            "send_queued": self._queued,
            "unread": self._unread,
            "peer_initial_window": self.peer.initial_window_size,
            "peer_max_frame_size": self.peer.max_frame_size,
        }
