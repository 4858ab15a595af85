"""How a worker's task is started.

From Python 3.12 on a task can run at once, up to its first real wait: most handlers are done before the event loop
would have looked at them. `asyncio.current_task()` is the handler's own task either way, which timeouts, task groups
and anyio depend on.

The task gets a copy of the context in which it is started, unless it is given one. So whoever starts one does so in the
server's own context, or gives it a copy of that: in that of another worker, the handler would see that one's context
variables.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Coroutine
from typing import Any

if sys.version_info >= (3, 12):

    def start_worker(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        """Start a worker now; it has ended already, or comes back at its first wait."""
        return asyncio.Task(coroutine, loop=loop, eager_start=True)

    def start_worker_in(
        context: contextvars.Context, coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
    ) -> asyncio.Task[None]:
        """Start a worker now in `context`, which nothing else runs in."""
        return asyncio.Task(coroutine, loop=loop, context=context, eager_start=True)

else:

    def start_worker(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
        """Start a worker, which begins in the next turn of the event loop."""
        return asyncio.Task(coroutine, loop=loop)

    def start_worker_in(
        context: contextvars.Context, coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
    ) -> asyncio.Task[None]:
        """Start a worker, in `context`, which nothing else runs in; it begins in the next turn of the event loop."""
        return asyncio.Task(coroutine, loop=loop, context=context)
