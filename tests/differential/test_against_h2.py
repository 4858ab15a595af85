"""Our engine against python-hyper's h2, an implementation with nothing in common with ours, in both roles."""

from __future__ import annotations

import random
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from headrace.engine import events as ev
from headrace.engine.h2 import ClientConnection, ServerConnection
from headrace.engine.limits import Limits

FIELDS = [(b"accept", b"*/*"), (b"x-id", b"1"), (b"user-agent", b"tests"), (b"cookie", b"a=b"), (b"empty", b"")]


def hyper(client_side: bool) -> Any:
    """The other side, started."""
    config = h2.config.H2Configuration(client_side=client_side, header_encoding=None, validate_outbound_headers=False)
    conn = h2.connection.H2Connection(config=config)
    conn.initiate_connection()
    return conn


class Oracle:
    """Carries bytes between ours and h2 until both are silent, acknowledging DATA at once on both sides."""

    def __init__(self, ours: Any, theirs: Any) -> None:
        self.ours = ours
        self.theirs = theirs
        self.our_events: list[Any] = []
        self.their_events: list[Any] = []

    def exchange(self) -> None:
        """Until nothing moves."""
        while True:
            out = self.ours.take_output()
            self.our_events += self.ours.take_events()
            if out:
                for event in self.theirs.receive_data(out):
                    self.their_events.append(event)
                    if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                        self.theirs.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            back = self.theirs.data_to_send()
            if back:
                for event in self.ours.receive_data(back, 0.0):
                    self.our_events.append(event)
                    if isinstance(event, ev.DataReceived):
                        self.ours.acknowledge_data(event.stream_id, event.flow_length)
            if not out and not back:
                return


def pump(oracle: Oracle, bodies: dict[int, bytes], trailers: dict[int, Any], rnd: random.Random) -> None:
    """Send what h2's side has to send as its windows allow."""
    for stream_id in list(bodies):
        room = min(oracle.theirs.local_flow_control_window(stream_id), oracle.theirs.max_outbound_frame_size)
        piece = bodies[stream_id][: min(room, rnd.choice((100, 5_000, 20_000)))]
        rest = bodies[stream_id][len(piece) :]
        last = not rest
        pad = rnd.randrange(50) if rnd.random() < 0.2 and len(piece) + 51 < room else None
        if not piece and not last:
            continue
        oracle.theirs.send_data(stream_id, piece, end_stream=last and stream_id not in trailers, pad_length=pad)
        bodies[stream_id] = rest
        if last:
            del bodies[stream_id]
            if stream_id in trailers:
                oracle.theirs.send_headers(stream_id, trailers[stream_id], end_stream=True)


@pytest.mark.parametrize("seed", range(40))
def test_our_server_against_h2_as_client(seed: int) -> None:
    """Random requests with bodies, padding, trailers; random answers, whole or streamed, with 1xx and trailers."""
    rnd = random.Random(seed)
    limits = Limits(initial_stream_window=rnd.choice((1_000, 65_535, 262_144)))
    oracle = Oracle(ServerConnection(limits, now=0.0), hyper(True))
    oracle.exchange()
    bodies: dict[int, bytes] = {}
    trailers: dict[int, Any] = {}
    sent: dict[int, tuple[list[Any], bytes]] = {}
    for n in range(12):
        stream_id = oracle.theirs.get_next_available_stream_id()
        body = rnd.randbytes(rnd.choice((0, 10, 80_000)))
        extra = rnd.sample(FIELDS, rnd.randrange(len(FIELDS)))
        head = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"a.example"), (b":path", b"/%d" % n)]
        oracle.theirs.send_headers(stream_id, head + extra, end_stream=not body)
        sent[stream_id] = (extra, body)
        if body:
            bodies[stream_id] = body
            if rnd.random() < 0.3:
                trailers[stream_id] = [(b"sum", b"%d" % len(body))]
    wanted_trailers = dict(trailers)
    for _ in range(3_000):
        oracle.exchange()
        if not bodies:
            break
        pump(oracle, bodies, trailers, rnd)
    assert not bodies
    got: dict[int, bytearray] = {}
    for event in oracle.our_events:
        if isinstance(event, ev.RequestReceived):
            assert sorted(event.headers) == sorted(sent[event.stream_id][0])
            got[event.stream_id] = bytearray()
        elif isinstance(event, ev.DataReceived):
            got[event.stream_id] += event.data
    assert {n: bytes(b) for n, b in got.items()} == {n: pair[1] for n, pair in sent.items()}
    assert {e.stream_id: e.headers for e in oracle.our_events if isinstance(e, ev.TrailersReceived)} == wanted_trailers
    answers: dict[int, bytes] = {}
    for stream_id in sent:
        answers[stream_id] = rnd.randbytes(rnd.choice((0, 5, 50_000)))
        if rnd.random() < 0.3:
            oracle.ours.send_informational(stream_id, 103, [(b"link", b"</a>")])
        if rnd.random() < 0.5:
            oracle.ours.send_response(stream_id, 200, [(b"k", b"v")], answers[stream_id])
        else:
            oracle.ours.send_headers(stream_id, 200, [(b"k", b"v")])
            oracle.ours.send_data(stream_id, answers[stream_id])
            oracle.ours.send_trailers(stream_id, [(b"t", b"%d" % stream_id)])
    oracle.their_events.clear()
    oracle.exchange()
    received: dict[int, bytearray] = {n: bytearray() for n in sent}
    for event in oracle.their_events:
        if isinstance(event, h2.events.DataReceived):
            received[event.stream_id] += event.data
        elif isinstance(event, h2.events.TrailersReceived):
            assert event.headers == [(b"t", b"%d" % event.stream_id)]
    assert {n: bytes(b) for n, b in received.items()} == answers
    assert len([e for e in oracle.their_events if isinstance(e, h2.events.StreamEnded)]) == len(sent)
    assert oracle.ours.open_streams == 0


