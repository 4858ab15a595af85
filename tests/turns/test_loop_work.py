"""What one turn of the event loop takes of all connections together, counted; and how long others wait for it."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest

from headrace.engine import events as ev
from headrace.engine.h1 import H1ClientConnection
from headrace.engine.h2 import ServerConnection
from headrace.engine.limits import BYTES_A_FRAME, CHUNKS_A_FRAME, Limits
from headrace.server.connection.driver import ServerDriver
from headrace.server.connection.service import Service
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.interface import adapt
from headrace.server.settings.config import Config
from headrace.transport import loop_work
from headrace.transport.loop_work import LIGHT_WORK, WORK_A_TURN

from tests.security.support.attacks import split_block
from tests.security.support.harness import victim
from tests.server.connection.test_fairness import Sink
from tests.support import wire
from tests.support.rig import ServerRig
from tests.support.serving import settled
from tests.turns import Siege, besieged, steady

COUNT = 20
TURN = 100
EACH = 90  # frames: less than a turn has, so that no connection has input left over
REQUEST = wire.literals(wire.request_fields())
H2_OPENING = wire.client_preface() + wire.settings_ack()
H2_BUSY = wire.window_update(0, 1_000) * EACH
H1_OPENING = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
H1_BUSY = b"1\r\nx\r\n" * EACH * CHUNKS_A_FRAME


class House:
    """Connections of one server whose handlers sleep, each past its first read."""

    def __init__(self) -> None:
        config = Config(limits=Limits(frames_per_turn=TURN, odd_frame_burst=10**6, small_data_budget=10**6))
        self.service = Service(adapt(self.handle, config), config)
        self.requests = 0

    async def handle(self, request: Request) -> Response:
        self.requests += 1
        await asyncio.sleep(3600)
        return Response(200, (), b"x")

    def connect(self, opening: bytes) -> ServerDriver:
        driver = ServerDriver(self.service, asyncio.get_running_loop())
        driver.connection_made(Sink())
        driver.data_received(opening)
        return driver


def frames_in(driver: ServerDriver) -> int:
    return int(driver.engine.stats()["frames_in"])


def chunks_in(driver: ServerDriver) -> int:
    return -(-int(driver.engine.stats()["unread"]) // CHUNKS_A_FRAME)


FLOODS: dict[str, tuple[bytes, bytes, Callable[[ServerDriver], int]]] = {
    "HTTP/2": (H2_OPENING, H2_BUSY, frames_in),
    "HTTP/1.1": (H1_OPENING, H1_BUSY, chunks_in),
}


def in_a_house(main: Callable[[House], Any]) -> None:
    async def run() -> None:
        house = House()
        await main(house)
        for each in list(house.service.drivers):
            cast("ServerDriver", each).connection_lost(None)
        await settled(lambda: not house.service.drivers)

    asyncio.run(run())


@pytest.mark.parametrize("protocol", FLOODS)
def test_a_turn_of_the_loop_does_so_much_work_for_all_connections_together(protocol: str) -> None:
    """Twenty connections with less than a turn's work each: no more is done at once than WORK_A_TURN and one turn more,
    everybody has a turn before anybody has a second, and all is done in the end."""
    opening, busy, done = FLOODS[protocol]

    async def main(house: House) -> None:
        drivers = [house.connect(opening) for _ in range(COUNT)]
        await asyncio.sleep(0)
        before = [done(each) for each in drivers]
        total = 0
        for each in drivers:
            each.data_received(busy)
        for _ in range(COUNT):
            now = sum(map(done, drivers)) - sum(before)
            assert now - total <= WORK_A_TURN + EACH
            total = now
            shares = [done(each) - was for each, was in zip(drivers, before, strict=True)]
            assert shares == sorted(shares, reverse=True)
            await asyncio.sleep(0)
        assert total == COUNT * EACH
        assert house.service.crowd == 0

    in_a_house(main)


def test_control_without_the_sum_all_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_work, "WORK_A_TURN", 10**9)

    async def main(house: House) -> None:
        drivers = [house.connect(H2_OPENING) for _ in range(COUNT)]
        before = sum(map(frames_in, drivers))
        for each in drivers:
            each.data_received(H2_BUSY)
        assert sum(map(frames_in, drivers)) - before == COUNT * EACH

    in_a_house(main)


def test_who_comes_with_a_single_request_waits_for_nobody() -> None:
    async def main(house: House) -> None:
        bystander = house.connect(H2_OPENING)
        drivers = [house.connect(H2_OPENING) for _ in range(COUNT)]
        for each in drivers:
            each.data_received(H2_BUSY)
        assert drivers[-1].engine.stats()["frames_in"] == 2  # it waits
        bystander.data_received(wire.headers(1, REQUEST, end_stream=True))
        house.connect(H2_OPENING + wire.headers(1, REQUEST, end_stream=True))
        await asyncio.sleep(0)
        assert house.requests == 2

    in_a_house(main)


def test_clients_that_leave_requests_behind_do_not_use_up_the_turns_of_others() -> None:
    """Cancelling handlers is work, also where no input comes with it: when a connection is lost. A busy connection that
    comes next waits for the loop's next turn, and not until somebody else sends something."""

    async def main(house: House) -> None:
        busy = house.connect(H2_OPENING)
        leaving = house.connect(
            H2_OPENING + b"".join(wire.headers(n, REQUEST, end_stream=True) for n in range(1, 100, 2))
        )
        await settled(lambda: house.requests == 50)
        leaving.connection_lost(None)
        before = frames_in(busy)
        busy.data_received(H2_BUSY)
        await settled(lambda: frames_in(busy) == before + EACH)

    in_a_house(main)


