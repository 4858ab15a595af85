"""WebSocket (RFC 6455) with permessage-deflate (RFC 7692), without I/O: bytes of a tunnel in, events out, and back.

`connection.WebSocketConnection` is one open WebSocket, for either side. It stands on the sans-I/O protocol of the
`websockets` library and takes the common frames past it. `negotiation` has what the opening handshake agrees on, apart
from what HTTP itself does for it (RFC 6455 §4 on HTTP/1.1, RFC 8441 on HTTP/2). `frames` has the layout.
"""

from headrace.engine.ws.connection import WebSocketConnection
from headrace.engine.ws.events import (
    CloseReceived,
    Failed,
    MessageReceived,
    PingReceived,
    PongReceived,
    WebSocketEvent,
)

__all__ = [
    "CloseReceived",
    "Failed",
    "MessageReceived",
    "PingReceived",
    "PongReceived",
    "WebSocketConnection",
    "WebSocketEvent",
]
