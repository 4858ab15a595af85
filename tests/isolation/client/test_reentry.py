"""Calls of one thread that run at once: a signal handler, and what the collector ends, use a client whose thread waits.

Every test stands under an alarm: a call that would hang is interrupted, and fails.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from headrace.client import Client, LoopThread, StreamConsumed, SyncClient
from headrace.client import api as api_module
from headrace.client import loop_thread as loop_thread_module

from tests.client.support.fake import Answer, FakeTransport
from tests.support.serving import Run

HERE = "https://example.org/"
PATIENCE_S = 20

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads here")


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError("this call hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    """A loop of the test's own."""
    thread = LoopThread()
    yield thread
    thread.stop()


@pytest.fixture
def on_signal() -> Iterator[Callable[[threading.Event, Callable[[], Any]], None]]:
    """Has this thread call a function, as a signal handler, when an event is set."""
    before = signal.getsignal(signal.SIGUSR1)
    here = threading.get_ident()
    senders: list[threading.Thread] = []

    def arm(event: threading.Event, function: Callable[[], Any]) -> None:
        def send() -> None:
            if event.wait(PATIENCE_S):
                signal.pthread_kill(here, signal.SIGUSR1)

        signal.signal(signal.SIGUSR1, lambda *_: function())
        senders.append(threading.Thread(target=send))
        senders[-1].start()

    yield arm
    for sender in senders:
        sender.join(PATIENCE_S)
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("order", ["outer first", "inner first", "together"])
def test_a_call_in_a_signal_handler_and_the_one_it_interrupts(thread: LoopThread, on_signal: Any, order: str) -> None:
    """With one lock a thread the first to end let go the other, whose answer had not come, or both hung."""
    started = threading.Event()
    waiting: list[asyncio.Future[None]] = []
    answers: dict[str, str] = {}

    async def respond(sent: Any) -> Answer:
        waiting.append(asyncio.get_running_loop().create_future())
        started.set()
        if len(waiting) == 2:
            outer, inner = waiting
            if order == "together":
                outer.set_result(None)
                inner.set_result(None)
            elif order == "inner first":
                inner.set_result(None)
            else:
                outer.set_result(None)
                # Many turns of the loop after the outer one, which the thread cannot see before the inner one ends.
                asyncio.get_running_loop().call_later(0.1, inner.set_result, None)
        await waiting[1 if sent.target == "/inner" else 0]
        return Answer(content=sent.target.encode())

    with SyncClient(transport=FakeTransport(respond=respond), thread=thread) as client:

        def inner() -> None:
            answers["inner"] = client.get(HERE + "inner").text
            if order == "inner first":
                thread.call(waiting[0].set_result, None)

        on_signal(started, inner)
        answers["outer"] = client.get(HERE + "outer").text
        assert answers == {"inner": "/inner", "outer": "/outer"}
        assert client.send(client.build_request("PUT", HERE)).text == "/", "and the next one is whole again"


def test_an_iterator_that_ctrl_c_interrupts(thread: LoopThread, on_signal: Any) -> None:
    """The caller gets KeyboardInterrupt, and nothing that hides it; the source ends."""
    started, ended = threading.Event(), threading.Event()

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            started.set()
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    def interrupt() -> None:
        # The loop is busy meanwhile, so that it hears of the cancellation and of what follows it in one turn.
        thread.loop.call_soon_threadsafe(threading.Event().wait, 0.2)
        raise KeyboardInterrupt

    on_signal(started, interrupt)
    items = thread.iterate(source())
    assert next(items) == 1
    with pytest.raises(KeyboardInterrupt):
        next(items)
    assert ended.wait(PATIENCE_S)
    assert thread.call(lambda: 5) == 5


def test_what_a_signal_handler_raises_is_not_taken_for_the_loop_s_end(thread: LoopThread, on_signal: Any) -> None:
    started, cancelled = threading.Event(), threading.Event()

    async def never() -> None:
        started.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def fail() -> None:
        raise RuntimeError("of the handler")

    on_signal(started, fail)
    with pytest.raises(RuntimeError, match="of the handler"):
        thread.run(never())
    assert cancelled.wait(PATIENCE_S)


def test_an_iterator_that_the_collector_ends_on_the_loops_own_thread(thread: LoopThread) -> None:
    """It raised there, where nobody can catch it, and left its source open."""
    ended = threading.Event()

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.set()

    items: Any = thread.iterate(source())
    assert next(items) == 1
    thread.call(items.close)
    assert ended.wait(PATIENCE_S)


def test_an_iterator_that_the_collector_ends_while_its_thread_holds_what_the_loop_needs(thread: LoopThread) -> None:
    """The jar of a client has such a lock: who waited for the loop there waited for ever."""
    ended, asked = threading.Event(), threading.Event()
    lock = threading.Lock()

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.set()

    def need() -> None:
        asked.set()
        with lock:
            pass

    items: Any = thread.iterate(source())
    assert next(items) == 1
    with lock:
        thread.loop.call_soon_threadsafe(need)
        assert asked.wait(PATIENCE_S)
        items.close()
    assert ended.wait(PATIENCE_S)


def test_an_iterator_that_is_given_up_after_the_loop_has_ended() -> None:
    thread = LoopThread()

    async def source() -> AsyncIterator[int]:
        yield 1
        yield 2

    items: Any = thread.iterate(source())
    assert next(items) == 1
    thread.stop()
    items.close()


@pytest.mark.parametrize("what", ["loop", "client"])
def test_a_signal_handler_asks_for_what_its_thread_is_making(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """The lock around the making was one that its own holder waits for."""
    module: Any = loop_thread_module if what == "loop" else api_module
    name = "LoopThread" if what == "loop" else "_SharedClient"
    ask = module.shared if what == "loop" else module._shared
    monkeypatch.setattr(module, "_shared" if what == "loop" else "_client", None)
    real = getattr(module, name)
    of_handler: list[Any] = []
    loops: list[LoopThread] = []

    def make(**options: Any) -> Any:
        if not of_handler:
            of_handler.append(None)
            of_handler[0] = ask()
        made = real(**options)
        if what == "loop":
            loops.append(made)
        return made

    monkeypatch.setattr(module, name, make)
    try:
        assert ask() is of_handler[0] is ask()
        assert len(loops) in (0, 2) and sum(loop.is_alive for loop in loops) == len(loops) // 2
    finally:
        for loop in loops:
            loop.stop()


def test_content_that_two_calls_read_is_never_a_part(run: Run) -> None:
    """The second one failed, and threw away what the first had collected: its rest passed for the whole."""

    async def main() -> None:
        gate = asyncio.get_running_loop().create_future()

        class Slow(Answer):
            async def receive(self) -> bytes:
                piece = await super().receive()
                if piece == b"two":
                    await gate
                return piece

        transport = FakeTransport(Slow(content=[b"one", b"two", b"three"]))
        async with Client(transport=transport) as client, client.stream("GET", HERE) as response:
            first = asyncio.ensure_future(response.aread())
            await asyncio.sleep(0)
            with pytest.raises(StreamConsumed, match="another call"):
                await response.aread()
            gate.set_result(None)
            assert await first == b"onetwothree" == await response.aread()

    run(main())
