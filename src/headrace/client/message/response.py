"""A response to a request of `Client`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Self

from headrace.client.message.base_response import BaseResponse


class ClientResponse(BaseResponse):
    """A response to a request of `Client`.

    `get`, `post` and `request` return it whole: `content`, `text` and `json()` are there. `stream` gives it with its
    head only; read the content once, by one of the `iter_` methods or `aread`. Leaving the block of `stream` gives up
    the rest.
    """

    __slots__ = ("_twin",)

    _twin: BaseResponse
    """The same response for synchronous code, where there is such code."""

    async def aread(self) -> bytes:
        """Read the rest of a stream, and return all of the content. Raises RequestError; it never returns a part."""
        return await self._read()

    def iter_raw(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the content with its codings, as on the wire, in pieces of `chunk_size` bytes, or as they come."""
        return self._iter_raw(chunk_size)

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        """Yield the content without its codings, in pieces of `chunk_size` bytes, or as they come."""
        return self._iter_bytes(chunk_size)

    def iter_text(self, chunk_size: int | None = None) -> AsyncGenerator[str, None]:
        """Yield the content as text, in pieces of `chunk_size` characters, or as they come; see `encoding`."""
        return self._iter_text(chunk_size)

    def iter_lines(self) -> AsyncGenerator[str, None]:
        """Yield the content line by line, without the line ends."""
        return self._iter_lines()

    async def aclose(self) -> None:
        """Give up the rest of a stream. Do nothing when it has ended."""
        await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()
