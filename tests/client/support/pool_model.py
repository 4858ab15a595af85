"""Connections without a network, and a short way to put requests into a pool's queues."""

from __future__ import annotations

from typing import Any

from headrace.client.interface import Origin
from headrace.client.pool.place import REQUEST, OriginPlace, Ticket
from headrace.client.pool.policy import Close, Open, Policy, Pool, Refuse, Start

A = Origin("https", "a.example", 443)
B = Origin("https", "b.example", 443)
C = Origin("https", "c.example", 443)
PLAIN = Origin("http", "a.example", 80)


class FakeMember:
    """A connection as the pool sees it."""

    def __init__(self, http_version: str = "2", capacity: int = 100, takes_websockets: bool | None = True) -> None:
        self.http_version = http_version
        self.capacity = capacity if http_version == "2" else 1
        self.takes_websockets = takes_websockets if http_version == "2" else True
        self.live: dict[int, Ticket] = {}
        self.idle_since = 0.0
        self.is_usable = True

    @property
    def has_room(self) -> bool:
        return self.is_usable and len(self.live) < self.capacity


class Rig:
    """A pool and the results of its steps."""

    def __init__(self, **policy: Any) -> None:
        self.pool = Pool(Policy(**policy))
        self.opening: list[Open] = []
        self.closed: list[FakeMember] = []
        self.refused: list[Ticket] = []
        self.began: list[tuple[Ticket, FakeMember]] = []

    def ask(self, origin: Origin = A, kind: int = REQUEST, count: int = 1, *, again: bool = False) -> list[Ticket]:
        """Put requests into the queue, and serve it."""
        place = self.pool.place(origin)
        tickets = [Ticket(place, kind, self.pool.next_serial(again=again)) for _ in range(count)]
        for ticket in tickets:
            self.pool.enqueue(ticket)
            self.serve(place)
        return tickets

    def serve(self, place: OriginPlace) -> None:
        """Carry out the pool's steps until there are no more."""
        for _ in range(10_000):
            step = self.pool.next_step(place)
            if step is None:
                if self.pool.may_make_room:
                    self.serve_many([], starved=True)
                return
            if isinstance(step, Start):
                member: Any = step.member
                assert member.has_room
                member.live[step.ticket.serial] = step.ticket
                self.began.append((step.ticket, member))
            elif isinstance(step, Open):
                self.opening.append(step)
            elif isinstance(step, Close):
                closed: Any = step.member
                assert not closed.live
                self.closed.append(closed)
            elif isinstance(step, Refuse):
                self.refused.append(step.ticket)
        raise AssertionError("the pool never comes to an end")

    def succeed(self, member: FakeMember, at: int = 0) -> FakeMember:
        """Report that a connection is made."""
        step = self.opening.pop(at)
        self.pool.opened(step, member)
        self.serve(step.place)
        return member

    def fail(self, at: int = 0) -> list[Ticket]:
        """Report that a connection cannot be made."""
        step = self.opening.pop(at)
        losers = self.pool.failed(step)
        self.serve(step.place)
        self.serve_many([], starved=True)
        return losers

    def end(self, member: FakeMember, serial: int | None = None) -> None:
        """End a request on `member`, the oldest by default."""
        member.live.pop(next(iter(member.live)) if serial is None else serial)
        self.serve_many(self.pool.homes.get(member, []), starved=not member.live)

    def give_up(self, ticket: Ticket) -> bool:
        """Take all waiting requests out of the queue."""
        found = self.pool.remove(ticket)
        self.serve(ticket.place)
        return found

    def go_away(self, member: FakeMember) -> None:
        """Report that it takes no new request."""
        member.is_usable = False
        places = list(self.pool.homes.get(member, ()))
        self.pool.unusable(member)
        self.serve_many(places, starved=False)

    def lose(self, member: FakeMember) -> None:
        """Report that it is lost, with the requests on it."""
        member.is_usable = False
        member.live.clear()
        self.serve_many(self.pool.lost(member), starved=True)

    def serve_many(self, places: list[OriginPlace], *, starved: bool) -> None:
        for place in self.pool.in_order(places, starved=starved):
            self.serve(place)
