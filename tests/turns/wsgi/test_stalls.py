"""WSGI: one address whose clients take nothing, on any number of connections, keeps nobody of that address waiting."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable
from typing import Any

import pytest

from headrace.server.app import Server
from headrace.wsgi import spools as spools_module
from headrace.wsgi.addresses import ClientRecord
from headrace.wsgi.stalls import CHECKS, PROGRESS, Stalls
from headrace.wsgi.threads import Threads

from tests.support.h1_peer import H1Peer
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, run, serving, settled
from tests.turns.wsgi.test_threads import (
    ENDLESS,
    NO_SPOOL,
    PAGE,
    Site,
    answered,
    application,
    let_go,
    reader,
    unspooled,
)

__all__ = ["run"]

TIGHT: dict[str, Any] = {**ENDLESS, "wsgi_spool_memory": 0, "wsgi_spool_size": 2**21, "wsgi_spool_total": 2**25}
"""Ten responses of 1.5 MB are all that one address has room for."""


# -- served


async def stuck(server: Server, peers: list[H2Peer], count: int) -> None:
    """Wait until `count` threads wait and nothing moves: before room and windows are used up, they wait for moments."""
    app = application(server)

    def state() -> tuple[int, ...]:
        return app.threads.stats()["waiting"], *app.spools.usage(), sum(each.moved() for each in list(app.stalls._held))

    rounds = 0
    while rounds < 5:
        await settled(lambda: app.threads.stats()["waiting"] == count)
        before = state()
        for peer in peers:
            await peer.ping()
        rounds = rounds + 1 if state() == before else 0


@pytest.mark.parametrize("stall_s", [0.1, 0.0])
@pytest.mark.parametrize("path", ["/endless", "/list", "/pieces"])
def test_clients_that_read_nothing_leave_a_thread_for_their_neighbours(run: Run, path: str, stall_s: float) -> None:
    """Twenty connections with twenty streams each, and a bystander of the same address."""
    site = Site()

    async def main() -> None:
        settings = {**(ENDLESS if path == "/endless" else TIGHT), "wsgi_stall_s": stall_s}
        async with serving(site, **settings) as server, contextlib.AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(reader(server)) for _ in range(20)]
            for peer in peers:
                for _ in range(20):
                    peer.open(path)
            await settled(lambda: application(server).threads.stats()["queued"] > 0)
            if stall_s:
                for _ in range(3):
                    await answered(server)
                for peer in peers:
                    peer.writer.transport.abort()
                await settled(lambda: unspooled(server))
            else:  # the control
                await stuck(server, peers, 6)
                async with H2Peer.connected(port(server)) as other:
                    other.open("/")
                    await other.ping()
                    await peers[0].ping()
                    assert "/" not in site.seen
                    assert application(server).threads.stats()["waiting"] == 6

    run(main())


@pytest.mark.parametrize("is_reserved", [True, False])
def test_what_is_not_read_leaves_room_and_threads_for_neighbours(
    run: Run, is_reserved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six connections with forty streams each, more than the address has files for; nothing is ended here."""
    site = Site()
    monkeypatch.setattr(spools_module, "FILES", 128)
    if not is_reserved:  # the control
        monkeypatch.setattr(spools_module.Spools, "is_short", lambda spools, address: False)

    async def main() -> None:
        settings: dict[str, Any] = {"wsgi_threads": 4, "wsgi_spool_memory": 65_536, "wsgi_stall_s": 0}
        async with serving(site, **settings) as server, contextlib.AsyncExitStack() as stack:
            threads = application(server).threads
            peers = [await stack.enter_async_context(reader(server)) for _ in range(6)]
            streams = [[peer.open("/page") for _ in range(40)] for peer in peers]
            for peer in peers:
                await peer.ping()
            if is_reserved:
                await settled(lambda: threads.stats()["running"] == 0)
                assert threads.stats()["queued"] > 0
                await answered(server)
            else:
                await stuck(server, peers, 6)
                assert application(server).spools.usage()[2] == 64
                async with H2Peer.connected(port(server)) as other:
                    other.open("/")
                    await other.ping()
                    assert "/" not in site.seen
            for peer, theirs in zip(peers, streams, strict=True):  # what was held back starts as there is room
                let_go(peer, theirs)
            for peer, theirs in zip(peers, streams, strict=True):
                for stream_id in theirs:
                    assert len((await peer.over(stream_id)).body) == PAGE
            await settled(lambda: unspooled(server))

    run(main())


