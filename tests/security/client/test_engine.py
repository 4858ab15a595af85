"""What a client has to bear: a hostile server against the engine in memory.

Each attack has a bound, and most a control: the same with the limit off is not ended, or the test would say nothing.
M(x) is growth of memory by at most x MB.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from headrace.engine import events as ev
from headrace.engine.h1 import H1ClientConnection
from headrace.engine.h2 import ClientConnection
from headrace.engine.limits import Limits

from tests.security.support.memory import OFF
from tests.support import wire
from tests.support.h1_rig import H1ClientRig
from tests.support.rig import ClientRig

MB = 1_000_000
ORIGIN = 0xC
ALTSVC = 0xA
CALM = 1_205  # units of what is odd: the burst, a second's rate, what a request pays for (104), and the one too many
CRUMBS = Limits(small_data_budget=65_536)  # 256 small frames
STATUS = wire.literal(b":status", b"200")


class Attacked:
    """How an attack ended, and how much Python's memory grew meanwhile."""

    def __init__(self, conn: ClientConnection | H1ClientConnection, units: int, peak: int, events: list[object]):
        self.closed = conn.closed
        self.units = units
        self.peak = peak
        self.faults = [event for event in events if isinstance(event, ev.PeerFault)]
        self.kinds = {type(event) for event in events}


def attack(conn: ClientConnection | H1ClientConnection, units: Iterator[bytes]) -> Attacked:
    """Feed units until the engine ends it or they are over. The owner takes events and output, and keeps neither;
    the interesting ones are noted."""
    noted: list[object] = []
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    fed = 0
    for unit in units:
        for event in conn.receive_data(unit, 1.0):
            if isinstance(event, (ev.PeerFault, ev.ConnectionEnded, ev.StreamReset)):
                noted.append(event)
        conn.take_output()
        fed += 1
        if conn.closed:
            break
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    return Attacked(conn, fed, peak, noted)


def h2(limits: Limits | None = None, requests: int = 1) -> tuple[ClientConnection, list[int]]:
    rig = ClientRig(limits)
    streams = [rig.send(b"/%d" % n) for n in range(requests)]
    return rig.conn, streams


def h1(limits: Limits | None = None) -> H1ClientConnection:
    rig = H1ClientRig(limits)
    rig.send()
    connection = rig.conn
    assert isinstance(connection, H1ClientConnection)
    return connection


# -- interim responses -----------------------------------------------------------------------------------------


def test_endless_interim_responses_h2() -> None:
    """1xx without end: they are odd frames, and at most 1,000 of them come at once."""
    conn, (stream_id,) = h2()
    unit = wire.response(stream_id, b"103", extra=[(b"link", b"</a>")])
    result = attack(conn, (unit for _ in range(20_000)))
    assert result.closed and result.units <= CALM and result.peak < MB
    assert result.faults[-1].budget == "odd_frames"
    control = attack(h2(OFF)[0], (unit for _ in range(2_000)))
    assert not control.closed


def test_endless_interim_responses_h1() -> None:
    """The same of HTTP/1.1, one by one or many in a read."""
    unit = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    for many in (1, 100):
        result = attack(h1(), (unit * many for _ in range(20_000)))
        assert result.closed and result.units * many <= CALM + many and result.peak < MB
        assert result.faults[-1].budget == "odd_frames"
    control = attack(h1(OFF), (unit for _ in range(2_000)))
    assert not control.closed


# -- fields ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trailers", [False, True])
def test_infinite_headers_h2(trailers: bool) -> None:
    """HEADERS and CONTINUATION that never end: GOAWAY(ENHANCE_YOUR_CALM); M(1). The same of trailers."""
    conn, (stream_id,) = h2()
    begin = wire.response(stream_id) if trailers else b""
    block = wire.literal(b"a", b"b" * 16_000)[:16_000]

    def units() -> Iterator[bytes]:
        yield begin + wire.headers(stream_id, STATUS if not trailers else b"", end_headers=False)
        while True:
            yield wire.continuation(stream_id, block)

    result = attack(conn, units())
    assert result.closed and result.units <= 18 and result.peak < MB
    assert result.faults[-1].budget in ("max_block_size", "max_continuations")


