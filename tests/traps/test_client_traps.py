"""What clients have done to their callers, one connection at a time.

Those of the pool and of TLS stand in test_client_pool_traps.py; README.md has the list.
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import pytest

from headrace.client.connection.driver import CLIENT_LIMITS, ClientDriver
from headrace.client.connection.exchange import ClientExchange
from headrace.client.errors import BodyConsumed, ConnectionLost, RequestError, StreamReset, TruncatedBody

from tests.client.support.peer import listening
from tests.client.support.rig import Pieces, connect, get, post, request, settled
from tests.support import wire
from tests.support.serving import Run
from tests.support.wire import ENABLE_CONNECT_PROTOCOL, MAX_CONCURRENT_STREAMS

MIB = 2**20


class Receiver:
    """Takes what comes through a tunnel, and consumes it when it is told to."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.owed = 0
        self.ended = False
        self.lost: str | None = None

    def on_bytes(self, data: bytes, owed: int, ended: bool) -> None:
        self.data += data
        self.owed += owed
        self.ended = self.ended or ended

    def on_lost(self, reason: str) -> None:
        self.lost = reason

    def on_writable(self) -> None:
        pass


def has_room(driver: ClientDriver) -> bool:
    """Asked for anew each time; mypy takes a property for a constant."""
    return driver.has_room


def test_opening_a_tunnel_takes_nothing_from_the_other_streams(run: Run) -> None:
    """Frames of siblings come between a tunnel's request and its answer, compressed with the same table."""

    async def main() -> None:
        async with listening(settings={ENABLE_CONNECT_PROTOCOL: 1}) as server:
            driver, _ = await connect(server, wait_for_settings=True)
            await driver.ready()
            assert driver.takes_websockets is True
            peer = await server.accepted()
            siblings = [driver.begin(get(f"/{number}"), True) for number in range(3)]
            tunnel = driver.begin(request("CONNECT", "/chat", protocol=b"websocket"))
            opening = asyncio.ensure_future(tunnel.head_arrived())
            asked = [await peer.request() for _ in range(4)]
            inserted = wire.literals([(b"x-inserted", b"once")], index=True)
            peer.send(wire.headers(asked[0].stream_id, wire.indexed(8) + inserted, end_stream=True))
            for each in asked[1:3]:  # these refer to what the first has inserted
                peer.send(wire.headers(each.stream_id, wire.indexed(8) + wire.indexed(62), end_stream=True))
            for sibling in siblings:
                response = await sibling.head_arrived()
                assert response.head.headers == [(b"x-inserted", b"once")]
            assert not opening.done()
            peer.begin(asked[3].stream_id)
            assert (await opening).head.status == 200
            tunnel.close()

    run(main())


@pytest.mark.parametrize("kind", ["content", "tunnel"])
def test_a_slow_reader_stops_nobody_else(run: Run, kind: str) -> None:
    """64 MiB that nobody reads, for a server that keeps to its windows; a sibling's 64 MiB finish meanwhile."""

    async def main() -> None:
        async with listening(settings={ENABLE_CONNECT_PROTOCOL: 1}) as server:
            driver, _ = await connect(server, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            receiver = Receiver()
            slow = driver.begin(request("CONNECT", "/", protocol=b"websocket") if kind == "tunnel" else get("/slow"))
            first = await peer.request()
            window = CLIENT_LIMITS.initial_stream_window
            peer.begin(first.stream_id)
            peer.content(first.stream_id, b"s" * window)  # as much as the server may: 62 MiB more wait there
            response: Any = await slow.head_arrived()
            if kind == "tunnel":
                response.tunnel(receiver)
            quick = driver.begin(get("/quick"), discard=True)
            second = await peer.request()
            peer.begin(second.stream_id)
            left, room, total = 64 * MIB, window, CLIENT_LIMITS.initial_connection_window - window
            seen = 0
            while left:
                size = min(left, room, total, MIB)
                if size:
                    left, room, total = left - size, room - size, total - size
                    peer.content(second.stream_id, b"q" * size, end=left == 0)
                    await asyncio.sleep(0)
                else:
                    await peer.round_trip()
                updates = [each for each in peer.frames if each.type == wire.WINDOW_UPDATE]
                for each in updates[seen:]:
                    assert each.stream_id != first.stream_id  # nothing of that was taken
                    if each.stream_id == 0:
                        total += each.increment
                    else:
                        room += each.increment
                if seen == 0:  # what the client gave at the start is in `initial_connection_window` already
                    total -= sum(each.increment for each in updates if each.stream_id == 0)
                seen = len(updates)
            await settled(lambda: quick.is_over)
            assert (quick.error, quick.received) == (None, 64 * MIB)
            if kind == "tunnel":
                assert len(receiver.data) == window
            else:
                assert len(await response.receive()) == window
            response.close()

    run(main())


def test_trailers_and_interim_responses_are_not_the_response(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            told: list[Any] = []
            exchange = driver.begin(get(on_informational=lambda *what: told.append(what)), True)
            asked = await peer.request()
            peer.begin(asked.stream_id, 103, [(b"x-kind", b"interim")])
            peer.respond(asked.stream_id, b"content", 203, [(b"x-kind", b"final")], [(b"x-kind", b"trailer")])
            response = await exchange.head_arrived()
            assert response.head == (203, [(b"x-kind", b"final")], "2")
            assert response.trailers == [(b"x-kind", b"trailer")]
            assert told == [(103, [(b"x-kind", b"interim")])]
            # A :status in trailers is a fault (RFC 9113 §8.1), and no status.
            exchange = driver.begin(get(), True)
            asked = await peer.request()
            peer.respond(asked.stream_id, b"content", 200, (), [(b":status", b"500")])
            with pytest.raises(RequestError, match="pseudo-header field in trailers"):
                await exchange.head_arrived()

    run(main())


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "streamed"])
def test_goaway_in_the_middle_of_a_body_does_not_finish_it(run: Run, whole: bool) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            finishes, ends = driver.begin(get(), whole), driver.begin(get(), whole)
            first, second = await peer.request(), await peer.request()
            for each in (first, second):
                peer.begin(each.stream_id)
                peer.content(each.stream_id, b"a half, ")
            peer.send(wire.goaway(second.stream_id))
            peer.content(first.stream_id, b"and the other", end=True)
            assert await (await finishes.head_arrived()).read() == b"a half, and the other"
            peer.close()
            with pytest.raises(ConnectionLost, match="before the response was complete") as caught:
                await (await ends.head_arrived()).read()
            assert not caught.value.retryable

    run(main())


