"""The event loop in a thread of its own: calls that meet its end, a fork, and two threads that make one."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from headrace.client import LoopThread
from headrace.client import loop_thread as loop_thread_module


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    made = LoopThread()
    yield made
    made.stop()


async def answer() -> int:
    return 42


def test_a_result_and_an_error_are_the_callers(thread: LoopThread) -> None:
    def fails() -> None:
        raise LookupError("mine")

    assert thread.run(answer()) == 42
    with pytest.raises(LookupError, match="mine"):
        thread.call(fails)


def test_a_long_call_is_looked_after_from_time_to_time(thread: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a lock cannot be interrupted (Windows), signals are handled between two waits."""
    monkeypatch.setattr(loop_thread_module, "_GLANCE_S", 0.001)
    release = threading.Event()

    async def slow() -> int:
        threading.Timer(0.02, release.set).start()
        await asyncio.to_thread(release.wait)
        return 7

    assert thread.run(slow()) == 7


def test_a_call_that_the_end_overtakes_is_an_error(thread: LoopThread) -> None:
    """The loop was told to stop before it could start the call."""
    blocked, go_on = threading.Event(), threading.Event()
    errors: list[str] = []

    def block() -> None:
        blocked.set()
        go_on.wait(10.0)

    thread.loop.call_soon_threadsafe(block)
    blocked.wait(10.0)
    thread.loop.call_soon_threadsafe(thread.loop.stop)
    handed = threading.Event()

    class Loop:
        """The loop as a caller sees it, who comes between its last turn and its end: no turn takes the call."""

        def call_soon_threadsafe(self, function: Any, *arguments: Any) -> None:
            handed.set()

        def __getattr__(self, name: str) -> Any:
            return getattr(loop, name)

    loop = thread.loop
    thread.loop = Loop()  # type: ignore[assignment] # for the caller alone

    def caller() -> None:
        try:
            thread.run(answer())
        except RuntimeError as error:
            errors.append(str(error))

    calling = threading.Thread(target=caller)
    calling.start()
    assert handed.wait(10.0)
    go_on.set()
    calling.join(10.0)
    thread.loop = loop
    assert errors == ["the event loop of this client has ended"]


def test_a_loop_that_has_ended_takes_no_call(thread: LoopThread) -> None:
    thread.stop()
    thread.stop()
    assert not thread.is_alive
    with pytest.raises(RuntimeError, match="the event loop of this client has ended"):
        thread.run(answer())


def test_what_is_closed_with_the_loop(thread: LoopThread) -> None:
    class Closing:
        closed = 0

        async def aclose(self) -> None:
            self.closed += 1

    one = Closing()
    thread.closes.add(one)
    thread.stop()
    assert one.closed == 1


@pytest.mark.parametrize("when", ["open", "after the end", "in a child"])
def test_a_source_that_is_given_up_is_closed_where_that_can_be(
    thread: LoopThread, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    closed = threading.Event()

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.set()

    items = thread.iterate(source())
    assert next(items) == 1
    if when == "after the end":
        thread.stop()  # which closes it
    elif when == "in a child":
        monkeypatch.setattr(os, "getpid", lambda: -1)
    items.close()  # type: ignore[attr-defined] # it is a generator
    monkeypatch.undo()
    if when == "in a child":
        assert not closed.is_set()  # the parent's loop is not there
        thread.stop()
    assert closed.wait(10.0)


def test_an_iterator_without_aclose_is_read_to_its_end(thread: LoopThread) -> None:
    class Plain:
        left = 2

        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    assert list(thread.iterate(Plain())) == [1, 0]


def test_after_a_fork_a_client_says_so(thread: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="made before the process forked"):
        thread.run(answer())
    assert not thread.is_alive
    monkeypatch.undo()


def test_without_uvloop_it_is_asyncios_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "uvloop", None)
    made = LoopThread()
    try:
        assert type(made.loop).__module__.startswith("asyncio")
        assert made.run(answer()) == 42
    finally:
        made.stop()


# -- the one of the process --------------------------------------------------------------------------------------------


def test_threads_share_one_and_a_dead_one_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_thread_module, "_shared", None)
    registered: list[Any] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    loop_thread_module._stop_shared()
    first = loop_thread_module.shared()
    assert loop_thread_module.shared() is first
    first.stop()
    second = loop_thread_module.shared()
    assert second is not first
    assert second.run(answer()) == 42
    assert registered == [loop_thread_module._stop_shared]
    loop_thread_module._stop_shared()
    assert not second.is_alive


def test_a_signal_handler_that_makes_one_meanwhile_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that makes one is interrupted by a handler that asks for it, too: both have the same in the end."""
    made: list[LoopThread] = []
    monkeypatch.setattr(loop_thread_module, "_shared", None)
    monkeypatch.setattr(atexit, "register", lambda function: None)

    class Interrupted(LoopThread):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)
            if len(made) == 1:
                assert loop_thread_module.shared() is made[1]

    monkeypatch.setattr(loop_thread_module, "LoopThread", Interrupted)
    assert loop_thread_module.shared() is made[1]
    assert [each.is_alive for each in made] == [False, True]
    made[1].stop()


def test_another_thread_waits_for_the_one_that_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_thread_module, "_shared", None)
    monkeypatch.setattr(atexit, "register", lambda function: None)
    found: list[LoopThread] = []
    with loop_thread_module._making:
        other = threading.Thread(target=lambda: found.append(loop_thread_module.shared()))
        other.start()
        mine = loop_thread_module.shared()
    other.join(10.0)
    assert found == [mine]
    mine.stop()
