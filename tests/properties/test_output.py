"""Two ways out of the engine, one byte stream: `take_buffers` joined is what `take_output` returns, call by call."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.h2 import ServerConnection
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.support import wire


def build(seed: int) -> tuple[Any, random.Random]:
    """A connection with answers of all sizes under way, and the random numbers that drive it."""
    rnd = random.Random(seed)
    conn = ServerConnection(Limits(), now=0.0)
    conn.receive_data(wire.client_preface({wire.INITIAL_WINDOW_SIZE: rnd.choice((100, 65_535, 500_000))}), 0.0)
    conn.receive_data(wire.settings_ack(), 0.0)
    for n in range(rnd.randrange(1, 8)):
        extra = [(b"priority", rnd.choice((b"u=1", b"u=5, i", b"i")))] if rnd.random() < 0.5 else []
        conn.receive_data(wire.request(1 + 2 * n, extra=extra), 0.0)
        if rnd.random() < 0.5:
            conn.send_response(1 + 2 * n, 200, [(b"n", b"%d" % n)], rnd.randbytes(rnd.choice((0, 10, 100_000))))
        else:
            conn.send_headers(1 + 2 * n, 200, [])
            for _ in range(rnd.randrange(6)):
                conn.send_data(1 + 2 * n, rnd.randbytes(rnd.choice((1, 700, 40_000))))
            if rnd.random() < 0.5:
                conn.send_trailers(1 + 2 * n, [(b"t", b"v")])
    return conn, rnd


@given(seed=st.integers(0, 2**32))
@tries(150)
def test_both_ways_out_write_the_same(seed: int) -> None:
    """Random answers, windows and limits: each call gives the same bytes either way, and the same events."""
    plain, rnd = build(seed)
    vectored, _ = build(seed)
    for turn in range(12):
        limit = rnd.choice((1_000, 20_000, 262_144))
        expected = plain.take_output(limit, float(turn))
        pieces = vectored.take_buffers(limit, float(turn))
        assert b"".join(pieces) == expected
        assert all(len(piece) for piece in pieces), "an empty buffer"
        assert [repr(e) for e in plain.take_events()] == [repr(e) for e in vectored.take_events()]
        assert plain.needs_attention == vectored.needs_attention
        assert plain.needs_attention == (plain.output_pending or plain.closed or plain.read_paused)
        data = rnd.choice((b"", wire.ping(), wire.window_update(rnd.choice((0, 1, 3)), rnd.choice((300, 50_000)))))
        for conn in (plain, vectored):
            conn.receive_data(data, float(turn))


def test_buffers_survive_what_happens_after() -> None:
    """A transport may hold on to buffers: a later reset, or the end of the connection, does not change them."""
    conn = ServerConnection(Limits(), now=0.0)
    conn.receive_data(wire.client_preface({wire.INITIAL_WINDOW_SIZE: 500_000}) + wire.settings_ack(), 0.0)
    conn.receive_data(wire.window_update(0, 500_000) + wire.request(1) + wire.request(3), 0.0)
    conn.send_response(1, 200, [], b"a" * 300_000)
    conn.send_response(3, 200, [], b"b" * 300_000)
    pieces = conn.take_buffers(200_000, 0.0)
    before = b"".join(pieces)
    conn.receive_data(wire.rst_stream(1) + wire.data(0, b"x"), 0.0)
    conn.take_buffers(200_000, 0.0)
    assert b"".join(pieces) == before
