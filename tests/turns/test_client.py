"""A client of a hostile server: what else its event loop has to do goes on meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from headrace.client import Client, RequestError, Timeouts
from headrace.client.connect.config import NetworkConfig
from headrace.client.connection.driver import ClientDriver
from headrace.client.connection.owner import CLIENT_LIMITS
from headrace.client.errors import ConnectionLost, TruncatedBody
from headrace.engine.build import engine_is_compiled
from headrace.engine.limits import Limits

from tests.client.connection.test_driver_failures import Fake
from tests.client.support.rig import Owner, get
from tests.conftest import amount
from tests.security.support.hostile import Link, hostile
from tests.support import wire
from tests.turns import Lag, lag_of, steady

SECONDS = amount(0.5, 1.0)
TIMEOUTS = Timeouts(total=SECONDS, headers=SECONDS, read=SECONDS)
Flood = Callable[[Link], None]
LOOPS = pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def tiny_chunks(link: Link) -> None:
    link.request()
    link.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    link.flood(itertools.repeat(b"1\r\nx\r\n" * 10_000))


def a_fast_download(link: Link) -> None:
    link.request()
    link.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
    link.flood(itertools.repeat(bytes(1 << 20), 900))


def tiny_frames(link: Link) -> None:
    stream_id = link.h2_request({})
    link.send(wire.headers(stream_id, b"\x88"))
    link.flood(itertools.repeat(wire.data(stream_id, b"x") * 10_000))


FLOODS: dict[str, tuple[Flood, bool]] = {
    "chunks of one byte": (tiny_chunks, True),
    "a fast download": (a_fast_download, True),
    "DATA of one byte": (tiny_frames, False),
}


async def under(behave: Flood, http1: bool, count: int, limits: Limits = CLIENT_LIMITS) -> Lag:
    """The loop's lag while `count` requests read what such a server says, for a second."""
    network = NetworkConfig(http1=http1, http2=not http1, trust_env=False, limits=limits)

    async def ask() -> None:
        with hostile(behave) as server:
            async with Client(network=network, timeout=TIMEOUTS) as client:
                try:
                    async with client.stream("GET", f"http://127.0.0.1:{server.port}/") as response:
                        async for _ in response.iter_bytes():
                            pass
                except RequestError:
                    pass

    async with lag_of() as lag:
        await asyncio.gather(*(ask() for _ in range(count)))
    return lag


@pytest.mark.slow
@pytest.mark.alone
@LOOPS
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("name", FLOODS)
def test_a_client_of_a_hostile_server_leaves_the_loop_to_others(
    name: str, count: int, make: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    behave, http1 = FLOODS[name]

    def reading() -> Lag:
        with asyncio.Runner(loop_factory=make) as runner:
            return runner.run(under(behave, http1, count))

    lag = steady(reading, Lag.is_quick)
    assert lag.is_quick(), lag


@pytest.mark.slow
@pytest.mark.alone
def test_control_a_client_without_turns() -> None:
    """Where a turn takes whatever has come, the same flood of chunks holds the loop up."""
    limits = dataclasses.replace(CLIENT_LIMITS, frames_per_turn=0)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        lag = runner.run(under(tiny_chunks, True, 20 if engine_is_compiled() else 5, limits))
    assert not lag.is_quick(most_ms=100.0), lag


# -- what has come is read to its end --

CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5_000


class Cut(Fake):
    """A transport whose TLS ended without close_notify."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return "it ended without close_notify" if name == "cut" else default

    def close(self) -> None:
        self.abort()

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def end(driver: ClientDriver) -> None:
    assert driver.eof_received()


def reset(driver: ClientDriver) -> None:
    driver.connection_lost(ConnectionResetError(104, "Connection reset by peer"))


def end_and_reset(driver: ClientDriver) -> None:
    end(driver)
    driver.connection_lost(None)


ENDS: dict[str, Callable[[ClientDriver], None]] = {"end": end, "reset": reset, "end, reset": end_and_reset}


@pytest.mark.parametrize("how", ENDS)
def test_a_response_that_has_come_whole_is_whole(how: str) -> None:
    """Although the connection ended while most of it waited for its turn."""

    async def main() -> None:
        owner = Owner()
        driver = ClientDriver(asyncio.get_running_loop(), origin=get().origin, protocols="http/1.1", owner=owner)
        driver.connection_made(Cut(driver))
        exchange = driver.begin(get(), True)
        driver.data_received(CHUNKS)
        driver.data_received(b"0\r\n\r\n")
        assert driver.engine.input_pending
        ENDS[how](driver)
        assert not driver.has_room
        assert await (await exchange.head_arrived()).read() == b"x" * 5_000
        await owner.lost.wait()
        assert owner.told.count("lost") == 1

    asyncio.run(main())


@pytest.mark.parametrize("how", ENDS)
def test_a_response_that_was_cut_off_is_not(how: str) -> None:
    """The end counts once everything before it is read: a truncated response is an error, and is told as before."""

    async def main() -> None:
        owner = Owner()
        driver = ClientDriver(asyncio.get_running_loop(), origin=get().origin, protocols="http/1.1", owner=owner)
        driver.connection_made(Cut(driver))
        exchange = driver.begin(get(), True)
        driver.data_received(CHUNKS)
        ENDS[how](driver)
        with pytest.raises(ConnectionLost if how == "reset" else TruncatedBody):
            await (await exchange.head_arrived()).read()
        await owner.lost.wait()

    asyncio.run(main())
