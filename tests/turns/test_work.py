"""What one turn takes at most, counted: by a call of `receive_data`, and by a turn of the event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from headrace.engine import events as ev
from headrace.engine.contract import Turns
from headrace.engine.h1 import H1ClientConnection, H1ServerConnection
from headrace.engine.h2 import ClientConnection, ServerConnection
from headrace.engine.hpack import Encoder
from headrace.engine.limits import BYTES_A_FRAME, CHUNKS_A_FRAME, Limits
from headrace.transport.connection import Connection
from headrace.transport.connection_parts import read_limits

from tests.server.connection import test_fairness as fairness
from tests.server.connection.test_fairness import Crowd, Sink
from tests.support import wire

TURN = 20
LIMITS = Limits(frames_per_turn=TURN, odd_frame_burst=10**6, small_data_budget=10**6, max_field_section_size=100_000)
CHUNK = b"1\r\nx\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


def turns_of(conn: Any, raw: bytes, of: Callable[[Any], int]) -> list[int]:
    """Feed all at once, then one turn after the other; how much `of` each turn's events there was."""
    sizes = []
    data = raw
    while True:
        events = conn.receive_data(data, 0.0)
        sizes.append(sum(map(of, events)))
        for event in events:
            if event.kind == ev.DATA:
                conn.acknowledge_data(event.stream_id, event.flow_length)
        if not conn.input_pending:
            return sizes
        data = b""
        assert len(sizes) < 10_000, "input_pending never ends"


def content(event: Any) -> int:
    return len(event.data) if event.kind == ev.DATA else 0


def asked() -> H1ClientConnection:
    conn = H1ClientConnection(LIMITS)
    conn.send_request(b"GET", b"http", b"a", b"/", (), end_stream=True)
    conn.take_output()
    return conn


# -- HTTP/1.1 --


@pytest.mark.parametrize("role", ["server", "client"])
def test_chunks(role: str) -> None:
    """A head and its chunks, for either role: all of them, none twice, a turn at a time."""
    conn, head = (H1ServerConnection(LIMITS), POST) if role == "server" else (asked(), OK)
    sizes = turns_of(conn, head + CHUNK * 1_000 + b"0\r\n\r\n", content)
    assert sum(sizes) == 1_000
    assert max(sizes) <= TURN * CHUNKS_A_FRAME
    assert sizes[1:-1] == [TURN * CHUNKS_A_FRAME] * (len(sizes) - 2)


OK = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def test_chunks_one_of_which_is_large() -> None:
    """Size does not matter: it is no work."""
    conn = H1ServerConnection(LIMITS)
    sizes = turns_of(conn, POST + b"fffff\r\n" + bytes(0xFFFFF) + b"\r\n" + CHUNK * 10 + b"0\r\n\r\n", content)
    assert sizes == [0xFFFFF + 10]


def test_extensions_are_work() -> None:
    extension = b";" + b"e" * (BYTES_A_FRAME * 2 - 1)
    conn = H1ServerConnection(LIMITS)
    sizes = turns_of(conn, POST + (b"1" + extension + b"\r\nx\r\n") * 100 + b"0\r\n\r\n", content)
    assert sum(sizes) == 100
    assert max(sizes) <= TURN // 2 + 1


def test_trailers_are_work() -> None:
    """Each line of them is a frame's, although they are handed on together."""
    conn = H1ServerConnection(LIMITS)
    lines = b"".join(b"a%d: b\r\n" % n for n in range(100))
    calls = turns_of(conn, POST + b"0\r\n" + lines + b"\r\n", lambda event: event.kind == ev.TRAILERS)
    assert len(calls) >= 100 // TURN
    assert sum(calls) == 1


def answered(conn: H1ServerConnection, raw: bytes) -> list[int]:
    """Requests of each turn, each answered at once and every answer taken."""
    counts = []
    data = raw
    while True:
        count = 0
        events: Any = conn.receive_data(data, 0.0)
        while events:
            for event in events:
                count += 1
                conn.send_response(event.stream_id, 200, (), b"x")
            events = conn.take_events()
        conn.take_output()
        assert conn.take_events() == []  # what waits, waits for a turn, not for the output
        counts.append(count)
        if not conn.input_pending:
            return counts
        data = b""


