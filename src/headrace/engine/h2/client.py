"""The client's role: requests go out, responses come in (RFC 9113 §8.1, §8.3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault, LocalProtocolError, Oversize, ProtocolError, StreamFault
from headrace.engine.events import Event, InformationalReceived, ResponseReceived, TrailersReceived
from headrace.engine.fields import ResponseHead, parse_response, parse_trailers
from headrace.engine.h2 import frames, reading, settings, waiting
from headrace.engine.h2.connection import Connection
from headrace.engine.h2.content import peer_ended
from headrace.engine.h2.faults import answer_fault, receive_closed, refuse_from
from headrace.engine.h2.heads.request import H2RequestHeads
from headrace.engine.h2.parts.closed_streams import raise_fault
from headrace.engine.h2.states import (
    CLOSED,
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

# What a request pays for: 100 or 102, early hints more than once, and a WINDOW_UPDATE.
_FRAMES_A_REQUEST: Final = 4


class H2ClientConnection(Connection):
    """An HTTP/2 client connection in memory.

    `limits` bound it (defaults when None), `now` is the owner's clock in seconds. The preface and SETTINGS are queued
    at once: the first `take_output` returns them. Server push is switched off (RFC 9113 §8.4).
    """

    def __init__(self, limits: Limits | None = None, *, now: float = 0.0) -> None:
        own_settings = [(settings.ENABLE_PUSH, 0), (settings.NO_RFC7540_PRIORITIES, 1)]
        super().__init__(limits if limits is not None else Limits(), False, own_settings, now)
        self._requests = H2RequestHeads(self._heads.encoder)
        # The first request whose head may still stand in the queue, and where.
        self._unwritten_id: int = 1
        self._unwritten_at: int = 0
        self._unwritten_head = b""

    def _set_drops(self, drops: bool) -> None:
        super()._set_drops(drops)
        self._requests.cache.set_drops(drops)

    # -- input and time ----------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the peer and return what happened, in order. Never raises for what the peer sent.

        `now` is the time in seconds on the clock that the owner uses for `deadline`. With `frames_per_turn` set, stops
        after that many frames and leaves `input_pending` True. After ConnectionEnded further input is ignored.
        """
        reading.begin(self, data, now)
        while reading.read(self):
            try:
                blocks = self._blocks
                self._take_block(blocks.stream_id, blocks.end_stream, blocks.take())
            except ProtocolError as fault:
                answer_fault(self, fault)
        return reading.finish(self)

    def receive_eof(self, now: float) -> list[Event]:
        """The peer is gone: open streams end with a StreamReset event each, then ConnectionEnded. Requests of which
        nothing was sent yet have code REFUSED_STREAM."""
        if not self.closed and self._is_unwritten():
            refuse_from(self, self._unwritten_id, "the connection ended before it was sent", "")
        return reading.receive_eof(self, now)

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what has become due at `now` and set the next deadline. Early calls are harmless."""
        return waiting.handle_deadline(self, now)

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
            and not self._drain.goaway_received
            and not self._drain.has_begun
            and len(self._streams.open) < self.peer.max_concurrent_streams
            and self._streams.next_id <= MAX_STREAM_ID
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
        stream_id = self._streams.own_id()
        stream = Stream(stream_id, frames.write_id(stream_id), HALF_CLOSED_LOCAL if end_stream else OPEN)
        stream.headers_sent = True
        stream.end_queued = end_stream
        stream.is_head = method == b"HEAD"
        stream.is_tunnel = method == b"CONNECT"
        if not stream.is_tunnel:
            stream.send_length = head.content_length
        self._streams.add(stream)
        self._allowance.pay(_FRAMES_A_REQUEST)
        output = self._output
        if len(head.block) <= self.peer.max_frame_size:
            frame = head.prefix + stream.id_bytes + head.block
        else:
            frame = frames.write_field_block(head.block, stream.id_bytes, end_stream, self.peer.max_frame_size)
        if not self._is_unwritten():
            self._unwritten_id = stream_id
            self._unwritten_at = output.position()
            self._unwritten_head = frame
        output.write(frame)
        return stream_id

    # -- responses ---------------------------------------------------------------------------------------------

    def _take_block(self, stream_id: int, end_stream: bool, block: bytes) -> None:
        """Take a field block that is whole: a response, interim or final, or the trailers of one."""
        section = reading.decode(self, block)
        stream = self._streams.open.get(stream_id)
        step = RECV_HEADERS_END if end_stream else RECV_HEADERS
        if stream is None:
            if self._streams.is_idle(stream_id):
                raise ConnectionFault(errors.PROTOCOL_ERROR, "a response to no request", "RFC 9113 §5.1")
            receive_closed(self, stream_id, step, "HEADERS")
            return
        self._blocks.check_dependency()
        state = next_state(stream.state, step)
        if state > CLOSED:
            raise_fault(stream_id, state, "HEADERS")
        if section.truncated:
            raise Oversize(stream_id, "a field section beyond the limits (max_field_section_size, max_fields)")
        if stream.head_received:
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
            self._allowance.spend(1, self._now)
            self._events.append(InformationalReceived(stream_id, head.status, head.headers, head.never_indexed))
            return
        stream.head_received = True
        if head.status >= 300:
            stream.is_tunnel = False
        if stream.is_head or is_bodiless(head.status):
            stream.recv_length = 0
        elif not stream.is_tunnel:
            stream.recv_length = head.content_length
            if end_stream and head.content_length > 0:
                raise stream.length_fault()
        self._events.append(ResponseReceived(stream_id, head.status, head.headers, end_stream, head.never_indexed))
        if end_stream:
            peer_ended(self, stream, state)

    def _take_trailers(self, stream: Stream, section: FieldSection, end_stream: bool, state: int) -> None:
        stream_id = stream.stream_id
        if stream.is_tunnel:
            raise StreamFault(stream_id, errors.PROTOCOL_ERROR, "HEADERS on a CONNECT stream", "RFC 9113 §8.5")
        if not end_stream:
            raise StreamFault(stream_id, errors.PROTOCOL_ERROR, "trailers without END_STREAM", "RFC 9113 §8.1")
        trailers = parse_trailers(stream_id, section)
        if stream.recv_length >= 0 and stream.received != stream.recv_length:
            raise stream.length_fault()
        self._events.append(TrailersReceived(stream_id, trailers, section.never_indexed))
        peer_ended(self, stream, state)

    # -- what the owner asks about -----------------------------------------------------------------------------

    def receive_failure(self, now: float, reason: str) -> list[Event]:
        """End like `receive_eof`: in HTTP/2 no content ends with the connection."""
        return self.receive_eof(now)

    def _is_unwritten(self) -> bool:
        """Tell whether nothing was taken since the request `_unwritten_id`, so that it and later ones are not sent."""
        return self._output.holds(self._unwritten_head, self._unwritten_at)

    @property
    def origins(self) -> list[bytes]:
        """The origins that ORIGIN frames have named so far (RFC 8336), 64 and 4,096 bytes at most."""
        return [] if self._origins is None else list(self._origins.known)
