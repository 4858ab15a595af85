"""parts/drain.py alone: the two phases of RFC 9113 §6.8."""

from __future__ import annotations

from headrace.engine.h2.parts.drain import Drain
from headrace.engine.limits import MAX_STREAM_ID


def test_two_phases_and_a_deadline() -> None:
    drain = Drain()
    assert drain.refuse_above == MAX_STREAM_ID
    assert drain.begin(10.0, 40.0) == 11.0, "the PING's round trip has a second"
    assert drain.awaits_ping()
    assert not drain.round_trip_is_over(10.9)
    assert drain.round_trip_is_over(11.0)
    drain.finish(7)
    assert (drain.has_begun, drain.awaits_ping(), drain.refuse_above, drain.ends_when_empty) == (True, False, 7, True)
    assert not drain.round_trip_is_over(1e9), "it ends once"
    assert drain.due() == 40.0
    assert [drain.expire(39.9), drain.ends_when_empty] == [False, True]
    assert [drain.expire(40.0), drain.ends_when_empty] == [True, False]


def test_a_deadline_before_the_round_trip_comes_first() -> None:
    assert Drain().begin(10.0, 10.5) == 10.5


def test_a_goaway_of_the_peers_is_no_drain_of_ours() -> None:
    drain = Drain()
    assert drain.receive_goaway() and drain.goaway_received
    assert not drain.receive_goaway(), "a second one is odd"
    assert not drain.has_begun and not drain.ends_when_empty
    drain.end_when_empty()
    assert drain.ends_when_empty
