"""What an HTTP/1.1 session has for both roles: content that says where it stood, and an owner that sends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.fuzz import session
from tests.fuzz.pattern import pattern
from tests.fuzz.source import Source

SIZES = (0, 1, 5, 100, 255, 1_000, 20_000, 70_000)
WORDS = (
    b"GET ", b"POST ", b"HEAD ", b"/", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b":", b" ",
    b"x", b"Host: a\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
    b"\t", b",", b"-", b"Expect: 100-continue\r\n", b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n", b"0\r\n",
    b"3\r\n", b"abc", b"abc\r\n", b";a=b", b"\x00", b"\xff", b"x" * 1_100, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"a: b\r\n", b"0", b"+", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 204 \r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 304 Not Modified\r\n", b"Content-Length: 0\r\n", b"_: _\r\n", b"\x16\x03\x01",
    b"http://a/b", b"CONNECT ", b"a:1", b"*", b" HTTP/1.2", b" HTTP/2.0", b"OPTIONS ", b"5;a=\"b\"\r\n", b"T: v\r\n",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"Sec-WebSocket-Version: 13\r\n", b"Connection: keep-alive\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n", b"Content-Length: 3, 3\r\n", b"ffffffffffffffff\r\n",
)  # fmt: skip
FIELDS: tuple[tuple[bytes, bytes], ...] = (
    (b"a", b"b"), (b"accept", b"*/*"), (b"cookie", b"k=v"), (b"x-long", b"v" * 300), (b"te", b"trailers"),
    (b"empty", b""), (b"latin", b"\xe9"), (b"authorization", b"Basic eA=="), (b"x-spaced", b"a b\tc"),
)  # fmt: skip
MOST_CONTENT = 500_000


@dataclass
class H1Message(session.AppMessage):
    """One of HTTP/1.1, with the request as it was meant."""

    asked: Any


def limits_from(source: Source, turn: int) -> tuple[Limits, bool]:
    """Return limits for a session, and whether they are too wide for it to reach them."""
    is_tight = source.flag(4)
    rate = source.pick((0.0, 100.0))
    if rate:
        turn = 0  # small pieces count as content that drips, so that turns and cuts do have an influence
    if is_tight:
        return Limits(
            max_fields=source.pick((8, 16)), max_field_section_size=source.pick((1_024, 2_048)), odd_frame_burst=5,
            odd_frame_rate=0, min_upload_rate=rate, frames_per_turn=turn,
            small_data_budget=source.pick((4_194_304, 2_000)),
            initial_stream_window=source.pick((262_144, 1_000)), max_stream_send_buffer=source.pick((65_536, 1_000)),
        ), False  # fmt: skip
    return Limits(
        max_stream_send_buffer=source.pick((65_536, 1, 1_000)), initial_stream_window=source.pick((262_144, 1, 5_000)),
        odd_frame_burst=10**6, min_upload_rate=rate, frames_per_turn=turn,
    ), True  # fmt: skip


class Session(session.Session):
    """One connection of the engine, its peer and its application. One request is open at a time."""

    def __init__(self, source: Source, cut: int, turn: int) -> None:
        super().__init__(source, cut)
        self.limits, self.wide = limits_from(source, turn)
        if self.limits.min_upload_rate:
            self.cut = 0  # see limits_from
        self.lawful = True
        self.asking = False  # a client's request goes out, and has no name yet
        self.content = b""  # of the story, as cuts of the input do not cut it
        self.app: H1Message | None = None
        self.messages: list[H1Message] = []

    # -- events ------------------------------------------------------------------------------------------------

    def tell(self, event: Any) -> None:
        """Put an event into the story; pieces of content become one."""
        if event.kind != ev.DATA:
            self.say(repr(event))
            return
        self.content += event.data
        if event.end_stream:
            self.say("the end of the content")

    def say(self, text: str) -> None:
        """Put a line into the story, behind the content that came before."""
        if self.content:
            self.story.append(repr(self.content))
            self.content = b""
        self.story.append(text)

    def note_one(self, event: Any) -> None:
        """Book one event."""
        kind = event.kind
        app = self.app
        if kind == ev.FAULT:
            assert not (self.lawful and self.wide) or self.hurried, f"a lawful peer, and {event!r}"
        elif kind == ev.RESET:
            assert app is not None and not app.over, f"{event!r} of a request that is over"
            app.over, app.blocked = True, False
        elif kind == ev.ACCEPTED:
            assert app is not None and app.blocked, f"{event!r}: nobody waits"
            app.blocked = False
        elif kind in (ev.DATA, ev.TRAILERS):
            assert app is not None and app.stream_id == event.stream_id, f"{event!r} of no request"
            assert not app.peer_ended, f"{event!r} after the end"
            if kind == ev.DATA:
                if self.lawful:
                    assert event.data == pattern(app.got, len(event.data)), "content that the peer did not send"
                app.got += len(event.data)
                app.unread += event.flow_length
            app.peer_ended = kind == ev.TRAILERS or event.end_stream
        else:
            self.note_head(event)

    def note_head(self, event: Any) -> None:
        """Book the events that only a role has."""

    def noted(self) -> None:
        """A request that the engine has no more is over."""
        app = self.app
        if app is not None and not self.conn.has_stream(app.stream_id):
            app.over = True
        assert self.asking or self.conn.open_streams == int(app is not None and not app.over)

    # -- the application ---------------------------------------------------------------------------------------

    def some_app(self) -> H1Message | None:
        """The request that is open, or was the last one."""
        return self.app

    def app_data(self) -> None:
        """A piece of content, and the end of the message with it now and then."""
        app = self.some_app()
        size = self.source.pick(SIZES)
        end = self.source.flag(4)
        if app is not None and not app.blocked and self.moved < MOST_CONTENT:
            self.sent(app, self.attempt(self.conn.send_data, app.stream_id, pattern(app.sent, size), end), size, end)

    def sent(self, app: H1Message, accepted: bool | None, size: int, end: bool) -> None:
        """Book what the application has sent."""
        if accepted is None:
            return
        self.moved += size
        app.sent += size
        app.ended = app.ended or end
        app.blocked = not accepted and not app.over

    def app_trailers(self) -> None:
        """Trailers."""
        app = self.some_app()
        if app is not None and not app.blocked:
            fields = [self.source.pick(FIELDS)] if self.source.flag() else []
            self.sent(app, self.attempt(self.conn.send_trailers, app.stream_id, fields), 0, True)

    def app_reset(self) -> None:
        """A reset, which ends the connection."""
        app = self.some_app()
        if app is not None and self.source.flag(3):
            if self.conn.has_stream(app.stream_id):
                app.over, app.blocked = True, False
            self.attempt(self.conn.reset_stream, app.stream_id, self.source.pick((8, 2, 0)))

    def app_acknowledge(self) -> None:
        """Content is consumed, some of it or all; more than there is raises."""
        app = self.some_app()
        if app is None:
            return
        count = self.source.pick((app.unread, 1, app.unread // 2))
        has = self.conn.has_stream(app.stream_id)
        if self.attempt(self.conn.acknowledge_data, app.stream_id, count) is None:
            assert count > app.unread, "consumption was refused"
        elif has:
            assert count <= app.unread, "more was consumed than came"
            app.unread -= count

    def app_look(self) -> None:
        """The questions that an owner asks; what it knows itself is answered right."""
        conn = self.conn
        if self.app is not None and not self.app.over:
            assert conn.stats()["unread"] == self.app.unread
        answers = (conn.bodies_queued, conn.work_due, conn.open_streams, self.written(), conn.aborted)
        self.say(f"{answers} {self.stats()}")

    # -- a peer that breaks rules ------------------------------------------------------------------------------

    def hostile_words(self) -> None:
        """Words of the protocol, in any order."""
        self.lawful = False
        for _ in range(self.source.below(12)):
            self.write(self.source.pick(WORDS))

    def hostile_bytes(self) -> None:
        """Any bytes."""
        self.lawful = False
        self.write(self.source.take(self.source.below(40)))
