"""The contract that the connections of both protocols keep: octets in, events out; verbs in, octets out.

`engine/h1` and `engine/h2` derive their connections from `Engine`, so that the transport, the drivers of server and
client, and the compiled part of the ASGI adapter call either in the same words. What a verb means in detail stands
where it is written. An HTTP/1.1 connection has one stream at a time, with identifiers of its own counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.engine.events import Event
from headrace.engine.server_names import ServerNames

Fields = Sequence[tuple[bytes, bytes]]


class Turns:
    """How much work a turn has, for all connections that it is given to: so that their owner can share its time."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        """Frames, and what counts as one (`Limits.frames_per_turn`), that one `receive_data` takes at most; 0: no
        limit."""


class Engine:
    """Base of all connections in memory. Time comes in as an argument, in seconds of the owner's clock."""

    def __init__(self) -> None:
        self.closed = False
        """True once nothing more is read: write what `take_output` gives, then close the transport."""
        self.aborted = False
        """Set together with `closed` where an orderly end would make a response look whole that is not: end the
        transport with a reset."""
        self.deadline: float = float("inf")
        """When `handle_deadline` must be called. Between its calls it can only become earlier."""
        self.turns: Turns | None = None
        """What goes before `Limits.frames_per_turn`."""
        self.work = -1
        """Work that the last `receive_data` did, counted as `Turns.frames` are; also what of it was more than a turn
        has. -1 before the first one, 0 where turns have no limit."""
        self._drops = False
        self.drop_underscore_fields = False
        """With True, fields of a request with an underscore in their name are left out: for CGI and all that is like it
        they are the same as those with a hyphen (RFC 3875 §4.1.18). Set it before the first head has come."""
        self.server_names: ServerNames | None = None
        """The authorities that a server answers for: requests for others get 421 (RFC 9110 §7.4). None: any. Set it
        before the first head has come."""
        self.held_fields: list[Any] = []
        """The fields that the owner held last, until a response began: nobody may change them."""

    @property
    def drop_connection_fields(self) -> bool:
        """With True, connection-specific fields of the application are left out, not refused (RFC 9113 §8.2.2)."""
        return self._drops

    @drop_connection_fields.setter
    def drop_connection_fields(self, drops: bool) -> None:
        self._drops = drops
        self._set_drops(drops)

    def _set_drops(self, drops: bool) -> None:
        """Hand `drop_connection_fields` to whatever writes heads."""

    # -- input and time ----------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take octets from the peer and return what happened. Never raises for what the peer sent."""
        raise NotImplementedError

    def receive_eof(self, now: float) -> list[Event]:
        """The peer has ended the connection in an orderly way: open streams end, then the connection."""
        raise NotImplementedError

    def receive_failure(self, now: float, reason: str) -> list[Event]:
        """The transport failed: like `receive_eof`, but content that would end with the connection is cut off, and not
        complete (RFC 9112 §8). `reason` is half a sentence for people."""
        return self.receive_eof(now)

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what is due, and set the next `deadline`."""
        raise NotImplementedError

    def take_events(self) -> list[Event]:
        """Return and forget the events that arose elsewhere, such as SendAccepted after `take_output`."""
        raise NotImplementedError

    # -- output ------------------------------------------------------------------------------------------------

    def take_output(self, limit: int = 262_144, now: float = -1.0) -> bytes:
        """Return what is to be written now, about `limit` octets at most."""
        raise NotImplementedError

    def take_buffers(self, limit: int = 262_144, now: float = -1.0) -> list[Any]:
        """Return the same as a list of buffers, large bodies uncopied."""
        raise NotImplementedError

    # -- what the owner asks about -----------------------------------------------------------------------------

    @property
    def needs_attention(self) -> bool:
        """True when, after `take_output`, there is an event, more output, the end, or a reason to stop reading."""
        raise NotImplementedError

    @property
    def bodies_queued(self) -> bool:
        """True when `take_buffers` is the cheaper way out."""
        raise NotImplementedError

    @property
    def input_pending(self) -> bool:
        """True when `receive_data` stopped early: call it again, with b"", in a later turn."""
        raise NotImplementedError

    @property
    def work_due(self) -> int:
        """Work that what comes next, however small, may bring at once: a field block that is not whole."""
        return 0

    @property
    def output_pending(self) -> bool:
        """True when `take_output` would return octets now."""
        raise NotImplementedError

    @property
    def read_paused(self) -> bool:
        """True while the owner must not read."""
        raise NotImplementedError

    @property
    def open_streams(self) -> int:
        """Requests that are open."""
        raise NotImplementedError

    def stats(self) -> dict[str, Any]:
        """Figures for people."""
        raise NotImplementedError

    # -- the verbs of a server ---------------------------------------------------------------------------------
    #
    # `never_indexed` of these and of a client's: names of fields that have come as never-indexed literals, or are to go
    # on as such (RFC 7541 §6.2.3). HTTP/1.1 has no such thing, and takes no notice.

    def set_default_fields(self, default_fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Set fields that every final response gets unless the application names them."""
        raise NotImplementedError

    def send_informational(
        self, stream_id: int, status: int, headers: Fields, never_indexed: frozenset[bytes] | None = None
    ) -> None:
        """Send a 1xx response."""
        raise NotImplementedError

    def send_response(self, stream_id: int, status: int, headers: Fields, body: bytes) -> bool:
        """Send a whole response. True when accepted; after False wait for SendAccepted."""
        raise NotImplementedError

    def send_headers(
        self,
        stream_id: int,
        status: int,
        headers: Fields,
        end_stream: bool = False,
        never_indexed: frozenset[bytes] | None = None,
    ) -> None:
        """Send the final response's header section."""
        raise NotImplementedError

    def send_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> bool:
        """Send a piece of content. True when accepted; after False wait for SendAccepted."""
        raise NotImplementedError

    def written(self, stream_id: int) -> int:
        """Bytes on their way to the peer: of a stream's content over HTTP/2, of all on the connection over HTTP/1.1.
        0 for a stream that is over."""
        raise NotImplementedError

    def content_sent(self, stream_id: int, count: int) -> None:
        """`count` octets of content have gone out past the engine, by the kernel's sendfile; HTTP/1.1 only."""
        raise NotImplementedError

    def send_trailers(self, stream_id: int, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> bool:
        """Send the trailer section, which ends the message. Returns as `send_data`."""
        raise NotImplementedError

    def accept_tunnel(self, stream_id: int, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> None:
        """Say yes to a ConnectReceived; from then on content goes both ways until each side has ended its own."""
        raise NotImplementedError

    def reset_stream(self, stream_id: int, code: int) -> None:
        """End a stream before its time; a no-op when it is over."""
        raise NotImplementedError

    def refuse_stream(self, stream_id: int) -> None:
        """Refuse a request that was announced and not begun."""
        raise NotImplementedError

    def acknowledge_data(self, stream_id: int, count: int) -> None:
        """`count` octets of a stream's content are consumed: the peer may send more."""
        raise NotImplementedError

    def hold_data(self, count: int) -> None:
        """`count` octets of streams that have ended are still unread, or below 0 so many fewer. Nothing else tells the
        connection of them; where it bounds what is unread of all streams, they count."""

    def allow_pauses(self, stream_id: int, longest_s: float) -> None:
        """Let a request's content pause for `longest_s` seconds, 0: for as long as it likes; what the limits say of its
        rate and of pauses does not count then. A no-op when it is over."""
        raise NotImplementedError

    # -- the verbs of a client ---------------------------------------------------------------------------------
    #
    # Requests have identifiers of their own counting, 1, 3, 5, and so on. What comes back are InformationalReceived,
    # ResponseReceived, DataReceived, TrailersReceived and StreamReset with that identifier. A StreamReset of
    # REFUSED_STREAM says that the peer has not processed the request, or never got it: it may be sent again.
    # `send_data`, `send_trailers`, `reset_stream` and `acknowledge_data` are the same as a server's.
    #
    # A request with `expect: 100-continue` goes out without its content. The owner sends that after
    # InformationalReceived(100), or when it has waited long enough (RFC 9110 §10.1.1); not after a final response.

    @property
    def http_version(self) -> str:
        """Version of the response that came last: "1.0", "1.1" or "2"; before one, the highest that is spoken."""
        raise NotImplementedError

    @property
    def can_send_request(self) -> bool:
        """True while a further request may be sent: the connection does not end, and the peer takes one more."""
        raise NotImplementedError

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

        `headers` are without `host`, which `authority` says, and without fields of the connection, but for
        `connection: close`, which HTTP/1.1 obeys. `content_length`, unless -1, becomes the field. For CONNECT leave
        `scheme` and `path` empty. `protocol` asks for a tunnel, with method CONNECT: extended CONNECT (RFC 8441 §4), or
        on HTTP/1.1 an upgrade to b"websocket" by GET, for which `headers` need `sec-websocket-key` (RFC 6455 §4.1). A
        tunnel begins with ResponseReceived of 101 or 2xx; DataReceived are its octets.

        Raises LocalProtocolError when no request can be sent now, InvalidFieldError for what must not be sent; nothing
        is written then.
        """
        raise NotImplementedError

    def send_ping(self, opaque: bytes) -> None:
        """Send a PING with eight octets of the caller's; PingAcknowledged follows. HTTP/2 only: on HTTP/1.1, which has
        none, it raises LocalProtocolError."""
        raise NotImplementedError

    # -- the end -----------------------------------------------------------------------------------------------

    def begin_drain(self, now: float, deadline: float | None = None) -> None:
        """Begin the graceful end: nothing new is taken, what runs has until `deadline` (None: `drain_timeout_s`)."""
        raise NotImplementedError

    def close(self, code: int = 0, reason: str = "") -> None:
        """End the connection now."""
        raise NotImplementedError
