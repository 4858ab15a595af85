"""One stream: its state, its two windows, what it has to send, and what was promised about its length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.engine.causes import CONTENT_TOO_LONG, CONTENT_TOO_SHORT
from headrace.engine.errors import PROTOCOL_ERROR, LocalProtocolError, StreamFault
from headrace.engine.h2.parts.receive_window import ReceiveWindow
from headrace.engine.h2.priority import DEFAULT_URGENCY
from headrace.engine.h2.states import HALF_CLOSED_REMOTE, OPEN

if TYPE_CHECKING:
    from mypy_extensions import i64


class Stream:
    """A plain record, changed by the connection that owns it.

    Windows are kept as differences to the side's INITIAL_WINDOW_SIZE, so that a SETTINGS frame that changes it costs
    the same for one stream as for a hundred (RFC 9113 §6.9.2): the send window is the peer's initial size plus
    `send_credit`, the receive window is our initial size minus `window.used`. Both may be negative.

    Defaults stand in the class body: compiled they are struct stores, interpreted they cost nothing a stream.
    """

    # sending
    send_credit: i64 = 0
    """WINDOW_UPDATE increments minus bytes sent."""
    queue: list[bytes] | None = None
    """Chunks accepted from the application that did not fit the windows or the write buffer yet."""
    queue_offset: i64 = 0
    """Bytes of the first chunk that are written already."""
    queued: i64 = 0
    """Bytes in `queue` still to be written."""
    held: i64 = 0
    """Of those, bytes whose writer waits for its SendAccepted; they take no room in the connection's buffer."""
    end_queued: bool = False
    """END_STREAM follows the queue."""
    trailers: list[tuple[bytes, bytes]] | None = None
    """Trailers follow the queue; encoded only when they are written, as HPACK goes by wire order."""
    never_indexed: frozenset[bytes] | None = None
    """Names of fields in `trailers` that become never-indexed literals (RFC 7541 §6.2.3)."""
    waiting: bool = False
    """A send returned False; its SendAccepted is owed."""
    scheduled: bool = False
    """In the scheduler: has content to send and a window for them."""
    headers_sent: bool = False
    """The final response's (client: the request's) headers are written."""
    bodiless: bool = False
    """HEAD, 204 or 304: content is left out (RFC 9110 §6.4.1)."""
    is_head: bool = False
    send_length: int = -1
    """content-length that we declared, -1 if none."""
    sent: int = 0
    """Bytes of content accepted for sending."""
    written: i64 = 0
    """Bytes of content written."""
    stalled_at: float = 0.0
    """Since when `queue` has something, or the last time real progress was seen."""
    stalled_mark: int = 0
    """`written` at that time."""
    # receiving
    opened_at: float = 0.0
    """Server: when the request came."""
    window: ReceiveWindow | None = None
    """What has come of the peer's content and is not given back; None before the first DATA."""
    small_charge: i64 = 0
    """What small DATA frames are charged until they are consumed."""
    fields_size: i64 = 0
    """Decoded size of the request's fields."""
    recv_length: int = -1
    """content-length that the peer declared, -1 if none."""
    received: int = 0
    """Bytes of content received, without padding."""
    upload_at: float = 0.0
    """Start of the period in which `min_upload_rate` is asked for."""
    upload_mark: int = 0
    """`received` at that time."""
    quiet_since: float = -1.0
    """Since when nothing of the content has come; below 0: since `upload_at`."""
    drips: i64 = 0
    """Pieces of content, since `upload_at`, that are too small for a message."""
    pause_s: float = -1.0
    """Longest pause that the application allows, 0: any; below 0: it has not said, and the limits count."""
    awaits_continue: bool = False
    """The request said `expect: 100-continue` and nothing has been answered."""
    head_received: bool = False
    """The head of the peer's message has come: the request's; of responses, the final one's."""
    is_tunnel: bool = False
    """A CONNECT stream: DATA is not content (RFC 9113 §8.5)."""
    # RFC 9218
    urgency: int = DEFAULT_URGENCY
    incremental: bool = True
    """True also when the peer said nothing: turns are then the fairest guess."""

    def __init__(self, stream_id: int, id_bytes: bytes, state: int) -> None:
        self.stream_id = stream_id
        self.id_bytes = id_bytes
        self.state = state

    def check_sending(self) -> None:
        """Raise LocalProtocolError where no content can follow: before the head, or behind the end of the message."""
        if not self.headers_sent:
            raise LocalProtocolError(f"stream {self.stream_id}: send the headers before the content")
        if self.end_queued or not self.we_are_open():
            raise LocalProtocolError(f"stream {self.stream_id}: the message has ended already")

    def count_sent(self, size: int, end_stream: bool) -> bool:
        """Count content against our content-length; return False when the message ends short of it. Raises
        LocalProtocolError for more than it says."""
        declared = self.send_length
        sent = self.sent + size
        if declared >= 0 and not self.bodiless:
            if sent > declared:
                raise LocalProtocolError(f"stream {self.stream_id}: {sent} bytes for a content-length of {declared}")
            if end_stream and sent < declared:
                self.sent = sent
                return False
        self.sent = sent
        return True

    def count_received(self, size: int, end_stream: bool) -> None:
        """Count content against the peer's content-length. Raises StreamFault where they differ."""
        self.received += size
        declared = self.recv_length
        if declared >= 0 and (self.received > declared or (end_stream and self.received != declared)):
            raise self.length_fault()

    def check_consumed(self, count: int) -> ReceiveWindow | None:
        """Return the window of `count` consumed bytes. Raises LocalProtocolError for more than are unread."""
        window = self.window
        unread: int = 0 if window is None else window.unread
        if count > unread or count < 0:
            raise LocalProtocolError(f"stream {self.stream_id}: {count} bytes consumed of {unread} unread")
        return window

    def length_fault(self) -> StreamFault:
        """Return the fault of a message whose DATA is not as long as its content-length says (RFC 9113 §8.1.1)."""
        is_long = self.received > self.recv_length
        reason = f"{'more' if is_long else 'fewer'} bytes of DATA than content-length says"
        cause = CONTENT_TOO_LONG if is_long else CONTENT_TOO_SHORT
        return StreamFault(self.stream_id, PROTOCOL_ERROR, reason, "RFC 9113 §8.1.1", cause)

    def date(self, now: float) -> None:
        """Date with `now` what began when no time was known."""
        if self.stalled_at < 0:
            self.stalled_at = now
        if self.upload_at < 0:
            self.upload_at = now

    def peer_is_open(self) -> bool:
        """Tell whether the peer may still send on this stream: it has not ended or reset it."""
        return self.state != HALF_CLOSED_REMOTE

    def we_are_open(self) -> bool:
        """Tell whether we may still send on this stream."""
        return self.state == OPEN or self.state == HALF_CLOSED_REMOTE
