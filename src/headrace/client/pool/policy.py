"""The pool's policy, without I/O: it chooses connections for requests, lets requests wait, opens and closes
connections.

The owner reports events to the pool (`enqueue`, `opened`, `failed`, `unusable`, `lost` ...) and asks for the next step:
`next_step` returns one at a time, until there is nothing to do. The owner carries the steps out. So each decision can
be read from a table, and a test needs neither a socket nor a clock.

Each origin has an `OriginPlace` with one queue: first come, first served. WebSockets stand in the same order, but in a
queue of their own, because existing connections may be of no use to them. Then they wait, and no other request waits
for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from headrace.client.interface import Origin
from headrace.client.pool.place import REQUEST, WEBSOCKET, Known, Member, OriginPlace, Ticket

if TYPE_CHECKING:
    from headrace.client.connect.config import NetworkConfig
    from headrace.client.connect.tls import Protocols

_REMEMBERED: Final = 1_024  # origins without a connection whose protocol is remembered
_BARREN: Final = 3  # connections in a row that end before a request could begin on them; more would be a loop


@dataclass(frozen=True, slots=True)
class Policy:
    """The pool's limits; `NetworkConfig` explains them."""

    max_connections: int = 100
    max_h1_connections_per_origin: int = 20
    max_h2_connections_per_origin: int = 2
    max_waiting: int = 10_000
    http1: bool = True
    http2: bool = True

    @classmethod
    def of(cls, config: NetworkConfig) -> Policy:
        """Return the limits that `config` sets."""
        return cls(
            max_connections=config.max_connections,
            max_h1_connections_per_origin=config.max_h1_connections_per_origin,
            max_h2_connections_per_origin=config.max_h2_connections_per_origin,
            max_waiting=config.max_waiting,
            http1=config.http1,
            http2=config.http2,
        )


class Start(NamedTuple):
    """Begin this request on this connection; it waits no longer."""

    ticket: Ticket
    member: Member


class Open(NamedTuple):
    """Open a connection, then call `opened`, `shared` or `failed`."""

    place: OriginPlace
    protocols: Protocols
    is_spare: bool
    """True for a connection for a WebSocket that the origin does not accept over HTTP/2."""


class Close(NamedTuple):
    """End this idle connection: another origin needs its place. The pool no longer counts it."""

    member: Member


class Refuse(NamedTuple):
    """Refuse this request: waiting would not help."""

    ticket: Ticket
    reason: str


Step: TypeAlias = Start | Open | Close | Refuse


