"""Sessions made up from a seed: what a peer sends and what an application does, some of it sound, some hostile.

The same seed always gives the same session. `play` runs one against an engine and returns all that can be seen of it:
events and output. The properties of tests/properties and the comparison of the compiled with the pure engine in
tests/differential stand on it.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from typing import Any

from headrace.engine import events as ev
from headrace.engine.errors import LocalError
from headrace.engine.h2 import ClientConnection, ServerConnection
from headrace.engine.limits import Limits

from tests.support import wire

NAMES = [b"accept", b"user-agent", b"x-request-id", b"cookie", b"content-type", b"cache-control", b"priority"]
VALUES = [b"", b"*/*", b"a" * 10, b"u=1, i", b"text/html; q=0.5", b"k=v", b"x" * 200, b"\xc3\xa9"]
PATHS = [b"/", b"/index.html", b"/api/items?page=2", b"/" + b"p" * 60]
BAD_FIELDS = [
    (b"Upper", b"x"), (b"", b"x"), (b"a b", b"x"), (b"x", b"a\r\nb"), (b"x", b" lead"), (b"connection", b"close"),
    (b"te", b"gzip"), (b":late", b"x"), (b"content-length", b"x"), (b"host", b"other"),
]  # fmt: skip
BAD_BLOCKS = [b"\x80", b"\xff\xff\xff\xff\xff\xff\x01", b"\x00\x05a", wire.table_size(9000), wire.indexed(90)]


class Peer:
    """A peer that is a random number generator: it keeps just enough state to be right most of the time."""

    def __init__(self, seed: int, *, hostile: float, client: bool) -> None:
        self.random = random.Random(seed)
        self.hostile = hostile
        self.client = client
        self.next_id = 1
        self.open: list[int] = []
        self.used: list[int] = []
        self.answered: set[int] = set()
        self.table = 0

    def fields(self) -> bytes:
        """Some regular fields, as HPACK, some of them inserted in the table or taken from it."""
        rnd = self.random
        block = b""
        for _ in range(rnd.randrange(5)):
            kind = rnd.random()
            if self.table and kind < 0.3:
                block += wire.indexed(62 + rnd.randrange(min(self.table, 3)))
                continue
            index = kind > 0.8
            block += wire.literal(rnd.choice(NAMES), rnd.choice(VALUES), index=index)
            self.table += index
        if rnd.random() < self.hostile * 0.05:
            block += wire.literal(*rnd.choice(BAD_FIELDS))
        if rnd.random() < self.hostile * 0.01:
            block += rnd.choice(BAD_BLOCKS)
        return block

    def block(self, stream_id: int, block: bytes, end_stream: bool) -> bytes:
        """The block as HEADERS with or without padding, priority and CONTINUATION."""
        rnd = self.random
        pad = rnd.randrange(30) if rnd.random() < 0.1 else None
        prio = (False, 0, rnd.randrange(256)) if rnd.random() < 0.2 else None
        if rnd.random() < 0.15 and len(block) > 2:
            cut = rnd.randrange(1, len(block))
            return wire.headers(
                stream_id, block[:cut], end_stream=end_stream, end_headers=False, pad=pad, priority=prio
            ) + wire.continuation(stream_id, block[cut:], end_headers=True)
        return wire.headers(stream_id, block, end_stream=end_stream, pad=pad, priority=prio)

    def request(self) -> bytes:
        """A new stream with a request."""
        rnd = self.random
        stream_id, self.next_id = self.next_id, self.next_id + 2 * rnd.choice((1, 1, 1, 2))
        end = rnd.random() < 0.6
        self.used.append(stream_id)
        if not end:
            self.open.append(stream_id)
        head = wire.request_fields(rnd.choice(PATHS), method=rnd.choice((b"GET", b"POST", b"HEAD")))
        return self.block(stream_id, wire.literals(head) + self.fields(), end)

    def response(self) -> bytes:
        """A response, interim response or trailers on some stream."""
        rnd = self.random
        fresh = [n for n in self.open if n not in self.answered]
        stream_id = rnd.choice(fresh or self.open or self.used)
        status = rnd.choice((b"200", b"200", b"404", b"103", b"204"))
        end = status != b"103" and rnd.random() < 0.2
        if status != b"103":
            self.answered.add(stream_id)
        if end and stream_id in self.open:
            self.open.remove(stream_id)
        return self.block(stream_id, wire.literal(b":status", status) + self.fields(), end)

    def frame(self) -> bytes:
        """The next frame or two."""
        rnd = self.random
        kind = rnd.random()
        if rnd.random() < self.hostile * 0.03:
            wild = rnd.randrange(self.next_id + 4)
            return self.hostile_frame(wild if rnd.random() < 0.3 or not self.used else rnd.choice(self.used))
        any_id = rnd.choice(self.used) if self.used else 0
        if kind < 0.35:
            return self.response() if self.client else self.request()
        if self.client and not self.answered.issuperset(self.open) and rnd.random() < 0.9:
            return self.response()
        if kind < 0.65 and self.open:
            stream_id = rnd.choice(self.open)
            end = rnd.random() < 0.15
            if end:
                self.open.remove(stream_id)
            pad = rnd.randrange(256) if rnd.random() < 0.1 else None
            return wire.data(stream_id, b"d" * rnd.choice((0, 1, 50, 300, 5000)), end_stream=end, pad=pad)
        if kind < 0.7 and self.open:
            return self.block(self.open.pop(rnd.randrange(len(self.open))), self.fields(), True)
        if kind < 0.8:
            return wire.window_update(rnd.choice((0, any_id)), rnd.choice((1, 100, 1000, 65535, 2**20)))
        if kind < 0.84 and self.open:
            return wire.rst_stream(self.open.pop(rnd.randrange(len(self.open))), rnd.choice((0, 5, 8)))
        if kind < 0.88:
            return wire.settings(
                [(rnd.choice((1, 3, 4, 4, 5, 6, 99)), rnd.choice((0, 1, 100, 4096, 16384, 65535, 2**20)))]
                if rnd.random() < self.hostile else {wire.INITIAL_WINDOW_SIZE: rnd.choice((10, 65535, 2**20))}
            )  # fmt: skip
        if kind < 0.92:
            return wire.ping(rnd.randbytes(8), ack=rnd.random() < 0.2)
        if kind < 0.95:
            return wire.priority(max(1, any_id), 0, 5)
        if kind < 0.97 and not self.client:
            return wire.priority_update(any_id | 1, rnd.choice((b"u=0", b"u=7, i", b"?")))
        return wire.frame(rnd.choice((0x0A, 0x0C, 0xFA)), rnd.randrange(256), any_id, b"ext")

    def hostile_frame(self, any_id: int) -> bytes:
        """A frame that breaks a rule, or noise."""
        rnd = self.random
        pick = rnd.randrange(10)
        if pick == 0:
            return wire.window_update(any_id, rnd.choice((0, 2**31 - 1)))
        if pick == 1:
            return wire.data(any_id, b"x" * rnd.randrange(40), pad=5, claim=rnd.randrange(256))
        if pick == 2:
            return wire.frame(rnd.randrange(12), rnd.randrange(256), any_id, rnd.randbytes(rnd.randrange(20)))
        if pick == 3:
            return wire.rst_stream(any_id)
        if pick == 4:
            return wire.headers(any_id, self.fields(), end_stream=rnd.random() < 0.5)
        if pick == 5:
            return wire.priority(any_id, payload=rnd.randbytes(rnd.choice((4, 5, 6))))
        if pick == 6:
            return wire.goaway(rnd.randrange(10), rnd.randrange(15), b"dbg")
        if pick == 7:
            return wire.continuation(any_id, b"")
        if pick == 8:
            return wire.push_promise(max(1, any_id), 2, b"")
        return rnd.randbytes(rnd.randrange(1, 30)) if rnd.random() < 0.2 else wire.data(any_id, b"late")


class App:
    """An application that answers by chance: whole, in pieces, with trailers, with a reset, or never."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed ^ 0x5EED)
        self.streaming: list[int] = []
        self.unread: list[tuple[int, int]] = []

    def on_event(self, conn: Any, event: Any) -> None:
        """Note what came."""
        if isinstance(event, ev.RequestReceived):
            self.answer(conn, event.stream_id)
        elif isinstance(event, ev.DataReceived):
            self.unread.append((event.stream_id, event.flow_length))

    def answer(self, conn: Any, stream_id: int) -> None:
        """Begin a response."""
        rnd = self.random
        kind = rnd.random()
        with contextlib.suppress(LocalError, ValueError):
            if kind < 0.4:
                conn.send_response(
                    stream_id, rnd.choice((200, 204, 304, 500)), [(b"a", b"b")], b"x" * rnd.choice((0, 3, 70_000))
                )
            elif kind < 0.8:
                if rnd.random() < 0.3:
                    conn.send_informational(stream_id, 103, [(b"link", b"</a>")])
                conn.send_headers(stream_id, 200, [(b"n", b"%d" % rnd.randrange(5))])
                self.streaming.append(stream_id)
            elif kind < 0.85:
                conn.reset_stream(stream_id, 2)
            elif kind < 0.9:
                conn.refuse_stream(stream_id)
            else:
                self.streaming.append(stream_id)

    def act(self, conn: Any) -> None:
        """Do something, or nothing."""
        rnd = self.random
        if self.unread and rnd.random() < 0.7:
            stream_id, data = self.unread.pop(rnd.randrange(len(self.unread)))
            with contextlib.suppress(LocalError):
                conn.acknowledge_data(stream_id, data)
        if not self.streaming or rnd.random() < 0.3:
            return
        stream_id = rnd.choice(self.streaming)
        kind = rnd.random()
        with contextlib.suppress(LocalError, ValueError):
            if kind < 0.6:
                conn.send_data(stream_id, b"y" * rnd.choice((0, 1, 100, 20_000)))
            elif kind < 0.8:
                self.streaming.remove(stream_id)
                conn.send_data(stream_id, b"end", end_stream=True)
            elif kind < 0.9:
                self.streaming.remove(stream_id)
                conn.send_trailers(stream_id, [(b"t", b"v")])
            else:
                self.streaming.remove(stream_id)
                conn.reset_stream(stream_id, 8)


