"""The events that the engine returns to its owner, named in the past tense.

Plain classes rather than dataclasses: they are made once a request, and mypyc turns a plain class with slots into a
struct. `kind` lets an owner dispatch with one comparison of ints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.engine.fields import RequestHead

ReceivedFields = list[tuple[bytes, bytes]]

REQUEST: Final = 1
DATA: Final = 2
TRAILERS: Final = 3
RESET: Final = 4
ACCEPTED: Final = 5
RESPONSE: Final = 6
INFORMATIONAL: Final = 7
SETTINGS: Final = 8
PING_ACK: Final = 9
GOAWAY: Final = 10
ENDED: Final = 11
FAULT: Final = 12
DRAIN: Final = 13
CONNECT: Final = 14
PROTOCOL: Final = 15
ORIGIN: Final = 16
REFUSED: Final = 17


class Event:
    """Base of all events. `stream_id` is 0 where an event concerns the connection."""

    kind: ClassVar[int] = 0

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}(stream_id={self.stream_id})"


class RequestReceived(Event):
    """A request's header section arrived whole and is well-formed (RFC 9113 §8.3.1).

    `scheme` is the connection's, not the client's claim (RFC 9110 §7.4); empty for CONNECT without `protocol`.
    `headers` are the regular fields in order, `cookie` crumbs joined into one (RFC 9113 §8.2.3): a list that belongs to
    this event, made when it is first read. `content_length` is -1 if the request has none; `protocol` is set for
    extended CONNECT only (RFC 8441 §4); `urgency` and `incremental` are RFC 9218's (3 and False by default). `shared`
    is the same object for requests with equal bytes, and must not be changed; an owner may keep values that it derives
    from them in `shared.memo`, best once `shared.is_repeated`, if it gives out copies only.
    """

    kind: ClassVar[int] = REQUEST

    def __init__(
        self,
        stream_id: int,
        head: RequestHead,
        end_stream: bool,
        expect_continue: bool,
        urgency: int,
        incremental: bool,
    ) -> None:
        self.stream_id = stream_id
        self.method: bytes = head.method
        self.scheme: bytes = head.scheme
        self.authority: bytes = head.authority
        self.path: bytes = head.path
        self.protocol: bytes | None = head.protocol
        self._fields = head.headers
        self._headers: ReceivedFields | None = None
        self.end_stream = end_stream
        self.content_length: int = head.content_length
        self.expect_continue = expect_continue
        self.urgency = urgency
        self.incremental = incremental
        self.shared = head

    @property
    def headers(self) -> ReceivedFields:
        """The fields, in a list that belongs to this event."""
        headers = self._headers
        if headers is None:
            headers = self._headers = list(self._fields)
        return headers

    def __repr__(self) -> str:
        return (
            f"RequestReceived(stream_id={self.stream_id}, method={self.method!r}, path={self.path!r}, "
            f"authority={self.authority!r}, headers={self.headers!r}, end_stream={self.end_stream})"
        )


class ConnectReceived(RequestReceived):
    """A request for a tunnel: CONNECT (RFC 9110 §9.3.6), where `path` is empty and `protocol` None; or extended CONNECT
    (RFC 8441 §4) or an upgrade from HTTP/1.1 (RFC 9110 §7.8), where `protocol` is set.

    `accept_tunnel` accepts it; then the content of both sides is the tunnel's. Any final response refuses it.
    """

    kind: ClassVar[int] = CONNECT

    def __init__(self, stream_id: int, head: RequestHead, end_stream: bool, urgency: int, incremental: bool) -> None:
        super().__init__(stream_id, head, end_stream, False, urgency, incremental)
        self.content_length = -1


class ResponseReceived(Event):
    """The final response's header section arrived (RFC 9113 §8.3.2), `status` 200 or above.

    `headers` are the regular fields in order, in a list that belongs to this event. With `end_stream` no content
    follows. `never_indexed` are the names of fields that a proxy must forward as never-indexed literals (RFC 7541
    §6.2.3).
    """

    kind: ClassVar[int] = RESPONSE

    def __init__(
        self,
        stream_id: int,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        end_stream: bool,
        never_indexed: frozenset[bytes] | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.status = status
        self.headers: ReceivedFields = list(headers)
        self.end_stream = end_stream
        self.never_indexed = never_indexed

    def __repr__(self) -> str:
        return (
            f"ResponseReceived(stream_id={self.stream_id}, status={self.status}, headers={self.headers!r}, "
            f"end_stream={self.end_stream})"
        )


class InformationalReceived(Event):
    """A 1xx response arrived (RFC 9110 §15.2); the final one is still to come. `headers` is a list of its own."""

    kind: ClassVar[int] = INFORMATIONAL

    def __init__(
        self,
        stream_id: int,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        never_indexed: frozenset[bytes] | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.status = status
        self.headers: ReceivedFields = list(headers)
        self.never_indexed = never_indexed

    def __repr__(self) -> str:
        return f"InformationalReceived(stream_id={self.stream_id}, status={self.status}, headers={self.headers!r})"


class DataReceived(Event):
    """A DATA frame arrived (RFC 9113 §6.1).

    `data` is the content without padding, and may be empty with `end_stream`. `flow_length` counts padding, too: pass
    it to `acknowledge_data` once the bytes are consumed, or the peer's window stays closed.
    """

    kind: ClassVar[int] = DATA

    def __init__(self, stream_id: int, data: bytes, flow_length: int, end_stream: bool) -> None:
        self.stream_id = stream_id
        self.data = data
        self.flow_length = flow_length
        self.end_stream = end_stream

    def __repr__(self) -> str:
        return (
            f"DataReceived(stream_id={self.stream_id}, data={self.data!r}, flow_length={self.flow_length}, "
            f"end_stream={self.end_stream})"
        )


class TrailersReceived(Event):
    """A trailer section arrived (RFC 9113 §8.1); it always ends the peer's side of the stream."""

    kind: ClassVar[int] = TRAILERS

    def __init__(self, stream_id: int, headers: ReceivedFields, never_indexed: frozenset[bytes] | None = None) -> None:
        self.stream_id = stream_id
        self.headers = headers
        self.never_indexed = never_indexed

    def __repr__(self) -> str:
        return f"TrailersReceived(stream_id={self.stream_id}, headers={self.headers!r})"


