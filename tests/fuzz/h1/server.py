"""The server's engine, a client that sends requests one behind the other, and an application that answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from headrace.engine import events as ev
from headrace.engine.h1 import H1ServerConnection

from tests.fuzz.h1.session import FIELDS, MOST_CONTENT, SIZES, H1Message, Session
from tests.fuzz.pattern import pattern
from tests.fuzz.source import Source
from tests.support.h1_rig import Response, read_responses

METHODS = (b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT")
STATUSES = (200, 204, 304, 404, 599, 100, 101, 999)
ADDED = (b"server", b"content-length", b"transfer-encoding", b"connection")
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@dataclass
class Asked:
    """A request, as the client has sent it."""

    method: bytes
    path: bytes
    fields: list[tuple[bytes, bytes]]
    is_chunked: bool = False
    is_old: bool = False
    is_upgrade: bool = False
    left: int = 0
    sent: int = 0
    whole: bool = False
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)


class ServerSession(Session):
    """A server under test."""

    def __init__(self, source: Source, cut: int = 0, turn: int = 0) -> None:
        super().__init__(source, cut, turn)
        self.conn = H1ServerConnection(self.limits, now=0.0, websockets=source.flag())
        self.conn.set_default_fields(((b"server", b"fuzz"),))
        self.deadline = self.conn.deadline
        self.asked: list[Asked] = []
        self.expected: list[tuple[H1Message, int, list[tuple[bytes, bytes]]]] = []
        self.tunnel: H1Message | None = None
        self.refused = False

    # -- the client --------------------------------------------------------------------------------------------

    def peer_request(self) -> None:
        """A sound request; the content of the one before is completed first."""
        source = self.source
        self.complete()
        if self.tunnel is not None:
            return
        kind = source.below(8)
        asked = Asked(source.pick(METHODS), source.pick((b"/", b"/a?b=c", b"*", b"/" + b"x" * 200)), [])
        if asked.path == b"*":
            asked.method = b"OPTIONS"
        asked.fields = [(b"host", b"a"), *(source.pick(FIELDS) for _ in range(source.below(4)))]
        lines = b"".join(b"%s: %s\r\n" % (name.title(), value) for name, value in asked.fields)
        asked.is_old = kind == 3
        if kind == 1:
            asked.is_chunked = True
            lines += b"Transfer-Encoding: chunked\r\n"
            asked.fields.append((b"transfer-encoding", b"chunked"))
        elif kind in (2, 3):
            asked.left = source.pick((5, 0, 1_000, 70_000))
            lines += b"Content-Length: %d\r\n" % asked.left
            asked.fields.append((b"content-length", b"%d" % asked.left))
        elif kind == 4:
            asked.method = b"GET"
            asked.path = b"/ws"
            asked.is_upgrade = True
            lines += UPGRADE
        elif kind == 5:
            lines += b"Connection: %s\r\n" % source.pick((b"close", b"keep-alive"))
        elif kind == 6:
            asked.left = 5
            lines += b"Content-Length: 5\r\nExpect: 100-continue\r\n"
        asked.whole = not asked.is_chunked and not asked.left
        self.asked.append(asked)
        target = asked.path
        if source.flag(6) and target[:1] == b"/":
            host = source.pick((b"a", b"other.example:81"))
            target = b"http://" + host + target  # which counts, and not the field host (RFC 9112 §3.2.2)
            asked.fields[0] = (b"host", host)
        version = b"HTTP/1.0" if asked.is_old else b"HTTP/1.1"
        self.write(b"\r\n" * source.flag(9) + b"%s %s %s\r\n%s\r\n" % (asked.method, target, version, lines))

    def open_request(self) -> Asked | None:
        """The request whose content is not complete."""
        return self.asked[-1] if self.asked and not self.asked[-1].whole else None

    def peer_content(self) -> None:
        """A piece of content."""
        asked = self.open_request()
        size = self.source.pick(SIZES)
        if asked is not None and self.moved < MOST_CONTENT:
            self.content_of(asked, size)

    def content_of(self, asked: Asked, size: int) -> None:
        """Write content."""
        content = pattern(asked.sent, size if asked.is_chunked else min(size, asked.left))
        asked.sent += len(content)
        self.moved += len(content)
        if not asked.is_chunked:
            asked.left -= len(content)
            asked.whole = asked.left == 0
            self.write(content)
        elif content:
            extension = self.source.pick((b"", b";a=b", b';c="d"'))
            self.write(b"%x%s\r\n%s\r\n" % (len(content), extension, content))

    def peer_end(self) -> None:
        """The end of the content, with trailers now and then."""
        self.complete(trailers=self.source.flag(3))

    def complete(self, *, trailers: bool = False) -> None:
        """Complete the content of the request that was begun."""
        asked = self.open_request()
        while asked is not None and not asked.is_chunked and asked.left:
            self.content_of(asked, asked.left)
        if asked is not None and asked.is_chunked:
            asked.trailers = [(b"t", b"v")] if trailers else []
            asked.whole = True
            self.write(b"0\r\n" + b"T: v\r\n" * trailers + b"\r\n")

    def peer_tunnel(self) -> None:
        """Content of a tunnel."""
        if self.tunnel is not None and self.tunnel.asked is not None:
            size = self.source.pick(SIZES)
            asked = self.tunnel.asked
            self.write(pattern(asked.sent, size))
            asked.sent += size
            self.moved += size

    # -- events ------------------------------------------------------------------------------------------------

    def note_head(self, event: Any) -> None:
        """A request, which is the one that the client sent; or its refusal."""
        if event.kind == ev.REFUSED and self.app is not None:
            self.app.ended = True
            self.app.blocked = self.conn.has_stream(self.app.stream_id)  # its 503 waits, and a SendAccepted follows
        if event.kind not in (ev.REQUEST, ev.CONNECT):
            return
        assert self.app is None or self.app.over or not self.conn.has_stream(self.app.stream_id), "two are open"
        number = len(self.messages)
        asked = self.asked[number] if self.lawful else None
        if self.app is not None:
            self.app.over = True
        self.app = H1Message(event.stream_id, asked, peer_ended=event.end_stream)
        self.messages.append(self.app)
        assert event.stream_id == 2 * number + 1
        if asked is not None:
            assert (event.method, event.path) == (asked.method, asked.path)
            sent = [each for each in asked.fields if each[0] not in ADDED]
            got = [each for each in event.headers if each[0] not in (*ADDED, b"upgrade", b"expect")]
            assert [e for e in got if not e[0].startswith(b"sec-")] == sent, f"{event!r} for {asked}"

    # -- the application ---------------------------------------------------------------------------------------

    def began(self, app: H1Message, result: bool | None, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Book the head of a response."""
        if result is not None:
            self.expected.append((app, status, fields))

    def app_respond(self) -> None:
        """A whole response."""
        app = self.some_app()
        status, size = self.source.pick(STATUSES), self.source.pick(SIZES)
        fields = [self.source.pick(FIELDS) for _ in range(self.source.below(3))]
        if self.source.flag(8):
            fields.append((b"connection", b"close"))
        if app is not None and not app.blocked and self.moved < MOST_CONTENT:
            accepted = self.attempt(self.conn.send_response, app.stream_id, status, fields, pattern(0, size))
            self.began(app, accepted, status, fields)
            self.sent(app, accepted, size, True)

    def app_headers(self) -> None:
        """The head of a response."""
        app = self.some_app()
        status = self.source.pick(STATUSES)
        fields = [self.source.pick(FIELDS) for _ in range(self.source.below(3))]
        length = self.source.pick((-1, -1, 0, 5, 1_000))
        if length >= 0:
            fields.append((b"content-length", b"%d" % length))
        end = self.source.flag(4)
        if app is not None and not app.blocked:
            result = self.attempt(self.conn.send_headers, app.stream_id, status, fields, end)
            self.began(app, result, status, fields)
            app.head_sent = app.head_sent or result is not None
            app.ended = app.ended or (end and result is not None)
            if result is not None:
                app.length = length

    def app_sendfile(self) -> None:
        """Content goes out past the engine, by its length, once all output is taken."""
        app = self.some_app()
        count = self.source.pick((1, 5, 1_000, 0))
        if app is None or app.blocked:
            return
        if self.attempt(self.conn.content_sent, app.stream_id, count) is not None:
            self.output += pattern(app.sent, count)
            self.sent(app, True, count, app.sent + count == app.length)

    def app_inform(self) -> None:
        """An interim response."""
        app = self.some_app()
        status = self.source.pick((103, 100, 102, 101, 200))
        if app is not None:
            result = self.attempt(self.conn.send_informational, app.stream_id, status, [FIELDS[0]])
            if not (app.asked and app.asked.is_old):
                self.began(app, result, status, [FIELDS[0]])

    def app_accept(self) -> None:
        """Yes to a tunnel, or to what is none."""
        app = self.some_app()
        if app is None:
            return
        self.lawful = self.lawful and app.asked is self.asked[-1]  # else the next request is the tunnel's content
        if self.attempt(self.conn.accept_tunnel, app.stream_id, [FIELDS[0]]) is not None:
            self.tunnel = app
            app.head_sent = True

    def app_refuse(self) -> None:
        """A refusal."""
        app = self.some_app()
        if app is not None and self.source.flag(3):
            self.refused = True
            self.attempt(self.conn.refuse_stream, app.stream_id)

    def written(self) -> int:
        """Ask for the bytes under way, of the request that came last."""
        return int(self.conn.written(1 if self.app is None else self.app.stream_id))

    def app_pauses(self) -> None:
        """Leave for a request to pause."""
        app = self.some_app()
        if app is not None:
            self.attempt(self.conn.allow_pauses, app.stream_id, self.source.pick((0.0, 3.0, 1_000.0)))

    # -- the end -----------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Each request that came whole gets its answer, as long as the connection lives."""
        self.take_all()
        if not self.lawful or not self.wide or self.hurried or self.tunnel is not None:
            return
        self.complete()
        self.flush()
        for _ in range(2 * len(self.asked) + 2):
            self.take_all()
            app = self.app
            if app is None or app.over or self.conn.closed:
                break
            assert not app.blocked, "all output is taken, and the writer waits"
            app.unread = 0
            if not app.head_sent and not app.ended:
                accepted = self.attempt(self.conn.send_response, app.stream_id, 200, [], b"end")
                self.began(app, accepted, 200, [])
                self.sent(app, accepted, 3, True)
            elif not app.ended:
                left = max(0, app.length - app.sent)
                self.sent(
                    app, self.attempt(self.conn.send_data, app.stream_id, pattern(app.sent, left), True), left, True
                )
        if not self.conn.closed:
            assert len(self.messages) == len(self.asked), f"{len(self.messages)} of {len(self.asked)} requests came"

    def leave(self) -> None:
        """The client leaves; then what it got is read."""
        super().leave()
        self.take_all()
        if self.lawful and self.tunnel is None and not self.refused and not self.hurried and self.wide:
            methods = [app.asked.method for app in self.messages] + [b"GET"]
            self.compare(read_responses(self.output, methods, ended=True))

    def compare(self, responses: list[Response]) -> None:
        """What came is what was sent, besides what the server adds; the last may be cut off."""
        assert len(responses) <= len(self.expected)
        if not self.conn.aborted:
            assert len(responses) == len(self.expected), f"{self.expected} were sent, and {responses} came"
        for (app, status, fields), got in zip(self.expected, responses, strict=False):
            assert got.status == status
            left = [each for each in got.headers if each[0] not in ADDED]
            assert left == [each for each in fields if each[0] not in ADDED], f"{fields} came as {got}"
            if status < 200 or status in (204, 304) or app.asked.method == b"HEAD":
                assert not got.body
                continue
            assert got.body == pattern(0, len(got.body)) or got.body == b"end"
            assert len(got.body) <= app.sent
            if app.ended and not self.conn.aborted and got.body != b"end":
                assert got.whole and len(got.body) == app.sent, f"{app}: {len(got.body)} bytes came"


