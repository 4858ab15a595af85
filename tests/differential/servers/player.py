"""Plays a session to a server, and says what could be seen of it: per stream, and of the connection."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import hpack

from tests.differential.servers.session import Began, Flood, Over, Session, Sync
from tests.support import wire

LIMIT_S = 5.0
"""So long a wait is at most. It is only waited for where a server says nothing at all, and then that is the outcome."""
LAST_PING = b"the last"
CODES = [
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
]  # fmt: skip


def code_name(code: int) -> str:
    """An error code in the RFC's words (§7)."""
    return CODES[code] if code < len(CODES) else f"code {code}"


@dataclass
class Stream:
    """What came on one stream."""

    statuses: list[str] = field(default_factory=list)
    content: bytes = b""
    trailers: list[tuple[str, str]] | None = None
    ended: bool = False
    reset: int | None = None

    @property
    def is_over(self) -> bool:
        return self.ended or self.reset is not None

    def described(self, with_content: bool) -> str:
        """Statuses, content, trailers and reset; content and trailers only if asked."""
        parts = list(self.statuses)
        if with_content and self.content and self.statuses[-1:] == ["200"]:  # errors have the server's own words
            parts.append(self.content.decode("latin-1") if len(self.content) < 120 else f"{len(self.content)} bytes")
        if with_content and self.trailers is not None:
            parts.append(f"trailers {dict(self.trailers)}")
        if self.statuses and not self.is_over:
            parts.append("unfinished")
        if self.reset is not None:
            parts.append(f"RST {code_name(self.reset)}")
        return " ".join(parts) or "nothing"


class Outcome(NamedTuple):
    """What could be seen of a session."""

    streams: dict[int, Stream]
    connection: str
    """alive: it answers a PING; GOAWAY and its code; closed; silent; or the status of an answer in HTTP/1.1."""

    def text(self, with_content: bool = True) -> str:
        """The outcome in one line; what a connection that has ended left unfinished is not told."""
        is_dead = self.connection not in ("alive", "silent")
        told = {n: stream for n, stream in self.streams.items() if stream.is_over or not is_dead}
        numbers = len(told) > 1
        parts = [(f"{n}: " if numbers else "") + stream.described(with_content) for n, stream in sorted(told.items())]
        return "; ".join([*parts, self.connection])


