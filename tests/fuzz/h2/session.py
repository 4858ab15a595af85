"""What an HTTP/2 session has for both roles: a peer that keeps a `Ledger`, and an application.

As long as the peer is lawful, the engine must not find fault with it. The peer must get all that the application sends,
and the application all that the peer sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import hpack

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.fuzz import session
from tests.fuzz.h2.ledger import Ledger, StreamBook
from tests.fuzz.pattern import pattern
from tests.fuzz.source import Source
from tests.support import wire

SIZES = (0, 1, 2, 5, 255, 256, 1_000, 16_384, 16_385, 70_000)
FIELDS: tuple[tuple[bytes, bytes], ...] = (
    (b"a", b"b"), (b"accept", b"*/*"), (b"cookie", b"k=v"), (b"cookie", b"l=w"), (b"x-long", b"v" * 300),
    (b"authorization", b"Basic eA=="), (b"te", b"trailers"), (b"empty", b""), (b"latin", b"\xe9"),
    (b"x-large", b"w" * 4_000),
)  # fmt: skip
CODES_OF_FAULTS = frozenset(
    (wire.PROTOCOL_ERROR, wire.FLOW_CONTROL_ERROR, wire.FRAME_SIZE_ERROR, wire.STREAM_CLOSED, wire.COMPRESSION_ERROR)
)
MOST_CONTENT = 700_000  # that a session moves in each direction: more would only take time


@dataclass
class AppStream(session.AppMessage):
    """One of HTTP/2: a stream, with the page that the ledger has for it."""

    book: StreamBook
    reset: bool = False


def limits_from(source: Source, turn: int) -> tuple[Limits, bool]:
    """Return limits for a session, and whether they are too wide for it to reach the budgets."""
    wide = not source.flag(4)
    if not wide:
        return Limits(
            max_concurrent_streams=source.pick((100, 3)), odd_frame_burst=source.pick((1_000, 5)),
            early_reset_burst=source.pick((300, 2)), provoked_reset_burst=source.pick((20, 1)), max_fields=8,
            max_field_section_size=source.pick((65_536, 2_048)), max_block_size=source.pick((262_144, 3_000)),
            max_connection_fields_size=source.pick((786_432, 3_000)), max_continuations=2, max_settings=4,
            control_queue_pause=source.pick((256, 3)), control_queue_end=10**6,
            small_data_budget=2_000, keepalive_ping_s=source.pick((0.0, 3.0)), frames_per_turn=turn,
        ), False  # fmt: skip
    return Limits(
        max_concurrent_streams=source.pick((100, 5, 1)), initial_stream_window=source.pick((262_144, 1, 5_000, 65_535)),
        initial_connection_window=source.pick((65_535, 100_000, 1_048_576)),
        small_stream_window=source.pick((1_024, 32_768)),
        max_unread=source.pick((4_194_304, 1, 20_000)), max_frame_size=source.pick((16_384, 100_000)),
        max_stream_send_buffer=source.pick((65_536, 1, 1_000)), header_table_size=source.pick((4_096, 0, 100)),
        max_connection_send_buffer=source.pick((786_432, 1, 20_000)), odd_frame_burst=10**6, early_reset_burst=10**6,
        provoked_reset_burst=10**6, small_data_budget=10**8, control_queue_pause=10**6, control_queue_end=10**6,
        max_settings=1_000, keepalive_ping_s=source.pick((0.0, 3.0)), frames_per_turn=turn,
    ), True  # fmt: skip


class Session(session.Session):
    """One connection of the engine, its peer and its application."""

    def __init__(self, source: Source, cut: int, turn: int, *, engine_is_client: bool) -> None:
        super().__init__(source, cut)
        self.limits, self.wide = limits_from(source, turn)
        self.ledger = Ledger(self.limits, engine_is_client=engine_is_client)
        self.encoder = hpack.Encoder()
        self.lawful = True
        self.acknowledged = False  # some SETTINGS of the engine's
        self.apps: dict[int, AppStream] = {}

    def took(self, data: bytes) -> None:
        """Book what the engine has written."""
        assert data or not self.conn.output_pending, "output_pending stays True, and there is no output"
        self.ledger.read(data)

    def take_all(self) -> None:
        """Take until there is no more; then nothing waits on a stream whose windows have room, not a single byte."""
        super().take_all()
        ledger = self.ledger
        if self.pending or self.conn.closed or ledger.peer_settings or not ledger.exact or ledger.send_window <= 0:
            return
        for app in self.apps.values():
            left = app.sent - app.book.received
            window = ledger.send_initial + app.book.send_credit
            if left > 0 and window > 0 and not app.over and not app.book.reset and self.content_counts(app):
                raise AssertionError(f"{left} bytes of stream {app.stream_id} wait, and its window has {window}")

    def content_counts(self, app: AppStream) -> bool:
        """Tell whether what the application sent on a stream has to reach the peer."""
        return True

    # -- events ------------------------------------------------------------------------------------------------

    def noted(self) -> None:
        """Streams that the engine has no more are over, and nobody waits for them."""
        for app in self.apps.values():
            if not app.over and not self.conn.has_stream(app.stream_id):
                app.over = True
                assert not app.blocked or self.conn.events_pending, f"{app} is over, and its writer waits"

    def note_one(self, event: Any) -> None:
        """Book one event."""
        kind = event.kind
        if kind == ev.ENDED:
            left = [
                app for app in self.apps.values() if not app.over and not app.ended and app.stream_id != self.acting
            ]
            assert not left, f"the connection ends, and nobody says so of {left}"
            self.blame(event.code, event)
        elif kind == ev.FAULT:
            self.blame(event.code, event)
        elif kind == ev.RESET:
            app = self.apps.get(event.stream_id)
            assert app is None or not app.over, f"{event!r} of a stream that is over"
            if app is not None:
                app.over = app.reset = True
                app.blocked = False
        elif kind == ev.ACCEPTED:
            app = self.apps[event.stream_id]
            assert app.blocked, f"{event!r}: nobody waits"
            app.blocked = False
        elif kind == ev.DATA:
            self.note_data(event)
        elif kind == ev.TRAILERS:
            app = self.alive(event)
            app.peer_ended = True
        else:
            self.note_head(event)

    def note_head(self, event: Any) -> None:
        """Book the events that only a role has."""

    def note_data(self, event: Any) -> None:
        """Content is the peer's, in order, and as much as it sent."""
        app = self.alive(event)
        if self.lawful:
            assert event.data == pattern(app.got, len(event.data)), "content that the peer did not send"
        app.got += len(event.data)
        app.unread += event.flow_length
        app.peer_ended = event.end_stream

    def alive(self, event: Any) -> AppStream:
        """Return the stream of an event, which has to be open for the peer."""
        app = self.apps.get(event.stream_id)
        assert app is not None, f"{event!r} of a stream that nobody opened"
        assert not app.over and not app.peer_ended, f"{event!r} after the stream's end"
        return app

    def blame(self, code: int, event: Any) -> None:
        """The engine finds fault with the peer, which may not be where that is lawful and limits are wide."""
        if self.lawful and self.wide and not self.hurried:
            assert code not in CODES_OF_FAULTS and code != wire.ENHANCE_YOUR_CALM, f"a lawful peer, and {event!r}"

    # -- the application ---------------------------------------------------------------------------------------

    def some_app(self) -> AppStream | None:
        """Choose a stream of the application's, mostly one that is open."""
        found = [app for app in self.apps.values() if not app.over] or list(self.apps.values())[-2:]
        return self.source.pick(found[-16:]) if found else None

    def app_data(self) -> None:
        """A piece of content, and the end of the message with it now and then."""
        app = self.some_app()
        size = self.source.pick(SIZES)
        end = self.source.flag(4)
        if app is None or app.blocked or app.ended or self.moved > MOST_CONTENT:
            return
        accepted = self.attempt(self.conn.send_data, app.stream_id, pattern(app.sent, size), end)
        self.sent(app, accepted, size, end)

    def app_data_to_the_byte(self) -> None:
        """Content that leaves little of a window, and then a piece as large as what is left, or a byte more or less."""
        app = self.some_app()
        wide = self.source.flag()
        left = self.source.pick((1, 0, 2, 1_000))
        delta = self.source.pick((1, 0, -1, 2))
        if app is None or app.ended:
            return
        for aim in (-left, delta):
            self.take_all()
            window = self.ledger.send_initial + app.book.send_credit if wide else self.ledger.send_window
            size = window + aim
            if app.blocked or app.over or not 0 <= size <= MOST_CONTENT - self.moved or size > 300_000:
                return
            accepted = self.attempt(self.conn.send_data, app.stream_id, pattern(app.sent, size), False)
            self.sent(app, accepted, size, False)
        if app.sent and accepted is not None and delta <= 1:
            self.reach(f"sent to the byte: {'stream' if wide else 'connection'} {delta:+}")

    def sent(self, app: AppStream, accepted: bool | None, size: int, end: bool) -> None:
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
        if app is not None and not app.blocked and not app.ended:
            fields = [self.source.pick(FIELDS)] if self.source.flag() else []
            self.sent(app, self.attempt(self.conn.send_trailers, app.stream_id, fields), 0, True)

    def app_reset(self) -> None:
        """A reset."""
        app = self.some_app()
        if app is not None:
            app.over, app.blocked = True, False
            self.attempt(self.conn.reset_stream, app.stream_id, self.source.pick((8, 2, 0)))

    def app_acknowledge(self) -> None:
        """Content is consumed, some of it or all."""
        app = self.some_app()
        if app is not None:
            self.acknowledge(app, self.source.pick((app.unread, 1, app.unread // 2, app.unread // 2 + 1)))

    def acknowledge(self, app: AppStream, count: int) -> None:
        """Consume `count` bytes; more than there are raises."""
        has = self.conn.has_stream(app.stream_id)
        if self.attempt(self.conn.acknowledge_data, app.stream_id, count) is None:
            assert count > app.unread, "consumption was refused"
        elif has:
            assert count <= app.unread, "more was consumed than came"
            app.unread -= count
            app.book.consumed += count

    def app_look(self) -> None:
        """The questions that an owner asks; what it knows itself is answered right."""
        conn = self.conn
        unread = sum(app.unread for app in self.apps.values() if not app.over)
        assert conn.stats()["unread"] == unread, f"{conn.stats()['unread']} bytes are unread, and not {unread}"
        assert conn.open_streams == sum(not app.over for app in self.apps.values())
        answers = (conn.needs_attention, conn.bodies_queued, conn.read_paused, conn.work_due, conn.open_streams)
        self.say(f"{answers} {self.written()} {self.stats()}")
