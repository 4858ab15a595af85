"""The bystander: one request on a fresh connection every 50 ms, in a process of its own, away from the attacker's GIL.

`python -m tests.security.probe PORT` runs until its stdin is closed, then prints one line of JSON: the latencies in
milliseconds, and how many requests failed.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

from tests import wire


def ask(port: int, path: bytes = b"/probe") -> bytes:
    """One request on a connection of its own; the body. Raises OSError when it fails."""
    reader = wire.FrameReader()
    body = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(wire.client_preface() + wire.request(1, path))
        while True:
            octets = sock.recv(65_536)
            if not octets:
                raise ConnectionError("the server closed the connection")
            for frame in reader.feed(octets):
                if frame.type == wire.DATA:
                    body += frame.content
                if frame.type in (wire.RST_STREAM, wire.GOAWAY):
                    raise ConnectionError(frame.name)
                if frame.end_stream:
                    return body


def main() -> None:
    """Ask until stdin is closed."""
    port = int(sys.argv[1])
    latencies: list[float] = []
    failed = 0
    while True:
        start = time.monotonic()
        try:
            ask(port)
            latencies.append((time.monotonic() - start) * 1000)
        except OSError:
            failed += 1
        rest = start + 0.05 - time.monotonic()
        if select.select([sys.stdin], [], [], max(0.0, rest))[0]:
            break
    print(json.dumps({"latencies": latencies, "failed": failed}))


if __name__ == "__main__":
    main()
