"""Everything that is read: frames in order, each checked against RFC 9113 §6 and answered at the scope it names.

`receive_data` walks the input once. A frame handler gets the octets and two offsets, so nothing is copied that is not
kept. It raises StreamFault or ConnectionFault; both end in `receive_data`, where a stream fault becomes RST_STREAM and
the walk goes on, with HPACK state and windows as the frame left them.

`server.py` and `client.py` add what a field section means to their role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine import causes, errors
from headrace.engine.errors import ConnectionFault, StreamFault
from headrace.engine.events import (
    DataReceived,
    Event,
    GoAwayReceived,
    PingAcknowledged,
    SettingsChanged,
    StreamReset,
)
from headrace.engine.h2 import frames, settings
from headrace.engine.h2.credit import Credit
from headrace.engine.h2.faults import MOST_FREE_FRAMES, length_fault
from headrace.engine.h2.output import DRAINING, OPEN, SETTINGS
from headrace.engine.h2.priority import parse_priority
from headrace.engine.h2.states import (
    CLOSED,
    CLOSED_BY_PEER,
    RECV_DATA,
    RECV_DATA_END,
    RECV_RST,
    RECV_WINDOW_UPDATE,
    next_state,
)
from headrace.engine.h2.stream import Stream
from headrace.engine.limits import BYTES_A_FRAME, DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, DRIP, MAX_WINDOW, Limits
from headrace.engine.timed import NEVER

if TYPE_CHECKING:
    from mypy_extensions import i64

_METHOD_OF_PREFACE: Final = 3  # octets of the method that the preface begins with
_LARGE_READ: Final = 16_384
_SMALL: Final = 256  # DATA below this is charged as much
_CRUMB: Final = 256  # a WINDOW_UPDATE below this is odd
_MOST_FREE_CRUMBS: Final = 100
# Frames that a PING takes of those that DATA has paid for, four a frame. gRPC measures bandwidth with a PING a round
# trip, and a WINDOW_UPDATE before it, as long as content comes.
_PING_COST: Final = 2


class Connection(Credit):
    """A connection in memory, for either role; see ServerConnection and ClientConnection."""

    frames_in: int
    phase: int
    send_window: int

    def __init__(self, limits: Limits, is_server: bool, now: float) -> None:
        super().__init__(limits, is_server, now)
        self._position: int = 0
        self._preface_left: bytes = frames.PREFACE if is_server else b""
        self._settings_seen = False
        self._largest_credit: int = 0
        self._goaway_received = False
        self._early_priorities: dict[int, bytes] | None = None
        self._announce()

    def _announce(self) -> None:
        """Queue our SETTINGS and the connection's window. They count once acknowledged (RFC 9113 §6.5.3)."""
        limits = self.limits
        entries = self._own_settings()
        if limits.header_table_size != 4_096:
            entries.append((settings.HEADER_TABLE_SIZE, limits.header_table_size))
        if limits.initial_stream_window != DEFAULT_WINDOW:
            entries.append((settings.INITIAL_WINDOW_SIZE, limits.initial_stream_window))
        if limits.max_frame_size != DEFAULT_FRAME_SIZE:
            entries.append((settings.MAX_FRAME_SIZE, limits.max_frame_size))
        entries.append((settings.MAX_HEADER_LIST_SIZE, limits.max_field_section_size))
        if not self.is_server:
            self._out.append(frames.PREFACE)
        self._out.append(frames.write_settings(entries))
        more = limits.initial_connection_window - DEFAULT_WINDOW
        if more > 0:
            self._out.append(frames.write_window_update(0, more))
        self._connection_window = limits.initial_connection_window

    def _own_settings(self) -> list[tuple[int, int]]:
        """Return the SETTINGS entries that only this role announces."""
        raise NotImplementedError

    # -- input -------------------------------------------------------------------------------------------------

    @property
    def input_pending(self) -> bool:
        """True when `receive_data` stopped at `frames_per_turn`: call it again, with b"", in a later turn."""
        return self._position > 0 and not self.closed

    @property
    def work_due(self) -> int:
        """Work that the end of a field block would bring, which is decoded whole."""
        return self._block_size // BYTES_A_FRAME if self._block_parts is not None else 0

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take octets from the peer and return what happened, in order. Never raises for what the peer sent.

        `now` is the time in seconds on the clock that the owner uses for `deadline`. With `frames_per_turn` set, stops
        after that many frames and leaves `input_pending` True. After ConnectionEnded further input is ignored.
        """
        self._enter(now)
        self._heard_at = now
        if self.closed:
            return self.take_events()
        turns = self.turns
        turn = self.limits.frames_per_turn if turns is None else turns.frames
        if turn == 0:
            turn = -1
        self.work: int = 0
        try:
            if not self._input:
                self._input = data
                self._position = 0
            elif not data:
                pass  # a further turn: it goes on where the last one stopped
            elif len(data) < _LARGE_READ or self._position > 0 or self._preface_left:
                self._input = self._input[self._position :] + data
                self._position = 0
            else:
                turn = self._take_torn_frame(data, turn)
            if turn != 0 and (not self._preface_left or self._take_preface()):
                self._take_frames(turn)
        except ConnectionFault as fault:
            self._fail(fault)
            self._input = b""
        self._leave()
        return self.take_events()

    def receive_eof(self, now: float) -> list[Event]:
        """The peer is gone: open streams end with a StreamReset event each, then ConnectionEnded."""
        self._enter(now)
        self._end(errors.NO_ERROR, "remote", "the peer closed the connection", "", causes.CONNECTION_LOST)
        self._input = b""
        return self.take_events()

    def _take_preface(self) -> bool:
        """Consume the client's preface, octet by octet if need be (RFC 9113 §3.4); False while it is incomplete."""
        size = min(len(self._preface_left), len(self._input))
        if self._input[:size] != self._preface_left[:size]:
            raise ConnectionFault(errors.PROTOCOL_ERROR, self._what_it_is_instead(), "RFC 9113 §3.4")
        self._preface_left = self._preface_left[size:]
        self._input = self._input[size:]
        if self._preface_left:
            return False
        self.phase = SETTINGS
        return True

    def _what_it_is_instead(self) -> str:
        """Say what a wrong preface looks like: judged by its octets up to the first that differs, since in another cut
        no more may have come."""
        at = 0
        while self._input[at] == self._preface_left[at]:
            at += 1
        octet = self._input[at]
        place = len(frames.PREFACE) - len(self._preface_left) + at
        if place == 0 and octet == 0x16:  # the content type of a handshake message (RFC 8446 §5.1)
            return "a TLS handshake on a cleartext port"
        if place <= _METHOD_OF_PREFACE and (0x41 <= octet <= 0x5A or octet == 0x20):
            return "a method of HTTP/1.1 where only HTTP/2 is served"
        return "the client's preface is wrong"

    def _take_torn_frame(self, data: bytes, turn: int) -> int:
        """Complete the frame that the last read ended within, and take it alone: a large body comes in large reads, and
        putting each behind what was left of the one before copied all of it once more. Returns what is left of the
        turn; what is left of the input then starts at `_position`."""
        torn = self._input
        if len(torn) < 9:
            self._input = torn + data
            return turn
        missing = 9 + int.from_bytes(torn[:3], "big") - len(torn)
        if missing > len(data):
            self._input = torn + data
            return turn
        self._input = torn + data[:missing]
        self._take_frames(turn)
        if not self.closed:
            self._input = data
            self._position = missing
        return turn - 1 if turn > 0 else turn

    def _take_frames(self, turn: int) -> None:
        """Walk through whole frames, `turn` at most (-1: all); what is left of the input starts the next call."""
        left = turn
        while True:
            before = self.frames_in
            try:
                left = self._walk(left)
            except StreamFault as fault:
                self._reset_for(fault)
                if left > 0:
                    left = max(0, left - (self.frames_in - before))
                if left != 0 and not self.closed:
                    continue
            break
        if turn > 0:
            self.work += turn - left
        if self._control_queued > self.limits.control_queue_end and not self.closed:
            raise ConnectionFault(
                errors.ENHANCE_YOUR_CALM, "our answers are not read", "RFC 9113 §10.5", "control_queue_end"
            )

    def _walk(self, turn: int) -> int:
        data = self._input
        position: i64 = self._position
        total: i64 = len(data)
        left: i64 = turn
        end: i64
        length: i64
        b0: i64
        b1: i64
        b2: i64
        frame_limit: i64 = self._frame_limit
        while total - position >= 9:
            b0 = data[position]
            b1 = data[position + 1]
            b2 = data[position + 2]
            length = (b0 << 16) | (b1 << 8) | b2
            if length > frame_limit:  # on the header, before anything is stored
                raise ConnectionFault(errors.FRAME_SIZE_ERROR, "a frame above MAX_FRAME_SIZE", "RFC 9113 §4.2")
            end = position + 9 + length
            if end > total:
                break
            if left == 0:
                return 0
            left -= 1
            kind = data[position + 3]
            flags = data[position + 4]
            b0 = data[position + 5]
            b1 = data[position + 6]
            b2 = data[position + 7]
            stream_id: i64 = ((b0 & 0x7F) << 24) | (b1 << 16) | (b2 << 8)
            b0 = data[position + 8]
            stream_id = stream_id | b0
            start: i64 = position + 9
            position = end
            self._position = end  # before the handler: a fault in this frame must not make it come again
            self.frames_in += 1
            if self._block_parts is not None and kind != frames.CONTINUATION:
                raise ConnectionFault(
                    errors.PROTOCOL_ERROR, "a frame between HEADERS and its CONTINUATION", "RFC 9113 §6.10"
                )
            if not self._settings_seen and kind != frames.SETTINGS:
                raise ConnectionFault(errors.PROTOCOL_ERROR, "the first frame is not SETTINGS", "RFC 9113 §3.4")
            if kind == frames.HEADERS:
                self._recv_headers(flags, stream_id, start, end)
                if left > 0:
                    left -= length // BYTES_A_FRAME
                    if left < 0:
                        left = 0
            elif kind == frames.DATA:
                self._recv_data(flags, stream_id, start, end)
            elif kind == frames.WINDOW_UPDATE:
                self._recv_window_update(stream_id, start, end)
            elif kind == frames.RST_STREAM:
                self._recv_rst_stream(stream_id, start, end)
            elif kind == frames.SETTINGS:
                self._recv_settings(flags, stream_id, start, end)
                frame_limit = self._frame_limit
            elif kind == frames.PING:
                self._recv_ping(flags, stream_id, start, end)
            elif kind == frames.CONTINUATION:
                self._recv_continuation(flags, stream_id, start, end)
                if left > 0:
                    left -= length // BYTES_A_FRAME
                    if left < 0:
                        left = 0
            elif kind == frames.PRIORITY:
                self._recv_priority(stream_id, start, end)
            elif kind == frames.GOAWAY:
                self._recv_goaway(stream_id, start, end)
            elif kind == frames.PUSH_PROMISE:
                raise ConnectionFault(errors.PROTOCOL_ERROR, "PUSH_PROMISE, which is refused", "RFC 9113 §8.4")
            elif kind == frames.PRIORITY_UPDATE:
                self._recv_priority_update(stream_id, start, end)
            else:
                self._recv_extension(kind, stream_id, start, end)
            if self.closed:
                return 0
        self._input = b"" if position == total else data[position:]
        self._position = 0
        return int(left)

    # -- DATA and windows --------------------------------------------------------------------------------------

    def _recv_data(self, flags: int, stream_id: int, start: int, end: int) -> None:
        """DATA (RFC 9113 §6.1). Padding counts towards both windows (RFC 9113 §6.9.1)."""
        if stream_id == 0:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "DATA on stream 0", "RFC 9113 §6.1")
        flow_length = end - start
        if flags & frames.PADDED:
            if start >= end:
                raise ConnectionFault(errors.FRAME_SIZE_ERROR, "padded DATA without a length", "RFC 9113 §6.1")
            end -= self._input[start]
            start += 1
            if start > end:
                raise ConnectionFault(errors.PROTOCOL_ERROR, "padding longer than the frame", "RFC 9113 §6.1")
        self._connection_used += flow_length
        if self._connection_used > self._connection_window:
            raise ConnectionFault(errors.FLOW_CONTROL_ERROR, "DATA beyond the connection's window", "RFC 9113 §6.9.1")
        self._connection_credit += flow_length
        stream = self._streams.get(stream_id)
        end_stream = flags & frames.END_STREAM != 0
        step = RECV_DATA_END if end_stream else RECV_DATA
        if stream is None:
            self._credit_connection()  # nobody will consume it
            self._refuse_step(stream_id, self._state_of(stream_id), step, "DATA")
            self._count_late_data(flow_length)
            if end - start < _SMALL:  # what was under way of a cancelled upload is mostly full frames, and free
                self._spend_free(1)
            return
        state = next_state(stream.state, step)
        if state > CLOSED:
            self._refuse_step(stream_id, stream.state, step, "DATA")
        self._check_message_data(stream)
        stream.recv_used += flow_length
        if stream.recv_used > self._local_window and flow_length > 0:  # windows that shrink may be below 0 (§6.9.2)
            raise StreamFault(
                stream_id, errors.FLOW_CONTROL_ERROR, "DATA beyond the stream's window", "RFC 9113 §6.9.1"
            )
        size = end - start
        stream.received += size
        declared = stream.recv_length
        if declared >= 0 and (stream.received > declared or (end_stream and stream.received != declared)):
            raise length_fault(stream)
        if size == 0 and not end_stream:
            stream.consumed += flow_length  # padding alone: nobody will consume it
            self._credit_stream(stream)
            self._credit_connection()
            self._spend_odd(1)
            return
        stream.unread += flow_length
        self._unread += flow_length
        if self._is_shrunk or self._unread >= self.limits.max_unread:
            self._fit_windows()
        # What an open tunnel brings is kept in one piece, so its small frames cost no more than their bytes.
        if size < _SMALL and not end_stream and not (stream.is_tunnel and stream.headers_sent):
            stream.small_charge += _SMALL
            if size < DRIP:
                stream.drips += 1
            if stream.small_charge > self.limits.small_data_budget:
                raise StreamFault(
                    stream_id,
                    errors.ENHANCE_YOUR_CALM,
                    "small DATA frames pile up unread (small_data_budget)",
                    "RFC 9113 §10.5",
                )
        self._credit_connection()
        self._events.append(DataReceived(stream_id, self._input[start:end], flow_length, end_stream))
        if end_stream:
            self._peer_ended(stream, state)

    def _count_late_data(self, flow_length: int) -> None:
        """DATA has come on a stream that we have reset; the client has a limit for it."""

    def _check_message_data(self, stream: Stream) -> None:
        """Raise when DATA is out of place in the message; the client adds its rule."""

    def _peer_ended(self, stream: Stream, state: int) -> None:
        if state == CLOSED:
            self._drop(stream, CLOSED)
        else:
            stream.state = state

    def _recv_window_update(self, stream_id: int, start: int, end: int) -> None:
        """WINDOW_UPDATE (RFC 9113 §6.9)."""
        if end - start != 4:
            raise ConnectionFault(errors.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 octets", "RFC 9113 §6.9")
        increment = self._u32(start) & 0x7FFFFFFF
        stream = self._streams.get(stream_id)
        window = self.send_window if stream is None else self.peer.initial_window_size + stream.send_credit
        # Crumbs are odd while something waits for a window that is next to closed, but for those between larger pieces:
        # HAProxy gives back credit as it reads, small for a small piece, also while more is queued.
        is_crumb = increment < _CRUMB and window < _CRUMB and self._queued > 0
        if self._free_frames <= 0 or (is_crumb and self._free_crumbs <= 0):
            self._spend_odd(1)
        else:
            self._free_frames = min(self._free_frames - 1, MOST_FREE_FRAMES)
            if is_crumb:
                self._free_crumbs -= 1
            elif increment >= _CRUMB:
                self._free_crumbs = min(self._free_crumbs + increment // _CRUMB, _MOST_FREE_CRUMBS)
        if stream_id == 0:
            if increment == 0:
                raise ConnectionFault(errors.PROTOCOL_ERROR, "WINDOW_UPDATE of 0", "RFC 9113 §6.9")
            self.send_window += increment
            if self.send_window > MAX_WINDOW:
                raise ConnectionFault(errors.FLOW_CONTROL_ERROR, "connection window above 2^31-1", "RFC 9113 §6.9.1")
            return
        if stream is None:
            self._refuse_step(stream_id, self._state_of(stream_id), RECV_WINDOW_UPDATE, "WINDOW_UPDATE")
            return
        if increment == 0:
            raise StreamFault(stream_id, errors.PROTOCOL_ERROR, "WINDOW_UPDATE of 0", "RFC 9113 §6.9")
        stream.send_credit += increment
        window = self.peer.initial_window_size + stream.send_credit
        if window > MAX_WINDOW:
            raise StreamFault(stream_id, errors.FLOW_CONTROL_ERROR, "stream window above 2^31-1", "RFC 9113 §6.9.1")
        if stream.send_credit > self._largest_credit:
            self._largest_credit = stream.send_credit
        if stream.queued and window > 0:
            self._scheduler.add(stream)

    # -- control frames ----------------------------------------------------------------------------------------

    def _recv_settings(self, flags: int, stream_id: int, start: int, end: int) -> None:
        """SETTINGS (RFC 9113 §6.5): entries count in order, then the acknowledgement goes out."""
        length = end - start
        if stream_id != 0:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "SETTINGS on a stream", "RFC 9113 §6.5")
        if flags & frames.ACK:
            if length:
                raise ConnectionFault(
                    errors.FRAME_SIZE_ERROR, "a SETTINGS acknowledgement with entries", "RFC 9113 §6.5"
                )
            if not self._settings_seen:
                raise ConnectionFault(errors.PROTOCOL_ERROR, "the first frame is not SETTINGS", "RFC 9113 §3.4")
            if self._settings_due == NEVER:
                self._spend_odd(1)
            self._own_settings_count()
            return
        if length % 6:
            raise ConnectionFault(errors.FRAME_SIZE_ERROR, "SETTINGS is not a multiple of 6 octets", "RFC 9113 §6.5")
        if length > self.limits.max_settings * 6:
            raise ConnectionFault(errors.ENHANCE_YOUR_CALM, "too many SETTINGS", "RFC 9113 §10.5", "max_settings")
        if self._settings_seen:
            self._spend_odd(1)
        old_window = self.peer.initial_window_size
        old_table = self.peer.header_table_size
        while start < end:
            key = self._input[start] << 8 | self._input[start + 1]
            self.peer.apply(key, self._u32(start + 2), not self.is_server)
            if key == settings.HEADER_TABLE_SIZE and self.peer.header_table_size != old_table:
                self._heads.encoder.set_max_table_size(self.peer.header_table_size)
                old_table = self.peer.header_table_size
            start += 6
        if self.peer.initial_window_size != old_window:
            self._initial_window_changed(old_window)
        self._settings_seen = True
        if self.phase == SETTINGS:
            self.phase = OPEN
            self._idle_since = self._now
            self._at_latest(self._now + self.limits.idle_timeout_s)
        self._write_control(frames.SETTINGS_ACK)
        self._events.append(SettingsChanged())

    def _initial_window_changed(self, old_window: int) -> None:
        """All stream windows shift with INITIAL_WINDOW_SIZE (RFC 9113 §6.9.2), by arithmetic; only an overflow looks
        at each stream, and only a raise wakes the streams that wait."""
        new_window = self.peer.initial_window_size
        if new_window + self._largest_credit > MAX_WINDOW:
            for stream in self._streams.values():
                if new_window + stream.send_credit > MAX_WINDOW:
                    raise ConnectionFault(
                        errors.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE lifts a window above 2^31-1", "RFC 9113 §6.9.2"
                    )
        if new_window > old_window and self._queued:
            for stream in self._streams.values():
                if stream.queued and new_window + stream.send_credit > 0:
                    self._scheduler.add(stream)

    def _recv_ping(self, flags: int, stream_id: int, start: int, end: int) -> None:
        """PING (RFC 9113 §6.7)."""
        if stream_id != 0:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "PING on a stream", "RFC 9113 §6.7")
        if end - start != 8:
            raise ConnectionFault(errors.FRAME_SIZE_ERROR, "PING is not 8 octets", "RFC 9113 §6.7")
        opaque = self._input[start:end]
        if flags & frames.ACK:
            if not self._on_ping_ack(opaque):
                self._spend_odd(1)
                self._events.append(PingAcknowledged(opaque))
            return
        self._spend_free(_PING_COST)
        self._write_control(frames.write_ping(opaque, True))

    def send_ping(self, opaque: bytes) -> None:
        """Send a PING with eight octets of the caller's; PingAcknowledged follows (RFC 9113 §6.7). Raises ValueError
        for any other number."""
        if len(opaque) != 8:
            raise ValueError("a PING carries exactly 8 octets")
        if not self.closed:
            self._write_control(frames.write_ping(opaque, False))

    def _recv_rst_stream(self, stream_id: int, start: int, end: int) -> None:
        """RST_STREAM (RFC 9113 §6.4)."""
        if stream_id == 0:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "RST_STREAM on stream 0", "RFC 9113 §6.4")
        if end - start != 4:
            raise ConnectionFault(errors.FRAME_SIZE_ERROR, "RST_STREAM is not 4 octets", "RFC 9113 §6.4")
        stream = self._streams.get(stream_id)
        if stream is None:
            self._refuse_step(stream_id, self._state_of(stream_id), RECV_RST, "RST_STREAM")
            self._spend_free(1)
            return
        code = self._u32(start)
        early = self.is_server and not stream.headers_sent
        self._drop(stream, CLOSED_BY_PEER)
        reason = "the peer reset the stream"
        self._events.append(StreamReset(stream_id, code, "remote", reason, "RFC 9113 §6.4", causes.RESET_BY_PEER))
        if early:
            self._spend_early(stream)

    def _recv_priority(self, stream_id: int, start: int, end: int) -> None:
        """PRIORITY (RFC 9113 §6.3): checked and ignored; no tree is built (RFC 9113 §5.3.2)."""
        if stream_id == 0:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "PRIORITY on stream 0", "RFC 9113 §6.3")
        if end - start != 5 or self._u32(start) & 0x7FFFFFFF == stream_id:
            wrong_size = end - start != 5
            code = errors.FRAME_SIZE_ERROR if wrong_size else errors.PROTOCOL_ERROR
            reason = "PRIORITY is not 5 octets" if wrong_size else "a stream that depends on itself"
            if stream_id not in self._streams and self._is_idle(stream_id):
                raise ConnectionFault(code, reason, "RFC 9113 §6.3")  # RST_STREAM cannot be sent on an idle stream
            raise StreamFault(stream_id, code, reason, "RFC 9113 §6.3")
        self._spend_free(1)

    def _recv_goaway(self, stream_id: int, start: int, end: int) -> None:
        """GOAWAY (RFC 9113 §6.8): no new streams; those that run go on, the connection ends with the last."""
        if stream_id != 0:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "GOAWAY on a stream", "RFC 9113 §6.8")
        if end - start < 8:
            raise ConnectionFault(errors.FRAME_SIZE_ERROR, "GOAWAY shorter than 8 octets", "RFC 9113 §6.8")
        if self._goaway_received:
            self._spend_odd(1)
        last = self._u32(start) & 0x7FFFFFFF
        self._goaway_received = True
        self._events.append(GoAwayReceived(last, self._u32(start + 4), self._input[start + 8 : end][:1_024]))
        self._on_goaway(last)
        if not self.closed and self.phase != DRAINING:
            self._end_when_empty = True
            if not self._streams:
                self.close(errors.NO_ERROR)

    def _on_goaway(self, last_stream_id: int) -> None:
        """What a GOAWAY means to the role's own streams."""

    def _recv_extension(self, kind: int, stream_id: int, start: int, end: int) -> None:
        """A type that RFC 9113 does not know: ignored (RFC 9113 §4.1), and odd."""
        self._spend_odd(1)

    def _recv_priority_update(self, stream_id: int, start: int, end: int) -> None:
        """PRIORITY_UPDATE (RFC 9218 §7.1)."""
        if stream_id != 0 or not self.is_server:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "PRIORITY_UPDATE out of place", "RFC 9218 §7.1")
        if end - start < 4:
            raise ConnectionFault(errors.FRAME_SIZE_ERROR, "PRIORITY_UPDATE shorter than 4 octets", "RFC 9218 §7.1")
        target = self._u32(start) & 0x7FFFFFFF
        if target % 2 == 0:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "PRIORITY_UPDATE for no request", "RFC 9218 §7.1")
        self._spend_free(1)
        value = self._input[start + 4 : end]
        stream = self._streams.get(target)
        if stream is not None:
            urgency, incremental = parse_priority(value)
            self._scheduler.change(stream, urgency, incremental)
        elif self._is_idle(target):
            early = self._early_priorities
            if early is None:
                early = {}
                self._early_priorities = early
            if target in early or len(early) < self.limits.max_concurrent_streams:
                early[target] = value[:64]
