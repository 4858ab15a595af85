"""The server's engine, a client as its peer, and an application that answers."""

from __future__ import annotations

from typing import Any

from headrace.engine import events as ev
from headrace.engine.h2 import ServerConnection

from tests.fuzz.h2.peer import PeerSession
from tests.fuzz.h2.session import FIELDS, MOST_CONTENT, SIZES, AppStream
from tests.fuzz.pattern import pattern
from tests.fuzz.source import Source
from tests.support import wire

METHODS = (b"GET", b"POST", b"HEAD", b"CONNECT", b"OPTIONS", b"PATCH")
STATUSES = (200, 204, 304, 404, 500, 599, 100, 101, 999)
INTERIM = (103, 100, 102, 101, 200)


class ServerSession(PeerSession):
    """A server under test."""

    def __init__(self, source: Source, cut: int = 0, turn: int = 0) -> None:
        super().__init__(source, cut, turn, engine_is_client=False)
        self.tunnels = source.flag()
        self.conn = ServerConnection(self.limits, enable_connect_protocol=self.tunnels, now=0.0, scheme=b"https")
        self.conn.set_default_fields(((b"server", b"fuzz"),))
        self.deadline = self.conn.deadline
        self.next_id = 1
        self.asked: dict[int, list[tuple[bytes, bytes]]] = {}
        self.statuses: dict[int, int] = {}
        first = source.pick(((), ((4, 0),), ((4, 1_000), (1, 0)), ((5, 100_000), (4, 2**31 - 1))))
        self.ledger.sends_settings(list(first))
        preface = wire.client_preface(first)
        if source.flag(16):
            self.lawful = False
            at = source.below(24)
            preface = preface[:at] + source.pick((b"\x16", b"G", b"")) + preface[at + 1 :]
        self.write(preface)
        self.flush()
        if source.flag():
            self.take_all()
            self.settings_ack()

    # -- the client --------------------------------------------------------------------------------------------

    def peer_request(self) -> None:
        """A sound request."""
        source = self.source
        method = source.pick(METHODS)
        end = source.flag()
        extra = [source.pick(FIELDS) for _ in range(source.below(4))]
        protocol = self.tunnels and method == b"CONNECT" and source.flag()
        declared = -1
        if method == b"CONNECT":
            end = False
            fields = wire.request_fields(None, method=method, scheme=None, authority=b"a.example:443")
            if protocol:
                fields = [*wire.request_fields(b"/ws", method=method), (b":protocol", b"websocket")]
        else:
            path = source.pick((b"/", b"/a?b=c", b"/" + b"x" * 200))
            if source.flag(4):
                declared = 0 if end else source.pick((0, 5, 1_000))
                extra.append((b"content-length", b"%d" % declared))
            fields = wire.request_fields(path, method=method)
        fields += extra
        stream_id = self.next_id
        self.next_id += source.pick((2, 2, 2, 4))
        book = self.ledger.stream(stream_id)
        book.has_head = True
        book.declared = declared
        book.peer_ended = end
        self.asked[stream_id] = fields
        self.block(fields, stream_id, end_stream=end)

    def peer_trailers(self) -> None:
        """Trailers, where the content is complete."""
        book = self.some_book()
        if book is not None and book.declared in (-1, book.sent) and not self.is_connect(book.stream_id):
            book.peer_ended = True
            fields = [(b"t", b"v")] if self.source.flag() else [(b"x-t", b"w"), (b"x-u", b"")]
            self.block(fields, book.stream_id, end_stream=True)

    def is_connect(self, stream_id: int) -> bool:
        """Tell whether a request was for a tunnel."""
        return (b":method", b"CONNECT") in self.asked.get(stream_id, ())

    def peer_priority_update(self) -> None:
        """PRIORITY_UPDATE."""
        stream_id = self.source.pick([self.next_id, *self.ledger.streams]) | 1
        self.write(wire.priority_update(stream_id, self.source.pick((b"u=0", b"u=7, i", b"i", b"?"))))

    def hostile_request(self) -> None:
        """A request that breaks a rule, by its fields, its content-length, its identifier or its coding."""
        source = self.source
        self.lawful = False
        self.ledger.is_hostile = True
        kind = source.below(6)
        stream_id = self.next_id
        self.next_id += 2
        book = self.ledger.stream(stream_id)
        book.has_head = True
        fields = wire.request_fields(b"/")
        if kind == 0:
            fields.append((source.take(4), source.take(4)))
        elif kind == 1:
            del fields[source.below(4)]
        elif kind == 2:
            fields.append(source.pick(((b":path", b"/"), (b"connection", b"close"), (b"content-length", b"x"))))
        elif kind == 3:
            fields.append((b"content-length", b"3"))
            self.write(wire.headers(stream_id, fields))
            self.send_content(book, source.below(6), end_stream=source.flag())
            return
        elif kind == 4:
            self.write(wire.headers(stream_id, source.take(source.below(30)), end_stream=source.flag()))
            return
        else:
            fields += [(b"x-%d" % n, b"y" * 500) for n in range(source.below(40))]
        self.write(wire.headers(stream_id, fields, end_stream=source.flag()))

    def noted(self) -> None:
        """No more streams are open than the client may have (RFC 9113 §5.1.2)."""
        super().noted()
        assert self.conn.open_streams <= self.limits.max_concurrent_streams

    # -- events ------------------------------------------------------------------------------------------------

    def note_head(self, event: Any) -> None:
        """A request, which is the one that the client sent; or its refusal."""
        if event.kind not in (ev.REQUEST, ev.CONNECT):
            return
        stream_id = event.stream_id
        assert stream_id not in self.apps, f"{event!r} twice"
        app = AppStream(stream_id, self.ledger.stream(stream_id), peer_ended=event.end_stream)
        self.apps[stream_id] = app
        if self.lawful:
            assert event.headers == regular(self.asked[stream_id]), f"{event!r} for {self.asked[stream_id]}"
            asked = dict(self.asked[stream_id])
            assert (event.method, event.path) == (asked[b":method"], asked.get(b":path", b""))

    # -- the application ---------------------------------------------------------------------------------------

    def app_respond(self) -> None:
        """A whole response."""
        app = self.some_app()
        status, size = self.source.pick(STATUSES), self.source.pick(SIZES)
        fields = [self.source.pick(FIELDS) for _ in range(self.source.below(3))]
        if app is None or self.moved > MOST_CONTENT:
            return
        accepted = self.attempt(self.conn.send_response, app.stream_id, status, fields, pattern(0, size))
        if accepted is not None:
            app.head_sent = True
            self.statuses[app.stream_id] = status
            app.heads.append((status, fields))
        self.sent(app, accepted, size, True)

    def app_headers(self) -> None:
        """The head of a response."""
        app = self.some_app()
        status = self.source.pick(STATUSES)
        fields = [self.source.pick(FIELDS) for _ in range(self.source.below(3))]
        end = self.source.flag(4)
        if app is None:
            return
        secret = frozenset({b"a"}) if self.source.flag(4) else None
        if self.attempt(self.conn.send_headers, app.stream_id, status, fields, end, secret) is not None:
            app.head_sent = True
            app.ended = app.ended or end
            self.statuses[app.stream_id] = status
            app.heads.append((status, fields))

    def app_inform(self) -> None:
        """An interim response."""
        app = self.some_app()
        status = self.source.pick(INTERIM)
        if (
            app is not None
            and self.attempt(self.conn.send_informational, app.stream_id, status, [FIELDS[0]]) is not None
        ):
            app.heads.append((status, [FIELDS[0]]))

    def app_accept(self) -> None:
        """Yes to a tunnel, or to what is none."""
        app = self.some_app()
        if app is not None and self.attempt(self.conn.accept_tunnel, app.stream_id, [FIELDS[0]]) is not None:
            app.head_sent = True
            self.statuses[app.stream_id] = 200
            app.heads.append((200, [FIELDS[0]]))

    def app_refuse(self) -> None:
        """A refusal."""
        app = self.some_app()
        if app is not None:
            app.over, app.blocked = True, False
            self.attempt(self.conn.refuse_stream, app.stream_id)

    def written(self) -> int:
        """Ask for the bytes under way, of the request that came last."""
        return int(self.conn.written(max(self.apps, default=1)))

    def app_pauses(self) -> None:
        """Leave for a request to pause."""
        app = self.some_app()
        if app is not None:
            self.attempt(self.conn.allow_pauses, app.stream_id, self.source.pick((0.0, 3.0, 1_000.0)))

    def content_counts(self, app: AppStream) -> bool:
        """HEAD, 204 and 304 have no content, whatever the application gave."""
        method = dict(self.asked.get(app.stream_id, ())).get(b":method")
        return method != b"HEAD" and self.statuses.get(app.stream_id) not in (204, 304)

    def check_delivery(self) -> None:
        """Heads came as they were sent, besides what the server adds."""
        super().check_delivery()
        for app in self.apps.values():
            book = app.book
            if book.reset or book.peer_reset:
                continue
            for (status, fields), got in zip(app.heads, book.heads, strict=False):
                assert got[0] == (b":status", b"%d" % status)
                names = [each for each in got[1:] if each[0] not in (b"server", b"content-length")]
                assert names == fields, f"{fields} came as {got}"