@pytest.mark.parametrize("stall_s", [0.1, 0.0])
def test_clients_that_send_nothing_leave_a_thread_for_their_neighbours(run: Run, stall_s: float) -> None:
    """Where nothing is spooled, a thread waits for content from its first byte."""
    site = Site()

    async def main() -> None:
        settings = {**ENDLESS, **NO_SPOOL, "wsgi_stall_s": stall_s}
        fields = [("expect", "100-continue"), ("content-length", "9")]
        async with serving(site, **settings) as server, contextlib.AsyncExitStack() as stack:
            first = [await stack.enter_async_context(H1Peer.connected(port(server))) for _ in range(3)]
            for each in first:
                await each.open("/echo", "POST", fields, end=False)
            peers = [await stack.enter_async_context(H2Peer.connected(port(server))) for _ in range(20)]
            for peer in peers:
                for _ in range(5):
                    peer.open("/echo", "POST", fields, end=False)
            await settled(lambda: application(server).threads.stats()["waiting"] >= 6)
            if stall_s:
                await answered(server)
                await settled(lambda: application(server).threads.stats()["queued"] == 0)
            else:  # the control
                async with H2Peer.connected(port(server)) as other:
                    other.open("/")
                    await other.ping()
                    assert "/" not in site.seen

    run(main())


# -- whom it ends, by a clock of our own


