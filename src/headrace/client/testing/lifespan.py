"""The lifespan of an ASGI application that a client calls in memory (ASGI lifespan, specification 2.0)."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

ASGIMessage = MutableMapping[str, Any]
ASGIApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[ASGIMessage]], Callable[[ASGIMessage], Awaitable[None]]],
    Awaitable[None],
]

SHUTDOWN_S: Final = 5.0


class LifespanError(RuntimeError):
    """The application's start or shutdown failed."""


class AppLifespan:
    """One task in which the application has its whole lifespan.

    With `is_required` False, an application that raises when it is called with a lifespan scope is used without one.
    The task runs in `context`, not in that of the first request.
    """

    def __init__(self, app: ASGIApp, is_required: bool, context: contextvars.Context) -> None:
        self._app = app
        self._is_required = is_required
        self._state: dict[str, Any] = {}
        self._inbox: asyncio.Queue[ASGIMessage] = asyncio.Queue()
        self._started = asyncio.Event()
        self._stopped = asyncio.Event()
        self._is_supported = False
        self._failure = ""
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._context = context

    async def startup(self) -> dict[str, Any] | None:
        """Send `lifespan.startup` and wait for its end. Return the state, or None without a lifespan. A second call
        waits for the same start. Raises LifespanError."""
        if self._task is None:
            self._inbox.put_nowait({"type": "lifespan.startup"})
            self._task = asyncio.get_running_loop().create_task(self._run(), context=self._context)
        await self._started.wait()
        if self._failure:
            raise LifespanError(self._failure) from self._error
        return self._state if self._is_supported else None

    async def shutdown(self) -> None:
        """Send `lifespan.shutdown` and wait, some seconds at most. Raises LifespanError."""
        task = self._task
        if task is None:
            return
        if self._is_supported and not task.done():
            self._inbox.put_nowait({"type": "lifespan.shutdown"})
            try:
                await asyncio.wait_for(self._stopped.wait(), SHUTDOWN_S)
            except TimeoutError:
                self._failure = f"the application did not shut down within {SHUTDOWN_S:g} s"
            else:
                await asyncio.wait((task,), timeout=SHUTDOWN_S)
        task.cancel()
        await asyncio.wait((task,), timeout=SHUTDOWN_S)
        if self._is_supported and self._failure:
            raise LifespanError(self._failure) from self._error

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._app(scope, self._inbox.get, self._send)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if (self._is_required or self._is_supported) and not self._failure:
                when = "shutdown" if self._started.is_set() else "start"
                self._failure = f"the application's {when} failed: {type(error).__name__}: {error}"
                self._error = error
        else:
            if self._is_required and not self._started.is_set():
                self._failure = "the application's lifespan returned without an answer to lifespan.startup"
        finally:
            self._started.set()
            self._stopped.set()

    async def _send(self, message: ASGIMessage) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self._started.is_set():
            self._is_supported = True
            self._started.set()
        elif kind == "lifespan.startup.failed" and not self._started.is_set():
            self._failure = f"the application's start failed: {message.get('message', '')}"
            self._started.set()
        elif kind == "lifespan.shutdown.complete" and self._is_supported:
            self._stopped.set()
        elif kind == "lifespan.shutdown.failed" and self._is_supported:
            self._failure = f"the application's shutdown failed: {message.get('message', '')}"
            self._stopped.set()
        else:
            raise RuntimeError(f"unexpected ASGI message '{kind}' in the lifespan")
