"""The end of a request when its server or connection fails: one typed error, a sentence, `retryable` or not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.client.connection.driver import ClientDriver
from headrace.client.connection.exchange import ClientExchange
from headrace.client.errors import (
    ConnectionLost,
    HeadersTimeout,
    ReadTimeout,
    RemoteProtocolError,
    RequestError,
    StreamReset,
    TLSError,
    TruncatedBody,
)
from headrace.client.timeouts import Timeouts
from headrace.engine.limits import Limits

from tests.client.support.peer import H2Peer, listening
from tests.client.support.rig import Owner, connect, get, post, settled
from tests.support import wire
from tests.support.serving import Run


async def error_of(exchange: ClientExchange) -> RequestError:
    """Return the error of reading the whole response."""
    with pytest.raises(RequestError) as caught:
        await (await exchange.head_arrived()).read()
    assert exchange.stream_id not in exchange.driver.live  # type: ignore[attr-defined]  # exchanges know less of it
    return caught.value


async def still_serves(driver: ClientDriver, peer: H2Peer) -> None:
    """Assert that the connection still works."""
    exchange = driver.begin(get("/after"), True)
    request = await peer.request()
    peer.respond(request.stream_id, b"fine")
    assert await (await exchange.head_arrived()).read() == b"fine"


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "streamed"])
@pytest.mark.parametrize("begun", [False, True], ids=["before the head", "after the head"])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (wire.REFUSED_STREAM, "REFUSED_STREAM"),
        (wire.INTERNAL_ERROR, "the server reset the request with INTERNAL_ERROR (RFC 9113 §6.4)"),
        (wire.ENHANCE_YOUR_CALM, "with ENHANCE_YOUR_CALM"),
        (wire.NO_ERROR, "ended the request before its response was complete (NO_ERROR)"),
        (0xBAD, "with 0xbad"),
    ],
)
def test_a_reset(run: Run, code: int, words: str, begun: bool, whole: bool) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, owner = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get("/reset"), whole)
            request = await peer.request()
            if begun:
                peer.begin(request.stream_id, 200, [(b"x-seen", b"yes")])
                peer.content(request.stream_id, b"a part")
            peer.send(wire.rst_stream(request.stream_id, code))
            error = await error_of(exchange)
            assert isinstance(error, StreamReset) and words in str(error)
            assert (error.code, error.url) == (code, "http://localhost/reset")
            certain = code == wire.REFUSED_STREAM and not begun  # a server that has answered has processed it
            assert error.retryable is ("refused the request before processing it" in str(error)) is certain
            assert (error.head is not None and error.head.headers == [(b"x-seen", b"yes")]) is begun
            await still_serves(driver, peer)
            assert "unusable" not in owner.told

    run(main())


def test_what_came_before_a_reset_can_be_received(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get())
            request = await peer.request()
            peer.begin(request.stream_id)
            peer.content(request.stream_id, b"a part")
            peer.send(wire.rst_stream(request.stream_id))
            response = await exchange.head_arrived()
            await settled(lambda: not driver.live)
            assert await response.receive() == b"a part"
            for _ in range(2):
                with pytest.raises(StreamReset, match="CANCEL"):
                    await response.receive()

    run(main())


@pytest.mark.parametrize("code", [wire.NO_ERROR, wire.ENHANCE_YOUR_CALM])
def test_goaway_fails_what_is_above_its_last_identifier_and_lets_the_rest_finish(run: Run, code: int) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, owner = await connect(server)
            peer = await server.accepted()
            low, high = driver.begin(get("/low"), True), driver.begin(get("/high"), True)
            first, _ = await peer.request(), await peer.request()
            peer.send(wire.goaway(first.stream_id, code, b"bye"))
            error = await error_of(high)
            assert isinstance(error, ConnectionLost)
            assert error.retryable
            name = "NO_ERROR" if code == 0 else "ENHANCE_YOUR_CALM"
            assert f"GOAWAY({name}): 'bye' (RFC 9113 §6.8); it may be sent again (RFC 9113 §8.7)" in str(error)
            assert not driver.is_usable
            assert not driver.has_room
            assert "lost" not in owner.told
            peer.respond(first.stream_id, b"finished")
            assert await (await low.head_arrived()).read() == b"finished"
            await owner.lost.wait()
            assert owner.error is None
            assert owner.told.count("unusable") == 1

    run(main())


def test_a_connection_that_ends_after_goaway_says_so(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, owner = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get(), True)
            request = await peer.request()
            peer.send(wire.goaway(request.stream_id, wire.ENHANCE_YOUR_CALM, b"too_many_pings\n\x1b[31m"))
            peer.close()
            error = await error_of(exchange)
            assert isinstance(error, ConnectionLost)
            assert not error.retryable
            assert "the connection ended before the response came: the peer closed the connection" in str(error)
            assert "GOAWAY(ENHANCE_YOUR_CALM): 'too_many_pings??[31m'" in str(error)
            await owner.lost.wait()
            assert isinstance(owner.error, ConnectionLost)

    run(main())


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
@pytest.mark.parametrize("how", ["end", "reset of TCP"])
def test_the_connection_is_lost(run: Run, protocol: Any, how: str) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, owner = await connect(server, protocol)
            peer = await server.accepted()
            exchanges = [driver.begin(get(), True)]
            if protocol == "h2":
                exchanges += [driver.begin(get()), driver.begin(post(b"x" * 100_000))]
            for _ in exchanges:
                await peer.request()
            if how == "end":
                peer.close()
            else:
                peer.drop()
            for exchange in exchanges:
                error = await error_of(exchange)
                assert isinstance(error, ConnectionLost)
                assert not error.retryable
                assert not error.is_stale
                assert "the connection ended before the response came" in str(error)
                assert ("reset by peer" in str(error).lower()) is (how != "end")
            await owner.lost.wait()
            assert owner.told.count("lost") == owner.told.count("unusable") == 1
            assert owner.told[-1] == "lost"
            assert not driver.is_usable
            with pytest.raises(ConnectionLost):
                await driver.ping() if protocol == "h2" else _raise(owner.error)

    run(main())


def _raise(error: BaseException | None) -> None:
    assert error is not None
    raise error


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_a_request_that_was_never_written_may_be_sent_again(run: Run, protocol: Any) -> None:
    """The connection ends in the same turn of the loop in which the request should leave."""

    async def main() -> None:
        async with listening(protocol) as server:
            driver, owner = await connect(server, protocol)
            await server.accepted()
            driver.flush_due = True  # as within a batch of input
            exchange = driver.begin(get(), True)
            assert driver.transport is not None
            driver.transport.abort()
            error = await error_of(exchange)
            assert isinstance(error, ConnectionLost)
            assert error.retryable
            assert "before it was sent" in str(error) or "nothing of the request was sent" in str(error)
            await owner.lost.wait()

    run(main())


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n"], ids=["nothing", "half a head"])
def test_a_stale_http_1_connection_is_told_apart(run: Run, said: bytes) -> None:
    """RFC 9112 §9.3.1: a server closes an idle connection just as the next request leaves. It is not certain that
    the request was not processed, so it is not retryable by itself."""

    async def main() -> None:
        async with listening("http/1.1") as server:
            driver, _ = await connect(server, "http/1.1")
            peer = await server.accepted()
            exchange = driver.begin(get(), True)
            await peer.request()
            peer.respond(b"first")
            await exchange.head_arrived()
            exchange = driver.begin(get(), True)
            await peer.request()
            peer.send(said)
            peer.close()
            error = await error_of(exchange)
            assert isinstance(error, ConnectionLost)
            assert not error.retryable
            assert error.is_stale is (said == b"")

    run(main())


@pytest.mark.parametrize(
    ("raw", "error", "words"),
    [
        (wire.response(1, b"200", extra=[(b"Upper", b"case")]), RemoteProtocolError, "RFC 9113 §8.2"),
        (
            wire.headers(1, [(b"x-no", b"status")]),
            RemoteProtocolError,
            "without :status (PROTOCOL_ERROR, RFC 9113",
        ),
        (wire.data(1, b"no head"), RemoteProtocolError, "DATA before the response (PROTOCOL_ERROR, RFC 9113 §8.1)"),
        (wire.response(1, b"101"), RemoteProtocolError, "status 101, which HTTP/2 does not have"),
    ],
    ids=["upper case", "no :status", "DATA first", "101"],
)
def test_a_malformed_response_is_that_requests_alone(run: Run, raw: bytes, error: Any, words: str) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get(), True)
            request = await peer.request()
            peer.send(raw)
            found = await error_of(exchange)
            assert isinstance(found, error)
            assert words in str(found)
            assert not found.retryable
            assert await peer.reset_of(request) == wire.PROTOCOL_ERROR
            await still_serves(driver, peer)

    run(main())


def test_a_fault_of_the_connection_ends_all_its_requests(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, owner = await connect(server)
            peer = await server.accepted()
            exchanges = [driver.begin(get(), True), driver.begin(get())]
            request = await peer.request()
            peer.send(wire.push_promise(request.stream_id, 2, wire.request_fields()))
            for exchange in exchanges:
                error = await error_of(exchange)
                assert isinstance(error, RemoteProtocolError)
                assert "PUSH_PROMISE, which is refused (PROTOCOL_ERROR, RFC 9113 §8.4)" in str(error)
            await owner.lost.wait()
            assert isinstance(owner.error, RemoteProtocolError)
            assert [each.code for each in peer.goaways] == [wire.PROTOCOL_ERROR]

    run(main())


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "streamed"])
@pytest.mark.parametrize("how", ["short", "long"])
def test_content_that_is_not_as_long_as_announced(run: Run, how: str, whole: bool) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            exchange = driver.begin(get(), whole)
            request = await peer.request()
            peer.begin(request.stream_id, 200, [(b"content-length", b"10")])
            peer.content(request.stream_id, b"x" * (5 if how == "short" else 15), end=True)
            error = await error_of(exchange)
            assert isinstance(error, TruncatedBody if how == "short" else RemoteProtocolError)
            assert "RFC 9113 §8.1.1" in str(error)
            assert error.head is not None
            await still_serves(driver, peer)

    run(main())


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
    ],
    ids=["content-length", "no last chunk", "within a chunk"],
)
def test_http_1_content_that_is_cut_off(run: Run, data: bytes) -> None:
    async def main() -> None:
        async with listening("http/1.1") as server:
            driver, _ = await connect(server, "http/1.1")
            peer = await server.accepted()
            exchange = driver.begin(get())
            await peer.request()
            peer.send(data)
            peer.close()
            error = await error_of(exchange)
            assert isinstance(error, TruncatedBody)
            assert "the response's content is cut off" in str(error)
            assert "RFC 9112 §8" in str(error)

    run(main())


@pytest.mark.parametrize("how", ["end", "reset of TCP"])
def test_http_1_content_that_ends_with_the_connection(run: Run, how: str) -> None:
    """RFC 9112 §6.3 and §8: the content is complete only with an orderly end."""

    async def main() -> None:
        async with listening("http/1.1") as server:
            driver, _ = await connect(server, "http/1.1")
            peer = await server.accepted()
            exchange = driver.begin(get())
            await peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
            response = await exchange.head_arrived()
            assert await response.receive() == b"hello"
            if how == "end":
                peer.close()
                assert await response.read() == b""
            else:
                peer.drop()
                with pytest.raises(ConnectionLost, match="before the response was complete"):
                    await response.read()

    run(main())


def test_bytes_that_are_no_http(run: Run) -> None:
    async def main() -> None:
        for protocol, data in (
            ("h2", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            ("http/1.1", b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        ):
            async with listening(protocol, is_mute=True) as server:
                driver, owner = await connect(server, protocol)  # type: ignore[arg-type]
                peer = await server.accepted()
                exchange = driver.begin(get(), True)
                await peer.request()
                peer.send(data)
                error = await error_of(exchange)
                assert isinstance(error, RemoteProtocolError)
                assert "0x" not in str(error)  # HTTP/1.1 messages have no code of HTTP/2, and no unknown one
                await owner.lost.wait()

    run(main())


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
@pytest.mark.parametrize("begun", [False, True], ids=["headers", "read"])
def test_a_silent_server(run: Run, protocol: Any, begun: bool) -> None:
    async def main() -> None:
        async with listening(protocol) as server:
            driver, _ = await connect(server, protocol)
            peer = await server.accepted()
            exchange = driver.begin(get(timeouts=Timeouts(headers=30.0 if begun else 0.05, read=0.05)), True)
            request = await peer.request()
            if begun and protocol == "h2":
                peer.begin(request.stream_id)
                peer.content(request.stream_id, b"a part")
            elif begun:
                peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\na part")
            elif protocol == "h2":
                peer.begin(request.stream_id, 103)  # does not extend it
            error = await error_of(exchange)
            assert isinstance(error, ReadTimeout if begun else HeadersTimeout)
            assert ("for 0.05 s" if begun else "within 0.05 s") in str(error)
            assert isinstance(error, TimeoutError)
            assert not error.retryable
            if protocol == "h2":
                assert await peer.reset_of(request) == wire.CANCEL
                await still_serves(driver, peer)
            else:
                await peer.until_closed()

    run(main())


class Turned:
    """The event loop with its clock set forward."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.ahead = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self._loop.time() + self.ahead

    def call_at(self, when: float, *rest: Any) -> Any:
        return self._loop.call_at(when - self.ahead, *rest)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "streamed"])
