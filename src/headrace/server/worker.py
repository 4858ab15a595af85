"""How a worker's task is started.

From Python 3.12 on a task can run at once, up to its first real wait: most handlers are done before the event loop
would have looked at them. `asyncio.current_task()` is the handler's own task either way, which timeouts, task groups
and anyio depend on.

A task takes the context of whoever makes it unless it is told otherwise, and a worker is often made while another one
runs: that one's context variables would be seen by this one's handler. So the context is always given.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Coroutine
from typing import Any

if sys.version_info >= (3, 12):

    def start_worker(
        coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: contextvars.Context
    ) -> asyncio.Task[None]:
        """Start a worker now, in `context`, which is its own; it has ended already, or comes back at its first wait."""
        return asyncio.Task(coroutine, loop=loop, eager_start=True, context=context)

else:

    def start_worker(
        coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: contextvars.Context
    ) -> asyncio.Task[None]:
        """Start a worker in `context`, which is its own; it begins in the next turn of the event loop."""
        return asyncio.Task(coroutine, loop=loop, context=context)