class Player:
    """A connection to a server, over which a session is played."""

    def __init__(self, sock: socket.socket, played: Session) -> None:
        self.sock = sock
        self.session = played
        self.reader = wire.FrameReader()
        self.reader.decoder.max_allowed_table_size = 1 << 24
        self.reader.max_frame_size = played.settings.get(wire.MAX_FRAME_SIZE, 16_384)
        self.streams: dict[int, Stream] = {}
        self.goaway: int | None = None
        self.closed = False
        self.pongs: set[bytes] = set()
        self.text = b""
        self.has_settings = False
        self.initial_window = 65_535
        self.windows: dict[int, int] = {0: 65_535}
        self.block: tuple[int, bool, bytes] | None = None
        self._pings = 0

    @property
    def is_dead(self) -> bool:
        """True once nothing more can come: closed, GOAWAY with an error, or an answer in HTTP/1.1."""
        return self.closed or bool(self.goaway) or b"\r\n" in self.text

    # -- writing

    def send(self, data: bytes) -> None:
        """Send; what the server no longer takes is lost, and its last words are read all the same."""
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def ping(self, opaque: bytes) -> None:
        """Send a PING and wait for its answer."""
        self.send(wire.ping(opaque))
        self.until(lambda: opaque in self.pongs)

    def flood(self, step: Flood) -> None:
        """Send more DATA than there is room for."""
        stream = self.windows.get(step.stream, self.initial_window)
        size = min(stream, self.windows[0]) + step.beyond
        pieces = [min(16_384, size - at) for at in range(0, size, 16_384)]
        self.send(b"".join(wire.data(step.stream, bytes(piece)) for piece in pieces))

    # -- reading

    def until(self, is_true: Callable[[], bool]) -> None:
        """Read until it is so, or the connection is dead, or the limit is over."""
        end = time.monotonic() + LIMIT_S
        while not is_true() and not self.is_dead:
            left = end - time.monotonic()
            if left <= 0:
                return
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(65_536)
            except TimeoutError:
                return
            except OSError:
                data = b""
            if not data:
                self.closed = True
            elif self.text or (not self.has_settings and data.startswith(b"HTTP/")):
                self.text += data
            else:
                for each in self.reader.feed(data):
                    self.take(each)

    def stream(self, stream_id: int) -> Stream:
        return self.streams.setdefault(stream_id, Stream())

    def take(self, each: wire.Frame) -> None:
        """Note a frame."""
        if each.type == wire.SETTINGS and not each.ack:
            self.has_settings = True
            self.initial_window = dict(each.settings).get(wire.INITIAL_WINDOW_SIZE, self.initial_window)
        elif each.type == wire.PING and each.ack:
            self.pongs.add(each.payload)
        elif each.type == wire.GOAWAY:
            self.goaway = each.code
        elif each.type == wire.RST_STREAM:
            stream = self.stream(each.stream_id)
            stream.reset = each.code if stream.reset is None else stream.reset
        elif each.type == wire.WINDOW_UPDATE:
            before = self.windows.get(each.stream_id, self.initial_window)
            self.windows[each.stream_id] = before + each.increment
        elif each.type == wire.DATA:
            self.stream(each.stream_id).content += each.content
        elif each.type == wire.HEADERS:
            self.block = (each.stream_id, each.end_stream, each.block)
        elif each.type == wire.CONTINUATION and self.block is not None:
            self.block = (self.block[0], self.block[1], self.block[2] + each.block)
        if self.block is not None and each.flags & wire.END_HEADERS:
            self.take_fields(*self.block)
            self.block = None
        if each.type == wire.DATA and each.end_stream:
            self.stream(each.stream_id).ended = True

    def take_fields(self, stream_id: int, end_stream: bool, block: bytes) -> None:
        """Note a head or trailers."""
        stream = self.stream(stream_id)
        decoded = self.reader.decoder.decode(block, raw=True)
        fields = [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in decoded]
        status = dict(fields).get(":status")
        if status is not None:
            stream.statuses.append(status)
        else:
            stream.trailers = fields
        stream.ended = stream.ended or end_stream

    # -- the whole

    def play(self) -> Outcome:
        """Play the session."""
        played = self.session
        if not played.is_raw:
            self.send(wire.client_preface(played.settings))
            self.until(lambda: self.has_settings)
            self.send(wire.settings_ack())
            self.ping(b"thefirst")
        for step in played.steps:
            self.step(step)
        opened = [n for n in opened_by(played) if n not in played.untold | played.unwaited]
        if played.is_raw and not opened:
            self.until(lambda: False)
        self.until(lambda: all(self.stream(n).is_over for n in opened))
        self.ping(b"last one")  # its answer may overtake others, as urgent as nghttp2 takes it
        self.ping(LAST_PING)
        for each in played.untold:
            self.streams.pop(each, None)
        return Outcome(self.streams, self.connection)

    def step(self, step: object) -> None:
        if isinstance(step, bytes):
            self.send(step)
        elif isinstance(step, Over):
            self.until(lambda: all(self.stream(n).is_over for n in step.streams))
        elif isinstance(step, Began):
            self.until(lambda: bool(self.stream(step.stream).statuses))
        elif isinstance(step, Sync):
            self._pings += 1
            self.ping(b"sync%04d" % self._pings)
        elif isinstance(step, Flood):
            self.flood(step)

    @property
    def connection(self) -> str:
        """What became of it, see Outcome."""
        if self.text:
            return self.text[:12].decode("latin-1")
        if self.goaway is not None and (self.goaway or self.closed):
            return f"GOAWAY {code_name(self.goaway)}"
        if self.closed:
            return "closed"
        return "alive" if LAST_PING in self.pongs else "silent"


def opened_by(played: Session) -> list[int]:
    """The streams that a session's HEADERS frames open."""
    found: dict[int, None] = {}
    for step in played.steps:
        data = step.removeprefix(wire.PREFACE) if isinstance(step, bytes) else b""
        while len(data) >= 9:
            if data[3] == wire.HEADERS:
                found[int.from_bytes(data[5:9], "big") & 0x7FFFFFFF] = None
            data = data[9 + int.from_bytes(data[:3], "big") :]
    return [n for n in found if n]


def play(port: int, played: Session) -> Outcome:
    """Play a session against a server on 127.0.0.1."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        player = Player(sock, played)
        try:
            return player.play()
        except (AssertionError, hpack.HPACKError) as error:  # a server that sends what none may
            return Outcome({}, f"broken: {error}")