class Loop:
    """Its time is set by the test, which calls what is due."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[..., None], *arguments: Any, context: Any) -> None:
        self.due.append((self.now + delay, callback, arguments))

    def wait(self, seconds: float) -> None:
        """Let so many seconds pass."""
        end = self.now + seconds
        while self.due and self.due[0][0] <= end:
            self.now, callback, arguments = self.due.pop(0)
            callback(*arguments)
        self.now = end


class Cycle:
    """A request as `Stalls` sees it; `step` bytes move with each look."""

    def __init__(
        self, address: ClientRecord, *, holds: bool = True, blocked: bool = True, step: int = 0, driver: str = ""
    ) -> None:
        self.address = address
        self.driver = driver
        self.holds, self.blocked, self.step = holds, blocked, step
        self.bytes = 0
        self.is_over = False
        self.looked = 0

    def awaits_client(self) -> bool:
        self.bytes += self.step
        return self.blocked and not self.is_over

    def awaits_room(self) -> bool:
        return self.holds and not self.is_over

    is_waited_for = awaits_room

    def moved(self) -> int:
        return self.bytes

    def look_for_room(self) -> None:
        self.looked += 1

    def give_up(self, reason: str) -> None:
        assert "wsgi_stall_s" in reason
        self.is_over = True


class House:
    """Four threads, all of which wait, and a request that waits for one."""

    def __init__(self, limit_s: float = 1.0) -> None:
        self.threads = Threads(4, is_short=lambda address: True)
        self.address, self.other = ClientRecord("one"), ClientRecord("other")
        self.stalls = Stalls(self.threads, limit_s)
        self.loop = Loop()
        self.threads._queued = 1
        self.threads._waiting = 4

    def enter(self, *cycles: Cycle) -> None:
        for cycle in cycles:
            self.stalls.enter(cycle)  # type: ignore[arg-type]

    def watch(self) -> None:
        self.stalls.watch(self.loop, contextvars.copy_context())  # type: ignore[arg-type]


def test_the_one_that_waits_longest_is_ended_for_each_that_waits() -> None:
    house = House()
    cycles = [Cycle(house.address) for _ in range(3)]
    house.enter(*cycles)
    house.watch()
    house.loop.wait(0.99)
    assert not any(cycle.is_over for cycle in cycles)
    house.loop.wait(0.02)
    assert [cycle.is_over for cycle in cycles] == [True, False, False]
    house.threads._queued = 0
    house.loop.wait(5)
    assert [cycle.is_over for cycle in cycles] == [True, False, False]
    assert not house.loop.due


def test_who_makes_progress_is_not_ended_and_who_drips_is() -> None:
    house = House()
    reads = Cycle(house.address, step=PROGRESS)
    reads_slowly = Cycle(house.address, step=PROGRESS // CHECKS + 1)
    waits_for_its_application = Cycle(house.address, blocked=False)
    drips = Cycle(house.address, step=PROGRESS // (CHECKS + 1) - 10)
    house.enter(reads, reads_slowly, waits_for_its_application, drips)
    house.threads._queued = 9
    house.watch()
    house.loop.wait(20)
    assert [each.is_over for each in (reads, reads_slowly, waits_for_its_application, drips)] == [False] * 3 + [True]


@pytest.mark.parametrize("free", ["nobody waits", "half of the threads compute", "off"])
def test_nobody_is_ended_without_need(free: str) -> None:
    house = House(limit_s=0.0 if free == "off" else 1.0)
    cycle = Cycle(house.address)
    house.enter(cycle)
    house.watch()
    house.loop.wait(0.6)
    if free == "nobody waits":
        house.threads._queued = 0
    elif free == "half of the threads compute":
        house.threads._waiting = 2
    house.loop.wait(0.5)
    assert not cycle.is_over
    house.threads._queued, house.threads._waiting = 1, 4
    house.watch()
    house.loop.wait(0.9)  # what was before does not count
    assert not cycle.is_over
    house.loop.wait(1)
    assert cycle.is_over is (free != "off")


def test_room_is_taken_from_the_address_that_wants_some() -> None:
    house = House()
    others = Cycle(house.other, holds=False)
    old = [Cycle(house.address, holds=False) for _ in range(3)]
    wants = Cycle(house.address, blocked=False)
    house.enter(others, *old, wants)
    house.threads._queued = 2
    house.watch()
    house.loop.wait(1)
    assert [each.is_over for each in (others, *old, wants)] == [False, True, True, False, False]
    assert wants.looked == 1


@pytest.mark.parametrize("is_held_back", [True, False])
def test_a_connection_that_is_held_back_has_some_of_its_own_ended(is_held_back: bool) -> None:
    """All threads are free, but what a connection leaves unread keeps its own requests from starting."""
    house = House()
    house.threads._queued, house.threads._waiting = 2, 0
    for _ in range(2):
        house.address.add("a", lambda: None)
    house.threads._turns.append(house.address)
    if is_held_back:
        house.address.unread["a"] = 4
    reads = Cycle(house.address, holds=False, step=PROGRESS, driver="a")
    neighbour = Cycle(house.address, driver="b")
    old = [Cycle(house.address, holds=False, driver="a") for _ in range(3)]
    house.enter(reads, neighbour, *old)
    house.watch()
    house.loop.wait(1)
    ended = [each.is_over for each in (reads, neighbour, *old)]
    assert ended == [False, False, is_held_back, is_held_back, False]


def test_who_is_held_back_by_others_has_some_of_theirs_ended() -> None:
    house = House()
    house.threads._queued, house.threads._waiting = 1, 0
    house.address.add("b", lambda: None)
    house.address.alone.add("b")
    house.address.unread["a"] = 2
    house.threads._turns.append(house.address)
    foreign = Cycle(house.other, holds=False, driver="c")
    old = [Cycle(house.address, holds=False, driver="a") for _ in range(2)]
    house.enter(foreign, *old)
    house.watch()
    house.loop.wait(1)
    assert [each.is_over for each in (foreign, *old)] == [False, True, False]


def test_who_has_left_is_forgotten() -> None:
    house = House()
    cycle = Cycle(house.address)
    house.enter(cycle)
    house.watch()
    house.loop.wait(0.5)
    house.stalls.leave(cycle)  # type: ignore[arg-type]
    house.stalls.leave(cycle)  # type: ignore[arg-type]
    house.loop.wait(5)
    assert not cycle.is_over


def test_the_limit_has_a_range() -> None:
    from headrace.server.settings.config import Config, ConfigError

    with pytest.raises(ConfigError, match="wsgi_stall_s"):
        Config(wsgi_stall_s=-1)