@pytest.mark.parametrize("how", ["bomb", "thin", "many"])
def test_bombs_of_fields(how: str) -> None:
    """HPACK bomb, HTTP/2 Bomb: what a block inflates to is bounded while it is decoded; M(2)."""
    conn, (stream_id,) = h2()
    if how == "bomb":
        block = STATUS + wire.literal(b"a", b"x" * 4_000, index=True) + wire.indexed(62) * 11_000
    elif how == "thin":
        block = STATUS + wire.literal(b"a", b"", index=True) + wire.indexed(62) * 15_000
    else:
        block = STATUS + wire.literals([(b"a%d" % n, b"b") for n in range(2_000)])
    result = attack(conn, iter([wire.headers(stream_id, block[:16_000])]))
    assert {ev.StreamReset} & result.kinds and result.peak < 2 * MB


def test_infinite_headers_h1() -> None:
    """A head without end: at most 64 KiB of it are kept; M(1)."""
    for line in (b"a: " + b"b" * 1_000 + b"\r\n", b"a" * 1_000):
        data = line

        def units(data: bytes = data) -> Iterator[bytes]:
            yield b"HTTP/1.1 200 OK\r\n"
            while True:
                yield data

        result = attack(h1(), units())
        assert result.closed and result.units < 70 and result.peak < MB
        assert result.faults[-1].budget == "max_field_section_size"


def test_infinite_trailers_h1() -> None:
    """The same behind the last chunk, in bytes and in lines."""
    begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    for line, budget in ((b"a: " + b"b" * 1_000 + b"\r\n", "max_field_section_size"), (b"a: b\r\n", "max_fields")):
        data = line

        def units(data: bytes = data) -> Iterator[bytes]:
            yield begin
            while True:
                yield data

        result = attack(h1(), units())
        assert result.closed and result.peak < MB and result.faults[-1].budget == budget


def test_trailers_again_and_again_h2() -> None:
    """Trailers end a stream: those that do not are its end, and a flood of them is one of provoked resets."""
    conn, streams = h2(requests=90)

    def units() -> Iterator[bytes]:
        for stream_id in streams:
            yield wire.response(stream_id) + wire.headers(stream_id, wire.literal(b"a", b"b"))

    result = attack(conn, units())
    assert result.closed and result.units < 30 and result.faults[-1].budget == "provoked_resets"


# -- pushes, ORIGIN, ALTSVC ------------------------------------------------------------------------------------


def test_a_flood_of_pushes() -> None:
    """The first PUSH_PROMISE is the last (RFC 9113 §8.4)."""
    conn, (stream_id,) = h2()
    result = attack(
        conn, (wire.push_promise(stream_id, 2 * n, wire.literals(wire.request_fields())) for n in range(1, 100_000))
    )
    assert result.closed and result.units == 1 and result.faults[-1].code == wire.PROTOCOL_ERROR


def origin_frame(*origins: bytes) -> bytes:
    payload = b"".join(len(each).to_bytes(2, "big") + each for each in origins)
    return wire.frame(ORIGIN, 0, 0, payload)


EMPTY_ORIGINS = origin_frame(*[b""] * 8_000)
FLOODS: dict[str, Callable[[int], bytes]] = {
    "new origins": lambda n: origin_frame(b"https://%d.example" % n),
    "the same origin": lambda n: origin_frame(b"https://a.example"),
    "many origins": lambda n: origin_frame(*[b"https://%d-%d.example" % (n, m) for m in range(10)]),
    "empty origins": lambda n: EMPTY_ORIGINS,
    "empty": lambda n: wire.frame(ORIGIN, 0, 0, b""),
    "cut short": lambda n: wire.frame(ORIGIN, 0, 0, b"\xff\xff" + b"a" * 16_000),
    "on a stream": lambda n: wire.frame(ORIGIN, 0, 1, b"\x00\x01a"),
    "altsvc": lambda n: wire.frame(ALTSVC, 0, 0, b"\x00\x09a.example" + b'h3=":%d"' % n),
    "altsvc on a stream": lambda n: wire.frame(ALTSVC, 0, 1, b"\x00\x00clear"),
    "large altsvc": lambda n: wire.frame(ALTSVC, 0, 0, b"a" * 16_000),
    "unknown": lambda n: wire.frame(0xEE, 0xFF, n % 7, b"x"),
}


