"""What the peer may send us: both windows, when their credit goes back, and that they shrink when much is unread.

A stream's credit goes back as its application consumes, the connection's on receipt: so whoever does not read holds up
its own stream and no other (docs/adr/0026). What may be unread is bounded by the windows of the streams, and those are
small from the moment when `max_unread` octets are unread (RFC 9113 §6.9.2): SETTINGS shrink them all at once. Until the
peer acknowledges that, and no longer, the connection's credit waits; so no more is ever unread than

    max_unread + initial_connection_window + responses or requests that are unread x small_stream_window
"""

from __future__ import annotations

from typing import Final

from headrace.engine.errors import LocalProtocolError
from headrace.engine.h2 import frames, settings
from headrace.engine.h2.field_blocks import FieldBlocks
from headrace.engine.h2.stream import Stream
from headrace.engine.limits import DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, Limits
from headrace.engine.timed import NEVER

_SMALL_FOR_S: Final = 1.0  # at least: a peer that reads by fits and starts shall not cost a SETTINGS frame each time


class Credit(FieldBlocks):
    """The receiving side of flow control (RFC 9113 §5.2, §6.9)."""

    def __init__(self, limits: Limits, is_server: bool, now: float) -> None:
        super().__init__(limits, is_server, now)
        self._connection_window: int = DEFAULT_WINDOW
        self._connection_used: int = 0
        self._connection_credit: int = 0
        # Windows of streams: what counts for the peer, what our SETTINGS said last, and the small one.
        self._local_window: int = DEFAULT_WINDOW
        self._announced_window: int = limits.initial_stream_window
        self._small_window: int = min(limits.small_stream_window, limits.initial_stream_window)
        self._frame_limit: int = DEFAULT_FRAME_SIZE
        self._is_shrunk = False
        self._shrunk_until: float = 0.0

    def _receive_window(self) -> int:
        return self._connection_window - self._connection_used

    def _is_bounded(self) -> bool:
        """Tell whether the streams' own windows bound what is unread: then the connection's need not."""
        return self._local_window <= self._small_window and self._announced_window <= self._small_window

    def _has_room(self, stream: Stream) -> bool:
        """Tell whether the peer may send content on this stream now, whatever it has seen of a change of windows."""
        if self._unread >= self.limits.max_unread and not self._is_bounded():
            return False
        return min(self._local_window, self._announced_window) > stream.recv_used

    def _credit_connection(self) -> None:
        """Give back connection credit in big steps, on receipt. It waits where `max_unread` octets are unread and the
        peer has not acknowledged small windows yet."""
        if self._connection_credit * 2 >= self._connection_window:
            if self._unread >= self.limits.max_unread and not self._is_bounded():
                return
            self._write_control(frames.write_window_update(0, self._connection_credit))
            self._connection_used -= self._connection_credit
            self._connection_credit = 0

    def _credit_stream(self, stream: Stream) -> None:
        """Give back stream credit in big steps, once consumed; none for a stream whose peer has ended."""
        consumed = stream.consumed
        if consumed and stream.peer_is_open():
            # Half of the smaller window: while a change is under way the peer has one or the other.
            if consumed * 2 >= self._local_window or consumed * 2 >= self._announced_window:
                self._write_control(frames.write_window_update(stream.stream_id, consumed))
                stream.recv_used -= consumed
                stream.consumed = 0
                stream.upload_at = self._stamp()
                stream.upload_mark = stream.received
                stream.quiet_since = -1.0

    def acknowledge_data(self, stream_id: int, count: int) -> None:
        """The application consumed `count` octets (of DataReceived.flow_length): credit goes back, in big steps.

        A no-op on a stream that is gone, whose credit has gone back already. Raises LocalProtocolError for more octets
        than are unread.
        """
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if count > stream.unread or count < 0:
            raise LocalProtocolError(f"stream {stream_id}: {count} octets consumed of {stream.unread} unread")
        stream.unread -= count
        self._unread -= count
        if stream.small_charge and stream.unread == 0:
            stream.small_charge = 0
        stream.consumed += count
        self._credit_stream(stream)
        self._credit_connection()

    def hold_data(self, count: int) -> None:
        """`count` octets of streams that have ended are still unread, or below 0 so many fewer."""
        self._unread += count

    def _fit_windows(self) -> None:
        """Make the streams' windows small where much is unread, and large again where it is not. Called with input, as
        that is when the time is known; one change at a time, as only an acknowledgement tells what counts."""
        if self._settings_due != NEVER:
            return
        limits = self.limits
        if self._unread >= limits.max_unread:
            window = self._small_window
        elif self._unread * 4 < limits.max_unread and self._now >= self._shrunk_until:
            window = limits.initial_stream_window
        else:
            return
        if window == self._announced_window:
            return
        self._announced_window = window
        self._is_shrunk = window != limits.initial_stream_window
        self._shrunk_until = self._now + _SMALL_FOR_S
        self._settings_due = self._now + limits.settings_ack_timeout_s
        self._at_latest(self._settings_due)
        self._write_control(frames.write_settings([(settings.INITIAL_WINDOW_SIZE, window)]))
        if self._is_shrunk:
            for stream in self._streams.values():
                self._credit_stream(stream)  # what is less than half of a large window may be all of a small one

    def _own_settings_count(self) -> None:
        """The peer acknowledged our SETTINGS: from here on they are in force for it (RFC 9113 §6.5.3)."""
        self._settings_due = NEVER
        self._frame_limit = self.limits.max_frame_size
        self._local_window = self._announced_window
        self._decoder.set_max_table_size(self.limits.header_table_size)
        self._fit_windows()  # what was not possible while they were under way
        self._credit_connection()
