"""The engine under test, with a hostile peer on the other end of a wire made of bytes.

`ServerRig` holds a `ServerConnection`, `ClientRig` a `ClientConnection`. The peer is `tests.support.wire`:
it writes what it likes and reads every frame the engine wrote with rules of its own. A clock that is
turned by hand stands in for time. `outcome()` says in three words what a frame led to, so that a test
can be a row of a table: ("ok",), ("stream", code) or ("connection", code).
"""

from __future__ import annotations

from typing import Any

from headrace.engine import events as ev
from headrace.engine.h2 import ClientConnection, ServerConnection
from headrace.engine.limits import Limits

from tests.support import wire

OK = ("ok",)


def stream_error(code: int) -> tuple[str, int]:
    """A RST_STREAM with `code`, the connection lives on."""
    return ("stream", code)


def connection_error(code: int) -> tuple[str, int]:
    """A GOAWAY with `code`, then the end."""
    return ("connection", code)


class Rig:
    """What both roles share: feeding, reading, asserting."""

    conn: Any

    def __init__(self) -> None:
        self.now = 0.0
        self.reader = wire.FrameReader(1 << 24)
        self.events: list[Any] = []
        self.sent: list[wire.Frame] = []
        self.fields: dict[int, list[list[tuple[bytes, bytes]]]] = {}
        self.content: dict[int, bytearray] = {}
        self.bytes_out = 0

    # -- towards the engine

    def feed(self, *data: bytes) -> list[Any]:
        """Hand bytes over as one read, turn after turn until the engine has parsed them; returns the new events."""
        got = list(self.conn.receive_data(b"".join(data), self.now))
        turns = 0
        while self.conn.input_pending and not self.conn.closed:
            more = self.conn.receive_data(b"", self.now)
            got += more
            turns += 1
            assert turns < 200_000, "input_pending never ends"
        self.events += got
        return got

    def advance(self, seconds: float) -> list[Any]:
        """Turn the clock, keeping every deadline that falls on the way."""
        target = self.now + seconds
        got: list[Any] = []
        rounds = 0
        while self.conn.deadline <= target and not self.conn.closed:
            self.now = max(self.now, self.conn.deadline)
            got += self.conn.handle_deadline(self.now)
            rounds += 1
            assert rounds < 100_000, "the deadline does not move on"
        self.now = target
        self.events += got
        return got

    def eof(self) -> list[Any]:
        """The transport is gone."""
        got = list(self.conn.receive_eof(self.now))
        self.events += got
        return got

    # -- from the engine

    def take(self, rounds: int = 10_000) -> list[wire.Frame]:
        """All frames the engine writes now, read by our own reader; HEADERS are decoded on the way."""
        new: list[wire.Frame] = []
        for _ in range(rounds):
            data = self.conn.take_output(now=self.now)
            if not data:
                break
            self.bytes_out += len(data)
            new += self.reader.feed(data)
        else:
            raise AssertionError("take_output never ends")
        assert not self.conn.output_pending, "take_output gave nothing though output_pending was true"
        block: wire.Frame | None = None
        for one in new:
            if one.type == wire.HEADERS or one.type == wire.CONTINUATION:
                if one.type == wire.HEADERS:
                    block = wire.Frame(one.type, one.flags & 1 | wire.END_HEADERS, one.stream_id, one.block)
                elif block is not None:
                    block = block._replace(payload=block.payload + one.block)
                if one.flags & wire.END_HEADERS and block is not None:
                    self.fields.setdefault(one.stream_id, []).append(self.reader.fields(block))
                    block = None
            elif one.type == wire.DATA:
                self.content.setdefault(one.stream_id, bytearray()).extend(one.content)
        self.sent += new
        self.events += self.conn.take_events()
        return new

    def exchange(self, *data: bytes) -> list[wire.Frame]:
        """Feed, then take."""
        self.feed(*data)
        return self.take()

    # -- what happened

    def of(self, kind: type[Any], stream_id: int | None = None) -> list[Any]:
        """Events of one class so far, of one stream if it is named."""
        return [e for e in self.events if isinstance(e, kind) and (stream_id is None or e.stream_id == stream_id)]

    def frames(self, type: int, stream_id: int | None = None) -> list[wire.Frame]:
        """Frames of one type that the engine wrote so far."""
        return [f for f in self.sent if f.type == type and (stream_id is None or f.stream_id == stream_id)]

    def reset_code(self, stream_id: int) -> int | None:
        """The code of the RST_STREAM the engine wrote on a stream, None without one; two are a fault."""
        found = self.frames(wire.RST_STREAM, stream_id)
        assert len(found) <= 1, f"{len(found)} RST_STREAM on stream {stream_id} (RFC 9113 §5.4.2)"
        return found[0].code if found else None

    def goaway_code(self) -> int | None:
        """The code of the last GOAWAY, None without one."""
        found = self.frames(wire.GOAWAY)
        return found[-1].code if found else None

    def outcome(self, stream_id: int) -> tuple[Any, ...]:
        """What the peer sees of a fault: ("ok",), ("stream", code) or ("connection", code)."""
        self.take()
        code = self.goaway_code()
        if code is not None:
            self.assert_dead(code)
            return ("connection", code)
        reset = self.reset_code(stream_id)
        if reset is not None:
            assert not self.conn.closed
            return ("stream", reset)
        assert not self.conn.closed
        return OK

    def assert_dead(self, code: int) -> None:
        """After a connection error: one ConnectionEnded with the code, the connection closed, and silence after."""
        ended = self.of(ev.ConnectionEnded)
        assert [e.code for e in ended] == [code], self.events
        assert self.conn.closed
        assert self.feed(wire.ping(b"deadbeef"), wire.data(1, b"x")) == []
        assert self.take() == []

    def assert_fault(self, scope: str, code: int) -> Any:
        """The PeerFault event that goes with an error, for the log: it names scope, code and section."""
        faults = [e for e in self.of(ev.PeerFault) if e.scope == scope and e.code == code]
        assert faults, self.events
        assert faults[-1].reason
        assert "§" in faults[-1].section or "RFC" in faults[-1].section, faults[-1].section
        return faults[-1]


