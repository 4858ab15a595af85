"""What a WebSocket keeps and does for a peer that sends more than its handler takes, in bytes and in work."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from headrace.engine.ws import WebSocketConnection
from headrace.engine.ws.negotiation import accept_deflate
from headrace.websocket import fair_share
from headrace.websocket.connection import WebSocket
from headrace.websocket.fair_share import ConnectionShare, LoopShare, ProcessRoom, loop_share
from headrace.websocket.tunnel import DEFAULT_QUEUE_SIZE, WebSocketClosed

from tests.engine.ws.raw_frames import BINARY, CONT, PING, TEXT, close, frame

MiB = 1_048_576
RSV1 = 0x40


class Tunnel:
    """A tunnel that takes all there is, and tells what it was given."""

    def __init__(self) -> None:
        self.blocked = self.is_aborted = False
        self.credit, self.written = 0, bytearray()

    async def unblocked(self) -> None:
        raise AssertionError("it never is")

    def write(self, data: bytes, end: bool) -> None:
        self.written += data

    def consumed(self, count: int) -> None:
        self.credit += count

    def abort(self) -> None:
        self.is_aborted = True

    def abort_later(self, seconds: float) -> Any: ...


class Peer:
    """A WebSocket of ours, and what a peer sends it as far as a window of 256 KiB lets it."""

    WINDOW = 262_144

    def __init__(self, share: ConnectionShare | None = None, *, is_deflated: bool = True, **options: Any) -> None:
        _, extensions = accept_deflate([(b"sec-websocket-extensions", b"permessage-deflate")])
        self.tunnel = Tunnel()
        self.sent = 0
        self.ws = WebSocket(
            self.tunnel, WebSocketConnection(False, extensions=extensions if is_deflated else []),
            asyncio.get_running_loop(), ping_interval_s=None, share=share, **options,
        )  # fmt: skip

    @property
    def window(self) -> int:
        return self.WINDOW - self.sent + self.tunnel.credit

    def send(self, data: bytes, piece: int = 16_384) -> int:
        """Send as much as the window takes; returns how much that was."""
        begin = 0
        while begin < len(data) and (size := min(self.window, piece, len(data) - begin)):
            self.sent += size
            self.ws.on_bytes(data[begin : begin + size], size, False)
            begin += size
        return begin


def bomb(size: int = MiB) -> bytes:
    packer = zlib.compressobj(9, wbits=-12)
    return frame(BINARY, (packer.compress(bytes(size)) + packer.flush(zlib.Z_FULL_FLUSH))[:-4], rsv=RSV1)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


async def turns(count: int) -> None:
    """Let the loop turn so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


# -- work ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 4_000,
        frame(PING, b"") * 4_000,
        bomb(),
    ],
    ids=["fragments", "pings", "a bomb"],
)  # fmt: skip
def test_a_turn_does_so_much_work_for_all_websockets_together(data: bytes) -> None:
    async def main() -> None:
        turn = loop_share(asyncio.get_running_loop())
        peers = [Peer() for _ in range(40)]
        for peer in peers:
            peer.send(data)
        assert turn.left > -2 * fair_share.SLICE - 300, "one slice, or one step of inflating, may go beyond"
        assert sum(peer.ws._protocol.kept + len(peer.ws._held) for peer in peers) > 10_000, "and the rest waits"

    run(main)