def test_heads_that_are_remembered() -> None:
    counts = answered(H1ServerConnection(LIMITS), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 100)
    assert sum(counts) == 100 and max(counts) == TURN


def test_heads_that_are_new_are_work_by_their_size() -> None:
    heads = [b"GET /%d HTTP/1.1\r\nhost: a\r\nx: " % n + b"y" * BYTES_A_FRAME * 4 + b"\r\n\r\n" for n in range(50)]
    counts = answered(H1ServerConnection(LIMITS), b"".join(heads))
    assert sum(counts) == 50
    assert max(counts) <= TURN // 4


def test_a_request_that_waits_is_no_input_that_is_pending() -> None:
    """Nothing could be gone on with: the next turn belongs to its handler."""
    conn = H1ServerConnection(LIMITS)
    conn.receive_data(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 100, 0.0)
    assert not conn.input_pending


def test_the_owner_of_many_shortens_turns_of_both_protocols() -> None:
    turns = Turns(5)
    http1 = H1ServerConnection(LIMITS)
    http1.turns = turns
    assert max(turns_of(http1, POST + CHUNK * 1_000, content)) == 5 * CHUNKS_A_FRAME
    turns.frames = 3
    assert max(turns_of(http1, CHUNK * 1_000, content)) == 3 * CHUNKS_A_FRAME
    turns.frames = 0
    assert turns_of(http1, CHUNK * 1_000, content) == [1_000]


class Asleep(Crowd):
    """Handlers that read nothing, so that what was parsed of an upload shows."""

    async def handle(self, request: Any) -> Any:
        await asyncio.sleep(3600)


def test_the_first_read_of_a_connection_is_a_turn_and_a_crowd_shares() -> None:
    """From the first byte on, which says what protocol it is; with twenty such connections turns are as short as over
    HTTP/2."""

    async def main() -> None:
        crowd = Asleep()
        drivers = [crowd.connect() for _ in range(20)]
        parsed = []
        for each in drivers:
            each.data_received(POST + CHUNK * 2_000)
            parsed.append(each.engine.stats()["unread"])
        whole = fairness.TURN * CHUNKS_A_FRAME
        assert whole - 2 * CHUNKS_A_FRAME <= parsed[0] <= whole
        assert parsed == sorted(parsed, reverse=True)
        assert parsed[-1] <= whole * 4 // 19
        assert crowd.service.crowd == 20
        for each in drivers:
            each.cancel_workers()
        await asyncio.sleep(0)

    asyncio.run(main())


# -- HTTP/2 --


def frames_of_turns(conn: Any, raw: bytes) -> list[int]:
    """Frames that each turn took."""
    counts = []
    data = raw
    before = conn.stats()["frames_in"]
    while True:
        conn.receive_data(data, 0.0)
        now = conn.stats()["frames_in"]
        counts.append(now - before)
        before = now
        if not conn.input_pending:
            return counts
        data = b""


@pytest.mark.parametrize("role", ["server", "client"])
def test_frames(role: str) -> None:
    conn: Any = ServerConnection(LIMITS) if role == "server" else ClientConnection(LIMITS)
    preface = wire.client_preface() if role == "server" else wire.settings({})
    counts = frames_of_turns(conn, preface + wire.settings_ack() + wire.ping(bytes(8)) * 100)
    assert sum(counts) == 102 and max(counts) == TURN


