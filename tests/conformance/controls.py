"""Servers that must do badly in a conformance suite: if they pass, the suite did not run.

`closes_at_once` ends every connection without a word. `says_yes` knows frame headers and nothing else: it acknowledges
SETTINGS and PING, and answers 200 to whatever carries END_HEADERS.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from tests.support import wire

Behaviour = Callable[[socket.socket], None]
PAGE = b"x" * 1024
STATUS_200 = b"\x88"  # RFC 7541 Appendix A, index 8


def closes_at_once(peer: socket.socket) -> None:
    """The worst server there is."""


def says_yes(peer: socket.socket) -> None:
    """A server that never refuses."""
    peer.sendall(wire.frame(wire.SETTINGS, 0, 0, b""))
    if not read_exactly(peer, len(wire.PREFACE)):
        return
    while head := read_exactly(peer, 9):
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream_id = int.from_bytes(head[5:], "big") & 0x7FFF_FFFF
        payload = read_exactly(peer, length) if length else b""
        if kind in (wire.SETTINGS, wire.PING) and not flags & wire.ACK:
            peer.sendall(wire.frame(kind, wire.ACK, 0, payload if kind == wire.PING else b""))
        elif kind in (wire.HEADERS, wire.CONTINUATION) and flags & wire.END_HEADERS:
            peer.sendall(
                wire.frame(wire.HEADERS, wire.END_HEADERS, stream_id, STATUS_200)
                + wire.frame(wire.DATA, wire.END_STREAM, stream_id, PAGE)
            )


def read_exactly(peer: socket.socket, length: int) -> bytes:
    """`length` bytes, or b"" when the peer ends before them."""
    got = bytearray()
    while len(got) < length:
        more = peer.recv(length - len(got))
        if not more:
            return b""
        got += more
    return bytes(got)


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[int]:
    """Runs `behaviour` on every connection to a free port of 127.0.0.1, which is the value."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=accept_all, args=(listener, behaviour), daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts


def accept_all(listener: socket.socket, behaviour: Behaviour) -> None:
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=serve_one, args=(peer, behaviour), daemon=True).start()


def serve_one(peer: socket.socket, behaviour: Behaviour) -> None:
    with peer, contextlib.suppress(OSError):
        peer.settimeout(10)
        behaviour(peer)