@pytest.mark.parametrize("what", FLOODS)
def test_floods_of_extension_frames(what: str) -> None:
    """CVE-2026-48619 (Node: ORIGIN frames to a client) and its like: odd frames all; M(2); and never 64 origins."""
    conn, _ = h2()
    make = FLOODS[what]
    result = attack(conn, (make(n) for n in range(100_000)))
    assert result.closed and result.units <= CALM and result.peak < 2 * MB
    assert result.faults[-1].budget == "odd_frames"
    assert len(conn.origins) <= 64 and sum(map(len, conn.origins)) <= 4_096
    control = attack(h2(OFF)[0], (make(n) for n in range(1_200)))
    assert not control.closed and control.peak < 2 * MB


@pytest.mark.parametrize("kind", ["settings", "ping", "priority", "window_update", "rst", "goaway", "empty data"])
def test_floods_of_control_frames(kind: str) -> None:
    """The floods that a server has to bear with, sent by one."""
    conn, (stream_id, other) = h2(requests=2)
    unit = {
        "settings": wire.settings({wire.MAX_CONCURRENT_STREAMS: 100}),
        "ping": wire.ping(),
        "priority": wire.priority(stream_id),
        "window_update": wire.window_update(0, 1),
        "rst": wire.rst_stream(other),
        "goaway": wire.goaway(2**31 - 1),
        "empty data": wire.data(stream_id, b""),
    }[kind]
    conn.receive_data(wire.response(stream_id), 1.0)
    result = attack(conn, (unit for _ in range(60_000)))
    assert result.closed and result.units < 1_300 and result.peak < MB
    assert result.faults[-1].budget == "odd_frames"


# -- content ---------------------------------------------------------------------------------------------------


def test_small_data_on_a_response_that_is_not_read() -> None:
    """Small DATA frames pile up unread: their own stream ends, its siblings go on; M(1)."""
    rig = ClientRig(CRUMBS)
    slow, other = rig.send(), rig.send()
    rig.feed(wire.response(slow))
    fed = 0
    while not rig.of(ev.StreamReset) and fed < 60_000:
        rig.feed(wire.data(slow, b"x"))
        fed += 1
    (reset,) = rig.of(ev.StreamReset)
    assert (reset.stream_id, reset.code) == (slow, wire.ENHANCE_YOUR_CALM) and fed <= 257
    assert "small_data_budget" in reset.reason
    rig.feed(wire.response(other), wire.data(other, b"fine", end_stream=True))
    assert rig.of(ev.DataReceived, other)[-1].end_stream and not rig.conn.closed
    assert rig.conn.stats()["unread"] == 0


def test_small_data_that_is_read_goes_on_for_ever() -> None:
    """The control: 60,000 crumbs that are consumed as they come are a stream of events."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id))
    for _ in range(3_000):
        rig.feed(wire.data(stream_id, b"x") * 20)
        rig.conn.acknowledge_data(stream_id, 20)
        rig.events.clear()
        rig.take()
    assert not rig.conn.closed and rig.conn.open_streams == 1


def test_crumbs_on_all_streams_end_the_connection() -> None:
    """A server that does so on stream after stream is no slow reader's misfortune."""
    conn, streams = h2(CRUMBS, requests=90)

    def units() -> Iterator[bytes]:
        for stream_id in streams:
            yield wire.response(stream_id)
            for _ in range(300):
                yield wire.data(stream_id, b"x")

    result = attack(conn, units())
    assert result.closed and result.faults[-1].budget == "provoked_resets" and result.peak < MB


def test_small_chunks_stop_the_reading_h1() -> None:
    """Chunks of one byte that nobody reads: reading stops, so that no more than a read's worth piles up."""
    conn = h1()
    conn.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1.0)
    fed = 0
    while not conn.read_paused and fed < 60_000:
        conn.receive_data(b"1\r\nx\r\n", 1.0)
        fed += 1
    assert conn.read_paused and fed <= 257 and not conn.closed


def test_many_small_chunks_in_one_read_are_one_piece_h1() -> None:
    """65,536 bytes of chunks of one byte cost one event, not 10,000."""
    conn = h1()
    conn.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1.0)
    events = conn.receive_data(b"1\r\nx\r\n" * 10_000, 1.0)
    assert len(events) == 1 and isinstance(events[0], ev.DataReceived) and len(events[0].data) == 10_000


