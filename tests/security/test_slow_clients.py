"""Slowloris, in the phases of TLS, HTTP/2 and HTTP/1.1: 200 clients in each that hardly move.

Every phase has a deadline of its own, and bytes that trickle in do not extend it. Deadlines are short here. A client
may not be cut before the deadline either: what begins before a timer ends with it, however busy the machine is.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator

import pytest

from tests.security.support import attacks
from tests.security.support.harness import Bystander, Seen, Server, victim
from tests.security.support.peer import client_context
from tests.security.support.rows import MB, READINGS, bound_ms, watched
from tests.support import wire

pytestmark = pytest.mark.slow

CLIENTS = 200
DEADLINE_S = 1.0
EVERY_S = 0.1  # a byte, or a frame
TICK_S = 0.01  # a timer of an event loop may come that early
GRACE_S = 4.0  # that late on a busy machine; the defaults are ten seconds and more
PATIENCE_S = 20.0
DEADLINES = (
    "preface_timeout_s", "settings_ack_timeout_s", "request_header_timeout_s", "idle_timeout_s", "upload_grace_s",
    "upload_pause_timeout_s", "stalled_send_timeout_s",
)  # fmt: skip

READY = wire.client_preface() + wire.settings_ack()
UPLOAD = wire.request(1, method=b"POST", end_stream=False)


def hello() -> bytes:
    """The first flight of a TLS client."""
    outgoing = ssl.MemoryBIO()
    client = client_context().wrap_bio(ssl.MemoryBIO(), outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


class Phase:
    """Where a client stays: what it sends at once, what it trickles, and after how many deadlines it is cut."""

    def __init__(
        self, opening: bytes | Callable[[], bytes], trickle: Iterator[bytes] | None = None, *, deadlines: int = 1,
        tls: bool = False, frames: bool = True,
    ) -> None:  # fmt: skip
        self.opening = opening
        self.trickle = trickle
        self.deadlines = deadlines
        self.tls = tls
        self.has_frames = frames and not tls


def bytes_of(whole: bytes) -> Iterator[bytes]:
    """One byte at a time, and never the last."""
    yield from (whole[at : at + 1] for at in range(len(whole) - 1))
    while True:
        yield b""


def again(frame: bytes) -> Iterator[bytes]:
    """The same for ever."""
    while True:
        yield frame


def phases() -> dict[str, Phase]:
    """Where a slow client may sit. A stream that is given up leaves an idle connection: two deadlines."""
    return {
        "TLS: nothing": Phase(b"", tls=True),
        "TLS: half a ClientHello": Phase(b"", bytes_of(hello()), tls=True),
        "TLS: no Finished": Phase(hello, tls=True),
        "nothing": Phase(b""),
        "preface": Phase(b"", bytes_of(wire.PREFACE)),
        "SETTINGS": Phase(wire.PREFACE, bytes_of(wire.settings({3: 100, 4: 65_535, 6: 65_536}))),
        "no ACK": Phase(wire.client_preface(), again(wire.ping())),
        "half a frame": Phase(READY, bytes_of(wire.request(1))),
        "header block": Phase(READY + wire.headers(1, attacks.GET, end_headers=False)),
        "header block in crumbs": Phase(
            READY + wire.headers(1, attacks.GET, end_headers=False), bytes_of(wire.continuation(1, attacks.GET))
        ),
        "body": Phase(READY + UPLOAD, deadlines=2),
        "body in crumbs": Phase(READY + UPLOAD, again(wire.data(1, b"x")), deadlines=2),
        "between requests": Phase(READY + wire.request(1, b"/probe")),
        "never a request": Phase(READY),
        "HTTP/1.1 head": Phase(b"", bytes_of(b"GET /probe HTTP/1.1\r\nhost: a\r\n\r\n"), frames=False),
        "HTTP/1.1 body": Phase(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 999\r\n\r\n", again(b"x"), frames=False),
        "HTTP/1.1 between requests": Phase(b"GET /probe HTTP/1.1\r\nhost: a\r\n\r\n", frames=False),
        "response, no window": Phase(
            wire.client_preface({wire.INITIAL_WINDOW_SIZE: 0}) + wire.settings_ack() + wire.request(1, b"/big"),
            again(wire.window_update(1, 1)),
            deadlines=2,
        ),
    }


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Every deadline is a second."""
    limits = dict.fromkeys((*DEADLINES, "tls_handshake_timeout_s"), DEADLINE_S)
    with victim("sleep", limits, tls=True) as running:
        yield running


class Slow:
    """One such client. `closed_at` is when the server was through with it, None as long as it is not."""

    def __init__(self, port: int, phase: Phase) -> None:
        self.opened_at = time.monotonic()
        self.closed_at: float | None = None
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.sock.sendall(phase.opening if isinstance(phase.opening, bytes) else phase.opening())
        self.sock.setblocking(False)
        self._is_given_up = False
        self._frames = wire.FrameReader() if phase.has_frames else None

    def trickle(self, data: bytes) -> None:
        """Say a little more; on a stream that was given up there is nothing to say."""
        if not self._is_given_up:
            with contextlib.suppress(OSError):  # the end is seen by `read`
                self.sock.send(data)

    def read(self) -> None:
        """Take what comes: a reset of the stream, the end of the connection."""
        try:
            data = self.sock.recv(65_536)
        except OSError:
            data = b""
        if not data:
            self.closed_at = time.monotonic()
        elif self._frames is not None:
            self._is_given_up |= any(frame.type == wire.RST_STREAM for frame in self._frames.feed(data))


