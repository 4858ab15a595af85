"""Every limit that can be set, each with its reason. Sizes in bytes, times in seconds (`_s`)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

MAX_WINDOW: Final = 2**31 - 1  # RFC 9113 §6.9.1: no window may exceed it
MAX_STREAM_ID: Final = 2**31 - 1  # RFC 9113 §5.1.1
DEFAULT_WINDOW: Final = 65_535  # RFC 9113 §6.9.2
DEFAULT_FRAME_SIZE: Final = 16_384  # RFC 9113 §6.5.2
LARGEST_FRAME_SIZE: Final = 2**24 - 1  # RFC 9113 §6.5.2
DRIP: Final = 5  # a shorter piece of content is not a message: gRPC's have five bytes in front of them
DRIPS: Final = 3  # so many of them within `upload_grace_s` make content that drips
BYTES_A_FRAME: Final = 64  # of a field section: 64 fields in HPACK's shortest form, or a dozen lines of HTTP/1.1, cost
# about as much to read as a frame costs together with what is done about it
CHUNKS_A_FRAME: Final = 4  # of HTTP/1.1: a chunk is handed on together with its neighbours, and so costs far less


@dataclass
class Limits:
    """The limits of one connection. Every attribute is a tested behaviour; the defaults suit a public server.

    Sizes and windows are in bytes, names that end in `_s` in seconds, rates per second. All of them bound one
    connection. Raises ValueError, with one sentence that names the limit, when a value is out of its range.
    """

    max_concurrent_streams: int = 100
    """Requests a peer may have open at once, counted until their handlers end."""
    max_field_section_size: int = 65_536
    """Decoded size of a field section, 32 bytes overhead a field (RFC 9113 §6.5.2); beyond it: 431 or a reset."""
    max_connection_fields_size: int = 786_432
    """The same, for all open requests of a connection together; beyond it: REFUSED_STREAM."""
    max_fields: int = 256
    """Fields in a section, cookie crumbs counted one by one: 180 cookies, as many as browsers keep of a domain, and 76
    more. Beyond it: as `max_field_section_size`."""
    max_block_size: int = 262_144
    """Compressed size of a field block, HEADERS and its CONTINUATIONs together. Four times `max_field_section_size`,
    because a section beyond that costs its request, while this one costs the connection."""
    max_continuations: int = 32
    """CONTINUATION frames after one HEADERS: twice as many as `max_block_size` takes in full frames."""
    max_settings: int = 32
    """Entries in one SETTINGS frame."""
    initial_stream_window: int = 262_144
    """Receive window of a stream; credit goes back only as the application consumes."""
    small_stream_window: int = 32_768
    """The same for all streams while `max_unread` bytes of a connection are unread, so that each stream goes on."""
    initial_connection_window: int = 1_048_576
    """Receive window of the connection; credit goes back on receipt."""
    max_unread: int = 4_194_304
    """Bytes that all handlers of a connection together may leave unread before its streams' windows become small."""
    max_frame_size: int = 16_384
    """Largest frame payload accepted; checked on the frame's header, before anything is stored."""
    max_stream_send_buffer: int = 65_536
    """Bytes of a stream that may wait for the peer's window before a write blocks; each piece beyond the first counts
    for 256 more than its size."""
    max_connection_send_buffer: int = 786_432
    """Bytes of all streams of a connection that are accepted and wait. A piece without room stays with its writer, one
    for each stream, until there is room, in order of arrival. With 100 such pieces of 16 KiB, and written data on its
    way, a connection whose peer takes nothing stays within 4 MB."""
    header_table_size: int = 4_096
    """HPACK dynamic table for input; our encoder never uses a larger one either."""
    preface_timeout_s: float = 10.0
    """Time for the client's preface of 24 bytes and its SETTINGS."""
    settings_ack_timeout_s: float = 60.0
    """Time for the acknowledgement of our SETTINGS (RFC 9113 §6.5.3). A client that waits for its own input, such as
    curl at a pipe, reads nothing meanwhile. An idle connection may stay for longer."""
    request_header_timeout_s: float = 30.0
    """Time from the first byte of a field block to its END_HEADERS."""
    idle_timeout_s: float = 75.0
    """Time without an open stream after which the connection ends with GOAWAY(NO_ERROR)."""
    min_upload_rate: float = 100.0
    """Bytes a second that a request body must bring in each `upload_grace_s`, while we leave it room: a body of
    announced length, a chunk that has begun, and a body that drips. 0: no limit, and none for pauses."""
    upload_grace_s: float = 10.0
    """Time over which `min_upload_rate` is measured."""
    upload_pause_timeout_s: float = 300.0
    """Longest pause between two pieces of a request body without a length (a call that sends messages), as Envoy's
    stream_idle_timeout; an application may set its own for a request. 0: no limit."""
    stalled_send_timeout_s: float = 60.0
    """Longest time that a stream with bytes to send may go without progress; small window updates do not extend it."""
    drain_timeout_s: float = 30.0
    """Time that running requests have after a drain began."""
    keepalive_ping_s: float = 0.0
    """A PING is sent after this time without a byte from the peer; 0: none."""
    keepalive_ack_s: float = 20.0
    """Time for the PING's acknowledgement; then the connection ends."""
    early_reset_burst: int = 300
    """Budget: resets by the peer before the answer (Rapid Reset), at once; of streams that were open for less than
    10 ms. See ADR 0027."""
    early_reset_rate: float = 30.0
    """The same, refilled a second; each answered request refills two more."""
    provoked_reset_burst: int = 20
    """Budget: resets that the peer's faults forced on us (MadeYouReset), at once."""
    provoked_reset_rate: float = 2.0
    """The same, refilled a second; ten answered requests refill one more."""
    odd_frame_burst: int = 1_000
    """Budget: legal but odd frames (PING, SETTINGS, PRIORITY, WINDOW_UPDATE of 1, unknown, empty, refused), at once."""
    odd_frame_rate: float = 100.0
    """The same, refilled a second."""
    small_data_budget: int = 4_194_304
    """Unread bytes of a stream in DATA frames of less than 256 bytes, each frame charged 256; beyond it the stream is
    reset. Sixteen times the window: messages of 16 bytes fill the window before, and are stopped by it."""
    control_queue_pause: int = 256
    """Control frames waiting to be written at which reading stops."""
    control_queue_end: int = 1_000
    """Control frames waiting to be written at which the connection ends."""
    max_message_size: int = 1_048_576
    """A WebSocket's message, inflated, each fragment of a fragmented one charged 256; beyond it: close code 1009."""
    max_message_queue: int = 16
    """Messages of a WebSocket that wait for its handler, of `max_message_size` together; then no more is read."""
    max_message_queue_size: int = 32_768
    """Bytes of a WebSocket that are kept, or inflated to, while its handler does not wait: beyond it no credit is given
    back. So a handler that never receives keeps this and `initial_stream_window`."""
    max_connection_messages_size: int = 8_388_608
    """Bytes that all WebSockets of a connection together reserve for messages above `max_message_queue_size`, each for
    `max_message_size`; then they come one after the other. One is always admitted."""
    websocket_ping_interval_s: float = 20.0
    """A WebSocket's ping is sent after this time without a byte from the peer; 0: none."""
    websocket_ping_timeout_s: float = 20.0
    """Time for any byte after that ping; then the WebSocket ends with 1006. 0: no end."""
    websocket_close_timeout_s: float = 5.0
    """Time for the peer's close frame after ours, and for a handler to see that its WebSocket is closed."""
    frames_per_turn: int = 0
    """Work done by one `receive_data`, in frames; 0: no limit. A server sets some 100, so that connections share the
    loop. Work of about the same cost counts as a frame: 64 bytes of a field section beyond the first; over HTTP/1.1 a
    head, a trailer, four chunks, 64 bytes of a head that is not remembered or of chunk extensions."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            lowest, highest = _RANGES.get(each.name, (0, MAX_WINDOW))
            if not lowest <= value <= highest:
                raise ValueError(f"{each.name} is {value}; it must be between {lowest} and {highest}")


_RANGES: Final[dict[str, tuple[Any, Any]]] = {
    "max_concurrent_streams": (1, MAX_WINDOW),
    "max_field_section_size": (1_024, 16_777_216),
    "max_connection_fields_size": (1_024, MAX_WINDOW),
    "max_fields": (8, 65_536),
    "max_block_size": (1_024, 16_777_216),
    "small_stream_window": (1_024, MAX_WINDOW),
    "initial_connection_window": (DEFAULT_WINDOW, MAX_WINDOW),
    "max_frame_size": (DEFAULT_FRAME_SIZE, 1_048_576),
    "max_stream_send_buffer": (1, MAX_WINDOW),
    "max_connection_send_buffer": (1, MAX_WINDOW),
    "header_table_size": (0, 4_096),
    "preface_timeout_s": (0.001, 86_400),
    "settings_ack_timeout_s": (0.001, 86_400),
    "request_header_timeout_s": (0.001, 86_400),
    "idle_timeout_s": (0.001, 86_400),
    "upload_pause_timeout_s": (0, 86_400),
    "stalled_send_timeout_s": (0.001, 86_400),
    "drain_timeout_s": (0, 86_400),
    "keepalive_ack_s": (0.001, 86_400),
    "max_message_size": (1, MAX_WINDOW),
    "max_message_queue": (1, MAX_WINDOW),
    "max_message_queue_size": (1, MAX_WINDOW),
    "max_connection_messages_size": (0, MAX_WINDOW),
    "websocket_ping_interval_s": (0, 86_400),
    "websocket_ping_timeout_s": (0, 86_400),
    "websocket_close_timeout_s": (0.001, 86_400),
    "control_queue_pause": (1, MAX_WINDOW),
    "control_queue_end": (2, MAX_WINDOW),
}