def test_after_goaway_nothing_new_is_opened(run: Run) -> None:
    """Also not in the very batch in which it came, when a response makes room."""

    async def main() -> None:
        async with listening(settings={MAX_CONCURRENT_STREAMS: 1}) as server:
            driver, owner = await connect(server, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            rooms: list[bool] = []
            owner.when_room = lambda driver: rooms.append(driver.has_room)
            exchange = driver.begin(get(), True)
            asked = await peer.request()
            peer.send(wire.goaway(asked.stream_id), wire.response(asked.stream_id, end_stream=True))
            await exchange.head_arrived()
            assert rooms == [False]
            assert (driver.has_room, driver.is_usable) == (False, False)
            await owner.lost.wait()
            assert [each.path for each in peer.requests] == [b"/"]

    run(main())


@pytest.mark.parametrize("phase", ["before the head", "within the content", "while sending"])
def test_a_caller_that_gives_up_leaves_no_stream_open(run: Run, phase: str) -> None:
    async def main() -> None:
        async with listening(settings={MAX_CONCURRENT_STREAMS: 1}) as server:
            driver, owner = await connect(server, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            outgoing = post(Pieces([b"x" * MIB])) if phase == "while sending" else get()
            task = asyncio.ensure_future(driver.begin(outgoing, True).head_arrived())
            asked = await peer.request()
            if phase == "within the content":
                peer.begin(asked.stream_id)
                peer.content(asked.stream_id, b"a part")
                await peer.round_trip()
            rooms = [driver.has_room]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            rooms.append(driver.has_room)
            assert rooms == [False, True]
            assert owner.told[-1] == "room"
            assert await peer.reset_of(asked) == wire.CANCEL
            again = driver.begin(get("/again"), True)
            asked = await peer.request()
            peer.respond(asked.stream_id, b"fine")
            assert await (await again.head_arrived()).read() == b"fine"

    run(main())


def test_before_settings_a_hundred_are_opened_and_what_is_refused_may_be_sent_again(run: Run) -> None:
    async def main() -> None:
        async with listening(is_mute=True) as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            assert driver.capacity == 100
            exchanges: list[ClientExchange] = []
            while has_room(driver):
                exchanges.append(driver.begin(get(), True))
            assert len(exchanges) == 100
            asked = [await peer.request() for _ in exchanges]
            peer.send(wire.settings({MAX_CONCURRENT_STREAMS: 2}))
            for each in asked[:2]:
                peer.respond(each.stream_id, b"served")
            for each in asked[2:]:
                peer.send(wire.rst_stream(each.stream_id, wire.REFUSED_STREAM))
            for exchange in exchanges[:2]:
                assert await (await exchange.head_arrived()).read() == b"served"
            for exchange in exchanges[2:]:
                with pytest.raises(StreamReset, match="REFUSED_STREAM") as caught:
                    await exchange.head_arrived()
                assert caught.value.retryable
            assert driver.capacity == 2
            rooms = []
            for _ in range(3):
                rooms.append(has_room(driver))
                if rooms[-1]:
                    driver.begin(get(), True)
            assert rooms == [True, True, False]
            for exchange in list(driver.live.values()):
                exchange.close()

    run(main())


def test_settings_can_be_awaited(run: Run) -> None:
    async def main() -> None:
        async with listening(is_mute=True) as server:
            driver, owner = await connect(server, wait_for_settings=True)
            peer = await server.accepted()
            await peer.frame(wire.SETTINGS)
            assert not driver.is_ready
            assert not driver.has_room
            peer.send(wire.settings({MAX_CONCURRENT_STREAMS: 2}))
            await driver.ready()
            assert owner.told == ["ready"]
            assert (driver.capacity, driver.has_room) == (2, True)

    run(main())


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
@pytest.mark.parametrize("verb", ["receive", "read"])
def test_a_read_that_is_cancelled_loses_no_bytes(run: Run, protocol: Any, verb: str) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, _ = await connect(server, protocol)
            peer = await server.accepted()
            exchange = driver.begin(get())
            asked = await peer.request()

            def send(content: bytes) -> None:
                if protocol == "h2":
                    peer.content(asked.stream_id, content, end=content == b"9")
                else:
                    peer.send(content)

            if protocol == "h2":
                peer.begin(asked.stream_id)
            else:
                peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
            response = await exchange.head_arrived()
            on_data = exchange.on_data
            arrived = asyncio.Event()

            def cancel_as_it_comes(data: bytes, owed: int) -> None:
                on_data(data, owed)  # wakes the reader, which in the same turn of the loop is cancelled
                task.cancel()
                arrived.set()

            exchange.on_data = cancel_as_it_comes  # type: ignore[method-assign]
            for number in range(9):
                task = asyncio.ensure_future(getattr(response, verb)())
                await asyncio.sleep(0)
                send(b"%d" % number)
                if verb == "receive":
                    await arrived.wait()
                    arrived.clear()
                elif protocol == "h2":
                    await peer.round_trip()
                task.cancel()
                await asyncio.wait((task,))
                assert task.cancelled()
                if verb == "receive":
                    assert await response.receive() == b"%d" % number
            send(b"9")
            assert await response.read() == (b"9" if verb == "receive" else b"0123456789")

    run(main())


def test_a_response_that_is_never_read_does_not_keep_its_slot(run: Run) -> None:
    async def main() -> None:
        async with listening(settings={MAX_CONCURRENT_STREAMS: 1}) as server:
            driver, _ = await connect(server, wait_for_settings=True)
            await driver.ready()
            peer = await server.accepted()
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                for number in range(5):
                    response: Any = asyncio.ensure_future(driver.begin(get()).head_arrived())
                    asked = await peer.request()
                    peer.begin(asked.stream_id)
                    peer.content(asked.stream_id, b"x" * 100_000)
                    response = await response
                    assert not driver.has_room
                    if number == 0:
                        response.close()
                    else:
                        response = None
                        gc.collect()
                    assert await peer.reset_of(asked) == wire.CANCEL
                    assert driver.has_room
            assert [each.category for each in seen] == [ResourceWarning] * 4

    run(main())


def test_content_that_is_used_up_is_not_sent_a_second_time(run: Run) -> None:
    """The driver asks the content; the pool's replay stands on that."""

    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            content = Pieces([b"once"])
            exchange = driver.begin(post(content), True)
            asked = await peer.request()
            peer.send(wire.rst_stream(asked.stream_id, wire.REFUSED_STREAM))
            with pytest.raises(StreamReset) as caught:
                await exchange.head_arrived()
            assert caught.value.retryable
            content.is_replayable = False
            with pytest.raises(BodyConsumed, match="used up"):
                await driver.begin(post(content), True).head_arrived()
            assert b"".join(each.content for each in peer.requests) in (b"", b"once")

    run(main())


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_a_body_shorter_than_its_length_is_an_error_but_for_head(run: Run, protocol: Any) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, _ = await connect(server, protocol)
            peer = await server.accepted()
            for method in ("HEAD", "GET"):
                exchange = driver.begin(request(method), True)
                asked = await peer.request()
                if protocol == "h2":
                    is_head = method == "HEAD"
                    peer.begin(asked.stream_id, 200, [(b"content-length", b"10")], end=is_head)
                    if not is_head:
                        peer.content(asked.stream_id, b"short", end=True)
                else:
                    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n" + b"short" * (method == "GET"))
                    if method == "GET":
                        peer.close()
                if method == "HEAD":
                    assert await (await exchange.head_arrived()).read() == b""
                else:
                    with pytest.raises(TruncatedBody, match="cut off"):
                        await exchange.head_arrived()

    run(main())
