"""The client for synchronous code: the same answers, from any thread, and nothing hangs."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import headrace
from headrace.client import (
    Auth,
    ConnectionLost,
    HTTPStatusError,
    LoopThread,
    NetworkConfig,
    Request,
    Response,
    ServerSentEvent,
    StreamConsumed,
    SyncClient,
    SyncResponse,
    Timeouts,
    TotalTimeout,
)
from headrace.client import api as api_module
from headrace.server.app import Server
from headrace.server.settings.config import Config

from tests.client.support.fake import Answer, FakeTransport, redirect

HERE = "https://example.org/a"


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    """A loop of the test's own."""
    thread = LoopThread()
    yield thread
    thread.stop()


def echo(sent: Any) -> Answer:
    return Answer(content=sent.method.encode() + b" " + sent.content)


def test_every_method(thread: LoopThread) -> None:
    transport = FakeTransport(respond=echo)
    with SyncClient(transport=transport, thread=thread) as client:
        for _ in range(2):
            response = client.get(HERE)
            assert type(response) is SyncResponse and response.text == "GET "
        for name in ("head", "options", "delete", "post", "put", "patch"):
            assert getattr(client, name)(HERE).text == f"{name.upper()} "
        assert client.request("QUERY", HERE, content=b"x").text == "QUERY x"
        assert client.send(client.build_request("PUT", HERE, content="y")).text == "PUT y"
        client.headers["x"] = "1"
        client.get(HERE)
        assert transport.sent[-1].field("x") == "1"
    assert client.is_closed and transport.is_closed


def test_redirects_cookies_and_errors(thread: LoopThread) -> None:
    def respond(sent: Any) -> Answer:
        if sent.target == "/a":
            return redirect("/b")
        return Answer(404, [("set-cookie", "s=1; path=/")])

    with SyncClient(transport=FakeTransport(respond=respond), thread=thread) as client:
        for _ in range(2):
            response = client.get(HERE)
            assert [type(each) for each in (response, *response.history)] == [SyncResponse, SyncResponse]
            assert response.url.path == "/b" and client.cookies["s"] == "1"
            with pytest.raises(HTTPStatusError):
                response.raise_for_status()
    lost = FakeTransport(respond=lambda sent: ConnectionLost("gone"))
    with SyncClient(transport=lost, thread=thread) as client, pytest.raises(ConnectionLost, match="gone"):
        client.get(HERE)


def test_streams(thread: LoopThread) -> None:
    answers = []

    def respond(sent: Any) -> Answer:
        answers.append(
            Answer(200, [("content-encoding", "gzip")], [gzip.compress(b"one\ntwo\n"), gzip.compress("ä".encode())])
        )
        return answers[-1]

    with SyncClient(transport=FakeTransport(respond=respond), thread=thread) as client:
        with client.stream("GET", HERE) as response:
            assert list(response.iter_lines()) == ["one", "two", "ä"] and response.is_closed
            with pytest.raises(StreamConsumed):
                response.read()
        with client.stream("GET", HERE) as response:
            assert list(response.iter_bytes(3)) == [b"one", b"\ntw", b"o\n\xc3", b"\xa4"]
        with client.stream("GET", HERE) as response:
            assert "".join(response.iter_text()) == "one\ntwo\nä"
        with client.stream("GET", HERE) as response:
            assert gzip.decompress(b"".join(response.iter_raw())) == "one\ntwo\nä".encode()
        with client.stream("GET", HERE) as response:
            assert response.read() == response.read() == "one\ntwo\nä".encode()
            assert list(response.iter_lines()) == ["one", "two", "ä"]
            assert list(response.iter_text(4)) == ["one\n", "two\n", "ä"]
        assert [answer.is_closed for answer in answers] == [False] * 5
        with client.stream("GET", HERE) as response:
            for piece in response.iter_bytes():
                assert piece == b"one\ntwo\n"
                break
        with client.stream("GET", HERE):
            pass
        assert [answer.is_closed for answer in answers] == [False] * 5 + [True] * 2
        whole = client.get(HERE)
        assert list(whole.iter_bytes(4)) == [b"one\n", b"two\n", b"\xc3\xa4"] and whole.read() == whole.content
        whole.close()


