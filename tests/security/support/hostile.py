"""A hostile server for a client: it waits for a request, and then does whatever a test says, for as long as it can.

It runs in threads, so that it goes on while the client's event loop is busy with it, and writes the same bytes again
and again, so that what grows is the client.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator

from tests.support import wire

PATIENCE_S = 10.0
BATCH = 65_536


class Gone(Exception):
    """The client has ended the connection."""


class Link:
    """One connection. `sent` is in bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0
        self.stream_id = 0
        self.head = b""
        """The head of the last request: its bytes over HTTP/1.1."""
        self.fields: dict[bytes, bytes] = {}
        """Those of the last request over HTTP/2."""
        self.is_ended_by_client = False
        self.is_ended_by_us = False
        self.is_held_up = False
        """True once it would take nothing more, for as long as we had patience."""
        self._rest = b""
        self._requests: list[tuple[int, dict[bytes, bytes]]] = []
        self._frames = wire.FrameReader(expect_preface=True)

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except TimeoutError:
            self.is_held_up = True
            raise Gone("the client reads nothing any more") from None
        except OSError:
            self.is_ended_by_client = True
            raise Gone from None
        self.sent += len(data)

    def receive(self) -> bytes:
        try:
            data = self.sock.recv(BATCH)
        except OSError:
            data = b""
        if not data:
            self.is_ended_by_client = True
            raise Gone
        return data

    def request(self) -> None:
        """Wait for the head of a request over HTTP/1.1; content is left alone."""
        while b"\r\n\r\n" not in self._rest:
            self._rest += self.receive()
        self.head, _, self._rest = self._rest.partition(b"\r\n\r\n")

    def h2_request(self, settings: dict[int, int] | None = None) -> int:
        """Send SETTINGS once, and wait for the next request over HTTP/2."""
        if not self.sent:
            self.send(wire.settings(settings or {}) + wire.settings_ack())
        while not self._requests:
            for one in self._frames.feed(self.receive()):
                if one.type == wire.HEADERS:
                    self._requests.append((one.stream_id, dict(self._frames.fields(one))))
        self.stream_id, self.fields = self._requests.pop(0)
        return self.stream_id

    def flood(self, units: Iterable[bytes]) -> None:
        """Send units until they are over or the client has had enough."""
        batch = bytearray()
        for unit in units:
            batch += unit
            if len(batch) >= BATCH:
                self.send(bytes(batch))
                batch.clear()
        self.send(bytes(batch))

    def wait(self) -> None:
        """Do nothing until the client ends it."""
        while True:
            self.receive()


class Hostile:
    """A listening socket and its connections."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.links: list[Link] = []
        self.threads: list[threading.Thread] = []
        self.faults: list[BaseException] = []

    @property
    def sent(self) -> int:
        return sum(link.sent for link in self.links)

    def settle(self) -> None:
        """Wait until every connection is over."""
        for thread in list(self.threads):
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the client holds a connection to a hostile server"
        if self.faults:
            raise self.faults[0]


@contextlib.contextmanager
def hostile(behave: Callable[[Link], object], tls: ssl.SSLContext | None = None) -> Iterator[Hostile]:
    """Run `behave` for each connection to a free port of 127.0.0.1. When it returns, the connection is closed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    server = Hostile(listener.getsockname()[1])

    def serve(sock: socket.socket) -> None:
        with sock:
            sock.settimeout(PATIENCE_S)
            try:
                link = Link(tls.wrap_socket(sock, server_side=True) if tls is not None else sock)
            except OSError:
                return
            server.links.append(link)
            try:
                behave(link)
                link.is_ended_by_us = True
            except Gone:
                pass
            except BaseException as fault:
                server.faults.append(fault)
            finally:
                with contextlib.suppress(OSError):
                    if not link.is_ended_by_client:
                        link.sock.shutdown(socket.SHUT_WR)
                    else:  # what it had not read must not keep the connection
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                link.sock.close()

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(sock,), daemon=True)
            server.threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(PATIENCE_S)
