"""The same tests over every wire: HTTP/1.1 and HTTP/2, cleartext and TLS, asyncio's loop and uvloop."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.server.app import Server
from headrace.transport.tls import local_certificate

from tests.support.h1_peer import H1Peer
from tests.support.h2_peer import H2Peer
from tests.support.serving import port, run, serving

__all__ = ["run"]


class Wire:
    """One protocol over cleartext or TLS: how to serve on it, and how to speak to the server."""

    def __init__(self, protocol: str, folder: Path | None) -> None:
        self.protocol = protocol
        self.folder = folder

    @property
    def version(self) -> str:
        return "2" if self.protocol == "h2" else "1.1"

    @property
    def scheme(self) -> str:
        return "http" if self.folder is None else "https"

    def serving(self, app: Any, **settings: Any) -> contextlib.AbstractAsyncContextManager[Server]:
        if self.folder is not None:
            settings["tls_cert"] = str(self.folder / "localhost.pem")
        return serving(app, **settings)

    @contextlib.asynccontextmanager
    async def peer(self, server: Server) -> AsyncIterator[Peer]:
        context = None
        if self.folder is not None:
            context = ssl.create_default_context(cafile=self.folder / "localhost-ca.pem")
            context.set_alpn_protocols([self.protocol])
        if self.protocol == "h2":
            async with H2Peer.connected(port(server), tls=context) as h2:
                yield Peer(h2)
        else:
            async with H1Peer.connected(port(server), tls=context) as h1:
                yield Peer(h1)

    def __str__(self) -> str:
        return f"{self.protocol}, {'cleartext' if self.folder is None else 'TLS'}"


class Peer:
    """What both clients can do, in the same words; see `H2Peer`."""

    def __init__(self, inner: H2Peer | H1Peer) -> None:
        self.inner = inner

    async def open(self, path: str = "/", method: str = "GET", headers: Any = (), *, end: bool = True) -> int:
        opened = self.inner.open(path, method, headers, end=end)
        return opened if isinstance(opened, int) else await opened

    async def finish(self, number: int, data: bytes, trailers: Any) -> None:
        """The last piece of a request's content, with trailers."""
        if isinstance(self.inner, H1Peer):
            await self.inner.send(number, data, end=True, trailers=trailers)
        else:
            await self.inner.send(number, data)
            self.inner.conn.send_headers(number, trailers, end_stream=True)
            self.inner.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    local_certificate(folder)
    return folder


@pytest.fixture(params=["h1, cleartext", "h1, TLS", "h2, cleartext", "h2, TLS"])
def wire(request: pytest.FixtureRequest, certificate: Path) -> Wire:
    protocol, _, how = request.param.partition(", ")
    return Wire("http/1.1" if protocol == "h1" else "h2", certificate if how == "TLS" else None)
