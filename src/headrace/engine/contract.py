"""The contract between a connection in memory and its owner, by role: bytes in, events out; verbs in, bytes out.

The connections of `engine/h1` and `engine/h2` have the members of `ServerEngine` or `ClientEngine`, without inheriting
from them. So the transport and the drivers of server and client are written once, for both protocols. The details of a
verb are described where it is implemented. An HTTP/1.1 connection has one stream at a time, and numbers them itself.

Compiled callers name the classes instead: mypyc calls a method of a protocol as Python does (see `asgi/answer.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from headrace.engine.events import Event
from headrace.engine.server_names import ServerNames

Fields = Sequence[tuple[bytes, bytes]]


class Turns:
    """The work of one turn, shared by all connections with this object: so their owner can divide its time."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        """Frames, and what counts as one (`Limits.frames_per_turn`), that one `receive_data` takes at most; 0: no
        limit."""


class Endpoint(Protocol):
    """One end of a connection in memory, as a transport sees it: bytes, events and time, and no verbs.

    Time comes in as an argument, in seconds of the owner's clock.
    """

    closed: bool
    """True once nothing more is read: write the output, then close the transport."""
    aborted: bool
    """Set together with `closed` where an orderly end would make an incomplete response look complete: end the
    transport with a reset."""
    deadline: float
    """When `handle_deadline` must be called. Between its calls it can only become earlier."""
    work: int
    """Work that the last `receive_data` did, counted as `Turns.frames` are, also beyond a turn's limit. -1 before the
    first call, 0 where turns have no limit."""

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the peer and return what happened. Never raises for what the peer sent."""
        ...

    def receive_eof(self, now: float) -> list[Event]:
        """End the open streams, then the connection: the peer has ended it in an orderly way."""
        ...

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what is due, and set the next `deadline`."""
        ...

    def take_events(self) -> list[Event]:
        """Return and forget the events that arose elsewhere, such as SendAccepted after `take_output`."""
        ...

    def take_output(self, limit: int = 262_144, now: float = -1.0) -> bytes:
        """Return the bytes to be written now, about `limit` at most."""
        ...

    def take_buffers(self, limit: int = 262_144, now: float = -1.0) -> list[Any]:
        """Return the same as a list of buffers, large bodies uncopied."""
        ...

    @property
    def needs_attention(self) -> bool:
        """True when, after `take_output`, there is an event, more output, the end, or a reason to stop reading."""
        ...

    @property
    def bodies_queued(self) -> bool:
        """True when `take_buffers` is the cheaper way out."""
        ...

    @property
    def input_pending(self) -> bool:
        """True when `receive_data` stopped early: call it again, with b"", in a later turn."""
        ...

    @property
    def work_due(self) -> int:
        """Work that the next input, however small, may bring at once: an incomplete field block."""
        ...

    @property
    def output_pending(self) -> bool:
        """True when `take_output` would return bytes now."""
        ...

    @property
    def read_paused(self) -> bool:
        """True while the owner must not read."""
        ...

    def close(self, code: int = 0, reason: str = "") -> None:
        """End the connection now."""
        ...


class Engine(Endpoint, Protocol):
    """The members that a server's and a client's connection have in common."""

    turns: Turns | None
    """Overrides `Limits.frames_per_turn`."""

    def receive_failure(self, now: float, reason: str) -> list[Event]:
        """End like `receive_eof`, after a failure of the transport: content that would end with the connection is cut
        off, and not complete (RFC 9112 §8). `reason` is half a sentence for people."""
        ...

    @property
    def open_streams(self) -> int:
        """Requests that are open."""
        ...

    def stats(self) -> dict[str, Any]:
        """Return figures for people."""
        ...

    def send_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> bool:
        """Send a piece of content. True when accepted; after False wait for SendAccepted."""
        ...

    def send_trailers(self, stream_id: int, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> bool:
        """Send the trailer section, which ends the message. Returns as `send_data`.

        `never_indexed`, here and elsewhere: names of fields that are sent as never-indexed literals, as they were
        received (RFC 7541 §6.2.3). HTTP/1.1 has no such literals and ignores it.
        """
        ...

    def reset_stream(self, stream_id: int, code: int) -> None:
        """End a stream before its time; a no-op when it is over."""
        ...

    def acknowledge_data(self, stream_id: int, count: int) -> None:
        """Count `count` bytes of a stream's content as consumed: the peer may send more."""
        ...

    def begin_drain(self, now: float, deadline: float | None = None) -> None:
        """Begin the graceful end: nothing new is taken, and open streams have until `deadline` (None:
        `drain_timeout_s`)."""
        ...


