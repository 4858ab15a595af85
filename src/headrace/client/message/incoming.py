"""The answers that a response is made of: one in memory, and the error for an object that is none."""

from __future__ import annotations

from typing import Any

from headrace.client.interface import Pairs, ResponseHead
from headrace.transport.kinds import kind_of


def no_incoming_error(answer: object) -> TypeError:
    """Return the error for a transport's answer that has no head."""
    return TypeError(f"a transport answers with a headrace.client.Incoming, not with {kind_of(answer)}")


class Received:
    """The parts of a response in memory: an Incoming that no server sent."""

    __slots__ = ("_content", "head", "info", "trailers")

    def __init__(self, head: ResponseHead, content: bytes, trailers: Pairs) -> None:
        self.head: ResponseHead = head
        self.trailers: Pairs = trailers
        self.info: dict[str, Any] = {"http_version": head.http_version}
        self._content = content

    async def receive(self) -> bytes:
        """Return all of the content; b"" the second time."""
        return await self.read()

    async def read(self) -> bytes:
        """Return all of the content."""
        content, self._content = self._content, b""
        return content

    def close(self) -> None:
        """Do nothing: there is no stream to give up."""
