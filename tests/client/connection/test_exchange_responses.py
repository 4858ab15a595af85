"""Responses, whole and streamed, over both protocols."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest

from headrace.client.connection.driver import CLIENT_LIMITS
from headrace.client.connection.exchange import ClientExchange
from headrace.client.errors import ReadTimeout, StreamConsumed
from headrace.client.timeouts import Timeouts

from tests.client.support.peer import listening
from tests.client.support.rig import connect, get, post, settled
from tests.support.serving import Run

PROTOCOLS = pytest.mark.parametrize("protocol", ["h2", "http/1.1"])


@PROTOCOLS
@pytest.mark.parametrize("content", [b"", b"hello", b"x" * 300_000], ids=["empty", "small", "large"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "streamed"])
def test_a_response_as_its_reader_gets_it(run: Run, protocol: Any, content: bytes, whole: bool) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, _ = await connect(server, protocol)
            peer = await server.accepted()
            for path in (b"/first", b"/second"):  # on the same connection
                exchange = driver.begin(get(path.decode()), whole)
                request = await peer.request()
                assert request.path == path
                fields = [(b"content-type", b"text/plain")]
                if protocol == "h2":
                    peer.respond(request.stream_id, content, 201, fields)
                else:
                    peer.respond(content, 201, fields)
                response = await exchange.head_arrived()
                assert response.head.status == 201
                assert response.head.http_version == ("2" if protocol == "h2" else "1.1")
                assert (b"content-type", b"text/plain") in response.head.headers
                assert response.info["http_version"] == response.head.http_version
                assert response.info["peer"][1] == server.port
                assert await response.read() == content
                assert await response.receive() == b""
                response.close()  # of no effect after the end
            assert driver.completed == 2
            assert len(server.peers) == 1

    run(main())


@PROTOCOLS
def test_a_streamed_response_comes_piece_by_piece(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, _ = await connect(server, protocol)
            peer = await server.accepted()
            exchange = driver.begin(get())
            request = await peer.request()
            if protocol == "h2":
                peer.begin(request.stream_id)
            else:
                peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            response = await exchange.head_arrived()
            for piece in (b"one", b"two", b"three"):
                waiting = asyncio.ensure_future(response.receive())
                await asyncio.sleep(0)
                assert not waiting.done()
                if protocol == "h2":
                    peer.content(request.stream_id, piece)
                else:
                    peer.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                assert await waiting == piece
            if protocol == "h2":
                peer.respond_trailers(request.stream_id, [(b"x-sum", b"7")])
            else:
                peer.send(b"0\r\nx-sum: 7\r\n\r\n")
            assert await response.receive() == b""
            assert response.trailers == [(b"x-sum", b"7")]
            assert driver.has_room

    run(main())


@pytest.mark.parametrize("length", [32_769, 300_000, 2_000_000])
@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "not announced"])
def test_a_large_whole_response(run: Run, length: int, is_announced: bool) -> None:
    """Room is reserved for it, or for a part of it when it is much more than the bytes that have come."""
    content = (bytes(range(251)) * (length // 251 + 1))[:length]

    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get(), True)
            asked = await peer.request()
            peer.begin(asked.stream_id, 200, [(b"content-length", b"%d" % length)] if is_announced else ())
            peer.content(asked.stream_id, content[:100])
            peer.content(asked.stream_id, content[100:], end=True)
            assert await (await exchange.head_arrived()).read() == content

    run(main())


def test_a_large_read_that_is_cancelled_is_gone_on_with(run: Run) -> None:
    content = bytes(range(250)) * 1_000

    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get())
            asked = await peer.request()
            peer.begin(asked.stream_id, 200, [(b"content-length", b"250000")])
            response = await exchange.head_arrived()
            reading = asyncio.ensure_future(response.read())
            peer.content(asked.stream_id, content[:100_000])
            await peer.round_trip()
            reading.cancel()
            await asyncio.wait((reading,))
            assert reading.cancelled()
            assert await response.receive() == content[:100_000]
            peer.content(asked.stream_id, content[100_000:], end=True)
            assert await response.read() == content[100_000:]

    run(main())


def test_what_came_before_a_read_is_in_it_and_nothing_twice(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get())
            request = await peer.request()
            peer.begin(request.stream_id)
            peer.content(request.stream_id, b"a" * 10)
            response = await exchange.head_arrived()
            assert await response.receive() == b"a" * 10
            peer.content(request.stream_id, b"b" * 10)
            await peer.round_trip()
            reading = asyncio.ensure_future(response.read())
            await asyncio.sleep(0)
            peer.content(request.stream_id, b"c" * 10, end=True)
            assert await reading == b"b" * 10 + b"c" * 10
            assert await response.read() == b""

    run(main())


@PROTOCOLS
def test_informational_responses_are_told_and_never_taken_for_the_response(run: Run, protocol: Any) -> None:
    async def main() -> None:
        told: list[tuple[int, Any]] = []
        async with listening(protocol) as server:
            driver, _ = await connect(server, protocol)
            peer = await server.accepted()
            exchange = driver.begin(get(on_informational=lambda *what: told.append(what)), True)
            request = await peer.request()
            if protocol == "h2":
                peer.begin(request.stream_id, 103, [(b"link", b"</a.css>")])
                peer.respond(request.stream_id, b"final")
            else:
                peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n")
                peer.respond(b"final")
            response = await exchange.head_arrived()
            assert (response.head.status, await response.read()) == (200, b"final")
            assert told == [(103, [(b"link", b"</a.css>")])]

    run(main())


def test_a_callback_that_fails_fails_its_request_alone(run: Run) -> None:
    def fails(status: int, fields: Any) -> None:
        raise LookupError("on purpose")

    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            sibling = driver.begin(get("/sibling"), True)
            exchange = driver.begin(get(on_informational=fails), True)
            first, second = await peer.request(), await peer.request()
            peer.begin(second.stream_id, 103)
            with pytest.raises(LookupError, match="on purpose"):
                await exchange.head_arrived()
            assert await peer.reset_of(second) == 8
            peer.respond(first.stream_id, b"fine")
            assert await (await sibling.head_arrived()).read() == b"fine"

    run(main())


@PROTOCOLS
def test_a_closed_response_frees_its_place(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, owner = await connect(server, protocol)
            peer = await server.accepted()
            exchange = driver.begin(get())
            request = await peer.request()
            if protocol == "h2":
                peer.begin(request.stream_id)
                peer.content(request.stream_id, b"some")
            else:
                peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome")
            response = await exchange.head_arrived()
            response.close()
            response.close()
            with pytest.raises(StreamConsumed, match="closed before its end"):
                await response.read()
            assert not driver.live
            if protocol == "h2":
                assert await peer.reset_of(request) == 8
                assert driver.has_room
            else:  # nothing else can stop it (RFC 9112 §9.6)
                assert not driver.has_room
                await peer.until_closed()
                await owner.lost.wait()

    run(main())


def test_a_response_that_is_dropped_unread_is_given_up_with_a_warning(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange: ClientExchange | None = driver.begin(get("/dropped"))
            request = await peer.request()
            peer.begin(request.stream_id)
            assert exchange is not None
            response: Any = await exchange.head_arrived()
            exchange = None
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                response = None
                gc.collect()
            assert response is None
            (warning,) = [each for each in seen if each.category is ResourceWarning]
            assert "http://localhost/dropped was dropped before its end" in str(warning.message)
            assert await peer.reset_of(request) == 8
            assert not driver.live

    run(main())


@PROTOCOLS
def test_a_task_that_is_cancelled_while_it_waits_gives_its_request_up(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, owner = await connect(server, protocol)
            peer = await server.accepted()
            task = asyncio.ensure_future(driver.begin(get(), True).head_arrived())
            request = await peer.request()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not driver.live
            if protocol == "h2":
                assert await peer.reset_of(request) == 8
            else:
                await owner.lost.wait()

    run(main())


def test_content_can_be_counted_and_the_end_told(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            done: list[ClientExchange] = []
            exchange = driver.begin(get(), on_done=done.append, discard=True)
            request = await peer.request()
            peer.credit(0, 1)
            peer.respond(request.stream_id, b"x" * 100_000)
            await settled(lambda: bool(done))
            assert done == [exchange]
            assert (exchange.status, exchange.received, exchange.error) == (200, 100_000, None)

    run(main())


def test_two_tasks_cannot_read_one_response(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get())
            request = await peer.request()
            peer.begin(request.stream_id)
            response = await exchange.head_arrived()
            first = asyncio.ensure_future(response.receive())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="only one may at a time"):
                await response.receive()
            with pytest.raises(RuntimeError, match="only one may at a time"):
                await response.read()
            peer.content(request.stream_id, b"for the first", end=True)
            assert await first == b"for the first"

    run(main())


def test_a_small_credit_window_is_given_back_only_as_content_is_taken(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get())
            request = await peer.request()
            peer.begin(request.stream_id)
            window = CLIENT_LIMITS.initial_stream_window
            peer.content(request.stream_id, b"x" * window)
            response = await exchange.head_arrived()
            await peer.round_trip()
            assert not [each for each in peer.frames if each.name == "WINDOW_UPDATE" and each.stream_id]
            taken = 0
            while taken < window:
                taken += len(await response.receive())
            given = await peer.frame(8, request.stream_id)
            assert given.increment == window
            peer.content(request.stream_id, b"y", end=True)
            assert await response.read() == b"y"

    run(main())


@pytest.mark.parametrize("verb", ["receive", "read"])
def test_over_http_1_reading_stops_for_a_slow_reader_and_goes_on(run: Run, verb: str) -> None:
    """There is no credit to write, so nothing else would resume reading."""
    size = 4 * CLIENT_LIMITS.initial_stream_window

    async def main() -> None:
        async with listening("http/1.1") as server:
            driver, _ = await connect(server, "http/1.1")
            peer = await server.accepted()
            exchange = driver.begin(get())
            await peer.request()
            peer.respond(bytes(size))
            response = await exchange.head_arrived()
            await settled(lambda: driver.engine.read_paused)
            taken = 0
            while taken < size:
                taken += len(await (response.receive() if verb == "receive" else response.read()))
            assert taken == size
            assert driver.has_room

    run(main())


def test_a_reader_that_is_late_is_no_read_timeout(run: Run) -> None:
    """The timeout is for the server: it runs while there is room for content and none to take."""

    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get(timeouts=Timeouts(read=0.05)))
            other = driver.begin(get(timeouts=Timeouts(read=0.1)))
            request, following = await peer.request(), await peer.request()
            peer.begin(following.stream_id)
            peer.begin(request.stream_id)
            peer.content(request.stream_id, b"early")
            response = await exchange.head_arrived()
            silent = await other.head_arrived()
            with pytest.raises(ReadTimeout):  # later than the first one's
                await silent.receive()
            assert not exchange.is_over
            assert await response.receive() == b"early"
            with pytest.raises(ReadTimeout, match=r"nothing more of the response came for 0.05 s"):
                await response.receive()
            assert await peer.reset_of(request) == 8

    run(main())


@PROTOCOLS
def test_a_head_request_has_no_content_whatever_its_length_says(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, _ = await connect(server, protocol)
            peer = await server.accepted()
            outgoing = get()
            outgoing.method = b"HEAD"
            exchange = driver.begin(outgoing, True)
            request = await peer.request()
            if protocol == "h2":
                peer.begin(request.stream_id, 200, [(b"content-length", b"1000")], end=True)
            else:
                peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            response = await exchange.head_arrived()
            assert await response.read() == b""
            assert driver.has_room

    run(main())


def test_a_request_without_content_says_so_where_content_was_expected(run: Run) -> None:
    async def main() -> None:
        for protocol in ("h2", "http/1.1"):
            async with listening(protocol) as server:
                driver, _ = await connect(server, protocol)
                peer = await server.accepted()
                exchange = driver.begin(post(b""), True)
                request = await peer.request()
                assert request.field(b"content-length") == b"0"
                exchange.close()

    run(main())
