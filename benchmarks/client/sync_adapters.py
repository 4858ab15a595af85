"""The synchronous clients of the race, as the asynchronous ones in `adapters`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

Get = Callable[[], int]
Adapter = Callable[[str, str], AbstractContextManager[Get]]


@contextmanager
def headrace(url: str, protocol: str) -> Iterator[Get]:
    """Our own client."""
    from headrace.client import SyncClient

    with SyncClient(http1=protocol == "h1", http2=protocol == "h2", verify=False) as client:
        yield _requests_like(client, url)


@contextmanager
def pyreqwest(url: str, protocol: str) -> Iterator[Get]:
    """Reqwest and hyper, in Rust."""
    from pyreqwest.client import SyncClientBuilder

    builder = SyncClientBuilder().danger_accept_invalid_certs(True)
    builder = builder.http1_only() if protocol == "h1" else builder.http2_prior_knowledge()
    with builder.build() as client:

        def get() -> int:
            response = client.get(url).build().send()
            assert response.status == 200
            return len(response.bytes())

        yield get


@contextmanager
def httpx2(url: str, protocol: str) -> Iterator[Get]:
    """The client httpx2, on httpcore2 and hyper-h2."""
    import httpx2 as library

    with library.Client(http1=protocol == "h1", http2=protocol == "h2", verify=False) as client:
        yield _requests_like(client, url)


@contextmanager
def httpx(url: str, protocol: str) -> Iterator[Get]:
    """The client httpx, on httpcore and hyper-h2."""
    import httpx as library

    with library.Client(http1=protocol == "h1", http2=protocol == "h2", verify=False) as client:
        yield _requests_like(client, url)


@contextmanager
def niquests(url: str, protocol: str) -> Iterator[Get]:
    """The client niquests, on urllib3-future."""
    import niquests as library

    options: dict[str, Any] = {"disable_http1": protocol == "h2", "disable_http2": protocol == "h1"}
    with library.Session(disable_http3=True, **options) as session:
        session.verify = False
        yield _requests_like(session, url)


@contextmanager
def curl_cffi(url: str, protocol: str) -> Iterator[Get]:
    """The client curl_cffi, on libcurl."""
    from curl_cffi import requests as library

    version: Any = "v1" if protocol == "h1" else "v2_prior_knowledge"
    with library.Session(http_version=version, verify=False) as session:
        yield _requests_like(session, url)


def _requests_like(client: Any, url: str) -> Get:
    def get() -> int:
        response = client.get(url)
        assert response.status_code == 200
        return len(response.content)

    return get


ADAPTERS: Final[dict[str, Adapter]] = {
    "headrace-sync": headrace,
    "pyreqwest-sync": pyreqwest,
    "httpx2-sync": httpx2,
    "httpx-sync": httpx,
    "niquests-sync": niquests,
    "curl_cffi-sync": curl_cffi,
}