_S = ServerSession
ServerSession.scripts = (
    "peer_request peer_request peer_request app_respond app_respond app_respond app_take",
    "peer_request peer_content peer_content peer_end app_acknowledge app_respond peer_request app_respond take_all",
    "peer_request app_inform app_headers app_data app_data app_take app_trailers peer_request take_all app_respond",
    "peer_request app_accept peer_tunnel app_data peer_tunnel app_data take_all",
    "peer_request app_headers app_data app_reset take_all",
    "peer_request app_respond app_drain app_time peer_request app_respond",
    "peer_request hostile_words app_respond take_all hostile_words app_time",
    "peer_request app_headers take_all app_sendfile app_sendfile app_data peer_request app_respond",
)
ServerSession.verbs = (
    _S.peer_request, _S.peer_content, _S.app_respond, _S.app_headers, _S.app_data, _S.app_acknowledge, _S.app_take,
    _S.peer_end, _S.peer_request, _S.peer_content, _S.app_respond, _S.app_data, _S.app_trailers, _S.take_all,
    _S.app_inform, _S.app_accept, _S.peer_tunnel, _S.app_refuse, _S.app_reset, _S.app_pauses, _S.app_time, _S.app_drain,
    _S.app_look, _S.app_sendfile, _S.hostile_words, _S.hostile_bytes,
)  # fmt: skip
