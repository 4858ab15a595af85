"""The HTTP/1.1 engine under test, with its peer on the other end of a wire made of bytes.

`H1Rig` holds an `H1ServerConnection`. With `auto` it answers each request as soon as it is whole, with its number as
content, as an application that never waits. `read_responses` is a reader of responses with rules of its own: it takes
nothing that RFC 9112 leaves open. `refusal` says in one word what became of bytes, so that a test can be a row of a
table. `H1ClientRig` holds an `H1ClientConnection`, whose server is written by hand; `answer` says what it made of
bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from headrace.engine import events as ev
from headrace.engine.h1 import H1ClientConnection, H1ServerConnection
from headrace.engine.limits import Limits

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SILENT = "closed without an answer"
OK = "ok"


class Response(NamedTuple):
    """A response as a client has read it; `whole` is False when it was cut off."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]]
    whole: bool

    def field(self, name: bytes) -> bytes | None:
        """The value of a field that stands there once; None when it is missing."""
        values = [value for each, value in self.headers if each == name]
        assert len(values) < 2, f"{name!r} stands {len(values)} times"
        return values[0] if values else None


def head(*lines: bytes, request: bytes = b"GET / HTTP/1.1", host: bytes | None = b"a") -> bytes:
    """A request's head with these field lines."""
    fields = [*([b"Host: " + host] if host is not None else []), *lines]
    return b"\r\n".join([request, *fields, b"", b""])


def post(content: bytes, *lines: bytes) -> bytes:
    """A request with content of a known length."""
    return head(b"Content-Length: %d" % len(content), *lines, request=b"POST / HTTP/1.1") + content


def chunked(data: bytes, *lines: bytes) -> bytes:
    """A request whose content is in the chunked coding, `data` as it stands on the wire."""
    return head(b"Transfer-Encoding: chunked", *lines, request=b"POST / HTTP/1.1") + data


def read_fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in lines:
        name, colon, value = line.partition(b": ")
        assert colon and name and name == name.lower() and b" " not in name, line
        assert value == value.strip(), line
        fields.append((name, value))
    return fields


def read_responses(data: bytes, methods: list[bytes] | None = None, ended: bool = False) -> list[Response]:
    """Take apart what a server wrote. `methods` are those of the requests, all GET when None; `ended` says that the
    connection has ended, as content without a length needs to be read."""
    responses: list[Response] = []
    final = 0
    while data:
        top, empty, data = data.partition(b"\r\n\r\n")
        assert empty, f"a head that is not whole: {top!r}"
        line, *lines = top.split(b"\r\n")
        assert line.startswith(b"HTTP/1.1 ") and line[12:13] == b" ", line
        status = int(line[9:12])
        headers = read_fields(lines)
        fields = dict(headers)
        body = b""
        trailers: list[tuple[bytes, bytes]] = []
        whole = True
        method = b"GET" if methods is None else methods[final]
        if status >= 200:
            final += 1
        if status < 200 or status in (204, 304) or method == b"HEAD":
            assert b"transfer-encoding" not in fields
        elif b"transfer-encoding" in fields:
            assert fields[b"transfer-encoding"] == b"chunked" and b"content-length" not in fields
            body, trailers, data, whole = read_chunks(data)
        elif b"content-length" in fields:
            size = int(fields[b"content-length"])
            body, data = data[:size], data[size:]
            whole = len(body) == size
        else:
            assert ended and fields.get(b"connection") == b"close", (
                "content without a length on a connection that lives"
            )
            body, data = data, b""
        responses.append(Response(status, headers, body, trailers, whole))
    return responses


def read_chunks(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], bytes, bool]:
    body = b""
    while True:
        line, crlf, data = data.partition(b"\r\n")
        if not crlf:
            return body, [], b"", False
        size = int(line, 16)
        if size == 0:
            break
        body += data[:size]
        if data[size : size + 2] != b"\r\n":
            return body, [], b"", False
        data = data[size + 2 :]
    lines: list[bytes] = []
    while True:
        line, crlf, data = data.partition(b"\r\n")
        assert crlf
        if not line:
            return body, read_fields(lines), data, True
        lines.append(line)


