"""The two ends of connections and tunnels in memory: what is in flight at an end, and who is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.client.testing.asgi_response import WINDOW, ClientGone
from headrace.client.testing.asgi_websocket import MemoryTunnel
from headrace.client.testing.memory import HIGH_WATER, MemoryTransport


class Recorder(asyncio.Protocol):
    """Keeps its calls."""

    def __init__(self, *, stays: bool = False) -> None:
        self.calls: list[Any] = []
        self.stays = stays
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.calls.append(data)

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.stays

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(f"lost {type(exc).__name__}")


def pair(**options: Any) -> tuple[Recorder, Recorder]:
    one, two = Recorder(**options), Recorder(**options)
    MemoryTransport.pair(asyncio.get_running_loop(), one, two)
    return one, two


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_reader_that_pauses_pauses_the_writer_and_gets_everything() -> None:
    async def main() -> None:
        one, two = pair()
        assert two.transport.is_reading()
        two.transport.pause_reading()
        assert not two.transport.is_reading()
        one.transport.writelines([bytes(HIGH_WATER), b"x"])
        one.transport.write(b"")
        await turns()
        assert one.calls == ["pause"]
        assert one.transport.get_write_buffer_size() == HIGH_WATER + 1
        one.transport.write(b"more")
        one.transport.write_eof()
        await turns()
        assert (one.calls, two.calls) == (["pause"], [])
        two.transport.resume_reading()
        two.transport.resume_reading()
        await turns()
        assert one.calls[:2] == ["pause", "resume"]
        assert two.calls[:3] == [bytes(HIGH_WATER) + b"x", b"more", "eof"]

    asyncio.run(main())


def test_a_protocol_that_stays_after_the_end_of_input_closes_later() -> None:
    async def main() -> None:
        one, two = pair(stays=True)
        assert one.transport.can_write_eof()
        one.transport.write_eof()
        await turns()
        assert two.calls == ["eof"]
        assert not two.transport.is_closing()
        two.transport.close()
        two.transport.close()
        two.transport.write(b"late")
        two.transport.write_eof()
        await turns()
        assert (one.calls, two.calls) == (["eof"], ["eof", "lost NoneType"])

    asyncio.run(main())


def test_an_abort_reaches_both_ends_once() -> None:
    async def main() -> None:
        one, two = pair()
        two.transport.pause_reading()
        one.transport.write(bytes(2 * HIGH_WATER))
        await turns()
        one.transport.abort()
        one.transport.abort()
        one.transport.write(b"late")
        await turns()
        one.transport.abort()
        two.transport.resume_reading()
        await turns()
        assert one.calls == ["pause", "lost NoneType"]
        assert two.calls == ["lost ConnectionResetError"]

    asyncio.run(main())


def test_bytes_for_an_end_that_has_closed_are_gone() -> None:
    async def main() -> None:
        one, two = pair()
        one.transport.write(b"in flight")
        two.transport.close()
        await turns()
        assert two.calls == ["lost NoneType"]
        assert one.calls == ["eof", "lost NoneType"]

    asyncio.run(main())


def test_a_transport_may_get_another_protocol() -> None:
    async def main() -> None:
        one, two = pair()
        other = Recorder()
        two.transport.set_protocol(other)
        assert two.transport.get_protocol() is other
        one.transport.write(b"for the other")
        await turns()
        assert (two.calls, other.calls) == ([], [b"for the other"])

    asyncio.run(main())


# -- tunnels -----------------------------------------------------------------------------------------------------------


class Receiver:
    """Keeps what a tunnel tells it."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def on_bytes(self, data: bytes, owed: int, ended: bool) -> None:
        self.calls.append((data, owed, ended))

    def on_writable(self) -> None:
        self.calls.append("writable")

    def on_lost(self, reason: str) -> None:
        self.calls.append(reason)


def tunnel() -> tuple[MemoryTunnel, MemoryTunnel]:
    one, two = MemoryTunnel.pair(asyncio.get_running_loop())
    one.receiver, two.receiver = Receiver(), Receiver()
    return one, two


def test_a_tunnel_is_blocked_until_its_bytes_are_consumed() -> None:
    async def main() -> None:
        one, two = tunnel()
        one.write(bytes(WINDOW + 1), False)
        assert one.blocked
        waiting, given_up = (asyncio.ensure_future(one.unblocked()) for _ in range(2))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        two.consumed(WINDOW + 1)
        await turns()
        assert waiting.done()
        assert one.receiver.calls == ["writable"]
        assert [owed for _, owed, _ in two.receiver.calls] == [WINDOW + 1]

    asyncio.run(main())


def test_a_tunnel_that_is_lost_tells_both_ends_once_and_whoever_waits() -> None:
    async def main() -> None:
        one, two = tunnel()
        one.write(bytes(WINDOW + 1), False)
        waiting = asyncio.ensure_future(one.unblocked())
        await asyncio.sleep(0)
        one.write(b"in flight", True)
        one.abort()
        one.abort()
        with pytest.raises(ClientGone):
            await waiting
        with pytest.raises(ClientGone):
            one.write(b"late", False)
        await turns()
        two.abort()
        await turns()
        lost = "the other end is lost"
        assert one.receiver.calls == [lost]
        assert two.receiver.calls[-1] == lost
        assert two.receiver.calls.count(lost) == 1

    asyncio.run(main())


def test_bytes_for_a_lost_end_are_not_delivered() -> None:
    async def main() -> None:
        one, two = tunnel()
        two.abort()
        await turns()
        one._is_gone = False  # as if the loss were still on its way
        one.write(b"late", False)
        await turns()
        assert two.receiver.calls == ["the other end is lost"]

    asyncio.run(main())
