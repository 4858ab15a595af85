"""Receive windows: whether DATA may come, and when its credit goes back (RFC 9113 §5.2, §6.9).

A stream's credit goes back as its application consumes, the connection's on receipt: so an application that does not
read holds up its own stream and no other (docs/adr/0026). The windows of the streams bound how much may be unread, and
they are small from the moment when `max_unread` bytes are unread (RFC 9113 §6.9.2): SETTINGS shrink them all at once.
Until the peer acknowledges that, and no longer, the connection's credit waits; so no more is ever unread than

    max_unread + initial_connection_window + responses or requests that are unread x small_stream_window
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine.limits import DEFAULT_WINDOW, Limits

if TYPE_CHECKING:
    from mypy_extensions import i64

_SMALL_FOR_S: Final = 1.0  # at least: a peer that reads by fits and starts shall not cost a SETTINGS frame each time


class ReceiveWindow:
    """What one flow-control window of ours has taken, and what of that is to go back.

    The window's size is an argument: one SETTINGS frame changes that of all streams at once (RFC 9113 §6.9.2).
    """

    def __init__(self) -> None:
        self.used: i64 = 0
        """Bytes received whose credit has not gone back; the space available is the size minus this, and may be
        negative after the size has shrunk."""
        self.credit: i64 = 0
        """Of those, bytes whose credit may go back and has not been announced yet."""
        self.unread: i64 = 0
        """Bytes that applications have not consumed."""

    def receive(self, length: i64, size: i64) -> bool:
        """Count a DATA frame of `length` bytes; return False when it goes beyond a window of `size`.

        "The sender MUST NOT send a flow-controlled frame with a length that exceeds the space available in either of
        the flow-control windows advertised by the receiver. Frames with zero length with the END_STREAM flag set [...]
        MAY be sent if there is no available space in either flow-control window." (RFC 9113 §6.9.1)
        """
        self.used += length
        return self.used <= size or length == 0

    def hold(self, count: i64) -> None:
        """Count `count` bytes more as unread, or below 0 fewer."""
        self.unread += count

    def give_back(self, count: i64) -> None:
        """Let the credit of `count` bytes go back."""
        self.credit += count

    def take_increment(self, size: i64) -> i64:
        """Return the increment of a WINDOW_UPDATE that is due, and count it as announced; 0 for none.

        Credit goes back once it is half of a window of `size`: "Receivers are advised to have mechanisms in place to
        avoid sending WINDOW_UPDATE frames with very small increments" (RFC 9113 §6.9.1).
        """
        credit = self.credit
        if credit * 2 < size:
            return 0
        self.used -= credit
        self.credit = 0
        return credit


class ReceiveWindows:
    """The connection's window, and the size that the windows of its streams have: large, or small for a while."""

    def __init__(self, limits: Limits) -> None:
        self.connection: ReceiveWindow = ReceiveWindow()
        self.connection_size: i64 = limits.initial_connection_window
        self.max_unread: i64 = limits.max_unread
        self.in_force: i64 = DEFAULT_WINDOW
        """A stream's window as it counts for the peer: the last size that it has acknowledged."""
        self.announced: i64 = limits.initial_stream_window
        """A stream's window as our SETTINGS said last."""
        self.large: i64 = limits.initial_stream_window
        self.small: i64 = min(limits.small_stream_window, limits.initial_stream_window)
        self._small_until: float = 0.0

    def available(self) -> i64:
        """Return the bytes that the peer may send on the connection now."""
        return self.connection_size - self.connection.used

    def has_room(self, window: ReceiveWindow | None) -> bool:
        """Tell whether the peer may send content on a stream, however much it knows of a change of sizes. A stream
        that has received nothing yet may have no window."""
        if self.connection.unread >= self.max_unread and not self._is_bounded():
            return False
        return min(self.in_force, self.announced) > (0 if window is None else window.used)

    def receive(self, length: i64) -> bool:
        """Count DATA on the connection, whose credit goes back on receipt; return False when it goes beyond."""
        self.connection.give_back(length)
        return self.connection.receive(length, self.connection_size)

    def hand_over(self, window: ReceiveWindow, length: i64) -> bool:
        """Count DATA as unread: its application has it now. Return True when the sizes may have to change."""
        connection = self.connection
        window.hold(length)
        connection.hold(length)
        return connection.unread >= self.max_unread or self.announced != self.large

    def consume(self, window: ReceiveWindow, count: i64) -> None:
        """Count `count` bytes of a stream as consumed by its application."""
        window.hold(-count)
        window.give_back(count)
        self.connection.hold(-count)

    def release(self, window: ReceiveWindow) -> None:
        """Count all of a stream that has ended as read; `hold` keeps count of what its application still has."""
        self.connection.hold(-window.unread)
        window.hold(-window.unread)

    def hold(self, count: i64) -> None:
        """Count `count` bytes of streams that have ended as unread, or below 0 so many fewer."""
        self.connection.hold(count)

    def take_connection_increment(self) -> i64:
        """Return the increment for stream 0 that is due, 0 for none. It waits where `max_unread` bytes are unread and
        the peer has not acknowledged small windows yet."""
        connection = self.connection
        if connection.unread >= self.max_unread and not self._is_bounded():
            return 0
        return connection.take_increment(self.connection_size)

    def take_stream_increment(self, window: ReceiveWindow) -> i64:
        """Return the increment for a stream that is due, 0 for none. While a change of sizes is under way the peer has
        one or the other, so half of the smaller one counts."""
        return window.take_increment(self.in_force if self.in_force < self.announced else self.announced)

    def resize(self, now: float) -> i64:
        """Return the INITIAL_WINDOW_SIZE to announce now, -1 for no change: small where much is unread, large again
        where it is not. Must not be called before the last one is acknowledged, as only that tells what counts."""
        unread = self.connection.unread
        if unread >= self.max_unread:
            size = self.small
        elif unread * 4 < self.max_unread and now >= self._small_until:
            size = self.large
        else:
            return -1
        if size == self.announced:
            return -1
        self.announced = size
        self._small_until = now + _SMALL_FOR_S
        return size

    def acknowledge_size(self) -> None:
        """Put the announced size into force: the peer has acknowledged our SETTINGS (RFC 9113 §6.5.3)."""
        self.in_force = self.announced

    def _is_bounded(self) -> bool:
        """Tell whether the streams' own windows bound what is unread: then the connection's need not."""
        return self.in_force <= self.small and self.announced <= self.small
