"""A transport and an engine that record the calls they get, and a connection between them."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Sequence
from typing import Any

from headrace.engine.events import Event, SettingsChanged
from headrace.transport.connection import Connection


class FakeEngine:
    def __init__(self) -> None:
        self.closed = False
        self.aborted = False
        self.deadline = math.inf
        self.input_pending = False
        self.read_paused = False
        self.work = self.work_due = 0
        self.bodies_queued = False
        self.output: list[bytes] = []
        self.received: list[bytes] = []
        self.checked: list[float] = []
        self.eof = 0
        self.on_receive: Any = None

    @property
    def output_pending(self) -> bool:
        return bool(self.output)

    @property
    def needs_attention(self) -> bool:
        return self.closed or self.output_pending or self.read_paused

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        self.received.append(data)
        if self.on_receive is not None:
            self.on_receive(data)
        return [SettingsChanged()]

    def receive_eof(self, now: float) -> list[Event]:
        self.eof += 1
        self.closed = True
        return []

    def handle_deadline(self, now: float) -> list[Event]:
        self.checked.append(now)
        self.deadline = math.inf
        return []

    def take_output(self, limit: int = 0, now: float = 0.0) -> bytes:
        return self.output.pop(0) if self.output else b""

    def take_events(self) -> list[Event]:
        return []

    def close(self, code: int = 0, reason: str = "") -> None:
        self.output.append(b"goaway")
        self.closed = True


class FakeSocket:
    """A TCP socket; its options are calls of the transport."""

    family = socket.AF_INET

    def __init__(self, calls: list[Any]) -> None:
        self._calls = calls

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert (level, option, value) == (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._calls.append("reset on close")


class FakeTransport:
    """Records the calls, in order."""

    def __init__(self, *, half_closes: bool = True) -> None:
        self.calls: list[Any] = []
        self._half_closes = half_closes
        self.waiting = 0

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_extra_info(self, name: str) -> FakeSocket | None:
        return FakeSocket(self.calls) if name == "socket" else None

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def can_write_eof(self) -> bool:
        return self._half_closes

    def is_closing(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)


class Subject(Connection):
    __slots__ = ("engine", "lost", "seen")
    writes_to_the_end = True  # as a server's

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop(), stall_timeout_s=0.01)
        self.engine: Any = FakeEngine()
        self.seen: list[Event] = []
        self.lost = 0

    def on_events(self, events: Sequence[Event]) -> None:
        self.seen += events

    def on_lost(self) -> None:
        self.lost += 1


def made(**options: Any) -> tuple[Subject, FakeEngine, FakeTransport]:
    subject, transport = Subject(), FakeTransport(**options)
    subject.connection_made(transport)  # type: ignore[arg-type]
    return subject, subject.engine, transport
