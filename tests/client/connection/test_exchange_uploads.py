"""Requests with content: bytes and iterators, within the server's windows, and their early ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from headrace.client.connection.driver import CLIENT_LIMITS
from headrace.client.errors import BodyConsumed, HeadersTimeout, RequestError, WriteTimeout
from headrace.client.timeouts import Timeouts

from tests.client.support.peer import listening
from tests.client.support.rig import Pieces, connect, get, post, settled
from tests.support.serving import Run
from tests.support.wire import CANCEL, INITIAL_WINDOW_SIZE, INTERNAL_ERROR

PROTOCOLS = pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
WIDE = {INITIAL_WINDOW_SIZE: 2**30}
KINDS: dict[str, Any] = {
    "small bytes": lambda: b"hello",
    "large bytes": lambda: b"0123456789" * 50_000,
    "pieces": lambda: Pieces([b"he", bytearray(b"ll"), b"", memoryview(b"o")]),
    "large pieces": lambda: Pieces([b"0123456789" * 20_000] * 3),
    "pieces of a known length": lambda: Pieces([b"hel", b"lo"], length=5),
    "no pieces": lambda: Pieces([]),
}


def bytes_of(content: Any) -> bytes:
    return content if isinstance(content, bytes) else b"".join(bytes(each) for each in content._pieces)


@PROTOCOLS
@pytest.mark.parametrize("kind", list(KINDS))
def test_content_arrives_as_it_was_given(run: Run, protocol: Any, kind: str) -> None:
    async def main() -> None:
        async with listening(protocol, settings=WIDE) as server:
            driver, _ = await connect(server, protocol)
            peer = await server.accepted()
            tasks = len(asyncio.all_tasks())
            for _ in range(2):  # the connection serves again
                content = KINDS[kind]()
                expected = bytes_of(content)
                sent: list[int] = []
                exchange = driver.begin(post(content, on_sent=sent.append), True)
                request = await peer.request()
                if protocol == "h2":
                    peer.credit(0, 2**20)
                await peer.until(lambda request=request: request.ended)
                assert request.content == expected
                length = content.length if isinstance(content, Pieces) else len(expected)
                assert request.field(b"content-length") == (None if length is None else b"%d" % length)
                assert sum(sent) == len(expected)
                if protocol == "h2":
                    peer.respond(request.stream_id, b"taken")
                else:
                    peer.respond(b"taken")
                response = await exchange.head_arrived()
                assert await response.read() == b"taken"
                if isinstance(content, Pieces):
                    assert (content.opened, content.closed) == (1, 1)
            assert len(asyncio.all_tasks()) == tasks

    run(main())


@PROTOCOLS
def test_trailers_follow_the_content(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, _ = await connect(server, protocol)
            peer = await server.accepted()
            content = Pieces([b"content"], trailers=[(b"x-sum", b"7")])
            exchange = driver.begin(post(content), True)
            request = await peer.whole_request()
            assert (request.content, request.trailers) == (b"content", [(b"x-sum", b"7")])
            exchange.close()

    run(main())


def test_an_upload_keeps_to_the_servers_windows_and_to_what_may_wait(run: Run) -> None:
    """Back-pressure: the iterator is asked for the next piece only when the last one is accepted."""
    asked = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal asked
        for _ in range(100):
            asked += 1
            yield b"x" * 16_384

    async def main() -> None:
        async with listening(settings={INITIAL_WINDOW_SIZE: 0}) as server:
            driver, _ = await connect(server, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            exchange = driver.begin(post(Pieces(pieces)), True)
            request = await peer.request()
            await peer.round_trip()
            assert request.content == b""
            assert asked == 4  # 65,536 bytes, and the overhead of pieces: the fourth is not accepted
            peer.credit(0, 2**21)
            peer.credit(request.stream_id, 10_000)
            await peer.until(lambda: len(request.content) == 10_000)
            await peer.round_trip()
            assert asked == 5
            peer.credit(request.stream_id, 2**21)
            await peer.until(lambda: request.ended)
            assert len(request.content) == 1_638_400
            peer.respond(request.stream_id)
            await exchange.head_arrived()

    run(main())


@PROTOCOLS
def test_both_directions_at_once(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, _ = await connect(server, protocol)
            peer = await server.accepted()
            turns: asyncio.Queue[bytes] = asyncio.Queue()

            async def pieces() -> AsyncIterator[bytes]:
                while piece := await turns.get():
                    yield piece

            exchange = driver.begin(post(Pieces(pieces)))
            request = await peer.request()
            if protocol == "h2":
                peer.begin(request.stream_id)
            else:
                peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            response = await exchange.head_arrived()
            for said in (b"one", b"two", b"three"):
                request.content.clear()
                await turns.put(said)
                await peer.until(lambda said=said: request.content == said)
                if protocol == "h2":
                    peer.content(request.stream_id, said.upper())
                else:
                    peer.send(b"%x\r\n%s\r\n" % (len(said), said.upper()))
                assert await response.receive() == said.upper()
            await turns.put(b"")
            await peer.until(lambda: request.ended)
            if protocol == "h2":
                peer.content(request.stream_id, b"", end=True)
            else:
                peer.send(b"0\r\n\r\n")
            assert await response.receive() == b""
            assert driver.has_room

    run(main())


@pytest.mark.parametrize("kind", ["bytes", "iterator"])
def test_a_response_before_the_upload_ends_stops_it_and_the_connection_lives_on(run: Run, kind: str) -> None:
    content: Any = b"x" * 500_000 if kind == "bytes" else Pieces([b"x" * 65_536] * 8)

    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(post(content), True)
            request = await peer.request()
            peer.respond(request.stream_id, b"too large", 413)
            response = await exchange.head_arrived()
            assert (response.head.status, await response.read()) == (413, b"too large")
            assert await peer.reset_of(request) == CANCEL
            assert len(request.content) <= 65_535
            again = driver.begin(get(), True)
            following = await peer.request()
            peer.respond(following.stream_id, b"fine")
            assert await (await again.head_arrived()).read() == b"fine"
            if isinstance(content, Pieces):
                await settled(lambda: content.closed == 1)

    run(main())


def test_a_small_request_that_waits_for_a_window_is_let_go_by_its_response(run: Run) -> None:
    """The engine has accepted everything, so no timeout of ours runs; but the stream would keep its place for ever."""

    async def main() -> None:
        async with listening(settings={INITIAL_WINDOW_SIZE: 0}) as server:
            driver, _ = await connect(server, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            exchange = driver.begin(post(b"never sent"), True)
            request = await peer.request()
            peer.respond(request.stream_id, b"no thanks")
            assert await (await exchange.head_arrived()).read() == b"no thanks"
            assert await peer.reset_of(request) == CANCEL
            assert driver.engine.open_streams == 0

    run(main())


def test_over_http_1_an_early_response_ends_the_connection_after_it(run: Run) -> None:
    async def main() -> None:
        async with listening("http/1.1") as server:
            driver, owner = await connect(server, "http/1.1")
            peer = await server.accepted()
            go_on = asyncio.Event()

            async def pieces() -> AsyncIterator[bytes]:
                yield b"a beginning"
                await go_on.wait()

            exchange = driver.begin(post(Pieces(pieces)), True)
            await peer.request()
            peer.respond(b"too large", 413)
            response = await exchange.head_arrived()
            assert (response.head.status, await response.read()) == (413, b"too large")
            assert not driver.is_usable
            await owner.lost.wait()
            assert owner.error is None

    run(main())


@PROTOCOLS
@pytest.mark.parametrize("answer", [100, 200, 417, None], ids=["100", "200", "417", "silence"])
def test_expect_100_continue(run: Run, protocol: Any, answer: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9110 §10.1.1: the content waits for 100, for a final response, or for a second (less in this test)."""
    monkeypatch.setattr("headrace.client.connection.upload.CONTINUE_S", 30.0 if answer else 0.01)

    async def main() -> None:
        async with listening(protocol) as server:
            driver, _ = await connect(server, protocol)
            peer = await server.accepted()
            outgoing = post(b"content", headers=[(b"expect", b"100-continue")])
            exchange = driver.begin(outgoing, True)
            request = await peer.request()
            assert request.field(b"expect") == b"100-continue"
            assert request.content == b""
            respond = (lambda *a: peer.respond(request.stream_id, *a)) if protocol == "h2" else peer.respond
            if answer in (100, None):
                if answer is None:
                    pass
                elif protocol == "h2":
                    peer.begin(request.stream_id, 100)
                else:
                    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                await peer.until(lambda: request.ended)
                assert request.content == b"content"
                respond(b"done")
                assert (await exchange.head_arrived()).head.status == 200
                assert driver.has_room
            else:
                respond(b"done", answer)
                assert (await exchange.head_arrived()).head.status == answer
                assert request.content == b""
                if protocol == "h2":
                    assert await peer.reset_of(request) == CANCEL

    run(main())


