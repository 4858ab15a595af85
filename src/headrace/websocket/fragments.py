"""A message that is sent in fragments: other senders wait for its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from headrace.engine.ws.frames import INTERNAL_ERROR

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from headrace.websocket.intake import WebSocketMessage


class FragmentWriter(Protocol):
    """A WebSocket as its fragmented message uses it."""

    @property
    def is_open(self) -> bool:
        """True while messages can be sent."""

    async def until_writable(self) -> None:
        """Wait until a fragment can be sent. Raises WebSocketClosed."""

    async def write_fragment(self, piece: WebSocketMessage, is_first: bool, is_last: bool) -> None:
        """Send a fragment; return when it is accepted. Raises WebSocketClosed."""

    def give_up(self, code: int) -> None:
        """End the WebSocket at once, with a close frame of `code`."""


class Fragments:
    """One message in fragments. While it is sent, `ended` lets the senders of other messages wait."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def ended(self) -> None:
        """Wait until the message is sent, or given up."""
        async with self._lock:
            pass

    async def send(self, socket: FragmentWriter, pieces: AsyncIterable[WebSocketMessage]) -> None:
        """Send `pieces` as the fragments of one message. Raises WebSocketClosed."""
        is_text: bool | None = None
        async with self._lock:
            try:
                async for piece in pieces:
                    await socket.until_writable()
                    is_first = is_text is None
                    if is_first:
                        is_text = isinstance(piece, str)
                    await socket.write_fragment(piece, is_first, False)
                # The end is a fragment of its own, so that no piece has to wait for the next one.
                await socket.until_writable()
                await socket.write_fragment("" if is_text else b"", is_text is None, True)
            except BaseException:
                if is_text is not None and socket.is_open:
                    socket.give_up(INTERNAL_ERROR)  # half a message cannot be taken back
                raise