def script(seed: int, *, hostile: float = 1.0, frames: int = 30, client: bool = False) -> list[bytes]:
    """What the peer sends, read by read. A client's peer begins with SETTINGS, a server's with the preface."""
    peer = Peer(seed, hostile=hostile, client=client)
    rnd = peer.random
    first = {} if rnd.random() < 0.5 else {wire.INITIAL_WINDOW_SIZE: rnd.choice((0, 5, 1000, 2**20))}
    reads = [(wire.settings(first) if client else wire.client_preface(first)) + wire.settings_ack()]
    if client:
        peer.open = [1, 3, 5, 7]
        peer.used = [1, 3, 5, 7]
        peer.next_id = 9
    while frames > 0:
        batch = rnd.randrange(1, 6)
        reads.append(b"".join(peer.frame() for _ in range(batch)))
        frames -= batch
    return reads


def play(seed: int, *, frames: int = 30) -> tuple[list[str], bytes]:
    """One session: every event in words, and every byte of output."""
    client = seed % 4 == 3
    hostile = (0.0, 1.0, 1.0, 0.3, 3.0)[seed % 5]
    limits = Limits(max_concurrent_streams=10, initial_stream_window=70_000, max_unread=200_000)
    conn: Any = ClientConnection(limits, now=0.0) if client else ServerConnection(limits, now=0.0)
    app = App(seed)
    seen: list[str] = []
    out = b""
    now = 0.0
    if client:
        for n in range(4):
            conn.send_request(
                b"POST" if n % 2 else b"GET", b"https", b"a.example", b"/%d" % n, [(b"n", b"1")], end_stream=n % 2 == 0
            )
            if n % 2:
                app.streaming.append(2 * n + 1)
    for read in script(seed, hostile=hostile, frames=frames, client=client):
        now += 0.01
        got = list(conn.receive_data(read, now))
        while conn.input_pending and not conn.closed:
            got += conn.receive_data(b"", now)
        for event in got:
            app.on_event(conn, event)
        for _ in range(3):
            app.act(conn)
        out += conn.take_output(app.random.choice((1000, 262_144)), now)
        got += conn.take_events()
        seen += [repr(event) for event in got]
    now += 61
    seen += [repr(event) for event in conn.handle_deadline(now)]
    if seed % 2:
        conn.begin_drain(now, now + 1)
        seen += [repr(event) for event in conn.handle_deadline(now + 2)]
    seen += [repr(event) for event in conn.receive_eof(now + 3)]
    out += conn.take_output()
    seen.append(repr(sorted((k, v) for k, v in conn.stats().items())))
    return seen, out


def digest(first: int, count: int) -> str:
    """One hash over `count` sessions from seed `first` on."""
    total = hashlib.sha256()
    for seed in range(first, first + count):
        seen, out = play(seed)
        total.update("\n".join(seen).encode())
        total.update(out)
    return total.hexdigest()
