"""A server of ours in the test's own event loop, on both loops that users have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from headrace.engine.limits import Limits
from headrace.server.app import Server
from headrace.server.settings.config import Config

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a test's coroutine on an event loop; an exception that nobody saw fails the test."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run_it(coroutine: Coroutine[Any, Any, Any]) -> Any:
        unseen: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: unseen.append(context))
            result = runner.run(asyncio.wait_for(coroutine, 60.0))
        assert not unseen, unseen
        return result

    return run_it


@contextlib.asynccontextmanager
async def serving(
    app: Any, *, telemetry: Any = (), limits: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Server]:
    """Serves `app` on a free port, see `port`, for as long as the context is open."""
    settings.setdefault("bind", "127.0.0.1:0")
    config = Config(limits=Limits(**{"frames_per_turn": 100, **(limits or {})}), **settings)
    server = Server(app, config, telemetry=telemetry)
    await server.start()
    try:
        yield server
    finally:
        server.abort()
        await server.wait_closed()


def port(server: Server) -> int:
    """The port of the server's first address."""
    return int(server.addresses[0][1].rpartition(":")[2])


def live_handlers(server: Server) -> int:
    """Workers of all connections that have not ended."""
    assert server.service is not None
    return sum(len(driver.live) for driver in server.service.drivers)


async def settled(is_true: Callable[[], bool]) -> None:
    """Give the event loop its turns until `is_true`, which must become so by what is under way already."""
    async with asyncio.timeout(10.0):
        while not is_true():
            await asyncio.sleep(0.001)
