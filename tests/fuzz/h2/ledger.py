"""The books of an HTTP/2 peer: all that it may conclude from the wire alone, and asserts (RFC 9113).

The ledger knows nothing of the engine. It is told what the peer has sent and what the application has consumed, and
reads what the engine writes: windows in both directions, states of streams, field sections by python-hyper's decoder.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from tests.fuzz.pattern import pattern
from tests.support import wire

MAX_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65_535


class StreamBook:
    """One stream, as its peer sees it."""

    def __init__(self, stream_id: int) -> None:
        self.stream_id = stream_id
        # what the peer sends
        self.sent = 0  # content
        self.used = 0  # flow-controlled bytes, padding counted
        self.consumed = 0  # of these, how many the application has taken
        self.credited = 0
        self.declared = -1
        self.has_head = False
        self.peer_ended = False
        self.peer_reset = False
        # what it gets
        self.send_credit = 0  # increments that it has sent, less the content that has come
        self.received = 0
        self.heads: list[list[tuple[bytes, bytes]]] = []
        self.ended = False
        self.reset = False

    @property
    def dead(self) -> bool:
        """True when neither side has anything more to say, as far as the peer can know."""
        return self.peer_reset or self.reset or (self.peer_ended and self.ended)

    @property
    def can_send(self) -> bool:
        """True while a lawful peer may send content: it has not ended, and has not seen a reset."""
        return not (self.peer_ended or self.peer_reset or self.reset)


class Ledger:
    """All streams and both windows of a connection. `limits` are the engine's."""

    def __init__(self, limits: Any, *, engine_is_client: bool) -> None:
        self.limits = limits
        self.engine_is_client = engine_is_client
        self.reader = wire.FrameReader(expect_preface=engine_is_client)
        self.streams: dict[int, StreamBook] = {}
        # the engine sends within these
        self.send_window = DEFAULT_WINDOW
        self.send_initial = DEFAULT_WINDOW
        self.peer_settings: deque[list[tuple[int, int]]] = deque()  # sent, not acknowledged yet
        # the peer sends within these
        self.receive_window = DEFAULT_WINDOW
        self.receive_initial = DEFAULT_WINDOW  # as announced last
        self.counted_initial = DEFAULT_WINDOW  # as acknowledged last: what the engine holds the peer to
        self.unacknowledged: deque[int] = deque()  # the INITIAL_WINDOW_SIZE of each SETTINGS frame that came
        self.granted = 0  # connection credit beyond the first 65,535
        self.used = 0
        self.pings: deque[bytes] = deque()  # to acknowledge
        self.pings_sent: deque[bytes] = deque()
        self.goaway: wire.Frame | None = None
        self.block = b""
        self.block_frame: wire.Frame | None = None
        self.is_hostile = False
        """True once a frame went out that broke a rule: the engine may reset a stream more than once then."""
        self.exact = True
        """False once bytes went out that are no frames: then only those rules are asserted that need no accounts."""

    def stream(self, stream_id: int) -> StreamBook:
        """Return the book of a stream, opened if need be."""
        if stream_id not in self.streams:
            self.streams[stream_id] = StreamBook(stream_id)
        return self.streams[stream_id]

    # -- the peer's sends --------------------------------------------------------------------------------------

    def room(self, book: StreamBook) -> int:
        """Return how much a lawful peer may send on a stream now. It counts with the smaller of two windows while a
        change of SETTINGS is under way."""
        initial = min(self.receive_initial, self.counted_initial)
        return min(self.receive_window, initial + book.credited - book.used)

    def sends_data(self, book: StreamBook, content: int, flow: int, end_stream: bool) -> None:
        """Book a DATA frame of the peer."""
        self.receive_window -= flow
        self.used += flow
        book.used += flow
        book.sent += content
        if content == 0 and not end_stream:
            book.consumed += flow  # nobody gets to see it
        book.peer_ended = book.peer_ended or end_stream

    def sends_settings(self, entries: list[tuple[int, int]]) -> None:
        """Book a SETTINGS frame of the peer: it counts for what the engine writes after its acknowledgement."""
        self.peer_settings.append(entries)

    def acknowledges_settings(self) -> None:
        """Book the peer's acknowledgement of the engine's oldest SETTINGS."""
        self.counted_initial = self.unacknowledged.popleft()

    def sends_raw(self, frame: wire.Frame) -> None:
        """Book any frame of the peer, also one that breaks a rule."""
        self.is_hostile = True
        size = len(frame.payload)
        if frame.type == wire.DATA:
            self.sends_data(self.stream(frame.stream_id), 0, size, frame.end_stream)
        elif frame.type == wire.HEADERS:
            book = self.stream(frame.stream_id)
            book.peer_ended = book.peer_ended or frame.end_stream
        elif frame.type == wire.WINDOW_UPDATE and size == 4:
            self.sends_credit(frame.stream_id, frame.increment & MAX_WINDOW)
        elif frame.type == wire.SETTINGS and frame.ack and self.unacknowledged:
            self.acknowledges_settings()
        elif frame.type == wire.SETTINGS and not frame.ack and size % 6 == 0:
            self.sends_settings(frame.settings)
        elif frame.type == wire.PING and not frame.ack and size == 8:
            self.pings_sent.append(frame.payload)
        elif frame.type == wire.RST_STREAM:
            self.stream(frame.stream_id).peer_reset = True

    def sends_credit(self, stream_id: int, increment: int) -> None:
        """Book a WINDOW_UPDATE of the peer."""
        if stream_id:
            self.stream(stream_id).send_credit += increment
        else:
            self.send_window += increment

    # -- the engine's output -----------------------------------------------------------------------------------

    def read(self, data: bytes) -> list[wire.Frame]:
        """Book what the engine has written, and hold it to RFC 9113."""
        frames = []
        at = 0
        if self.reader.want_preface and data:
            at = len(wire.PREFACE)
            self.reader.feed(data[:at])
        while at < len(data):  # one by one, as a SETTINGS acknowledgement changes what the next frame may be
            end = at + 9 + int.from_bytes(data[at : at + 3], "big")
            found = self.reader.feed(data[at:end])
            assert len(found) == 1, "the output does not end with a whole frame"
            self._read(found[0])
            frames += found
            at = end
        return frames

    def _read(self, frame: wire.Frame) -> None:
        kind = frame.type
        if kind == wire.DATA:
            self._read_data(frame)
        elif kind in (wire.HEADERS, wire.CONTINUATION):
            self._read_block(frame)
        elif kind == wire.WINDOW_UPDATE:
            self._read_credit(frame)
        elif kind == wire.SETTINGS:
            self._read_settings(frame)
        elif kind == wire.RST_STREAM:
            self._read_reset(frame)
        elif kind == wire.PING:
            if frame.ack:
                if self.exact:
                    assert self.pings_sent and frame.payload == self.pings_sent.popleft(), "it answers no PING of ours"
            else:
                self.pings.append(frame.payload)
        elif kind == wire.GOAWAY:
            last = self.goaway
            assert last is None or frame.last_stream_id <= last.last_stream_id, "GOAWAY rises (§6.8)"
            self.goaway = frame
        else:
            raise AssertionError(f"the engine has no reason to send {frame.name}")

    def _read_data(self, frame: wire.Frame) -> None:
        book = self.streams.get(frame.stream_id)
        assert book is not None and book.heads, f"DATA before HEADERS on stream {frame.stream_id} (§8.1)"
        assert not book.ended and not book.reset, f"DATA after the end of stream {frame.stream_id} (§5.1)"
        size = len(frame.payload)
        if size:
            self.send_window -= size
            book.send_credit -= size
            assert self.send_window >= 0 or not self.exact, (
                f"DATA is {-self.send_window} beyond the connection's window (§6.9.1)"
            )
            window = self.send_initial + book.send_credit
            assert window >= 0 or not self.exact, (
                f"DATA is {-window} beyond the window of stream {frame.stream_id} (§6.9.1)"
            )
        content = frame.content
        assert content == pattern(book.received, len(content)), (
            f"the content of stream {frame.stream_id} is not its own"
        )
        book.received += len(content)
        book.ended = frame.end_stream

    def _read_block(self, frame: wire.Frame) -> None:
        if frame.type == wire.HEADERS:
            self.block_frame = frame
            self.block = b""
        self.block += frame.block
        if not frame.flags & wire.END_HEADERS:
            return
        first = self.block_frame
        assert first is not None
        book = self.stream(first.stream_id) if self.engine_is_client else self.streams.get(first.stream_id)
        if book is None and not self.exact:
            book = self.stream(first.stream_id)
        assert book is not None, f"HEADERS on idle stream {first.stream_id} (§5.1)"
        assert not book.ended and not book.reset, f"HEADERS after the end of stream {first.stream_id} (§5.1)"
        book.heads.append([(bytes(n), bytes(v)) for n, v in self.reader.decoder.decode(self.block, raw=True)])
        book.ended = first.end_stream

    def _read_credit(self, frame: wire.Frame) -> None:
        if frame.stream_id == 0:
            self.granted += frame.increment
            self.receive_window += frame.increment
            first = self.limits.initial_connection_window - DEFAULT_WINDOW
            assert self.granted <= first + self.used or not self.exact, (
                "more connection credit than was ever spent (§6.9)"
            )
            assert self.receive_window <= MAX_WINDOW
            return
        book = self.streams.get(frame.stream_id)
        assert book is not None or not self.exact, f"WINDOW_UPDATE on idle stream {frame.stream_id} (§5.1)"
        book = self.stream(frame.stream_id)
        book.credited += frame.increment
        assert book.credited <= book.consumed or not self.exact, (
            f"stream {frame.stream_id}: credit for {book.credited}, and {book.consumed} are consumed (§6.9)"
        )

    def _read_settings(self, frame: wire.Frame) -> None:
        if not frame.ack:
            for key, value in frame.settings:
                if key == wire.INITIAL_WINDOW_SIZE:
                    self.receive_initial = value
            self.unacknowledged.append(self.receive_initial)
            return
        if not self.peer_settings and not self.exact:
            return
        assert self.peer_settings, "an acknowledgement of no SETTINGS (§6.5.3)"
        for key, value in self.peer_settings.popleft():
            if key == wire.INITIAL_WINDOW_SIZE:
                self.send_initial = value
            elif key == wire.MAX_FRAME_SIZE:
                self.reader.max_frame_size = value
            elif key == wire.HEADER_TABLE_SIZE:
                self.reader.decoder.max_allowed_table_size = value

    def _read_reset(self, frame: wire.Frame) -> None:
        book = self.stream(frame.stream_id)
        assert not book.reset or self.is_hostile, f"stream {frame.stream_id} is reset twice"
        book.reset = True
