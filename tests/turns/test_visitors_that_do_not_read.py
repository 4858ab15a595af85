"""The users of a reverse proxy share its connection to the upstream: who does not read its response stops nobody."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from headrace.proxy import ReverseProxy
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse

from tests.client.support.rig import settled
from tests.proxy.conftest import Chain
from tests.support.serving import Run, port

MB = 1_048_576
LARGE = 16 * MB


async def app(request: Request) -> StreamResponse | Response:
    if request.path == "/small":
        return Response(200, (), b"fine")
    size = 1_500_000 if request.path == "/ends" else LARGE

    async def produce(send: Send) -> None:
        for start in range(0, size, 65_536):
            await send(bytes(min(65_536, size - start)))

    return StreamResponse(200, (), produce)


def unread(transport: Any) -> int:
    """Bytes that the proxy holds of its upstream's responses, over all connections."""
    return sum(driver.engine.stats()["unread"] for driver in transport.links)


@pytest.mark.parametrize(
    ("front", "path", "idlers"),
    [("h2", "/large", 24), ("h2", "/ends", 24), ("http/1.1", "/large", 24), ("h2", "/large", 99), ("h2", "/ends", 99)],
)
def test_visitors_that_do_not_read_stop_nobody_else(run: Run, front: str, path: str, idlers: int) -> None:
    """24 and 99 visitors, all on one HTTP/2 connection or each on one of HTTP/1.1, whose buffers take some megabytes;
    /ends is a response that comes to its end within the window of its stream, so that nothing but memory is left."""
    chain = Chain(front, "h2")

    async def main() -> None:
        async with chain.upstream(app) as upstream, contextlib.AsyncExitStack() as stack:
            transport = chain.transport(max_h2_connections_per_origin=1)
            proxy = await stack.enter_async_context(
                ReverseProxy(f"http://127.0.0.1:{port(upstream)}", transport=transport)
            )
            server = await stack.enter_async_context(chain.front.serving(proxy))
            limits = transport.config.limits
            bound = limits.max_unread + limits.initial_connection_window + (idlers + 1) * limits.small_stream_window
            if front == "h2":
                idle: Any = await stack.enter_async_context(chain.peer(server))
                idle.inner.gives_credit = False
                for _ in range(idlers):
                    await idle.open(path)
            else:
                for _ in range(idlers):
                    idle = await stack.enter_async_context(chain.peer(server))
                    idle.inner.writer.transport.pause_reading()
                    await idle.open(path)
            await settled(lambda: unread(transport) >= limits.max_unread)
            most = 0
            visitor = await stack.enter_async_context(chain.peer(server))
            for _ in range(3):
                assert bytes((await visitor.get("/small")).body) == b"fine"
                assert len((await visitor.get("/large")).body) == LARGE
                most = max(most, unread(transport))
            assert len(transport.links) == 1
            assert most <= bound, f"{most:,} bytes are unread, and {bound:,} may be"

    run(asyncio.wait_for(main(), 50.0))
