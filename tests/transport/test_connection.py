"""The connection between a transport and an engine, each of them a fake that records what it is asked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest

from headrace.engine.events import Event, SettingsChanged
from headrace.transport.connection import Connection
from headrace.transport.connection_parts.input_turns import HELD
from headrace.transport.connection_parts.read_limits import READ_WHILE_BLOCKED

from tests.support.serving import settled


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


class FakeTransport:
    """Records the calls, in order."""

    def __init__(self, *, half_closes: bool = True) -> None:
        self.calls: list[Any] = []
        self._half_closes = half_closes
        self.waiting = 0

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_extra_info(self, name: str) -> None:
        return None

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


def test_a_batch_is_one_write_and_later_sends_are_one_a_turn() -> None:
    async def main() -> None:
        subject, engine, transport = made()

        def answer(data: bytes) -> None:
            assert subject.flush_due
            subject.schedule_flush()
            engine.output = [b"batch"]

        engine.on_receive = answer
        subject.data_received(b"x")
        assert transport.calls == [b"batch"]
        await asyncio.sleep(0)
        engine.output = [b"later"]
        assert not subject.flush_due
        subject.schedule_flush()
        subject.schedule_flush()
        assert transport.calls == [b"batch"]
        await asyncio.sleep(0)
        assert transport.calls == [b"batch", b"later"]

    asyncio.run(main())


def test_much_output_takes_several_turns() -> None:
    async def main() -> None:
        _, engine, transport = made()
        subject = _
        engine.output = [b"1", b"2", b"3"]
        subject.schedule_flush()
        await asyncio.sleep(0)
        assert transport.calls == [b"1"]
        await settled(lambda: transport.calls == [b"1", b"2", b"3"])

    asyncio.run(main())


def test_nothing_is_taken_while_the_transport_refuses_more() -> None:
    async def main() -> None:
        subject, engine, transport = made()
        subject.pause_writing()
        engine.output = [b"later"]
        subject.data_received(b"x")
        await asyncio.sleep(0)
        assert transport.calls == []
        subject.resume_writing()
        await asyncio.sleep(0)
        assert transport.calls == [b"later"]

    asyncio.run(main())


def test_a_peer_that_takes_nothing_is_read_for_a_while_only() -> None:
    async def main() -> None:
        subject, _, transport = made()
        subject.pause_writing()
        subject.data_received(bytes(READ_WHILE_BLOCKED))
        assert transport.calls == []
        subject.data_received(b"x")
        assert transport.calls == ["pause_reading"]
        subject.resume_writing()
        await asyncio.sleep(0)
        assert transport.calls == ["pause_reading", "resume_reading"]

    asyncio.run(main())


def test_the_engine_can_stop_the_reading() -> None:
    async def main() -> None:
        subject, engine, transport = made()
        engine.read_paused = True
        subject.data_received(b"x")
        subject.data_received(b"x")
        assert transport.calls == ["pause_reading"]
        engine.read_paused = False
        subject.schedule_flush()
        await asyncio.sleep(0)
        assert transport.calls == ["pause_reading", "resume_reading"]

    asyncio.run(main())


def test_a_long_batch_is_parsed_in_turns_and_reading_waits() -> None:
    async def main() -> None:
        subject, engine, transport = made()
        engine.input_pending = True
        subject.data_received(b"first")
        subject.data_received(b"second")
        subject.data_received(bytes(HELD - 6))
        assert transport.calls == []
        subject.data_received(b"third")
        assert transport.calls == ["pause_reading"]
        assert engine.received == [b"first"]  # a turn's work is one call
        await asyncio.sleep(0)
        assert engine.received == [b"first", b"second" + bytes(HELD - 6) + b"third"]
        await asyncio.sleep(0)
        engine.input_pending = False
        await asyncio.sleep(0)
        assert engine.received[2:] == [b"", b""]
        assert transport.calls == ["pause_reading", "resume_reading"]

    asyncio.run(main())


def test_the_engines_deadline_is_kept() -> None:
    async def main() -> None:
        subject, engine, _ = made()
        now = asyncio.get_running_loop().time()
        engine.deadline = now + 0.02
        subject.data_received(b"x")
        engine.deadline = now + 0.01  # earlier than the timer that is set
        subject.data_received(b"x")
        await settled(lambda: len(engine.checked) == 1)
        assert engine.checked[0] >= now + 0.01
        await asyncio.sleep(0.02)
        assert len(engine.checked) == 1

    asyncio.run(main())


def test_last_words_are_written_before_the_end() -> None:
    """A GOAWAY must arrive: we say that no more comes, let the peer read, then close. What still comes is dropped."""

    async def main() -> None:
        subject, engine, transport = made()
        subject.close()
        assert transport.calls == [b"goaway", "write_eof"]
        subject.data_received(b"more")
        assert engine.received == []
        await settled(lambda: "close" in transport.calls)
        subject.connection_lost(None)
        subject.connection_lost(None)
        assert "abort" not in transport.calls
        assert engine.eof == 0

    asyncio.run(main())


def test_an_end_that_would_look_orderly_is_made_a_reset() -> None:
    """A response that only the end of the connection ends (RFC 9112 §8), cut short."""

    async def main() -> None:
        subject, engine, transport = made()
        engine.output = [b"a part"]
        engine.closed = engine.aborted = True
        subject.data_received(b"x")
        assert transport.calls[-2:] == [b"a part", "abort"]

    asyncio.run(main())


def test_a_transport_that_does_not_close_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.transport.connection_parts.transport_end.CLOSE_TIMEOUT_S", 0.01)

    async def main() -> None:
        subject, _, transport = made(half_closes=False)
        subject.close()
        assert transport.calls == [b"goaway", "close"]
        await settled(lambda: transport.calls[-1] == "abort")

    asyncio.run(main())


def test_a_peer_whose_kernel_takes_nothing_is_ended() -> None:
    """The engine's own deadline does not see bytes that stand in the transport."""

    async def main() -> None:
        subject, engine, transport = made()
        transport.waiting = 100_000
        subject.pause_writing()
        subject.resume_writing()
        subject.pause_writing()
        await settled(lambda: transport.waiting == 100_000 and subject._stall_watch._mark == 100_000)
        transport.waiting = 90_000  # progress, though not enough to go on writing
        await settled(lambda: subject._stall_watch._mark == 90_000)
        assert engine.eof == 0
        await settled(lambda: transport.calls == ["abort"])
        assert engine.eof == 1

    asyncio.run(main())


def test_the_peers_end_is_told_once() -> None:
    async def main() -> None:
        subject, engine, _ = made()
        assert not subject.eof_received()
        subject.connection_lost(None)
        assert (engine.eof, subject.lost) == (1, 1)
        assert subject.transport is None
        subject.schedule_flush()
        await asyncio.sleep(0)

    asyncio.run(main())


def test_a_fault_of_our_own_ends_one_connection_with_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        subject, engine, transport = made()

        def explode(data: bytes) -> None:
            raise ZeroDivisionError

        engine.on_receive = explode
        subject.data_received(b"x")
        assert transport.calls == ["abort"]

    asyncio.run(main())
    (line,) = caplog.records
    assert line.name == "headrace.error"
    assert line.exc_info is not None
