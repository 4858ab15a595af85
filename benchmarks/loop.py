"""Messages that a loop response delivers a second: subscribers on the bus, each with a request of its own that is open.

`python -m benchmarks.loop` serves on one core and reads on another. One request publishes the messages, one a turn of
the server's event loop; the clock runs from there until the last subscriber has the last one. Each message is counted.
"""

from __future__ import annotations

import argparse
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.generators.wire import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    REQUEST,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from benchmarks.servers.memory import raise_open_files

ROOT: Final = Path(__file__).resolve().parent.parent
STREAMS: Final = 100  # requests on one connection of HTTP/2
MARK: Final = b"~"  # ends each message, and stands nowhere else on the wire
LIMIT_S: Final = 60.0


class Subscribers:
    """Open requests, on a connection each over HTTP/1.1, or 100 on a connection over HTTP/2."""

    def __init__(self, port: int, protocol: str, count: int) -> None:
        self.sockets: list[socket.socket] = []
        self.selector = selectors.DefaultSelector()
        per_connection = STREAMS if protocol == "h2" else 1
        for _ in range(count // per_connection):
            peer = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
            if protocol == "h2":
                peer.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")))
                ids = range(1, 2 * per_connection, 2)
                peer.sendall(b"".join(frame(HEADERS, END_STREAM | END_HEADERS, each, REQUEST) for each in ids))
                _heads(peer, per_connection)
                peer.sendall(frame(SETTINGS, ACK, 0))
            else:
                peer.sendall(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += peer.recv(4096)
            peer.setblocking(False)
            self.selector.register(peer, selectors.EVENT_READ)
            self.sockets.append(peer)

    def take(self, expected: int) -> None:
        """Read until all have come. Raises RuntimeError when they do not, or more do."""
        got = 0
        end = time.monotonic() + LIMIT_S
        while got < expected:
            ready = self.selector.select(1.0)
            if time.monotonic() > end:
                raise RuntimeError(f"{got} of {expected} messages came")
            for key, _ in ready:
                data = key.fileobj.recv(262_144)  # type: ignore[union-attr]
                if not data:
                    raise RuntimeError("the server closed a connection")
                got += data.count(MARK)
        if got > expected:
            raise RuntimeError(f"{got} messages came, {expected} were sent")

    def close(self) -> None:
        self.selector.close()
        for each in self.sockets:
            each.close()


def _heads(peer: socket.socket, count: int) -> None:
    """Read frames until `count` responses have begun."""
    buffer = b""
    while count:
        buffer += peer.recv(65_536)
        while len(buffer) >= 9 and len(buffer) >= (size := 9 + int.from_bytes(buffer[:3], "big")):
            count -= buffer[3] == HEADERS
            buffer = buffer[size:]


def measure(port: int, protocol: str, subscribers: int, messages: int, rounds: int) -> list[float]:
    """Messages a second, a value a round."""
    open_requests = Subscribers(port, protocol, subscribers)
    try:
        rates = []
        for _ in range(rounds):
            with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as publisher:
                start = time.perf_counter()
                publisher.sendall(f"GET /publish?{messages} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
                open_requests.take(subscribers * messages)
                rates.append(subscribers * messages / (time.perf_counter() - start))
                answer = publisher.recv(4096)
            if not answer.endswith(f"\r\n\r\n{subscribers * messages}".encode()):
                raise RuntimeError(f"the publisher was told: {answer!r}")
        return rates
    finally:
        open_requests.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscribers", type=int, default=1000, help="open requests, a multiple of 100")
    parser.add_argument("--messages", type=int, default=100, help="messages to each of them, a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    raise_open_files(options.subscribers + 100)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})  # inherited by the server
    command = [sys.executable, "-m", "headrace", "serve", "benchmarks.apps.loop_app:handler", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True) as server:
        os.sched_setaffinity(0, {cores[-1]})
        try:
            assert server.stdout is not None
            port = 0
            while not port:
                line = server.stdout.readline()
                if not line:
                    raise RuntimeError("the server did not start")
                found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
                port = int(found[1]) if found else 0
            for protocol in ("h1", "h2"):
                rates = measure(port, protocol, options.subscribers, options.messages, options.rounds)
                print(
                    f"loop {protocol}: {options.subscribers} subscribers x {options.messages} messages: "
                    f"{statistics.median(rates):,.0f} messages/s (from {min(rates):,.0f} to {max(rates):,.0f})",
                    flush=True,
                )
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