@PROTOCOLS
def test_content_that_fails_fails_its_request_with_the_same_exception(run: Run, protocol: Any) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a piece"
        raise LookupError("no more pieces")

    async def main() -> None:
        async with listening(protocol) as server:
            driver, owner = await connect(server, protocol)
            peer = await server.accepted()
            exchange = driver.begin(post(Pieces(pieces)), True)
            with pytest.raises(LookupError, match="no more pieces"):
                await exchange.head_arrived()
            if protocol == "h2":
                request = await peer.request()
                assert await peer.reset_of(request) == CANCEL
                assert driver.has_room
            else:
                await owner.lost.wait()
                assert not any(each.ended for each in peer.requests)

    run(main())


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (Pieces([b"abc"], length=5), RequestError, "3 bytes, but 5 were announced"),
        (Pieces([b"abc", b"def"], length=5), RequestError, "6 bytes, but 5 were announced"),
        (Pieces(["text"]), TypeError, "must be bytes, not str"),
    ],
    ids=["too short", "too long", "not bytes"],
)
def test_content_that_is_not_what_was_said(run: Run, content: Any, error: Any, words: str) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(post(content), True)
            with pytest.raises(error, match=words):
                await exchange.head_arrived()
            request = await peer.request()
            assert await peer.reset_of(request) in (CANCEL, INTERNAL_ERROR)
            assert not request.ended

    run(main())


