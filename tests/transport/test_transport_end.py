"""The end of a connection: our last output, how long it may take, and an end that must not look orderly."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.serving import settled
from tests.transport.fakes import made


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
        assert transport.calls[-3:] == [b"a part", "reset on close", "abort"]

    asyncio.run(main())


def test_the_loss_of_a_peer_that_was_given_a_part_is_made_a_reset() -> None:
    """The same content, cut short as its client has ended its own side of the connection, or as we have failed."""

    async def main() -> None:
        subject, engine, transport = made()
        engine.aborted = True
        subject.eof_received()
        assert transport.calls == ["reset on close", "abort"]
        subject, engine, transport = made()
        engine.aborted = True
        subject.abort()
        assert transport.calls == ["reset on close", "abort"]
        subject, _, transport = made()
        subject.eof_received()
        assert transport.calls == []
        subject.abort()  # nothing is lost with it
        assert transport.calls == ["abort"]

    asyncio.run(main())


@pytest.mark.parametrize("half_closes", [True, False])
def test_a_slow_peer_gets_the_end_of_what_it_asked_for(half_closes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the engine has ended may stand in the transport for long: as long as the peer takes it, nothing is cut."""
    monkeypatch.setattr("headrace.transport.connection_parts.transport_end.LINGER_S", 0.0)
    monkeypatch.setattr("headrace.transport.connection_parts.transport_end.CLOSE_TIMEOUT_S", 0.0)

    async def main() -> None:
        subject, _, transport = made(half_closes=half_closes)
        transport.waiting = 262_144
        subject.pause_writing()
        subject.close()
        before = transport.calls[:]
        watched = 0
        while transport.waiting:
            await settled(lambda: subject._stall_watch._mark == transport.waiting)
            watched += 1
            transport.waiting -= 16_384
        assert watched == 16
        assert transport.calls[: len(before)] == before
        assert "abort" not in transport.calls
        subject.resume_writing()
        await settled(lambda: transport.calls[-2:] == ["close", "abort"])  # which was not held up by anything else
        assert "reset on close" not in transport.calls

    asyncio.run(main())


def test_a_peer_that_takes_nothing_of_the_end_is_cut_off_by_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it could take content that ends with the connection for whole."""
    monkeypatch.setattr("headrace.transport.connection_parts.transport_end.LINGER_S", 0.0)

    async def main() -> None:
        subject, _, transport = made()
        transport.waiting = 100_000
        subject.pause_writing()
        subject.close()
        assert transport.calls == [b"goaway", "write_eof"]
        await settled(lambda: "abort" in transport.calls)
        assert transport.calls[2:] == ["reset on close", "abort"]

    asyncio.run(main())


def test_a_transport_that_does_not_close_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.transport.connection_parts.transport_end.CLOSE_TIMEOUT_S", 0.01)

    async def main() -> None:
        subject, _, transport = made(half_closes=False)
        subject.close()
        assert transport.calls == [b"goaway", "close"]
        await settled(lambda: transport.calls[-1] == "abort")

    asyncio.run(main())
