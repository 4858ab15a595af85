"""What goes out, and what both halves of a connection share: streams, windows, the queue of frames to write.

The output is a list of octets that `take_output` joins, so that all answers of one read batch leave in one write. A
body that did not fit the windows or the write buffer stands in its stream's queue and leaves by the scheduler's turns,
frame by frame, while `take_output` has room.
"""

from __future__ import annotations

from typing import Any, Final

from headrace.engine import causes, errors
from headrace.engine.errors import (
    ConnectionFault,
    error_name,
)
from headrace.engine.events import ConnectionEnded, PeerFault, SendAccepted, StreamReset
from headrace.engine.h2 import frames
from headrace.engine.h2.heads.response import Heads
from headrace.engine.h2.scheduler import Scheduler
from headrace.engine.h2.settings import Settings
from headrace.engine.h2.states import (
    CLOSED,
    CLOSED_BY_US,
    HALF_CLOSED_LOCAL,
    HALF_CLOSED_REMOTE,
)
from headrace.engine.h2.stream import Stream
from headrace.engine.limits import DEFAULT_WINDOW, Limits
from headrace.engine.timed import NEVER, TimedEngine

PREFACE: Final = 0  # waiting for the client's 24 octets
SETTINGS: Final = 1  # waiting for the peer's first SETTINGS
OPEN: Final = 2
DRAINING: Final = 3
ENDED: Final = 4


# Octets written and not taken at which DATA goes to the stream's queue instead, where a write can block its worker.
OUTPUT_HIGH: Final = 65_536
# Small frames that may be under way on a stream that we end before its peer has: messages of a call, its own reset.
FRAMES_UNDER_WAY: Final = 256
# WINDOW_UPDATEs that a DATA frame pays for, and one more for every so many octets: two a frame are usual; HAProxy sends
# two for each piece that it reads, and reads small ones while its own server is slow.
UPDATES_A_FRAME: Final = 4
OCTETS_AN_UPDATE: Final = 256
_LARGEST_DATA: Final = 65_536  # a larger frame would make siblings wait, whatever the peer allows
_CHUNK: Final = 256
_REMEMBERED_CLOSED: Final = 1_024