class H1Rig:
    """A server's connection, its client, and a clock that is turned by hand."""

    def __init__(self, limits: Limits | None = None, *, auto: bool = False, **arguments: Any) -> None:
        self.now = 0.0
        self.auto = auto
        self.conn: Any = H1ServerConnection(limits, now=self.now, **arguments)
        self.events: list[Any] = []
        self.output = b""
        self.paused = 0

    def feed(self, data: bytes, cut: int = 0) -> list[Any]:
        """Hand bytes over, in pieces of `cut` bytes where it is given; returns the new events."""
        begin = len(self.events)
        for at in range(0, len(data), cut) if cut else (0,):
            self._note(self.conn.receive_data(data[at : at + cut] if cut else data, self.now))
        return self.events[begin:]

    def _note(self, events: list[Any]) -> None:
        while events:
            self.events += events
            for event in events:
                if self.auto:
                    self._answer(event)
            events = self.conn.take_events()

    def _answer(self, event: Any) -> None:
        if event.kind == ev.DATA:
            self.conn.acknowledge_data(event.stream_id, event.flow_length)
        if event.kind == ev.TRAILERS or (event.kind in (ev.REQUEST, ev.DATA) and event.end_stream):
            self.conn.send_response(event.stream_id, 200, (), b"%d" % event.stream_id)

    def take(self, limit: int = 262_144) -> bytes:
        """Take what is to be written, all of it; what comes of it is noted. `output` has everything that was. Input
        that waits for a later turn has it here."""
        taken = b""
        while True:
            piece: bytes = self.conn.take_output(limit, self.now)
            taken += piece
            self._note(self.conn.take_events())
            if self.conn.input_pending:
                self._note(self.conn.receive_data(b"", self.now))
            elif not piece:
                break
        self.output += taken
        return taken

    def advance(self, seconds: float) -> list[Any]:
        """Let time pass, stopping at each deadline; returns the new events."""
        begin = len(self.events)
        until = self.now + seconds
        stops = 0
        while (due := self.conn.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self._note(self.conn.handle_deadline(self.now))
            stops += 1
            assert stops < 1_000, "a deadline that does not move"
        self.now = until
        return self.events[begin:]

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of a class, exactly."""
        return [event for event in self.events if type(event) is kind]

    @property
    def requests(self) -> list[Any]:
        """The ordinary requests."""
        return self.of(ev.RequestReceived)

    @property
    def content(self) -> bytes:
        """All content that was handed over."""
        return b"".join(event.data for event in self.of(ev.DataReceived))

    @property
    def fault(self) -> Any:
        """The one fault."""
        (fault,) = self.of(ev.PeerFault)
        return fault

    def responses(self, methods: list[bytes] | None = None) -> list[Response]:
        """What the client has read so far."""
        self.take()
        return read_responses(self.output, methods, self.conn.closed)


def refusal(data: bytes, cut: int = 0, limits: Limits | None = None, **arguments: Any) -> object:
    """What became of bytes: OK, the status of a refusal that closed the connection, or SILENT.

    The refusal must say so in the head, have a fault with a section, and let no later request through.
    """
    rig = H1Rig(limits, auto=True, **arguments)
    rig.feed(data, cut)
    if not rig.of(ev.PeerFault):
        assert not rig.conn.closed or rig.of(ev.ConnectionEnded)[0].code == 0
        return OK
    assert rig.fault.section.startswith("RFC ") and rig.fault.reason
    assert rig.conn.closed and isinstance(rig.events[-1], ev.ConnectionEnded)
    rig.feed(GET)
    written = rig.take()
    if not written:
        return SILENT
    last = rig.responses()[-1]
    assert last.whole and last.body.endswith(b"\n") and len(last.body) < 200
    assert (last.field(b"connection") or b"").startswith(b"close")
    assert last.field(b"content-type") == b"text/plain; charset=utf-8"
    return last.status


class H1ClientRig:
    """A client's connection, its server, and a clock that is turned by hand."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.now = 0.0
        self.conn: Any = H1ClientConnection(limits, now=self.now)
        self.events: list[Any] = []
        self.output = b""

    def send(
        self,
        path: bytes = b"/",
        *,
        method: bytes = b"GET",
        headers: Any = (),
        end_stream: bool = True,
        authority: bytes = b"a",
        **more: Any,
    ) -> int:
        """Send a request's head; returns its identifier. What is written is taken, and in `output`."""
        scheme = b"" if method == b"CONNECT" and "protocol" not in more else b"http"
        stream_id = int(self.conn.send_request(method, scheme, authority, path, headers, end_stream=end_stream, **more))
        self.take()
        return stream_id

    def take(self, limit: int = 262_144) -> bytes:
        """Take what is to be written, all of it; what comes of it is noted."""
        taken = b""
        while piece := self.conn.take_output(limit, self.now):
            taken += piece
            self.events += self.conn.take_events()
        self.events += self.conn.take_events()
        self.output += taken
        return taken

    def feed(self, data: bytes, cut: int = 0) -> list[Any]:
        """Hand bytes over, in pieces of `cut` bytes where it is given; returns the new events."""
        begin = len(self.events)
        for at in range(0, len(data), cut) if cut else (0,):
            self.events += self.conn.receive_data(data[at : at + cut] if cut else data, self.now)
        return self.events[begin:]

    def eof(self) -> list[Any]:
        """The server ends the connection; returns the new events."""
        begin = len(self.events)
        self.events += self.conn.receive_eof(self.now)
        return self.events[begin:]

    def advance(self, seconds: float) -> list[Any]:
        """Let time pass, stopping at each deadline; returns the new events."""
        begin = len(self.events)
        until = self.now + seconds
        stops = 0
        while (due := self.conn.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.events += self.conn.handle_deadline(self.now)
            stops += 1
            assert stops < 1_000, "a deadline that does not move"
        self.now = until
        return self.events[begin:]

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of a class, exactly."""
        return [event for event in self.events if type(event) is kind]

    @property
    def content(self) -> bytes:
        """All content that was handed over."""
        return b"".join(event.data for event in self.of(ev.DataReceived))

    @property
    def ended(self) -> bool:
        """True when the response has ended as it should."""
        last = [e for e in self.events if type(e) in (ev.ResponseReceived, ev.DataReceived, ev.TrailersReceived)]
        return bool(last) and (type(last[-1]) is ev.TrailersReceived or last[-1].end_stream)

    @property
    def fault(self) -> Any:
        """The one fault."""
        (fault,) = self.of(ev.PeerFault)
        return fault


WHOLE = "whole"
CUT = "cut off"


class Answer(NamedTuple):
    """What a client made of bytes: `end` is WHOLE, CUT (the connection was gone too early), the section of the rule
    that was broken, or "" while more is waited for. `again` says that another request may follow."""

    status: int
    content: bytes
    end: str
    again: bool


def answer(data: bytes, *, cut: int = 0, ended: bool = True, limits: Limits | None = None, **request: Any) -> Answer:
    """Send one request and feed its response; then, with `ended`, the end of the connection."""
    rig = H1ClientRig(limits)
    rig.send(**request)
    rig.feed(data, cut)
    again = bool(rig.conn.can_send_request)
    if ended:
        rig.eof()
    heads = rig.of(ev.ResponseReceived)
    assert len(heads) < 2
    resets = rig.of(ev.StreamReset)
    faults = rig.of(ev.PeerFault)
    end = ""
    if faults:
        end = faults[0].section
        assert rig.conn.closed and faults[0].reason
        assert type(rig.events[-1]) is ev.ConnectionEnded
        assert bool(resets) == (faults[0].scope == "stream")
    elif resets:
        end = CUT
        assert not rig.ended
    elif rig.ended:
        end = WHOLE
    return Answer(heads[0].status if heads else 0, rig.content, end, again)