def test_first_reads_get_little_once_the_work_is_used_up() -> None:
    """Nobody knows yet whether more comes of a first read than a request, so none waits; but none gets a whole turn."""
    requests = b"".join(wire.headers(n, REQUEST, end_stream=True) for n in range(1, 2 * EACH, 2))

    async def main(house: House) -> None:
        drivers = [house.connect(H2_OPENING + requests) for _ in range(COUNT)]
        whole = -(-WORK_A_TURN // (EACH + 2))
        assert [frames_in(each) for each in drivers] == [EACH + 2] * whole + [LIGHT_WORK] * (COUNT - whole)
        bystander = house.connect(H2_OPENING + wire.headers(1, REQUEST, end_stream=True))
        if sys.version_info < (3, 12):
            await asyncio.sleep(0)  # there handlers begin in the loop's next turn
        assert house.requests == whole * EACH + (COUNT - whole) * (LIGHT_WORK - 2) + 1 and frames_in(bystander) == 3
        await settled(lambda: house.requests == COUNT * EACH + 1)
        assert house.service.crowd == 0

    in_a_house(main)


def test_a_connection_that_is_lost_while_it_waits_holds_nobody_up() -> None:
    async def main(house: House) -> None:
        drivers = [house.connect(H2_OPENING) for _ in range(COUNT)]
        for each in drivers:
            each.data_received(H2_BUSY)
        for each in drivers[1::2]:
            each.connection_lost(None)
        await settled(lambda: all(frames_in(each) == 2 + EACH for each in drivers[::2]))
        assert house.service.crowd == 0

    in_a_house(main)


def test_one_large_field_block_a_turn() -> None:
    """Blocks are decoded whole, with their last frame, however small that is: one, then others have their turn."""
    block = REQUEST + wire.literal(b"x", b"y" * 60_000)
    parts = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]

    async def main(house: House) -> None:
        drivers = [house.connect(H2_OPENING) for _ in range(COUNT)]
        for each in drivers:
            each.data_received(wire.headers(1, parts[0], end_stream=True, end_headers=False))
        for part in parts[1:]:
            for each in drivers:
                each.data_received(wire.continuation(1, part))
        frames = 2 + len(parts)
        await settled(lambda: sum(map(frames_in, drivers)) == COUNT * frames)
        await asyncio.sleep(0)
        seen = 0
        for each in drivers:
            each.data_received(wire.continuation(1, end_headers=True))
        for _ in range(COUNT):
            now = sum(map(frames_in, drivers)) - COUNT * frames
            assert now - seen <= 1
            seen = now
            await asyncio.sleep(0)
        block_turns = len(block) // BYTES_A_FRAME // WORK_A_TURN
        assert seen <= 1 + COUNT // max(1, block_turns)  # what one took is made up for before the next
        await settled(lambda: house.requests == COUNT)

    in_a_house(main)


