"""Requests to an ASGI application in the same process, without sockets: for tests."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any, Final, Literal
from urllib.parse import unquote_to_bytes

from headrace.client.interface import Outgoing
from headrace.client.testing.asgi_response import ASGIResponse, ClientGone
from headrace.client.testing.asgi_websocket import ASGIHandshake
from headrace.client.testing.lifespan import AppLifespan, ASGIApp, LifespanError

_SPEC: Final = {"version": "3.0", "spec_version": "2.5"}


class ASGITransport:
    """Carries requests to `app` in memory: `Client(transport=ASGITransport(app))`.

    It behaves like an ASGI server: content streams both ways with back-pressure, and there are trailers, 103 (Early
    Hints), http.disconnect when the response is given up, and WebSockets. The response ends when `app` has returned, so
    that its background tasks are done before a test checks their results.

    `raise_app_exceptions`: an exception of the application comes out of the request unchanged; with False it is 500, or
    StreamReset when the response had begun. `lifespan`: `auto` runs it when the application has one, `on` requires it,
    and `off` does not run it; it starts with the first request and ends with `aclose`. `http_version`, `root_path`,
    `client` are those of the scope. Of the timeouts, `headers` and `read` are kept. Raises LifespanError when the start
    fails.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        raise_app_exceptions: bool = True,
        lifespan: Literal["auto", "on", "off"] = "auto",
        root_path: str = "",
        client: tuple[str, int] | None = ("127.0.0.1", 50_000),
        http_version: Literal["1.1", "2"] = "2",
    ) -> None:
        if lifespan not in ("auto", "on", "off"):
            raise ValueError(f"lifespan must be auto, on or off, not {lifespan!r}")
        self.app = app
        self.raise_app_exceptions = raise_app_exceptions
        self.root_path = root_path
        self.client = client
        self.http_version = http_version
        self.running: set[asyncio.Task[None]] = set()
        """Calls of the application that have not returned."""
        self._lifespan_mode = lifespan
        self._lifespan: AppLifespan | None = None
        self._state: dict[str, Any] | None = None
        self._has_started = lifespan == "off"
        self._context = contextvars.copy_context()

    async def send(self, outgoing: Outgoing, *, whole: bool = False) -> ASGIResponse:
        """Call the application; see `headrace.client.interface.Transport.send`."""
        await self.start()
        response = ASGIResponse(self, outgoing, whole)
        try:
            await response.begun()
        except BaseException:
            response.close()
            raise
        return response

    async def tunnel(self, outgoing: Outgoing) -> ASGIHandshake:
        """Call the application with a request for a WebSocket, and return its answer; for `Client.websocket`."""
        await self.start()
        handshake = ASGIHandshake(self, outgoing, False)
        try:
            await handshake.begun()
        except BaseException:
            handshake.close()
            raise
        return handshake

    async def start(self) -> None:
        """Run the lifespan's start unless it has run. Raises LifespanError."""
        if self._has_started:
            return
        if self._lifespan is None:
            self._lifespan = AppLifespan(self.app, self._lifespan_mode == "on", self._context)
        self._state = await self._lifespan.startup()
        self._has_started = True

    async def aclose(self) -> None:
        """End the running calls, then run the lifespan's shutdown. Raises LifespanError."""
        for task in list(self.running):
            task.cancel()
        if self.running:
            await asyncio.wait(list(self.running))
        lifespan, self._lifespan = self._lifespan, None
        self._has_started = self._lifespan_mode == "off"
        if lifespan is not None:
            await lifespan.shutdown()

    async def __aenter__(self) -> ASGITransport:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def scope(self, outgoing: Outgoing, kind: str) -> dict[str, Any]:
        """Return the part of a scope that HTTP and WebSocket share."""
        raw_path, _, query = outgoing.path.partition(b"?")
        origin = outgoing.origin
        scope: dict[str, Any] = {
            "type": kind,
            "asgi": dict(_SPEC),
            "http_version": self.http_version,
            "scheme": origin.scheme,
            "path": self.root_path + unquote_to_bytes(raw_path).decode("utf-8", "replace"),
            "raw_path": self.root_path.encode() + raw_path,
            "query_string": query,
            "root_path": self.root_path,
            "headers": [(b"host", outgoing.authority), *outgoing.headers],
            "client": self.client,
            "server": (origin.host, origin.port),
            "extensions": {},
        }
        if self._state is not None:
            scope["state"] = self._state.copy()
        return scope


__all__ = ["ASGIResponse", "ASGITransport", "ClientGone", "LifespanError"]
