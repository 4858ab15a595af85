"""A server that plays one session to one client, and notes what the client does to the connection."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

from tests.differential.clients.session import Close, Session, Sync, Whole
from tests.differential.servers.player import code_name
from tests.support import wire

LIMIT_S = 5.0
"""So long a wait is at most; then the script goes on, and the outcome says what did not come."""
LAST_PING = b"the last"
NEXT = b"next"
NO_VERDICTS = (wire.NO_ERROR, wire.CANCEL, wire.STREAM_CLOSED)
"""Codes of RST_STREAM that are not told: the first two say that a client wants no more, and which of them Go sends is a
matter of time; curl sends the last for each stream that has ended."""


class Gone(Exception):
    """The client has closed the connection, or the limit is over."""


class Scripted:
    """The server of a session, on a port of its own. `done` is set once all of the script was sent and answered."""

    def __init__(self, played: Session, *, pings: bool) -> None:
        """`pings`: whether the client answers PING between two requests, as one that is a process of one does not."""
        self.session = played
        self.pings = pings
        self.done = threading.Event()
        self.connections = 0
        self.next_on: int | None = None
        self.codes: list[str] = []
        self.is_told = True
        """False once what the client does is no answer to the script any more."""
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                number = self.connections
            sock.settimeout(LIMIT_S)
            self._start(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        with sock, contextlib.suppress(Gone, OSError):
            is_http2 = self.session.http2
            if number > 1:  # a client may give up HTTP/2, or look for it by upgrade, which gets it HTTP/1.1
                is_http2 = sock.recv(4, socket.MSG_PEEK) == b"PRI "
            talk: Talk = (TalkH2 if is_http2 else TalkH1)(self, sock, number)
            try:
                if number == 1:
                    talk.play()
                    self.done.set()
                talk.go_on()
            except AssertionError as error:  # of FrameReader: what the client sends is not HTTP/2, or none may send it
                self.codes.append(f"broken: {error}"[:60])
            finally:
                if number == 1:
                    self.done.set()

    def close(self) -> None:
        """End the server; its connections are ended by the clients."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._threads:
            each.join(LIMIT_S)

    @property
    def told(self) -> str:
        """What the client did: the codes that it sent, and where its next request came."""
        where = {None: "nowhere", 1: "same"}.get(self.next_on, "new")
        return "; ".join([*self.codes, f"next: {where}"])


class Talk:
    """One connection of a client."""

    def __init__(self, server: Scripted, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number

    def receive(self) -> bytes:
        """Bytes of the client. Raises Gone at the end."""
        try:
            data = self.sock.recv(65_536)
        except TimeoutError:
            raise Gone from None
        if not data:
            raise Gone
        return data

    def play(self) -> None:
        """Play the script."""
        raise NotImplementedError

    def go_on(self) -> None:
        """Serve requests until the client has gone."""
        raise NotImplementedError

    def note_next(self, target: bytes) -> None:
        if target.endswith(NEXT):
            self.server.next_on = self.number
            self.server.is_told = False


class TalkH1(Talk):
    """Over HTTP/1.1."""

    def __init__(self, server: Scripted, sock: socket.socket, number: int) -> None:
        super().__init__(server, sock, number)
        self.buffer = b""

    def head(self) -> tuple[bytes, int]:
        """The target of the next request, and how much content it has."""
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.receive()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        sizes = [int(line.partition(b":")[2]) for line in lines if line.lower().startswith(b"content-length:")]
        return lines[0].split(b" ")[1], sum(sizes)

    def content(self, size: int) -> None:
        """Read a request's content."""
        while len(self.buffer) < size:
            self.buffer += self.receive()
        self.buffer = self.buffer[size:]

    def play(self) -> None:
        _, size = self.head()
        for step in self.server.session.steps:
            if isinstance(step, bytes):
                self.sock.sendall(step)
            elif isinstance(step, Whole):
                self.content(size)
                size = 0
            elif isinstance(step, Close):
                self.sock.shutdown(socket.SHUT_WR)
                raise Gone

    def go_on(self) -> None:
        while True:
            target, size = self.head()
            self.note_next(target)
            self.content(size)
            self.sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nagain")


class TalkH2(Talk):
    """Over HTTP/2."""

    def __init__(self, server: Scripted, sock: socket.socket, number: int) -> None:
        super().__init__(server, sock, number)
        self.reader = wire.FrameReader(max_frame_size=1 << 24, expect_preface=True)
        self.reader.decoder.max_allowed_table_size = 1 << 24
        self.opened: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.pongs: set[bytes] = set()
        self.waiting: list[wire.Frame] = []
        self._pings = 0

    def until(self, is_true: Callable[[], bool]) -> None:
        """Take frames until it is so; only as long as the limit allows."""
        end = time.monotonic() + LIMIT_S
        while not is_true():
            if not self.waiting:
                if time.monotonic() > end:
                    return
                self.waiting += self.reader.feed(self.receive())
            while self.waiting and not is_true():
                self.take(self.waiting.pop(0))

    def take(self, each: wire.Frame) -> None:
        """Note a frame, and answer it where an answer is due."""
        server = self.server
        if each.type == wire.HEADERS:
            fields = dict(self.reader.fields(each))
            self.opened[each.stream_id] = fields.get(b":path", b"")
            self.note_next(self.opened[each.stream_id])
        elif each.type == wire.SETTINGS and not each.ack:
            self.sock.sendall(wire.settings_ack())
        elif each.type == wire.PING:
            if each.ack:
                self.pongs.add(each.payload)
            else:
                self.sock.sendall(wire.ping(each.payload, ack=True))
        elif self.number == 1 and server.is_told and each.type in (wire.RST_STREAM, wire.GOAWAY):
            code = code_name(each.code)
            if each.type == wire.RST_STREAM:
                self.ended.add(each.stream_id)
                if each.code not in NO_VERDICTS:
                    server.codes.append(f"RST {code}")
            elif each.code:  # NO_ERROR is how a client says good-bye
                server.codes.append(f"GOAWAY {code}")
        if each.end_stream:
            self.ended.add(each.stream_id)

    def ping(self, opaque: bytes) -> None:
        self.sock.sendall(wire.ping(opaque))
        self.until(lambda: opaque in self.pongs)

    def play(self) -> None:
        self.sock.sendall(self.server.session.settings)
        self.until(lambda: bool(self.opened))
        for step in self.server.session.steps:
            if isinstance(step, bytes):
                self.sock.sendall(step)
            elif isinstance(step, Whole):
                self.until(lambda: 1 in self.ended)  # or reset
            elif isinstance(step, Sync):
                self._pings += 1
                self.ping(b"sync%04d" % self._pings)
            elif isinstance(step, Close):
                self.sock.shutdown(socket.SHUT_WR)
                self.server.done.set()
                self.until(lambda: False)
        if self.server.pings:
            self.ping(LAST_PING)

    def go_on(self) -> None:
        """Answer each request but the script's own."""
        if self.number > 1:
            self.sock.sendall(wire.settings())
        answered = {1} if self.number == 1 else set()
        while True:
            self.until(lambda: bool(self.ended - answered))
            for stream in self.ended - answered:
                answered.add(stream)
                answer = [(b":status", b"200"), (b"content-length", b"5")]
                self.sock.sendall(wire.headers(stream, answer) + wire.data(stream, b"again", end_stream=True))
