"""A client and a server engine joined in memory lose no byte, whatever the sizes, windows and interleavings."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import events as ev
from headrace.engine.limits import Limits
from headrace.testing import JoinedPair

from tests.properties.profile import tries


class Side:
    """One end's application: sends what it has when it may, and collects what comes."""

    def __init__(self, conn: Any) -> None:
        self.conn = conn
        self.outbox: dict[int, bytes] = {}
        self.trailers: dict[int, list[tuple[bytes, bytes]]] = {}
        self.blocked: set[int] = set()
        self.got: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.got_trailers: dict[int, Any] = {}
        self.resets: list[Any] = []

    def push(self, stream_id: int, size: int) -> None:
        """Send the next piece of a stream's outbox; its end goes with the last piece, or as trailers."""
        if stream_id in self.blocked or stream_id not in self.outbox:
            return
        rest = self.outbox[stream_id]
        piece, rest = rest[:size], rest[size:]
        last = not rest
        trailers = self.trailers.get(stream_id)
        accepted = self.conn.send_data(stream_id, piece, end_stream=last and trailers is None)
        if last:
            del self.outbox[stream_id]
            if trailers is not None:
                self.conn.send_trailers(stream_id, trailers)
        else:
            self.outbox[stream_id] = rest
            if not accepted:
                self.blocked.add(stream_id)

    def take(self, events: list[Any], rnd: random.Random) -> list[Any]:
        """Collect events; bytes are acknowledged in a random number of steps."""
        started = []
        for event in events:
            if isinstance(event, (ev.RequestReceived, ev.ResponseReceived)):
                started.append(event)
                self.got.setdefault(event.stream_id, bytearray())
                if event.end_stream:
                    self.ended.add(event.stream_id)
            elif isinstance(event, ev.DataReceived):
                self.got[event.stream_id] += event.data
                half = rnd.randrange(event.flow_length + 1)
                self.conn.acknowledge_data(event.stream_id, half)
                self.conn.acknowledge_data(event.stream_id, event.flow_length - half)
                if event.end_stream:
                    self.ended.add(event.stream_id)
            elif isinstance(event, ev.TrailersReceived):
                self.got_trailers[event.stream_id] = event.headers
                self.ended.add(event.stream_id)
            elif isinstance(event, ev.SendAccepted):
                self.blocked.discard(event.stream_id)
            elif isinstance(event, (ev.StreamReset, ev.PeerFault, ev.ConnectionEnded)):
                self.resets.append(event)
        return started


@given(seed=st.integers(0, 2**32))
@tries(120)
def test_no_byte_is_lost(seed: int) -> None:
    """Uploads and downloads of random sizes, both at once, with trailers, over random windows and frame sizes."""
    rnd = random.Random(seed)
    windows = (1_000, 20_000, 65_535, 262_144)
    limits = [
        Limits(
            initial_stream_window=rnd.choice(windows),
            initial_connection_window=rnd.choice((65_535, 300_000)),
            max_frame_size=rnd.choice((16_384, 100_000)),
            max_stream_send_buffer=rnd.choice((1, 5_000, 65_536)),
            max_unread=rnd.choice((1, 1_000_000)),
            header_table_size=rnd.choice((0, 200, 4_096)),
            odd_frame_burst=1_000_000,
        )
        for _ in range(2)
    ]
    pair = JoinedPair(limits[0], limits[1])
    pair.exchange()
    client, server = Side(pair.client), Side(pair.server)
    requests = {}
    answers: dict[int, bytes] = {}
    for n in range(rnd.randrange(1, 12)):
        body = rnd.randbytes(rnd.choice((0, 1, 5_000, 100_000)))
        headers = [(b"n", b"%d" % n), (b"x-%d" % rnd.randrange(3), rnd.randbytes(5).hex().encode())]
        stream_id = pair.client.send_request(b"POST", b"https", b"a.example", b"/", headers, end_stream=not body)
        requests[stream_id] = (body, headers)
        if body:
            client.outbox[stream_id] = body
        if rnd.random() < 0.3 and body:
            client.trailers[stream_id] = [(b"sum", b"%d" % len(body))]
    for _ in range(5_000):
        for side in (client, server):
            for stream_id in list(side.outbox):
                if rnd.random() < 0.7:
                    side.push(stream_id, rnd.choice((1_000, 7_000, 50_000)))
        pair.exchange()
        client.take(pair.take_client_events(), rnd)
        for request in server.take(pair.take_server_events(), rnd):
            assert request.headers == requests[request.stream_id][1]
        for stream_id in server.ended - set(answers):  # answer when the upload is whole
            body = rnd.randbytes(rnd.choice((0, 1, 5_000, 100_000)))
            answers[stream_id] = body
            if not body or rnd.random() < 0.3:
                pair.server.send_response(stream_id, 200, [(b"len", b"%d" % len(body))], body)
            else:
                pair.server.send_headers(stream_id, 200, [(b"len", b"%d" % len(body))])
                server.outbox[stream_id] = body
                if rnd.random() < 0.3:
                    server.trailers[stream_id] = [(b"sum", b"%d" % len(body))]
        if len(client.ended) == len(requests):
            break
    assert client.resets == [] and server.resets == []
    for stream_id, (body, _) in requests.items():
        assert bytes(server.got[stream_id]) == body
        assert bytes(client.got[stream_id]) == answers[stream_id]
    assert server.got_trailers == client.trailers
    assert client.got_trailers == server.trailers
    assert pair.client.open_streams == pair.server.open_streams == 0


@given(seed=st.integers(0, 2**32))
@tries(80)
def test_resets_on_both_sides_disturb_nobody_else(seed: int) -> None:
    """Streams that either side resets at a random moment; all others arrive whole."""
    rnd = random.Random(seed)
    pair = JoinedPair(None, Limits(early_reset_burst=1000, provoked_reset_burst=1000))
    pair.exchange()
    client, server = Side(pair.client), Side(pair.server)
    doomed: set[int] = set()
    wanted = {}
    for n in range(20):
        stream_id = pair.client.send_request(b"GET", b"https", b"a", b"/%d" % n, [(b"k", b"%d" % n)], end_stream=True)
        wanted[stream_id] = rnd.randbytes(rnd.choice((10, 40_000)))
    for _ in range(2000):
        for stream_id in list(server.outbox):
            server.push(stream_id, 9_000)
        if rnd.random() < 0.3:
            victim = rnd.choice(list(wanted))
            conn = rnd.choice((pair.client, pair.server))
            if victim not in client.ended and conn.has_stream(victim):
                conn.reset_stream(victim, rnd.choice((2, 8)))
                doomed.add(victim)
                server.outbox.pop(victim, None)
                client.outbox.pop(victim, None)
        pair.exchange()
        client.take(pair.take_client_events(), rnd)
        for request in server.take(pair.take_server_events(), rnd):
            if pair.server.has_stream(request.stream_id):
                pair.server.send_headers(request.stream_id, 200, [(b"k", b"v%d" % request.stream_id)])
                server.outbox[request.stream_id] = wanted[request.stream_id]
        for gone in [n for n in server.outbox if not pair.server.has_stream(n)]:
            del server.outbox[gone]
            doomed.add(gone)
        if client.ended | doomed == set(wanted):
            break
    for stream_id in client.ended - doomed:
        assert bytes(client.got[stream_id]) == wanted[stream_id]
    assert not pair.client.closed and not pair.server.closed
    assert pair.client.open_streams == pair.server.open_streams == 0
