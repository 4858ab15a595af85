"""headrace under httpx2: `httpx2.AsyncClient(transport=headrace.client.transports.httpx2.AsyncTransport())`."""

from __future__ import annotations

from types import ModuleType

import httpx2

from headrace.client.transports.bridge import AsyncBridge, AsyncContent, ReadyResponse, SyncBridge, SyncContent


class _AsyncStream(AsyncContent, httpx2.AsyncByteStream):
    api: ModuleType = httpx2


class _SyncStream(SyncContent, httpx2.SyncByteStream):
    api: ModuleType = httpx2


class Response(ReadyResponse, httpx2.Response):
    """httpx2's own class, which is read faster when all of its content arrived with its head."""


class AsyncTransport(AsyncBridge, httpx2.AsyncBaseTransport):
    """Carries the requests of an httpx2.AsyncClient: HTTP/2 and HTTP/1.1, multiplexed, over headrace's pool.

    `options` are those of `headrace.NetworkConfig`; httpx2 does not pass the client's own `http2`, `verify`, `limits`
    and `proxy` to a given transport. `transport` is another headrace transport to use instead, such as
    `ASGITransport(app)`. Errors are httpx2's own.

    A response's `extensions` have `http_version`, and `trailers`, a function to call once the content was read. A
    request's `extensions` may have `on_informational`, which is called with status and fields of each 1xx response.
    """

    api: ModuleType = httpx2
    stream_type = _AsyncStream
    response_type = Response


class Transport(SyncBridge, httpx2.BaseTransport):
    """Carries the requests of an httpx2.Client, on an event loop in the background; see `AsyncTransport`. Any number of
    threads may use it."""

    api: ModuleType = httpx2
    stream_type = _SyncStream


__all__ = ["AsyncTransport", "Response", "Transport"]