class StreamReset(Event):
    """A stream ended before its time: `initiator` is "remote" (the peer's RST_STREAM, or the loss of the connection) or
    "local" (we ended it, because of a fault of the peer, a deadline, or the connection's end). `code` is RFC 9113 §7's,
    `cause` is one of `causes`. Decide by these; `reason` and `section` are for people. Nothing more can be sent on the
    stream, and no credit is left to give back for it."""

    kind: ClassVar[int] = RESET

    def __init__(self, stream_id: int, code: int, initiator: str, reason: str, section: str, cause: str) -> None:
        self.stream_id = stream_id
        self.code = code
        self.initiator = initiator
        self.reason = reason
        self.section = section
        self.cause = cause

    def __repr__(self) -> str:
        return (
            f"StreamReset(stream_id={self.stream_id}, code={self.code}, initiator={self.initiator!r}, "
            f"reason={self.reason!r}, section={self.section!r}, cause={self.cause!r})"
        )


class StreamRefused(Event):
    """A server's connection has refused a request, which was not processed and may be sent again (RFC 9113 §8.7): too
    many are open, the connection drains, or the owner asked for it (`refuse_stream`)."""

    kind: ClassVar[int] = REFUSED


class SendAccepted(Event):
    """A send that had returned False is accepted now: the next one may follow."""

    kind: ClassVar[int] = ACCEPTED


class SettingsChanged(Event):
    """The peer's SETTINGS took effect (RFC 9113 §6.5)."""

    kind: ClassVar[int] = SETTINGS

    def __init__(self) -> None:
        self.stream_id = 0


