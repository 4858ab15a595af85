"""The asynchronous clients of the race: each opens, gives a function that gets one URL, and closes.

All have their defaults, except that the protocol is given, certificates are not verified, since the server's is made
for the race, and a client may have as many connections as there are requests at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

Get = Callable[[], Awaitable[int]]
"""Gets the URL once. Returns the length of the content."""
Adapter = Callable[[str, str], AbstractAsyncContextManager[Get]]
"""Is given the URL, and `h1` or `h2`."""


@asynccontextmanager
async def headrace(url: str, protocol: str) -> AsyncIterator[Get]:
    """Our own client."""
    from headrace.client import Client

    async with Client(http1=protocol == "h1", http2=protocol == "h2", verify=False) as client:

        async def get() -> int:
            response = await client.get(url)
            assert response.status_code == 200
            return len(response.content)

        yield get


@asynccontextmanager
async def pyreqwest(url: str, protocol: str) -> AsyncIterator[Get]:
    """Reqwest and hyper, in Rust."""
    from pyreqwest.client import ClientBuilder

    builder = ClientBuilder().danger_accept_invalid_certs(True)
    builder = builder.http1_only() if protocol == "h1" else builder.http2_prior_knowledge()
    async with builder.build() as client:

        async def get() -> int:
            response = await client.get(url).build().send()
            assert response.status == 200
            return len(await response.bytes())

        yield get


@asynccontextmanager
async def _httpx_like(library: Any, url: str, protocol: str, transport: Any = None) -> AsyncIterator[Get]:
    options: dict[str, Any] = {"http1": protocol == "h1", "http2": protocol == "h2", "verify": False}
    if transport is not None:
        options = {"transport": transport}
    async with library.AsyncClient(**options) as client:

        async def get() -> int:
            response = await client.get(url)
            assert response.status_code == 200
            return len(response.content)

        yield get


def httpx2(url: str, protocol: str) -> AbstractAsyncContextManager[Get]:
    """The client httpx2, on httpcore2 and hyper-h2."""
    import httpx2 as library

    return _httpx_like(library, url, protocol)


def httpx2_headrace(url: str, protocol: str) -> AbstractAsyncContextManager[Get]:
    """The same with our transport."""
    import httpx2 as library

    from headrace.client.transports.httpx2 import AsyncTransport

    transport = AsyncTransport(http1=protocol == "h1", http2=protocol == "h2", verify=False)
    return _httpx_like(library, url, protocol, transport)


def httpx(url: str, protocol: str) -> AbstractAsyncContextManager[Get]:
    """The client httpx, on httpcore and hyper-h2."""
    import httpx as library

    return _httpx_like(library, url, protocol)


@asynccontextmanager
async def aiohttp(url: str, protocol: str) -> AsyncIterator[Get]:
    """The client of aiohttp, which has HTTP/1.1 alone."""
    import aiohttp as library

    assert protocol == "h1"
    async with library.ClientSession() as session:

        async def get() -> int:
            async with session.get(url, ssl=False) as response:
                assert response.status == 200
                return len(await response.read())

        yield get


@asynccontextmanager
async def niquests(url: str, protocol: str) -> AsyncIterator[Get]:
    """The client niquests, on urllib3-future."""
    import niquests as library

    options: dict[str, Any] = {"disable_http1": protocol == "h2", "disable_http2": protocol == "h1"}
    async with library.AsyncSession(disable_http3=True, pool_maxsize=AT_MOST, **options) as session:

        async def get() -> int:
            response = await session.get(url, verify=False)
            assert response.status_code == 200
            return len(response.content or b"")

        yield get


@asynccontextmanager
async def curl_cffi(url: str, protocol: str) -> AsyncIterator[Get]:
    """The client curl_cffi, on libcurl."""
    from curl_cffi import requests as library

    version: Any = "v1" if protocol == "h1" else "v2_prior_knowledge"
    async with library.AsyncSession(max_clients=AT_MOST, http_version=version, verify=False) as session:

        async def get() -> int:
            response = await session.get(url)
            assert response.status_code == 200
            return len(response.content)

        yield get


AT_MOST: Final = 50
ADAPTERS: Final[dict[str, Adapter]] = {
    "headrace": headrace,
    "pyreqwest": pyreqwest,
    "httpx2": httpx2,
    "httpx2-headrace": httpx2_headrace,
    "httpx": httpx,
    "aiohttp": aiohttp,
    "niquests": niquests,
    "curl_cffi": curl_cffi,
}