def test_content_is_asked_for_in_other_threads(thread: LoopThread) -> None:
    """So an iterable may block, or use the client itself."""

    def pieces() -> Iterator[bytes]:
        yield client.get(HERE).content
        yield b"!"

    with SyncClient(transport=FakeTransport(respond=echo), thread=thread) as client:
        assert client.post(HERE, content=pieces()).text == "POST GET !"
        assert b"GET !" in client.post(HERE, files={"f": ("f", pieces())}).content
        assert client.post(HERE, content=pieces(), headers={"content-length": "5"}).text == "POST GET !"


def test_hooks_and_auth_may_use_the_client(thread: LoopThread) -> None:
    class Token(Auth):
        def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
            response = yield request
            if response.status == 401:
                request.headers["authorization"] = client.get("https://token.example/").text
                yield request

    told: list[str] = []

    def on_response(response: SyncResponse) -> None:
        told.append(f"{response.status} {response.read().decode()}")

    def respond(sent: Any) -> Answer:
        if sent.origin == "https://token.example:443":
            return Answer(content=b"key")
        return Answer(content=b"in") if sent.field("authorization") == "key" else Answer(401, content=b"out")

    hooks = {"request": [lambda request: told.append(str(request.url))], "response": [on_response]}
    with SyncClient(transport=FakeTransport(respond=respond), thread=thread, event_hooks=hooks) as client:
        assert client.get(HERE, auth=Token()).text == "in"
        with client.stream("GET", "https://token.example/") as response:
            assert response.read() == b"key"
    assert told == [
        HERE, "401 out", "https://token.example/", "200 key", HERE, "200 in", "https://token.example/", "200 key",
    ]  # fmt: skip


def test_several_threads_at_once(thread: LoopThread) -> None:
    gate: list[Any] = []

    async def answer_when_all_are_there(sent: Any) -> Answer:
        if not gate:
            gate.append(asyncio.Event())
        gate.append(sent)
        if len(gate) == 9:
            gate[0].set()
        await gate[0].wait()
        return Answer(content=sent.target.encode())

    transport = FakeTransport(respond=answer_when_all_are_there)
    with SyncClient(transport=transport, thread=thread) as client, ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda number: client.get(f"https://a.example/{number}").text, range(8)))
    assert texts == [f"/{number}" for number in range(8)], "no one waits for another, and each gets its own"


def test_events(thread: LoopThread) -> None:
    answers = FakeTransport(
        Answer(200, [("content-type", "text/event-stream")], b"retry: 0\nid: 1\ndata: a\n\ndata: b\n\n"), Answer(204)
    )
    with SyncClient(transport=answers, thread=thread) as client, client.sse(HERE) as events:
        assert list(events) == [ServerSentEvent("a", id="1"), ServerSentEvent("b", id="1")]
        assert events.last_event_id == "1"


def test_timeouts(thread: LoopThread) -> None:
    async def never(sent: Any) -> Answer:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    with SyncClient(transport=FakeTransport(respond=never), thread=thread) as client, pytest.raises(TotalTimeout):
        client.get(HERE, timeout=Timeouts(total=0.01))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to threads here")
def test_an_interrupted_call_is_cancelled(thread: LoopThread) -> None:
    """Ctrl-C in the waiting thread: the request ends, and the next one works."""
    started, cancelled = threading.Event(), threading.Event()

    async def never() -> None:
        started.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    main = threading.get_ident()

    def interrupt() -> None:
        assert started.wait(10)
        signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            thread.run(never())
        interrupter.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert cancelled.wait(10)

    async def answer() -> int:
        return 5

    assert thread.run(answer()) == 5


def test_what_would_wait_for_itself_says_so(thread: LoopThread) -> None:
    async def inner() -> None:
        thread.run(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="cannot wait for itself"):
        thread.run(inner())


