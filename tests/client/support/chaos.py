"""A server that does to requests what servers and networks do, by lot, and keeps a ledger of what it has processed.

What becomes of a request depends on the seed, the request's number and how often it has come, never on the clock.
Frames are `tests.support.wire`'s; nothing here is headrace's.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable

from tests.support import wire

Fields = list[tuple[bytes, bytes]]
IDEMPOTENT = frozenset((b"GET", b"PUT"))
LATE_S = 0.005


def content_of(number: int) -> bytes:
    """Return the right answer to a request: most are small, some are large, a few are empty."""
    size = (0, 12, 300, 1_000, 5_000, 40_000)[number % 6]
    return hashlib.shake_128(b"answer %d" % number).digest(size)


def upload_of(number: int) -> bytes:
    """Return the content of a request that has some."""
    size = (1, 700, 9_000, 150_000)[number % 4]
    return hashlib.shake_128(b"upload %d" % number).digest(size)


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


class Ledger:
    """The server's actions, on all connections."""

    def __init__(self, seed: int, lots: dict[str, float]) -> None:
        self.seed = seed
        self.came: Counter[int] = Counter()
        self.processed: Counter[int] = Counter()
        """A request is processed once its answer, or the failure of it, has begun; not when it is refused."""
        self.excused: set[int] = set()
        """Idempotent ones whose HTTP/1.1 connection had served before, and ended after the request was processed and
        before a byte of the answer: they may come once more (RFC 9112 §9.3.1)."""
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        """Actions that no client may do."""
        self.open: dict[asyncio.Transport, Chaos] = {}
        self.names = list(lots)
        self._weights = list(lots.values())

    def draw(self, number: int) -> str:
        """Choose what to do with a request that has come."""
        self.came[number] += 1
        if self.processed[number] > (number in self.excused):
            self.wrong.append(f"request {number} came again, after it was processed")
        lot = random.Random(f"{self.seed} {number} {self.came[number]}")
        kind = lot.choices(self.names, self._weights)[0]
        self.done[kind] += 1
        return kind

    def process(self, number: int) -> None:
        self.processed[number] += 1

    def end_the_deaf(self) -> None:
        """Close the connections on which we stopped reading: we cannot see that the client has closed them."""
        for transport, chaos in self.open.items():
            if chaos.is_deaf:
                transport.abort()


class Stream:
    """A request on its way through the server."""

    def __init__(self, stream_id: int, fields: Fields, kind: str, number: int) -> None:
        self.stream_id = stream_id
        self.method = dict(fields)[b":method"]
        self.kind = kind
        self.number = number
        self.content = bytearray()
        self.ended = False
        self.is_begun = False
        """True once the request is certainly processed, or GOAWAY has promised it."""


