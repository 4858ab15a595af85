"""The tunnel that a granted CONNECT or upgrade leaves open: bytes both ways on one exchange.

Input goes to a receiver at once, together with its share of the window; the sending side is a
`headrace.websocket.tunnel.Tunnel`. A WebSocket is such a receiver, and so is a connection through a proxy (RFC 9110
§9.3.6, RFC 8441).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.client.errors import ConnectionLost
from headrace.engine.errors import LocalError
from headrace.websocket.fair_share import ConnectionShare

if TYPE_CHECKING:
    import asyncio

    from headrace.client.connection.interface import Granted, Receiver


class ExchangeTunnel:
    """The sending side of a tunnel. It is over when both peers have ended their side, or with `abort`."""

    __slots__ = ("_ended", "_exchange", "_receiver", "_waiters", "blocked")

    def __init__(self, exchange: Granted, receiver: Receiver) -> None:
        self._exchange = exchange
        self._receiver = receiver
        self._ended = False
        self._waiters: list[asyncio.Future[None]] = []
        self.blocked: bool = False
        """True while the last write is not accepted."""

    @property
    def share(self) -> ConnectionShare:
        """Return the state that the WebSockets of this connection share; the first use makes it."""
        driver = self._exchange.driver
        share = driver.websocket_share
        if share is None:
            share = driver.websocket_share = ConnectionShare(driver.loop, driver.limits.max_connection_messages_size)
        return share

    # -- the sending side --------------------------------------------------------------------------------------

    async def unblocked(self) -> None:
        """Wait until the last write is accepted. Raises ConnectionLost when the tunnel is lost."""
        while self.blocked:
            self._check()
            waiter = self._exchange.driver.loop.create_future()
            self._waiters.append(waiter)
            await waiter
        self._check()

    def write(self, data: bytes, end: bool) -> None:
        """Send bytes, and with `end` the end of our side. Raises ConnectionLost when the tunnel is lost."""
        self._check()
        exchange = self._exchange
        driver = exchange.driver
        try:
            accepted = driver.engine.send_data(exchange.stream_id, data, end)
        except LocalError as error:
            raise ConnectionLost(
                f"nothing can be sent through the tunnel: {error}", url=exchange.outgoing.url
            ) from None
        self.blocked = not accepted
        if end:
            self._ended = True
            self._end_if_both()
        driver.schedule_flush()

    def consumed(self, count: int) -> None:
        """Count `count` bytes as consumed: the peer may send as many again."""
        exchange = self._exchange
        if not exchange.is_over:
            exchange.driver.acknowledge(exchange.stream_id, count)

    def abort(self) -> None:
        """End the tunnel in both directions at once. Do nothing when it has ended."""
        self._exchange.close()

    def abort_later(self, seconds: float) -> asyncio.TimerHandle:
        """Return a timer that does so. Its owner cancels it at the end."""
        return self._exchange.driver.loop.call_later(seconds, self.abort)

    # -- callbacks of the exchange -----------------------------------------------------------------------------

    def on_bytes(self, data: bytes, owed: int) -> None:
        """Pass bytes to the receiver."""
        self._receiver.on_bytes(data, owed, False)

    def on_peer_ended(self) -> None:
        """Tell the receiver that the peer sends no more."""
        self._receiver.on_bytes(b"", 0, True)
        self._end_if_both()

    def on_accepted(self) -> None:
        """Handle that the last write is accepted."""
        self.blocked = False
        self._wake()
        self._receiver.on_writable()

    def on_over(self) -> None:
        """Handle that the exchange is over."""
        self._wake()
        exchange = self._exchange
        if not (self._ended and exchange.peer_ended):
            error = exchange.error
            self._receiver.on_lost(str(error) if error is not None else "it was given up")

    # -- inside ------------------------------------------------------------------------------------------------

    def _end_if_both(self) -> None:
        exchange = self._exchange
        if self._ended and exchange.peer_ended and not exchange.is_over:
            exchange.driver.forget_exchange(exchange.stream_id)

    def _wake(self) -> None:
        waiters = self._waiters
        self._waiters = []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _check(self) -> None:
        exchange = self._exchange
        if exchange.is_over:
            why = str(exchange.error) if exchange.error is not None else "it has ended"
            raise ConnectionLost(f"the tunnel is lost: {why}", url="" if exchange.error else exchange.outgoing.url)


def open_tunnel(exchange: Granted, receiver: Receiver) -> ExchangeTunnel:
    """Pass the bytes of `exchange` to `receiver` from now on, beginning with those that have arrived already. Return
    the sending side. Raises RuntimeError when the request asked for no tunnel, or was not granted, and RequestError
    when the tunnel is lost already."""
    if exchange.error is not None:
        raise exchange.error
    if not exchange.is_tunnel or exchange.tunnel_writer is not None:
        raise RuntimeError("no tunnel is open here: the request asked for none, or the server did not grant it")
    if exchange.is_over:
        raise ConnectionLost("the tunnel was closed", url=exchange.outgoing.url)
    tunnel_writer = ExchangeTunnel(exchange, receiver)
    data, owed = exchange.take_early()
    exchange.tunnel_writer = tunnel_writer
    if data or owed:
        receiver.on_bytes(data, owed, False)
    if exchange.peer_ended:
        tunnel_writer.on_peer_ended()
    return tunnel_writer
