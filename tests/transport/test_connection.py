"""The connection between a transport and an engine, each of them a fake that records what it is asked."""

from __future__ import annotations

import asyncio

import pytest

from headrace.transport.connection_parts.input_turns import HELD
from headrace.transport.connection_parts.read_limits import READ_WHILE_BLOCKED

from tests.support.serving import settled
from tests.transport.fakes import made


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
        await settled(lambda: transport.calls == ["reset on close", "abort"])
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


def test_a_handler_of_time_that_fails_ends_one_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        subject, engine, _ = made()

        def fail(now: float) -> None:
            raise LookupError("a fault of ours")

        engine.handle_deadline = fail  # type: ignore[assignment, method-assign] # that is the test
        engine.deadline = 0.0
        subject._on_timer()
        await asyncio.sleep(0)
        assert subject.lost == 0
        engine.deadline = float("inf")
        subject._on_timer()  # nothing is left to do
        subject._check_stall()

    asyncio.run(main())
    assert any("a fault of ours" in str(each.exc_info and each.exc_info[1]) for each in caplog.records)


def test_an_end_that_fails_is_logged_and_is_an_end(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        subject, engine, _ = made()

        def fail(now: float) -> None:
            raise LookupError("a fault of ours")

        engine.receive_eof = fail  # type: ignore[assignment, method-assign] # that is the test
        subject.connection_lost(None)
        assert subject.is_ending
        assert subject.lost == 1

    asyncio.run(main())
    assert [each.getMessage() for each in caplog.records] == ["a connection could not be ended properly"]
