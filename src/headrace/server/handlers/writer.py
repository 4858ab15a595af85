"""The writer: a response sends itself with it, and middleware wraps it to change the output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from headrace.engine.contract import Fields


class Writer(Protocol):
    """Sends one response; given to `AnyResponse.send_on`.

    Either `respond` sends the whole response, or `start` begins it, `write` sends piece after piece, and the last
    `write` has `end`, or `write_trailers` ends it. Fields are pairs of bytes with names in lowercase; the names in
    `never_indexed` are sent as literals that are never indexed (RFC 7541 §6.2.3). All methods raise ClientDisconnected
    once the client has gone, and InvalidFieldError for fields that must not be sent.
    """

    @property
    def is_complete(self) -> bool:
        """True once the end of the response was given to this writer."""

    async def respond(self, status: int, headers: Fields, body: bytes) -> None:
        """Send a whole response; return when it is accepted."""

    def start(self, status: int, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> None:
        """Send the headers of a response whose content follows piece by piece."""

    async def write(self, data: bytes, end: bool = False) -> None:
        """Send a piece of content, the last one with `end`; return when it is accepted."""

    async def write_trailers(self, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> None:
        """Send the trailers, which end the response; return when they are accepted."""

    def inform(self, status: int, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> None:
        """Send a 1xx response ahead of the final one."""

    def reset(self, code: int) -> None:
        """End the stream with RST_STREAM; a no-op when it is over."""


class WrappedWriter:
    """A writer that passes everything on to `inner`. Middleware derives from it, and overrides the methods that it
    changes."""

    __slots__ = ("inner",)

    def __init__(self, inner: Writer) -> None:
        self.inner: Writer = inner

    @property
    def is_complete(self) -> bool:
        """True once the end of the response was given to the writer inside."""
        return self.inner.is_complete

    async def respond(self, status: int, headers: Fields, body: bytes) -> None:
        """Send a whole response."""
        await self.inner.respond(status, headers, body)

    def start(self, status: int, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> None:
        """Send the headers."""
        self.inner.start(status, headers, never_indexed)

    async def write(self, data: bytes, end: bool = False) -> None:
        """Send a piece of content."""
        await self.inner.write(data, end)

    async def write_trailers(self, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> None:
        """Send the trailers."""
        await self.inner.write_trailers(headers, never_indexed)

    def inform(self, status: int, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> None:
        """Send a 1xx response."""
        self.inner.inform(status, headers, never_indexed)

    def reset(self, code: int) -> None:
        """End the stream."""
        self.inner.reset(code)