def test_a_loop_that_has_ended_says_so() -> None:
    thread = LoopThread()
    started = threading.Event()
    errors: list[BaseException] = []

    async def never() -> None:
        started.set()
        await asyncio.get_running_loop().create_future()

    def wait() -> None:
        try:
            thread.run(never())
        except RuntimeError as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert started.wait(10)
    transport = FakeTransport(respond=echo)
    client = SyncClient(transport=transport, thread=thread)
    thread.stop()
    waiter.join(10)
    thread.stop()
    assert "has ended" in str(errors[0]) and transport.is_closed and not thread.is_alive
    with pytest.raises(RuntimeError, match="has ended"):
        client.get(HERE)
    client.close()


def test_errors_do_not_keep_the_callers_frame(thread: LoopThread) -> None:
    import gc
    import weakref

    class Marked:
        pass

    async def fail() -> None:
        raise KeyError

    def call() -> weakref.ref[Marked]:
        marked = Marked()
        with pytest.raises(KeyError):
            thread.run(fail())
        return weakref.ref(marked)

    gc.collect()
    gc.disable()
    try:
        assert call()() is None
    finally:
        gc.enable()


@pytest.fixture
def server() -> Iterator[str]:
    """Return the URL of a real server, on a loop of its own."""

    async def app(request: headrace.Request) -> headrace.Response:
        if request.path == "/cookie":
            return headrace.Response(200, {"set-cookie": "s=1; path=/"}, b"")
        return headrace.Response(
            200, {}, f"{request.method} {request.header('cookie')}".encode() + await request.read()
        )

    thread = LoopThread()

    async def start() -> Server:
        server = Server(app, Config(bind=("127.0.0.1:0",)))
        await server.start()
        return server

    async def stop(server: Server) -> None:
        server.abort()
        await server.wait_closed()

    running = thread.run(start())
    yield f"http://127.0.0.1:{running.addresses[0][1].rpartition(':')[2]}"
    thread.run(stop(running))
    thread.stop()


@pytest.fixture
def api() -> Iterator[None]:
    """Close the shared client of the module's functions, so that no connection is left."""
    yield
    if api_module._client is not None:
        api_module._client.close()
        api_module._client = None


def test_the_functions_of_the_module(server: str, api: None) -> None:
    assert headrace.get(server).text == "GET None"
    assert headrace.get(f"{server}/cookie").cookies["s"] == "1"
    assert headrace.get(server).text == "GET None", "cookies are not kept from call to call"
    assert headrace.post(server, json={"a": 1}).text == 'POST None{"a":1}'
    assert headrace.request("PURGE", server).text == "PURGE None"
    assert [headrace.put(server).text, headrace.patch(server).text, headrace.delete(server).text] == [
        "PUT None", "PATCH None", "DELETE None",
    ]  # fmt: skip
    assert headrace.head(server).status == headrace.options(server).status == 200
    with headrace.stream("GET", server) as response:
        assert response.read() == b"GET None"
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: headrace.get(server).text, range(40))) == {"GET None"}


@pytest.mark.parametrize("http1", [True, False])
def test_over_the_network(server: str, thread: LoopThread, http1: bool) -> None:
    with SyncClient(thread=thread, network=NetworkConfig(http1=http1)) as client:
        for _ in range(3):
            response = client.get(server)
            assert response.text == "GET None" and response.http_version == ("1.1" if http1 else "2")
        assert client.post(server, content=iter([b"a", b"b"])).text == "POST Noneab"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork_the_child_makes_its_own(server: str) -> None:
    """In a process of its own, because it forks one with threads, which Python warns of."""
    script = f"""
import os, warnings
warnings.simplefilter("ignore")
import headrace
client = headrace.SyncClient()
assert client.get({server!r}).status == 200 and headrace.get({server!r}).status == 200
child = os.fork()
if child == 0:
    try:
        client.get({server!r})
    except RuntimeError as error:
        assert "forked" in str(error), error
        assert headrace.get({server!r}).text == "GET None"
        os._exit(7)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert headrace.get({server!r}).status == 200
"""
    ended = subprocess.run([sys.executable, "-c", script], timeout=60, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
