"""The pool under any events, in any order: its invariants hold at every moment."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from headrace.client.interface import Origin
from headrace.client.pool.place import REQUEST, WEBSOCKET

from tests.client.support.pool_model import PLAIN, A, B, FakeMember, Rig

ORIGINS = st.sampled_from([A, B, PLAIN])


class PoolMachine(RuleBasedStateMachine):
    """Requests come, are given up and end; connections are made, fail, drain, are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(max_connections=4, max_h1_connections_per_origin=2, max_h2_connections_per_origin=2)
        self.members: list[FakeMember] = []
        self.asked = 0
        self.gone = 0

    @rule(origin=ORIGINS, kind=st.sampled_from([REQUEST, REQUEST, REQUEST, WEBSOCKET]), again=st.booleans())
    def ask(self, origin: Origin, kind: int, again: bool) -> None:
        self.rig.ask(origin, kind, again=again)
        self.asked += 1

    @rule(
        at=st.integers(0, 100),
        version=st.sampled_from(["2", "1.1"]),
        capacity=st.integers(0, 3),
        takes=st.sampled_from([True, False, None]),
    )
    def succeed(self, at: int, version: str, capacity: int, takes: bool | None) -> None:
        if self.rig.opening:
            at %= len(self.rig.opening)
            step = self.rig.opening[at]
            if step.protocols == "http/1.1" or step.place.origin.scheme == "http":
                version = "1.1"
            self.members.append(self.rig.succeed(FakeMember(version, capacity, takes), at))

    @rule(at=st.integers(0, 100))
    def fail(self, at: int) -> None:
        if self.rig.opening:
            self.gone += len(self.rig.fail(at % len(self.rig.opening)))

    @rule(at=st.integers(0, 100))
    def end(self, at: int) -> None:
        busy = [each for each in self.members if each.live]
        if busy:
            member = busy[at % len(busy)]
            member.idle_since = float(self.asked)
            self.rig.end(member)

    @rule(at=st.integers(0, 100), capacity=st.integers(0, 4), takes=st.booleans())
    def settings_come(self, at: int, capacity: int, takes: bool) -> None:
        multiplexed = [each for each in self.members if each.http_version == "2" and each in self.rig.pool.homes]
        if multiplexed:
            member = multiplexed[at % len(multiplexed)]
            member.capacity = capacity
            member.takes_websockets = takes
            for place in list(self.rig.pool.homes[member]):
                self.rig.serve(place)

    @rule(at=st.integers(0, 100))
    def go_away(self, at: int) -> None:
        usable = [each for each in self.members if each.is_usable]
        if usable:
            self.rig.go_away(usable[at % len(usable)])

    @rule(at=st.integers(0, 100))
    def lose(self, at: int) -> None:
        if self.members:
            self.rig.lose(self.members.pop(at % len(self.members)))

    @rule(at=st.integers(0, 100))
    def give_up(self, at: int) -> None:
        places = [each for each in self.rig.pool.places.values() if each.is_waited_for]
        if places:
            place = places[at % len(places)]
            queue = place.requests or place.tunnels
            self.gone += self.rig.give_up(queue[at % len(queue)])

    @invariant()
    def nobody_is_forgotten(self) -> None:
        pool = self.rig.pool
        waiting = sum(len(each.requests) + len(each.tunnels) for each in pool.places.values())
        assert pool.waiting == waiting
        assert self.asked == waiting + self.gone + len(self.rig.began) + len(self.rig.refused)

    @invariant()
    def limits_hold(self) -> None:
        pool = self.rig.pool
        assert pool.open <= 4
        assert pool.under_way == len(self.rig.opening)
        for place in pool.places.values():
            assert place.attempts >= 0 and place.spare_attempts >= 0
            assert (
                sum(each.http_version != "2" for each in place.members)
                + (place.attempts if place.speaks == "1.1" else 0)
                <= 4
            )

    @invariant()
    def who_waits_has_a_reason(self) -> None:
        """No lost wake-up: a request waits only while nothing has room, and an attempt is under way or a limit
        holds."""
        pool = self.rig.pool
        for place in pool.places.values():
            if place.requests:
                assert not any(each.has_room for each in place.members)
                assert place.attempts or place.members or place in pool.starved
            if place.tunnels:
                assert not any(each.has_room and each.takes_websockets for each in [*place.members, *place.spare])
                assert place.attempts or place.spare_attempts or place.members or place in pool.starved, (
                    "nothing will ever come"
                )

    @invariant()
    def who_needs_a_connection_has_no_idle_one_to_replace(self) -> None:
        pool = self.rig.pool
        if pool.starved and pool.open >= 4:
            waited_for = {place for place in pool.places.values() if place.is_waited_for}
            for member, homes in pool.homes.items():
                assert member.live or not member.is_usable or (waited_for & set(homes) and not member.has_room)

    @invariant()
    def queues_are_in_order(self) -> None:
        for place in self.rig.pool.places.values():
            for queue in (place.requests, place.tunnels):
                serials = [each.serial for each in queue]
                assert serials == sorted(serials)

    @invariant()
    def nothing_is_kept_of_empty_places(self) -> None:
        for place in self.rig.pool.places.values():
            assert not place.is_empty

    @invariant()
    def only_usable_connections_are_offered(self) -> None:
        pool = self.rig.pool
        for place in pool.places.values():
            for member in [*place.members, *place.spare]:
                assert member.is_usable and place in pool.homes[member]


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
