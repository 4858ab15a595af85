"""What the load needs to know: the servers, the kinds of operations, and how an operation says that it failed."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from headrace import Client


class Wrong(Exception):
    """An answer that should have been another one."""


def expect(is_true: bool, what: str) -> None:
    """Raise Wrong with `what` unless it is true."""
    if not is_true:
        raise Wrong(what)


@dataclass(frozen=True, slots=True)
class Place:
    """A server: its name, the ports of its two listeners, and whether it has WebSockets."""

    name: str
    http: int
    https: int
    websockets: bool

    def url(self, path: str, tls: bool) -> str:
        """Return a URL on this server."""
        return f"https://localhost:{self.https}{path}" if tls else f"http://localhost:{self.http}{path}"

    def port(self, tls: bool) -> int:
        """Return the port of one of the listeners."""
        return self.https if tls else self.http


@dataclass(slots=True)
class Surroundings:
    """What operations share."""

    authority: str
    """Path of the certificate that the servers' one is signed by."""
    steady: list[Place]
    cycled: Place | None
    rude: dict[str, int]
    """Ports of the rude server, by protocol."""
    seed: int
    tls: dict[str, ssl.SSLContext] = field(default_factory=dict)
    """Contexts for raw connections, by what they offer as ALPN."""
    clients: dict[str, Client] = field(default_factory=dict)
    """By protocol: "h1" and "h2"."""
    random: Random = field(default_factory=Random)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        for name, offered in (("h1", "http/1.1"), ("h2", "h2")):
            context = ssl.create_default_context(cafile=self.authority)
            context.set_alpn_protocols([offered])
            self.tls[name] = context

    def place(self, *, websockets: bool = False, among: Collection[str] = ()) -> Place:
        """Return one of the servers, by chance."""
        known = [each for each in self.steady if each.websockets or not websockets]
        return self.random.choice([each for each in known if not among or each.name in among])

    def is_tls(self) -> bool:
        """Return True half of the time."""
        return self.random.random() < 0.5

    def protocol(self) -> str:
        """Return "h1" or "h2", by chance."""
        return self.random.choice(("h1", "h2"))

    def token(self) -> str:
        """Return a token that no other request has."""
        return f"{self.random.getrandbits(64):016x}"


Operation: TypeAlias = Callable[[Surroundings], Awaitable[None]]
