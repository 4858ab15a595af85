"""How connections share the loop: what one parses in a turn, and what is left of that in a crowd."""

from __future__ import annotations

import asyncio
from typing import Any

from headrace.engine.hpack import Encoder
from headrace.engine.limits import Limits
from headrace.server.connection.driver import ServerDriver
from headrace.server.connection.service import Service
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.interface import adapt
from headrace.server.settings.config import Config
from headrace.testing import PREFACE, SETTINGS_ACK, headers_frame, settings_frame
from headrace.transport.loop_work import LIGHT_WORK, WORK_A_TURN, loop_work

from tests.support.serving import settled

REQUESTS = 150
FRAMES = REQUESTS + 2  # SETTINGS and its ACK
TURN = 100
FIELDS = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]


class Sink(asyncio.Transport):
    """A transport that takes everything and keeps nothing."""

    def write(self, data: Any) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False


def h2_input() -> bytes:
    """REQUESTS requests, all in one read."""
    encoder = Encoder()
    heads = [headers_frame(1 + 2 * n, encoder.encode(FIELDS), end_stream=True) for n in range(REQUESTS)]
    return b"".join([PREFACE, settings_frame([]), SETTINGS_ACK, *heads])


INPUT = h2_input()


class Crowd:
    """Connections of one server, and how many requests each has brought."""

    def __init__(self) -> None:
        config = Config(limits=Limits(frames_per_turn=TURN, max_concurrent_streams=1_000))
        self.service = Service(adapt(self.handle, config), config)
        self.seen: dict[Any, int] = {}

    async def handle(self, request: Request) -> Response:
        connection = request._exchange.driver
        self.seen[connection] = self.seen.get(connection, 0) + 1
        return Response(200, (), b"x")

    def connect(self) -> ServerDriver:
        driver = ServerDriver(self.service, asyncio.get_running_loop())
        driver.connection_made(Sink())
        return driver

    def send(self, driver: ServerDriver) -> int:
        """All requests in one read; how many frames were parsed at once."""
        driver.data_received(INPUT)
        return self.parsed([driver])

    @staticmethod
    def parsed(drivers: list[ServerDriver]) -> int:
        """Frames that these connections have parsed so far."""
        return sum(each.engine.stats()["frames_in"] for each in drivers)


def test_a_turn_is_shorter_in_a_crowd() -> None:
    """Twenty have a fifth of a turn each, their first ones are shorter; nobody is forgotten."""

    async def main() -> None:
        crowd = Crowd()
        drivers = [crowd.connect() for _ in range(20)]
        at_once = [crowd.send(each) for each in drivers]
        whole = WORK_A_TURN // TURN
        assert at_once == [TURN] * whole + [LIGHT_WORK] * (20 - whole)
        assert crowd.service.turns.frames == 4 * TURN // 20
        await asyncio.sleep(0)
        assert crowd.parsed(drivers) - sum(at_once) <= 20 * TURN // 4  # not 20 whole turns
        await settled(lambda: sum(crowd.seen.values()) == 20 * REQUESTS)
        assert set(crowd.seen.values()) == {REQUESTS}
        assert crowd.service.crowd == 0

    asyncio.run(main())


def test_turns_are_whole_again_when_the_crowd_has_gone() -> None:
    async def main() -> None:
        crowd = Crowd()
        drivers = [crowd.connect() for _ in range(20)]
        for each in drivers:
            crowd.send(each)
        for each in drivers[::2]:
            each.connection_lost(None)  # some go with input that was never parsed
        work = loop_work(asyncio.get_running_loop())
        await settled(lambda: crowd.service.crowd == 0 and work.left > 0)
        assert crowd.send(crowd.connect()) == TURN

    asyncio.run(main())


def test_no_limit_stays_none() -> None:
    async def main() -> None:
        crowd = Crowd()
        config = Config(limits=Limits(frames_per_turn=0, max_concurrent_streams=1_000))
        crowd.service = Service(adapt(crowd.handle, config), config)
        assert [crowd.send(crowd.connect()) for _ in range(10)] == [FRAMES] * 10

    asyncio.run(main())
