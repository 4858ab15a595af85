"""A client's WebSocket at a hostile server: what else its event loop has to do goes on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections.abc import Callable

import pytest
import uvloop

from headrace.client import Client, RequestError
from headrace.client.connect.config import NetworkConfig
from headrace.websocket import fair_share, intake
from headrace.websocket.tunnel import WebSocketClosed

from tests.conftest import amount
from tests.engine.ws.raw_frames import BINARY, CONT, PING, TEXT, frame
from tests.security.client.test_websocket_live import accept
from tests.security.support.hostile import Link, hostile
from tests.support import wire
from tests.turns import Lag, lag_of, steady
from tests.turns.websocket.floods import LARGEST, packed

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SECONDS = amount(0.5, 1.0)
LOOPS = pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def unmasked(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    return frame(opcode, payload, fin=fin, rsv=rsv, mask=None)


FLOODS: dict[str, bytes] = {
    "empty fragments": unmasked(TEXT, b"", fin=False) + unmasked(CONT, b"", fin=False) * 3_998 + unmasked(CONT, b""),
    "empty messages": unmasked(BINARY, b"") * 4_000,
    "pings": unmasked(PING, b"x") * 4_000,
    "bombs": unmasked(BINARY, packed(bytes(LARGEST)), rsv=0x40) * 16,
}


def over_http1(block: bytes, link: Link) -> None:
    accept(link, deflate=True)
    link.flood(itertools.repeat(block))


def over_http2(block: bytes, link: Link) -> None:
    stream_id = link.h2_request({8: 1})
    fields = [(b":status", b"200"), (b"sec-websocket-extensions", b"permessage-deflate")]
    link.send(wire.headers(stream_id, fields))
    raw = block * (1_000_000 // len(block))
    link.flood(wire.data(stream_id, raw[start : start + 16_000]) for start in range(0, len(raw), 16_000))
    link.wait()


async def under(behave: Callable[[Link], None], http1: bool, count: int) -> Lag:
    """The loop's lag while `count` WebSockets are read at such a server, for SECONDS."""
    network = NetworkConfig(http1=http1, http2=not http1, trust_env=False)

    async def converse() -> None:
        with hostile(behave) as server:
            async with Client(network=network) as client:
                with contextlib.suppress(RequestError, WebSocketClosed, TimeoutError):
                    async with asyncio.timeout(SECONDS):
                        url = f"ws://127.0.0.1:{server.port}/"
                        async with client.websocket(url, close_timeout_s=0.1) as ws:
                            async for _ in ws:
                                pass

    async with lag_of() as lag:
        await asyncio.gather(*(converse() for _ in range(count)))
    return lag


@LOOPS
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("http1", [True, False], ids=["h1", "h2"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_hostile_server_leaves_the_loop_to_others(
    name: str, http1: bool, count: int, make: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    behave = functools.partial(over_http1 if http1 else over_http2, FLOODS[name])

    def reading() -> Lag:
        with asyncio.Runner(loop_factory=make) as runner:
            return runner.run(under(behave, http1, count))

    lag = steady(reading, Lag.is_quick)
    assert lag.is_quick(), lag


def test_control_a_turn_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a turn does whatever there is to do, the same fragments hold the loop up."""
    monkeypatch.setattr(intake, "SLICE", 1 << 50)
    behave = functools.partial(over_http2, FLOODS["empty fragments"])

    def reading() -> Lag:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            endless = fair_share.loop_share(runner.get_loop())  # held until the end, so that connections find it
            endless.left = endless._work = 1 << 50
            return runner.run(under(behave, False, 5))

    lag = steady(reading, lambda lag: not lag.is_quick())
    assert not lag.is_quick(), lag
