"""headrace under httpx2: `httpx2.AsyncClient(transport=headrace.client.transports.httpx2.AsyncTransport())`."""

from __future__ import annotations

import httpx2

from headrace.client.transports.bridge import AsyncBridge, AsyncContent


class _AsyncStream(AsyncContent, httpx2.AsyncByteStream):
    api = httpx2


class AsyncTransport(AsyncBridge, httpx2.AsyncBaseTransport):
    """Carries the requests of an httpx2.AsyncClient: HTTP/2 and HTTP/1.1, multiplexed, over headrace's pool.

    `options` are those of `headrace.client.network.NetworkConfig`; the client's own `http2`, `verify`, `limits` and
    `proxy` do not reach a transport that is given to it. `transport` is any other carrier of ours instead, such as
    `ASGITransport(app)`. Errors are httpx2's own.
    """

    api = httpx2
    stream_type = _AsyncStream
