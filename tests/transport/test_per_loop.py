"""What the connections of an event loop share: its turns. They end with it, and one's fault is not the others' end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from headrace.transport.loop_work import LoopWork, loop_work
from headrace.transport.per_loop import PerLoop
from headrace.websocket.fair_share import ConnectionShare, LoopShare, loop_share

NEW_LOOPS: list[Any] = [pytest.param(asyncio.new_event_loop, id="asyncio")]
try:
    import uvloop

    NEW_LOOPS.append(pytest.param(uvloop.new_event_loop, id="uvloop"))
except ImportError:  # an extra
    pass

new_loops = pytest.mark.parametrize("new_loop", NEW_LOOPS)
NewLoop = Callable[[], asyncio.AbstractEventLoop]


class Socket:
    """A WebSocket that waits for its turn, and what it does with it."""

    def __init__(self, on_turn: Callable[[], None] = lambda: None) -> None:
        self._on_turn = on_turn

    def resume(self) -> None:
        self._on_turn()

    take_turn = resume  # a connection's, which waits for the loop itself

    def on_room(self) -> None:
        raise AssertionError("nobody asked")

    def stalled(self) -> bool:
        raise AssertionError("nobody asked")

    def end_stalled(self) -> None:
        raise AssertionError("nobody asked")


@new_loops
def test_a_loop_has_one_object_while_somebody_holds_it(new_loop: NewLoop) -> None:
    class Thing:
        pass

    things = PerLoop(lambda loop: Thing())
    loops = [new_loop(), new_loop()]
    held = [things.of(loop) for loop in loops]
    assert held[0] is not held[1]
    assert [things.of(loop) for loop in loops] == held
    mark = weakref.ref(held[0])
    del held
    gc.collect()
    assert mark() is None
    for loop in loops:
        loop.close()


@new_loops
@pytest.mark.parametrize("share", ["websockets", "connections"])
def test_a_loop_that_ends_in_the_middle_of_its_work_leaves_nothing(new_loop: NewLoop, share: str) -> None:
    """What waits for a turn refers to the loop, so a memory of loops must not refer to what waits."""
    loop = new_loop()
    socket = Socket()
    socket.loop = loop  # type: ignore[attr-defined]
    marks: list[weakref.ref[Any]] = [weakref.ref(socket), weakref.ref(loop)]
    if share == "websockets":
        connection = ConnectionShare(loop)
        socket.held = connection  # type: ignore[attr-defined]
        connection.wait(socket)
        marks.append(weakref.ref(loop_share(loop)))
        del connection
    else:
        work = loop_work(loop)
        socket.held = work  # type: ignore[attr-defined]
        work.left = 0
        work.fill_up()
        work.wait(socket)
        marks.append(weakref.ref(work))
        del work
    del socket
    gc.collect()
    assert all(mark() is not None for mark in marks)
    loop.close()
    del loop
    gc.collect()
    assert [mark() for mark in marks] == [None, None, None]


@new_loops
@pytest.mark.parametrize("share", ["websockets of one connection", "websockets", "connections"])
def test_a_fault_in_one_turn_is_not_the_end_of_the_others(new_loop: NewLoop, share: str) -> None:
    loop = new_loop()
    faults: list[str] = []
    loop.set_exception_handler(lambda loop, context: faults.append(repr(context["exception"])))
    had: list[int] = []

    def fail() -> None:
        raise MemoryError

    sockets = [Socket(fail), *(Socket(lambda number=number: had.append(number)) for number in range(3))]  # type: ignore[misc]
    held: LoopShare | LoopWork
    if share == "connections":
        held = work = loop_work(loop)
        work.left = 0
        for socket in sockets:
            work.wait(socket)
        work.fill_up()
    else:
        held = loop_share(loop)
        connection = ConnectionShare(loop)
        for socket in sockets:
            (connection if share == "websockets of one connection" else ConnectionShare(loop)).wait(socket)

    async def turns() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    loop.run_until_complete(turns())
    assert had == [0, 1, 2] and faults == ["MemoryError()"]
    assert held.left > 0
    loop.close()