def test_engines_say_what_they_did() -> None:
    """In the same units as turns have; -1 before anything has come, nothing where turns have no limit."""
    limits = Limits(frames_per_turn=TURN)
    server = ServerConnection(limits)
    assert server.work == -1
    server.receive_data(H2_OPENING + wire.ping(bytes(8)), 0.0)
    assert server.work == 3
    server.receive_data(b"", 0.0)
    assert server.work == 0
    server.receive_data(wire.headers(1, bytes(16_000), end_headers=False), 0.0)
    assert server.work_due > LIGHT_WORK
    client = H1ClientConnection(limits)
    client.send_request(b"GET", b"http", b"a", b"/", (), end_stream=True)
    client.take_output()
    client.receive_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + H1_BUSY, 0.0)
    assert client.work == EACH + 1  # the head
    unlimited = ServerConnection(Limits())
    unlimited.receive_data(H2_OPENING, 0.0)
    assert unlimited.work == 0


HUGE = wire.literal(b"ab", b"abcde") * (250_000 // 10)


@pytest.mark.parametrize("kind", ["requests", "refused requests", "trailers"])
def test_blocks_beyond_the_limit_are_charged_by_their_size(kind: str) -> None:
    """One costs its request, whatever becomes of the stream; many in a row cost the connection, undecoded."""
    rig = ServerRig(Limits(max_concurrent_streams=1 if kind == "refused requests" else 100))
    if kind == "refused requests":
        rig.request(1, end_stream=False, method=b"POST")
    taken = 0
    for n in range(15):
        stream_id = 3 + 2 * n
        if kind == "trailers":
            rig.request(stream_id, end_stream=False, method=b"POST")
        rig.feed(split_block(stream_id, HUGE if kind == "trailers" else REQUEST + HUGE))
        rig.take()
        if rig.conn.closed:
            break
        taken += 1
    assert taken == 1
    assert rig.goaway_code() == wire.ENHANCE_YOUR_CALM
    assert [each.budget for each in rig.of(ev.PeerFault)][-1] == "odd_frames"


def held_places() -> Iterable[bytes]:
    """A hundred requests, held for longer than an early reset, and then all taken back; for ever."""
    yield H2_OPENING
    for first in itertools.count(1, 200):
        ids = range(first, first + 200, 2)
        yield b"".join(wire.headers(n, REQUEST, end_stream=True) for n in ids)
        held = time.monotonic() + 0.012
        while time.monotonic() < held:
            yield wire.window_update(0, 1_000)
        yield b"".join(map(wire.rst_stream, ids))


def large_blocks() -> Iterable[bytes]:
    """250 KiB of fields a request, thrown away."""
    yield H2_OPENING
    for stream_id in itertools.count(1, 2):
        yield split_block(stream_id, REQUEST + HUGE)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("flood", [held_places, large_blocks])
def test_busy_connections_that_have_no_input_left_over(flood: Callable[[], Iterable[bytes]]) -> None:
    def reading() -> Siege:
        with victim("sleep", drain_timeout_s=0.3) as server:
            return besieged(server, flood, count=COUNT, longest_s=2.5)

    siege = steady(reading, Siege.holds)
    assert siege.holds(), siege
