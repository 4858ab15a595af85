"""One stream: its state, its two windows, what it has to send, and what was promised about its length."""

from __future__ import annotations

from headrace.engine.h2.priority import DEFAULT_URGENCY
from headrace.engine.h2.states import HALF_CLOSED_REMOTE, OPEN


class Stream:
    """A plain record, changed by the connection that owns it.

    Windows are kept as differences to the side's INITIAL_WINDOW_SIZE, so that a SETTINGS frame that changes it costs
    the same for one stream as for a hundred (RFC 9113 §6.9.2): the send window is the peer's initial size plus
    `send_credit`, the receive window is our initial size minus `recv_used`. Both may be negative.

    Defaults stand in the class body: compiled they are struct stores, interpreted they cost nothing a stream.
    """

    # sending
    send_credit: int = 0
    """WINDOW_UPDATE increments minus octets sent."""
    queue: list[bytes] | None = None
    """Chunks accepted from the application that did not fit the windows or the write buffer yet."""
    queue_offset: int = 0
    """Octets of the first chunk that are written already."""
    queued: int = 0
    """Octets in `queue` still to be written."""
    held: int = 0
    """Of those, octets whose writer waits for its SendAccepted; they take no room in the connection's buffer."""
    end_queued: bool = False
    """END_STREAM follows the queue."""
    trailers: list[tuple[bytes, bytes]] | None = None
    """Trailers follow the queue; encoded only when they are written, as HPACK goes by wire order."""
    never_indexed: frozenset[bytes] | None = None
    """Names of fields in `trailers` that become never-indexed literals (RFC 7541 §6.2.3)."""
    waiting: bool = False
    """A send returned False; its SendAccepted is owed."""
    scheduled: bool = False
    """In the scheduler: has octets to send and a window for them."""
    headers_sent: bool = False
    """The final response's (client: the request's) headers are written."""
    bodiless: bool = False
    """HEAD, 204 or 304: content is left out (RFC 9110 §6.4.1)."""
    is_head: bool = False
    send_length: int = -1
    """content-length that we declared, -1 if none."""
    sent: int = 0
    """Octets of content accepted for sending."""
    written: int = 0
    """Octets of content written."""
    stalled_at: float = 0.0
    """Since when `queue` has something, or the last time real progress was seen."""
    stalled_mark: int = 0
    """`written` at that time."""
    # receiving
    opened_at: float = 0.0
    """Server: when the request came."""
    recv_used: int = 0
    """Octets received whose credit has not gone back."""
    consumed: int = 0
    """Octets consumed by the application whose credit is still to go back."""
    unread: int = 0
    """Octets handed to the application and not consumed."""
    small_charge: int = 0
    """What small DATA frames are charged until they are consumed."""
    fields_size: int = 0
    """Decoded size of the request's fields."""
    recv_length: int = -1
    """content-length that the peer declared, -1 if none."""
    received: int = 0
    """Octets of content received, without padding."""
    upload_at: float = 0.0
    """Start of the period in which `min_upload_rate` is asked for."""
    upload_mark: int = 0
    """`received` at that time."""
    quiet_since: float = -1.0
    """Since when nothing of the content has come; below 0: since `upload_at`."""
    drips: int = 0
    """Pieces of content, since `upload_at`, that are too small for a message."""
    pause_s: float = -1.0
    """Longest pause that the application allows, 0: any; below 0: it has not said, and the limits count."""
    awaits_continue: bool = False
    """The request said `expect: 100-continue` and nothing has been answered."""
    final_received: bool = False
    """Client: the final response's headers have arrived."""
    is_tunnel: bool = False
    """A CONNECT stream: DATA is not content (RFC 9113 §8.5)."""
    # RFC 9218
    urgency: int = DEFAULT_URGENCY
    incremental: bool = True
    """True also when the peer said nothing: turns are then the fairest guess."""

    def __init__(self, stream_id: int, id_octets: bytes, state: int) -> None:
        self.stream_id = stream_id
        self.id_octets = id_octets
        self.state = state

    def peer_is_open(self) -> bool:
        """Tell whether the peer may still send on this stream: it has not ended or reset it."""
        return self.state != HALF_CLOSED_REMOTE

    def we_are_open(self) -> bool:
        """Tell whether we may still send on this stream."""
        return self.state == OPEN or self.state == HALF_CLOSED_REMOTE
