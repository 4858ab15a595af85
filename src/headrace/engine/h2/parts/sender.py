"""Messages on their way out: heads at once, content where windows and output have room, else from its stream's queue.

A body that does not fit the windows or the write buffer stands in its stream's queue and leaves frame by frame, as the
scheduler says, while the owner takes output. What is accepted of all streams is bounded; a piece beyond that stays its
writer's, one a stream, until there is room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine.events import Event, SendAccepted
from headrace.engine.h2 import frames
from headrace.engine.h2.heads.response import EncodedHead
from headrace.engine.h2.parts.allowance import Allowance
from headrace.engine.h2.parts.output_buffer import OutputBuffer
from headrace.engine.h2.parts.scheduler import Scheduler
from headrace.engine.h2.parts.send_window import SendWindows
from headrace.engine.h2.settings import Settings
from headrace.engine.h2.stream import Stream
from headrace.engine.hpack.encoder import Encoder
from headrace.engine.limits import Limits

if TYPE_CHECKING:
    from mypy_extensions import i64

# Bytes written and not taken at which DATA goes to the stream's queue instead, where a write can block its worker.
OUTPUT_HIGH: Final = 65_536
_LARGEST_DATA: Final = 65_536  # a larger frame would make siblings wait, whatever the peer allows
_CHUNK: Final = 256


class Sender:
    """The queues of all streams of a connection, and the order in which their writers are let go.

    It writes to `output`, charges `windows`, pays `allowance` for what DATA brings back, and keeps to the frame size of
    `peer`. `encoder` is for trailers, which are encoded only when they are written, as HPACK goes by wire order.
    """

    def __init__(
        self,
        limits: Limits,
        peer: Settings,
        encoder: Encoder,
        output: OutputBuffer,
        windows: SendWindows,
        allowance: Allowance,
    ) -> None:
        self._limits = limits
        self._peer = peer
        self._encoder = encoder
        self._output = output
        self._windows = windows
        self._allowance = allowance
        self._scheduler = Scheduler()
        self.queued: i64 = 0
        """Bytes that wait in queues."""
        self.held: i64 = 0
        """Of those, bytes in pieces whose writers wait: theirs, until there is room."""
        self._is_short = False  # a piece waits for room in the connection's buffer, and others wait behind it
        self._waiting: list[Stream] | None = None

    # -- what is asked -----------------------------------------------------------------------------------------

    def has_turns(self) -> bool:
        """Tell whether a stream has content and a window for it."""
        return self._scheduler.count > 0

    def is_ready(self) -> bool:
        """Tell whether DATA could be written now."""
        return self._scheduler.count > 0 and self._windows.connection > 0

    # -- what the owner sends ----------------------------------------------------------------------------------

    def write_head(self, stream: Stream, head: EncodedHead, end_stream: bool) -> None:
        """Write a header section."""
        if len(head.block) <= self._peer.max_frame_size:
            prefix = head.last_prefix if end_stream else head.prefix
            self._output.write_parts(prefix, stream.id_bytes, head.block, head.size)
        else:
            self.write_block(stream, head.block, end_stream)

    def write_block(self, stream: Stream, block: bytes, end_stream: bool) -> None:
        """Write a field block, in as many frames as the peer's frame size asks for."""
        self._output.write(frames.write_field_block(block, stream.id_bytes, end_stream, self._peer.max_frame_size))

    def send_now(self, stream: Stream, data: bytes, size: i64, end_stream: bool) -> bool:
        """Write a piece of content as one frame, if windows, output and siblings leave room; return whether it was."""
        windows = self._windows
        output = self._output
        if (
            stream.queued == 0
            and size <= windows.initial + stream.send_credit
            and size <= windows.connection
            and size <= self._peer.max_frame_size
            and self._scheduler.count == 0
            and output.size < OUTPUT_HIGH
        ):
            output.write_parts(frames.data_prefix(size, end_stream), stream.id_bytes, data, size + frames.HEADER_SIZE)
            windows.charge(stream, size)
            self._allowance.pay_for_data(size)
            return True
        return False

    def add(self, stream: Stream, data: bytes) -> bool:
        """Put a piece of content into its stream's queue; return True when that was empty."""
        if stream.queue is None:
            stream.queue = [data]
        else:
            stream.queue.append(data)
        was_empty = stream.queued == 0
        stream.queued += len(data)
        self.queued += len(data)
        self.wake(stream)
        return was_empty

    def end(self, stream: Stream, trailers: list[tuple[bytes, bytes]] | None) -> bool:
        """End a message behind what is queued of it, with trailers or without; return True when it is written."""
        stream.end_queued = True
        stream.trailers = trailers
        if stream.queued:
            return False
        if trailers is None:
            self._output.write_end(stream.id_bytes)
        else:
            self._write_trailers(stream, trailers)
        return True

    def _write_trailers(self, stream: Stream, trailers: list[tuple[bytes, bytes]]) -> None:
        stream.trailers = None
        self.write_block(stream, self._encoder.encode(trailers, stream.never_indexed), True)

    def accept(self, stream: Stream, size: i64) -> bool:
        """Tell whether what a stream has queued counts as accepted; if not, its writer waits for SendAccepted.

        `size` is that of the piece which came last: as long as its writer waits, it is the writer's, and takes no room
        from others.
        """
        fits = self._fits(stream)
        if fits and not (size and self._is_short) and self._leaves_room(0):
            return True
        if fits:
            self._is_short = True
        stream.held += size
        self.held += size
        if not stream.waiting:
            stream.waiting = True
            if self._waiting is None:
                self._waiting = [stream]
            else:
                self._waiting.append(stream)
        return False

    def _fits(self, stream: Stream) -> bool:
        """Tell whether what waits on a stream is within its limit; a chunk counts for `_CHUNK` bytes more than it has,
        so that a million tiny ones do not cost a hundred megabytes of objects."""
        queue = stream.queue
        size = stream.queued if queue is None else stream.queued + (len(queue) - 1) * _CHUNK
        return size <= self._limits.max_stream_send_buffer

    def _leaves_room(self, size: int) -> bool:
        """Tell whether what is accepted of all streams, and `size` bytes more, is within the connection's limit."""
        return self.queued - self.held + size <= self._limits.max_connection_send_buffer

    # -- queued content goes out -------------------------------------------------------------------------------

    def wake(self, stream: Stream) -> None:
        """Give a stream its turns, if it has content and a window."""
        if stream.queued and self._windows.of(stream) > 0:
            self._scheduler.add(stream)

    def change_priority(self, stream: Stream, urgency: int, incremental: bool) -> None:
        """Give a stream another priority; its place goes with it (RFC 9218 §7)."""
        self._scheduler.change(stream, urgency, incremental)

    def write_queued(self, limit: int) -> Stream | None:
        """Write DATA of the streams that are ready, turn by turn, until windows are closed or `limit` bytes of output
        wait. Return early with a stream whose message is written to its end; None when nothing more can be written."""
        scheduler = self._scheduler
        windows = self._windows
        output = self._output
        frame_size = min(self._peer.max_frame_size, _LARGEST_DATA)
        while output.size < limit and windows.connection > 0:
            stream = scheduler.next()
            if stream is None:
                break
            size = windows.of(stream)
            if size <= 0:
                scheduler.remove(stream)  # comes back with its WINDOW_UPDATE
                continue
            if size > windows.connection:
                size = windows.connection
            if size > frame_size:
                size = frame_size
            if size > stream.queued:
                size = stream.queued
            ends = size == stream.queued and stream.end_queued and stream.trailers is None
            output.write_header(frames.data_prefix(size, ends) + stream.id_bytes, size)
            self._move(stream, size)
            if stream.queued == 0:
                scheduler.remove(stream)
                trailers = stream.trailers
                if trailers is not None:
                    self._write_trailers(stream, trailers)
                    return stream
                if ends:
                    return stream
        return None

    def _move(self, stream: Stream, size: i64) -> None:
        """Move `size` bytes of a stream's queue to the output and charge the windows."""
        output = self._output
        queue = stream.queue
        assert queue is not None
        left: i64 = size
        while left > 0:
            chunk = queue[0]
            offset: i64 = stream.queue_offset
            room: i64 = len(chunk) - offset
            if room <= left:
                output.add(chunk if offset == 0 else memoryview(chunk)[offset:])
                left -= room
                del queue[0]
                stream.queue_offset = 0
            else:
                output.add(memoryview(chunk)[offset : offset + left])
                stream.queue_offset = offset + left
                left = 0
        stream.queued -= size
        self.queued -= size
        if stream.held > stream.queued:
            self.held -= stream.held - stream.queued
            stream.held = stream.queued
        self._windows.charge(stream, size)
        self._allowance.pay_for_data(size)

    # -- writers are let go ------------------------------------------------------------------------------------

    def accept_waiting(self, events: list[Event]) -> None:
        """Accept what there is room for, first come first served, and add its SendAccepted to `events`.

        Nobody takes room before somebody who waits for it. Only a stream whose queue is empty needs none, so that one
        with a window goes on beside a hundred without.
        """
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
            events.append(SendAccepted(stream.stream_id))
        self._waiting = still if still else None
        self._is_short = is_short

    def finish(self, stream: Stream, events: list[Event]) -> None:
        """Let a stream's writer go, if one waits: all of its message is written."""
        if stream.waiting:
            self._release(stream)
            events.append(SendAccepted(stream.stream_id))

    def forget(self, stream: Stream) -> bool:
        """Forget the queue of a stream that has one; return True when others may wait for the room that this leaves."""
        self._scheduler.remove(stream)
        self.queued -= stream.queued
        stream.queued = 0
        stream.queue = None
        self._release(stream)
        return self._waiting is not None

    def _release(self, stream: Stream) -> None:
        """A stream's writer waits no longer."""
        stream.waiting = False
        self.held -= stream.held
        stream.held = 0