class Output(TimedEngine):
    """The shared state of a connection, and its output."""

    def __init__(self, limits: Limits, is_server: bool, now: float) -> None:
        super().__init__(now)
        self.limits = limits
        self.is_server = is_server
        self.phase: int = PREFACE if is_server else SETTINGS
        self.peer: Settings = Settings()
        self.send_window: int = DEFAULT_WINDOW
        self.frames_in: int = 0
        self.frames_out: int = 0
        self.streams_opened: int = 0
        self._streams: dict[int, Stream] = {}
        self._closed_streams: dict[int, int] | None = None
        self._last_peer_id: int = 0
        self._out: list[Any] = []  # bytes, and views of large bodies
        self._out_size: int = 0
        self._control_queued: int = 0
        self._heads = Heads()
        self._scheduler = Scheduler()
        self._queued: int = 0
        self._held: int = 0  # of that, octets in pieces whose writers wait: theirs, until there is room
        self._is_short = False  # a piece waits for room in the connection's buffer, and others wait behind it
        self._waiting: list[Stream] | None = None
        self._unread: int = 0
        self._fields_size: int = 0
        self._late_data: int = 0  # octets of DATA that may still come on streams that we have reset
        self._idle_since = now
        self._free_frames: int = 100  # that the peer may send beside its work, and pay for with it; see `_spend_free`
        self._unanswered: int = 0  # streams that ended without a whole response
        self._free_crumbs: int = 0
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
    def needs_attention(self) -> bool:
        """True when, after `take_output`, there is an event, more output, the end, or a reason to stop reading."""
        return self.closed or len(self._events) > 0 or self.output_pending or self.read_paused

    @property
    def bodies_queued(self) -> bool:
        """True when streams have content that waits for its turn: `take_buffers` is then the cheaper way out."""
        return self._scheduler.count > 0

    @property
    def events_pending(self) -> bool:
        """True when `take_events` has something."""
        return len(self._events) > 0

    def has_stream(self, stream_id: int) -> bool:
        """Tell whether a stream is open or half-closed, so that verbs on it do not raise StreamClosedError."""
        return stream_id in self._streams

    # -- output ------------------------------------------------------------------------------------------------

    def take_output(self, limit: int = 262_144, now: float = -1.0) -> bytes:
        """Return what is to be written now, about `limit` octets of DATA at most; b"" when there is nothing.

        Call it while `output_pending`, but not while the transport refuses more: what stays here is what makes workers
        wait. Look at `take_events` afterwards: queued sends may have been accepted.

        `now`, where the owner has it, dates what was sent since the last input: idle time and stalls count from there.
        Without it they count from the next deadline on.
        """
        if self._learns(now):
            self._set_dates(now)
        if self._scheduler.count > 0:
            self._pump(limit)
        out = self._out
        if not out:
            return b""
        self._out = []
        self._out_size = 0
        self._control_queued = 0
        return b"".join(out)

    def take_buffers(self, limit: int = 262_144, now: float = -1.0) -> list[Any]:
        """Return what `take_output` would as a list of bytes and memoryviews, for a vectored write (`writelines`).

        What is small is joined; DATA from queued bodies is not copied: at 1 MiB a response, joining cost as much again
        as all else together, most of it page faults of the kernel.
        """
        if self._scheduler.count == 0:
            output = self.take_output(limit, now)
            return [output] if output else []
        if self._learns(now):
            self._set_dates(now)
        small = len(self._out)
        self._pump(limit)
        out = self._out
        self._out = []
        self._out_size = 0
        self._control_queued = 0
        if small > 1:
            out[:small] = [b"".join(out[:small])]
        return out

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
            out.append(frames.data_prefix(size, ends) + stream.id_octets)
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
                self._out.append(chunk if offset == 0 else memoryview(chunk)[offset:])
                left -= room
                del queue[0]
                stream.queue_offset = 0
            else:
                self._out.append(memoryview(chunk)[offset : offset + left])
                stream.queue_offset = offset + left
                left = 0
        stream.queued -= size
        stream.written += size
        stream.send_credit -= size
        self._queued -= size
        if stream.held > stream.queued:
            self._held -= stream.held - stream.queued
            stream.held = stream.queued
        self.send_window -= size
        self._free_frames += UPDATES_A_FRAME + size // OCTETS_AN_UPDATE

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

    def _accepted(self, stream: Stream, size: int) -> bool:
        """Tell whether what a stream has queued counts as accepted; if not, owe it a SendAccepted. `size` is that of
        the piece which came last: as long as its writer waits, it is the writer's, and takes no room from others."""
        fits = self._fits(stream)
        if fits and not (size and self._is_short) and self._leaves_room(0):
            return True
        if fits:
            self._is_short = True
        stream.held += size
        self._held += size
        if not stream.waiting:
            stream.waiting = True
            if self._waiting is None:
                self._waiting = [stream]
            else:
                self._waiting.append(stream)
        return False

    def _fits(self, stream: Stream) -> bool:
        """Tell whether what waits on a stream is within its limit; a chunk counts for `_CHUNK` octets more than it has,
        so that a million tiny ones do not cost a hundred megabytes of objects."""
        queue = stream.queue
        size = stream.queued if queue is None else stream.queued + (len(queue) - 1) * _CHUNK
        return size <= self.limits.max_stream_send_buffer

    def _leaves_room(self, size: int) -> bool:
        """Tell whether what is accepted of all streams, and `size` octets more, is within the connection's limit."""
        return self._queued - self._held + size <= self.limits.max_connection_send_buffer

    def _accept_waiting(self) -> None:
        """Accept what there is room for, first come first served: nobody takes room before somebody who waits for it.
        Only a stream whose queue is empty needs none, so that one with a window goes on beside a hundred without."""
        waiting = self._waiting
        if waiting is None:
            return
        is_short = False
        still: list[Stream] = []
        for stream in waiting:
            if not stream.waiting:
                continue
            if stream.queued > 0:
                fits = self._fits(stream)
                if is_short or not fits or not self._leaves_room(stream.held):
                    is_short = is_short or fits
                    still.append(stream)
                    continue
            self._release(stream)
            self._events.append(SendAccepted(stream.stream_id))
        self._waiting = still if still else None
        self._is_short = is_short

    def _release(self, stream: Stream) -> None:
        """A stream's writer waits no longer."""
        stream.waiting = False
        self._held -= stream.held
        stream.held = 0

    def _write_trailers(self, stream: Stream) -> None:
        trailers = stream.trailers
        stream.trailers = None
        if trailers is not None:
            block = self._heads.encoder.encode(trailers, stream.never_indexed)
            frame = frames.write_field_block(block, stream.id_octets, True, self.peer.max_frame_size)
            self._out.append(frame)
            self._out_size += len(frame)
            self.frames_out += 1
            self._finish(stream)

    # -- ends of streams ---------------------------------------------------------------------------------------

    def _finish(self, stream: Stream) -> None:
        """END_STREAM is written: the slot is free if the peer has ended too."""
        if stream.waiting:
            self._release(stream)
            self._events.append(SendAccepted(stream.stream_id))
        if stream.state == HALF_CLOSED_REMOTE:
            self._drop(stream, CLOSED)
        elif self.is_server:
            # An early final response: what is still under way of the request is not wanted (RFC 9113 §8.1).
            self._drop(stream, CLOSED_BY_US)
            self._unanswered -= 1
            self._free_frames += FRAMES_UNDER_WAY
            self._write_control(frames.write_rst_stream(stream.stream_id, errors.NO_ERROR))
        else:
            stream.state = HALF_CLOSED_LOCAL

    def _drop(self, stream: Stream, state: int) -> None:
        """Forget a stream. What its application has not consumed goes back to the connection's account, once."""
        stream_id = stream.stream_id
        del self._streams[stream_id]
        self._fields_size -= stream.fields_size
        stream.state = state
        if stream.queue is not None:
            self._scheduler.remove(stream)
            self._queued -= stream.queued
            stream.queued = 0
            stream.queue = None
            self._release(stream)
            if self._waiting is not None and not self.closed:
                self._accept_waiting()  # no window has to open for those whom this one kept waiting
        if stream.unread:
            self._unread -= stream.unread
            stream.unread = 0
            if not self.closed:
                self._credit_connection()
        if state != CLOSED:
            self._unanswered += 1
            self._remember_closed(stream_id, state)
            if state == CLOSED_BY_US:
                self._expect_late_data(stream.recv_used)
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

    def _expect_late_data(self, used: int) -> None:
        """A stream was reset, of whose window the peer had used so much: the rest may be under way, and no more."""
        left = max(self.limits.initial_stream_window, DEFAULT_WINDOW) - used
        if left > 0:
            self._late_data += left

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

    def _end(self, code: int, initiator: str, reason: str, section: str, cause: str = causes.CLOSED) -> None:
        """Move to ENDED: the one place that does."""
        if self.closed:
            return
        self.closed = True
        self.phase = ENDED
        self.deadline = NEVER
        for stream_id in list(self._streams):
            self._drop(self._streams[stream_id], CLOSED_BY_US)
            self._events.append(StreamReset(stream_id, code, initiator, reason, section, cause))
        self._events.append(ConnectionEnded(code, initiator, reason, section, cause))

    def _fail(self, fault: ConnectionFault) -> None:
        """A connection error: GOAWAY with the last stream id and the code, then the end (RFC 9113 §5.4.1)."""
        if self.closed:
            return
        self._events.append(PeerFault(fault.code, "connection", 0, fault.reason, fault.section, fault.budget))
        debug = fault.budget or fault.reason
        self._out.append(frames.write_goaway(self._last_peer_id, fault.code, debug.encode("ascii", "replace")))
        self.frames_out += 1
        self._end(fault.code, "local", fault.reason, fault.section, fault.cause)

    def _has_room(self, stream: Stream) -> bool:
        """Tell whether the peer may send content on this stream now."""
        raise NotImplementedError

    def _credit_connection(self) -> None:
        """Give connection credit back where there is enough to be worth a frame; the reading half knows."""
        raise NotImplementedError

    def _receive_window(self) -> int:
        """Return the octets that the peer may send on the connection now; the reading half knows."""
        raise NotImplementedError

    def _set_dates(self, now: float) -> None:
        """Date with `now` what began since the last input."""
        if self._idle_since < 0:
            self._idle_since = now
        for stream in self._streams.values():
            if stream.stalled_at < 0:
                stream.stalled_at = now
            if stream.upload_at < 0:
                stream.upload_at = now

    def stats(self) -> dict[str, Any]:
        """Return a snapshot for people: frames, streams and windows of this connection."""
        return {
            "protocol": "HTTP/2",
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            "streams_opened": self.streams_opened,
            "open_streams": len(self._streams),
            "send_window": self.send_window,
            "receive_window": self._receive_window(),
            "send_queued": self._queued - self._held,
            "send_waiting": self._held,
            "unread": self._unread,
            "peer_initial_window": self.peer.initial_window_size,
            "peer_max_frame_size": self.peer.max_frame_size,
        }