def test_each_piece_begins_the_read_timeout_anew(run: Run, whole: bool) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            driver.loop = driver._timeouts._loop = clock = Turned(driver.loop)  # type: ignore[assignment]
            peer = await server.accepted()
            timeouts = Timeouts(headers=60.0, read=30.0, write=10.0)
            exchange = driver.begin(get(timeouts=timeouts), whole)
            asked = await peer.request()
            clock.ahead += 59.0
            driver._timeouts.check()  # as the timer would
            assert not exchange.is_over
            peer.begin(asked.stream_id)
            for _ in range(5):
                await peer.round_trip()
                if not whole and exchange.chunks:
                    assert await exchange.receive() == b"a piece"
                clock.ahead += 29.0
                driver._timeouts.check()
                assert not exchange.is_over
                peer.content(asked.stream_id, b"a piece")
            await peer.round_trip()
            if not whole:
                assert await exchange.receive() == b"a piece"
            clock.ahead += 31.0
            driver._timeouts.check()
            assert isinstance(exchange.error, ReadTimeout)

    run(main())


class HandClock:
    """An event loop whose time and timers the test controls; the rest is the real loop's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._now = loop.time()
        self.timers: list[tuple[float, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Any) -> Any:
        timer = (when, callback)
        self.timers.append(timer)
        return SimpleNamespace(cancel=lambda: self.timers.remove(timer) if timer in self.timers else None)

    def to_next(self) -> float:
        """Run the one timer that is set, at its time. Return the seconds until then."""
        ((when, callback),) = self.timers
        self.timers.clear()
        passed, self._now = when - self._now, when
        callback()
        return passed


def test_timeouts_of_different_lengths_share_one_timer(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            await settled(lambda: driver.settings_seen)
            clock: Any = HandClock(driver.loop)
            driver.loop = driver._timeouts._loop = clock
            exchanges = {
                seconds: driver.begin(get(timeouts=Timeouts(headers=seconds, read=None, write=None)), True)
                for seconds in (0.15, 60.0, 0.05, 0.1, None)
            }
            for _ in exchanges:
                await peer.request()
            for seconds in (0.05, 0.1, 0.15):
                assert clock.to_next() == pytest.approx(0.05)
                assert isinstance(await error_of(exchanges[seconds]), HeadersTimeout)
                assert len(driver.live) == len([each for each in exchanges if each is None or each > seconds])
            assert clock.to_next() == pytest.approx(59.85)
            assert isinstance(await error_of(exchanges[60.0]), HeadersTimeout)
            assert clock.timers == [] and list(driver.live.values()) == [exchanges[None]]
            exchanges[None].close()
            driver.loop = asyncio.get_running_loop()

    run(main())


def test_a_silent_peer_is_found_out_by_ping(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, owner = await connect(server, limits=Limits(keepalive_ping_s=0.05, keepalive_ack_s=0.05))
            peer = await server.accepted()
            await settled(lambda: driver.settings_seen)
            peer.is_mute = True  # from here on it does not answer
            exchange = driver.begin(get(), True)
            error = await error_of(exchange)
            assert isinstance(error, ConnectionLost)
            assert "PING not acknowledged in time" in str(error)
            assert not error.retryable
            await owner.lost.wait()

    run(main())


def test_ping(run: Run) -> None:
    async def main() -> None:
        async with listening() as server:
            driver, _ = await connect(server)
            peer = await server.accepted()
            assert 0 < await driver.ping() < 10
            assert all(0 < each < 10 for each in await asyncio.gather(driver.ping(), driver.ping()))
            peer.is_mute = True
            waiting = asyncio.ensure_future(driver.ping())
            await peer.frame(wire.PING)
            peer.drop()
            with pytest.raises(ConnectionLost):
                await waiting

    run(main())


def test_http_1_has_no_ping(run: Run) -> None:
    async def main() -> None:
        async with listening("http/1.1") as server:
            driver, _ = await connect(server, "http/1.1")
            with pytest.raises(RuntimeError, match=r"HTTP/1.1 has no PING"):
                await driver.ping()

    run(main())


def test_a_connection_that_is_lost_before_it_is_ready(run: Run) -> None:
    async def main() -> None:
        async with listening(is_mute=True) as server:
            driver, owner = await connect(server, wait_for_settings=True)
            peer = await server.accepted()
            assert not driver.has_room
            waiting = asyncio.ensure_future(driver.ready())
            await peer.frame(wire.SETTINGS)
            peer.close()
            with pytest.raises(ConnectionLost):
                await waiting
            await owner.lost.wait()
            assert owner.told == ["unusable", "lost"]

    run(main())


class Fake(asyncio.Transport):
    """A transport without a peer."""

    def __init__(self, driver: ClientDriver) -> None:
        super().__init__()
        self._driver = driver

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None: ...

    def abort(self) -> None:
        self._driver.loop.call_soon(self._driver.connection_lost, None)


def test_over_tls_content_that_ends_with_the_connection_has_to_say_so(run: Run) -> None:
    """RFC 9112 §9.8: without close_notify anybody could have cut it off."""

    class Transport(Fake):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return "it ended without close_notify" if name == "cut" else default

    async def main() -> None:
        driver = ClientDriver(asyncio.get_running_loop(), origin=get().origin, protocols="http/1.1", owner=Owner())
        driver.connection_made(Transport(driver))
        exchange = driver.begin(get())
        driver.data_received(b"HTTP/1.1 200 OK\r\n\r\nhello")
        driver.eof_received()
        error = await error_of(exchange)
        assert isinstance(error, TruncatedBody)
        assert "without close_notify (RFC 9112 §8)" in str(error)

    run(main())


def test_over_tls_http_2_needs_alpn(run: Run) -> None:
    """RFC 9113 §3.2."""

    class Transport(Fake):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            class Tls:
                def selected_alpn_protocol(self) -> None:
                    return None

            return Tls() if name == "ssl_object" else default

    async def main() -> None:
        owner = Owner()
        loop, origin = asyncio.get_running_loop(), get().origin._replace(scheme="https")
        driver = ClientDriver(loop, origin=origin, protocols="h2", owner=owner)
        driver.connection_made(Transport(driver))
        with pytest.raises(TLSError, match="did not choose HTTP/2"):
            await driver.ready()
        assert await owner.lost.wait() and isinstance(owner.error, TLSError)

    run(main())
