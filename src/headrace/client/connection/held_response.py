"""A streamed response as its reader holds it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.client.connection.interface import Receiver, Streamed
    from headrace.client.interface import Pairs, ResponseHead
    from headrace.websocket.tunnel import Tunnel


class HeldResponse:
    """A streamed response for its reader. When it is dropped before its end, which is a fault of the reader, the
    exchange is closed, so that its place on the connection is free again, and a ResourceWarning is emitted."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Streamed) -> None:
        self._exchange = exchange

    @property
    def head(self) -> ResponseHead:
        """Return the head of the final response."""
        return self._exchange.head

    @property
    def trailers(self) -> Pairs:
        """Return the trailer section, once the content has ended."""
        return self._exchange.trailers

    @property
    def is_complete(self) -> bool:
        """Return True when all of it has arrived, so that `receive` and `read` do not wait."""
        return self._exchange.is_over and self._exchange.error is None

    @property
    def info(self) -> dict[str, Any]:
        """See `Incoming.info`."""
        return self._exchange.info

    async def receive(self) -> bytes:
        """See `ClientExchange.receive`."""
        return await self._exchange.receive()

    async def read(self) -> bytes:
        """See `ClientExchange.read`."""
        return await self._exchange.read()

    def close(self) -> None:
        """See `ClientExchange.close`."""
        self._exchange.close()

    def tunnel(self, receiver: Receiver) -> Tunnel:
        """See `ClientExchange.tunnel`. From now on the caller must end the tunnel, and may drop this object."""
        return self._exchange.tunnel(receiver)

    def __del__(self) -> None:
        exchange = self._exchange
        if exchange.is_over or exchange.tunnel_writer is not None:
            if exchange.owed and not exchange.driver.loop.is_closed():
                # The reader has read only the head.
                exchange.driver.loop.call_soon_threadsafe(exchange.drop_content, context=exchange.driver.context.copy())
            return
        loop = exchange.driver.loop
        if not loop.is_closed():
            # The garbage collector may run in any thread, and in any context.
            loop.call_soon_threadsafe(exchange.close, context=exchange.driver.context.copy())
        warnings.warn(
            f"the response of {exchange.outgoing.url or 'a request'} was dropped before its end; read it, or close it",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )
