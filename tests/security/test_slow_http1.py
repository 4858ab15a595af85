"""Slowloris over HTTP/1.1: 200 slow clients, wherever they sit, keep no worker; 200 others go on.

The harness is that of test_slow_clients.py, which has the phases of TLS and HTTP/2.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.security.support.harness import Server, victim
from tests.security.support.rows import MB
from tests.security.test_slow_clients import (
    CLIENTS,
    DEADLINE_S,
    DEADLINES,
    GRACE_S,
    PATIENCE_S,
    TICK_S,
    Phase,
    again,
    bytes_of,
    run,
)

pytestmark = pytest.mark.slow

PROBE = b"GET /probe HTTP/1.1\r\nhost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


def phases() -> dict[str, Phase]:
    """What each of them says at once, and what it adds every tenth of a second."""
    said = {
        "request line": (b"GET /", bytes_of(b"a" * 300)),
        "empty lines": (b"", bytes_of(b"\r\nGET /" + b"a" * 300)),
        "field": (b"GET / HTTP/1.1\r\nhost: a\r\nx: ", bytes_of(b"a" * 300)),
        "fields": (b"GET / HTTP/1.1\r\nhost: a\r\n", again(b"x: y\r\n")),
        "the end of a head": (b"GET / HTTP/1.1\r\nhost: a\r\n\r", again(b"")),
        "content": (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n", again(b"x")),
        "content, not begun": (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n", again(b"")),
        "size of a chunk": (CHUNKED, bytes_of(b"0" * 300)),
        "chunks of a byte": (CHUNKED, again(b"1\r\nx\r\n")),
        "extension": (CHUNKED + b"1;a=", bytes_of(b"a" * 300)),
        "trailers": (CHUNKED + b"0\r\n", again(b"x: y\r\n")),
        "between requests": (PROBE, again(b"")),
        "the next request": (PROBE, bytes_of(PROBE)),
        "the next request, sent along": (PROBE + PROBE[:20], again(b"")),
    }  # fmt: skip
    return {name: Phase(opening, trickle, frames=False) for name, (opening, trickle) in said.items()}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Every deadline is a second."""
    with victim("sleep", dict.fromkeys(DEADLINES, DEADLINE_S)) as running:
        yield running


class Others(threading.Thread):
    """200 ordinary clients at once, again and again until told to stop. `served` has the answers of each round."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.served: list[int] = []
        self.stop = threading.Event()

    def run(self) -> None:
        while True:
            with contextlib.ExitStack() as stack:
                socks = []
                for _ in range(CLIENTS):
                    sock = stack.enter_context(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S))
                    sock.sendall(PROBE + PROBE)
                    socks.append(sock)
                self.served.append(sum(is_served(sock) for sock in socks))
            if self.stop.is_set():
                return


def is_served(sock: socket.socket) -> bool:
    """Whether both answers have come, whole."""
    data = b""
    with contextlib.suppress(OSError):
        while data.count(b"alive") < 2 and (more := sock.recv(65_536)):
            data += more
    return data.count(b"HTTP/1.1 200 ") == 2 and data.endswith(b"alive")


@contextlib.contextmanager
def all_served(port: int) -> Iterator[None]:
    """While the block runs, and once more after it, 200 others are all served."""
    others = Others(port)
    others.start()
    try:
        yield
    finally:
        others.stop.set()
        others.join()
    assert others.served and set(others.served) == {CLIENTS}, others.served


def is_over(server: Server, before: dict[str, int], growth: float) -> None:
    """No worker, connection, handle or memory is kept."""
    after = server.settled(live=0, connections=before["connections"], handles=before["handles"])
    assert after["live"] == 0 and after["connections"] <= before["connections"], (before, after)
    assert after["handles"] <= before["handles"], (before, after)
    assert after["peak"] - before["rss"] <= growth, (before, after)
    assert "Traceback" not in server.log, server.log


@pytest.mark.parametrize("name", phases())
def test_slow_clients_keep_no_worker(server: Server, name: str) -> None:
    """All closed at the deadline, none before it, whatever trickles; the others do not notice."""
    before = server.mark()
    with all_served(server.port):
        lived = run(server.port, phases()[name])
    assert len(lived) == CLIENTS
    assert min(lived) >= DEADLINE_S - TICK_S, min(lived)
    assert max(lived) <= DEADLINE_S + GRACE_S, max(lived)
    is_over(server, before, 30 * MB)


def crawl(socks: list[socket.socket]) -> None:
    """Read one byte each, as a slow reader does: it is no progress worth a worker."""
    for sock in socks:
        with contextlib.suppress(OSError):
            sock.recv(1)


@pytest.mark.parametrize("read", [lambda _: None, crawl], ids=["nothing", "a byte at a time"])
def test_slow_readers_keep_no_worker(server: Server, read: Callable[[list[socket.socket]], None]) -> None:
    """200 ask for 10 MB each, and take next to nothing: the server lets go of all of them; the others do not notice."""
    before = server.mark()
    with contextlib.ExitStack() as stack:
        started = server.stats()["started"] + CLIENTS
        with all_served(server.port):
            socks = []
            for _ in range(CLIENTS):
                sock = stack.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                sock.settimeout(PATIENCE_S)
                sock.connect(("127.0.0.1", server.port))
                sock.sendall(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n")
                sock.setblocking(False)
                socks.append(sock)

            def is_let_go(stats: dict[str, int]) -> bool:
                read(socks)
                return stats["started"] == started and stats["live"] == 0

            after = server.until(is_let_go)
            assert after["live"] == 0 and after["started"] == started, after
    is_over(server, before, 100 * MB)


def test_without_the_deadlines_they_stay() -> None:
    """Negative control: with long deadlines the same clients outlive the short ones by far."""
    with victim("sleep", dict.fromkeys(DEADLINES, 3_600.0)) as server, contextlib.ExitStack() as stack:
        for phase in phases().values():
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=2 * DEADLINE_S))
            assert isinstance(phase.opening, bytes)
            sock.sendall(phase.opening)
        before = server.stats()
        assert sock.recv(65_536).startswith(b"HTTP/1.1 200 ")
        with pytest.raises(TimeoutError):
            sock.recv(65_536)
        assert server.stats()["connections"] == before["connections"]