class Pool:
    """All places together, within the limits of `policy`."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.places: dict[Origin, OriginPlace] = {}
        self.homes: dict[Member, list[OriginPlace]] = {}
        """Each connection that is not lost, with the origins that it serves; it was made for the first of them."""
        self.starved: dict[OriginPlace, None] = {}
        """Places that need a connection, in order, while `max_connections` are open."""
        self.waiting: int = 0
        self._attempts = 0
        self._known: dict[Origin, Known] = {}
        self._serial = 0
        self._early_serial = -(2**62)

    @property
    def open(self) -> int:
        """Return the number of connections, including those under way."""
        return len(self.homes) + self._attempts

    @property
    def under_way(self) -> int:
        """Return the number of connections under way."""
        return self._attempts

    def place(self, origin: Origin) -> OriginPlace:
        """Return the origin's place; make it when there is none."""
        place = self.places.get(origin)
        if place is None:
            known = self._known.get(origin) or Known(self._only_choice(origin), None, False)
            place = self.places[origin] = OriginPlace(origin, known)
        return place

    def _only_choice(self, origin: Origin) -> str | None:
        """Return the protocol that configuration gives an origin: "2", "1.1" (RFC 9113 §3.3), or None when ALPN
        decides."""
        if not self.policy.http1:
            return "2"
        return "1.1" if origin.scheme == "http" or not self.policy.http2 else None

    # -- waiting requests --------------------------------------------------------------------------------------

    def next_serial(self, *, again: bool = False) -> int:
        """Return the next serial; with `again`, one in front of all requests that have not been sent yet."""
        if again:
            self._early_serial += 1
            return self._early_serial
        self._serial += 1
        return self._serial

    @property
    def is_full(self) -> bool:
        """Return True when no further request may wait."""
        return self.waiting >= self.policy.max_waiting

    def enqueue(self, ticket: Ticket) -> None:
        """Let `ticket` wait from now on."""
        place = ticket.place
        queue = place.tunnels if ticket.kind == WEBSOCKET else place.requests
        at = len(queue)
        while at and queue[at - 1].serial > ticket.serial:
            at -= 1
        queue.insert(at, ticket)
        self.waiting += 1
        place.holding = False

    def remove(self, ticket: Ticket) -> bool:
        """Take `ticket` out of its queue. Return False when it was not waiting."""
        queue = ticket.place.tunnels if ticket.kind == WEBSOCKET else ticket.place.requests
        try:
            queue.remove(ticket)
        except ValueError:
            return False
        self.waiting -= 1
        if not ticket.place.is_waited_for:
            self.starved.pop(ticket.place, None)
        self._forget(ticket.place)
        return True

    # -- events of connections ---------------------------------------------------------------------------------

    def opened(self, step: Open, member: Member) -> None:
        """Add a connection that has been made."""
        self._attempt_ended(step)
        place = step.place
        self.homes[member] = [place]
        place.holding = False
        if step.is_spare:
            place.spare.append(member)
        else:
            place.speaks = "2" if member.http_version == "2" else "1.1"
            place.members.append(member)

    def shared(self, step: Open, member: Member) -> None:
        """Let `place` use a connection that was made for another origin, instead of a new one (RFC 9113 §9.1.1)."""
        self._attempt_ended(step)
        place = step.place
        self.homes[member].append(place)
        place.holding = False
        place.speaks = "2"
        place.members.append(member)

    def unshare(self, place: OriginPlace, member: Member) -> None:
        """Let `place` no longer use this connection; for the other places nothing changes."""
        homes = self.homes.get(member)
        if homes is not None and place in homes[1:]:
            homes.remove(place)
            if member in place.members:  # else it takes no new request anyway
                place.members.remove(member)
            self._forget(place)

    def failed(self, step: Open) -> list[Ticket]:
        """Handle that no connection could be made. Return the requests that depended on it; they wait no longer. Other
        connections, open or under way, may still serve the rest."""
        self._attempt_ended(step)
        place = step.place
        losers: list[Ticket] = []
        if step.is_spare:
            if place.tunnels:
                losers.append(place.tunnels.popleft())
        elif place.attempts or place.members:
            place.holding = True
        else:
            losers.extend(place.requests)
            place.requests.clear()
            losers.extend(place.tunnels)
            place.tunnels.clear()
        self.waiting -= len(losers)
        self._forget(place)
        return losers

    def _attempt_ended(self, step: Open) -> None:
        self._attempts -= 1
        if step.is_spare:
            step.place.spare_attempts -= 1
        else:
            step.place.attempts -= 1

    def unusable(self, member: Member) -> None:
        """Begin no new request on it (GOAWAY, `connection: close`); running ones may finish."""
        for place in self.homes.get(member, ()):
            if member in place.members:
                place.members.remove(member)
            elif member in place.spare:
                place.spare.remove(member)
            self._forget(place)

    def lost(self, member: Member) -> list[OriginPlace]:
        """Forget a lost connection. Return the places that it served."""
        self.unusable(member)
        return self.homes.pop(member, [])

    def return_connection(self, member: Member) -> None:
        """Use an HTTP/1.1 connection again on which a WebSocket was refused."""
        homes = self.homes.get(member)
        if homes is not None and member.is_usable:
            place = homes[0] = self.places.setdefault(homes[0].origin, homes[0])
            if member not in place.members and member not in place.spare:
                (place.spare if place.speaks == "2" else place.members).append(member)

    def record_end(self, place: OriginPlace, has_begun: bool) -> None:
        """Count connections of `place`, in a row, that end before a request has begun on them, while one waits."""
        place.barren = 0 if has_begun else place.barren + place.is_waited_for

    def _forget(self, place: OriginPlace) -> None:
        if place.is_empty and self.places.get(place.origin) is place:
            del self.places[place.origin]
            self.starved.pop(place, None)
            known = self._known
            known.pop(place.origin, None)
            known[place.origin] = Known(place.speaks, place.websockets_over_h2, place.is_alone)
            if len(known) > _REMEMBERED:
                del known[next(iter(known))]

    @property
    def may_make_room(self) -> bool:
        """Return True when a request needs a connection, and an idle one could be replaced."""
        return bool(self.starved) and self._victim() is not None

    def in_order(self, places: Iterable[OriginPlace], *, starved: bool) -> list[OriginPlace]:
        """Return those of `places` where a request waits, first come first. With `starved` (a connection has become
        idle, or was lost) also places that need one, so a busy origin does not keep the room of another."""
        waiting = {place: None for place in places if place.is_waited_for}
        if starved:
            waiting.update(self.starved)
        return list(waiting) if len(waiting) < 2 else sorted(waiting, key=lambda place: place.head_serial)

    # -- next steps --------------------------------------------------------------------------------------------

    def next_step(self, place: OriginPlace) -> Step | None:
        """Return one thing to do for the requests at `place`; the pool has already changed accordingly."""
        if not place.is_waited_for:
            self.starved.pop(place, None)
            return None
        start = self._start(place)
        if start is not None:
            return start
        if place.barren >= _BARREN:
            return self._refuse(place, f"the server ended {_BARREN} connections in a row before a request could begin")
        step = self._wanted(place)
        if step is None:
            self.starved.pop(place, None)
            return self._refuse_websocket(place)
        if self.open >= self.policy.max_connections:
            victim = self._victim()
            if victim is None:
                self.starved[place] = None
                return None
            for other in self.lost(victim):
                if other is not place and other.is_waited_for:
                    self.starved[other] = None  # its requests came later, and it needs another connection now
            return Close(victim)
        self.starved.pop(place, None)
        self._attempts += 1
        if step.is_spare:
            place.spare_attempts += 1
        else:
            place.attempts += 1
        return step

    def _start(self, place: OriginPlace) -> Start | None:
        """Start the first request for which there is a connection with room."""
        member = tunnel_member = None
        if place.requests:
            member = place.room_for_request()
        if place.tunnels:
            tunnel_member = place.room_for_websocket()
        if member is None and tunnel_member is None:
            return None
        if tunnel_member is not None and (member is None or place.tunnels[0].serial < place.requests[0].serial):
            ticket, member = place.tunnels.popleft(), tunnel_member
        else:
            assert member is not None
            ticket = place.requests.popleft()
        self.waiting -= 1
        place.barren = 0
        if ticket.kind != REQUEST and member.http_version != "2":
            self.unusable(member)  # it is a tunnel from now on; see `return_connection`
        return Start(ticket, member)

    def _wanted(self, place: OriginPlace) -> Open | None:
        """Return the connection that is missing, or None when none should be opened."""
        count = len(place.requests)
        if place.tunnels:
            way = self._websocket_way(place)
            if way == "http/1.1":
                if place.spare_attempts < len(place.tunnels) and self.policy.http1:
                    return Open(place, "http/1.1", True)
            elif way == "any":
                count += len(place.tunnels)
        if not count or (place.holding and (place.members or place.attempts)):
            return None
        if place.speaks == "1.1":
            there = sum(each.http_version != "2" for each in place.members) + place.attempts
            if place.attempts >= count or there >= self.policy.max_h1_connections_per_origin:
                return None
        else:
            there = sum(each.http_version == "2" for each in place.members)
            if place.attempts or there >= self.policy.max_h2_connections_per_origin:
                return None
        return Open(place, self.protocols, False)

    @property
    def protocols(self) -> Protocols:
        """Return the protocols that a connection may speak, by configuration."""
        if not self.policy.http1:
            return "h2"
        return "any" if self.policy.http2 else "http/1.1"

    def _websocket_way(self, place: OriginPlace) -> Literal["any", "http/1.1", "wait"]:
        """Return how a WebSocket that waits at `place` gets a connection: by one more of the usual kind ("any"), by one
        that speaks HTTP/1.1 only, or by waiting for the existing ones ("wait")."""
        if place.speaks == "1.1":
            return "any"
        answers = [each.takes_websockets for each in place.members if each.http_version == "2"]
        if not answers:
            return "http/1.1" if place.websockets_over_h2 is False else "any"
        if True in answers:
            place.websockets_over_h2 = True
            return "any"  # one exists that would take it, and has no room
        if None in answers:
            return "wait"  # for SETTINGS
        place.websockets_over_h2 = False
        return "http/1.1"

    def _victim(self) -> Member | None:
        """Return the connection that has been idle for longest, or None. One without room, for which a request
        waits, is not idle: its server allows no stream at present, and a new connection would be no better."""
        idle = [
            member
            for member, homes in self.homes.items()
            if not member.live
            and member.is_usable
            and (member.has_room or not any(place.is_waited_for for place in homes))
        ]
        return min(idle, key=lambda each: each.idle_since, default=None)

    def _refuse(self, place: OriginPlace, reason: str) -> Refuse:
        ticket = (place.requests or place.tunnels).popleft()
        self.waiting -= 1
        if not place.is_waited_for:
            place.barren = 0
            self._forget(place)
        return Refuse(ticket, reason)

    def _refuse_websocket(self, place: OriginPlace) -> Refuse | None:
        if self.policy.http1 or not place.tunnels or self._websocket_way(place) != "http/1.1":
            return None
        self.waiting -= 1
        return Refuse(
            place.tunnels.popleft(),
            "the server accepts no WebSocket over HTTP/2 (RFC 8441), and HTTP/1.1 is switched off",
        )
