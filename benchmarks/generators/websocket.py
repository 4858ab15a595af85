"""Echoes over WebSocket: `python -m benchmarks.generators.websocket PORT ws1|ws2 SECONDS`.

Each of 64 WebSockets sends a text of 128 bytes, waits for it to come back, and sends the next one. Over HTTP/1.1 each
has a connection; over HTTP/2 (RFC 8441) four connections have 16 each. Each echo is compared. It prints one line of
JSON.
"""

from __future__ import annotations

import gc
import json
import select
import sys
import time
from typing import Final

from benchmarks.generators import wire
from benchmarks.generators.wire import Broken

SOCKETS: Final = 64
PER_CONNECTION: Final = 16  # over HTTP/2
TEXT: Final = b"0123456789abcdef" * 8
MASK: Final = b"\x37\xfa\x21\x3d"
ECHO: Final = b"\x81\x7e" + len(TEXT).to_bytes(2, "big") + TEXT
MESSAGE: Final = (
    b"\x81\xfe" + len(TEXT).to_bytes(2, "big") + MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(TEXT))
)
OPENING_LIMIT_S: Final = 10.0


class Upgraded:
    """A WebSocket on a connection of HTTP/1.1."""

    def __init__(self, port: int) -> None:
        self.peer = wire.connected(port, tls=False, alpn="")
        self.buffer = bytearray()
        self.peer.sendall(wire.H1_WEBSOCKET)
        self.is_open = False

    def receive(self) -> int:
        """Return how many echoes have come; send the next message for each."""
        wire.read(self.peer, self.buffer)
        if not self.is_open:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return 0
            if head[9:12] != b"101":
                raise Broken(f"no WebSocket: {bytes(head[:100])!r}")
            self.is_open, self.buffer = True, rest
            return 0
        if len(self.buffer) < len(ECHO):
            return 0
        if self.buffer != ECHO:
            raise Broken(f"a wrong echo: {bytes(self.buffer[:200])!r}")
        self.buffer.clear()
        self.begin()
        return 1

    def begin(self) -> None:
        self.peer.sendall(MESSAGE)


class Tunnelled:
    """Sixteen WebSockets on a connection of HTTP/2."""

    def __init__(self, port: int) -> None:
        self.peer = wire.connected(port, tls=False, alpn="")
        self.buffer = bytearray()
        self.echoes: dict[int, bytes] = {}
        self.connection_window = 65_535
        self.window = 65_535
        self.windows: dict[int, int] = {}
        self.stalled: list[int] = []
        self.peer.sendall(wire.opening())

    @property
    def is_open(self) -> bool:
        return len(self.echoes) == PER_CONNECTION

    def receive(self) -> int:
        """Return how many echoes have come; send the next message for each."""
        wire.read(self.peer, self.buffer)
        done = []
        for kind, flags, stream_id, payload in wire.frames(self.buffer):
            if kind == wire.DATA:
                echo = self.echoes[stream_id] + wire.content(flags, payload)
                if len(echo) >= len(ECHO):
                    if echo != ECHO:
                        raise Broken(f"a wrong echo: {echo[:200]!r}")
                    echo = b""
                    done.append(stream_id)
                self.echoes[stream_id] = echo
            elif kind == wire.WINDOW_UPDATE:
                self._widen(stream_id, int.from_bytes(payload, "big"))
            elif kind == wire.HEADERS:
                if flags & wire.END_STREAM:
                    raise Broken("no WebSocket: the stream ended")
                self.echoes[stream_id] = b""
            elif kind == wire.SETTINGS and not flags & wire.ACK:
                self._begin_streams(payload)
            elif kind == wire.PING and not flags & wire.ACK:
                self.peer.sendall(wire.frame(wire.PING, wire.ACK, 0, payload))
            elif kind in (wire.GOAWAY, wire.RST_STREAM):
                raise Broken(f"the server sent frame {kind}: {payload!r}")
        self._send(done)
        return len(done)

    def begin(self) -> None:
        self._send(list(self.echoes))

    def _begin_streams(self, settings: bytes) -> None:
        values = {
            int.from_bytes(settings[at : at + 2], "big"): int.from_bytes(settings[at + 2 : at + 6], "big")
            for at in range(0, len(settings), 6)
        }
        self.peer.sendall(wire.frame(wire.SETTINGS, wire.ACK, 0))
        if self.windows:
            return
        if values.get(8) != 1:
            raise Broken("no WebSocket over HTTP/2: SETTINGS_ENABLE_CONNECT_PROTOCOL is not 1")
        self.window = values.get(4, self.window)
        for stream_id in range(1, 2 * PER_CONNECTION, 2):
            self.windows[stream_id] = self.window
            self.peer.sendall(wire.frame(wire.HEADERS, wire.END_HEADERS, stream_id, wire.WEBSOCKET))

    def _widen(self, stream_id: int, by: int) -> None:
        if stream_id:
            self.windows[stream_id] = self.windows.get(stream_id, self.window) + by
        else:
            self.connection_window += by

    def _send(self, stream_ids: list[int]) -> None:
        """Send a message on each of the streams, or later where a window is too small."""
        size = len(MESSAGE)
        ready, self.stalled = self.stalled + stream_ids, []
        out = []
        for stream_id in ready:
            if self.connection_window < size or self.windows[stream_id] < size:
                self.stalled.append(stream_id)
                continue
            self.connection_window -= size
            self.windows[stream_id] -= size
            out.append(wire.frame(wire.DATA, 0, stream_id, MESSAGE))
        if out:
            self.peer.sendall(b"".join(out))


def run(port: int, protocol: str, seconds: float, warm_up: float) -> dict[str, float]:
    """Echo for so many seconds. Return how many came in how many. Raises Broken."""
    sockets: list[Upgraded | Tunnelled] = (
        [Upgraded(port) for _ in range(SOCKETS)]
        if protocol == "ws1"
        else [Tunnelled(port) for _ in range(SOCKETS // PER_CONNECTION)]
    )
    poll = select.epoll()
    by_fd = {each.peer.fileno(): each for each in sockets}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    limit = time.perf_counter() + OPENING_LIMIT_S
    while not all(each.is_open for each in sockets):
        if time.perf_counter() > limit:
            raise Broken("the WebSockets did not open")
        for fd, _ in poll.poll(0.1):
            by_fd[fd].receive()
    for each in sockets:
        each.begin()
    early = _echo(poll, by_fd, warm_up)
    start, cpu = time.perf_counter(), time.process_time()
    count = _echo(poll, by_fd, seconds)
    took = time.perf_counter() - start
    return {"count": count, "seconds": took, "total": early + count, "busy": (time.process_time() - cpu) / took}


def _echo(poll: select.epoll, by_fd: dict[int, Upgraded | Tunnelled], seconds: float) -> int:
    count, end = 0, time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        for fd, _ in poll.poll(left):
            count += by_fd[fd].receive()
    return count


def main() -> None:
    port, protocol, seconds = sys.argv[1:4]
    gc.disable()
    try:
        found: dict[str, object] = dict(run(int(port), protocol, float(seconds), 0.2))
    except (Broken, OSError) as error:
        found = {"fault": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
