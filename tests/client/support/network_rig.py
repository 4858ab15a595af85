"""A NetworkTransport for one test, requests for it, certificates, and checks for leaks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import trustme

from headrace.client.connect.config import NetworkConfig
from headrace.client.interface import Incoming, Origin, Outgoing
from headrace.client.pool.network import NetworkTransport

from tests.client.support.rig import PATIENT

H2C = {"http1": False}
"""Cleartext HTTP/2 by prior knowledge."""


@contextlib.asynccontextmanager
async def network(**config: Any) -> AsyncIterator[NetworkTransport]:
    """Give a transport, and assert that it leaves no waiter, no connection and no task."""
    config.setdefault("trust_env", False)
    before = asyncio.all_tasks()
    transport = NetworkTransport(NetworkConfig(**config))
    try:
        yield transport
    finally:
        await transport.aclose()
        assert transport.pool.waiting == 0
        assert not transport.links and not transport.pool.homes and not transport.pool.under_way
        assert not [task for task in asyncio.all_tasks() - before if "connector" in repr(task)]


def ask(port: int, path: str = "/", method: str = "GET", content: Any = b"", **options: Any) -> Outgoing:
    """Return a request to 127.0.0.1, or to `host`; `scheme` is "http" by default."""
    scheme = options.pop("scheme", "http")
    host = options.pop("host", "127.0.0.1")
    options.setdefault("timeouts", PATIENT)
    headers = options.pop("headers", [])
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Outgoing(
        method.encode(),
        Origin(scheme, host, port),
        authority.encode(),
        path.encode(),
        headers,
        content,
        url=f"{scheme}://{authority}{path}",
        **options,
    )


async def fetch(transport: NetworkTransport, outgoing: Outgoing) -> bytes:
    """Return the content of a response, which must be a 200."""
    incoming: Incoming = await transport.send(outgoing, whole=True)
    assert incoming.head.status == 200
    return await incoming.read()


@cache
def authority() -> trustme.CA:
    """The authority of the tests' certificates; nobody else trusts it."""
    return trustme.CA()


def server_tls(*names: str, alpn: tuple[str, ...] = ("h2", "http/1.1")) -> ssl.SSLContext:
    """Return a server's context with a certificate for `names`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*(names or ("localhost", "127.0.0.1"))).configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def trusting() -> ssl.SSLContext:
    """Return a client's context that trusts the tests' authority."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


class Silent:
    """A server that reads and sends nothing."""

    def __init__(self) -> None:
        self.port = 0
        self.heard = asyncio.Event()
        self.closed = asyncio.Event()


@contextlib.asynccontextmanager
async def silence() -> AsyncIterator[Silent]:
    """Give one that listens on 127.0.0.1 for as long as the context is open."""
    found = Silent()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(65_536):
                found.heard.set()
        found.closed.set()
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        await server.wait_closed()