class ServerRig(Rig):
    """A ServerConnection whose client is written by hand; the preface and both ACKs are done unless told not to."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        start: bool = True,
        settings: dict[int, int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.conn = ServerConnection(limits, now=0.0, **options)
        self.next_id = 1001
        if start:
            self.feed(wire.client_preface(settings or {}))
            self.take()
            self.feed(wire.settings_ack())
            self.take()
            assert not self.conn.closed
            self.events.clear()
            self.sent.clear()

    def request(self, stream_id: int, path: bytes = b"/", **parts: Any) -> list[Any]:
        """A request of the hand-written client; returns the events."""
        return self.feed(wire.request(stream_id, path, **parts))

    def respond(self, stream_id: int, body: bytes = b"", status: int = 200, headers: Any = ()) -> bool:
        """A whole response by the app."""
        return bool(self.conn.send_response(stream_id, status, list(headers), body))

    def assert_siblings_go_on(self, stream_id: int | None = None) -> None:
        """A fresh stream is served whole, with a dynamic table entry, so that HPACK is shown to be in step."""
        if stream_id is None:
            stream_id, self.next_id = self.next_id, self.next_id + 4
        name = b"x-sibling-%d" % stream_id
        block = wire.literals(wire.request_fields(b"/sibling")) + wire.literal(name, b"one", index=True)
        got = self.feed(wire.headers(stream_id, block, end_stream=True))
        (request,) = [e for e in got if isinstance(e, ev.RequestReceived)]
        assert (request.stream_id, request.path) == (stream_id, b"/sibling")
        assert (name, b"one") in request.headers
        self.respond(stream_id, b"fine")
        self.take()
        assert bytes(self.content[stream_id]) == b"fine"
        second = wire.literals(wire.request_fields(b"/again")) + wire.indexed(62)
        got = self.feed(wire.headers(stream_id + 2, second, end_stream=True))
        (request,) = [e for e in got if isinstance(e, ev.RequestReceived)]
        assert (name, b"one") in request.headers, "the dynamic table is out of step"
        self.respond(stream_id + 2, b"")
        self.take()
        assert not self.conn.closed
        assert self.goaway_code() is None


class ClientRig(Rig):
    """A ClientConnection whose server is written by hand."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        start: bool = True,
        settings: dict[int, int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.conn = ClientConnection(limits, now=0.0, **options)
        self.reader = wire.FrameReader(1 << 24, expect_preface=True)
        if start:
            self.take()
            self.feed(wire.settings(settings or {}), wire.settings_ack())
            self.take()
            assert not self.conn.closed
            self.events.clear()
            self.sent.clear()

    def send(
        self, path: bytes = b"/", *, method: bytes = b"GET", end_stream: bool = True, headers: Any = (), **more: Any
    ) -> int:
        """Send a request; returns its stream id."""
        stream_id = int(
            self.conn.send_request(method, b"https", b"example.com", path, list(headers), end_stream=end_stream, **more)
        )
        self.take()
        return stream_id

    def assert_siblings_go_on(self, stream_id: int | None = None) -> None:
        """A fresh request is answered whole, with the dynamic table in step."""
        for block in (
            wire.literal(b":status", b"200") + wire.literal(b"x-sibling", b"one", index=True),
            wire.literal(b":status", b"200") + wire.indexed(62),
        ):
            fresh = self.send(b"/sibling")
            got = self.feed(wire.headers(fresh, block), wire.data(fresh, b"fine", end_stream=True))
            (answer,) = [e for e in got if isinstance(e, ev.ResponseReceived)]
            assert (b"x-sibling", b"one") in answer.headers, "the dynamic table is out of step"
            assert b"".join(e.data for e in got if isinstance(e, ev.DataReceived)) == b"fine"
        self.take()
        assert not self.conn.closed
        assert self.goaway_code() is None
