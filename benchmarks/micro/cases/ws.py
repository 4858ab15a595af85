"""WebSocket: the engine of either role, its peer's frames written beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from headrace.engine.ws import WebSocketConnection, negotiation

from benchmarks.micro.case import Case, Work

MESSAGES: Final = 1_000
COMPRESSED: Final = 100
TEXT: Final = "a message of an ordinary chat, of about eighty characters: who reads this is curious"
LARGE: Final = bytes(range(256)) * 256


def frame(first: int, payload: bytes, mask: bytes = b"") -> bytes:
    """Return a frame, masked if there is a mask (RFC 6455 §5.2)."""
    size = len(payload)
    bit = 0x80 if mask else 0
    if size < 126:
        header = bytes((first, bit | size))
    elif size < 65_536:
        header = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        header = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    if mask:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return header + mask + payload


def receiving(data: bytes, count: int, *, is_client: bool = False) -> Callable[[], Work]:
    """Return a case of messages that come one a read."""

    def make() -> Work:
        conn = WebSocketConnection(is_client)

        def work() -> None:
            for _ in range(count):
                assert conn.receive_data(data)

        return work

    return make


def sending(*, is_client: bool) -> Callable[[], Work]:
    def make() -> Work:
        conn = WebSocketConnection(is_client)

        def work() -> None:
            for _ in range(MESSAGES):
                conn.send_text(TEXT)
                conn.take_output()

        return work

    return make


def agreed() -> tuple[list[Any], list[Any]]:
    """Return the extensions of a server and of its client, both with permessage-deflate."""
    field = b"sec-websocket-extensions"
    value, server = negotiation.accept_deflate([(field, negotiation.offer_deflate())])
    return server, negotiation.confirm_deflate([(field, value)])


def deflated() -> Work:
    """An echo of compressed messages."""
    ours, theirs = agreed()
    conn, peer = WebSocketConnection(False, extensions=ours), WebSocketConnection(True, extensions=theirs)
    reads = []
    for number in range(COMPRESSED):
        peer.send_text(f"{number} {TEXT}")
        reads.append(peer.take_output())

    def work() -> None:
        for data in reads:
            for event in conn.receive_data(data):
                conn.send_text(event.data)  # type: ignore[attr-defined]  # all of them are messages
            conn.take_output()

    return work


CASES: Final = (
    Case("ws: receive a text", receiving(frame(0x81, TEXT.encode(), b"mask"), MESSAGES), MESSAGES),
    Case("ws: receive 64 KiB", receiving(frame(0x82, LARGE, b"mask"), 10), 10),
    Case("ws: send a text", sending(is_client=False), MESSAGES),
    Case("ws: echo a compressed text", deflated, COMPRESSED),
    Case("ws: client, receive a text", receiving(frame(0x81, TEXT.encode()), MESSAGES, is_client=True), MESSAGES),
    Case("ws: client, send a text", sending(is_client=True), MESSAGES),
)
