"""Send windows: how much DATA the peer takes now (RFC 9113 §5.2, §6.9).

A stream keeps its window as the difference to the peer's INITIAL_WINDOW_SIZE, `send_credit`: so a SETTINGS frame that
changes that costs the same for one stream as for a hundred.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault, StreamFault
from headrace.engine.h2.stream import Stream
from headrace.engine.limits import DEFAULT_WINDOW, MAX_WINDOW

if TYPE_CHECKING:
    from mypy_extensions import i64


class SendWindows:
    """The connection's send window, and what those of its streams are counted from.

    "The sender MUST NOT send a flow-controlled frame with a length that exceeds the space available in either of the
    flow-control windows advertised by the receiver. [...] After sending a flow-controlled frame, the sender reduces the
    space available in both windows by the length of the transmitted frame." (RFC 9113 §6.9.1)
    """

    def __init__(self) -> None:
        self.connection: i64 = DEFAULT_WINDOW
        self.initial: i64 = DEFAULT_WINDOW
        """The peer's INITIAL_WINDOW_SIZE."""
        self._largest_credit: i64 = 0  # that a stream has had: only beyond it a raise can be an overflow

    def of(self, stream: Stream) -> i64:
        """Return the space in a stream's own window; it may be negative (RFC 9113 §6.9.2)."""
        return self.initial + stream.send_credit

    def charge(self, stream: Stream, length: i64) -> None:
        """Count a DATA frame that was written in both windows."""
        stream.send_credit -= length
        stream.written += length
        self.connection -= length

    def widen(self, increment: i64) -> None:
        """Apply a WINDOW_UPDATE for stream 0. Raises ConnectionFault for an increment of 0 and for a window too large.

        "A sender MUST NOT allow a flow-control window to exceed 2^31-1 bytes. If a sender receives a WINDOW_UPDATE
        that causes a flow-control window to exceed this maximum, it MUST terminate either the stream or the connection,
        as appropriate." (RFC 9113 §6.9.1)
        """
        if increment == 0:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "WINDOW_UPDATE of 0", "RFC 9113 §6.9")
        self.connection += increment
        if self.connection > MAX_WINDOW:
            raise ConnectionFault(errors.FLOW_CONTROL_ERROR, "connection window above 2^31-1", "RFC 9113 §6.9.1")

    def widen_stream(self, stream: Stream, increment: i64) -> None:
        """Apply a WINDOW_UPDATE for a stream. Raises StreamFault where `widen` raises ConnectionFault."""
        stream_id = stream.stream_id
        if increment == 0:
            raise StreamFault(stream_id, errors.PROTOCOL_ERROR, "WINDOW_UPDATE of 0", "RFC 9113 §6.9")
        stream.send_credit += increment
        if self.initial + stream.send_credit > MAX_WINDOW:
            raise StreamFault(stream_id, errors.FLOW_CONTROL_ERROR, "stream window above 2^31-1", "RFC 9113 §6.9.1")
        if stream.send_credit > self._largest_credit:
            self._largest_credit = stream.send_credit

    def set_initial(self, size: i64, streams: dict[int, Stream]) -> None:
        """Apply the peer's INITIAL_WINDOW_SIZE: the windows of all streams shift by arithmetic, and only where one may
        overflow each of `streams` is looked at. Raises ConnectionFault.

        "An endpoint MUST treat a change to SETTINGS_INITIAL_WINDOW_SIZE that causes any flow-control window to exceed
        the maximum size as a connection error (Section 5.4.1) of type FLOW_CONTROL_ERROR." (RFC 9113 §6.9.2)
        """
        self.initial = size
        if size + self._largest_credit > MAX_WINDOW:
            for stream in streams.values():
                if size + stream.send_credit > MAX_WINDOW:
                    raise ConnectionFault(
                        errors.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE lifts a window above 2^31-1", "RFC 9113 §6.9.2"
                    )
