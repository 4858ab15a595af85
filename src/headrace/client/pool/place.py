"""What the pool knows of one origin: its connections, those under way, and who waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Sized
from typing import Final, NamedTuple, Protocol

from headrace.client.interface import Origin

REQUEST: Final = 0
WEBSOCKET: Final = 1  # an extended CONNECT (RFC 8441), or a connection of HTTP/1.1 that is upgraded
CONNECT: Final = 2  # a tunnel through a proxy (RFC 9110 §9.3.6)


class Member(Protocol):
    """What the pool has to know of a connection."""

    @property
    def http_version(self) -> str:
        """ "2", "1.1" or "1.0"."""
        ...

    @property
    def is_usable(self) -> bool:
        """True while it may ever take another request."""
        ...

    @property
    def has_room(self) -> bool:
        """True when a request could begin now."""
        ...

    @property
    def live(self) -> Sized:
        """Requests that are open on it."""
        ...

    @property
    def idle_since(self) -> float:
        """When the last of them ended."""
        ...

    @property
    def takes_websockets(self) -> bool | None:
        """Whether the server offers extended CONNECT; None until its SETTINGS are there."""
        ...


class Ticket:
    """One request in a queue. A lower `serial` goes first."""

    __slots__ = ("kind", "place", "serial")

    def __init__(self, place: Place, kind: int, serial: int) -> None:
        self.place: Place = place
        self.kind: int = kind
        self.serial: int = serial


class Known(NamedTuple):
    """What is kept of an origin that has no connection; see `Place`."""

    speaks: str | None
    websockets_over_h2: bool | None
    is_alone: bool


class Place:
    """One origin: its connections, those under way, and who waits."""

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
        """Usable connections, the oldest first: filled in this order, so that those beyond need become idle and end."""
        self.spare: list[Member] = []
        """HTTP/1.1 connections to an origin that speaks HTTP/2: for WebSockets that it does not take over HTTP/2."""
        self.requests: deque[Ticket] = deque()
        self.tunnels: deque[Ticket] = deque()
        """WebSockets that wait."""
        self.attempts: int = 0
        self.spare_attempts: int = 0
        self.speaks: str | None = known.speaks
        """ "2" or "1.1"; None until the first connection says."""
        self.websockets_over_h2: bool | None = known.websockets_over_h2
        self.holding: bool = False
        """A connection failed while others serve: no further one is tried before somebody else comes."""
        self.barren: int = 0
        self.is_alone: bool = known.is_alone
        """It uses no connection of another origin's: that was answered with 421 (RFC 9110 §15.5.20)."""

    @property
    def is_waited_for(self) -> bool:
        """True while anybody waits."""
        return bool(self.requests or self.tunnels)

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to keep but what the origin speaks."""
        return not (self.members or self.spare or self.requests or self.tunnels or self.attempts or self.spare_attempts)

    def room_for_request(self) -> Member | None:
        """The oldest connection with room."""
        for member in self.members:
            if member.has_room:
                return member
        return None

    def room_for_websocket(self) -> Member | None:
        """The same, of those on which a WebSocket can be opened."""
        for member in self.members:
            if member.has_room and (member.http_version != "2" or member.takes_websockets):
                return member
        return next((member for member in self.spare if member.has_room), None)

    @property
    def head_serial(self) -> int:
        """The serial of whoever came first; only while somebody waits."""
        return min(queue[0].serial for queue in (self.requests, self.tunnels) if queue)
