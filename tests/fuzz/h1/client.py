"""The client's engine, a server that answers one request after the other, and an application that asks."""

from __future__ import annotations

from typing import Any

from headrace.engine import events as ev
from headrace.engine.h1 import H1ClientConnection

from tests.differential.test_h1_against_h11 import by_h11
from tests.fuzz.h1.session import FIELDS, MOST_CONTENT, SIZES, H1Message, Session
from tests.fuzz.pattern import pattern
from tests.fuzz.session import request_from
from tests.fuzz.source import Source

METHODS = (b"GET", b"POST", b"HEAD", b"PUT", b"CONNECT")
STATUSES = (b"200", b"204", b"304", b"404", b"500", b"999")
KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
BY_LENGTH, CHUNKED, BY_CLOSE, EMPTY = range(4)


class ClientSession(Session):
    """A client under test."""

    def __init__(self, source: Source, cut: int = 0, turn: int = 0) -> None:
        super().__init__(source, cut, turn)
        self.conn = H1ClientConnection(self.limits, now=0.0)
        self.deadline = self.conn.deadline
        self.framing = EMPTY
        self.left = 0
        self.content_sent = 0
        self.answered = False  # the head of the response is out
        self.complete = True
        self.fields: list[tuple[bytes, bytes]] = []
        self.status = b""
        self.has_tunnel = False
        self.cut_off = False

    # -- the application ---------------------------------------------------------------------------------------

    def app_request(self) -> None:
        """A request, of those that may be sent and of others."""
        source = self.source
        method, end, fields, length, protocol = request_from(source, METHODS, FIELDS)
        scheme, path = (b"http", source.pick((b"/", b"/a?b", b"/ ", b"http://a.example/")))
        authority = source.pick((b"a.example", b"a.example:81", b""))
        if method == b"CONNECT" and not protocol:
            scheme, path, authority = b"", b"", b"a.example:443"
        if protocol:
            fields.append(KEY)
        if source.flag(7):
            fields.append((b"connection", b"close"))
        can = self.conn.can_send_request
        self.asking = True
        stream_id = self.attempt(
            self.conn.send_request, method, scheme, authority, path, fields, end_stream=end, protocol=protocol,
            content_length=length,
        )  # fmt: skip
        self.asking = False
        if stream_id is None:
            return
        assert can, "can_send_request was False, and a request went out"
        assert self.app is None or self.app.over
        asked = (b"GET" if protocol else method, authority if method == b"CONNECT" and not protocol else path, protocol)
        ended = end or protocol is not None or (method == b"CONNECT" and not protocol)
        self.app = H1Message(stream_id, asked, head_sent=True, ended=ended, length=length)
        self.messages.append(self.app)
        self.answered = self.complete = False
        self.content_sent = self.left = 0
        self.noted()

    # -- the server --------------------------------------------------------------------------------------------

    def peer_respond(self) -> None:
        """A response's head, to a request of which something has come."""
        source = self.source
        status = source.pick(STATUSES)
        framing = source.pick((BY_LENGTH, CHUNKED, BY_CLOSE, EMPTY))
        extra = [source.pick(FIELDS) for _ in range(source.below(3))]
        old = source.flag(6)
        left = source.pick((0, 5, 1_000, 70_000))
        app = self.app
        if app is None or app.over or self.answered or not self.has_come():
            return
        self.framing, self.left = framing, left
        method, _, protocol = app.asked
        head = b"HTTP/1.0" if old else b"HTTP/1.1"
        if protocol and source.flag():
            status = b"101"
            extra += [(b"upgrade", b"websocket"), (b"connection", b"upgrade"), (b"sec-websocket-accept", ACCEPT)]
            head = b"HTTP/1.1"
        is_tunnel = status == b"101" or (method == b"CONNECT" and status < b"300")
        if is_tunnel:
            self.framing = BY_CLOSE
            self.has_tunnel = True
        elif method == b"HEAD" or status in (b"204", b"304"):
            self.framing = EMPTY
        elif self.framing == CHUNKED and not old:
            extra.append((b"transfer-encoding", b"chunked"))
        elif self.framing in (BY_LENGTH, EMPTY):
            self.left = 0 if self.framing == EMPTY else self.left
            extra.append((b"content-length", b"%d" % self.left))
            self.framing = BY_LENGTH
        else:
            self.framing = BY_CLOSE
        self.answered = True
        self.fields, self.status = extra, status
        self.complete = self.framing == EMPTY or (self.framing == BY_LENGTH and not self.left)
        lines = b"".join(b"%s: %s\r\n" % (name.title(), value) for name, value in extra)
        self.write(b"%s %s %s\r\n%s\r\n" % (head, status, source.pick((b"OK", b"", b"A b")), lines))

    def has_come(self) -> bool:
        """Tell whether something of the request has been taken, as no server answers what it has not got."""
        return not self.conn.output_pending

    def peer_inform(self) -> None:
        """An interim response."""
        app = self.app
        if app is not None and not app.over and not self.answered and self.has_come():
            self.write(b"HTTP/1.1 %s x\r\nA: b\r\n\r\n" % self.source.pick((b"100", b"103", b"102")))

    def peer_content(self) -> None:
        """A piece of content."""
        size = self.source.pick(SIZES)
        if self.app is None or not self.answered or self.complete or self.moved > MOST_CONTENT:
            return
        content = pattern(self.content_sent, min(size, self.left) if self.framing == BY_LENGTH else size)
        self.content_sent += len(content)
        self.moved += len(content)
        if self.framing == CHUNKED:
            if content:
                self.write(b"%x%s\r\n%s\r\n" % (len(content), self.source.pick((b"", b";a=b")), content))
            return
        self.left -= len(content)
        self.complete = self.framing == BY_LENGTH and not self.left
        self.write(content)

    def peer_end(self) -> None:
        """The end of the content, with trailers now and then."""
        trailers = self.source.flag(3)
        if self.app is None or not self.answered or self.complete:
            return
        if self.framing == CHUNKED:
            self.complete = True
            self.write(b"0\r\n" + b"T: v\r\n" * trailers + b"\r\n")
        while self.framing == BY_LENGTH and self.left:
            size = min(self.left, 30_000)
            self.write(pattern(self.content_sent, size))
            self.content_sent += size
            self.moved += size
            self.left -= size
            self.complete = not self.left

    # -- events ------------------------------------------------------------------------------------------------

    def note_head(self, event: Any) -> None:
        """A response, which is the one that the server sent."""
        if event.kind not in (ev.RESPONSE, ev.INFORMATIONAL):
            return
        app = self.app
        assert app is not None and event.stream_id == app.stream_id and not app.peer_ended
        if event.kind == ev.RESPONSE:
            app.peer_ended = event.end_stream
            if self.has_tunnel:
                app.ended = False
            if self.lawful:
                dropped = (b"transfer-encoding", b"connection", b"upgrade")
                assert event.status == int(self.status)
                got = [each for each in event.headers if each[0] not in dropped]
                assert got == [each for each in self.fields if each[0] not in dropped], f"{event!r} for {self.fields}"

    # -- the end -----------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """A response that is whole ends its request."""
        self.take_all()
        self.peer_end()
        self.flush()
        app = self.app
        if self.lawful and self.wide and not self.hurried and app is not None and self.answered and self.complete:
            assert app.over, f"the response is whole, and {app} is open"
            assert app.got == self.content_sent or app.over

    def leave(self) -> None:
        """The server leaves; then what it got is read, by h11."""
        app = self.app
        until_close = app is not None and not app.over and self.answered and self.framing == BY_CLOSE
        failed = self.source.flag()
        if failed:
            self.note(self.conn.receive_failure(self.now, "the wire is cut"))
        else:
            super().leave()
        if until_close and app is not None and self.lawful and self.wide and not self.hurried and not self.has_tunnel:
            assert app.peer_ended != failed, "content without a length is complete with an orderly end, and else is not"
        if any(message.asked[0] == b"CONNECT" or message.asked[2] for message in self.messages) or not self.messages:
            return
        found, refused = by_h11(self.output)
        assert not refused, "h11 refuses what we write"
        for app, (method, target, content, whole) in zip(self.messages, found, strict=False):
            assert (method, target) == app.asked[:2]
            assert content == pattern(0, len(content)) and len(content) <= app.sent
            if whole:
                assert app.ended or app.length == app.sent, f"{app} is whole, and was not ended"
                assert len(content) == app.sent, f"{app} came as {len(content)} bytes"


_C = ClientSession
ClientSession.scripts = (
    "app_request take_all peer_respond peer_content peer_end app_acknowledge app_request take_all peer_respond",
    "app_request app_data app_data take_all app_trailers take_all peer_inform peer_respond peer_content peer_content",
    "app_request take_all peer_respond app_data take_all peer_content app_data take_all",
    "app_request take_all peer_respond peer_content app_reset",
    "app_request take_all app_drain peer_respond peer_end app_time",
    "app_request take_all hostile_words peer_respond hostile_words",
)
ClientSession.verbs = (
    _C.app_request, _C.take_all, _C.peer_respond, _C.peer_content, _C.app_data, _C.app_acknowledge, _C.app_take,
    _C.peer_end, _C.app_request, _C.take_all, _C.peer_respond, _C.peer_content, _C.app_data, _C.app_trailers,
    _C.peer_inform, _C.app_reset, _C.app_time, _C.app_drain, _C.app_look, _C.hostile_words, _C.hostile_bytes,
)  # fmt: skip
