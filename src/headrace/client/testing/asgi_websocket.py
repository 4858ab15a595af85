"""A WebSocket to an ASGI application in memory: real frames over a tunnel between two objects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from headrace.client.interface import ResponseHead
from headrace.client.testing.asgi_response import WINDOW, ASGIResponse, ClientGone, pairs
from headrace.engine.message import BEFORE, COMPLETE, HELD, STREAMING
from headrace.engine.ws.connection import WebSocketConnection
from headrace.engine.ws.frames import ABNORMAL, INTERNAL_ERROR, NORMAL
from headrace.engine.ws.negotiation import offered_subprotocols
from headrace.transport.log import get_logger
from headrace.websocket.connection import WebSocket
from headrace.websocket.tunnel import Tunnel, WebSocketClosed

if TYPE_CHECKING:
    from headrace.client.testing.lifespan import ASGIMessage

error_log: Final = get_logger("headrace.error")
_DENIAL: Final = {
    "websocket.http.response.start": "http.response.start",
    "websocket.http.response.body": "http.response.body",
}


class MemoryTunnel:
    """One end of a tunnel in memory; see `headrace.websocket.tunnel.Tunnel`. Written bytes arrive in the loop's next
    turn; WINDOW bytes may be on their way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.receiver: Any = None
        self.other: MemoryTunnel = self
        self._loop = loop
        self._unread = 0
        self._is_gone = False
        self._waiters: list[asyncio.Future[None]] = []

    @classmethod
    def pair(cls, loop: asyncio.AbstractEventLoop) -> tuple[MemoryTunnel, MemoryTunnel]:
        """Return both ends."""
        one, two = cls(loop), cls(loop)
        one.other, two.other = two, one
        return one, two

    @property
    def blocked(self) -> bool:
        """Return True while more than WINDOW bytes are not consumed."""
        return self._unread > WINDOW and not self._is_gone

    async def unblocked(self) -> None:
        """Wait until there is room. Raises OSError when the tunnel is lost."""
        while self.blocked:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter
        if self._is_gone:
            raise ClientGone("the other end is lost")

    def write(self, data: bytes, end: bool) -> None:
        """Send bytes, and with `end` the end of this side."""
        if self._is_gone:
            raise ClientGone("the other end is lost")
        self._unread += len(data)
        self._loop.call_soon(self.other._deliver, data, end)

    def consumed(self, count: int) -> None:
        """Make room for the other end."""
        self._loop.call_soon(self.other._make_room, count)

    def abort(self) -> None:
        """End both directions."""
        if not self._is_gone:
            self._lose()
            self._loop.call_soon(self.other._lose)

    def abort_later(self, seconds: float) -> asyncio.TimerHandle:
        """Return a timer that does so."""
        return self._loop.call_later(seconds, self.abort)

    def _deliver(self, data: bytes, end: bool) -> None:
        if not self._is_gone:
            self.receiver.on_bytes(data, len(data), end)

    def _make_room(self, count: int) -> None:
        was_blocked = self.blocked
        self._unread -= count
        if was_blocked and not self.blocked:
            self._wake()
            self.receiver.on_writable()

    def _lose(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._wake()
            self.receiver.on_lost("the other end is lost")

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class ASGIHandshake(ASGIResponse):
    """The application's answer to a request for a WebSocket: accepted with a tunnel, or a refusal with its content."""

    head: ResponseHead

    socket: WebSocket | None = None
    """The application's end."""
    is_announced: bool = False
    _ends: tuple[MemoryTunnel, MemoryTunnel] | None = None

    def tunnel(self, receiver: Any) -> Tunnel:
        """Return the client's end of the tunnel, once the application has accepted."""
        assert self._ends is not None
        self._ends[0].receiver = receiver
        return self._ends[0]

    def close(self) -> None:
        """Give up the request, or the tunnel."""
        if self._ends is not None:
            self._ends[1].abort()
        super().close()

    def _scope(self) -> dict[str, Any]:
        outgoing = self._outgoing
        scope = self._transport.scope(outgoing, "websocket")
        scope["scheme"] = "wss" if outgoing.origin.scheme == "https" else "ws"
        scope["subprotocols"] = offered_subprotocols(outgoing.headers)
        scope["extensions"] = {"websocket.http.response": {}}
        return scope

    async def _finish(self) -> None:
        if self.socket is not None:
            await self.socket.finish()
        else:
            await super()._finish()

    def _fail(self, error: Exception) -> None:
        if self.socket is None:
            super()._fail(error)
        elif not isinstance(error, ClientGone) or self.socket.is_open:
            error_log.error("the ASGI application failed in a WebSocket", exc_info=error)
            self.socket.give_up(INTERNAL_ERROR)

    async def _receive(self) -> ASGIMessage:
        if not self.is_announced:
            self.is_announced = True
            return {"type": "websocket.connect"}
        while self.socket is None:
            if self._is_gone or self._progress == COMPLETE:
                return {"type": "websocket.disconnect", "code": ABNORMAL, "reason": ""}
            await self._until_woken()
        try:
            message = await self.socket.receive()
        except WebSocketClosed as closed:
            return {"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason}
        return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}

    async def _send(self, message: ASGIMessage) -> None:
        kind = message["type"]
        socket = self.socket
        if socket is None:
            await self._answer(kind, message)
        elif kind == "websocket.send":
            data = message.get("bytes")
            try:
                await socket.send(message["text"] if data is None else data)
            except WebSocketClosed as closed:
                raise ClientGone(str(closed)) from None
        elif kind == "websocket.close":
            if not socket.is_open:
                raise ClientGone("the WebSocket is already closed")
            socket.close_soon(message.get("code") or NORMAL, message.get("reason") or "")
        else:
            raise RuntimeError(f"unexpected ASGI message '{kind}': expected are 'websocket.send' and 'websocket.close'")

    async def _answer(self, kind: str, message: ASGIMessage) -> None:
        if kind == "websocket.accept" and self._progress == BEFORE:
            if self._is_gone:
                raise ClientGone("the client has given up the request")
            self._accept(message)
        elif kind == "websocket.close" and self._progress == BEFORE:
            await super()._send({"type": "http.response.start", "status": 403})
            await super()._send({"type": "http.response.body"})
        elif kind in _DENIAL and (self._progress in (HELD, STREAMING) or kind.endswith("start")):
            await super()._send({**message, "type": _DENIAL[kind]})
        else:
            raise RuntimeError(f"unexpected ASGI message '{kind}' for the handshake of a WebSocket")

    def _accept(self, message: ASGIMessage) -> None:
        headers = pairs(message.get("headers") or ())
        subprotocol = message.get("subprotocol")
        if subprotocol is not None:
            headers.append((b"sec-websocket-protocol", subprotocol.encode("latin-1")))
        self._ends = MemoryTunnel.pair(self._loop)
        end = self._ends[1]
        self.socket = end.receiver = WebSocket(
            end, WebSocketConnection(is_client=False), self._loop, ping_interval_s=None, subprotocol=subprotocol
        )
        version = self._transport.http_version
        self.head = ResponseHead(200 if version == "2" else 101, headers, version)
        self._progress = STREAMING
        self._tell()
