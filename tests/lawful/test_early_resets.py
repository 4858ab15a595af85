"""What a reset costs: nothing once its stream has held its place, and what answers have earned before.

SECURITY.md, budgets; ADR 0027. The peers that these rules are for stand in test_hours.py.
"""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.budget import Budget
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import ServerRig


def rounds(rig: ServerRig, held_s: float, *, streams: int = 100, times: int = 40, fields: wire.Fields = ()) -> int:
    """Open `streams` requests, hold them, reset them, and so on; returns how many requests were begun."""
    stream_id = 1
    for _ in range(times):
        if rig.conn.closed:
            break
        ids = range(stream_id, stream_id + 2 * streams, 2)
        stream_id += 2 * streams
        rig.feed(*[wire.request(each, extra=fields) for each in ids])
        rig.advance(held_s)
        rig.feed(*[wire.rst_stream(each, wire.CANCEL) for each in ids])
        rig.take()
    begun = len(rig.of(ev.RequestReceived))
    rig.events.clear()
    return begun


@pytest.mark.parametrize(
    ("timeout", "held_s"), [(b"200m", 0.2), (b"200m", 0.19), (b"20m", 0.02), (b"1S", 1.0), (b"", 0.03)]
)
def test_a_deadline_that_has_passed_is_no_abuse(timeout: bytes, held_s: float) -> None:
    """4,000 calls that all run into their deadline, named or not, and a call that has nothing to do with them."""
    rig = ServerRig()
    rig.request(1, path=b"/unrelated")
    stream_id = 3
    for _ in range(50):
        ids = range(stream_id, stream_id + 160, 2)
        stream_id += 160
        rig.feed(*[wire.request(each, extra=[(b"grpc-timeout", timeout)] if timeout else []) for each in ids])
        rig.advance(held_s)
        rig.feed(*[wire.rst_stream(each, wire.CANCEL) for each in ids])
        rig.take()
    assert rig.goaway_code() is None and rig.conn.has_stream(1)
    assert len(rig.of(ev.RequestReceived)) == 4_001


@pytest.mark.parametrize("timeout", [b"1n", b"0S", b"1m", b"10H", b"", b"x", b"123456789S", b"1s"])
def test_a_deadline_buys_no_rapid_reset(timeout: bytes) -> None:
    """A deadline that has passed at once, one that is far off, and what is none: none of them excuses anything."""
    rig = ServerRig()
    fields = [(b"grpc-timeout", timeout)]
    assert rounds(rig, 0.0, fields=fields) <= 400
    assert rig.goaway_code() == wire.ENHANCE_YOUR_CALM
    held = rounds(ServerRig(), 0.005, fields=fields)
    assert held <= 400, "a place that is held for five milliseconds is not held"


def test_ten_milliseconds_are_a_place_held() -> None:
    """Who holds places for 10 ms begins as many handlers as who has answers in that time, and no more."""
    rig = ServerRig()
    assert rounds(rig, 0.0101) == 4_000
    assert rig.now == pytest.approx(0.404)


def test_answers_earn_resets() -> None:
    """A connection that has 1,000 requests answered may take 2,000 back at once beyond the burst; a fresh one not."""
    rig = ServerRig()
    for n in range(1_000):
        rig.request(1 + 2 * n)
        rig.respond(1 + 2 * n, b"x")
    rig.take()
    stream_id, taken_back = 2_001, 0
    while not rig.conn.closed and taken_back < 10_000:
        rig.feed(wire.request(stream_id), wire.rst_stream(stream_id, wire.CANCEL))
        stream_id += 2
        taken_back += 1
    assert taken_back == 300 + 2_000 + 1
    fresh = ServerRig()
    assert rounds(fresh, 0.0, streams=1, times=10_000) == 301


def test_what_is_earned_has_an_end() -> None:
    """A connection that was good for hours cannot save up for an attack: ten bursts are the most."""
    budget = Budget("early_resets", 300, 0.0, 0.0, 2.0)
    budget.earn(1_000_000)
    assert budget.spend(3_300, 0.0) and not budget.spend(1, 0.0)


@pytest.mark.parametrize("how", ["reset by the client", "reset by us", "431"])
def test_only_answers_earn(how: str) -> None:
    """Requests that ended without a whole response of the application earn nothing."""
    rig = ServerRig(Limits(early_reset_burst=1_000, early_reset_rate=0.0, odd_frame_burst=100_000, max_fields=8))
    for n in range(500):
        stream_id = 1 + 2 * n
        if how == "431":
            rig.request(stream_id, extra=[(b"x", b"y")] * 20)
        else:
            rig.request(stream_id)
        if how == "reset by the client":
            rig.feed(wire.rst_stream(stream_id, wire.CANCEL))
        elif how == "reset by us":
            rig.conn.reset_stream(stream_id, wire.INTERNAL_ERROR)
        rig.take()
    spent = 500 if how == "reset by the client" else 0
    stream_id, taken_back = 2_001, 0
    while not rig.conn.closed and taken_back < 3_000:
        rig.feed(wire.request(stream_id), wire.rst_stream(stream_id, wire.CANCEL))
        stream_id += 2
        taken_back += 1
    assert taken_back == 1_000 - spent + 1


def test_a_response_that_came_early_is_an_answer() -> None:
    """A final response before the request's end counts, though a reset follows it (RFC 9113 §8.1)."""
    rig = ServerRig(Limits(early_reset_burst=1, early_reset_rate=0.0))
    for n in range(5):
        rig.request(1 + 2 * n, method=b"POST", end_stream=False)
        rig.respond(1 + 2 * n, b"x")
    rig.take()
    taken_back = 0
    while not rig.conn.closed:
        stream_id = 101 + 2 * taken_back
        rig.feed(wire.request(stream_id), wire.rst_stream(stream_id, wire.CANCEL))
        taken_back += 1
    assert taken_back == 1 + 10 + 1


def test_faults_of_some_do_not_end_the_connection_of_many() -> None:
    """Through a proxy come the malformed requests of a few and the good ones of all others: answers earn for those."""
    rig = ServerRig()
    bad = wire.literals(wire.request_fields(extra=[(b"connection", b"close")]))
    stream_id = 1
    for _ in range(60):
        for n in range(1_000):
            if n % 20 == 0:
                rig.feed(wire.headers(stream_id, bad, end_stream=True))
            else:
                rig.request(stream_id)
                rig.respond(stream_id, b"")
            stream_id += 2
        rig.take()
        rig.events.clear()
        rig.sent.clear()
        rig.fields.clear()
        rig.advance(1)
    assert not rig.conn.closed
