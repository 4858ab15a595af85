"""A proxy between a client that is not ours and a server that is, each pair of protocols: {h1, h2} x {h1, h2}."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.client.connect.config import NetworkConfig
from headrace.client.pool.network import NetworkTransport
from headrace.proxy import ReverseProxy
from headrace.server.app import Server

from tests.protocols.conftest import Peer, Wire
from tests.support.serving import port, run, serving

__all__ = ["run"]


class Chain:
    """A client's protocol in front, the upstream's behind."""

    def __init__(self, front: str, back: str) -> None:
        self.front = Wire(front, None)
        self.back = Wire(back, None)

    def transport(self, **options: Any) -> NetworkTransport:
        is_h2 = self.back.protocol == "h2"
        return NetworkTransport(NetworkConfig(http1=not is_h2, http2=is_h2, **options))

    @contextlib.asynccontextmanager
    async def upstream(self, app: Any, **settings: Any) -> AsyncIterator[Server]:
        async with serving(app, protocols=self.back.protocol, **settings) as server:
            yield server

    @contextlib.asynccontextmanager
    async def proxied(self, app: Any, **options: Any) -> AsyncIterator[Server]:
        """The proxy's server, in front of one with `app`."""
        async with self.upstream(app) as upstream, self.to(port(upstream), **options) as server:
            yield server

    @contextlib.asynccontextmanager
    async def to(self, upstream_port: int, path: str = "", *, listen: int = 0, **options: Any) -> AsyncIterator[Server]:
        """The proxy's server, in front of a port; `listen` is its own."""
        url = f"http://127.0.0.1:{upstream_port}{path}"
        async with (
            ReverseProxy(url, transport=self.transport(), **options) as proxy,
            self.front.serving(proxy, bind=f"127.0.0.1:{listen}") as server,
        ):
            yield server

    @contextlib.asynccontextmanager
    async def peer(self, server: Server) -> AsyncIterator[Peer]:
        """A client of the proxy."""
        async with self.front.peer(server) as peer:
            yield peer

    def __str__(self) -> str:
        return f"{self.front.version} to {self.back.version}"


@pytest.fixture(params=[(front, back) for front in ("http/1.1", "h2") for back in ("http/1.1", "h2")], ids="-".join)
def chain(request: pytest.FixtureRequest) -> Chain:
    return Chain(*request.param)
