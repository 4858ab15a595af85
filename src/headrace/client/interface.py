"""The seams of the client, from the wire up: the request that goes to a connection, the response, and their carrier.

    Client -> (auth, cookies, redirects, retries) -> Transport -> pool -> driver -> engine

A `Transport` takes an `Outgoing`, a request as it stands on the wire, and returns an `Incoming`. The network is one
transport; an application in memory is another, and a script of faults a third.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator, Callable, Collection
from functools import partial
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

from headrace.client.timeouts import DEFAULT_TIMEOUTS, Timeouts

Pairs = list[tuple[bytes, bytes]]
Called = TypeVar("Called", bound=Callable[..., Any])


def in_this_context(callback: Called) -> Called:
    """Return a callback that runs in a copy of the present context, that of a caller. A connection reads on behalf
    of all its callers, so its own context would be wrong."""
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
    """The content of a request when it is not plain bytes."""

    @property
    def length(self) -> int | None:
        """Return the length in bytes, or None when it is unknown."""
        ...

    @property
    def is_replayable(self) -> bool:
        """Return True when `open` can be called again."""
        ...

    def open(self) -> AsyncIterator[bytes]:
        """Return an iterator that begins at the first byte. Raises BodyConsumed when that is impossible a second
        time."""
        ...

    def trailers(self) -> Pairs:
        """Return the trailer section, [] for none. Called after the last piece."""
        ...


class Outgoing:
    """A request as it stands on the wire. Field names are lower case, and none of them belongs to the connection.

    `headers` has neither `host` nor `content-length` nor `transfer-encoding`: `authority` and `content` replace them.
    `protocol` asks for a tunnel: b"websocket". `on_informational` is called with 1xx responses, `on_sent` with the
    number of content bytes accepted for sending. The event loop calls both, in a copy of the context in which the
    Outgoing is made; they must be quick.

    `max_size` is the most bytes of content of a whole response, None for no limit. A response with a status in
    `on_the_way` is returned with its head, as a stream: most likely another request follows it, and its content is not
    needed.
    """

    __slots__ = (
        "_on_informational",
        "authority",
        "content",
        "headers",
        "max_size",
        "method",
        "never_indexed",
        "never_indexed_back",
        "on_sent",
        "on_the_way",
        "origin",
        "path",
        "protocol",
        "timeouts",
        "url",
    )

    _copies_headers: ClassVar[bool] = True
    """True while the caller may change its own list."""

    def __init__(
        self,
        method: bytes,
        origin: Origin,
        authority: bytes,
        path: bytes,
        headers: Pairs,
        content: bytes | Content = b"",
        url: str = "",
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        max_size: int | None = None,
        on_the_way: Collection[int] = (),
        *,
        protocol: bytes | None = None,
        on_informational: Callable[[int, Pairs], None] | None = None,
        on_sent: Callable[[int], None] | None = None,
        never_indexed: frozenset[bytes] | None = None,
    ) -> None:
        self.method: bytes = method
        self.origin: Origin = origin
        self.authority: bytes = authority
        self.path: bytes = path
        self.headers: Pairs = [(pair[0], pair[1]) for pair in headers] if self._copies_headers else headers
        self.content: bytes | Content = content
        self.url: str = url
        self.timeouts: Timeouts = timeouts
        self.protocol: bytes | None = protocol
        self._on_informational: Callable[[int, Any], None] | None = (
            None if on_informational is None else in_this_context(on_informational)
        )
        self.on_sent: Callable[[int], None] | None = None if on_sent is None else in_this_context(on_sent)
        self.max_size: int | None = max_size
        self.on_the_way: Collection[int] = on_the_way
        self.never_indexed: frozenset[bytes] | None = never_indexed
        """Names of fields, trailers included, that are sent as never-indexed literals (RFC 7541 §6.2.3); for
        proxies."""
        self.never_indexed_back: frozenset[bytes] | None = None
        """Names of fields of the response that arrived as never-indexed literals, so far."""

    @property
    def on_informational(self) -> Callable[[int, Pairs], None] | None:
        """Return the function that is called with each 1xx response, or None."""
        return self._on_informational


class ResponseHead(NamedTuple):
    """The head of a final response. `http_version` is "1.0", "1.1" or "2"; names in `headers` are lower case."""

    status: int
    headers: Pairs
    http_version: str


class Incoming(Protocol):
    """A response whose head has arrived. Its content is read with back-pressure, or given up.

    Every Incoming must be read to its end or closed: otherwise it keeps its place on the connection.
    """

    @property
    def head(self) -> ResponseHead:
        """Return the response's head."""
        ...

    @property
    def trailers(self) -> Pairs:
        """Return the trailer section, once the content has ended; [] for none."""
        ...

    async def receive(self) -> bytes:
        """Return the next bytes of content as they stand on the wire; b"" at the end, and after it. Raises
        RequestError."""
        ...

    async def read(self) -> bytes:
        """Return the rest of the content. Raises RequestError, for example TruncatedBody; it never returns a part."""
        ...

    def close(self) -> None:
        """Give up the rest: RST_STREAM(CANCEL), or the end of an HTTP/1.1 connection. Do nothing after the end."""
        ...

    @property
    def info(self) -> dict[str, Any]:
        """Return facts for people and extensions: `http_version`, `stream_id`, `peer`, `local`, `tls` (None, or
        version, cipher and certificate)."""
        ...


class Transport(Protocol):
    """Carries requests."""

    async def send(self, outgoing: Outgoing, *, whole: bool = False) -> Incoming:
        """Send a request and return its response once its head has arrived. With `whole`, return it once all of it
        has arrived, so that `read` does not wait; responses with a status in `Outgoing.on_the_way` are the
        exception. Cancelling gives the request up. Raises RequestError, for example ResponseTooLarge."""
        ...

    async def aclose(self) -> None:
        """Let running requests finish for a while, then end everything. Idempotent."""
        ...
