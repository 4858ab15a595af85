"""Start of a worker's task.

From Python 3.12 on a task can run at once, up to its first real wait: most handlers are done before the event loop
would have looked at them. `asyncio.current_task()` is the handler's own task in both cases; timeouts, task groups and
anyio depend on it.

The task gets a copy of the context in which it is started, unless one is given. So start it in the server's own
context, or give it a copy of that: in another worker's context, the handler would see that worker's context variables.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Coroutine
from typing import Any, Final

IS_EAGER: Final = sys.version_info >= (3, 12)
"""True if a task can run at once."""

if sys.version_info >= (3, 12):  # pragma: no cover: Python 3.12 and later

    def start_worker(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        """Start a worker now and return its task, which has ended already or is at its first wait."""
        return asyncio.Task(coroutine, loop=loop, eager_start=True)

    def start_worker_in(
        context: contextvars.Context, coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
    ) -> asyncio.Task[None]:
        """Start a worker now in `context`, which nothing else runs in; return its task."""
        return asyncio.Task(coroutine, loop=loop, context=context, eager_start=True)

else:

    def start_worker(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        """Start a worker, which begins in the next turn of the event loop; return its task."""
        return asyncio.Task(coroutine, loop=loop)

    def start_worker_in(
        context: contextvars.Context, coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
    ) -> asyncio.Task[None]:
        """Start a worker in `context`, which nothing else runs in; it begins in the next turn of the event loop. Return
        its task."""
        return asyncio.Task(coroutine, loop=loop, context=context)
