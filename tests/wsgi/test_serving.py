"""WSGI applications on a server: both directions of content, threads, and clients that go."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from headrace.server.errors import ClientDisconnected
from headrace.wsgi.addresses import ClientRecord
from headrace.wsgi.threads import Threads

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled

TEXT = [("Content-Type", "text/plain")]
LIMIT_S = 10.0
NO_SPOOL: dict[str, Any] = {"wsgi_spool_memory": 0, "wsgi_spool_size": 0}


def test_an_application_that_is_checked_for_conformance(run: Run) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        content = environ["wsgi.input"].read(100)
        start_response("200 OK", TEXT)
        yield environ["REQUEST_METHOD"].encode()
        yield b" "
        yield content

    async def main() -> None:
        async with serving(validator(app), interface="wsgi") as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/?a=b")).body == b"GET "
            answer = await peer.post("/", b"content", [("content-type", "text/plain"), ("content-length", "7")])
            assert answer.body == b"POST content"
            assert (await peer.get("/", "HEAD")).body == b""

    run(main())


def test_a_response_in_one_piece_gets_its_length(run: Run) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("201 Made", [*TEXT, ("X-One", "1"), ("Connection", "close")])
        return [b"hello", b" you"]

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/")
        assert answer.status == 201
        assert answer.body == b"hello you"
        assert answer.header(b"content-length") == b"9"
        assert answer.header(b"x-one") == b"1"
        assert answer.header(b"connection") is None

    run(main())


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
def test_content_goes_both_ways_whole(run: Run, size: int) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", TEXT)
        return iter(lambda: environ["wsgi.input"].read(50_000), b"")

    content = bytes(range(256)) * (size // 256 + 1)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            for headers in ([], [("content-length", str(size))]):
                answer = await peer.post("/", content[:size], headers)
                assert answer.body == content[:size]

    run(main())


def test_an_upload_that_is_not_read_stops_at_the_window(run: Run) -> None:
    # Credit comes back as the application reads, not as bytes arrive, once the spool is full.
    go_on = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert go_on.wait(LIMIT_S)
        size = len(environ["wsgi.input"].read())
        start_response("200 OK", TEXT)
        return [str(size).encode()]

    async def main() -> None:
        async with serving(app, **NO_SPOOL) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/", "POST", end=False)
            sending = asyncio.create_task(peer.send(stream_id, bytes(1_000_000), end=True))
            await settled(lambda: peer.room(stream_id) == 0)
            await peer.ping()
            assert peer.room(stream_id) == 0
            go_on.set()
            await sending
            assert (await peer.over(stream_id)).body == b"1000000"

    run(main())


def test_100_continue_is_sent_when_the_application_reads(run: Run) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        content = environ["wsgi.input"].read() if environ["PATH_INFO"] == "/read" else b""
        start_response("200 OK", TEXT)
        return [content]

    async def main() -> None:
        expecting = [("expect", "100-continue"), ("content-length", "2")]
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/read", "POST", expecting, end=False)
            await peer.until(lambda: bool(peer.answers[stream_id].informational))
            await peer.send(stream_id, b"hi", end=True)
            assert (await peer.over(stream_id)).body == b"hi"
            answer = await peer.over(peer.open("/leave", "POST", expecting, end=False))
            assert (answer.status, answer.informational) == (200, [])

    run(main())


def test_a_file_is_sent(run: Run, tmp_path: Any) -> None:
    content = bytes(range(256)) * 4096
    (tmp_path / "file").write_bytes(content)
    files: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        files.append((tmp_path / "file").open("rb"))
        start_response("200 OK", [("Content-Length", str(len(content)))])
        return environ["wsgi.file_wrapper"](files[0])

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).body == content
            await settled(lambda: files[0].closed)

    run(main())


# -- clients that go


def gone(run: Run, blocked: Callable[[dict[str, Any]], Iterator[bytes]], method: str = "GET") -> list[str]:
    """Runs `blocked` until its client resets the request; returns what the application saw."""
    seen: list[str] = []

    class Result:
        def __init__(self, environ: dict[str, Any]) -> None:
            self.pieces = blocked(environ)

        def __iter__(self) -> Iterator[bytes]:
            try:
                yield from self.pieces
            except ClientDisconnected:
                seen.append("told")
                raise

        def close(self) -> None:
            seen.append("closed")

    def app(environ: dict[str, Any], start_response: Any) -> Result:
        start_response("200 OK", TEXT)
        return Result(environ)

    async def main() -> None:
        async with serving(app, **NO_SPOOL) as server, H2Peer.connected(port(server), gives_credit=False) as peer:
            stream_id = peer.open("/", method, end=method == "GET")
            await peer.started(stream_id)
            await peer.ping()
            peer.reset(stream_id)
            await settled(lambda: "closed" in seen and live_handlers(server) == 0)

    run(main())
    return seen


def test_a_client_that_goes_is_noticed_by_a_writer(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def blocked(environ: dict[str, Any]) -> Iterator[bytes]:
        while True:
            yield bytes(16_384)

    assert gone(run, blocked) == ["closed"]
    assert caplog.records == []


def test_a_client_that_goes_is_noticed_by_a_reader(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def blocked(environ: dict[str, Any]) -> Iterator[bytes]:
        yield b"begun"
        environ["wsgi.input"].read()

    assert gone(run, blocked, "POST") == ["told", "closed"]
    assert caplog.records == []


def test_it_is_an_os_error() -> None:
    assert issubclass(ClientDisconnected, OSError)


def test_a_request_whose_client_has_gone_is_not_begun(run: Run) -> None:
    go_on = threading.Event()
    begun: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        begun.append(environ["PATH_INFO"])
        assert go_on.wait(LIMIT_S)
        start_response("200 OK", TEXT)
        return [b""]

    async def main() -> None:
        async with serving(app, wsgi_threads=1) as server, H2Peer.connected(port(server)) as peer:
            first = peer.open("/first")
            await settled(lambda: begun == ["/first"])
            second, third = peer.open("/second"), peer.open("/third")
            peer.reset(second)
            await peer.ping()
            go_on.set()
            for stream_id in (first, third):
                assert (await peer.over(stream_id)).status == 200
            await settled(lambda: live_handlers(server) == 0)
        assert begun == ["/first", "/third"]

    run(main())


def test_a_slow_small_upload_holds_no_thread(run: Run) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        content = environ["wsgi.input"].read()
        start_response("200 OK", TEXT)
        return [content]

    async def main() -> None:
        async with serving(app, wsgi_threads=1) as server, H2Peer.connected(port(server)) as peer:
            slow = peer.open("/", "POST", [("content-length", "2")], end=False)
            await peer.send(slow, b"a")
            assert (await peer.get("/")).status == 200
            await peer.send(slow, b"b", end=True)
            assert (await peer.over(slow)).body == b"ab"

    run(main())


# -- when things go wrong


@pytest.mark.parametrize(
    ("path", "outcome", "words"),
    [
        ("/before", 500, "failed before its headers"),
        ("/after", "reset", "failed after its headers"),
        ("/field", 500, "failed before its headers"),
        ("/short", "reset", "failed after its headers"),
        ("/close", 200, "failed after its response"),
        ("/exit", 500, "failed before its headers"),
    ],
)
def test_the_crash_ladder(run: Run, path: str, outcome: object, words: str, caplog: pytest.LogCaptureFixture) -> None:
    class Crashing:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            raise RuntimeError("boom")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        match environ["PATH_INFO"]:
            case "/before":
                raise RuntimeError("boom")
            case "/field":
                start_response("200 OK", [("x", "a\r\nb")])
                return [b"x"]
            case "/short":
                start_response("200 OK", [("Content-Length", "9")])
                return iter([b"x"])
            case "/close":
                start_response("200 OK", [])
                return Crashing()
            case "/exit":
                raise SystemExit(1)
        return stream(start_response)

    def stream(start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        raise RuntimeError("boom")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.over(peer.open(path))
            assert (answer.status if answer.reset is None else "reset") == outcome
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    (record,) = caplog.records
    assert words in record.getMessage()
    assert path in record.getMessage()
    assert record.exc_info is not None


def test_a_thread_that_never_returns_does_not_keep_the_server_from_ending(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()
    begun = threading.Event()
    result: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        begun.set()
        assert go_on.wait(LIMIT_S)
        start_response("200 OK", TEXT)
        try:
            environ["wsgi.input"].read()
        except ClientDisconnected:
            result.append("told")
        return [b""]

    async def main() -> None:
        async with serving(app, **NO_SPOOL) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/", "POST", end=False)
            await settled(begun.is_set)
            server.abort()
            await server.wait_closed()
            assert (await peer.over(stream_id)).reset is not None
            go_on.set()
            await settled(lambda: result == ["told"])

    run(main())
    assert [record.getMessage() for record in caplog.records if record.name == "headrace.error"] == [
        "1 WSGI requests had not returned when the server ended; their threads are left"
    ]


def test_a_drain_lets_a_request_finish(run: Run) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        begun.set()
        assert go_on.wait(LIMIT_S)
        start_response("200 OK", TEXT)
        return [b"done"]

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await settled(begun.is_set)
            server.begin_drain()
            go_on.set()
            assert (await peer.over(stream_id)).body == b"done"
            await server.wait_closed()

    run(main())


# -- threads


def test_no_more_requests_run_than_there_are_threads(run: Run) -> None:
    lock = threading.Lock()
    meeting = threading.Barrier(3)
    now, most = 0, 0

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        meeting.wait(LIMIT_S)  # three run at once, or none ends
        with lock:
            now -= 1
        start_response("200 OK", TEXT)
        return [threading.current_thread().name.encode()]

    async def main() -> None:
        async with serving(app, wsgi_threads=3) as server, H2Peer.connected(port(server)) as peer:
            answers = await asyncio.gather(*(peer.get("/") for _ in range(30)))
        assert {bytes(answer.body) for answer in answers} <= {b"headrace-wsgi-%d" % number for number in (1, 2, 3)}

    run(main())
    assert most == 3


def test_threads_start_only_as_they_are_needed() -> None:
    threads = Threads(10)
    for _ in range(20):
        done = threading.Event()
        threads.start(done.set, ClientRecord("one"), None)
        assert done.wait(LIMIT_S)
        while not threads.stats()["idle"]:
            pass
    assert len(threads._threads) == 1
    threads.close()
    threads._threads[0].join(LIMIT_S)
    assert not threads._threads[0].is_alive()


def test_a_system_without_threads_is_500_and_the_next_request_is_served(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        begun.append(environ["PATH_INFO"])
        start_response("200 OK", TEXT)
        return [b""]

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", refuse)
                assert (await peer.get("/first")).status == 500
            assert (await peer.get("/second")).status == 200

    run(main())
    assert begun == ["/second"]
    assert "failed before its headers" in caplog.text


def test_the_application_sees_the_context_of_its_request(run: Run) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        value = variable.get()
        variable.set("by a request")
        start_response("200 OK", TEXT)
        return [value.encode()]

    async def main() -> None:
        variable.set("outside")
        async with serving(app, wsgi_threads=1) as server, H2Peer.connected(port(server)) as peer:
            assert [(await peer.get("/")).body for _ in range(2)] == [b"outside"] * 2

    run(main())


def test_a_storm_of_requests_leaves_nothing_behind(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        number = int(environ["PATH_INFO"][1:])
        start_response("200 OK", TEXT)
        yield b"x" * 20_000
        if number % 3 == 1:
            raise RuntimeError("boom")
        yield b"y" * 20_000

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            for round_ in range(3):
                ids = [peer.open(f"/{number}") for number in range(90)]
                for number, stream_id in enumerate(ids):
                    if number % 3 == 2:
                        peer.reset(stream_id)
                for number, stream_id in enumerate(ids):
                    if number % 3 == 0:
                        assert (await peer.over(stream_id)).body == b"x" * 20_000 + b"y" * 20_000, round_
                    elif number % 3 == 1:
                        assert (await peer.over(stream_id)).reset is not None
            await settled(lambda: live_handlers(server) == 0)

    run(main())
