"""Bytes for the load generators, made by hand: no client of the race writes or reads them.

Field sections refer to HPACK's static table alone (RFC 7541 §6.1, §6.2.2), so all requests of a connection have the
same bytes. Received field sections are not decoded: a response counts by its content.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK, END_STREAM, END_HEADERS, PADDED = 1, 1, 4, 8
# :method GET, :scheme http, :path /; then :authority as a literal.
REQUEST: Final = b"\x82\x86\x84\x01\x09127.0.0.1"
REQUEST_TLS: Final = b"\x82\x87\x84\x01\x09127.0.0.1"
# :method CONNECT, :scheme http, :path /ws, :authority, :protocol, sec-websocket-version (RFC 8441 §4).
WEBSOCKET: Final = (
    b"\x02\x07CONNECT\x86\x04\x03/ws\x01\x09127.0.0.1\x00\x09:protocol\x09websocket\x00\x15sec-websocket-version\x0213"
)
H1_REQUEST: Final = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
H1_WEBSOCKET: Final = (
    b"GET /ws HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
WINDOW: Final = (1 << 31) - 1
READ: Final = 262_144


class Broken(Exception):
    """The server did something that the load does not expect."""


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return a frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def opening() -> bytes:
    """Return the preface of a client that never has to send WINDOW_UPDATE again."""
    settings = b"\x00\x02\x00\x00\x00\x00" + b"\x00\x04" + WINDOW.to_bytes(4, "big")  # no push; window of a stream
    return PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, (WINDOW - 65_535).to_bytes(4, "big"))


def frames(buffer: bytearray) -> Iterator[tuple[int, int, int, bytes]]:
    """Take all complete frames out of `buffer`: kind, flags, stream, payload."""
    at, size = 0, len(buffer)
    while size - at >= 9:
        end = at + 9 + (buffer[at] << 16 | buffer[at + 1] << 8 | buffer[at + 2])
        if end > size:
            break
        yield (
            buffer[at + 3],
            buffer[at + 4],
            int.from_bytes(buffer[at + 5 : at + 9], "big") & WINDOW,
            bytes(buffer[at + 9 : end]),
        )
        at = end
    del buffer[:at]


def content(flags: int, payload: bytes) -> bytes:
    """Return the content of a DATA frame, without padding."""
    return payload[1 : len(payload) - payload[0]] if flags & PADDED else payload


def connected(port: int, *, tls: bool, alpn: str) -> socket.socket:
    """Return a connection that is open, and whose reads do not wait."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer: socket.socket = plain
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # made for this race, by itself
        context.set_alpn_protocols([alpn])
        peer = context.wrap_socket(plain, server_hostname="127.0.0.1")
    peer.setblocking(False)
    return peer


def read(peer: socket.socket, buffer: bytearray) -> None:
    """Add to `buffer` the bytes that are there. Raises Broken at the end of the connection."""
    try:
        while True:
            data = peer.recv(READ)
            if not data:
                raise Broken("the server closed a connection")
            buffer += data
            if not isinstance(peer, ssl.SSLSocket):  # a record may wait inside the object, where epoll does not see it
                return
    except (BlockingIOError, ssl.SSLWantReadError):
        return
    except OSError as error:
        raise Broken(f"a connection ended: {error}") from None
