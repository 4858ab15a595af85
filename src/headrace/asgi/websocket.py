"""A WebSocket of an ASGI application: its scope, and `receive` and `send` (ASGI WebSocket, specification 2.5).

The WebSocket itself is the class of native handlers; this module only translates it to ASGI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.asgi.http import HTTPCycle
from headrace.engine.message import BEFORE, COMPLETE, HELD, STREAMING
from headrace.engine.ws.frames import ABNORMAL, NORMAL
from headrace.engine.ws.negotiation import offered_subprotocols
from headrace.server.connection.exchange import ServerExchange
from headrace.server.connection.inbox import Inbox
from headrace.server.errors import ClientDisconnected
from headrace.server.handlers.headers import HeaderList, header_list
from headrace.server.handlers.websocket import abandon, open_tunnel, refuse_handshake
from headrace.websocket.tunnel import WebSocketClosed

if TYPE_CHECKING:
    from headrace.asgi.types import ASGIMessage, ASGIScope
    from headrace.websocket.connection import WebSocket

_SCHEMES: Final = {"http": "ws", "https": "wss"}


class WebSocketCycle(ServerExchange):
    """A request for a WebSocket, and the WebSocket, driven by an ASGI application."""

    inbox: Inbox | None

    socket: WebSocket | None = None
    """None until the application has accepted."""
    is_announced: bool = False
    """True once `receive` has returned websocket.connect."""
    denial: tuple[int, HeaderList] | None = None
    """Status and headers of a refusal that waits for the first piece of its content."""

    async def run(self) -> None:
        """Run the application on the request, then end the WebSocket or the refusal."""
        try:
            refusal = refuse_handshake(self.head)
            if refusal is not None:
                await self.respond(refusal.status, header_list(refusal.headers), refusal.body)
            else:
                try:
                    await self.driver.handler(self._scope(), self.receive, self.send)
                except ClientDisconnected:
                    if self.socket is None or self.socket.is_open:
                        raise
                await self._finish()
        except BaseException as error:
            if self.socket is not None:
                abandon(self, self.socket, error)
            if self.fail(error):
                raise
        finally:
            self.end()

    def _scope(self) -> ASGIScope:
        scope = HTTPCycle._scope(self)  # type: ignore[arg-type]  # asks for `head` and `driver` only
        scope["type"] = "websocket"
        scope["scheme"] = _SCHEMES.get(scope["scheme"], "ws")
        scope["subprotocols"] = offered_subprotocols(self.head.headers)
        extensions: dict[str, dict[str, Any]] = {"websocket.http.response": {}}
        if "tls" in scope["extensions"]:
            extensions["tls"] = scope["extensions"]["tls"]
        scope["extensions"] = extensions
        del scope["method"]
        state = self.driver.app_state
        if state is not None:
            scope["state"] = state.copy()
        return scope

    async def _finish(self) -> None:
        """Handle the application's return."""
        if self.socket is not None:
            await self.socket.finish()
        elif self.progress != COMPLETE and self.gone is None:
            when = "without accepting or closing" if self.progress == BEFORE else "before its refusal was complete"
            raise RuntimeError(f"the ASGI application returned from a WebSocket {when}")

    # -- receive -----------------------------------------------------------------------------------------------

    async def receive(self) -> ASGIMessage:
        """Handle ASGI's `receive`."""
        if not self.is_announced:
            self.is_announced = True
            return {"type": "websocket.connect"}
        while self.socket is None:
            if self.gone is not None or self.progress == COMPLETE:
                return {"type": "websocket.disconnect", "code": ABNORMAL, "reason": self.gone or ""}
            inbox = self.inbox
            if inbox is None:
                inbox = self.inbox = Inbox(ended=True)  # a place to wait
            await inbox.changed(self.driver.loop)
        try:
            message = await self.socket.receive()
        except WebSocketClosed as closed:
            return {"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason}
        if isinstance(message, str):
            return {"type": "websocket.receive", "text": message}
        return {"type": "websocket.receive", "bytes": message}

    # -- send --------------------------------------------------------------------------------------------------

    async def send(self, message: ASGIMessage) -> None:
        """Handle ASGI's `send`. Raises ClientDisconnected, an OSError, once the WebSocket is closed."""
        kind = message["type"]
        socket = self.socket
        if socket is None:
            await self._send_before(kind, message)
        elif kind == "websocket.send":
            data = message.get("bytes")
            if data is None:
                data = message.get("text")
            if not isinstance(data, (str, bytes, bytearray, memoryview)):
                raise TypeError(f"'websocket.send' has text or bytes, not {type(data).__name__}")
            try:
                await socket.send(data)
            except WebSocketClosed as closed:
                raise ClientDisconnected(str(closed)) from None
        elif kind == "websocket.close":
            if not socket.is_open:
                raise ClientDisconnected("the WebSocket is closed already")
            socket.close_soon(message.get("code") or NORMAL, message.get("reason") or "")
        else:
            raise RuntimeError(f"unexpected ASGI message '{kind}': expected are 'websocket.send' and 'websocket.close'")

    async def _send_before(self, kind: str, message: ASGIMessage) -> None:
        """Handle the messages that answer the handshake."""
        if self.gone is not None:
            raise self.disconnected(None)
        if self.progress == COMPLETE:
            raise RuntimeError(f"unexpected ASGI message '{kind}': the WebSocket was refused")
        if self.progress != BEFORE:
            if kind != "websocket.http.response.body":
                raise RuntimeError(f"unexpected ASGI message '{kind}': expected is 'websocket.http.response.body'")
            await self._send_denial(bytes(message.get("body", b"")), bool(message.get("more_body", False)))
        elif kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            await self.respond(403, (), b"")
        elif kind == "websocket.http.response.start":
            self.denial = (message["status"], header_list(message.get("headers", ())))
            self.progress = HELD
        else:
            raise RuntimeError(
                f"unexpected ASGI message '{kind}': expected are 'websocket.accept', 'websocket.close' and "
                "'websocket.http.response.start'"
            )

    def _accept(self, message: ASGIMessage) -> None:
        headers = header_list(message.get("headers") or ())
        if any(name == b"sec-websocket-protocol" for name, _ in headers):
            raise ValueError("the subprotocol is the key 'subprotocol' of 'websocket.accept', not a header")
        application: Any = self.driver.service.application
        self.socket = open_tunnel(
            self, headers, subprotocol=message.get("subprotocol"), compression=application.websocket_compression
        )

    async def _send_denial(self, body: bytes, is_more: bool) -> None:
        """Handle a piece of the response that refuses the handshake."""
        if self.progress == HELD:
            assert self.denial is not None
            status, headers = self.denial
            if not is_more:
                await self.respond(status, headers, body)
                return
            self.start(status, headers)
        if self.progress == STREAMING:
            await self.write(body, not is_more)