class ServerEngine(Engine, Protocol):
    """A server's connection. Requests come as RequestReceived and ConnectReceived."""

    drop_connection_fields: bool
    """With True, connection-specific fields of the application are left out, not refused (RFC 9113 §8.2.2)."""
    drop_underscore_fields: bool
    """With True, fields of a request with an underscore in their name are left out: CGI and interfaces like it cannot
    tell them from those with a hyphen (RFC 3875 §4.1.18). Set it before the first head has come."""
    server_names: ServerNames | None
    """The authorities that a server answers for: requests for others get 421 (RFC 9110 §7.4). None: any. Set it before
    the first head has come."""
    held_fields: list[Any]
    """The fields that the owner held last, until a response began: nobody may change them."""

    def set_default_fields(self, default_fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Set fields that every final response gets unless the application names them."""
        ...

    def send_informational(
        self, stream_id: int, status: int, headers: Fields, never_indexed: frozenset[bytes] | None = None
    ) -> None:
        """Send a 1xx response."""
        ...

    def send_response(self, stream_id: int, status: int, headers: Fields, body: bytes) -> bool:
        """Send a whole response. True when accepted; after False wait for SendAccepted."""
        ...

    def send_headers(
        self,
        stream_id: int,
        status: int,
        headers: Fields,
        end_stream: bool = False,
        never_indexed: frozenset[bytes] | None = None,
    ) -> None:
        """Send the final response's header section."""
        ...

    def written(self, stream_id: int) -> int:
        """Return the bytes on their way to the peer: of a stream's content over HTTP/2, of all on the connection over
        HTTP/1.1. 0 for a stream that is over."""
        ...

    def accept_tunnel(self, stream_id: int, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> None:
        """Say yes to a ConnectReceived; from then on content goes both ways until each side has ended its own."""
        ...

    def refuse_stream(self, stream_id: int) -> None:
        """Refuse a request that was announced and not begun."""
        ...

    def allow_pauses(self, stream_id: int, longest_s: float) -> None:
        """Let a request's content pause for `longest_s` seconds, 0: without a limit. The limits of its rate and of its
        pauses do not apply then. A no-op when it is over."""
        ...


class ClientEngine(Engine, Protocol):
    """A client's connection.

    Requests have identifiers of its own counting, 1, 3, 5, and so on. Answers come as InformationalReceived,
    ResponseReceived, DataReceived, TrailersReceived and StreamReset with that identifier. A StreamReset of
    REFUSED_STREAM says that the peer has not processed the request, or never got it: it may be sent again.

    A request with `expect: 100-continue` goes out without its content. The owner sends that after
    InformationalReceived(100), or when it has waited long enough (RFC 9110 §10.1.1); not after a final response.
    """

    @property
    def http_version(self) -> str:
        """Version of the last response: "1.0", "1.1" or "2"; before one, the highest that is spoken."""
        ...

    @property
    def can_send_request(self) -> bool:
        """True while a further request may be sent: the connection does not end, and the peer takes one more."""
        ...

    def send_request(
        self,
        method: bytes,
        scheme: bytes,
        authority: bytes,
        path: bytes,
        headers: Fields,
        *,
        end_stream: bool,
        protocol: bytes | None = None,
        content_length: int = -1,
        never_indexed: frozenset[bytes] | None = None,
    ) -> int:
        """Send a request's head and return its identifier; content follows by `send_data` unless `end_stream`.

        `headers` are without `host`, which is made from `authority`, and without fields of the connection, but for
        `connection: close`, which HTTP/1.1 obeys. `content_length`, unless -1, becomes the field. For CONNECT leave
        `scheme` and `path` empty. `protocol` asks for a tunnel, with method CONNECT: extended CONNECT (RFC 8441 §4), or
        on HTTP/1.1 an upgrade to b"websocket" by GET, for which `headers` need `sec-websocket-key` (RFC 6455 §4.1). A
        tunnel begins with ResponseReceived of 101 or 2xx; DataReceived are its bytes.

        Raises LocalProtocolError when no request can be sent now, InvalidFieldError for fields that must not be sent;
        nothing is written then.
        """
        ...

    def send_ping(self, opaque: bytes) -> None:
        """Send a PING with eight bytes of the caller's; PingAcknowledged follows. On HTTP/1.1, which has no PING, it
        raises LocalProtocolError."""
        ...

    def hold_data(self, count: int) -> None:
        """Count `count` more bytes (below 0: fewer) of ended streams as unread. Only this tells the connection of them;
        they count where it bounds the unread bytes of all streams."""
        ...
