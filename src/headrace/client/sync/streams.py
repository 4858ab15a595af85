"""Event streams and WebSockets for synchronous code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from headrace.client.calls.sse import EventSource, ServerSentEvent
from headrace.client.loop_thread import LoopThread

if TYPE_CHECKING:
    from headrace.client.calls.websocket import WebSocketSession
    from headrace.websocket.connection import WebSocket
    from headrace.websocket.intake import WebSocketMessage


class SyncEventSource:
    """The result of `SyncClient.sse`; see `Client.sse`."""

    def __init__(self, thread: LoopThread, source: EventSource) -> None:
        self._thread = thread
        self._source = source

    @property
    def last_event_id(self) -> str:
        """Return the id of the last complete event."""
        return self._source.last_event_id

    def __enter__(self) -> Self:
        self._thread.run(self._source.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the stream, also from another thread."""
        self._thread.run(self._source.aclose())

    def __iter__(self) -> Iterator[ServerSentEvent]:
        return self._thread.iterate(self._source.__aiter__())


class SyncWebSocket:
    """The result of `SyncClient.websocket`: a WebSocket with plain methods. One thread may receive while another sends.

    Entering its block opens it; see `Client.websocket`. Its methods raise the errors of `headrace.WebSocket`.
    """

    def __init__(self, thread: LoopThread, session: WebSocketSession) -> None:
        self._thread = thread
        self._session = session

    @property
    def socket(self) -> WebSocket:
        """Return the WebSocket itself, to read its attributes. Raises RuntimeError before it is open."""
        if self._session.socket is None:
            raise RuntimeError("the WebSocket is not open: enter its block first")
        return self._session.socket

    @property
    def subprotocol(self) -> str | None:
        """Return the subprotocol that the server chose, or None."""
        return self.socket.subprotocol

    @property
    def is_open(self) -> bool:
        """Return True until either side has closed it."""
        return self.socket.is_open

    def __enter__(self) -> Self:
        self._thread.run(self._session.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        self._thread.run(self._session.__aexit__(kind, *details))

    def send(self, message: WebSocketMessage | bytearray | memoryview) -> None:
        """Send text or bytes. Return when they are accepted for sending."""
        self._thread.run(self.socket.send(message))

    def receive(self) -> WebSocketMessage:
        """Return the next message. Raises WebSocketClosed at the end."""
        return self._thread.run(self.socket.receive())

    def ping(self) -> float:
        """Send a ping and return the seconds until its pong."""
        return self._thread.run(self.socket.ping())

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, and wait for the server's close frame."""
        self._thread.run(self.socket.close(code, reason))

    def __iter__(self) -> Iterator[WebSocketMessage]:
        source = self.socket.__aiter__()

        async def following() -> tuple[bool, WebSocketMessage]:
            try:
                return True, await anext(source)
            except StopAsyncIteration:
                return False, ""

        while True:
            is_there, message = self._thread.run(following())
            if not is_there:
                return
            yield message