def run(port: int, phase: Phase) -> list[float]:
    """200 of them, until the server has closed each one; how long each lived. Fails when one outlives all patience."""
    lived = []
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        left = set()
        for _ in range(CLIENTS):
            client = Slow(port, phase)
            stack.enter_context(client.sock)
            selector.register(client.sock, selectors.EVENT_READ, client)
            left.add(client)
        due = time.monotonic()
        end = due + PATIENCE_S
        while left:
            for key, _ in selector.select(max(0.0, due - time.monotonic())):
                client = key.data
                client.read()
                if client.closed_at is not None:
                    selector.unregister(client.sock)
                    client.sock.close()
                    left.discard(client)
                    lived.append(client.closed_at - client.opened_at)
            now = time.monotonic()
            assert now < end, f"{len(left)} of {CLIENTS} are still there"
            if now >= due:
                due = now + EVERY_S
                raw = next(phase.trickle) if phase.trickle is not None else b""
                if raw:
                    for client in left:
                        client.trickle(raw)
    return lived


@pytest.mark.parametrize("name", phases())
def test_slow_clients(server: Server, bystander: Bystander, name: str) -> None:
    """200 clients in one phase: all closed at the deadline, none before it; L, N."""
    before = server.mark()
    phase = phases()[name]
    port = server.tls_port if phase.tls else server.port
    lived = watched(bystander, lambda: run(port, phases()[name]), count=CLIENTS)
    assert len(lived) == CLIENTS
    assert min(lived) >= phase.deadlines * DEADLINE_S - TICK_S, min(lived)
    assert max(lived) <= phase.deadlines * DEADLINE_S + GRACE_S, max(lived)
    after = server.settled(live=0, connections=before["connections"], handles=before["handles"])
    assert after["live"] == 0 and after["connections"] <= before["connections"], (before, after)
    assert after["handles"] <= before["handles"], (before, after)
    assert after["peak"] - before["rss"] <= 30 * MB, (before, after)
    assert "Traceback" not in server.log, server.log


def test_responses_that_tcp_never_takes(server: Server, bystander: Bystander) -> None:
    """200 clients with all the window there is, whose kernels are full: the server lets go of all; L, M, N.

    Such a client does not learn of it before it reads, so the server is asked. L counts once the kernels are full:
    until then these are 200 downloads, of which each gets its share of the loop.
    """
    before = server.mark()

    def stall() -> tuple[dict[str, int], Seen]:
        with contextlib.ExitStack() as stack:
            started = server.stats()["started"] + CLIENTS
            for _ in range(CLIENTS):
                sock = stack.enter_context(server.connect({wire.INITIAL_WINDOW_SIZE: 2**31 - 1}, receive_buffer=4_096))
                sock.sendall(wire.window_update(0, 2**31 - 70_000) + wire.request(1, b"/big"))
            produced, since = -1, 0.0

            def is_full(stats: dict[str, int]) -> bool:
                nonlocal produced, since
                if produced != stats["produced"]:
                    produced, since = stats["produced"], time.monotonic()
                return stats["started"] == started and time.monotonic() - since > 0.3

            server.until(is_full)
            with bystander.watching() as seen:
                after = server.settled(live=0, connections=before["connections"] + 1)
            return after, seen[0]

    for reading in range(READINGS):
        after, seen = stall()
        assert seen.failed == 0, seen
        if seen.is_fine(bound_ms(CLIENTS)):
            break
        assert reading < READINGS - 1, f"a bystander waited too long, {READINGS} times in a row: {seen}"
    assert after["live"] == 0, after
    assert after["connections"] <= before["connections"] + 1, (before, after)  # one may be the bystander's
    assert after["peak"] - before["rss"] <= 100 * MB, (before, after)
    after = server.settled(handles=before["handles"])
    assert after["handles"] <= before["handles"], (before, after)
    assert "Traceback" not in server.log, server.log


def test_without_the_deadlines_they_stay() -> None:
    """Negative control: with long deadlines the same clients outlive the short ones by far."""
    with victim("sleep", dict.fromkeys(DEADLINES, 3_600.0)) as server, contextlib.ExitStack() as stack:
        clients = []
        for name, phase in phases().items():
            if not phase.tls:
                client = Slow(server.port, phase)
                stack.enter_context(client.sock)
                clients.append((name, client))
        end = time.monotonic() + 3 * DEADLINE_S
        with selectors.DefaultSelector() as selector:
            for name, client in clients:
                selector.register(client.sock, selectors.EVENT_READ, (name, client))
            while (left := end - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    name, client = key.data
                    client.read()
                    assert client.closed_at is None, f"{name}: closed"
