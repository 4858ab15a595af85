"""Figures of SECURITY.md that no attack of the other files goes beyond: each is met, and one more is too much."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from headrace import Request, Response, Route, Router, StaticFiles
from headrace.client.connection.driver import H1_WINDOW
from headrace.client.connection.owner import CLIENT_LIMITS
from headrace.client.errors import InvalidURL
from headrace.client.message.cookies import MAX_COOKIE, MAX_COOKIES, Cookies
from headrace.client.message.url import CACHED_URLS, URL, _parsed
from headrace.client.message.url_parts.grammar import MAX_URL_LENGTH
from headrace.engine import events as ev
from headrace.engine.limits import Limits
from headrace.server.connection.exchange import ServerExchange
from headrace.server.content_coding import encoder_factory
from headrace.server.files.listing import MOST
from headrace.server.handlers.websocket import TunnelInbox, WebSocketResponse
from headrace.server.routing import routing_table
from headrace.websocket.connection import WebSocket

from tests.client.support.peer import listening
from tests.client.support.rig import connect, get
from tests.client.support.rig import settled as client_settled
from tests.security.support.memory import HUGE, only_off
from tests.support import wire
from tests.support.h2_peer import H2Peer
from tests.support.requests import answer, request
from tests.support.rig import ClientRig, ServerRig
from tests.support.serving import Run, port, serving, settled
from tests.support.ws_peer import open_websocket

MiB = 1_048_576


# -- answers that are not read


@pytest.mark.parametrize("cause", ["PING", "SETTINGS", "a fault"])
def test_answers_that_are_not_read_stop_the_reading_and_then_end_the_connection(cause: str) -> None:
    """`control_queue_pause` and `control_queue_end`, with no budget to help them; whoever reads is never stopped."""
    malformed = wire.literals(wire.request_fields(extra=[(b"connection", b"close")]))

    def data(number: int) -> bytes:
        if cause == "a fault":
            return wire.headers(1 + 2 * number, malformed, end_stream=True)
        return wire.ping() if cause == "PING" else wire.settings({wire.MAX_CONCURRENT_STREAMS: 100})

    limits = only_off(odd_frame_burst=HUGE, provoked_reset_burst=HUGE)
    rig, control = ServerRig(limits), ServerRig(limits)
    paused_after = count = 0
    while not rig.conn.closed and count < 2_000:
        rig.feed(data(count))
        control.feed(data(count))
        assert len(control.take()) == 1 and not control.conn.read_paused
        count += 1
        if rig.conn.read_paused and not paused_after:
            paused_after = count
    assert (paused_after, count) == (257, 1_001)
    assert rig.of(ev.PeerFault)[-1].budget == "control_queue_end"
    rig.take()
    assert rig.goaway_code() == wire.ENHANCE_YOUR_CALM


# -- what an application writes


def test_small_pieces_of_a_response_count_for_more_than_they_have() -> None:
    """`max_stream_send_buffer`: each piece beyond the first counts for 256 bytes more, or a million would be 100 MB."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 0})
    rig.request(1)
    rig.conn.send_headers(1, 200, [])
    rig.take()
    pieces = 1
    while rig.conn.send_data(1, b"x" * 100):
        pieces += 1
        assert pieces < 1_000
    assert pieces == 65_536 // 356 + 1


# -- budgets


FLOODS: dict[str, Any] = {
    "odd_frames": lambda: wire.ping() * 5_000,
    "early_resets": lambda: b"".join(wire.request(n) + wire.rst_stream(n) for n in range(1, 1_201, 2)),
    "provoked_resets": lambda: b"".join(wire.request(n) + wire.window_update(n, 0) for n in range(1, 401, 2)),
}


