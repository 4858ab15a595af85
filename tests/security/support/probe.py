"""The bystander: one request on a fresh connection every 20 ms, in a process of its own, away from the attacker's GIL.

`python -m tests.security.support.probe PORT PID` asks the server on PORT, which is process PID. What is told is the
latency without the time for which that process, or this one, was ready to run and the machine had no core for it
(Linux tells, in schedstat): the rest is what the server made others wait for.

On stdin, `begin` forgets what was measured and is answered once the server has answered again; `end` is answered, after
at least three rounds, by one line of JSON: latencies and waits for a core in milliseconds, and how many requests
failed. The end of stdin ends it.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from pathlib import Path

from tests.support import wire

EVERY_S = 0.02
ROUNDS = 3


def ask(port: int, path: bytes = b"/probe", timeout_s: float = 10.0) -> bytes:
    """One request on a connection of its own; the body. Raises OSError when it fails."""
    reader = wire.FrameReader()
    body = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as sock:
        sock.sendall(wire.client_preface() + wire.request(1, path))
        while True:
            data = sock.recv(65_536)
            if not data:
                raise ConnectionError("the server closed the connection")
            for frame in reader.feed(data):
                if frame.type == wire.DATA:
                    body += frame.content
                if frame.type in (wire.RST_STREAM, wire.GOAWAY):
                    raise ConnectionError(frame.name)
                if frame.end_stream:
                    return body


def waited_ms(process: str) -> float:
    """Milliseconds for which a process has been waiting for a core; 0 where the system does not tell."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e6
    except (OSError, IndexError):
        return 0.0


class Prober:
    """Asks for ever, in a thread."""

    def __init__(self, port: int, process: str) -> None:
        self.port = port
        self.process = process
        self.round = 0
        self.latencies: list[float] = []
        self.waits: list[float] = []
        self.failed = 0
        self._progress = threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    def _waited_ms(self) -> float:
        return waited_ms(self.process) + waited_ms("thread-self")

    def _run(self) -> None:
        while True:
            waited = self._waited_ms()
            start = time.monotonic()
            try:
                ask(self.port)
                answered = True
            except OSError:
                answered = False
            took = time.monotonic() - start
            waited = self._waited_ms() - waited
            with self._progress:
                if answered:
                    self.latencies.append(max(0.0, took * 1000 - waited))
                    self.waits.append(waited)
                else:
                    self.failed += 1
                self.round += 1
                self._progress.notify_all()
            time.sleep(max(0.0, EVERY_S - took))

    def begin(self) -> None:
        """Forget what was measured, once the server has answered."""
        self.until(1)
        with self._progress:
            self.latencies, self.waits, self.failed, self.round = [], [], 0, 0

    def until(self, rounds: int) -> None:
        """Wait for that many further rounds."""
        with self._progress:
            wanted = self.round + rounds
            self._progress.wait_for(lambda: self.round >= wanted)


def main() -> None:
    """Obey stdin."""
    prober = Prober(int(sys.argv[1]), sys.argv[2])
    for line in sys.stdin:
        if line == "begin\n":
            prober.begin()
            print("begun", flush=True)
        else:
            prober.until(max(1, ROUNDS - prober.round))
            found = {"latencies": prober.latencies, "waits": prober.waits, "failed": prober.failed}
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