@pytest.mark.parametrize(
    "data",
    [
        b"5;" + b"a" * 100_000,
        b"5;a=" + b"b" * 1_023 + b"\r\nhello\r\n",
        b"1" * 100_000,
        b"0" * 17 + b"5\r\nhello\r\n",
        b"5;a=\x00\r\nhello\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"5 \r\nhello\r\n",
    ],
)
def test_chunk_lines_are_bounded_h1(data: bytes) -> None:
    """Extensions beyond 1,024 bytes, sizes beyond 16 digits, bytes that have no place there."""
    conn = h1()
    conn.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1.0)
    result = attack(conn, iter([data[at : at + 1_000] for at in range(0, len(data), 1_000)]))
    assert result.closed and result.units <= 3 and result.faults


def test_extensions_without_end_h1() -> None:
    """Each short, and all of them together beyond 65,536 bytes."""
    conn = h1()
    conn.receive_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1.0)
    result = attack(conn, (b"1;" + b"a" * 1_000 + b"\r\nx\r\n" for _ in range(1_000)))
    assert result.closed and result.units <= 67


@pytest.mark.parametrize("length", [b"999999999999999999", b"18446744073709551616", b"9" * 1_000])
def test_a_huge_content_length_costs_nothing(length: bytes) -> None:
    """Nothing is set aside for what was only announced; M(1)."""
    conn = h1()
    result = attack(conn, iter([b"HTTP/1.1 200 OK\r\nContent-Length: " + length + b"\r\n\r\n", b"x" * 1_000]))
    assert result.peak < MB
    other, (stream_id,) = h2()
    units = [wire.response(stream_id, extra=[(b"content-length", length)]), wire.data(stream_id, b"x" * 1_000)]
    assert attack(other, iter(units)).peak < MB


@pytest.mark.parametrize("beyond", ["stream", "connection"])
def test_data_beyond_the_windows(beyond: str) -> None:
    """RFC 9113 §6.9.1, by a server."""
    stream_window = 65_535 if beyond == "stream" else 1_000_000
    limits = Limits(initial_stream_window=stream_window, initial_connection_window=100_000, max_unread=0)
    conn, streams = h2(limits, requests=2)

    def units() -> Iterator[bytes]:
        yield wire.response(streams[0])
        for _ in range(1_000):
            yield wire.data(streams[0], b"x" * 16_000)

    result = attack(conn, units())
    assert result.faults[-1].code == wire.FLOW_CONTROL_ERROR if result.faults else False
    assert result.faults[0].scope == beyond


def test_data_on_a_stream_that_was_reset_has_an_end() -> None:
    """DATA under way when a response is given up is at most what was left of its window; a server that goes on beyond
    it would be read for ever, as the connection's credit comes back. (Found by a live flood: 500 MB/s.)"""
    limits = Limits(initial_stream_window=200_000)
    frame = wire.data(1, b"x" * 10_000)
    for before, after in ((0, 20), (15, 5)):
        rig = ClientRig(limits)
        stream_id = rig.send()
        rig.feed(wire.response(stream_id), frame * before)
        rig.conn.reset_stream(stream_id, wire.CANCEL)
        other = rig.send()
        rig.feed(frame * after)
        assert not rig.conn.closed  # the control: what may be under way is free
        rig.feed(wire.response(other), wire.data(other, b"fine", end_stream=True))
        assert rig.of(ev.DataReceived, other)[-1].end_stream
        rig.feed(frame)
        assert rig.conn.closed
        assert rig.of(ev.PeerFault)[-1].code == wire.FLOW_CONTROL_ERROR


def test_a_server_that_takes_all_back() -> None:
    """RST_STREAM of every request: each comes back once, and nothing is left behind."""
    rig = ClientRig()
    for _ in range(3_000):
        stream_id = rig.send()
        rig.feed(wire.rst_stream(stream_id, wire.REFUSED_STREAM))
    assert len(rig.of(ev.StreamReset)) == 3_000 and rig.conn.open_streams == 0 and not rig.conn.closed
    assert len(rig.conn._closed_streams or {}) <= 1_024
