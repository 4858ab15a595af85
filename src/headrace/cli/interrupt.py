"""Ctrl-C for commands that run an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from headrace.cli.exits import EXIT_INTERRUPTED, FetchError

Result = TypeVar("Result")


async def interruptible(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` and return its result. The first SIGINT cancels it, in a turn of the event loop; a second one ends it
    at once.

    asyncio.Runner would cancel from within the signal's handler, between any two steps of our own code, where no future
    may change. Raises FetchError if `work` does not end after that.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    is_interrupted = False

    def on_signal() -> None:
        nonlocal is_interrupted
        is_interrupted = True
        loop.remove_signal_handler(signal.SIGINT)  # from now on it raises KeyboardInterrupt
        task.cancel()

    with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
        loop.add_signal_handler(signal.SIGINT, on_signal)
    try:
        return await work
    except asyncio.CancelledError:
        if is_interrupted:
            raise FetchError("interrupted", EXIT_INTERRUPTED) from None
        raise
    finally:
        with contextlib.suppress(NotImplementedError, ValueError):
            loop.remove_signal_handler(signal.SIGINT)