class Chaos(asyncio.Protocol):
    """Base of both protocols: one connection."""

    def __init__(self, ledger: Ledger, serial: int) -> None:
        self.ledger = ledger
        self.loop = asyncio.get_running_loop()
        self.lot = random.Random(f"{ledger.seed} connection {serial}")
        self.timers: set[asyncio.TimerHandle] = set()
        self.is_deaf = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment] # it is a Transport by what it does, with uvloop too
        self.ledger.open[self.transport] = self
        if self.lot.random() < 0.01:
            self.ledger.done["dropped at once"] += 1
            self.drop()
        else:
            self.begin()

    def begin(self) -> None:
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:
        del self.ledger.open[self.transport]
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        def act() -> None:
            self.timers.discard(timer)
            action()

        timer = self.loop.call_later(seconds, act)
        self.timers.add(timer)

    def stop_reading(self) -> None:
        """Stop reading, so that even the client's end is not noticed; see `Ledger.end_the_deaf`."""
        self.is_deaf = True
        self.transport.pause_reading()

    def drop(self) -> None:
        """End the connection with a TCP reset."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


H2_LOTS = {
    "answer": 46.0,
    "late": 10.0,  # processed only after a while
    "pieces": 10.0,
    "hints": 3.0,
    "refused": 6.0,
    "refused late": 2.0,  # when all of it has come
    "reset": 3.0,
    "reset in the middle": 3.0,
    "short": 2.0,  # fewer bytes than announced
    "silent": 1.0,
    "silent in the middle": 1.0,
    "early": 3.0,  # an answer before the request has ended
    "no window": 2.0,
    "goes away": 1.0,  # in order
    "goes away, refusing": 0.8,
    "goes away, failing": 0.2,
    "dropped": 0.2,
    "dropped in the middle": 0.2,
    "no status": 0.7,
    "nonsense": 0.15,
    "other settings": 1.0,
}


class H2Chaos(Chaos):
    """One connection over HTTP/2."""

    def begin(self) -> None:
        self.frames = wire.FrameReader(expect_preface=True)
        self.streams: dict[int, Stream] = {}
        self.highest = 0
        self.last: int | None = None
        """What GOAWAY has said: nothing above it is processed."""
        self.window = 65_535
        self.send(wire.settings(self.some_settings()), wire.window_update(0, 1 << 20))

    def some_settings(self) -> dict[int, int]:
        most = self.lot.choice((1, 3, 20, 100, 100))
        return {wire.MAX_CONCURRENT_STREAMS: most, wire.INITIAL_WINDOW_SIZE: self.lot.choice((1_000, 20_000, 65_535))}

    def send(self, *data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"".join(data))

    def data_received(self, data: bytes) -> None:
        for one in self.frames.feed(data):
            if self.transport.is_closing():
                return
            if one.type == wire.HEADERS:
                self.on_request(one)
            elif one.type == wire.DATA:
                self.on_content(one)
            elif one.type == wire.RST_STREAM:
                self.streams.pop(one.stream_id, None)
            elif one.type == wire.WINDOW_UPDATE and not one.stream_id:
                self.window += one.increment
            elif one.type == wire.SETTINGS and not one.ack:
                self.send(wire.settings_ack())
            elif one.type == wire.PING and not one.ack:
                self.send(wire.ping(one.payload, ack=True))
        self.end_when_empty()

    # -- requests

    def on_request(self, one: wire.Frame) -> None:
        fields = self.frames.fields(one)
        if self.last is not None and one.stream_id > self.last:
            return  # it was under way when we sent GOAWAY
        self.highest = one.stream_id
        number = int(dict(fields)[b":path"][1:])
        stream = Stream(one.stream_id, fields, self.ledger.draw(number), number)
        self.streams[one.stream_id] = stream
        stream.ended = one.end_stream
        kind = stream.kind
        if kind == "refused":
            self.end(stream, wire.rst_stream(stream.stream_id, wire.REFUSED_STREAM))
        elif kind == "early" and not stream.ended:
            self.process(stream)
            self.head(stream)
            self.end(stream, self.body(stream), wire.rst_stream(stream.stream_id, wire.NO_ERROR))
        elif stream.ended:
            self.on_whole(stream)

    def on_content(self, one: wire.Frame) -> None:
        self.send(wire.window_update(0, len(one.payload)) if one.payload else b"")
        stream = self.streams.get(one.stream_id)
        if stream is None:
            return
        stream.content += one.content
        stream.ended = one.end_stream
        if stream.ended:
            self.on_whole(stream)
        elif one.payload and stream.kind != "no window":
            self.send(wire.window_update(one.stream_id, len(one.payload)))

    def on_whole(self, stream: Stream) -> None:
        assert stream.content == (b"" if stream.method == b"GET" else upload_of(stream.number))
        kind = stream.kind
        if kind == "late":
            self.later(LATE_S, lambda: self.answer(stream))
        elif kind == "refused late":
            self.end(stream, wire.rst_stream(stream.stream_id, wire.REFUSED_STREAM))
        elif kind == "goes away, refusing":
            self.go_away(max((each.stream_id for each in self.streams.values() if each.is_begun), default=0))
            self.answer(stream)  # where it is below one that is begun; else it is forgotten already
        elif kind == "goes away, failing":
            self.go_away(self.highest, wire.INTERNAL_ERROR)
            self.transport.close()
        elif kind == "dropped":
            self.process(stream)
            self.drop()
        else:
            self.answer(stream)

    def process(self, stream: Stream) -> None:
        stream.is_begun = True
        self.ledger.process(stream.number)

    def answer(self, stream: Stream) -> None:
        if self.streams.get(stream.stream_id) is not stream:
            return
        self.process(stream)
        stream_id, kind = stream.stream_id, stream.kind
        if kind == "reset":
            self.end(stream, wire.rst_stream(stream_id, self.lot.choice((wire.INTERNAL_ERROR, wire.CANCEL))))
        elif kind == "silent":
            pass
        elif kind == "nonsense":
            self.send(wire.window_update(0, 0))
        elif kind == "no status":
            self.end(stream, wire.headers(stream_id, [(b"x", b"y")], end_stream=True))
        else:
            if kind == "hints":
                self.send(wire.response(stream_id, b"103", extra=[(b"link", b"</x>")]))
            if kind == "other settings":
                self.send(wire.settings(self.some_settings()))
            if kind == "goes away":
                self.go_away(2**31 - 1)
                self.later(LATE_S, lambda: self.go_away(self.highest))
            self.head(stream)
            if kind in ("reset in the middle", "silent in the middle", "dropped in the middle", "pieces", "short"):
                self.send(self.body(stream, half=True))
                self.later(LATE_S, lambda: self.go_on(stream))
            else:
                self.end(stream, self.body(stream))

    def go_on(self, stream: Stream) -> None:
        """Send the second half."""
        stream_id, kind = stream.stream_id, stream.kind
        if self.streams.get(stream_id) is not stream:
            return
        if kind == "pieces":
            rest = content_of(stream.number)[len(content_of(stream.number)) // 2 :]
            self.spend(len(rest[:16_000]) + len(rest[16_000:]))
            parts = [wire.data(stream_id, rest[:16_000]), wire.data(stream_id, rest[16_000:])]
            self.end(stream, *parts, wire.headers(stream_id, [(b"x-trailer", b"%d" % stream.number)], end_stream=True))
        elif kind == "reset in the middle":
            self.end(stream, wire.rst_stream(stream_id, wire.INTERNAL_ERROR))
        elif kind == "dropped in the middle":
            self.drop()
        elif kind == "short":
            self.end(stream, wire.data(stream_id, end_stream=True))

    def head(self, stream: Stream) -> None:
        size = b"%d" % (len(content_of(stream.number)) + (stream.kind == "short"))
        extra = [(b"content-length", size)]
        if stream.ended:
            extra.append((b"x-got", digest(bytes(stream.content))))
        self.send(wire.response(stream.stream_id, extra=extra))

    def body(self, stream: Stream, *, half: bool = False) -> bytes:
        content = content_of(stream.number)
        if half:
            content = content[: len(content) // 2]
        self.spend(len(content))
        pieces = [content[at : at + 16_000] for at in range(0, len(content), 16_000)] or [b""]
        frames = [wire.data(stream.stream_id, each) for each in pieces]
        frames[-1] = wire.data(stream.stream_id, pieces[-1], end_stream=not half)
        return b"".join(frames)

    def spend(self, count: int) -> None:
        self.window -= count
        if self.window < 0:
            self.ledger.wrong.append("the client gave no credit back for the connection")

    # -- ends

    def end(self, stream: Stream, *data: bytes) -> None:
        self.send(*data)
        self.streams.pop(stream.stream_id, None)
        self.end_when_empty()

    def go_away(self, last: int, code: int = 0) -> None:
        if self.last is not None and last > self.last:
            last = self.last
        self.last = last
        for stream_id in [each for each in self.streams if each > last]:
            del self.streams[stream_id]
        self.send(wire.goaway(last, code, b"chaos"))
        if last < 2**31 - 1:
            self.end_when_empty()

    def end_when_empty(self) -> None:
        if self.last is not None and self.last < 2**31 - 1 and not self.streams and not self.transport.is_closing():
            self.transport.close()
