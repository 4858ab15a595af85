"""ASGI's lifespan: one task, as long as the server runs, tells the application of the server's start and end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from headrace.asgi.types import LIFESPAN_SPEC
from headrace.server.interface import StartupError
from headrace.transport.log import get_logger

if TYPE_CHECKING:
    from headrace.asgi.types import ASGIApp, ASGIMessage

error_log: Final = get_logger("headrace.error")
logger: Final = get_logger("headrace")

SHORTEST_SHUTDOWN_S: Final = 5.0


class Lifespan:
    """Runs the lifespan of `app`.

    `mode` is `on`, or `auto`: then an application that raises when it is called with a lifespan scope, as the
    specification lets it, is served without one. `timeout_s` bounds the shutdown.
    """

    def __init__(self, app: ASGIApp, mode: str, timeout_s: float) -> None:
        self._app = app
        self._is_required = mode == "on"
        self._timeout_s = max(timeout_s, SHORTEST_SHUTDOWN_S)
        self._state: dict[str, Any] = {}
        self._inbox: asyncio.Queue[ASGIMessage] = asyncio.Queue()
        self._started: asyncio.Event = asyncio.Event()
        self._stopped: asyncio.Event = asyncio.Event()
        self._failure: str | None = None
        self._error: BaseException | None = None
        self._is_supported = False
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> dict[str, Any] | None:
        """Send `lifespan.startup` and wait. Returns the state, or None when the application does not support lifespan.

        Raises StartupError when the application says that its start failed, or fails.
        """
        self._inbox.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._started.wait()
        if self._failure is not None:
            raise StartupError(self._failure) from self._error
        if not self._is_supported:
            logger.debug("the application has no lifespan")
            return None
        return self._state

    async def shutdown(self) -> None:
        """Send `lifespan.shutdown` and wait, for a bounded time."""
        task = self._task
        if task is None or task.done() or not self._is_supported:
            return
        self._inbox.put_nowait({"type": "lifespan.shutdown"})
        try:
            await asyncio.wait_for(self._stopped.wait(), self._timeout_s)
            await asyncio.wait_for(asyncio.shield(task), 1.0)
        except TimeoutError:
            if not self._stopped.is_set():
                error_log.error("the application did not shut down within %g s", self._timeout_s)
            task.cancel()
            await asyncio.wait((task,), timeout=1.0)

    async def _run(self) -> None:
        scope: dict[str, Any] = {"type": "lifespan", "asgi": dict(LIFESPAN_SPEC), "state": self._state}
        try:
            await self._app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if self._is_supported:
                error_log.error("the application's lifespan failed", exc_info=error)
            elif self._failure is None and self._is_required:
                self._failure = f"the application's start failed: {_describe(error)}"
                self._error = error
        else:
            if not self._is_supported and self._failure is None and self._is_required:
                self._failure = "the application's lifespan returned without an answer to lifespan.startup"
        finally:
            self._started.set()
            self._stopped.set()

    async def _receive(self) -> ASGIMessage:
        return await self._inbox.get()

    async def _send(self, message: ASGIMessage) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete" and not self._started.is_set():
            self._is_supported = True
            self._started.set()
        elif kind == "lifespan.startup.failed" and not self._started.is_set():
            text = str(message.get("message", "")).strip()
            # Frameworks send a whole traceback: its last line names the error.
            last = text.splitlines()[-1] if text else ""
            self._failure = f"the application's start failed: {last}" if last else "the application's start failed"
            if "\n" in text:
                error_log.error("%s", text)
            self._started.set()
        elif kind == "lifespan.shutdown.complete" and self._is_supported:
            self._stopped.set()
        elif kind == "lifespan.shutdown.failed" and self._is_supported:
            error_log.error("the application's shutdown failed: %s", message.get("message", ""))
            self._stopped.set()
        else:
            raise RuntimeError(f"unexpected ASGI message '{kind}' in the lifespan")


def _describe(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
