"""Others are answered in time, and memory stays bounded, while WebSockets are flooded (SECURITY.md, promise 4)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.security.support.harness import victim
from tests.turns import Siege, besieged, steady
from tests.turns.websocket import floods as ws_floods
from tests.turns.websocket.floods import over_h1, over_h2

pytestmark = [pytest.mark.slow, pytest.mark.alone]

DRAIN = {"drain_timeout_s": 0.3}

Make = Callable[[], bytes]


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize(
    "make",
    [
        ws_floods.empty_fragments, ws_floods.crumbs, ws_floods.empty_messages, ws_floods.bombs, ws_floods.text_bombs,
        ws_floods.tiny_deflated, ws_floods.ended_blocks, ws_floods.blocks_of_nothing,
    ],
)  # fmt: skip
def test_floods_over_http1(make: Make, count: int) -> None:
    def reading() -> Siege:
        with victim(limits=DRAIN) as server:
            return besieged(server, over_h1(make), count=count)

    siege = steady(reading, Siege.holds)
    assert siege.holds() and siege.closed == 0, siege


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize(
    "make", [ws_floods.empty_fragments, ws_floods.crumbs, ws_floods.empty_messages, ws_floods.bombs]
)
def test_floods_over_http2(make: Make, count: int) -> None:
    def reading() -> Siege:
        with victim(limits=DRAIN) as server:
            return besieged(server, over_h2(make), count=count)

    siege = steady(reading, Siege.holds)
    assert siege.holds() and siege.closed == 0, siege


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("make", [ws_floods.empty_fragments, ws_floods.bombs])
@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_floods_over_tls(alpn: str, make: Make, count: int) -> None:
    flood = over_h2(make, scheme=b"https") if alpn == "h2" else over_h1(make)

    def reading() -> Siege:
        with victim(limits=DRAIN, tls=True) as server:
            return besieged(server, flood, count=count, alpn=alpn)

    siege = steady(reading, Siege.holds)
    assert siege.holds() and siege.closed == 0, siege


@pytest.mark.parametrize("make", [ws_floods.bombs, ws_floods.text_bombs, ws_floods.empty_messages])
def test_a_hundred_websockets_of_a_connection_whose_handlers_do_not_receive(make: Make) -> None:
    def reading() -> Siege:
        with victim(limits=DRAIN) as server:
            return besieged(server, over_h2(make, b"idle", 100))

    siege = steady(reading, Siege.holds)
    assert siege.holds() and siege.closed == 0, siege


def test_echoes_of_a_flood() -> None:
    def reading() -> Siege:
        with victim(limits=DRAIN) as server:
            return besieged(server, over_h1(ws_floods.empty_messages, b"echo"), count=20)

    siege = steady(reading, Siege.holds)
    assert siege.holds() and siege.closed == 0, siege


def test_control_without_a_bound_of_work_others_wait() -> None:
    """The same flood, where a turn has no end."""
    with victim("unbounded", limits=DRAIN) as server:
        siege = besieged(server, over_h2(ws_floods.empty_fragments), count=8)
    assert not siege.is_quick(), siege


def test_control_with_large_limits_memory_grows() -> None:
    """The hundred WebSockets, where what is inflated for handlers that do not receive has no bound."""
    limits = {**DRAIN, "max_message_queue_size": 1_000_000_000}
    with victim(limits=limits) as server:
        siege = besieged(server, over_h2(ws_floods.bombs, b"idle", 100), longest_s=4.0)
    assert siege.growth > 80_000_000, siege
