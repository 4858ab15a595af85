"""headrace under httpx: `httpx.AsyncClient(transport=headrace.client.transports.httpx.AsyncTransport())`."""

from __future__ import annotations

import httpx

from headrace.client.transports.bridge import AsyncBridge, AsyncContent


class _AsyncStream(AsyncContent, httpx.AsyncByteStream):
    api = httpx


class AsyncTransport(AsyncBridge, httpx.AsyncBaseTransport):
    """Carries the requests of an httpx.AsyncClient: HTTP/2 and HTTP/1.1, multiplexed, over headrace's pool.

    `options` are those of `headrace.client.network.NetworkConfig`; the client's own `http2`, `verify`, `limits` and
    `proxy` do not reach a transport that is given to it. `transport` is any other carrier of ours instead, such as
    `ASGITransport(app)`. Errors are httpx's own.
    """

    api = httpx
    stream_type = _AsyncStream
