"""The other side of a fuzzed WebSocket: the `websockets` library as writer and as reader, and lengths on the wire."""

from __future__ import annotations

from typing import Any

from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.headers import build_extension, parse_extension
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol

from headrace.engine.ws import negotiation

from tests.fuzz.source import Source

FIELD = b"sec-websocket-extensions"


def agree(source: Source, is_client: bool) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the extensions of the engine, of its peer, and of a second reader in the engine's role."""
    if not source.flag():
        return [], [], []
    if is_client:
        offer = parse_extension(negotiation.offer_deflate().decode())[0][1]
        server = ServerPerMessageDeflateFactory(
            server_no_context_takeover=source.flag(), client_no_context_takeover=source.flag()
        )
        answer, peer = server.process_request_params(offer, [])
        value = build_extension([("permessage-deflate", answer)]).encode()
        ours = [negotiation.confirm_deflate([(FIELD, value)]) for _ in range(2)]
        return ours[0], [peer], ours[1]
    client = ClientPerMessageDeflateFactory(
        server_no_context_takeover=source.flag(), client_no_context_takeover=source.flag(), client_max_window_bits=True
    )
    offered = build_extension([("permessage-deflate", client.get_request_params())]).encode()
    value, ours_server = negotiation.accept_deflate([(FIELD, offered)])
    _, second = negotiation.accept_deflate([(FIELD, offered)])
    peer_client = client.process_response_params(parse_extension(value.decode())[0][1], [])
    return ours_server, [peer_client], second


def library(is_client: bool, extensions: list[Any]) -> Any:
    """Return an open WebSocket of the library."""
    protocol: Any = Protocol(CLIENT if is_client else SERVER, state=OPEN, max_size=None)
    protocol.extensions = extensions
    return protocol


class Reader:
    """Puts together what the library has read."""

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.parts: list[bytes] = []
        self.is_text = False
        self.seen: list[tuple[str, bytes]] = []

    def feed(self, data: bytes) -> None:
        """Read bytes."""
        self.protocol.receive_data(data)
        for frame in self.protocol.events_received():
            self.take(frame)
        self.protocol.data_to_send()

    def take(self, frame: Frame) -> None:
        """Note a frame."""
        if frame.opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            self.seen.append((frame.opcode.name, bytes(frame.data)))
            return
        if frame.opcode is not Opcode.CONT:
            self.is_text = frame.opcode is Opcode.TEXT
        self.parts.append(bytes(frame.data))
        if frame.fin:
            self.seen.append(("TEXT" if self.is_text else "BINARY", b"".join(self.parts)))
            self.parts = []

    def messages(self) -> list[tuple[str, bytes]]:
        """The messages among what came."""
        return [each for each in self.seen if each[0] in ("TEXT", "BINARY")]


def lengths_of(wire: bytes) -> list[int]:
    """Return the payload lengths of the data frames in `wire`, which holds whole frames (RFC 6455 §5.2)."""
    found = []
    while wire:
        is_control, is_masked, length, at = wire[0] & 8, wire[1] & 0x80, wire[1] & 0x7F, 2
        if length > 125:
            at += 2 if length == 126 else 8
            length = int.from_bytes(wire[2:at], "big")
        if not is_control:
            found.append(length)
        wire = wire[at + (4 if is_masked else 0) + length :]
    return found