@pytest.mark.parametrize("seed", range(40))
def test_our_client_against_h2_as_server(seed: int) -> None:
    """The reverse: our client's requests as h2 understands them, and h2's answers as we do."""
    rnd = random.Random(seed)
    ours = ClientConnection(Limits(initial_stream_window=rnd.choice((1_000, 65_535, 262_144))), now=0.0)
    oracle = Oracle(ours, hyper(False))
    oracle.exchange()
    sent: dict[int, tuple[list[Any], bytes]] = {}
    for n in range(12):
        body = rnd.randbytes(rnd.choice((0, 10, 30_000)))
        extra = rnd.sample(FIELDS, rnd.randrange(len(FIELDS)))
        stream_id = ours.send_request(b"PUT", b"https", b"a.example", b"/%d" % n, extra, end_stream=not body)
        if body:
            ours.send_data(stream_id, body, end_stream=True)
        sent[stream_id] = (extra, body)
    oracle.exchange()
    got: dict[int, bytearray] = {}
    for event in oracle.their_events:
        if isinstance(event, h2.events.RequestReceived):
            assert sorted(h for h in event.headers if not h[0].startswith(b":")) == sorted(sent[event.stream_id][0])
            got[event.stream_id] = bytearray()
        elif isinstance(event, h2.events.DataReceived):
            got[event.stream_id] += event.data
    assert {n: bytes(b) for n, b in got.items()} == {n: pair[1] for n, pair in sent.items()}
    bodies: dict[int, bytes] = {}
    trailers: dict[int, Any] = {}
    wanted: dict[int, bytes] = {}
    for stream_id in sent:
        wanted[stream_id] = rnd.randbytes(rnd.choice((0, 5, 80_000)))
        if rnd.random() < 0.3:
            oracle.theirs.send_headers(stream_id, [(b":status", b"103"), (b"link", b"</a>")])
        oracle.theirs.send_headers(stream_id, [(b":status", b"200"), (b"k", b"v")], end_stream=not wanted[stream_id])
        if wanted[stream_id]:
            bodies[stream_id] = wanted[stream_id]
            if rnd.random() < 0.3:
                trailers[stream_id] = [(b"t", b"v")]
    wanted_trailers = dict(trailers)
    for _ in range(3_000):
        oracle.exchange()
        if not bodies:
            break
        pump(oracle, bodies, trailers, rnd)
    oracle.exchange()
    received = {n: bytearray() for n in sent}
    for event in oracle.our_events:
        if isinstance(event, ev.DataReceived):
            received[event.stream_id] += event.data
        assert not isinstance(event, (ev.StreamReset, ev.PeerFault, ev.ConnectionEnded)), event
    assert {n: bytes(b) for n, b in received.items()} == wanted
    assert {e.stream_id: e.headers for e in oracle.our_events if isinstance(e, ev.TrailersReceived)} == wanted_trailers
    assert len([e for e in oracle.our_events if isinstance(e, ev.ResponseReceived)]) == len(sent)
    assert ours.open_streams == 0


def test_goaway_both_ways() -> None:
    """A drain of ours as h2 reads it, and h2's own GOAWAY as we do: running streams are not dropped."""
    ours = ServerConnection(now=0.0)
    oracle = Oracle(ours, hyper(True))
    oracle.exchange()
    oracle.theirs.send_headers(
        1, [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
    )
    oracle.theirs.end_stream(1)
    oracle.exchange()
    oracle.theirs.close_connection()
    oracle.exchange()
    assert [e.last_stream_id for e in oracle.our_events if isinstance(e, ev.GoAwayReceived)] == [0]
    assert ours.has_stream(1)
    ours.begin_drain(0.0, 30.0)
    first = ours.take_output()[:17]  # h2 itself takes nothing more after a GOAWAY
    reader = hyper(True)
    reader.receive_data(b"\0\0\0\x04\0\0\0\0\0")
    (ended,) = reader.receive_data(first)
    assert (ended.error_code, ended.last_stream_id) == (0, 2**31 - 1)
