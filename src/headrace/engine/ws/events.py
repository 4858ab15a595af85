"""The events of a WebSocket, named in the past tense. `kind` lets an owner dispatch with one comparison of ints."""

from __future__ import annotations

from typing import ClassVar, Final

MESSAGE: Final = 1
PING: Final = 2
PONG: Final = 3
CLOSE: Final = 4
FAILED: Final = 5


class WebSocketEvent:
    """Base of all events of a WebSocket."""

    kind: ClassVar[int] = 0


class MessageReceived(WebSocketEvent):
    """A whole message (RFC 6455 §5.6): `data` is text for a text message, bytes for a binary one. `size` is the charge
    for keeping it, in bytes."""

    kind: ClassVar[int] = MESSAGE

    def __init__(self, data: str | bytes, size: int) -> None:
        self.data = data
        self.size = size

    def __repr__(self) -> str:
        return f"MessageReceived(data={self.data!r})"


class PingReceived(WebSocketEvent):
    """A ping (RFC 6455 §5.5.2). Its pong is in the output already, or will be."""

    kind: ClassVar[int] = PING

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"PingReceived(data={self.data!r})"


class PongReceived(WebSocketEvent):
    """A pong (RFC 6455 §5.5.3), asked for or not."""

    kind: ClassVar[int] = PONG

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"PongReceived(data={self.data!r})"


class CloseReceived(WebSocketEvent):
    """The peer's close frame (RFC 6455 §5.5.1), 1005 for one without a code; ours is in the output. The last event."""

    kind: ClassVar[int] = CLOSE

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason

    def __repr__(self) -> str:
        return f"CloseReceived(code={self.code}, reason={self.reason!r})"


class Failed(WebSocketEvent):
    """The connection failed (RFC 6455 §7.1.7): the peer broke a rule or passed a limit, and a close frame with `code`
    and `reason` is in the output; or, with 1006, the tunnel ended without a close frame. No event follows."""

    kind: ClassVar[int] = FAILED

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason

    def __repr__(self) -> str:
        return f"Failed(code={self.code}, reason={self.reason!r})"
