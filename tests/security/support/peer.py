"""Connections that attack: any number at once, over TCP or TLS, all driven by one loop of one thread.

An `Attacker` writes batches of bytes until the server says GOAWAY, a bound is reached or there are none left, and
then waits for the server to close. Its `Report` says how that went. TLS is done on MemoryBIOs, since one thread has to
read and write the same session.
"""

from __future__ import annotations

import contextlib
import functools
import selectors
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from tests.support import wire

LONGEST_S = 3.0
MOST_BYTES = 8_000_000
UNTAKEN_S = 0.5  # without one byte taken: the server has stopped reading


class Report:
    """How one attack ended. Times in seconds from its first byte; None: it did not happen."""

    def __init__(self) -> None:
        self.goaway: int | None = None
        self.debug = b""
        self.goaway_at: float | None = None
        self.closed_at: float | None = None
        self.frames: Counter[str] = Counter()
        self.resets: Counter[int] = Counter()
        self.bytes_out = 0
        self.bytes_in = 0
        self.finished = False

    def __repr__(self) -> str:
        return f"Report({vars(self)})"

    @property
    def lingered_s(self) -> float:
        """From GOAWAY to the end of the connection."""
        assert self.goaway_at is not None and self.closed_at is not None, self
        return self.closed_at - self.goaway_at


@functools.cache
def client_context() -> ssl.SSLContext:
    """TLS as an attacker does it: HTTP/2 by ALPN, and no look at the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


class Attacker:
    """One connection under `drive`. `reads` False: nothing is read until there is nothing left to write."""

    def __init__(
        self, port: int, batches: Iterable[bytes], *, tls: ssl.SSLContext | None = None, reads: bool = True,
        longest_s: float = LONGEST_S, receive_buffer: int = 0,
    ) -> None:  # fmt: skip
        self.report = Report()
        self.is_over = False
        self.batches = iter(batches)
        self._reads = reads
        self._longest_s = longest_s
        self._frames = wire.FrameReader(1 << 24)
        self._pending = b""
        self._is_writing = True
        self._sock = socket.socket()
        if receive_buffer:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._sock.settimeout(10)
        try:
            self._sock.connect(("127.0.0.1", port))
        except BaseException:
            self._sock.close()
            raise
        self._sock.setblocking(False)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = None if tls is None else tls.wrap_bio(self._incoming, self._outgoing)
        self._is_shaking = tls is not None
        self._start = self._taken_at = self._stopped_at = time.monotonic()
        if tls is None:
            self._pending = wire.client_preface() + wire.settings_ack()
        else:
            self._shake_hands()

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    # -- what the loop asks

    @property
    def interest(self) -> int:
        """Which of the selector's events this connection waits for."""
        wants = 0
        if self._reads or self._is_shaking or not self._is_writing:
            wants |= selectors.EVENT_READ
        if self._pending or (self._is_writing and not self._is_shaking):
            wants |= selectors.EVENT_WRITE
        return wants

    def on_time(self, now: float, wait_s: float) -> None:
        """Stop writing, or waiting, when it has been long enough."""
        if self._is_writing:
            untaken = not self._reads and now - self._taken_at > UNTAKEN_S
            if now - self._start > self._longest_s or untaken:
                self._stop(now)
        elif now - self._stopped_at > wait_s:
            self.is_over = True

    def on_writable(self) -> None:
        """Write on; take the next batch when there is room for one."""
        if not self._pending and self._is_writing:
            self._take_batch()
        if self._pending:
            try:
                sent = self._sock.send(self._pending)
            except BlockingIOError:
                return
            except OSError:
                self._stop(time.monotonic())
                self._pending = b""
                return
            self._pending = self._pending[sent:]
            self._taken_at = time.monotonic()

    def on_readable(self) -> None:
        """Read what there is."""
        try:
            data = self._sock.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.report.closed_at = time.monotonic() - self._start
            self.is_over = True
            return
        if self.tls is not None:
            self._incoming.write(data)
            if self._is_shaking and not self._shake_hands():
                return
            data = self._decrypt(self.tls)
        self._take(data)

    # -- the parts

    def _shake_hands(self) -> bool:
        assert self.tls is not None
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self._pending += self._outgoing.read()
            return False
        self._is_shaking = False
        assert self.tls.selected_alpn_protocol() == "h2"
        self.tls.write(wire.client_preface() + wire.settings_ack())
        self._pending += self._outgoing.read()
        return True

    def _decrypt(self, tls: ssl.SSLObject) -> bytes:
        data = []
        with contextlib.suppress(ssl.SSLError):
            while piece := tls.read(65_536):
                data.append(piece)
        return b"".join(data)

    def _take_batch(self) -> None:
        batch = next(self.batches, None)
        if batch is None:
            self.report.finished = True
            self._stop(time.monotonic())
            return
        self.report.bytes_out += len(batch)
        if self.tls is None:
            self._pending = batch
        else:
            if batch:
                self.tls.write(batch)
            self._pending = self._outgoing.read()
        if self.report.bytes_out > MOST_BYTES:
            self._stop(time.monotonic())

    def _take(self, data: bytes) -> None:
        report = self.report
        report.bytes_in += len(data)
        for frame in self._frames.feed(data):
            report.frames[frame.name] += 1
            if frame.type == wire.RST_STREAM:
                report.resets[frame.code] += 1
            elif frame.type == wire.GOAWAY and report.goaway is None:
                report.goaway = frame.code
                report.debug = frame.payload[8:]
                report.goaway_at = time.monotonic() - self._start
                self._stop(time.monotonic())

    def _stop(self, now: float) -> None:
        if self._is_writing:
            self._is_writing = False
            self._stopped_at = now


def drive(attackers: Sequence[Attacker], *, wait_s: float = 2.0) -> list[Report]:
    """Run all attackers to their ends; what is left open after `wait_s` without an end is closed by us."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for each in attackers:
            stack.enter_context(each)
            selector.register(each, each.interest, each)
        running = set(attackers)
        while running:
            for key, events in selector.select(0.02):
                each = key.data
                if events & selectors.EVENT_READ:
                    each.on_readable()
                if events & selectors.EVENT_WRITE and not each.is_over:
                    each.on_writable()
            now = time.monotonic()
            for each in list(running):
                each.on_time(now, wait_s)
                if each.is_over:
                    selector.unregister(each)
                    running.discard(each)
                    each._sock.close()
                elif each.interest:
                    selector.modify(each, each.interest, each)
        return [each.report for each in attackers]