def test_connections_take_turns_whatever_their_number_of_websockets() -> None:
    """Ninety-nine of one connection do not keep the one of another from its share."""

    async def main() -> None:
        many = ConnectionShare(asyncio.get_running_loop())
        crowd = [Peer(many) for _ in range(99)]
        for peer in crowd:
            peer.send(frame(BINARY, b"") * 10)
            peer.send((frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 2_000 + frame(CONT, b"")) * 3)
        one = Peer()
        one.send(frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 3_000 + frame(CONT, b""))
        done = 0
        while not one.ws.waiting:
            await asyncio.sleep(0)
            done += 1
        assert done <= 2 * (3_000 // (fair_share.WORK_PER_TURN // 2)) + 4

    run(main)


def test_a_handler_that_always_finds_a_message_lets_others_go_on() -> None:
    async def main() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        peer = Peer(max_queue=100_000)
        peer.send(frame(BINARY, b"") * 2_000)
        ticking = asyncio.create_task(tick())
        for _ in range(2_000):
            await peer.ws.receive()
        assert ticks >= 2_000 // fair_share.TAKEN_PER_TURN - 1
        ticking.cancel()

    run(main)


def test_a_reader_that_is_cancelled_while_others_go_on_loses_no_message() -> None:
    async def main() -> None:
        peer = Peer(max_queue=1_000)
        peer.send(b"".join(frame(TEXT, b"%d" % number) for number in range(200)))
        got = []

        async def read() -> None:
            while True:
                got.append(await peer.ws.receive())

        while len(got) < 200:
            reading = asyncio.create_task(read())
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
        assert got == [str(number) for number in range(200)]

    run(main)


def test_a_sender_that_is_never_made_to_wait_lets_others_go_on() -> None:
    async def main() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        peers = [Peer() for _ in range(2_000)]
        for peer in peers:  # a broadcast
            await peer.ws.send(b"x")
        assert ticks >= 2_000 // fair_share.SENDS_PER_TURN - 1
        ticks = 0
        for _ in range(20):
            await peers[0].ws.send(bytes(500_000))
        assert ticks >= 7
        ticking.cancel()

    run(main)


# -- memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [bomb() * 200, bomb(30_000) * 5_000], ids=["large ones", "small ones"])
def test_bombs_for_a_handler_that_does_not_receive_stay_what_they_are(data: bytes) -> None:
    async def main() -> None:
        peer = Peer()
        sent = peer.send(data)
        await turns(200)
        sent += peer.send(data[sent:])
        await turns(200)
        assert peer.ws.kept <= DEFAULT_QUEUE_SIZE + Peer.WINDOW + 1_000
        assert peer.ws._queued + len(peer.ws._protocol._message.parts) <= DEFAULT_QUEUE_SIZE

    run(main)


def test_a_queue_has_max_message_size_together() -> None:
    """Sixteen messages may wait, but of a mebibyte together, not of sixteen."""

    async def main() -> None:
        peer = Peer(is_deflated=False)
        peer.WINDOW = 64 * MiB  # a client's may be large
        peer.send(frame(BINARY, bytes(500_000)) * 16, 10_000_000)
        await turns(300)
        assert peer.ws.waiting == 2 and peer.ws._queued <= MiB
        assert [len(await peer.ws.receive()) for _ in range(16)] == [500_000] * 16

    run(main)


def test_text_is_charged_what_it_takes() -> None:
    async def main() -> None:
        peer = Peer(is_deflated=False)
        peer.WINDOW = 64 * MiB
        peer.send(frame(TEXT, ("x" * 100_000 + "😀").encode()) * 16, 10_000_000)
        await turns(300)
        assert peer.ws.waiting <= 3, "each has four bytes a character"

    run(main)


def test_a_message_larger_than_the_window_comes_while_its_handler_waits() -> None:
    async def main() -> None:
        peer = Peer(is_deflated=False)
        data = frame(BINARY, bytes(MiB))
        begin = peer.send(data)
        assert begin == Peer.WINDOW + DEFAULT_QUEUE_SIZE, "its handler does not wait"
        receiving = asyncio.create_task(peer.ws.receive())
        await turns(2)
        assert peer.send(data[begin:]) == len(data) - begin
        await turns(20)
        assert len(await receiving) == MiB
        assert peer.tunnel.credit >= len(data) - DEFAULT_QUEUE_SIZE

    run(main)


def test_what_waits_for_its_turn_is_not_credited_as_a_large_message() -> None:
    async def main() -> None:
        peer = Peer()
        receiving = asyncio.create_task(peer.ws.receive())
        await turns(2)
        data = (frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 4_000) * 40
        assert peer.send(data) <= Peer.WINDOW + DEFAULT_QUEUE_SIZE
        receiving.cancel()

    run(main)


def test_small_messages_are_credited_before_their_handler_takes_them() -> None:
    async def main() -> None:
        peer = Peer()
        for _ in range(60):
            peer.send(frame(TEXT, b"hello"))
        assert peer.ws.waiting == 16
        assert peer.tunnel.credit == peer.sent
        assert [await peer.ws.receive() for _ in range(60)] == ["hello"] * 60

    run(main)


def test_nothing_is_kept_after_the_end() -> None:
    async def main() -> None:
        share = ConnectionShare(asyncio.get_running_loop())
        peer = Peer(share)
        receiving = asyncio.create_task(peer.ws.receive())
        await turns(2)
        peer.send(bomb())
        peer.ws.give_up(1011)
        await turns(300)
        with pytest.raises(WebSocketClosed):
            await receiving
        assert peer.ws.kept == 0
        assert share.reserved == 0

    run(main)


# -- room ------------------------------------------------------------------------------------------------------

LARGE = frame(BINARY, bytes(900_000))


def never_later(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Let nothing become due by itself: what was to be called later is in the list."""
    calls: list[Callable[[], None]] = []

    def call_later(delay: float, call: Callable[[], None], *args: object, **_: object) -> asyncio.TimerHandle:
        calls.append(call)
        return loop.call_at(loop.time() + 3_600, call)

    monkeypatch.setattr(loop, "call_later", call_later)
    return calls


async def finish(peer: Peer) -> None:
    """Send the rest of the message."""
    for _ in range(100):
        peer.send(LARGE[peer.sent :])
        await asyncio.sleep(0)


async def waiting_for(peers: list[Peer]) -> list[asyncio.Task[Any]]:
    """Let each handler wait for a message, of which all but the end comes as far as it may."""
    tasks = [asyncio.create_task(peer.ws.receive()) for peer in peers]
    await turns(2)
    for peer in peers:
        peer.send(LARGE[:800_000])
    return tasks


def test_large_messages_of_a_connection_come_one_after_the_other() -> None:
    async def main() -> None:
        share = ConnectionShare(asyncio.get_running_loop(), 4 * MiB)
        peers = [Peer(share) for _ in range(20)]
        tasks = await waiting_for(peers)
        assert share.reserved == 4 * MiB
        assert [peer.sent for peer in peers] == [800_000] * 4 + [Peer.WINDOW + DEFAULT_QUEUE_SIZE] * 16
        assert sum(peer.ws.kept for peer in peers) <= 4 * MiB + 16 * (Peer.WINDOW + DEFAULT_QUEUE_SIZE)
        small = Peer(share)
        small.send(frame(TEXT, b"small ones do not wait"))
        assert await small.ws.receive() == "small ones do not wait"
        for peer in peers:
            await finish(peer)
        assert all(task.done() for task in tasks)
        assert share.reserved == 0

    run(main)


def test_one_large_message_of_each_connection_always_comes() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        room = ProcessRoom(2 * MiB)
        hogs = [Peer(ConnectionShare(loop, 8 * MiB, room)) for _ in range(5)]
        await waiting_for(hogs)
        assert room.reserved == 5 * MiB
        share = ConnectionShare(loop, 8 * MiB, room)
        pair = [Peer(share), Peer(share)]
        tasks = await waiting_for(pair)
        assert [peer.sent for peer in pair] == [800_000, Peer.WINDOW + DEFAULT_QUEUE_SIZE], (
            "the second waits for the process's room"
        )
        for peer in hogs:
            await finish(peer)
        await finish(pair[1])
        assert tasks[1].done()
        for task in tasks:
            task.cancel()

    run(main)


def test_room_that_was_asked_for_goes_to_the_next_when_its_handler_has_gone() -> None:
    async def main() -> None:
        share = ConnectionShare(asyncio.get_running_loop(), MiB)
        peers = [Peer(share) for _ in range(3)]
        tasks = await waiting_for(peers)
        tasks[1].cancel()
        await turns(2)
        await finish(peers[0])
        await finish(peers[2])
        assert tasks[0].done() and tasks[2].done() and share.reserved == 0

    run(main)


def test_a_message_that_does_not_come_gives_its_room_up_when_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        looks = never_later(loop, monkeypatch)
        share = ConnectionShare(loop, MiB)
        stalled, waits = peers = [Peer(share), Peer(share)]
        tasks = await waiting_for(peers)
        (look,) = [each for each in looks if getattr(each, "__name__", "") == "_check_stalled"]
        stalled.send(LARGE[800_000:800_100])  # a drip
        look()
        with pytest.raises(WebSocketClosed) as closed:
            await tasks[0]
        assert closed.value.code == 1013
        await finish(waits)
        assert len(tasks[1].result()) == 900_000

    run(main)


def test_a_message_that_comes_keeps_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        looks = never_later(loop, monkeypatch)
        share = ConnectionShare(loop, MiB)
        peers = [Peer(share), Peer(share)]
        tasks = await waiting_for(peers)
        peers[0].send(LARGE[800_000:810_000])
        for look in [each for each in looks if getattr(each, "__name__", "") == "_check_stalled"]:
            look()
        assert not tasks[0].done() and peers[0].ws.is_open
        for task in tasks:
            task.cancel()

    run(main)


def test_a_loop_may_end_with_what_waits_for_its_turn() -> None:
    async def main() -> None:
        share = LoopShare(asyncio.get_running_loop(), 10)
        assert share.left == 10
        Peer().send(frame(PING, b"") * 4_000)

    run(main)


def test_a_close_frame_behind_a_flood_is_seen() -> None:
    async def main() -> None:
        peer = Peer()
        peer.send(frame(PING, b"") * 3_000 + close(1000))
        await turns(300)
        assert peer.ws.close_code == 1000
        assert peer.tunnel.credit == peer.sent

    run(main)
