"""The client's role: requests go out, responses come in (RFC 9113 §8.1, §8.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headrace.engine import errors
from headrace.engine.causes import NOT_PROCESSED
from headrace.engine.errors import ConnectionFault, LocalProtocolError, Oversize, StreamFault
from headrace.engine.events import (
    Event,
    InformationalReceived,
    OriginReceived,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
)
from headrace.engine.fields import ResponseHead, is_origin, parse_response, parse_trailers
from headrace.engine.h2 import frames, settings
from headrace.engine.h2.connection import Connection
from headrace.engine.h2.faults import length_fault
from headrace.engine.h2.heads.request import RequestHeads
from headrace.engine.h2.output import DRAINING
from headrace.engine.h2.states import (
    CLOSED,
    CLOSED_BY_US,
    HALF_CLOSED_LOCAL,
    OPEN,
    RECV_HEADERS,
    RECV_HEADERS_END,
    next_state,
)
from headrace.engine.h2.stream import Stream
from headrace.engine.hpack.field import FieldSection
from headrace.engine.limits import MAX_STREAM_ID, Limits
from headrace.engine.message import is_bodiless

# What ORIGIN frames may cost (RFC 8336 §4: a client may have its limits).
_MOST_ORIGINS: Final = 64
_MOST_ORIGIN_OCTETS: Final = 4_096
# What a request pays for: 100 or 102, early hints more than once, and a WINDOW_UPDATE.
_FRAMES_A_REQUEST: Final = 4
_ODD_OCTETS: Final = 1_024  # of a frame that is ignored, or nearly so, count for one more


class ClientConnection(Connection):
    """An HTTP/2 client connection in memory.

    `limits` bound it (defaults when None), `now` is the owner's clock in seconds. The preface and SETTINGS are queued
    at once: the first `take_output` returns them. Server push is switched off (RFC 9113 §8.4).
    """

    frames_out: int
    streams_opened: int

    def __init__(self, limits: Limits | None = None, *, now: float = 0.0) -> None:
        self.next_stream_id: int = 1
        super().__init__(limits if limits is not None else Limits(), False, now)
        self._requests = RequestHeads(self._heads.encoder)
        # The first request whose head may still stand in the queue, and where.
        self._unwritten_id: int = 1
        self._unwritten_at: int = 0
        self._unwritten_head = b""
        self._origins: list[bytes] = []
        self._origins_size: int = 0
        self._origins_seen = False

    def _set_drops(self, drops: bool) -> None:
        super()._set_drops(drops)
        self._requests.cache.set_drops(drops)

    def _own_settings(self) -> list[tuple[int, int]]:
        return [(settings.ENABLE_PUSH, 0), (settings.NO_RFC7540_PRIORITIES, 1)]

    def _is_idle(self, stream_id: int) -> bool:
        return stream_id % 2 == 0 or stream_id >= self.next_stream_id

    # -- requests ----------------------------------------------------------------------------------------------

    @property
    def http_version(self) -> str:
        """Always "2"."""
        return "2"

    @property
    def can_send_request(self) -> bool:
        """True while a further request may be opened: not ending, and below the peer's MAX_CONCURRENT_STREAMS."""
        return (
            not self.closed
            and not self._goaway_received
            and self.phase != DRAINING
            and len(self._streams) < self.peer.max_concurrent_streams
            and self.next_stream_id <= MAX_STREAM_ID
        )

    def send_request(
        self,
        method: bytes,
        scheme: bytes,
        authority: bytes,
        path: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        *,
        end_stream: bool,
        protocol: bytes | None = None,
        content_length: int = -1,
        never_indexed: frozenset[bytes] | None = None,
    ) -> int:
        """Open a stream with a request and return its identifier; content follows by `send_data` unless `end_stream`.

        `protocol` makes it an extended CONNECT (RFC 8441 §4). For a plain CONNECT leave `scheme` and `path` empty.
        `content_length`, unless -1, becomes the field content-length, or has to agree with it. Fields of the names in
        `never_indexed` become never-indexed literals (RFC 7541 §6.2.3).
        Raises LocalProtocolError when no stream can be opened now (see `can_send_request`) or the peer does not offer
        extended CONNECT; InvalidFieldError for fields that must not be sent.
        """
        if not self.can_send_request:
            raise LocalProtocolError("no stream can be opened now: the connection ends, or the peer's limit is reached")
        if protocol is not None and not self.peer.enable_connect_protocol:
            raise LocalProtocolError("the peer does not offer extended CONNECT (RFC 8441 §3)")
        head = self._requests.request(
            method,
            scheme,
            authority,
            path,
            headers,
            protocol,
            content_length,
            end_stream,
            never_indexed,
        )
        stream_id = self.next_stream_id
        self.next_stream_id = stream_id + 2
        stream = Stream(stream_id, frames.write_id(stream_id), HALF_CLOSED_LOCAL if end_stream else OPEN)
        stream.headers_sent = True
        stream.end_queued = end_stream
        stream.is_head = method == b"HEAD"
        stream.is_tunnel = method == b"CONNECT"
        if not stream.is_tunnel:
            stream.send_length = head.content_length
        self._streams[stream_id] = stream
        self.streams_opened += 1
        self._free_frames += _FRAMES_A_REQUEST
        out = self._out
        if len(head.block) <= self.peer.max_frame_size:
            frame = head.prefix + stream.id_octets + head.block
        else:
            frame = frames.write_field_block(head.block, stream.id_octets, end_stream, self.peer.max_frame_size)
        if not self._is_unwritten():
            self._unwritten_id = stream_id
            self._unwritten_at = len(out)
            self._unwritten_head = frame
        out.append(frame)
        self._out_size += len(frame)
        self.frames_out += 1
        return stream_id

    # -- responses ---------------------------------------------------------------------------------------------

    def _take_block(self, stream_id: int, end_stream: bool, block: bytes) -> None:
        section = self._decode(block)
        stream = self._streams.get(stream_id)
        step = RECV_HEADERS_END if end_stream else RECV_HEADERS
        if stream is None:
            if self._is_idle(stream_id):
                raise ConnectionFault(errors.PROTOCOL_ERROR, "a response to no request", "RFC 9113 §5.1")
            self._refuse_step(stream_id, self._state_of(stream_id), step, "HEADERS")
            return
        self._check_dependency(stream_id)
        state = next_state(stream.state, step)
        if state > CLOSED:
            self._refuse_step(stream_id, stream.state, step, "HEADERS")
        if section.truncated:
            raise Oversize(stream_id, "a field section beyond the limits (max_field_section_size, max_fields)")
        if stream.final_received:
            self._take_trailers(stream, section, end_stream, state)
        else:
            self._take_head(stream, section, end_stream, state)

    def _take_head(self, stream: Stream, section: FieldSection, end_stream: bool, state: int) -> None:
        stream_id = stream.stream_id
        head: ResponseHead
        if isinstance(section.memo, ResponseHead):
            head = section.memo
        else:
            head = parse_response(stream_id, section)
            section.memo = head
        if head.status < 200:
            if end_stream:
                raise StreamFault(stream_id, errors.PROTOCOL_ERROR, "a 1xx response with END_STREAM", "RFC 9113 §8.1")
            self._spend_free(1)
            self._events.append(InformationalReceived(stream_id, head.status, head.headers, head.never_indexed))
            return
        stream.final_received = True
        if head.status >= 300:
            stream.is_tunnel = False
        if stream.is_head or is_bodiless(head.status):
            stream.recv_length = 0
        elif not stream.is_tunnel:
            stream.recv_length = head.content_length
            if end_stream and head.content_length > 0:
                raise length_fault(stream)
        self._events.append(ResponseReceived(stream_id, head.status, head.headers, end_stream, head.never_indexed))
        if end_stream:
            self._peer_ended(stream, state)

    def _take_trailers(self, stream: Stream, section: FieldSection, end_stream: bool, state: int) -> None:
        stream_id = stream.stream_id
        if stream.is_tunnel:
            raise StreamFault(stream_id, errors.PROTOCOL_ERROR, "HEADERS on a CONNECT stream", "RFC 9113 §8.5")
        if not end_stream:
            raise StreamFault(stream_id, errors.PROTOCOL_ERROR, "trailers without END_STREAM", "RFC 9113 §8.1")
        trailers = parse_trailers(stream_id, section)
        if stream.recv_length >= 0 and stream.received != stream.recv_length:
            raise length_fault(stream)
        self._events.append(TrailersReceived(stream_id, trailers, section.never_indexed))
        self._peer_ended(stream, state)

    def _count_late_data(self, flow_length: int) -> None:
        """What was under way when we reset a stream is at most what was left of its window (RFC 9113 §6.9.1). A server
        that goes on beyond that would be read for ever, as the connection's credit comes back."""
        self._late_data -= flow_length
        if self._late_data < 0:
            raise ConnectionFault(
                errors.FLOW_CONTROL_ERROR, "DATA beyond the windows of streams that were reset", "RFC 9113 §6.9.1"
            )

    def _check_message_data(self, stream: Stream) -> None:
        if not stream.final_received:
            raise StreamFault(stream.stream_id, errors.PROTOCOL_ERROR, "DATA before the response", "RFC 9113 §8.1")

    def _on_goaway(self, last_stream_id: int) -> None:
        """Streams above the last identifier were not processed and can be sent again elsewhere (RFC 9113 §6.8)."""
        self._refuse_from(last_stream_id + 1, "not processed before GOAWAY", "RFC 9113 §6.8")

    def receive_eof(self, now: float) -> list[Event]:
        """The peer is gone: open streams end with a StreamReset event each, then ConnectionEnded. Requests of which
        nothing was sent yet have code REFUSED_STREAM."""
        if not self.closed and self._is_unwritten():
            self._refuse_from(self._unwritten_id, "the connection ended before it was sent", "")
        return super().receive_eof(now)

    def receive_failure(self, now: float, reason: str) -> list[Event]:
        """End like `receive_eof`: in HTTP/2 no content ends with the connection."""
        return self.receive_eof(now)

    def _is_unwritten(self) -> bool:
        """Tell whether nothing was taken since the request `_unwritten_id`, so that it and later ones are not sent."""
        at = self._unwritten_at
        out = self._out
        return at < len(out) and out[at] is self._unwritten_head

    def _refuse_from(self, first: int, reason: str, section: str) -> None:
        for stream_id in list(self._streams):
            if stream_id >= first:
                self._drop(self._streams[stream_id], CLOSED_BY_US)
                reset = StreamReset(stream_id, errors.REFUSED_STREAM, "remote", reason, section, NOT_PROCESSED)
                self._events.append(reset)

    # -- extensions --------------------------------------------------------------------------------------------

    @property
    def origins(self) -> list[bytes]:
        """The origins that ORIGIN frames have named so far (RFC 8336), 64 and 4,096 octets at most."""
        return list(self._origins)

    def _recv_extension(self, kind: int, stream_id: int, start: int, end: int) -> None:
        """ORIGIN (RFC 8336 §2); all other types are ignored, ALTSVC (RFC 7838 §4) among them. Each is odd."""
        self._spend_odd(1 + (end - start) // _ODD_OCTETS)
        if kind != frames.ORIGIN or stream_id != 0:  # RFC 8336 §2.1: on a stream it is ignored
            return
        data = self._input
        new: list[bytes] = []
        left = _MOST_ORIGINS  # entries of one frame that are looked at
        while end - start >= 2 and left > 0:
            left -= 1
            size = data[start] << 8 | data[start + 1]
            start += 2
            if size > end - start:
                break
            origin = data[start : start + size]
            start += size
            if (
                is_origin(origin)
                and len(self._origins) < _MOST_ORIGINS
                and self._origins_size + size <= _MOST_ORIGIN_OCTETS
                and origin not in self._origins
            ):
                self._origins.append(origin)
                self._origins_size += size
                new.append(origin)
        if new or not self._origins_seen:
            self._origins_seen = True
            self._events.append(OriginReceived(new))
