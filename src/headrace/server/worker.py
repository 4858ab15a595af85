"""How a worker's task is started.

From Python 3.12 on a task can run at once, up to its first real wait: most handlers are done before the event loop
would have looked at them. `asyncio.current_task()` is the handler's own task either way, which timeouts, task groups
and anyio depend on.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

StartWorker = Callable[..., "asyncio.Task[None]"]


def _start_later(coroutine: Coroutine[Any, Any, None], *, loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    return asyncio.Task(coroutine, loop=loop)


if sys.version_info >= (3, 12):
    start_worker: Final[StartWorker] = partial(asyncio.Task, eager_start=True)
else:
    start_worker: Final[StartWorker] = _start_later
