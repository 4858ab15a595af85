"""What an HTTP/2 peer does in either role: lawful frames, frames that are lawful to the last byte, and others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from headrace.engine import events as ev

from tests.fuzz.h2.ledger import MAX_WINDOW, StreamBook
from tests.fuzz.h2.session import MOST_CONTENT, SIZES, Session
from tests.fuzz.pattern import pattern
from tests.support import wire

STEPS = (1, 255, 256, 1_000, 16_384, 65_535, 1_000_000)


FAULTS: tuple[Callable[[int, bytes], bytes], ...] = (
    lambda n, odd: wire.window_update(n, 0),
    lambda n, odd: wire.window_update(0, 0),
    lambda n, odd: wire.window_update(n, 1, payload=odd),
    lambda n, odd: wire.data(0, odd),
    lambda n, odd: wire.data(n, odd, pad=3, claim=200),
    lambda n, odd: wire.frame(wire.DATA, wire.PADDED, n),
    lambda n, odd: wire.data(n, odd, end_stream=True),
    lambda n, odd: wire.headers(0, odd),
    lambda n, odd: wire.headers(n, odd, pad=1, claim=250),
    lambda n, odd: wire.headers(n, [(b":method", b"GET")], priority=(True, n, 7)),
    lambda n, odd: wire.headers(n, [(b"t", b"v")]),
    lambda n, odd: wire.frame(wire.HEADERS, wire.PADDED | wire.PRIORITY_FLAG, n, odd[:4]),
    lambda n, odd: wire.priority(n, n),
    lambda n, odd: wire.priority(n, payload=odd),
    lambda n, odd: wire.priority(0),
    lambda n, odd: wire.rst_stream(0),
    lambda n, odd: wire.rst_stream(n, payload=odd),
    lambda n, odd: wire.rst_stream(n, code=0xFFFF),
    lambda n, odd: wire.settings({wire.INITIAL_WINDOW_SIZE: 2**31}),
    lambda n, odd: wire.settings({wire.MAX_FRAME_SIZE: 16_383}),
    lambda n, odd: wire.settings({wire.MAX_FRAME_SIZE: 2**24}),
    lambda n, odd: wire.settings({wire.ENABLE_PUSH: n}),
    lambda n, odd: wire.settings({wire.ENABLE_CONNECT_PROTOCOL: n}),
    lambda n, odd: wire.settings({wire.NO_RFC7540_PRIORITIES: n}),
    lambda n, odd: wire.settings([(4, 1)] * 40),
    lambda n, odd: wire.settings(payload=odd),
    lambda n, odd: wire.settings(stream_id=n),
    lambda n, odd: wire.settings({4: 1}, ack=True),
    lambda n, odd: wire.settings_ack(),
    lambda n, odd: wire.push_promise(n, 2, b""),
    lambda n, odd: wire.ping(odd),
    lambda n, odd: wire.ping(stream_id=n),
    lambda n, odd: wire.ping(b"headrace", ack=True),
    lambda n, odd: wire.goaway(stream_id=n),
    lambda n, odd: wire.frame(wire.GOAWAY, 0, 0, odd),
    wire.continuation,
    lambda n, odd: wire.headers(n, odd, end_headers=False),
    lambda n, odd: wire.priority_update(n, b"u=1", stream_id=1),
    lambda n, odd: wire.priority_update(n, b"", payload=odd[:3]),
    lambda n, odd: wire.frame(wire.DATA, 0, n, odd, length=200_000),
)


class PeerSession(Session):
    """A session with a peer."""

    edges = (
        "padding that counts", "a stream's window full", "a byte beyond a stream's window",
        "the connection's window full", "a byte beyond the connection's window",
        "a window of 2^31-1: stream", "a window above it: stream",
        "a window of 2^31-1: connection", "a window above it: connection",
        "a window of 2^31-1: settings", "a window above it: settings",
        *(f"sent to the byte: {window} {delta:+}" for window in ("stream", "connection") for delta in (-1, 0, 1)),
    )  # fmt: skip

    # -- the end --------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """All content that was accepted arrives once windows are open; then the peer leaves."""
        if not self.conn.closed and self.lawful and self.wide and not self.hurried:
            self.settings_ack()
            self.flush()
            self.take_all()
            for app in list(self.apps.values()):
                if not app.over and app.unread:
                    self.acknowledge(app, app.unread)
            for book in self.ledger.streams.values():
                if not book.dead and not book.ended:
                    self.credit(book.stream_id, 1_000_000)
            self.credit(0, 2_000_000)
            self.flush()
            self.take_all()
            self.check_delivery()

    def check_delivery(self) -> None:
        """Windows are open: nothing waits, nothing is missing, and all credit is back."""
        for app in self.apps.values():
            book = app.book
            if book.reset or book.peer_reset or app.reset:
                continue
            assert not app.blocked, f"stream {app.stream_id} has a window, and its writer waits"
            if self.content_counts(app):
                assert book.received == app.sent, f"stream {app.stream_id}: {book.received} of {app.sent} came"
                assert book.ended == app.ended, f"stream {app.stream_id}: END_STREAM"
        ledger = self.ledger
        window = self.limits.initial_connection_window
        if ledger.exact and not self.conn.closed:
            assert ledger.receive_window * 2 >= window, "nothing is unread, and the connection's credit does not come"
            assert ledger.receive_window <= window
        window = min(ledger.receive_initial, ledger.counted_initial)
        for app in self.apps.values():
            if ledger.exact and not app.over and app.book.can_send and not app.unread:
                left = window + app.book.credited - app.book.used
                assert left * 2 >= window, f"stream {app.stream_id}: nothing is unread, and its credit does not come"

    # -- the peer ----------------------------------------------------------------------------------------------

    def books(self) -> Iterator[StreamBook]:
        """Yield the streams on which a lawful peer may send content."""
        return (book for book in self.ledger.streams.values() if book.can_send and book.has_head)

    def some_book(self, *, unbound: bool = False) -> StreamBook | None:
        """Choose one of them; or of those whose content has no declared length."""
        found = [book for book in self.books() if not unbound or book.declared < 0][-16:]
        return self.source.pick(found) if found else None

    def send_content(self, book: StreamBook, size: int, *, pad: int | None = None, end_stream: bool = False) -> None:
        """Write one DATA frame."""
        flow = size if pad is None else size + pad + 1
        self.write(wire.data(book.stream_id, pattern(book.sent, size), end_stream=end_stream, pad=pad))
        self.ledger.sends_data(book, size, flow, end_stream)
        self.moved += flow

    def peer_data(self) -> None:
        """DATA within the windows, with padding now and then."""
        book = self.some_book()
        if book is None or self.moved > MOST_CONTENT:
            return
        size = min(self.source.pick(SIZES), self.frame_room(book))
        if book.declared >= 0:
            size = min(size, book.declared - book.sent)
        pad = self.source.byte() if self.source.flag(5) else None
        if pad is not None and size + pad + 1 > self.frame_room(book):
            pad = None
        end = self.source.flag(4) and (book.declared < 0 or book.sent + size == book.declared)
        if size >= 0:
            self.send_content(book, size, pad=pad, end_stream=end)
            if pad is not None and size and not end:
                self.reach("padding that counts")

    def frame_room(self, book: StreamBook) -> int:
        """Return how much a frame may carry on a stream now."""
        return max(0, min(self.ledger.room(book), self.frame_size))

    @property
    def frame_size(self) -> int:
        """The engine's MAX_FRAME_SIZE, as far as the peer may use it."""
        counts = not self.ledger.unacknowledged and self.acknowledged
        return self.limits.max_frame_size if counts else 16_384

    def peer_fill(self) -> None:
        """Fill a window to its last byte; then, to be hostile, send one byte more, which is one too many."""
        over = self.source.flag(3)
        self.settings_ack()
        self.flush()
        self.take_all()
        book = self.some_book(unbound=True)
        if book is None or self.ledger.room(book) > MOST_CONTENT - self.moved:
            return
        if self.conn.closed or not self.lawful:
            return
        while self.ledger.room(book) > 0:
            self.send_content(book, self.frame_room(book))
            if over:  # in one batch, so that nobody gives anything back in between
                self.flush()
        self.flush()
        app = self.apps.get(book.stream_id)
        if app is None or app.over or self.conn.closed:
            return
        initial = self.ledger.counted_initial + book.credited - book.used
        quiet = not self.ledger.unacknowledged and not self.conn.output_pending
        if over and initial == 0 and self.ledger.receive_window > 0 and quiet and not app.peer_ended:
            self.lawful = False
            self.ledger.is_hostile = True
            self.reach("a byte beyond a stream's window")
            self.send_content(book, 1)
            found = [event for event in self.flush() if event.kind == ev.FAULT]
            assert found and found[0].code == wire.FLOW_CONTROL_ERROR, f"a byte beyond the stream's window: {found}"
        elif self.wide and not app.over:
            if initial == 0:
                self.reach("a stream's window full")
            assert self.conn.has_stream(book.stream_id) or book.peer_ended

    def peer_overfill(self) -> None:
        """One frame that is one byte too large for the connection's window, or just fits."""
        over = self.source.flag()
        self.settings_ack()
        self.flush()
        self.take_all()
        room = self.ledger.receive_window
        book = self.some_book(unbound=True)
        if book is None or self.conn.closed or not self.lawful:
            return
        if room >= self.frame_size or self.conn.output_pending:
            return
        if not over:
            if self.ledger.room(book) >= room > 0:
                self.reach("the connection's window full")
                self.send_content(book, room)
            return
        self.reach("a byte beyond the connection's window")
        self.lawful = False
        self.ledger.is_hostile = True
        self.send_content(book, room + 1)
        found = [event for event in self.flush() if event.kind == ev.ENDED]
        assert found and found[0].code == wire.FLOW_CONTROL_ERROR, f"a byte beyond the connection's window: {found}"

    def peer_window(self) -> None:
        """WINDOW_UPDATE, on the connection or any stream."""
        known = [0, *(book.stream_id for book in self.ledger.streams.values() if not book.dead)]
        self.credit(self.source.pick(known[:16]), self.source.pick(STEPS))

    def credit(self, stream_id: int, increment: int) -> None:
        """Send WINDOW_UPDATE, as far as it keeps the window lawful."""
        ledger = self.ledger
        if stream_id:
            book = ledger.streams[stream_id]
            initial = max([ledger.send_initial, *(v for s in ledger.peer_settings for k, v in s if k == 4)])
            # DATA that is under way has been taken off the engine's window and not off the peer's: never the other way.
            most = MAX_WINDOW - initial - book.send_credit
        else:
            most = MAX_WINDOW - ledger.send_window
        if 0 < increment <= most:
            self.write(wire.window_update(stream_id, increment))
            ledger.sends_credit(stream_id, increment)

    def peer_window_limit(self) -> None:
        """Raise a window to 2^31-1, which is lawful; then by one, which is not."""
        over = self.source.flag()
        stream_id = 0
        if self.source.flag():
            found = [book for book in self.ledger.streams.values() if not book.dead]
            stream_id = self.source.pick(found).stream_id if found else 0
        self.flush()
        self.take_all()
        if self.conn.closed or not self.lawful or self.ledger.peer_settings:
            return
        if stream_id and not self.conn.has_stream(stream_id):
            return
        book = self.ledger.stream(stream_id) if stream_id else None
        window = self.ledger.send_window if book is None else self.ledger.send_initial + book.send_credit
        if 0 < MAX_WINDOW - window <= MAX_WINDOW:
            self.reach(f"a window of 2^31-1: {'stream' if stream_id else 'connection'}")
            self.credit(stream_id, MAX_WINDOW - window)
            got = self.flush()
            assert not self.wide or not any(event.kind == ev.FAULT for event in got), "a window of 2^31-1 is lawful"
            self.take_all()
        window = self.ledger.send_window if book is None else self.ledger.send_initial + book.send_credit
        if (
            over
            and window == MAX_WINDOW
            and not self.conn.closed
            and (not stream_id or self.conn.has_stream(stream_id))
        ):
            self.lawful = False
            self.ledger.is_hostile = True
            self.reach(f"a window above it: {'stream' if stream_id else 'connection'}")
            self.write(wire.window_update(stream_id, 1))
            self.ledger.sends_credit(stream_id, 1)
            faults = [event for event in self.flush() if event.kind == ev.FAULT]
            assert faults and faults[0].code == wire.FLOW_CONTROL_ERROR, f"a window above 2^31-1: {faults}"

    def peer_settings_limit(self) -> None:
        """Raise all windows by SETTINGS: the largest to 2^31-1, which is lawful, or by one more, which is not."""
        over = self.source.flag()
        self.flush()
        self.take_all()
        if self.conn.closed or not self.lawful or self.ledger.peer_settings:
            return
        books = [book for book in self.ledger.streams.values() if self.conn.has_stream(book.stream_id)]
        highest = max((book.send_credit for book in books), default=0)
        if highest <= 0:
            return
        self.reach(f"a window {'above it' if over else 'of 2^31-1'}: settings")
        if over:
            self.lawful = False
            self.ledger.is_hostile = True
        entries = [(wire.INITIAL_WINDOW_SIZE, MAX_WINDOW - highest + over)]
        self.write(wire.settings(entries))
        self.ledger.sends_settings(entries)
        faults = [event for event in self.flush() if event.kind == ev.FAULT]
        if over:
            assert faults and faults[0].code == wire.FLOW_CONTROL_ERROR, f"a window above 2^31-1: {faults}"
        else:
            assert not self.wide or not faults, "a window of 2^31-1 is lawful"

    def peer_settings(self) -> None:
        """SETTINGS of all kinds that are lawful."""
        entries = []
        for _ in range(1 + self.source.below(3)):
            key = self.source.pick((4, 1, 5, 3, 6, 99))
            values = {4: (0, 1, 100, 65_535, 500_000), 1: (0, 100, 4_096, 2**32 - 1), 5: (16_384, 16_385, 100_000)}
            value = self.source.pick(values.get(key, (0, 1, 100, 2**31)))
            if key == wire.INITIAL_WINDOW_SIZE:
                highest = max((book.send_credit for book in self.ledger.streams.values()), default=0)
                if value + highest > MAX_WINDOW:
                    continue
            entries.append((key, value))
        self.write(wire.settings(entries))
        self.ledger.sends_settings(entries)

    def settings_ack(self) -> None:
        """Acknowledge all SETTINGS that have come."""
        while self.ledger.unacknowledged:
            self.write(wire.settings_ack())
            self.ledger.acknowledges_settings()
            self.acknowledged = True
            if self.encoder.header_table_size != self.limits.header_table_size:
                self.encoder.header_table_size = self.limits.header_table_size

    def peer_ping(self) -> None:
        """PING, or answers to those that have come."""
        while self.ledger.pings:
            self.write(wire.ping(self.ledger.pings.popleft(), ack=True))
        if self.source.flag():
            opaque = self.source.take(8).ljust(8, b"\0")
            self.ledger.pings_sent.append(opaque)
            self.write(wire.ping(opaque))

    def peer_reset(self) -> None:
        """RST_STREAM on a stream that is open."""
        found = [book for book in self.ledger.streams.values() if not book.dead and book.stream_id]
        if found:
            book = self.source.pick(found[-16:])
            book.peer_reset = True
            self.write(wire.rst_stream(book.stream_id, self.source.pick((8, 0, 5, 2**32 - 1))))

    def peer_priority(self) -> None:
        """PRIORITY, or a frame of a type that nobody knows."""
        stream_id = self.source.pick([1, *self.ledger.streams])
        if self.source.flag():
            self.write(wire.priority(stream_id, depends_on=0))
        else:
            self.write(wire.frame(self.source.pick((0x0A, 0x0C, 0x20, 0xFA)), self.source.byte(), stream_id, b"extra"))

    def peer_goaway(self) -> None:
        """GOAWAY, graceful."""
        self.write(wire.goaway(self.source.pick((0, 1, MAX_WINDOW)), self.source.pick((0, 2)), b"bye"))

    def block(self, fields: list[tuple[bytes, bytes]], stream_id: int, *, end_stream: bool) -> None:
        """Write a field section, by any representation, in any number of frames."""
        how = self.source.below(4)
        is_free = not self.encoder.table_size_changes  # else the block has to begin with the new size (RFC 7541 §4.2)
        block = wire.literals(fields) if how == 1 and is_free else self.encoder.encode(fields, huffman=how != 2)
        if self.source.flag(6):
            middle = len(block) // 2
            self.write(wire.headers(stream_id, block[:middle], end_stream=end_stream, end_headers=False, pad=3))
            self.write(wire.continuation(stream_id, block[middle:], end_headers=True))
        else:
            priority = (False, 0, 16) if self.source.flag(9) else None
            self.write(wire.headers(stream_id, block, end_stream=end_stream, priority=priority))

    # -- a peer that breaks rules ------------------------------------------------------------------------------

    def hostile_frame(self) -> None:
        """Any frame."""
        source = self.source
        self.lawful = False
        known = [0, 1, 2, 3, MAX_WINDOW, *list(self.ledger.streams)[-8:]]
        payload = source.take(source.below(24))
        frame = wire.Frame(source.below(18), source.byte(), source.pick(known), payload)
        self.ledger.sends_raw(frame)
        self.moved += len(payload)
        self.write(wire.frame(*frame))

    def hostile_known(self) -> None:
        """A frame that breaks one rule of its type."""
        self.lawful = False
        known = [1, 3, 2, MAX_WINDOW, *list(self.ledger.streams)[-8:]]
        number = self.source.pick(known)
        size = self.source.pick((0, 1, 3, 5, 7, 9))
        self.send_raw(self.source.pick(FAULTS)(number, bytes(size)))

    def send_raw(self, raw: bytes) -> None:
        """Write a frame as it is, and book it."""
        length = int.from_bytes(raw[:3], "big")
        stream_id = int.from_bytes(raw[5:9], "big") & MAX_WINDOW
        self.ledger.sends_raw(wire.Frame(raw[3], raw[4], stream_id, raw[9 : 9 + length]))
        if len(raw) != 9 + length:
            self.ledger.exact = False
        self.moved += len(raw)
        self.write(raw)

    def hostile_bytes(self) -> None:
        """Bytes that need not be frames."""
        self.lawful = False
        self.ledger.exact = False
        self.ledger.is_hostile = True
        self.write(self.source.take(self.source.below(40)))
