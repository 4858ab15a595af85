"""The pool's policy, read from tables: the connection of a request, the queue, and the connections that are opened."""

from __future__ import annotations

import pytest

from headrace.client.connect.config import NetworkConfig
from headrace.client.interface import Origin
from headrace.client.pool.place import REQUEST, Ticket
from headrace.client.pool.policy import Policy, Pool

from tests.client.support.pool_model import PLAIN, A, B, C, FakeMember, Rig


def test_a_cold_burst_shares_one_handshake() -> None:
    rig = Rig()
    rig.ask(count=20)
    assert [step.protocols for step in rig.opening] == ["any"]
    member = rig.succeed(FakeMember("2"))
    assert len(member.live) == 20 and not rig.opening and not rig.pool.waiting


@pytest.mark.parametrize(
    ("origin", "policy", "opened", "protocols"),
    [
        (A, {}, 1, "any"),  # ALPN decides
        (PLAIN, {}, 20, "any"),  # cleartext is HTTP/1.1
        (PLAIN, {"http1": False}, 1, "h2"),  # prior knowledge
        (A, {"http1": False}, 1, "h2"),
        (A, {"http2": False}, 20, "http/1.1"),
        (A, {"http2": False, "max_h1_connections_per_origin": 6}, 6, "http/1.1"),
        (A, {"http2": False, "max_connections": 4}, 4, "http/1.1"),
    ],
)
def test_how_many_connections_a_cold_burst_opens(
    origin: Origin, policy: dict[str, object], opened: int, protocols: str
) -> None:
    rig = Rig(**policy)
    rig.ask(origin, count=30)
    assert len(rig.opening) == opened
    assert {step.protocols for step in rig.opening} == {protocols}


def test_when_alpn_says_http_1_the_rest_opens_further_connections_and_the_origin_is_remembered() -> None:
    rig = Rig(max_h1_connections_per_origin=6)
    rig.ask(count=20)
    assert len(rig.opening) == 1
    first = rig.succeed(FakeMember("1.1"))
    assert len(first.live) == 1 and len(rig.opening) == 5
    rest = [rig.succeed(FakeMember("1.1")) for _ in range(5)]
    assert not rig.opening and rig.pool.waiting == 14
    for member in [first, *rest]:
        while member.live:
            rig.end(member)
    assert rig.pool.waiting == 0 and [ticket.serial for ticket, _ in rig.began] == list(range(1, 21))
    for member in [first, *rest]:
        rig.lose(member)
    assert not rig.pool.places
    rig.ask(count=3)
    assert len(rig.opening) == 3, "it is known by now what the origin speaks"


def test_the_queue_is_first_come_first_served_and_replays_go_in_front() -> None:
    rig = Rig(max_h2_connections_per_origin=1)
    rig.ask()
    member = rig.succeed(FakeMember(capacity=1))
    later = rig.ask(count=3)
    again = rig.ask(count=2, again=True)
    for _ in range(6):
        rig.end(member)
    assert [ticket for ticket, _ in rig.began[1:]] == [*again, *later]


@pytest.mark.parametrize(("allowed", "opened"), [(1, 0), (2, 1), (3, 1)])
def test_a_second_connection_when_the_peers_limit_is_reached_and_somebody_waits(allowed: int, opened: int) -> None:
    rig = Rig(max_h2_connections_per_origin=allowed)
    rig.ask(count=2)
    rig.succeed(FakeMember(capacity=2))
    assert not rig.opening, "nobody waits"
    rig.ask(count=5)
    assert len(rig.opening) == opened, "one at a time: it may have room for all"


def test_requests_go_to_the_oldest_connection_with_room_so_that_the_others_become_idle() -> None:
    rig = Rig()
    rig.ask(count=3)
    first = rig.succeed(FakeMember(capacity=2))
    second = rig.succeed(FakeMember(capacity=2))
    assert len(second.live) == 1
    rig.end(first)
    rig.ask()
    assert len(first.live) == 2 and len(second.live) == 1


def test_a_raised_limit_serves_those_who_wait() -> None:
    rig = Rig(max_h2_connections_per_origin=1)
    rig.ask(count=5)
    member = rig.succeed(FakeMember(capacity=2))
    assert rig.pool.waiting == 3
    member.capacity = 100
    rig.serve(rig.pool.place(A))
    assert rig.pool.waiting == 0


def test_a_connection_that_goes_away_takes_nothing_new_and_another_is_made() -> None:
    rig = Rig(max_h2_connections_per_origin=1)
    rig.ask(count=3)
    old = rig.succeed(FakeMember(capacity=2))
    rig.go_away(old)
    assert len(rig.opening) == 1 and len(old.live) == 2
    new = rig.succeed(FakeMember())
    assert len(new.live) == 1 and len(old.live) == 2
    assert rig.pool.open == 2
    rig.lose(old)
    assert rig.pool.open == 1


def test_a_failed_connection_fails_those_who_wait_and_others_try_again() -> None:
    rig = Rig()
    waiting = rig.ask(count=3)
    assert rig.fail() == waiting and not rig.pool.waiting
    rig.ask()
    assert len(rig.opening) == 1


def test_a_failed_second_connection_fails_nobody_and_is_not_tried_again_at_once() -> None:
    rig = Rig()
    rig.ask(count=3)
    member = rig.succeed(FakeMember(capacity=1))
    assert rig.fail() == [] and not rig.opening and rig.pool.waiting == 2
    rig.end(member)
    assert not rig.opening and rig.pool.waiting == 1
    rig.ask()
    assert len(rig.opening) == 1, "somebody else came"


