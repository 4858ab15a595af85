"""The verbs by which an owner sends: content within the peer's windows, trailers, resets.

A body goes straight into the output when windows and write buffer have room and nobody else is waiting; else it stands
in its stream's queue (see `output`).
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.engine import errors
from headrace.engine.errors import (
    LocalProtocolError,
    StreamClosedError,
)
from headrace.engine.fields import check_outgoing
from headrace.engine.fixed_fields import fixed_fields
from headrace.engine.h2 import frames
from headrace.engine.h2.heads.response import EncodedHead
from headrace.engine.h2.output import FRAMES_UNDER_WAY, OCTETS_AN_UPDATE, OUTPUT_HIGH, UPDATES_A_FRAME, Output
from headrace.engine.h2.states import (
    CLOSED,
    CLOSED_BY_PEER,
    CLOSED_BY_US,
)
from headrace.engine.h2.stream import Stream
from headrace.engine.message import octets_of


class Sender(Output):
    """The writing half of a connection."""

    frames_out: int
    send_window: int

    # -- heads -------------------------------------------------------------------------------------------------

    def _set_drops(self, drops: bool) -> None:
        self._heads.cache.set_drops(drops)

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
        size = octets_of(data)
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
            return self._accepted(stream, 0)
        stream.end_queued = end_stream
        return self._send_content(stream, data, size, end_stream)

    def _send_content(self, stream: Stream, data: bytes, size: int, end_stream: bool) -> bool:
        """Write `data` at once as one frame where windows, write buffer and siblings leave room; else queue it.

        Returns True when it is accepted.
        """
        if (
            stream.queued == 0
            and size <= self.peer.initial_window_size + stream.send_credit
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
            self._free_frames += UPDATES_A_FRAME + size // OCTETS_AN_UPDATE
            if end_stream:
                self._finish(stream)
            return True
        self._enqueue(stream, data)
        return self._accepted(stream, size)

    def send_trailers(
        self,
        stream_id: int,
        headers: Sequence[tuple[bytes, bytes]],
        never_indexed: frozenset[bytes] | None = None,
    ) -> bool:
        """Send the trailer section, which ends the message (RFC 9113 §8.1). Returns and raises as `send_data` does.

        Raises InvalidFieldError for a field that must not be sent. Where the response has no content (HEAD, 204, 304)
        the trailers are left out with it.
        """
        stream = self._stream(stream_id)
        self._check_sending(stream)
        checked, _ = check_outgoing(fixed_fields(headers), self._drops)
        self._check_length(stream, 0, True)
        stream.end_queued = True
        if not checked or stream.bodiless:
            if stream.queued == 0:
                self._write_end(stream)
                return True
            return self._accepted(stream, 0)
        stream.trailers = checked
        stream.never_indexed = never_indexed
        if stream.queued == 0:
            self._write_trailers(stream)
            return True
        return self._accepted(stream, 0)

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

    def written(self, stream_id: int) -> int:
        """Bytes of a stream's content that the peer's windows have let go; 0 when it is over."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.written

    def reset_stream(self, stream_id: int, code: int) -> None:
        """Send RST_STREAM and forget what the stream had queued; no event follows. A no-op when the stream is gone."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._drop(stream, CLOSED_BY_US)
            self._free_frames += FRAMES_UNDER_WAY
            self._write_control(frames.write_rst_stream(stream_id, code))