class PingAcknowledged(Event):
    """The peer acknowledged a PING of the owner's (RFC 9113 §6.7), with its eight bytes `opaque`."""

    kind: ClassVar[int] = PING_ACK

    def __init__(self, opaque: bytes) -> None:
        self.stream_id = 0
        self.opaque = opaque

    def __repr__(self) -> str:
        return f"PingAcknowledged(opaque={self.opaque!r})"


class GoAwayReceived(Event):
    """The peer will process no stream of ours above `last_stream_id` (RFC 9113 §6.8); lower ones go on.

    A client's streams above it end with a StreamReset of REFUSED_STREAM each. `debug` holds 1,024 bytes at most.
    """

    kind: ClassVar[int] = GOAWAY

    def __init__(self, last_stream_id: int, code: int, debug: bytes) -> None:
        self.stream_id = 0
        self.last_stream_id = last_stream_id
        self.code = code
        self.debug = debug

    def __repr__(self) -> str:
        return f"GoAwayReceived(last_stream_id={self.last_stream_id}, code={self.code}, debug={self.debug!r})"


class OriginReceived(Event):
    """The server names the origins that it serves on this connection, by an ORIGIN frame (RFC 8336 §2).

    `origins` are the new ones of this frame, as ASCII text like b"https://example.com"; it may be empty, because the
    first frame already closes the set (RFC 8336 §2.3). An owner that uses them must check the certificate as well, and
    ignore them on cleartext connections (RFC 8336 §2.2, §2.4).
    """

    kind: ClassVar[int] = ORIGIN

    def __init__(self, origins: list[bytes]) -> None:
        self.stream_id = 0
        self.origins = origins

    def __repr__(self) -> str:
        return f"OriginReceived(origins={self.origins!r})"


class DrainBegan(Event):
    """The connection goes into its DRAINING phase: handlers may want to finish early."""

    kind: ClassVar[int] = DRAIN

    def __init__(self) -> None:
        self.stream_id = 0


class ConnectionEnded(Event):
    """The last event of a connection: flush the bytes of `take_output`, then close the transport.

    `code` is RFC 9113 §7's, NO_ERROR for an orderly end. `initiator` is "remote" when the peer closed, else "local".
    `cause` is one of `causes`.
    """

    kind: ClassVar[int] = ENDED

    def __init__(self, code: int, initiator: str, reason: str, section: str, cause: str) -> None:
        self.stream_id = 0
        self.code = code
        self.initiator = initiator
        self.reason = reason
        self.section = section
        self.cause = cause

    def __repr__(self) -> str:
        return (
            f"ConnectionEnded(code={self.code}, initiator={self.initiator!r}, reason={self.reason!r}, "
            f"section={self.section!r}, cause={self.cause!r})"
        )


class PeerFault(Event):
    """The peer broke a rule: one line for the log. `scope` is "stream" or "connection". `budget` names the exceeded
    limit: an attribute of Limits, or a budget, `odd_frames`, `early_resets` or `provoked_resets`, whose attributes are
    `odd_frame_burst` and `odd_frame_rate`, and so on. It is empty for other faults. `code` is 0 if the answer was a
    response (431), not a reset.
    """

    kind: ClassVar[int] = FAULT

    def __init__(self, code: int, scope: str, stream_id: int, reason: str, section: str, budget: str) -> None:
        self.stream_id = stream_id
        self.code = code
        self.scope = scope
        self.reason = reason
        self.section = section
        self.budget = budget

    def __repr__(self) -> str:
        return (
            f"PeerFault(code={self.code}, scope={self.scope!r}, stream_id={self.stream_id}, reason={self.reason!r}, "
            f"section={self.section!r}, budget={self.budget!r})"
        )


class ProtocolDetected(Event):
    """The first bytes of a connection have shown its protocol: `protocol` is `h2` or `http/1.1`, as in ALPN; `data` is
    all input so far."""

    kind: ClassVar[int] = PROTOCOL

    def __init__(self, protocol: str, data: bytes) -> None:
        self.stream_id = 0
        self.protocol = protocol
        self.data = data

    def __repr__(self) -> str:
        return f"ProtocolDetected(protocol={self.protocol!r}, data={self.data!r})"
