"""Tests without sockets: connections in memory, a joined pair, frame builders, and a clock that the test advances.

Everything here runs the production engine. An example at the level of frames:

    from headrace.testing import Clock, ServerUnderTest, headers_frame

    def test_a_request_is_seen():
        server = ServerUnderTest()
        server.handshake()
        events = server.feed(headers_frame(1, server.encode_request("GET", "/"), end_stream=True))
        assert events[0].path == b"/"
        server.connection.send_response(1, 200, (), b"hello")
        assert [frame.kind for frame in server.frames()] == ["HEADERS", "DATA"]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from headrace.engine.events import Event
from headrace.engine.h1 import H1ClientConnection
from headrace.engine.h2 import H2ClientConnection, H2ServerConnection, frames
from headrace.engine.hpack import Decoder, Encoder
from headrace.engine.limits import Limits

PREFACE = frames.PREFACE
"""The 24 bytes with which a client's connection begins (RFC 9113 §3.4)."""
SETTINGS_ACK = frames.SETTINGS_ACK
"""A SETTINGS frame that acknowledges the peer's (RFC 9113 §6.5.3)."""

_KINDS = {
    frames.DATA: "DATA",
    frames.HEADERS: "HEADERS",
    frames.PRIORITY: "PRIORITY",
    frames.RST_STREAM: "RST_STREAM",
    frames.SETTINGS: "SETTINGS",
    frames.PUSH_PROMISE: "PUSH_PROMISE",
    frames.PING: "PING",
    frames.GOAWAY: "GOAWAY",
    frames.WINDOW_UPDATE: "WINDOW_UPDATE",
    frames.CONTINUATION: "CONTINUATION",
    frames.PRIORITY_UPDATE: "PRIORITY_UPDATE",
}


class Frame(NamedTuple):
    """One frame as it stood on the wire (RFC 9113 §4.1); `kind` is the RFC's name, or a number as text."""

    kind: str
    flags: int
    stream_id: int
    payload: bytes

    @property
    def end_stream(self) -> bool:
        """Return True when the frame carries END_STREAM."""
        return self.kind in ("DATA", "HEADERS") and bool(self.flags & frames.END_STREAM)

    @property
    def error_code(self) -> int:
        """Return the error code of RST_STREAM or GOAWAY. Raises ValueError for other frames."""
        if self.kind == "RST_STREAM":
            return int.from_bytes(self.payload, "big")
        if self.kind == "GOAWAY":
            return int.from_bytes(self.payload[4:8], "big")
        raise ValueError(f"a {self.kind} frame has no error code")


def split_frames(data: bytes) -> Iterator[Frame]:
    """Yield the frames in bytes. Raises ValueError when the last frame is incomplete."""
    data = data.removeprefix(PREFACE)
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 3], "big")
        end = position + 9 + length
        if end > len(data):
            raise ValueError(f"{len(data) - position} bytes are left that are not a whole frame")
        kind = data[position + 3]
        stream_id = int.from_bytes(data[position + 5 : position + 9], "big") & 0x7FFFFFFF
        yield Frame(_KINDS.get(kind, str(kind)), data[position + 4], stream_id, data[position + 9 : end])
        position = end


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return any frame, also one that breaks the rules. `kind` and `flags` are the RFC's numbers."""
    return frames.write_header(len(payload), kind, flags, stream_id) + payload


def headers_frame(stream_id: int, block: bytes, *, end_stream: bool = False, end_headers: bool = True) -> bytes:
    """Return a HEADERS frame around an encoded field block (RFC 9113 §6.2)."""
    flags = (frames.END_STREAM if end_stream else 0) | (frames.END_HEADERS if end_headers else 0)
    return frame(frames.HEADERS, flags, stream_id, block)


def data_frame(stream_id: int, data: bytes, *, end_stream: bool = False) -> bytes:
    """Return a DATA frame without padding (RFC 9113 §6.1)."""
    return frame(frames.DATA, frames.END_STREAM if end_stream else 0, stream_id, data)


def settings_frame(entries: Iterable[tuple[int, int]] = ()) -> bytes:
    """Return a SETTINGS frame with (identifier, value) entries (RFC 9113 §6.5)."""
    return frames.write_settings(entries)


def rst_stream_frame(stream_id: int, code: int) -> bytes:
    """Return an RST_STREAM frame (RFC 9113 §6.4)."""
    return frames.write_rst_stream(stream_id, code)