@pytest.mark.parametrize("budget", FLOODS)
def test_an_empty_budget_is_one_line_with_the_peer_and_the_budget(
    run: Run, caplog: pytest.LogCaptureFixture, budget: str
) -> None:
    async def app(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    async def main() -> str:
        async with serving(app) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(wire.client_preface() + wire.settings_ack() + FLOODS[budget]())
            frames = wire.FrameReader()
            goaways: list[int] = []
            try:
                while data := await reader.read(65_536):
                    goaways += [each.code for each in frames.feed(data) if each.type == wire.GOAWAY]
            except ConnectionError:
                pass
            assert goaways[-1] == wire.ENHANCE_YOUR_CALM
            own_port = writer.get_extra_info("sockname")[1]
            writer.close()
            return f"127.0.0.1:{own_port}"

    with caplog.at_level(logging.WARNING, "headrace"):
        peer = run(main())
    lines = [each.getMessage() for each in caplog.records]
    assert len(lines) == 1 and lines[0].startswith(f"{peer}: ") and f"limit {budget}" in lines[0], lines


REFILLS: dict[str, tuple[int, int, Callable[[int], bytes]]] = {
    "odd_frames": (1_000, 100, lambda n: wire.frame(0xEE, 0, 0, b"unknown")),
    "early_resets": (300, 30, lambda n: wire.request(n) + wire.rst_stream(n)),
    "provoked_resets": (20, 2, lambda n: wire.request(n) + wire.window_update(n, 0)),
}


@pytest.mark.parametrize("budget", REFILLS)
def test_a_budget_has_so_many_at_once_and_so_many_a_second(budget: str) -> None:
    burst, rate, make = REFILLS[budget]

    def opened() -> ServerRig:
        odd = burst if budget == "odd_frames" else HUGE
        return ServerRig(Limits(max_concurrent_streams=10_000, odd_frame_burst=odd))

    def spend(rig: ServerRig, start: int, count: int) -> None:
        for number in range(start, start + count):
            rig.feed(make(1 + 2 * number))
            rig.take()

    rig = opened()
    spend(rig, 0, burst)
    assert not rig.conn.closed
    rig.advance(1.0)
    spend(rig, burst, rate)
    assert not rig.conn.closed
    spend(rig, burst + rate, 1)
    assert rig.conn.closed and rig.of(ev.PeerFault)[-1].budget == budget
    for quiet_s in (0.0, 60.0):  # a budget that was full for a minute has no more than one that is new
        rig = opened()
        rig.advance(quiet_s)
        spend(rig, 0, burst)
        assert not rig.conn.closed
        spend(rig, burst, 1)
        assert rig.conn.closed and rig.goaway_code() == wire.ENHANCE_YOUR_CALM


# -- WebSockets


@pytest.mark.parametrize("over", ["h1", "h2"])
@pytest.mark.parametrize("peer_is", ["silent", "deaf to the close"])
def test_the_times_of_the_settings_are_those_of_websockets(run: Run, over: str, peer_is: str) -> None:
    """`websocket_ping_interval_s`, `websocket_ping_timeout_s`, `websocket_close_timeout_s`, and no option beside."""
    ends: list[tuple[int | None, str | None]] = []

    async def handler(ws: WebSocket) -> None:
        if peer_is == "silent":
            async for _ in ws:
                pass
        else:
            await ws.close(1000)
        ends.append((ws.close_code, ws.close_reason))

    async def app(request: Request) -> WebSocketResponse:
        return WebSocketResponse(handler)

    app.takes_websockets = True  # type: ignore[attr-defined]
    times = {"websocket_ping_interval_s": 0.02, "websocket_ping_timeout_s": 0.04, "websocket_close_timeout_s": 0.06}

    async def main() -> None:
        async with serving(app, limits=times) as server, open_websocket(over, port(server)) as ws:
            ws.protocol.send_frame = lambda frame: None
            await ws.until_ended()
            await settled(lambda: bool(ends))

    run(main())
    reason = "no answer to a ping within 0.04 s" if peer_is == "silent" else "no close frame came within 0.06 s"
    assert ends == [(1006, reason)]


@pytest.mark.parametrize("over", ["h1", "h2"])
def test_the_queue_of_the_settings_is_that_of_websockets(run: Run, over: str) -> None:
    """`max_message_queue`: so many messages wait for a handler that does not receive, and the rest is not read."""
    go = asyncio.Event()
    taken: list[int] = []

    async def handler(ws: WebSocket) -> None:
        await go.wait()
        async for message in ws:
            taken.append(len(message))

    async def app(request: Request) -> WebSocketResponse:
        return WebSocketResponse(handler)

    app.takes_websockets = True  # type: ignore[attr-defined]

    async def main() -> None:
        async with (
            serving(app, limits={"max_message_queue": 3}) as server,
            open_websocket(over, port(server)) as ws,
        ):
            for _ in range(20):
                ws.send(b"x")
            assert server.service is not None
            (driver,) = server.service.drivers
            (exchange,) = cast("list[ServerExchange]", driver.live.values())
            inbox = exchange.inbox
            assert isinstance(inbox, TunnelInbox)
            await settled(lambda: inbox.socket.waiting == 3)
            for _ in range(50):
                await asyncio.sleep(0)
                assert inbox.socket.waiting == 3
            go.set()
            await settled(lambda: len(taken) == 20)
            ws.say_close()
            await ws.close_frame()

    run(main())


# -- a client's connections


def test_a_response_has_a_window_of_2_mib_and_a_connection_one_of_16() -> None:
    rig = ClientRig(CLIENT_LIMITS, start=False)
    first = rig.take()
    assert dict(first[0].settings)[wire.INITIAL_WINDOW_SIZE] == 2 * MiB
    assert sum(each.increment for each in first if each.type == wire.WINDOW_UPDATE) == 16 * MiB - 65_535
    rig.feed(wire.settings(), wire.settings_ack())
    stream_id, other = rig.send(), rig.send()
    rig.feed(wire.response(stream_id))
    for _ in range(2 * MiB // 16_384):
        rig.feed(wire.data(stream_id, bytes(16_384)))
    assert not rig.conn.closed and rig.conn.has_stream(stream_id)
    rig.feed(wire.data(stream_id, b"x"))
    assert rig.of(ev.PeerFault)[-1].code == wire.FLOW_CONTROL_ERROR
    if not rig.conn.closed:
        rig.feed(wire.response(other), wire.data(other, b"fine", end_stream=True))
        assert rig.of(ev.DataReceived, other)[-1].end_stream


def test_over_http_1_a_response_is_read_512_kib_ahead(run: Run) -> None:
    """And one read more, since the limit is looked at behind it."""

    async def main() -> None:
        async with listening("http/1.1") as server:
            driver, _ = await connect(server, "http/1.1")
            peer = await server.accepted()
            exchange = driver.begin(get())
            await peer.request()
            peer.respond(bytes(8 * MiB))
            response = await exchange.head_arrived()
            await client_settled(lambda: driver.engine.read_paused)
            unread = int(driver.engine.stats()["unread"])
            assert 524_288 == H1_WINDOW <= unread <= H1_WINDOW + 262_144
            assert len(await response.read()) == 8 * MiB

    run(main())


# -- above the connection


def test_cookies_are_bounded_one_by_one_and_all_together() -> None:
    """4 KiB each and 3,000 in all; the limit of a domain is that of `test_a_server_cannot_fill_the_jar`."""
    cookies = Cookies()
    fits = b"a=" + b"v" * (MAX_COOKIE - 1)
    for value, count in ((fits + b"v", 0), (fits, 1)):
        cookies.extract(URL("https://one.example/"), [(b"set-cookie", value)])
        assert len(cookies) == count, "a name and a value of 4,096 bytes, and not one more"
    for number in range(MAX_COOKIES // 100 + 5):
        pairs = [(b"set-cookie", b"c%d=1" % each) for each in range(100)]
        cookies.extract(URL(f"https://site{number}.example/"), pairs)
    assert len(cookies) == 3_000 == MAX_COOKIES


def test_urls_are_bounded_in_length_and_few_are_remembered() -> None:
    start = "https://a.example/"
    assert len(str(URL(start + "x" * (MAX_URL_LENGTH - len(start))))) == 65_536 == MAX_URL_LENGTH
    with pytest.raises(InvalidURL):
        URL(start + "x" * (MAX_URL_LENGTH - len(start) + 1))
    for number in range(2 * CACHED_URLS):
        URL(f"{start}{number}")
    assert _parsed.cache_info().currsize == 1_024 == CACHED_URLS


# -- files, routes, middleware


def test_a_listing_has_10_000_rows(tmp_path: Path) -> None:
    for number in range(MOST + 20):
        (tmp_path / f"{number:05}").touch()
    page = answer(StaticFiles(tmp_path, index=None, listing=True), request("/")).body
    assert page.count(b"<tr>") == 10_000


def test_a_route_is_found_with_one_visit_to_each_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table in which every segment can be read in three ways, and paths that fail at their last one."""

    async def handler(request: Request) -> Response:
        return Response()

    kinds = ("a", "{%s:int}", "{%s}")
    rows = []
    for parts in itertools.product(kinds, repeat=5):
        named = (part % f"p{position}" if "%" in part else part for position, part in enumerate(parts))
        rows.append(Route("/" + "/".join(named) + "/end", handler))
    router = Router(rows)
    visited: list[int] = []
    find = routing_table._find

    def counted(node: Any, *arguments: Any) -> Any:
        visited.append(id(node))
        return find(node, *arguments)

    monkeypatch.setattr(routing_table, "_find", counted)
    for path in ("/1/1/1/1/1/none", "/a/a/a/a/a/none", "/b/b/b/b/b/none", "/1/a/1/a/1", "/1/a/1/a/1/end"):
        visited.clear()
        status = answer(router, request(path)).status
        assert status == (200 if path.endswith("/end") else 404)
        assert visited and len(visited) == len(set(visited)), path


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_a_stream_that_stays_open_is_compressed_within_256_kib(coding: str) -> None:
    """What came 512 KiB before is not found again in a stream; in content of one piece it is."""
    noise = random.Random(1).randbytes(512 * 1_024)
    make = encoder_factory(coding, 4)
    whole, stream = make(False), make(True)
    lengths = [len(each.add(noise) + each.add(noise) + each.finish()) for each in (whole, stream)]
    assert lengths[0] < 1.2 * len(noise) and lengths[1] > 1.9 * len(noise), lengths


def test_requests_are_not_decompressed(run: Run) -> None:
    """So that a bomb is the application's to open: what a handler reads is what was sent."""
    bomb = gzip.compress(bytes(1_000_000))

    async def app(request: Request) -> Response:
        return Response(200, (), await request.read())

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answered = await peer.post("/", bomb, [("content-encoding", "gzip")])
            assert bytes(answered.body) == bomb

    run(main())
