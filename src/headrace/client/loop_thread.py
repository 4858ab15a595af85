"""An event loop in a thread of its own, for synchronous code.

A call costs two changes of threads: one `call_soon_threadsafe` hands over the coroutine, which takes its first steps in
that callback, and its last step releases the caller's lock. There is no future between them.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from threading import Lock
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet

T = TypeVar("T")

_EAGER: Final = sys.version_info >= (3, 12)
_GLANCE_S: Final = 0.5
"""Seconds after which a waiting thread wakes for a moment. A signal that arrives just before the thread blocks on
its lock does not wake it."""


class _Call:
    """One coroutine that a thread waits for."""

    __slots__ = ("coroutine", "error", "lock", "loop", "result", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.loop = loop
        self.coroutine = coroutine
        # One lock for each call, not for each thread. A signal handler or a finalizer may make a call while its thread
        # waits for another one, and neither may be released by the end of the other.
        self.lock = Lock()
        self.lock.acquire()
        self.result: Any = None
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the coroutine; called on the loop's thread."""
        if _EAGER:  # pragma: no cover: Python 3.12 and later
            self.task = asyncio.Task(self._run(), loop=self.loop, eager_start=True)  # type: ignore[call-arg, unused-ignore]
        else:
            self.task = asyncio.Task(self._run(), loop=self.loop)

    async def _run(self) -> None:
        try:
            self.result = await self.coroutine
        except BaseException as error:  # any error is the caller's
            self.error = error
        finally:
            self.lock.release()

    def cancel(self) -> None:
        """Cancel the coroutine; called on the loop's thread."""
        if self.task is not None:
            self.task.cancel()
        else:
            self.coroutine.close()  # interrupted before it was handed over

    def give_up(self) -> None:
        """End the call with an error: the loop ended before it could start it."""
        self.coroutine.close()
        self.error = asyncio.CancelledError()
        self.lock.release()


class Closes(Protocol):
    """An object that is closed before the loop ends."""

    async def aclose(self) -> None:
        """Close it."""
        ...


class LoopThread:
    """A daemon thread that runs an event loop: uvloop's where it is installed. Any number of threads may use it."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop = _new_loop()
        self.closes: WeakSet[Closes] = WeakSet()
        """Objects that `stop` closes first."""
        self._pid = os.getpid()
        self._calls: set[_Call] = set()
        self._thread = threading.Thread(target=self._run, name="headrace", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        try:
            self.loop.run_until_complete(self._end())
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()
            for call in list(self._calls):
                if call.task is None:
                    call.give_up()

    async def _end(self) -> None:
        """Close everything within a second: no caller waits for it any more."""
        closing = [asyncio.ensure_future(each.aclose()) for each in list(self.closes)]
        if closing:
            await asyncio.wait(closing, timeout=1.0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def is_alive(self) -> bool:
        """Return True while calls can be made."""
        return self._pid == os.getpid() and self._thread.is_alive() and not self.loop.is_closed()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop; return its result or raise its error. KeyboardInterrupt in between cancels it.

        Raises RuntimeError on the loop's own thread, which would wait for itself; after a fork; and when the loop ends.
        """
        if threading.get_ident() == self._thread.ident or self._pid != os.getpid():
            coroutine.close()
            raise RuntimeError(
                "the event loop's own thread cannot wait for itself: use the async client there"
                if self._pid == os.getpid()
                else "this client was made before the process forked: make one in each process"
            )
        call = _Call(self.loop, coroutine)
        self._calls.add(call)
        try:
            self.loop.call_soon_threadsafe(call.start)
            while not call.lock.acquire(True, _GLANCE_S):
                pass
        except BaseException as interrupt:
            # Ctrl-C, an error from another signal's handler, or a loop that takes no more calls.
            try:
                self.loop.call_soon_threadsafe(call.cancel)
            except RuntimeError:
                if call.task is None:
                    coroutine.close()
                if isinstance(interrupt, RuntimeError):
                    raise RuntimeError("the event loop of this client has ended") from None
            raise
        finally:
            self._calls.discard(call)
        error = call.error
        if error is not None:
            call.error = None
            if isinstance(error, asyncio.CancelledError):
                raise RuntimeError("the event loop of this client has ended") from None
            try:
                raise error
            finally:
                del error  # else its traceback holds this frame, and this frame the error
        result: T = call.result
        return result

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a plain function on the loop's thread; return its result or raise its error."""

        async def calling() -> T:
            return function(*arguments)

        return self.run(calling())

    def _close_soon(self, close: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let the loop call and await `close`, without waiting for it. May be called in any thread, with any lock
        held."""
        if self._pid != os.getpid():
            return

        async def closing() -> None:
            try:
                await close()
            # its error reaches no caller: after an interrupt the source still runs, and a cancellation ends it
            finally:
                self._calls.discard(call)

        call = _Call(self.loop, closing())
        self._calls.add(call)
        try:
            self.loop.call_soon_threadsafe(call.start)
        except RuntimeError:  # the loop has ended, and the coroutines with it
            self._calls.discard(call)
            call.coroutine.close()

    def iterate(self, source: AsyncIterator[T]) -> Iterator[T]:
        """Yield the items of an async generator. When the caller gives this generator up early, the source is closed
        soon, without waiting: the garbage collector may close it on the loop's own thread, or on one that holds a
        lock that the loop needs."""

        async def following() -> tuple[bool, Any]:
            try:
                return True, await anext(source)
            except StopAsyncIteration:
                return False, None

        try:
            while True:
                is_there, item = self.run(following())
                if not is_there:
                    return
                yield item
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                self._close_soon(close)

    def stop(self) -> None:
        """End the loop and its thread. Idempotent; nothing runs on it afterwards."""
        if self.is_alive and threading.get_ident() != self._thread.ident:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


_shared: LoopThread | None = None
_making: Final = threading.RLock()  # a signal handler may ask while its thread makes one


def shared() -> LoopThread:
    """Return the loop thread of this process; the first call starts it."""
    global _shared
    found = _shared
    if found is None or not found.is_alive:
        with _making:
            found = _shared
            if found is None or not found.is_alive:
                if _shared is None:
                    atexit.register(_stop_shared)
                made = LoopThread()
                now = _shared
                found = _shared = made if now is None or now is found else now
                if found is not made:
                    made.stop()
    return found


def _stop_shared() -> None:
    if _shared is not None:
        _shared.stop()
