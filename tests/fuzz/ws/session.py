"""A WebSocket that the bytes of a fuzzer direct: the engine on one side, the `websockets` library on the other.

The library writes what a lawful peer sends, and reads what we send. A second one reads what we read, in our role.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, ClassVar

from websockets.protocol import OPEN

from headrace.engine.errors import LocalError
from headrace.engine.ws import (
    CloseReceived,
    Failed,
    MessageReceived,
    PingReceived,
    PongReceived,
    WebSocketConnection,
)

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source, pieces
from tests.fuzz.ws.library import Reader, agree, lengths_of, library

TEXTS = ("", "a", "hello", "grüße €", "\U0001f600" * 40, "x" * 126, "y" * 70_000)
BYTES = (b"", b"a", bytes(range(256)), b"z" * 126, b"w" * 65_536, b"v" * 70_000)
MOST_MOVED = 400_000
ROLES = ("server", "client")
FORMS = ("in one frame", "in two", "in three")
SIZED = [(125, 0), (125, 1), (125, 2), (126, 1), (126, 2), (65_535, 1), (65_535, 2), (65_536, 2)]
STRICTER = (
    "more bytes than it needs",
    "too long",
)  # lengths that are not in their shortest form, which the library takes


class WebSocketSession:
    """One WebSocket under test."""

    verbs: ClassVar[tuple[Callable[[Any], None], ...]]
    scripts: ClassVar[tuple[str, ...]]
    edges: ClassVar[tuple[str, ...]] = ()

    def __init__(self, source: Source, cut: int = 0, turn: int = 0) -> None:
        self.source = source
        self.cut = cut
        self.is_client = source.flag()
        ours, theirs, second = agree(source, self.is_client)
        self.most = source.pick((1_048_576, 1_000, 1_000, 300))
        self.conn = WebSocketConnection(self.is_client, self.most, ours)
        self.peer = library(not self.is_client, theirs)
        self.reader = Reader(self.peer)
        self.second = Reader(library(self.is_client, second))
        self.bounds = (turn % 3, 5 * turn)
        self.lawful = True
        self.is_whole = True  # all that came were whole frames
        self.expected: list[tuple[str, bytes]] = []
        self.sent: list[tuple[str, bytes]] = []
        self.mine: list[bytes] = []
        self.mine_is_text = False
        self.got: list[Any] = []
        self.story: list[str] = []
        self.output = b""
        self.moved = 0
        self.theirs_open = False
        self.reached: set[str] = set()
        self.meter = Meter(source.data, calls_a_byte=60, bytes_a_byte=60)

    # -- the wire ----------------------------------------------------------------------------------------------

    def deliver(self, data: bytes) -> None:
        """Let the engine and the second reader read."""
        self.second.feed(data)
        self.moved += len(data)
        room = len(data) * (2_000 if self.peer.extensions else 1)
        for piece in pieces(data, self.cut if len(data) < 2_000 else self.cut and max(self.cut, len(data) // 40)):
            if self.cut:
                self.note(self.conn.receive_data(piece, *self.bounds))
            else:
                self.note(
                    self.meter.run(self.conn.receive_data, piece, *self.bounds, size=min(room, self.most) + len(piece))
                )
            rounds = 0
            while self.conn.input_pending:
                self.note(self.conn.receive_data(b"", *self.bounds))
                rounds += 1
                assert rounds <= 2_000 + len(data), "input_pending has no end"
        assert self.conn.kept <= self.most + len(data) + 200_000

    def note(self, events: list[Any]) -> None:
        """Book events."""
        for event in events:
            assert not (self.got and isinstance(self.got[-1], (CloseReceived, Failed))), f"{event!r} after the last one"
            self.got.append(event)
            if isinstance(event, MessageReceived):
                size = len(event.data.encode() if isinstance(event.data, str) else event.data)
                assert size <= self.most and event.size >= max(128, len(event.data))
            self.story.append(repr(event) if len(repr(event)) < 2_000 else str(hash_of(event)))
            if isinstance(event, Failed) and self.lawful:
                assert event.code == 1009, f"a lawful peer, and {event!r}"

    def flush_peer(self) -> None:
        """Deliver what the peer has written."""
        self.deliver(b"".join(self.peer.data_to_send()))

    def take(self) -> None:
        """Let the owner write, and the peer read, which has nothing to complain of."""
        data = self.conn.take_output()
        if not self.is_client:  # a client's is masked by chance
            self.output += data
        self.reader.feed(data)
        fault = self.peer.parser_exc
        if fault is not None and "incomplete fragmented message" in str(fault):
            return  # our close frame came between fragments, which RFC 6455 §5.4 allows and the library does not
        assert fault is None, f"the library does not take what we write: {fault!r}"

    # -- running -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Play the input to its end."""
        rounds = 0
        while self.source.more and rounds < 300:
            self.verbs[self.source.op() % len(self.verbs)](self)
            rounds += 1
        self.take()
        messages = self.reader.messages()
        assert messages == self.sent[: len(messages)], "the peer reads other messages than we sent"
        if not any(isinstance(event, Failed) for event in self.got) and self.peer.close_rcvd is None:
            assert len(messages) == len(self.sent)
        self.compare()
        self.lawful = False
        self.note(self.conn.receive_eof())
        assert self.conn.is_done and not self.conn.is_open and not self.conn.input_pending

    def compare(self) -> None:
        """The library reads the same, in our role: messages, pings and pongs, and a fault where we find one."""
        ours = [said(event) for event in self.got if not isinstance(event, (CloseReceived, Failed))]
        theirs = [each for each in self.second.seen if each[0] != "CLOSE"]
        last = self.got[-1] if self.got else None
        fault = self.second.protocol.parser_exc
        if isinstance(last, Failed):
            stricter = last.code in (1007, 1009, 1011) or any(each in last.reason for each in STRICTER)
            assert fault is not None or stricter or not self.is_whole, f"{last!r}, and the library finds no fault"
            assert ours == theirs[: len(ours)], "other messages than the library's before a fault"
        else:
            assert fault is None, f"the library finds {fault!r}, and we find nothing"
            assert ours == theirs, "other messages than the library's"
        if self.lawful and last is None:
            assert [each for each in ours if each[0] in ("TEXT", "BINARY")] == self.expected

    # -- the peer ----------------------------------------------------------------------------------------------

    def can_send(self) -> bool:
        """Tell whether a lawful peer may send a message."""
        return self.peer.state is OPEN and self.moved < MOST_MOVED and self.lawful

    def peer_message(self) -> None:
        """A message, in one frame or more."""
        is_text = self.source.flag()
        data = self.source.pick(TEXTS).encode() if is_text else self.source.pick(BYTES)
        cuts = self.source.below(4)
        if self.can_send():
            self.message_of(is_text, data, cuts)

    def peer_message_to_the_byte(self) -> None:
        """A message that is charged as much as a message may be, or a byte more or less."""
        is_text = self.source.flag()
        cuts = self.source.pick((1, 0, 2))
        beyond = self.source.pick((0, 1, -1))
        size = self.most - (256 * (cuts + 1) if cuts else 0) + beyond
        if self.can_send() and cuts < size < 2_000:
            if beyond >= 0:
                form = "deflated" if self.peer.extensions else "plain"
                self.reached.add(f"{ROLES[self.is_client]}: {form}, {FORMS[cuts]} {beyond:+}")
            self.message_of(is_text, b"e" * size, cuts)

    def message_of(self, is_text: bool, data: bytes, cuts: int) -> None:
        """Write a message, cut into frames, and have it read. By what is on the wire it is taken, or too large."""
        is_due = not any(isinstance(event, (CloseReceived, Failed)) for event in self.got)
        self.expected.append(("TEXT" if is_text else "BINARY", data))
        size = max(1, -(-len(data) // (cuts + 1)))
        parts = pieces(data, size) if data else [b""]
        for number, part in enumerate(parts):
            fin = number == len(parts) - 1
            if number:
                self.peer.send_continuation(part, fin)
            elif is_text:
                self.peer.send_text(part, fin)
            else:
                self.peer.send_binary(part, fin)
            if not fin and self.source.flag(4):
                self.peer.send_ping(b"between")
        wire = b"".join(self.peer.data_to_send())
        self.deliver(wire)
        lengths = lengths_of(wire)
        size = len(data) if self.peer.extensions else sum(lengths)
        if is_due and data:  # each fragment of a fragmented message is charged 256 bytes more
            charge = size + (256 * len(lengths) if len(lengths) > 1 else 0)
            assert self.conn.is_done == (charge > self.most), f"a message of {charge} bytes, charges counted"

    def peer_ping(self) -> None:
        """A ping or a pong."""
        data = self.source.take(self.source.below(126))
        is_ping = self.source.flag()
        if self.can_send():
            (self.peer.send_ping if is_ping else self.peer.send_pong)(data)
            self.flush_peer()

    def peer_close(self) -> None:
        """The close handshake."""
        code = self.source.pick((1_000, 1_001, 3_000, 4_999, None))
        if self.can_send():
            self.peer.send_close(code, "" if code is None else "bye")
            self.flush_peer()

    def hostile_frame(self) -> None:
        """Any frame, with an honest length or not."""
        self.lawful = False
        source = self.source
        first = source.byte()
        payload = source.take(source.below(40)) * source.pick((1, 1, 1, 9))
        length = source.pick((0, 0, 0, 1, 2))
        masked = not self.is_client if source.byte() % 8 else self.is_client
        size = len(payload)
        head = bytes((size,)) if size < 126 and not length else b"\x7e" + size.to_bytes(2, "big")
        head = b"\x7f" + size.to_bytes(8, "big") if length == 2 else head
        if not masked:
            self.deliver(bytes((first,)) + head + payload)
            return
        mask = source.take(4).ljust(4, b"\1")
        coded = bytes(one ^ mask[n % 4] for n, one in enumerate(payload))
        self.deliver(bytes((first, head[0] | 0x80)) + head[1:] + mask + coded)

    def hostile_length(self) -> None:
        """A frame whose length is at the end of one of its three forms, and perhaps in a longer form than it needs."""
        opcode, size = self.source.pick((2, 9, 10)), self.source.pick((125, 126, 65_535, 65_536))
        form = self.source.below(3)
        shortest = 0 if size < 126 else 1 if size < 65_536 else 2
        if form < shortest or self.conn.is_done or not self.can_send():
            return
        self.lawful = False
        edge = f"{ROLES[self.is_client]}: a {'message' if opcode == 2 else 'control'} of {size} in form {form}"
        if edge in self.edges:
            self.reached.add(edge)
        second = (size, 126, 127)[form] | (0 if self.is_client else 0x80)
        wide = size.to_bytes((1, 2, 8)[form], "big") if form else b""
        self.deliver(bytes((0x80 | opcode, second)) + wide + bytes(0 if self.is_client else 4) + b"l" * size)
        must = 1_002 if form > shortest or (opcode > 2 and size > 125) else 1_009 if size > self.most else 0
        last = self.got[-1] if self.got else None
        assert (last.code if isinstance(last, Failed) else 0) == must, f"{size} bytes in form {form}: {last!r}"

    def hostile_bytes(self) -> None:
        """Any bytes."""
        self.lawful = self.is_whole = False
        self.deliver(self.source.take(self.source.below(30)))

    # -- the application ---------------------------------------------------------------------------------------

    def attempt(self, verb: Callable[..., Any], *args: Any) -> bool:
        """Call a verb. It may refuse by a LocalError, ValueError or TypeError, as documented, and by nothing else."""
        try:
            verb(*args)
        except (LocalError, ValueError, TypeError) as error:
            self.story.append(f"{verb.__name__}: {error!r}")
            return False
        self.story.append(f"{verb.__name__}: sent")
        return True

    def app_message(self) -> None:
        """A message, or its first fragment."""
        fin = not self.source.flag(4)
        if self.source.flag():
            text = self.source.pick(TEXTS)
            is_sent = self.attempt(self.conn.send_text, text, fin)
            data = text.encode()
            kind = "TEXT"
        else:
            data = self.source.pick(BYTES)
            is_sent = self.attempt(self.conn.send_bytes, data, fin)
            kind = "BINARY"
        if is_sent and fin:
            self.sent.append((kind, data))
        elif is_sent:
            self.mine, self.mine_is_text = [data], kind == "TEXT"

    def app_fragment(self) -> None:
        """Another fragment."""
        fin = self.source.flag()
        text = self.source.flag()
        data: str | bytes = self.source.pick(TEXTS) if text else self.source.pick(BYTES)
        if self.attempt(self.conn.send_fragment, data, fin):
            assert text == self.mine_is_text
            self.mine.append(data.encode() if isinstance(data, str) else data)
            if fin:
                self.sent.append(("TEXT" if text else "BINARY", b"".join(self.mine)))

    def app_control(self) -> None:
        """A ping, a close, or a failure of the owner's."""
        kind = self.source.below(8)
        if kind < 5:
            self.attempt(self.conn.send_ping, self.source.take(self.source.below(130)))
        elif kind < 7:
            code = self.source.pick((1_000, 1_005, 999, 1_006, 4_000))
            self.attempt(self.conn.send_close, code, self.source.pick(("", "bye", "€" * 50)))
        else:
            self.lawful = False
            self.note(self.conn.fail(1_011, "the handler failed"))
            self.second.protocol.fail(1_011, "likewise")


def hash_of(event: Any) -> str:
    """Return a long event in short."""
    return f"{type(event).__name__} {zlib.crc32(repr(event).encode('utf-8', 'surrogatepass'))}"


def said(event: Any) -> tuple[str, bytes]:
    """Return an event as a Reader notes it."""
    if isinstance(event, MessageReceived):
        return ("TEXT", event.data.encode()) if isinstance(event.data, str) else ("BINARY", event.data)
    assert isinstance(event, (PingReceived, PongReceived))
    return "PING" if isinstance(event, PingReceived) else "PONG", event.data


_W = WebSocketSession
WebSocketSession.edges = (
    *(f"{role}: {way}, {form} {more:+}" for role in ROLES for way in ("plain", "deflated") for form in FORMS
      for more in (0, 1)),
    *(f"{role}: a message of {size} in form {form}" for role in ROLES for size, form in SIZED),
    *(f"{role}: a control of {size} in form {form}" for role in ROLES for size, form in SIZED[:5:3]),
)  # fmt: skip
WebSocketSession.scripts = (
    "peer_message peer_message app_message take peer_ping take",
    "app_message app_fragment app_fragment app_fragment take peer_close take",
    "peer_message app_control take peer_message hostile_frame",
    "hostile_frame hostile_frame hostile_frame",
    "peer_message hostile_bytes hostile_bytes peer_message",
    "peer_message_to_the_byte peer_message_to_the_byte peer_message_to_the_byte peer_message_to_the_byte",
    "peer_message_to_the_byte hostile_length",
    "peer_ping hostile_length",
)
WebSocketSession.verbs = (
    _W.peer_message, _W.app_message, _W.take, _W.peer_message, _W.app_fragment, _W.peer_ping, _W.app_control,
    _W.peer_close, _W.hostile_frame, _W.hostile_bytes, _W.hostile_frame, _W.peer_message_to_the_byte, _W.hostile_length,
)  # fmt: skip
