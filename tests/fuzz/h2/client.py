"""The client's engine, a server as its peer, and an application that asks."""

from __future__ import annotations

from typing import Any

from headrace.engine import events as ev
from headrace.engine.h2 import ClientConnection

from tests.fuzz.h2.ledger import MAX_WINDOW, StreamBook
from tests.fuzz.h2.peer import PeerSession
from tests.fuzz.h2.session import FIELDS, AppStream
from tests.fuzz.session import request_from
from tests.fuzz.source import Source
from tests.support import wire

METHODS = (b"GET", b"POST", b"HEAD", b"CONNECT", b"PUT")
RESPONSE_FIELDS = [each for each in FIELDS if each[0] != b"te"]
STATUSES = (b"200", b"204", b"304", b"404", b"500", b"999")


class ClientSession(PeerSession):
    """A client under test."""

    def __init__(self, source: Source, cut: int = 0, turn: int = 0) -> None:
        super().__init__(source, cut, turn, engine_is_client=True)
        self.conn = ClientConnection(self.limits, now=0.0)
        self.deadline = self.conn.deadline
        self.answered: dict[int, list[tuple[bytes, bytes]]] = {}
        self.pings = 0
        self.refused_above = MAX_WINDOW
        first = source.pick(((), ((3, 2),), ((4, 0), (8, 1)), ((4, 1_000), (1, 0)), ((5, 100_000), (4, 2**31 - 1))))
        self.ledger.sends_settings(list(first))
        self.connects = (8, 1) in first
        self.write(wire.settings(first))
        self.flush()
        if source.flag():
            self.take_all()
            self.settings_ack()

    # -- the application ---------------------------------------------------------------------------------------

    def app_request(self) -> None:
        """A request, of those that may be sent and of others."""
        source = self.source
        method, end, fields, length, protocol = request_from(source, METHODS, FIELDS)
        tunnel = method == b"CONNECT"
        scheme, path = (b"", b"") if tunnel and not protocol else (b"https", source.pick((b"/", b"/a?b", b"/ ", b"*")))
        authority = b"a.example:443" if tunnel else b"a.example"
        can = self.conn.can_send_request
        stream_id = self.attempt(
            self.conn.send_request, method, scheme, authority, path, fields, end_stream=end, protocol=protocol,
            content_length=length,
        )  # fmt: skip
        if stream_id is None:
            return
        assert can, "can_send_request was False, and a request went out"
        book = self.ledger.stream(stream_id)
        app = AppStream(stream_id, book, head_sent=True, ended=end, length=length)
        app.heads = [(method, path, fields)]
        self.apps[stream_id] = app
        if not self.conn.has_stream(stream_id):
            app.over = True

    def app_ping(self) -> None:
        """A PING of the caller's."""
        if not self.conn.closed:
            self.pings += 1
            self.attempt(self.conn.send_ping, self.source.take(8).ljust(8, b"\0"))

    def app_hold(self) -> None:
        """A response that is over is still unread, and then read."""
        count = self.source.pick((1, 1_000, 30_000))
        self.attempt(self.conn.hold_data, count)
        self.attempt(self.conn.hold_data, -count)

    # -- the server --------------------------------------------------------------------------------------------

    def asked(self) -> StreamBook | None:
        """Choose a request that the server has seen, and not answered."""
        found = [b for b in self.ledger.streams.values() if b.heads and not b.has_head and b.can_send]
        return self.source.pick(found[-16:]) if found else None

    def peer_respond(self) -> None:
        """A response's head."""
        source = self.source
        book = self.asked()
        status = source.pick(STATUSES)
        extra = [source.pick(RESPONSE_FIELDS) for _ in range(source.below(3))]
        end = source.flag()
        length = source.pick((-1, -1, 0, 5, 1_000))
        if book is None:
            return
        method = dict(book.heads[0]).get(b":method")
        empty = method == b"HEAD" or status in (b"204", b"304")
        if length >= 0 and not (method == b"CONNECT" and status == b"200") and not (end and not empty and length):
            extra.append((b"content-length", b"%d" % length))
            book.declared = 0 if empty else length
        elif empty:
            book.declared = 0
        fields = [(b":status", status), *extra]
        book.has_head = True
        book.peer_ended = end
        self.answered[book.stream_id] = fields
        self.block(fields, book.stream_id, end_stream=end)

    def peer_inform(self) -> None:
        """An interim response."""
        book = self.asked()
        if book is not None:
            self.block(
                [(b":status", self.source.pick((b"100", b"103", b"102"))), FIELDS[0]], book.stream_id, end_stream=False
            )

    def peer_trailers(self) -> None:
        """Trailers, where the content is complete."""
        book = self.some_book()
        if book is None or book.declared not in (-1, book.sent):
            return
        if dict(book.heads[0]).get(b":method") != b"CONNECT":
            book.peer_ended = True
            self.block([(b"t", b"v")], book.stream_id, end_stream=True)

    def peer_origin(self) -> None:
        """ORIGIN."""
        origins = (b"https://a.example", b"https://b.example:8443", b"x", b"")
        chosen = [self.source.pick(origins) for _ in range(self.source.below(4))]
        self.write(wire.frame(wire.ORIGIN, 0, 0, b"".join(len(each).to_bytes(2, "big") + each for each in chosen)))

    def hostile_response(self) -> None:
        """A response that breaks a rule."""
        source = self.source
        self.lawful = False
        self.ledger.is_hostile = True
        stream_id = source.pick([1, 2, 3, *self.ledger.streams])
        kind = source.below(5)
        fields = [(b":status", b"200")]
        if kind == 0:
            fields.append((source.take(4), source.take(4)))
        elif kind == 1:
            fields = [(b":status", source.take(3))]
        elif kind == 2:
            fields.append(source.pick(((b":path", b"/"), (b"connection", b"close"), (b"content-length", b"x"))))
        elif kind == 3:
            fields.append((b"content-length", b"3"))
        else:
            fields += [(b"x-%d" % n, b"y" * 500) for n in range(source.below(40))]
        self.write(wire.headers(stream_id, fields, end_stream=source.flag()))
        if stream_id in self.ledger.streams:
            self.ledger.stream(stream_id).has_head = bool(self.ledger.stream(stream_id).heads)

    # -- events ------------------------------------------------------------------------------------------------

    def noted(self) -> None:
        """What the server will not process is over (RFC 9113 §6.8)."""
        super().noted()
        left = [app for app in self.apps.values() if app.stream_id > self.refused_above and not app.over]
        assert not left, f"the server processes up to {self.refused_above}, and open are {left}"

    def note_head(self, event: Any) -> None:
        """A response, which is the one that the server sent."""
        if event.kind == ev.GOAWAY:
            self.refused_above = min(self.refused_above, event.last_stream_id)
        if event.kind not in (ev.RESPONSE, ev.INFORMATIONAL):
            return
        app = self.alive(event)
        if event.kind == ev.RESPONSE:
            app.peer_ended = event.end_stream
            if self.lawful:
                fields = [(b":status", b"%d" % event.status), *event.headers]
                assert fields == self.answered[event.stream_id], f"{event!r} for {self.answered[event.stream_id]}"

    def check_delivery(self) -> None:
        """Requests came as they were sent."""
        super().check_delivery()
        for app in self.apps.values():
            book = app.book
            if not book.heads:
                assert book.peer_reset or book.reset or self.conn.closed, f"request {app.stream_id} did not go out"
                continue
            method, path, fields = app.heads[0]
            got = book.heads[0]
            assert (b":method", method) in got and (not path or (b":path", path) in got)
            left = [each for each in got if each[0][:1] != b":" and each[0] != b"content-length"]
            assert sorted(left) == sorted(fields), f"{fields} went out as {got}"


