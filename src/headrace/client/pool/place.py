"""The pool's record of one origin: its connections, those under way, and the waiting requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Sized
from typing import Final, NamedTuple, Protocol

from headrace.client.interface import Origin

REQUEST: Final = 0
WEBSOCKET: Final = 1  # an extended CONNECT (RFC 8441), or an HTTP/1.1 connection that is upgraded
CONNECT: Final = 2  # a tunnel through a proxy (RFC 9110 §9.3.6)


class Member(Protocol):
    """A connection as the pool sees it."""

    @property
    def http_version(self) -> str:
        """Return "2", "1.1" or "1.0"."""
        ...

    @property
    def is_usable(self) -> bool:
        """Return True while it may take another request at some time."""
        ...

    @property
    def has_room(self) -> bool:
        """Return True when a request could begin now."""
        ...

    @property
    def live(self) -> Sized:
        """Return the requests that are open on it."""
        ...

    @property
    def idle_since(self) -> float:
        """Return the time at which the last of them ended."""
        ...

    @property
    def takes_websockets(self) -> bool | None:
        """Return True when the server offers extended CONNECT, None until its SETTINGS have arrived."""
        ...


class Ticket:
    """One request in a queue. A lower `serial` goes first."""

    __slots__ = ("kind", "place", "serial")

    def __init__(self, place: OriginPlace, kind: int, serial: int) -> None:
        self.place: OriginPlace = place
        self.kind: int = kind
        self.serial: int = serial


class Known(NamedTuple):
    """The facts that the pool keeps about an origin without connections; see `OriginPlace`."""

    speaks: str | None
    websockets_over_h2: bool | None
    is_alone: bool


class OriginPlace:
    """One origin: its connections, those under way, and the waiting requests."""

    __slots__ = (
        "attempts",
        "barren",
        "holding",
        "is_alone",
        "members",
        "origin",
        "requests",
        "spare",
        "spare_attempts",
        "speaks",
        "tunnels",
        "websockets_over_h2",
    )

    def __init__(self, origin: Origin, known: Known) -> None:
        self.origin: Origin = origin
        self.members: list[Member] = []
        """Usable connections, the oldest first. Requests fill them in this order, so that surplus ones become idle and
        end."""
        self.spare: list[Member] = []
        """HTTP/1.1 connections to an origin that speaks HTTP/2: for WebSockets that it does not accept over HTTP/2."""
        self.requests: deque[Ticket] = deque()
        self.tunnels: deque[Ticket] = deque()
        """WebSockets that wait."""
        self.attempts: int = 0
        self.spare_attempts: int = 0
        self.speaks: str | None = known.speaks
        """"2" or "1.1"; None until the first connection is made."""
        self.websockets_over_h2: bool | None = known.websockets_over_h2
        self.holding: bool = False
        """True when a connection failed while others serve: the pool tries no further one before the next request."""
        self.barren: int = 0
        self.is_alone: bool = known.is_alone
        """True when it must not use connections of other origins: one was answered with 421 (RFC 9110 §15.5.20)."""

    @property
    def is_waited_for(self) -> bool:
        """Return True while a request waits."""
        return bool(self.requests or self.tunnels)

    @property
    def is_empty(self) -> bool:
        """Return True when the place has nothing to keep except which protocol the origin speaks."""
        return not (self.members or self.spare or self.requests or self.tunnels or self.attempts or self.spare_attempts)

    def room_for_request(self) -> Member | None:
        """Return the oldest connection with room, or None."""
        for member in self.members:
            if member.has_room:
                return member
        return None

    def room_for_websocket(self) -> Member | None:
        """Return the oldest connection with room on which a WebSocket can be opened, or None."""
        for member in self.members:
            if member.has_room and (member.http_version != "2" or member.takes_websockets):
                return member
        return next((member for member in self.spare if member.has_room), None)

    @property
    def head_serial(self) -> int:
        """Return the serial of the first waiting request; only while one waits."""
        return min(queue[0].serial for queue in (self.requests, self.tunnels) if queue)
