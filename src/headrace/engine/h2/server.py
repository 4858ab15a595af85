"""The server's role: requests come in, responses go out (RFC 9113 §8.1, §8.3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from headrace.engine import errors
from headrace.engine.errors import (
    ConnectionFault,
    InvalidFieldError,
    LocalProtocolError,
    ProtocolError,
    RequestRefused,
    StreamFault,
)
from headrace.engine.events import ConnectReceived, Event, PeerFault, RequestReceived, StreamRefused, TrailersReceived
from headrace.engine.fields import RequestHead, parse_request, parse_trailers
from headrace.engine.h2 import frames, reading, settings, waiting
from headrace.engine.h2.connection import Connection
from headrace.engine.h2.content import peer_ended
from headrace.engine.h2.faults import answer_fault, receive_closed
from headrace.engine.h2.heads.response import EncodedHead
from headrace.engine.h2.parts.closed_streams import raise_fault
from headrace.engine.h2.parts.stream_deadlines import upload_check_s
from headrace.engine.h2.priority import DEFAULT_URGENCY, parse_priority
from headrace.engine.h2.states import (
    CLOSED,
    CLOSED_BY_US,
    HALF_CLOSED_REMOTE,
    OPEN,
    RECV_HEADERS,
    RECV_HEADERS_END,
    next_state,
)
from headrace.engine.h2.stream import Stream
from headrace.engine.hpack.field import FieldSection
from headrace.engine.limits import Limits
from headrace.engine.message import bytes_of

_GRPC: Final = b"application/grpc"
_RESOURCE_EXHAUSTED: Final = (  # a response of trailers alone (gRPC over HTTP2)
    (b"content-type", b"application/grpc"),
    (b"grpc-status", b"8"),
    (b"grpc-message", b"the request's metadata is beyond the limits"),
)
_OVERSIZE: Final = "RFC 9113 §10.5.1"
_OVERSIZE_UNIT: Final = 4_096


class H2ServerConnection(Connection):
    """An HTTP/2 server connection in memory.

    `limits` bound it (defaults when None), `enable_connect_protocol` offers RFC 8441, `now` is the owner's clock in
    seconds, `scheme` that of the connection, b"http" or b"https": requests have it whatever they say, as who speaks in
    the clear has no say in it (RFC 9110 §7.4). SETTINGS are queued at once: the first `take_output` returns them.

    The owner feeds `receive_data`, answers the events with verbs, and writes what `take_output` returns; it calls
    `handle_deadline` at the time that `deadline` names, stops reading while `read_paused`, and closes the transport
    once `closed` is True and the output is written. `phase` and `stats` are for people.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        enable_connect_protocol: bool = False,
        now: float = 0.0,
        scheme: bytes = b"http",
    ) -> None:
        limits = limits if limits is not None else Limits()
        self.enable_connect_protocol = enable_connect_protocol
        self._scheme = scheme
        self.streams_refused: int = 0
        own_settings = [(settings.MAX_CONCURRENT_STREAMS, limits.max_concurrent_streams)]
        if enable_connect_protocol:
            own_settings.append((settings.ENABLE_CONNECT_PROTOCOL, 1))
        own_settings.append((settings.NO_RFC7540_PRIORITIES, 1))
        super().__init__(limits, True, own_settings, now)

    def stats(self) -> dict[str, Any]:
        """As for any connection, and `streams_refused`."""
        return {**super().stats(), "streams_refused": self.streams_refused}

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
        """The peer is gone: open streams end with a StreamReset event each, then ConnectionEnded."""
        return reading.receive_eof(self, now)

    def receive_failure(self, now: float, reason: str) -> list[Event]:
        """End like `receive_eof`: in HTTP/2 no content ends with the connection."""
        return self.receive_eof(now)

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what has become due at `now` and set the next deadline. Early calls are harmless."""
        return waiting.handle_deadline(self, now)

    def allow_pauses(self, stream_id: int, longest_s: float) -> None:
        """Let the content of a request pause for `longest_s` seconds between any two pieces (0: for as long as it
        likes), in place of what the limits say; a no-op when the stream is gone."""
        stream = self._streams.open.get(stream_id)
        if stream is not None:
            stream.pause_s = longest_s
            self._at_latest(self._now + upload_check_s(self.limits))
            if longest_s > 0:
                self._at_latest(self._now + longest_s)

    # -- requests ----------------------------------------------------------------------------------------------

    def _take_block(self, stream_id: int, end_stream: bool, block: bytes) -> None:
        """Take a field block that is whole: a request, or the trailers of one."""
        section = reading.decode(self, block)
        streams = self._streams
        stream = streams.open.get(stream_id)
        if stream is not None:
            self._blocks.check_dependency()
            self._take_trailers(stream, section, end_stream)
            return
        if stream_id % 2 == 0:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "a client's stream with an even identifier", "RFC 9113 §5.1.1")
        if stream_id <= streams.highest_id:
            if streams.was_skipped(stream_id):
                raise ConnectionFault(
                    errors.PROTOCOL_ERROR, "a stream identifier that does not rise", "RFC 9113 §5.1.1"
                )
            receive_closed(self, stream_id, RECV_HEADERS_END if end_stream else RECV_HEADERS, "HEADERS")
            self._allowance.spend(1, self._now)
            return
        streams.use(stream_id)
        if stream_id > self._drain.refuse_above:
            self._refuse(stream_id)
            return
        streams.take(stream_id)
        self._blocks.check_dependency()
        if len(streams.open) >= self.limits.max_concurrent_streams:
            self._refuse(stream_id)
            return
        if section.truncated:
            self._answer_oversize(stream_id, end_stream, section, len(block))
            return
        if streams.fields_size + section.size > self.limits.max_connection_fields_size:
            self._allowance.pay(1)  # which pays for the refusal: nobody has told the client of this limit
            self._refuse(stream_id)
            return
        head: RequestHead
        if isinstance(section.memo, RequestHead):
            head = section.memo
            head.is_repeated = True
        else:
            try:
                head = parse_request(stream_id, section, self._scheme, self.drop_underscore_fields)
                if self.server_names is not None and not self.server_names.covers(head.authority):
                    raise RequestRefused(stream_id, 421, "an authority that is not this server's", "RFC 9110 §7.4")
            except RequestRefused as refused:
                fault = PeerFault(refused.code, "stream", stream_id, refused.reason, refused.section, "")
                # It costs no more than a request whose handler answers, and one visitor of a proxy may send many.
                self._answer(stream_id, end_stream, fault, refused.status, 0)
                return
            section.memo = head
        self._open(stream_id, head, section.size, end_stream)

    def _open(self, stream_id: int, head: RequestHead, size: int, end_stream: bool) -> None:
        id_bytes = self._blocks.id_bytes(self._reader.data)
        stream = Stream(stream_id, id_bytes, HALF_CLOSED_REMOTE if end_stream else OPEN)
        stream.head_received = True
        stream.opened_at = self._now
        if head.method == b"HEAD":
            stream.is_head = True
        elif head.method == b"CONNECT":
            if head.protocol is not None and not self.enable_connect_protocol:
                raise StreamFault(stream_id, errors.PROTOCOL_ERROR, ":protocol, which is not offered", "RFC 8441 §4")
            stream.is_tunnel = True
        if end_stream:
            if head.content_length > 0:
                stream.recv_length = head.content_length
                raise stream.length_fault()
        else:
            if not stream.is_tunnel:
                stream.recv_length = head.content_length
            stream.awaits_continue = head.expect_continue
            stream.upload_at = self._now
            self._at_latest(self._now + upload_check_s(self.limits))
        urgency = DEFAULT_URGENCY
        incremental = False
        early = self._early_priorities.take(stream_id)
        if early is not None or head.priority:
            urgency, incremental = parse_priority(head.priority if early is None else early)
            stream.urgency = urgency
            stream.incremental = incremental
        stream.fields_size = size
        self._streams.add(stream)
        self._allowance.pay(2)
        if stream.is_tunnel:
            self._events.append(ConnectReceived(stream_id, head, end_stream, urgency, incremental))
            return
        waits = stream.awaits_continue
        self._events.append(RequestReceived(stream_id, head, end_stream, waits, urgency, incremental))

    def _refuse(self, stream_id: int, stream: Stream | None = None) -> None:
        """REFUSED_STREAM: not processed, safe to send again (RFC 9113 §8.7). Remembered, as more may be coming."""
        self.streams_refused += 1
        self._events.append(StreamRefused(stream_id))
        if stream is not None:
            self._drop(stream, CLOSED_BY_US)  # a drain ends with its last stream
        else:
            self._closed_streams.remember(stream_id, CLOSED_BY_US)
        self._output.write_control(frames.write_rst_stream(stream_id, errors.REFUSED_STREAM))
        self._allowance.spend(1, self._now)

    def refuse_stream(self, stream_id: int) -> None:
        """Refuse a request that has been announced but not begun: RST_STREAM(REFUSED_STREAM); a no-op when it is gone.

        The request has paid for it: a client within its limit of streams cannot know that our handlers are slow to end.
        """
        stream = self._streams.open.get(stream_id)
        if stream is None:
            return
        try:
            self._refuse(stream_id, stream)
        except ConnectionFault as fault:
            self._fail(fault)

    def _answer_oversize(self, stream_id: int, end_stream: bool, section: FieldSection, size: int) -> None:
        """431 for a field section beyond the limits (RFC 6585 §5); to gRPC, which knows no 431, RESOURCE_EXHAUSTED.

        It is charged by the bytes of its block, which are its cost.
        """
        cost = 1 + size // _OVERSIZE_UNIT
        limit = "max_fields" if section.count > self.limits.max_fields else "max_field_section_size"
        fault = PeerFault(0, "stream", stream_id, "a field section beyond the limits", _OVERSIZE, limit)
        for field in section.fields:
            if field.name == b"content-type" and field.value.startswith(_GRPC):
                self._answer(stream_id, end_stream, fault, 200, cost, _RESOURCE_EXHAUSTED)
                return
        self._answer(stream_id, end_stream, fault, 431, cost)

    def _answer(
        self,
        stream_id: int,
        end_stream: bool,
        fault: PeerFault,
        status: int,
        cost: int,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """Answer a request with `status`, `headers` and no content, without asking the application; it costs as many
        frames."""
        state = HALF_CLOSED_REMOTE if end_stream else OPEN
        self._streams.add(Stream(stream_id, frames.write_id(stream_id), state))
        self._events.append(fault)
        if headers:
            self.send_headers(stream_id, status, headers, True)
        else:
            self.send_response(stream_id, status, (), b"")
        self._streams.count_answer(False)  # answered, but by no work of a handler: it earns nothing
        self._allowance.spend(cost, self._now)

    def _take_trailers(self, stream: Stream, section: FieldSection, end_stream: bool) -> None:
        stream_id = stream.stream_id
        step = RECV_HEADERS_END if end_stream else RECV_HEADERS
        state = next_state(stream.state, step)
        if state > CLOSED:
            raise_fault(stream_id, state, "HEADERS")
        if not end_stream:
            raise StreamFault(stream_id, errors.PROTOCOL_ERROR, "trailers without END_STREAM", "RFC 9113 §8.1")
        if stream.is_tunnel:
            raise StreamFault(stream_id, errors.PROTOCOL_ERROR, "HEADERS on a CONNECT stream", "RFC 9113 §8.5")
        if section.truncated:
            raise StreamFault(stream_id, errors.ENHANCE_YOUR_CALM, "trailers beyond the limits", "RFC 9113 §10.5.1")
        trailers = parse_trailers(stream_id, section, self.drop_underscore_fields)
        if stream.recv_length >= 0 and stream.received != stream.recv_length:
            raise stream.length_fault()
        self._events.append(TrailersReceived(stream_id, trailers, section.never_indexed))
        peer_ended(self, stream, state)

    # -- responses ---------------------------------------------------------------------------------------------

    def set_default_fields(self, default_fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Set fields that every final response gets unless the application names them, such as `date` and `server`.

        Pairs of lowercase name and value, not checked. What was remembered of earlier heads is forgotten.
        """
        self._heads.cache.set_default_fields(default_fields)

    def written(self, stream_id: int) -> int:
        """Return the bytes of a stream's content that the peer's windows have let go; 0 when it is over."""
        stream = self._streams.open.get(stream_id)
        return 0 if stream is None else stream.written

    def _begin_response(
        self,
        stream: Stream,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        size: int,
        never_indexed: frozenset[bytes] | None = None,
    ) -> EncodedHead:
        """Check that a final response may begin and return its head, to be written at once."""
        if stream.headers_sent:
            raise LocalProtocolError(f"stream {stream.stream_id}: the response has begun already")
        if status < 200:
            raise InvalidFieldError(f"status {status} is not a final one (RFC 9110 §15)")
        stream.bodiless = stream.is_head or status == 204 or status == 304
        if stream.is_tunnel or (stream.bodiless and (size == 0 or not stream.is_head)):
            # But HEAD says the length that GET would have, where the application gives the content (RFC 9110 §8.6).
            size = -1
        head = self._heads.response(status, headers, size, never_indexed)
        stream.send_length = head.content_length
        stream.headers_sent = True
        return head

    def send_response(self, stream_id: int, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> bool:
        """Send a whole response in one go: HEADERS, and DATA with END_STREAM; END_STREAM on HEADERS without body.

        `headers` are pairs of name and value without pseudo-fields; names are lowered, content-length and the default
        fields are added where they are missing. For HEAD, 204 and 304 the body is left out. Returns True when accepted,
        as `send_data`. Raises StreamClosedError when the stream is gone; InvalidFieldError for fields that must not be
        sent; LocalProtocolError when the response has begun already or a content-length differs from the body. Nothing
        is written when it raises.
        """
        stream = self._stream(stream_id)
        size = bytes_of(body)
        head = self._begin_response(stream, status, headers, size)
        if stream.bodiless:
            size = 0
        stream.end_queued = True
        if size == 0:
            self._sender.write_head(stream, head, True)
            self._finish(stream)
            return True
        self._sender.write_head(stream, head, False)
        stream.sent = size
        return self._send_content(stream, body, size, True)

    def send_headers(
        self,
        stream_id: int,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        end_stream: bool = False,
        never_indexed: frozenset[bytes] | None = None,
    ) -> None:
        """Send the final response's header section, to be followed by `send_data`. Raises as `send_response` does.

        Fields of the names in `never_indexed` become never-indexed literals (RFC 7541 §6.2.3)."""
        stream = self._stream(stream_id)
        head = self._begin_response(stream, status, headers, -1, never_indexed)
        self._sender.write_head(stream, head, end_stream)
        if end_stream:
            stream.end_queued = True
            self._finish(stream)

    def accept_tunnel(
        self,
        stream_id: int,
        headers: Sequence[tuple[bytes, bytes]],
        never_indexed: frozenset[bytes] | None = None,
    ) -> None:
        """Answer CONNECT with 200 (RFC 9113 §8.5, RFC 8441 §5). Raises as `send_headers` does."""
        self.send_headers(stream_id, 200, headers, False, never_indexed)

    def send_informational(
        self,
        stream_id: int,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        never_indexed: frozenset[bytes] | None = None,
    ) -> None:
        """Send a 1xx response before the final one (RFC 9110 §15.2), such as 100 or 103.

        Raises InvalidFieldError for another status, for 101, which HTTP/2 does not have (RFC 9113 §8.6), or for fields
        that must not be sent; LocalProtocolError after the final response has begun; StreamClosedError.
        """
        stream = self._stream(stream_id)
        if status < 100 or status > 199 or status == 101:
            raise InvalidFieldError(f"status {status} is not an interim one of HTTP/2 (RFC 9110 §15.2)")
        if stream.headers_sent:
            raise LocalProtocolError(f"stream {stream_id}: {status} after the final response has begun")
        if status == 100:
            stream.awaits_continue = False
            stream.upload_at = self._stamp()
            stream.quiet_since = -1.0
        head = self._heads.response(status, headers, -1, never_indexed)
        self._sender.write_head(stream, head, False)