def test_content_that_cannot_be_opened_again(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            content = Pieces([b"x"])
            content.is_replayable = False
            with pytest.raises(BodyConsumed, match="used up"):
                await driver.begin(post(content), True).head_arrived()
            assert driver.has_room

    run(main())


@pytest.mark.parametrize("kind", ["bytes", "small bytes", "iterator"])
def test_a_server_that_takes_nothing_is_a_write_timeout(run: Run, kind: str) -> None:
    content: Any = {"bytes": b"x" * 200_000, "small bytes": b"x" * 60_000, "iterator": Pieces([b"x" * 50_000] * 4)}[
        kind
    ]

    async def main() -> None:
        async with listening(settings={INITIAL_WINDOW_SIZE: 0}) as server:
            # Small pieces are accepted at once where 65,536 bytes may wait.
            limits = replace(CLIENT_LIMITS, max_connection_send_buffer=50_000 if kind == "small bytes" else 1_048_576)
            driver, _ = await connect(server, limits=limits, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            exchange = driver.begin(post(content, timeouts=Timeouts(write=0.05)), True)
            with pytest.raises(WriteTimeout, match=r"none of the request's content for 0.05 s") as caught:
                await exchange.head_arrived()
            assert not caught.value.retryable
            assert caught.value.url == "http://localhost/"
            request = await peer.request()
            assert await peer.reset_of(request) == CANCEL

    run(main())


def test_the_write_timeout_is_one_of_progress(run: Run) -> None:
    """The headers timeout begins with the last byte of the request, not with the first."""

    async def main() -> None:
        async with listening(settings={INITIAL_WINDOW_SIZE: 0}) as server:
            driver, _ = await connect(server, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            exchange = driver.begin(post(b"x" * 300_000, timeouts=Timeouts(write=30.0, headers=0.05)), True)
            request = await peer.request()
            peer.credit(0, 300_000)
            for count in range(10):
                peer.credit(request.stream_id, 30_000)
                await peer.until(lambda count=count: len(request.content) == 30_000 * (count + 1))
                if count == 4:
                    await asyncio.sleep(0.1)  # twice the headers timeout
            with pytest.raises(HeadersTimeout, match=r"no response began within 0.05 s"):
                await exchange.head_arrived()

    run(main())


def test_a_request_given_up_stops_its_iterator(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            tasks = len(asyncio.all_tasks())
            content = Pieces([b"x" * 65_536] * 100)
            exchange = driver.begin(post(content), True)
            request = await peer.request()
            waiting = asyncio.ensure_future(exchange.head_arrived())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await peer.reset_of(request) == CANCEL
            await settled(lambda: content.closed == 1)
            await settled(lambda: len(asyncio.all_tasks()) == tasks)

    run(main())