def regular(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The fields of a request as an application gets them: without pseudo-fields, and cookies in one at the end."""
    found = [each for each in fields if not each[0].startswith(b":") and each[0] != b"cookie"]
    cookies = [value for name, value in fields if name == b"cookie"]
    return [*found, (b"cookie", b"; ".join(cookies))] if cookies else found


_S = ServerSession
ServerSession.scripts = (
    "peer_request peer_data app_respond take_all",
    "settings_ack peer_request peer_fill app_acknowledge peer_fill peer_fill app_respond",
    "peer_settings peer_request app_headers peer_window app_data_to_the_byte take_all app_data_to_the_byte",
    "peer_request peer_request app_headers app_data peer_settings app_data take_all peer_window app_data app_take",
    "settings_ack peer_request peer_data peer_data peer_overfill app_acknowledge peer_overfill",
    "peer_request app_headers peer_window_limit peer_settings peer_window_limit",
    "peer_request peer_window peer_window peer_settings_limit",
    "peer_request peer_goaway peer_data peer_trailers app_respond take_all",
    "peer_request peer_priority_update peer_request app_respond app_respond app_drain peer_ping take_all app_time",
    "peer_request peer_reset app_respond peer_request app_reset peer_data hostile_frame",
    "peer_request peer_data hostile_known peer_request hostile_known hostile_known app_time",
    "hostile_request hostile_request hostile_request take_all app_time peer_ping",
)
ServerSession.verbs = (
    _S.peer_request, _S.peer_data, _S.app_respond, _S.app_headers, _S.app_data, _S.app_acknowledge, _S.app_take,
    _S.peer_window, _S.peer_request, _S.peer_data, _S.app_respond, _S.app_data, _S.app_acknowledge, _S.app_take,
    _S.peer_settings, _S.settings_ack, _S.peer_fill, _S.peer_overfill, _S.peer_window_limit, _S.peer_trailers,
    _S.peer_ping, _S.peer_reset, _S.peer_priority, _S.peer_priority_update, _S.peer_goaway, _S.app_trailers,
    _S.app_data_to_the_byte, _S.peer_settings_limit,
    _S.app_reset, _S.app_inform, _S.app_accept, _S.app_refuse, _S.app_pauses, _S.app_time, _S.app_drain, _S.app_look,
    _S.take_all, _S.hostile_frame, _S.hostile_known, _S.hostile_bytes, _S.hostile_request,
)  # fmt: skip
