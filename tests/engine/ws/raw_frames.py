"""Frames written by hand, as a peer that may lie: nothing here comes from headrace or from the `websockets` library."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from headrace.engine.ws import MessageReceived, WebSocketEvent

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"  # of the examples in RFC 6455 §5.7


def frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK) -> bytes:
    """One frame (RFC 6455 §5.2), masked unless `mask` is None."""
    first = (0x80 if fin else 0) | rsv | opcode
    bit = 0x80 if mask is not None else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if mask is None:
        return head + payload
    repeated = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
    return head + mask + masked


def close(code: int | None, reason: str | bytes = b"", *, mask: bytes | None = MASK) -> bytes:
    """A close frame; without a code when that is None."""
    data = reason.encode() if isinstance(reason, str) else reason
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + data, mask=mask)


def messages(events: Sequence[WebSocketEvent]) -> list[str | bytes]:
    """What the messages among `events` hold."""
    return [each.data for each in events if isinstance(each, MessageReceived)]
