"""The negative control of what this folder measures: where the loop really is held up, it says so."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable

import pytest

from tests.security.support.harness import victim
from tests.support import wire
from tests.turns import besieged, lag_of

pytestmark = [pytest.mark.slow, pytest.mark.alone]

BURN = b"GET /burn HTTP/1.1\r\nhost: a\r\n\r\n"


def burning() -> Iterable[bytes]:
    """Requests each of which holds the server's loop up for a quarter of a second."""
    yield from itertools.repeat(BURN, 8)


def quiet() -> Iterable[bytes]:
    """A connection that asks for nothing."""
    yield wire.client_preface() + wire.settings_ack()


def test_a_server_whose_loop_is_held_up_is_not_quick() -> None:
    with victim() as server:
        siege = besieged(server, burning)
    assert not siege.holds() and siege.seen.worst > 100, siege


def test_a_server_that_has_nothing_to_do_is_quick() -> None:
    with victim() as server:
        siege = besieged(server, quiet, count=20, longest_s=0.5)
    assert siege.holds() and siege.closed == 0, siege


def test_a_loop_that_is_held_up_has_a_lag() -> None:
    async def measure(held_s: float) -> bool:
        async with lag_of() as lag:
            for _ in range(5):
                await asyncio.sleep(0.002)
                time.sleep(held_s)
        return lag.is_quick()

    assert not asyncio.run(measure(0.35))
    assert asyncio.run(measure(0.0))