def test_faults_of_streams_lengthen_no_turn() -> None:
    """Frames before a stream's fault count as well as those behind it."""
    conn = ServerConnection(Limits(frames_per_turn=TURN, odd_frame_burst=10**6, provoked_reset_burst=10**6))
    encoder = Encoder()
    bad = [(b":method", b"GET"), (b":path", b"/"), (b"connection", b"x")]
    data = b""
    for n in range(30):
        data += wire.ping(bytes(8)) * 3 + wire.headers(1 + 2 * n, encoder.encode(bad), end_stream=True)
    counts = frames_of_turns(conn, wire.client_preface() + wire.settings_ack() + data)
    assert sum(counts) == 122 and max(counts) <= TURN
    assert sorted(set(counts[:-1])) == [TURN]


def test_field_sections_are_work_by_their_size() -> None:
    conn = ServerConnection(LIMITS)
    encoder = Encoder()
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
    heads = b"".join(
        wire.headers(1 + 2 * n, encoder.encode([*fields, (b"x%d" % n, b"~" * 256)]), end_stream=True) for n in range(40)
    )
    counts = frames_of_turns(conn, wire.client_preface() + wire.settings_ack() + heads)
    assert sum(counts) == 42
    assert max(counts[1:]) <= TURN // 4 + 1


# -- a turn of the event loop --


class Counting(Connection):
    """Reads what comes, and counts how much of it one turn of the loop brings."""

    __slots__ = ("a_turn", "engine", "most", "total")

    def __init__(self, loop: asyncio.AbstractEventLoop, engine: Any) -> None:
        super().__init__(loop)
        self.engine: Any = engine
        self.a_turn = self.most = self.total = 0

    def before_input(self, now: float) -> None:
        pass

    def on_events(self, events: Any) -> None:
        for event in events:
            if event.kind == ev.DATA:
                self.engine.acknowledge_data(event.stream_id, event.flow_length)

    def data_received(self, data: bytes) -> None:
        if not self.a_turn:
            self.loop.call_soon(self.turned)
        self.a_turn += len(data)
        self.total += len(data)
        super().data_received(data)

    def turned(self) -> None:
        self.most = max(self.most, self.a_turn)
        self.a_turn = 0


SIZE = 24_000_000


def most_a_turn(make: Callable[[], asyncio.AbstractEventLoop]) -> int:
    """The most bytes that one turn of a real loop read of an upload on a real socket, all of which came."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        subject = Counting(loop, H1ServerConnection(Limits(frames_per_turn=100)))
        ours, theirs = socket.socketpair()
        for each in (ours, theirs):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_000_000)
            each.setblocking(False)
        with theirs:
            await loop.create_connection(lambda: subject, sock=ours)
            head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % SIZE

            async def write() -> None:
                await loop.sock_sendall(theirs, head)
                await loop.run_in_executor(None, send_all, theirs)

            await write()
            while subject.total < SIZE + len(head):
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        return subject.most

    with asyncio.Runner(loop_factory=make) as runner:
        return runner.run(main())


def send_all(sock: socket.socket) -> None:
    sock.setblocking(True)
    sock.sendall(bytes(SIZE))
    sock.setblocking(False)


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_turn_of_the_loop_reads_so_many_bytes(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """uvloop reads one socket 32 times in a row, 8 MB, unless it is told to stop."""
    assert 0 < most_a_turn(make) <= read_limits.READS_IN_A_ROW * 262_144


def test_control_uvloop_reads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_limits, "READS_IN_A_ROW", 1 << 30)
    assert most_a_turn(uvloop.new_event_loop) > 2 * 262_144


def test_what_comes_while_a_turn_is_due_waits_for_it() -> None:
    """However many reads a turn of the loop brings, the engine works once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        subject = Counting(loop, ServerConnection(LIMITS))
        subject.connection_made(Sink())
        subject.data_received(wire.client_preface() + wire.settings_ack())
        before = 2
        for _ in range(10):
            subject.data_received(wire.ping(bytes(8)) * TURN * 2)
        assert subject.engine.stats()["frames_in"] == before + TURN
        for turn in range(1, 20):
            await asyncio.sleep(0)
            assert subject.engine.stats()["frames_in"] == before + TURN * (turn + 1)
        await asyncio.sleep(0)
        assert not subject.engine.input_pending

    asyncio.run(main())