def test_when_the_last_connection_goes_after_a_failed_one_a_new_one_is_made() -> None:
    rig = Rig()
    rig.ask(count=2)
    member = rig.succeed(FakeMember(capacity=1))
    rig.fail()
    rig.lose(member)
    assert len(rig.opening) == 1


def test_of_several_connections_under_way_the_last_failure_is_everybodys() -> None:
    rig = Rig(max_h1_connections_per_origin=3)
    waiting = rig.ask(PLAIN, count=5)
    assert rig.fail() == [] and rig.fail() == [] and len(rig.opening) == 1
    assert rig.fail() == waiting and not rig.opening


def test_idle_connections_of_others_make_room_the_one_that_is_idle_for_longest_first() -> None:
    rig = Rig(max_connections=2)
    rig.ask(A)
    a = rig.succeed(FakeMember())
    rig.ask(B)
    b = rig.succeed(FakeMember())
    rig.ask(C)
    assert not rig.opening, "both are busy"
    b.idle_since = 1.0
    rig.end(b)
    assert rig.closed == [b] and len(rig.opening) == 1
    rig.succeed(FakeMember())
    assert rig.pool.open == 2
    a.idle_since = 5.0
    rig.end(a)
    rig.ask(B)
    assert rig.closed == [b, a] and rig.pool.open == 2


def test_who_needs_a_connection_gets_it_in_order_when_one_is_lost() -> None:
    rig = Rig(max_connections=1)
    rig.ask(A)
    a = rig.succeed(FakeMember())
    rig.ask(B)
    rig.ask(C)
    assert [place.origin for place in rig.pool.starved] == [B, C]
    rig.lose(a)
    assert [step.place.origin for step in rig.opening] == [B]
    rig.fail()
    assert [step.place.origin for step in rig.opening] == [C]


def test_a_busy_origin_does_not_keep_the_connection_that_another_one_waits_for() -> None:
    rig = Rig(max_connections=1)
    rig.ask(PLAIN)
    member = rig.succeed(FakeMember("1.1"))
    rig.ask(PLAIN)
    rig.ask(B)
    rig.ask(PLAIN)
    rig.end(member)
    assert len(member.live) == 1, "its own came first"
    rig.end(member)
    assert rig.closed == [member] and [step.place.origin for step in rig.opening] == [B]
    other = rig.succeed(FakeMember("1.1"))
    rig.end(other)
    assert rig.closed == [member, other] and [step.place.origin for step in rig.opening] == [PLAIN]


def test_a_waiter_that_leaves_makes_nothing_go_wrong_for_those_behind() -> None:
    rig = Rig(max_h2_connections_per_origin=1)
    rig.ask()
    member = rig.succeed(FakeMember(capacity=1))
    first, second = rig.ask(count=2)
    assert rig.pool.remove(first) and not rig.pool.remove(first)
    rig.end(member)
    assert rig.began[-1] == (second, member)
    assert not rig.pool.remove(second), "it does not wait any more"


def test_a_connection_is_used_for_another_origin() -> None:
    rig = Rig()
    rig.ask(A)
    member = rig.succeed(FakeMember(capacity=2))
    rig.ask(B)
    step = rig.opening.pop()
    rig.pool.shared(step, member)
    rig.serve(step.place)
    assert len(member.live) == 2 and rig.pool.open == 1
    rig.ask(B)
    assert len(rig.opening) == 1, "full for both"
    rig.pool.failed(rig.opening.pop())
    rig.end(member)
    rig.end(member)
    rig.pool.unshare(rig.pool.place(B), member)
    rig.ask(B)
    assert [step.place.origin for step in rig.opening] == [B]
    rig.lose(member)
    assert not rig.pool.homes


# -- limits, and against loops


def test_the_queue_is_full_when_as_many_wait_as_the_configuration_allows() -> None:
    pool = Pool(Policy.of(NetworkConfig(max_waiting=2, max_connections=1, http2=False)))
    place = pool.place(A)
    full = [pool.is_full]
    for _ in range(2):
        pool.enqueue(Ticket(place, REQUEST, pool.next_serial()))
        full.append(pool.is_full)
    assert full == [False, False, True] and pool.protocols == "http/1.1"


def test_connections_that_end_before_anything_can_begin_are_not_made_for_ever() -> None:
    rig = Rig()
    waiting = rig.ask(count=2)
    for _ in range(3):
        member = rig.succeed(FakeMember(capacity=0))
        rig.opening.clear()
        place = rig.pool.place(A)
        place.attempts = 0
        rig.pool.record_end(place, False)
        rig.lose(member)
    assert rig.refused == waiting


def test_only_connections_in_a_row_count() -> None:
    """One on which a request had begun ends the row, whoever had begun it."""
    rig = Rig()
    rig.ask(count=2)
    place = rig.pool.place(A)
    for has_begun in [False, False, True, False, False]:
        rig.pool.record_end(place, has_begun)
    rig.lose(rig.succeed(FakeMember(capacity=0)))
    assert not rig.refused


def test_connections_that_end_while_nobody_waits_count_for_nothing() -> None:
    rig = Rig()
    for _ in range(10):
        rig.ask()
        place = rig.pool.place(A)
        member = rig.succeed(FakeMember())
        rig.pool.record_end(place, False)
        rig.lose(member)
    assert not rig.refused and len(rig.began) == 10


def test_what_origins_speak_is_remembered_of_a_bounded_number() -> None:
    rig = Rig()
    for number in range(3_000):
        origin = Origin("https", f"{number}.example", 443)
        rig.ask(origin)
        member = rig.succeed(FakeMember("1.1"))
        rig.lose(member)
    assert not rig.pool.places and len(rig.pool._known) <= 1_024
