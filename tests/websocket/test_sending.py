"""An open WebSocket whose peer does not take what is sent, is lost, or closes in the middle; its tunnel is a fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.engine.ws import WebSocketConnection
from headrace.websocket.closing import Closing
from headrace.websocket.connection import WebSocket
from headrace.websocket.keepalive import Keepalive, Pings
from headrace.websocket.tunnel import WebSocketClosed

from tests.engine.ws.raw_frames import TEXT, close, frame


class Tunnel:
    """A tunnel that is blocked, and lost, as the test says."""

    def __init__(self) -> None:
        self.blocked = False
        self.lost = False
        self.written = bytearray()
        self.is_aborted = False
        self.has_ended = False
        self.writable = asyncio.Event()

    async def unblocked(self) -> None:
        await self.writable.wait()
        if self.lost:
            raise OSError("the connection was lost")
        self.blocked = False

    def write(self, data: bytes, end: bool) -> None:
        if self.lost:
            raise OSError("the connection was lost")
        self.written += data
        self.has_ended |= end

    def consumed(self, count: int) -> None: ...

    def abort(self) -> None:
        self.is_aborted = True

    def abort_later(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self.abort)


def made(**options: Any) -> tuple[WebSocket, Tunnel]:
    tunnel = Tunnel()
    loop = asyncio.get_running_loop()
    options = {"ping_interval_s": None, **options}
    return WebSocket(tunnel, WebSocketConnection(False, extensions=[]), loop, **options), tunnel


async def pieces(*each: str | bytes) -> AsyncIterator[str | bytes]:
    for piece in each:
        yield piece


def test_a_message_waits_for_the_tunnel_and_for_the_fragments_before_it() -> None:
    async def main() -> None:
        ws, tunnel = made()
        tunnel.blocked = True
        fragments = asyncio.ensure_future(ws.send(pieces(b"one", b"two")))
        await asyncio.sleep(0)
        other = asyncio.ensure_future(ws.send("other"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert (fragments.done(), other.done(), bytes(tunnel.written)) == (False, False, b"")
        tunnel.writable.set()
        await asyncio.gather(fragments, other)
        assert bytes(tunnel.written) == b"\x02\x03one\x00\x03two\x80\x00\x81\x05other"

    asyncio.run(main())


def test_a_peer_that_closes_between_two_fragments_ends_the_message() -> None:
    async def main() -> None:
        ws, tunnel = made()

        async def interrupted() -> AsyncIterator[str]:
            yield "one"
            ws.on_bytes(frame(TEXT, b"x") + close(4000), 20, False)
            yield "two"

        with pytest.raises(WebSocketClosed) as caught:
            await ws.send(interrupted())
        assert caught.value.code == 4000
        assert not tunnel.is_aborted

    asyncio.run(main())


@pytest.mark.parametrize(("sent", "blocked"), [(0, False), (1, False), (1, True)])
def test_pieces_that_fail_end_the_websocket_if_one_was_sent(sent: int, blocked: bool) -> None:
    """Half a message cannot be taken back."""

    async def main() -> None:
        ws, tunnel = made()

        async def failing() -> AsyncIterator[str]:
            for _ in range(sent):
                yield "piece"
            tunnel.blocked = blocked
            raise LookupError("no more")

        with pytest.raises(LookupError):
            await ws.send(failing())
        assert tunnel.has_ended == (bool(sent) and not blocked)
        assert tunnel.is_aborted == (bool(sent) and blocked)
        assert ws.is_open == (not sent)
        if not sent:
            await ws.send("another")
            assert bytes(tunnel.written) == b"\x81\x07another"

    asyncio.run(main())


@pytest.mark.parametrize("what", ["message", "fragments", "blocked"])
def test_a_tunnel_that_is_lost_is_told_to_the_sender(what: str) -> None:
    async def main() -> None:
        ws, tunnel = made()
        if what == "blocked":
            tunnel.blocked = True
            sending = asyncio.ensure_future(ws.send("text"))
            await asyncio.sleep(0)
            tunnel.lost = True
            tunnel.writable.set()
        else:
            tunnel.lost = True
            sending = asyncio.ensure_future(ws.send("text" if what == "message" else pieces("text")))
        with pytest.raises(WebSocketClosed) as caught:
            await sending
        assert caught.value.code == 1006

    asyncio.run(main())


def test_many_fragments_leave_turns_to_others() -> None:
    async def main() -> None:
        ws, _ = made()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.ensure_future(count())
        await ws.send(pieces(*["x"] * 1_000))
        counting.cancel()
        assert turns >= 3

    asyncio.run(main())


def test_bytes_like_pieces_are_messages_and_numbers_are_not() -> None:
    async def main() -> None:
        ws, tunnel = made()
        await ws.send(bytearray(b"a"))
        await ws.send(memoryview(b"bc"))
        assert bytes(tunnel.written) == b"\x82\x01a\x82\x02bc"
        with pytest.raises(TypeError, match="not int"):
            await ws.send(5)  # type: ignore[arg-type] # that is the test

    asyncio.run(main())


# -- the end -----------------------------------------------------------------------------------------------------------


def test_the_end_waits_for_a_blocked_tunnel_but_not_for_ever() -> None:
    async def main() -> None:
        ws, tunnel = made(close_timeout_s=0.01)
        tunnel.blocked = True
        await ws.finish()
        assert tunnel.is_aborted
        assert ws.close_code == 1006

    asyncio.run(main())


@pytest.mark.parametrize("lost", [False, True])
def test_the_end_after_the_peers_close_frame(lost: bool) -> None:
    async def main() -> None:
        ws, tunnel = made(close_timeout_s=5.0)
        tunnel.lost = lost
        tunnel.writable.set()
        finishing = asyncio.ensure_future(ws.finish())
        await asyncio.sleep(0)
        ws.on_bytes(close(1000), 8, False)
        await finishing
        assert ws.close_code in (1000, 1006)

    asyncio.run(main())


def test_what_was_said_first_is_the_senders_error_until_the_peer_answers() -> None:
    async def main() -> None:
        ws, _ = made()
        ws.close_soon(4001, "ours")
        with pytest.raises(WebSocketClosed) as caught:
            await ws.send("late")
        assert (caught.value.code, caught.value.reason) == (4001, "ours")
        with pytest.raises(WebSocketClosed):
            await ws.ping()

    asyncio.run(main())


def test_waiting_for_the_end_outlives_a_cancelled_waiter() -> None:
    async def main() -> None:
        closing, loop = Closing(), asyncio.get_running_loop()
        one, other = (asyncio.ensure_future(closing.wait(loop)) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        closing.end(1000, "done")
        await other
        await closing.wait(loop)
        closing.announce()
        assert one.cancelled() or one.cancelling()

    asyncio.run(main())


# -- pings -------------------------------------------------------------------------------------------------------------


def test_a_pong_answers_the_pings_before_it_and_the_end_all_others() -> None:
    async def main() -> None:
        pings = Pings(asyncio.get_running_loop())
        asked = [pings.expect() for _ in range(4)]
        pings.answered(b"never sent")
        asked[0][1].cancel()
        pings.answered(asked[1][0])
        assert [pong.done() for _, pong in asked] == [True, True, False, False]
        asked[3][1].cancel()
        pings.give_up(WebSocketClosed(1006, "lost"))
        with pytest.raises(WebSocketClosed):
            await asked[2][1]

    asyncio.run(main())


@pytest.mark.parametrize("timeout_s", [None, 0.001])
@pytest.mark.parametrize("asks", [True, False])
def test_silence_is_asked_about_and_given_up_once(timeout_s: float | None, asks: bool) -> None:
    async def main() -> None:
        asked = 0
        done = asyncio.Event()
        given_up: list[float] = []

        def ask() -> bool:
            nonlocal asked
            asked += 1
            if asked == 5:
                done.set()
            return asks

        def give_up(after_s: float) -> None:
            given_up.append(after_s)
            done.set()

        keepalive = Keepalive(asyncio.get_running_loop(), 0.001, timeout_s, ask, give_up)
        await asyncio.wait_for(done.wait(), 10.0)
        keepalive.stop()
        keepalive.stop()
        assert given_up == ([0.001] if asks and timeout_s is not None else [])
        assert asked == (1 if given_up else 5)

    asyncio.run(main())


def test_our_own_side_that_does_not_read_is_no_silence_of_the_peer() -> None:
    async def main() -> None:
        ws, tunnel = made()
        assert ws._ping_silence()
        assert bytes(tunnel.written) == b"\x89\x00" or tunnel.written.startswith(b"\x89")
        before = len(tunnel.written)
        ws._owed = 1
        assert not ws._ping_silence()
        assert len(tunnel.written) == before

    asyncio.run(main())


def test_only_one_task_may_receive() -> None:
    async def main() -> None:
        ws, _ = made()
        first = asyncio.ensure_future(ws.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="only one may at a time"):
            await ws.receive()
        ws.on_bytes(frame(TEXT, b"hello"), 11, False)
        assert await first == "hello"

    asyncio.run(main())
