"""The seams of the client, from the wire up: what goes to a connection, what comes back, and who carries it.

    Client -> (auth, cookies, redirects, retries) -> Transport -> pool -> driver -> engine

A `Transport` takes an `Outgoing`, which is what stands on the wire, and gives an `Incoming`. The network is one, an
application in memory another, a script of faults a third.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Callable, Collection
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from headrace.client.timeouts import DEFAULT_TIMEOUTS, Timeouts

Pairs = list[tuple[bytes, bytes]]
Called = TypeVar("Called", bound=Callable[..., Any])


def in_this_context(callback: Called) -> Called:
    """`callback`, to be called in a copy of the context that is current now: a caller's, for what is called while the
    connection reads, on behalf of all its callers."""
    return partial(contextvars.copy_context().run, callback)  # type: ignore[return-value]


class Origin(NamedTuple):
    """Scheme ("http" or "https"), host and port, in normal form: lower case, IDNA, no brackets (RFC 9110 §4.3.1)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Content(Protocol):
    """The content of a request that is not simply octets."""

    @property
    def length(self) -> int | None:
        """Octets in all, None when that is not known."""
        ...

    @property
    def is_replayable(self) -> bool:
        """True when `open` can be called again, now."""
        ...

    def open(self) -> AsyncIterator[bytes]:
        """Begin from the first octet. Raises BodyConsumed when that cannot be done again."""
        ...

    def trailers(self) -> Pairs:
        """The trailer section that follows the last piece; [] for none. Asked for after the last piece."""
        ...


class Outgoing:
    """A request as it stands on the wire. Field names are lower case, and none of them belongs to the connection.

    `headers` has neither `host` nor `content-length` nor `transfer-encoding`: `authority` and `content` say as much.
    `protocol` asks for a tunnel: b"websocket". `on_informational` is told of 1xx responses, `on_sent` of octets of
    content that were accepted for sending, both on the loop, and both must be quick; they run in a copy of the context
    in which the Outgoing is made.

    Of a response that is wanted whole, `max_size` is the most bytes of content, None for no limit. Answers with a
    status of `on_the_way` are handed over with their head, as a stream: most likely another request follows them, and
    nobody wants their content.
    """

    __slots__ = (
        "authority",
        "content",
        "headers",
        "max_size",
        "method",
        "never_indexed",
        "never_indexed_back",
        "on_informational",
        "on_sent",
        "on_the_way",
        "origin",
        "path",
        "protocol",
        "timeouts",
        "url",
    )

    def __init__(
        self,
        method: bytes,
        origin: Origin,
        authority: bytes,
        path: bytes,
        headers: Pairs,
        content: bytes | Content = b"",
        *,
        url: str = "",
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        protocol: bytes | None = None,
        on_informational: Callable[[int, Pairs], None] | None = None,
        on_sent: Callable[[int], None] | None = None,
        max_size: int | None = None,
        on_the_way: Collection[int] = (),
        never_indexed: frozenset[bytes] | None = None,
    ) -> None:
        self.method: bytes = method
        self.origin: Origin = origin
        self.authority: bytes = authority
        self.path: bytes = path
        self.headers: Pairs = [(pair[0], pair[1]) for pair in headers]  # the caller may change its own meanwhile
        self.content: bytes | Content = content
        self.url: str = url
        self.timeouts: Timeouts = timeouts
        self.protocol: bytes | None = protocol
        self.on_informational: Callable[[int, Pairs], None] | None = (
            None if on_informational is None else in_this_context(on_informational)
        )
        self.on_sent: Callable[[int], None] | None = None if on_sent is None else in_this_context(on_sent)
        self.max_size: int | None = max_size
        self.on_the_way: Collection[int] = on_the_way
        self.never_indexed: frozenset[bytes] | None = never_indexed
        """Names of fields, trailers included, that become never-indexed literals (RFC 7541 §6.2.3); for proxies."""
        self.never_indexed_back: frozenset[bytes] | None = None
        """Names of fields that have come so in its response up to now."""


class ResponseHead(NamedTuple):
    """The head of a final response. `http_version` is "1.0", "1.1" or "2"; names in `headers` are lower case."""

    status: int
    headers: Pairs
    http_version: str


class Incoming(Protocol):
    """A response whose head is there; its content is read with back-pressure, or given up.

    Every Incoming has to be read to its end or closed: else it keeps its place on the connection.
    """

    @property
    def head(self) -> ResponseHead:
        """The response's head."""
        ...

    @property
    def trailers(self) -> Pairs:
        """The trailer section, once the content has ended; [] when there is none."""
        ...

    async def receive(self) -> bytes:
        """The next octets of content as they stand on the wire, b"" at the end, then always. Raises RequestError."""
        ...

    async def read(self) -> bytes:
        """All that is left. Raises RequestError, TruncatedBody among them: never a part for the whole."""
        ...

    def close(self) -> None:
        """Give up what is left: RST_STREAM(CANCEL), or the end of an HTTP/1.1 connection. A no-op after the end."""
        ...

    @property
    def info(self) -> dict[str, Any]:
        """For people and extensions: `http_version`, `stream_id`, `peer`, `local`, `tls` (None, or version, cipher and
        certificate)."""
        ...


class Transport(Protocol):
    """Carries requests."""

    async def send(self, outgoing: Outgoing, *, whole: bool = False) -> Incoming:
        """Send a request and return its response once its head is there; with `whole`, once all of it is, so that
        `read` does not wait, but for answers that are on the way to another one: see `Outgoing`. Cancelling it gives
        the request up. Raises RequestError, ResponseTooLarge among them."""
        ...

    async def aclose(self) -> None:
        """Let what runs come to its end for a while, then end everything. Idempotent."""
        ...
