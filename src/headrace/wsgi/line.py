"""The line between a request's task on the event loop and the thread that runs its application.

The thread calls and waits; the task executes the call and answers. Only the task ever touches the engine. The thread's
wait ends with an answer, with an error as the answer, or with the line being cut because the task has ended.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any, Final, NamedTuple

from headrace.server.errors import ClientDisconnected

_CUT: Final = "the server has given the request up"


class Question(NamedTuple):
    """A call from the thread to the task."""

    verb: str
    """The name of a method of the task's side."""
    arguments: tuple[Any, ...]
    wants_answer: bool


class Line:
    """One per request. `ask` and `tell` are for the thread, everything else for the event loop."""

    __slots__ = ("_answered", "_error", "_is_asked", "_loop", "_mutex", "_questions", "_value", "_waiter", "is_cut")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._questions: deque[Question] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._mutex = threading.Lock()  # an application may hand its request on to threads of its own
        self._answered = threading.Lock()
        self._answered.acquire()
        self._is_asked = False
        self.is_cut: bool = False
        """True once the task has ended."""
        self._value: Any = None
        self._error: BaseException | None = None

    # -- the thread's end --------------------------------------------------------------------------------------

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Have the task do `verb`, and wait for its result. Raises its exception, or ClientDisconnected."""
        with self._mutex:
            return self._ask(verb, *arguments)

    def tell(self, verb: str, *arguments: Any) -> None:
        """Have the task do `verb`, without waiting for it. Raises nothing."""
        with self._mutex:
            self._tell(verb, *arguments)

    # Under the mutex.

    def _ask(self, verb: str, *arguments: Any) -> Any:
        self._post(Question(verb, arguments, True))
        self._answered.acquire()
        value, error = self._value, self._error
        self._value = self._error = None
        if error is not None:
            raise error
        return value

    def _tell(self, verb: str, *arguments: Any) -> None:
        try:
            self._post(Question(verb, arguments, False))
        except ClientDisconnected:
            pass  # no task is left to receive it

    def _post(self, question: Question) -> None:
        if self.is_cut:
            raise ClientDisconnected(_CUT)
        try:
            self._loop.call_soon_threadsafe(self._arrived, question)
        except RuntimeError:  # the event loop is closed
            raise ClientDisconnected(_CUT) from None

    # -- the task's end ----------------------------------------------------------------------------------------

    def _arrived(self, question: Question) -> None:
        self._questions.append(question)
        self._is_asked = question.wants_answer
        if self.is_cut:
            self.cut()
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def next(self) -> Question:
        """Wait for the thread's next question and return it; each that `wants_answer` must get one."""
        while not self._questions:
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._questions.popleft()

    def answer(self, value: Any = None, error: BaseException | None = None) -> None:
        """Let the thread continue, with `value`, or with `error` raised in its call."""
        self._value, self._error = value, error
        self._is_asked = False
        self._answered.release()

    def cut(self) -> None:
        """Cut the line, because the task ends: every call of the thread, now or later, raises ClientDisconnected."""
        self.is_cut = True
        if self._is_asked:
            self.answer(error=ClientDisconnected(_CUT))