_C = ClientSession
ClientSession.scripts = (
    "app_request take_all peer_respond peer_data peer_trailers",
    "app_request take_all peer_respond settings_ack peer_fill app_acknowledge peer_fill peer_fill",
    "peer_settings app_request take_all peer_window app_data_to_the_byte take_all app_data_to_the_byte app_trailers",
    "app_request app_request take_all peer_settings app_data app_data peer_window take_all peer_inform peer_respond",
    "app_request take_all peer_respond settings_ack peer_data peer_overfill app_acknowledge peer_overfill",
    "app_request take_all peer_window_limit peer_settings peer_window_limit",
    "app_request take_all peer_window peer_window peer_settings_limit",
    "app_request app_request take_all app_data_to_the_byte app_data_to_the_byte app_data_to_the_byte",
    "app_request app_request take_all peer_goaway peer_respond peer_data app_request",
    "app_request take_all app_ping take_all peer_ping peer_origin app_drain take_all peer_respond app_time",
    "app_request take_all peer_reset app_request app_reset take_all peer_respond peer_data hostile_frame",
    "app_request take_all peer_respond hostile_known app_request take_all hostile_known app_time",
    "app_request take_all hostile_response hostile_response hostile_response",
)
ClientSession.verbs = (
    _C.app_request, _C.take_all, _C.peer_respond, _C.peer_data, _C.app_data, _C.app_acknowledge, _C.app_take,
    _C.peer_window, _C.app_request, _C.take_all, _C.peer_respond, _C.peer_data, _C.app_data, _C.app_acknowledge,
    _C.peer_settings, _C.settings_ack, _C.peer_fill, _C.peer_overfill, _C.peer_window_limit, _C.peer_trailers,
    _C.peer_ping, _C.peer_reset, _C.peer_priority, _C.peer_inform, _C.peer_goaway, _C.peer_origin, _C.app_trailers,
    _C.app_data_to_the_byte, _C.peer_settings_limit,
    _C.app_reset, _C.app_ping, _C.app_hold, _C.app_time, _C.app_drain, _C.app_look,
    _C.hostile_frame, _C.hostile_known, _C.hostile_bytes,
    _C.hostile_response,
)  # fmt: skip