def window_update_frame(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame (RFC 9113 §6.9)."""
    return frames.write_window_update(stream_id, increment)


def ping_frame(opaque: bytes = b"\x00" * 8, *, ack: bool = False) -> bytes:
    """Return a PING frame (RFC 9113 §6.7); `opaque` has eight bytes in a valid one."""
    return frames.write_ping(opaque, ack)


def goaway_frame(last_stream_id: int, code: int = 0, debug: bytes = b"") -> bytes:
    """Return a GOAWAY frame (RFC 9113 §6.8)."""
    return frames.write_goaway(last_stream_id, code, debug)


class Clock:
    """A clock that moves only when a test advances it. `now` is in seconds."""

    def __init__(self, now: float = 0.0) -> None:
        self.now: float = now

    def advance(self, seconds: float) -> float:
        """Move forward and return the new time."""
        self.now += seconds
        return self.now


class _UnderTest:
    """One side of an HTTP/2 connection; the test writes the other's frames."""

    connection: H2ServerConnection | H2ClientConnection

    def __init__(self, clock: Clock | None) -> None:
        self.clock: Clock = clock if clock is not None else Clock()
        self._encoder = Encoder()
        self._decoder = Decoder()

    def feed(self, data: bytes) -> list[Event]:
        """Let the connection receive bytes; return the engine's events."""
        events = self.connection.receive_data(data, self.clock.now)
        while self.connection.input_pending:
            events += self.connection.receive_data(b"", self.clock.now)
        return events

    def advance(self, seconds: float) -> list[Event]:
        """Let `seconds` pass, stopping at every deadline on the way as an event loop would; return the events."""
        return _advance(self.connection, self.clock, seconds)

    def encode(self, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return a field section, encoded with the peer's HPACK state. The block must be sent, or the two states
        differ."""
        return self._encoder.encode(list(fields))

    def frames(self) -> list[Frame]:
        """Return the frames that the connection has sent since the last call.

        Events that result, such as SendAccepted, are returned by the next `feed`.
        """
        output = b""
        while piece := self.connection.take_output(now=self.clock.now):
            output += piece
        return list(split_frames(output))

    def decode(self, block: bytes) -> list[tuple[bytes, bytes]]:
        """Return the fields of a block that was sent. Each block must be decoded, in the order sent, because HPACK
        has a state."""
        return [(field.name, field.value) for field in self._decoder.decode(block).fields]


def _advance(
    connection: H2ServerConnection | H2ClientConnection | H1ClientConnection, clock: Clock, seconds: float
) -> list[Event]:
    until = clock.now + seconds
    events: list[Event] = []
    due = connection.next_deadline()
    while due is not None and due <= until:
        clock.now = max(clock.now, due)
        events += connection.handle_deadline(clock.now)
        due = connection.next_deadline()
    clock.now = until
    return events


class ServerUnderTest(_UnderTest):
    """A server connection in memory, seen from the client's side of the wire.

    `connection` is the engine itself, whose verbs answer requests. `advance` moves `clock`. `limits` are the engine's
    defaults when None; `enable_connect_protocol` offers extended CONNECT (RFC 8441).
    """

    def __init__(
        self, limits: Limits | None = None, *, clock: Clock | None = None, enable_connect_protocol: bool = False
    ) -> None:
        super().__init__(clock)
        self.connection: H2ServerConnection = H2ServerConnection(
            limits, enable_connect_protocol=enable_connect_protocol, now=self.clock.now
        )

    def handshake(self, entries: Iterable[tuple[int, int]] = ()) -> None:
        """Exchange prefaces and SETTINGS, so that the connection is open and nothing is left to read.

        `entries` are the client's settings, as (identifier, value) pairs.
        """
        self.feed(PREFACE + settings_frame(entries) + SETTINGS_ACK)
        self.frames()

    def encode_request(
        self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]] = (), authority: str = "localhost"
    ) -> bytes:
        """Return a request's encoded field section."""
        pseudo = [
            (b":method", method.encode()),
            (b":scheme", b"https"),
            (b":authority", authority.encode()),
            (b":path", path.encode()),
        ]
        return self.encode([*pseudo, *headers])

    def request(
        self,
        stream_id: int,
        method: str = "GET",
        path: str = "/",
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        end_stream: bool = True,
    ) -> list[Event]:
        """Send a request's HEADERS and return the engine's events."""
        return self.feed(headers_frame(stream_id, self.encode_request(method, path, headers), end_stream=end_stream))


class ClientUnderTest(_UnderTest):
    """A client connection in memory, seen from the server's side of the wire.

    `connection` is the engine itself, whose verbs send requests. `advance` moves `clock`. `limits` are the engine's
    defaults when None. Example:

        client = ClientUnderTest()
        client.handshake()
        stream_id = client.request("GET", "/")
        events = client.feed(goaway_frame(0))
        assert events[-1].stream_id == stream_id  # it was not processed, and may be sent again
    """

    def __init__(self, limits: Limits | None = None, *, clock: Clock | None = None) -> None:
        super().__init__(clock)
        self.connection: H2ClientConnection = H2ClientConnection(limits, now=self.clock.now)

    def handshake(self, entries: Iterable[tuple[int, int]] = ()) -> None:
        """Exchange prefaces and SETTINGS, so that the connection is open and nothing is left to read.

        `entries` are the server's settings, as (identifier, value) pairs.
        """
        self.feed(settings_frame(entries) + SETTINGS_ACK)
        self.frames()

    def request(
        self,
        method: str = "GET",
        path: str = "/",
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        end_stream: bool = True,
        authority: str = "localhost",
    ) -> int:
        """Send a request's head, and return its stream identifier. Its frame is among the next `frames`."""
        return self.connection.send_request(
            method.encode(), b"https", authority.encode(), path.encode(), list(headers), end_stream=end_stream
        )

    def encode_response(self, status: int, headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
        """Return a response's field section, encoded with the server's HPACK state."""
        return self.encode([(b":status", str(status).encode()), *headers])

    def respond(
        self,
        stream_id: int,
        status: int = 200,
        headers: Iterable[tuple[bytes, bytes]] = (),
        content: bytes = b"",
        *,
        end_stream: bool = True,
    ) -> list[Event]:
        """Let the client receive a response: HEADERS, and DATA when there is content; return the engine's events."""
        block = self.encode_response(status, headers)
        data = headers_frame(stream_id, block, end_stream=end_stream and not content)
        if content:
            data += data_frame(stream_id, content, end_stream=end_stream)
        return self.feed(data)


class H1ClientUnderTest:
    """A client connection of HTTP/1.1 in memory; the test writes the server's bytes.

    `connection` is the engine itself, whose verbs send requests. `advance` moves `clock`. `limits` are the engine's
    defaults when None.
    """

    def __init__(self, limits: Limits | None = None, *, clock: Clock | None = None) -> None:
        self.clock: Clock = clock if clock is not None else Clock()
        self.connection: H1ClientConnection = H1ClientConnection(limits, now=self.clock.now)

    def request(
        self,
        method: str = "GET",
        path: str = "/",
        headers: Iterable[tuple[bytes, bytes]] = (),
        *,
        end_stream: bool = True,
        authority: str = "localhost",
    ) -> int:
        """Send a request's head, and return its identifier. Its bytes are among those of the next `written`."""
        return self.connection.send_request(
            method.encode(), b"http", authority.encode(), path.encode(), list(headers), end_stream=end_stream
        )

    def feed(self, data: bytes) -> list[Event]:
        """Let the client receive bytes; return the engine's events."""
        events = self.connection.receive_data(data, self.clock.now)
        while self.connection.input_pending:
            events += self.connection.receive_data(b"", self.clock.now)
        return events

    def feed_eof(self) -> list[Event]:
        """Let the server end the connection; return the engine's events."""
        return self.connection.receive_eof(self.clock.now)

    def advance(self, seconds: float) -> list[Event]:
        """Let `seconds` pass, stopping at every deadline on the way as an event loop would; return the events."""
        return _advance(self.connection, self.clock, seconds)

    def written(self) -> bytes:
        """Return the bytes that the client has sent since the last call."""
        output = b""
        while piece := self.connection.take_output(now=self.clock.now):
            output += piece
        return output


class JoinedPair:
    """A client and a server connection joined in memory: each reads the bytes that the other writes.

    Call the verbs of `client` and `server`, then `exchange`; the events of both sides are collected.
    """

    def __init__(
        self,
        client_limits: Limits | None = None,
        server_limits: Limits | None = None,
        *,
        clock: Clock | None = None,
        enable_connect_protocol: bool = False,
    ) -> None:
        self.clock: Clock = clock if clock is not None else Clock()
        self.client: H2ClientConnection = H2ClientConnection(client_limits, now=self.clock.now)
        self.server: H2ServerConnection = H2ServerConnection(
            server_limits, enable_connect_protocol=enable_connect_protocol, now=self.clock.now
        )
        self.client_events: list[Event] = []
        self.server_events: list[Event] = []

    def exchange(self) -> None:
        """Carry bytes both ways until neither side has more to send."""
        while True:
            to_server = self.client.take_output(now=self.clock.now)
            self.client_events += self.client.take_events()
            if to_server:
                self.server_events += self.server.receive_data(to_server, self.clock.now)
            to_client = self.server.take_output(now=self.clock.now)
            self.server_events += self.server.take_events()
            if to_client:
                self.client_events += self.client.receive_data(to_client, self.clock.now)
            if self.server.input_pending:
                self.server_events += self.server.receive_data(b"", self.clock.now)
            if self.client.input_pending:
                self.client_events += self.client.receive_data(b"", self.clock.now)
            if not (to_server or to_client or self.server.input_pending or self.client.input_pending):
                return

    def take_client_events(self) -> list[Event]:
        """Return and forget the client's events."""
        events, self.client_events = self.client_events, []
        return events

    def take_server_events(self) -> list[Event]:
        """Return and forget the server's events."""
        events, self.server_events = self.server_events, []
        return events
