"""What the connections of both roles have in common: their parts, the verbs of both, and the ends of streams.

A part owns its numbers and knows nothing of the connection (`parts/`). What touches several of them stands here, each
at one place: the end of a stream, and that of the connection. `reading.py` takes frames in, `waiting.py` looks after
deadlines: functions over this record, whose attributes are shared inside the package. `server.py` and `client.py` add
the messages of their role.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.engine import causes, errors
from headrace.engine.errors import ConnectionFault, LocalProtocolError, StreamClosedError, error_name
from headrace.engine.events import ConnectionEnded, DrainBegan, PeerFault, StreamReset
from headrace.engine.fields import check_outgoing
from headrace.engine.fixed_fields import fixed_fields
from headrace.engine.h2 import frames, settings
from headrace.engine.h2.heads.response import H2ResponseHeads
from headrace.engine.h2.parts.allowance import FRAMES_UNDER_WAY, Allowance
from headrace.engine.h2.parts.closed_streams import ClosedStreams
from headrace.engine.h2.parts.drain import DRAIN_PING, Drain
from headrace.engine.h2.parts.field_blocks import FieldBlocks
from headrace.engine.h2.parts.frame_reader import FrameReader
from headrace.engine.h2.parts.origins import Origins
from headrace.engine.h2.parts.output_buffer import OutputBuffer
from headrace.engine.h2.parts.receive_window import ReceiveWindow, ReceiveWindows
from headrace.engine.h2.parts.send_window import SendWindows
from headrace.engine.h2.parts.sender import Sender
from headrace.engine.h2.parts.stream_table import StreamTable
from headrace.engine.h2.parts.timers import Timers
from headrace.engine.h2.phases import phase
from headrace.engine.h2.priority import EarlyPriorities
from headrace.engine.h2.settings import Settings
from headrace.engine.h2.states import CLOSED, CLOSED_BY_US, HALF_CLOSED_LOCAL, HALF_CLOSED_REMOTE
from headrace.engine.h2.stream import Stream
from headrace.engine.limits import MAX_STREAM_ID, Limits
from headrace.engine.message import bytes_of
from headrace.engine.timed import TimedEngine


class Connection(TimedEngine):
    """A connection in memory, for either role; see H2ServerConnection and H2ClientConnection."""

    def __init__(self, limits: Limits, is_server: bool, own_settings: list[tuple[int, int]], now: float) -> None:
        super().__init__(now)
        self.limits = limits
        self.is_server = is_server
        self.peer: Settings = Settings()
        # in
        self._reader = FrameReader(is_server)
        self._blocks = FieldBlocks(limits)
        self._windows = ReceiveWindows(limits)
        # out
        self._output = OutputBuffer()
        self._heads = H2ResponseHeads()
        self._send_windows = SendWindows()
        self._allowance = Allowance(limits, now)
        self._sender = Sender(limits, self.peer, self._heads.encoder, self._output, self._send_windows, self._allowance)
        # streams and time
        self._streams = StreamTable(is_server)
        self._closed_streams = ClosedStreams(limits)
        self._early_priorities = EarlyPriorities(limits.max_concurrent_streams)
        self._origins: Origins | None = None if is_server else Origins()
        self._timers = Timers(limits, now)
        self._drain = Drain()
        self._at_latest(self._timers.first_due())
        self._output.write_opening(settings.opening(limits, own_settings, is_server))

    # -- what the owner asks about -----------------------------------------------------------------------------

    @property
    def phase(self) -> int:
        """How far the connection has come: PREFACE, SETTINGS, OPEN, DRAINING or ENDED."""
        return phase(self._reader.awaits_preface(), self.peer.received, self._drain.has_begun, self.closed)

    @property
    def open_streams(self) -> int:
        """Streams that count against the concurrency limit (RFC 9113 §5.1.2)."""
        return len(self._streams.open)

    @property
    def input_pending(self) -> bool:
        """True when `receive_data` stopped at `frames_per_turn`: call it again, with b"", in a later turn."""
        return self._reader.is_stopped() and not self.closed

    @property
    def work_due(self) -> int:
        """Work that the end of a field block would bring, which is decoded whole."""
        return self._blocks.work_due()

    @property
    def output_pending(self) -> bool:
        """True when `take_output` would return bytes now."""
        return not self._output.is_empty() or self._sender.is_ready()

    @property
    def read_paused(self) -> bool:
        """True while the owner must not read: our control frames pile up (limit `control_queue_pause`)."""
        return self._output.control_frames > self.limits.control_queue_pause

    @property
    def needs_attention(self) -> bool:
        """True when, after `take_output`, there is an event, more output, the end, or a reason to stop reading."""
        return self.closed or len(self._events) > 0 or self.output_pending or self.read_paused

    @property
    def bodies_queued(self) -> bool:
        """True when streams have content that waits for its turn: `take_buffers` is then the cheaper way out."""
        return self._sender.has_turns()

    def has_stream(self, stream_id: int) -> bool:
        """Tell whether a stream is open or half-closed, so that verbs on it do not raise StreamClosedError."""
        return stream_id in self._streams.open

    def stats(self) -> dict[str, Any]:
        """Return a snapshot for people: frames, streams and windows of this connection."""
        return {
            "protocol": "HTTP/2",
            "frames_in": self._reader.frames,
            "frames_out": self._output.frames,
            "streams_opened": self._streams.opened,
            "open_streams": len(self._streams.open),
            "send_window": self._send_windows.connection,
            "receive_window": self._windows.available(),
            "send_queued": self._sender.queued - self._sender.held,
            "send_waiting": self._sender.held,
            "unread": self._windows.connection.unread,
            "peer_initial_window": self.peer.initial_window_size,
            "peer_max_frame_size": self.peer.max_frame_size,
        }

    # -- output ------------------------------------------------------------------------------------------------

    def take_output(self, limit: int = 262_144, now: float = -1.0) -> bytes:
        """Return what is to be written now, about `limit` bytes of DATA at most; b"" when there is nothing.

        Call it while `output_pending`, but not while the transport refuses more: what stays here is what makes workers
        wait. Look at `take_events` afterwards: queued sends may have been accepted.

        `now`, where the owner has it, dates what was sent since the last input: idle time and stalls count from there.
        Without it they count from the next deadline on.
        """
        self._write_queued(limit, now)
        return self._output.take()

    def take_buffers(self, limit: int = 262_144, now: float = -1.0) -> list[Any]:
        """Return what `take_output` would as a list of bytes and memoryviews, for a vectored write (`writelines`).

        What is small is joined; DATA from queued bodies is not copied: at 1 MiB a response, joining cost as much again
        as all else together, most of it page faults of the kernel.
        """
        small = self._output.position()
        self._write_queued(limit, now)
        return self._output.take_buffers(small)

    def _write_queued(self, limit: int, now: float) -> None:
        """Write queued content by turns, and finish the streams whose messages end with it."""
        if self._learns(now):
            self._set_dates(now)
        sender = self._sender
        if sender.has_turns():
            while (stream := sender.write_queued(limit)) is not None:
                self._finish(stream)
            sender.accept_waiting(self._events)

    def _set_dates(self, now: float) -> None:
        """Date with `now` what began since the last input."""
        self._timers.date(now)
        for stream in self._streams.open.values():
            stream.date(now)

    # -- the verbs that both roles have ------------------------------------------------------------------------

    def _set_drops(self, drops: bool) -> None:
        self._heads.cache.set_drops(drops)

    def _stream(self, stream_id: int) -> Stream:
        """Return an open stream. Raises StreamClosedError."""
        stream = self._streams.open.get(stream_id)
        if stream is None:
            reason = "the connection has ended" if self.closed else self._closed_streams.reason(stream_id)
            raise StreamClosedError(stream_id, reason)
        return stream

    def send_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> bool:
        """Send a piece of content, and with `end_stream` the end of the message.

        Returns True when it is accepted: written, or waiting within the limits `max_stream_send_buffer` and
        `max_connection_send_buffer`. After False wait for SendAccepted before sending more: one pending write a stream.

        Raises StreamClosedError when the stream is gone, LocalProtocolError when the message's head is not sent yet,
        has ended, or when the bytes do not match its content-length: too many are refused, too few reset the stream
        with INTERNAL_ERROR, so that no peer takes a short message for a whole one.
        """
        stream = self._stream(stream_id)
        stream.check_sending()
        size = bytes_of(data)
        if stream.bodiless:
            size = 0
        else:
            self._count_sent(stream, size, end_stream)
        if size == 0:
            return self._end_content(stream, None) if end_stream else True
        stream.end_queued = end_stream
        return self._send_content(stream, data, size, end_stream)

    def send_trailers(
        self, stream_id: int, headers: Sequence[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None
    ) -> bool:
        """Send the trailer section, which ends the message (RFC 9113 §8.1). Returns and raises as `send_data` does.

        Raises InvalidFieldError for a field that must not be sent. Where the response has no content (HEAD, 204, 304)
        the trailers are left out with it.
        """
        stream = self._stream(stream_id)
        stream.check_sending()
        checked, _ = check_outgoing(fixed_fields(headers), self._drops)
        self._count_sent(stream, 0, True)
        stream.never_indexed = never_indexed
        return self._end_content(stream, None if stream.bodiless or not checked else checked)

    def _count_sent(self, stream: Stream, size: int, end_stream: bool) -> None:
        """Count content against its content-length; what falls short of it resets the stream."""
        if not stream.count_sent(size, end_stream):
            stream_id = stream.stream_id
            self.reset_stream(stream_id, errors.INTERNAL_ERROR)
            sent = f"{stream.sent} bytes for a content-length of {stream.send_length}"
            raise LocalProtocolError(f"stream {stream_id}: {sent}: reset")

    def _send_content(self, stream: Stream, data: bytes, size: int, end_stream: bool) -> bool:
        """Write content at once where there is room for it, else queue it; return True when it is accepted."""
        if self._sender.send_now(stream, data, size, end_stream):
            if end_stream:
                self._finish(stream)
            return True
        if self._sender.add(stream, data):
            stream.stalled_at = self._stamp()
            stream.stalled_mark = stream.written
            self._at_latest(self._now + self.limits.stalled_send_timeout_s)
        return self._sender.accept(stream, size)

    def _end_content(self, stream: Stream, trailers: list[tuple[bytes, bytes]] | None) -> bool:
        """End a message behind what is queued of it; return True when it is accepted."""
        if self._sender.end(stream, trailers):
            self._finish(stream)
            return True
        return self._sender.accept(stream, 0)

    def reset_stream(self, stream_id: int, code: int) -> None:
        """Send RST_STREAM and forget what the stream had queued; no event follows. A no-op when the stream is gone."""
        stream = self._streams.open.get(stream_id)
        if stream is not None:
            self._drop(stream, CLOSED_BY_US)
            self._allowance.pay(FRAMES_UNDER_WAY)
            self._output.write_control(frames.write_rst_stream(stream_id, code))

    def acknowledge_data(self, stream_id: int, count: int) -> None:
        """Count `count` bytes (of DataReceived.flow_length) as consumed: credit goes back, in big steps.

        A no-op on a stream that is gone, whose credit has gone back already. Raises LocalProtocolError for more bytes
        than are unread.
        """
        stream = self._streams.open.get(stream_id)
        if stream is None:
            return
        window = stream.check_consumed(count)
        if window is None:
            return
        self._windows.consume(window, count)
        if stream.small_charge and window.unread == 0:
            stream.small_charge = 0
        self._credit_stream(stream, window)
        self._credit_connection()

    def hold_data(self, count: int) -> None:
        """Count `count` bytes of streams that have ended as still unread, or below 0 so many fewer."""
        self._windows.hold(count)

    def send_ping(self, opaque: bytes) -> None:
        """Send a PING (RFC 9113 §6.7); PingAcknowledged follows. Raises ValueError for other than eight bytes."""
        if len(opaque) != 8:
            raise ValueError("a PING carries exactly 8 bytes")
        if not self.closed:
            self._output.write_control(frames.write_ping(opaque, False))

    # -- credit ------------------------------------------------------------------------------------------------

    def _credit_connection(self) -> None:
        """Give back connection credit that is due."""
        increment = self._windows.take_connection_increment()
        if increment:
            self._output.write_control(frames.write_window_update(0, increment))

    def _credit_stream(self, stream: Stream, window: ReceiveWindow) -> None:
        """Give back stream credit that is due; none to a peer that has ended its stream."""
        if stream.peer_is_open():
            increment = self._windows.take_stream_increment(window)
            if increment:
                self._output.write_control(frames.write_window_update(stream.stream_id, increment))
                stream.upload_at = self._stamp()
                stream.upload_mark = stream.received
                stream.quiet_since = -1.0

    # -- ends of streams ---------------------------------------------------------------------------------------

    def _finish(self, stream: Stream) -> None:
        """END_STREAM is written: the slot is free if the peer has ended too."""
        if stream.waiting:
            self._sender.finish(stream, self._events)
        if stream.state == HALF_CLOSED_REMOTE:
            self._drop(stream, CLOSED)
        elif self.is_server:
            # An early final response: what is still under way of the request is not wanted (RFC 9113 §8.1).
            self._drop(stream, CLOSED_BY_US)
            self._streams.count_answer(True)
            self._allowance.pay(FRAMES_UNDER_WAY)
            self._output.write_control(frames.write_rst_stream(stream.stream_id, errors.NO_ERROR))
        else:
            stream.state = HALF_CLOSED_LOCAL

    def _drop(self, stream: Stream, state: int) -> None:
        """Forget a stream. What its application has not consumed goes back to the connection's account, once."""
        self._streams.remove(stream, state)
        stream.state = state
        if stream.queue is not None and self._sender.forget(stream) and not self.closed:
            self._sender.accept_waiting(self._events)  # no window has to open for those whom this one kept waiting
        window = stream.window
        if window is not None and window.unread:
            self._windows.release(window)
            if not self.closed:
                self._credit_connection()
        if state != CLOSED:
            self._closed_streams.remember(stream.stream_id, state)
            if state == CLOSED_BY_US:
                self._closed_streams.expect_data(0 if window is None else window.used)
        if not self._streams.open:
            self._timers.begin_idle(self._stamp())
            if self._drain.ends_when_empty and not self.closed:
                if not self._drain.has_told_last_id():  # the peer has begun the end, and we have not
                    self._output.write_last(frames.write_goaway(self._streams.last_taken_id, errors.NO_ERROR, b""))
                self._end(errors.NO_ERROR, "local", "drained", "")

    # -- end of the connection ---------------------------------------------------------------------------------

    def close(self, code: int = errors.NO_ERROR, reason: str = "") -> None:
        """End the connection now with GOAWAY that carries the true last stream id (RFC 9113 §6.8). Idempotent.

        Open streams end with a StreamReset event each; the owner flushes `take_output` and closes the transport.
        """
        if self.closed:
            return
        debug = reason.encode("ascii", "replace")[:256]
        self._output.write_last(frames.write_goaway(self._streams.last_taken_id, code, debug))
        self._end(code, "local", reason or error_name(code), "RFC 9113 §6.8")

    def _fail(self, fault: ConnectionFault) -> None:
        """Answer a connection error: GOAWAY with the last stream id and the code, then the end (RFC 9113 §5.4.1)."""
        if self.closed:
            return
        self._events.append(PeerFault(fault.code, "connection", 0, fault.reason, fault.section, fault.budget))
        debug = (fault.budget or fault.reason).encode("ascii", "replace")
        self._output.write_last(frames.write_goaway(self._streams.last_taken_id, fault.code, debug))
        self._end(fault.code, "local", fault.reason, fault.section, fault.cause)

    def _end(self, code: int, initiator: str, reason: str, section: str, cause: str = causes.CLOSED) -> None:
        """Move to ENDED: the one place that does."""
        if self.closed:
            return
        self._end_here()
        for stream_id in list(self._streams.open):
            self._drop(self._streams.open[stream_id], CLOSED_BY_US)
            self._events.append(StreamReset(stream_id, code, initiator, reason, section, cause))
        self._events.append(ConnectionEnded(code, initiator, reason, section, cause))

    def begin_drain(self, now: float, deadline: float | None = None) -> None:
        """Begin the graceful end (RFC 9113 §6.8); idempotent.

        GOAWAY(2^31-1, NO_ERROR) and a PING go out at once. When it is acknowledged, or after a second, GOAWAY with the
        true last stream id follows, later streams get REFUSED_STREAM, and the connection ends with its last stream.
        Streams left at `deadline` (`drain_timeout_s` from `now` when None) get RST_STREAM(CANCEL).
        """
        if self.closed or self._drain.has_begun:
            return
        if not self.peer.received:  # nothing has been asked yet, and the peer may retry whatever is under way
            self.close(errors.NO_ERROR, "drained")
            return
        self._at_latest(self._drain.begin(now, now + self.limits.drain_timeout_s if deadline is None else deadline))
        self._output.write_control(frames.write_goaway(MAX_STREAM_ID, errors.NO_ERROR, b""))
        self._output.write_control(frames.write_ping(DRAIN_PING, False))
        self._events.append(DrainBegan())

    def _finish_drain(self) -> None:
        """Send the second GOAWAY: from here on, later streams are refused."""
        last_id = self._streams.last_taken_id
        self._drain.finish(last_id)
        self._output.write_control(frames.write_goaway(last_id, errors.NO_ERROR, b""))
        if not self._streams.open:
            self._end(errors.NO_ERROR, "local", "drained", "RFC 9113 §6.8")
