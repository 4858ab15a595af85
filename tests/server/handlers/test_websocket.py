"""WebSockets of native handlers, over an upgrade of HTTP/1.1 and a stream of HTTP/2 with the same assertions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from headrace.server.app import Server
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.handlers.websocket import TunnelInbox, WebSocketResponse
from headrace.websocket.connection import WebSocket
from headrace.websocket.tunnel import WebSocketClosed

from tests.engine.ws.raw_frames import PING, TEXT, close, frame
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled
from tests.support.ws_peer import Refused, open_websocket

BOTH = pytest.mark.parametrize("over", ["h1", "h2"])


def app(handler: Callable[[WebSocket], Awaitable[object]], *args: Any, **options: Any) -> Any:
    """An application whose every path is this WebSocket."""

    async def application(request: Request) -> Response | WebSocketResponse:
        if request.path == "/plain":
            return Response.text("plain")
        return WebSocketResponse(handler, *args, **options)

    application.takes_websockets = True  # type: ignore[attr-defined]
    return application


async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


# -- messages


@BOTH
@pytest.mark.parametrize("compression", [False, True])
def test_text_and_bytes_of_every_size_come_back(run: Run, over: str, compression: bool) -> None:
    async def main() -> None:
        async with serving(app(echo)) as server, open_websocket(over, port(server), compression=compression) as ws:
            assert (b"sec-websocket-extensions" in ws.headers) is compression
            for message in ("", "κόσμε", b"", b"\0\xff" * 200, "x" * 70_000, b"y" * 900_000):
                ws.send(message)
                assert await ws.message() == message
            ws.say_close(1000, "bye")
            assert await ws.close_frame() == (1000, "bye")
            await ws.until_ended()
            await settled(lambda: live_handlers(server) == 0)

    run(main())


@BOTH
def test_fragments_in_are_one_message_and_fragments_out_are_an_async_iterable(run: Run, over: str) -> None:
    async def handler(ws: WebSocket) -> None:
        text = await ws.receive()

        async def pieces() -> AsyncIterator[str | bytes]:
            for character in str(text):
                yield character

        await ws.send(pieces())
        await ws.send(bytearray(b"whole"))

    async def main() -> None:
        async with serving(app(handler)) as server, open_websocket(over, port(server)) as ws:
            ws.send("a", fin=False)
            ws.ping(b"between")
            ws.fragment(b"b", fin=False)
            ws.fragment(b"c", fin=True)
            assert await ws.message() == "abc"
            assert await ws.message() == b"whole"
            assert ws.pongs == [b"between"]
            assert await ws.close_frame() == (1000, "")

    run(main())


@BOTH
def test_what_the_handler_sees_of_its_request(run: Run, over: str) -> None:
    async def handler(ws: WebSocket) -> None:
        request = ws.request
        await ws.send(f"{request.path} {request.header('x-a')} {request.http_version} {ws.subprotocol} {ws.is_open}")

    async def main() -> None:
        async with (
            serving(app(handler, ("b", "a"), headers={"x-b": "c"})) as server,
            open_websocket(over, port(server), "/p%20q?x", headers=[("x-a", "1")], subprotocols=("a", "b")) as ws,
        ):
            version = "1.1" if over == "h1" else "2"
            assert await ws.message() == f"/p q 1 {version} b True"
            assert ws.headers[b"sec-websocket-protocol"] == b"b"
            assert ws.headers[b"x-b"] == b"c"

    run(main())


@BOTH
def test_ping_gives_the_time_to_its_pong(run: Run, over: str) -> None:
    async def handler(ws: WebSocket) -> None:
        times = await asyncio.gather(ws.ping(), ws.ping())
        await ws.send(f"{all(0 <= each < 5 for each in times)}")

    async def main() -> None:
        async with serving(app(handler)) as server, open_websocket(over, port(server)) as ws:
            assert await ws.message() == "True"
            assert len(set(ws.pings)) == 2

    run(main())


@BOTH
def test_many_tasks_may_send_and_messages_stay_whole(run: Run, over: str) -> None:
    async def handler(ws: WebSocket) -> None:
        async def pieces() -> AsyncIterator[str]:
            for _ in range(20):
                await asyncio.sleep(0)
                yield "f" * 100

        await asyncio.gather(
            ws.send(pieces()), *(ws.send(f"{number}" * 5000) for number in range(10)), ws.send(pieces())
        )

    async def main() -> None:
        async with (
            serving(app(handler), limits={"max_stream_send_buffer": 1}) as server,
            open_websocket(over, port(server), compression=True) as ws,
        ):
            got = sorted([str(await ws.message()) for _ in range(12)], key=lambda each: each[:1])
            assert got == [f"{number}" * 5000 for number in range(10)] + ["f" * 2000] * 2

    run(main())


@pytest.mark.parametrize("what", [12, None, ["a"]])
def test_what_is_no_message_is_a_type_error(run: Run, what: Any) -> None:
    async def handler(ws: WebSocket) -> None:
        with pytest.raises(TypeError, match="a message is str, bytes"):
            await ws.send(what)
        await ws.send("went on")

    async def main() -> None:
        async with serving(app(handler)) as server, open_websocket("h2", port(server)) as ws:
            assert await ws.message() == "went on"

    run(main())


# -- back-pressure


@BOTH
def test_a_handler_that_does_not_receive_stops_the_client(run: Run, over: str) -> None:
    # SECURITY.md: what waits for a handler is bounded; the credit comes back only as it takes messages.
    go = asyncio.Event()
    taken: list[int] = []

    async def handler(ws: WebSocket) -> None:
        await go.wait()
        async for message in ws:
            taken.append(len(message))

    async def main() -> None:
        async with (
            serving(app(handler, max_queue=4), limits={"initial_stream_window": 65_535}) as server,
            open_websocket(over, port(server)) as ws,
        ):
            for _ in range(100):
                ws.send(b"x" * 10_000)
            (driver,) = server.service.drivers  # type: ignore[union-attr]
            if over == "h2":
                assert ws.h2 is not None
                peer, stream_id = ws.h2, ws.stream_id
                await settled(lambda: peer.room(stream_id) == 0)
                await peer.ping()
                assert peer.room(stream_id) == 0, "no credit while nothing is taken"
            else:
                await settled(lambda: driver.engine.read_paused)
            exchange: Any = next(iter(driver.live.values()))
            assert isinstance(exchange.inbox, TunnelInbox)
            assert exchange.inbox.socket.waiting == 4
            go.set()
            await settled(lambda: len(taken) == 100)
            ws.say_close()
            await ws.close_frame()

    run(main())


@BOTH
def test_a_send_waits_for_a_client_that_does_not_read(run: Run, over: str) -> None:
    sent: list[int] = []

    async def handler(ws: WebSocket) -> None:
        for number in range(200):
            await ws.send(b"x" * 100_000)
            sent.append(number)

    async def main() -> None:
        async with serving(app(handler)) as server:
            if over == "h2":
                async with (
                    H2Peer.connected(port(server), gives_credit=False) as peer,
                    open_websocket(over, port(server), on=peer),
                ):
                    await peer.ping()
                    count = len(sent)
                    await peer.ping()
                    assert len(sent) == count < 10
                await settled(lambda: live_handlers(server) == 0)
            else:
                _, writer = await asyncio.open_connection("127.0.0.1", port(server))
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                writer.write(
                    b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                    b"sec-websocket-version: 13\r\nsec-websocket-key: c2l4dGVlbiBvY3RldHMhIQ==\r\n\r\n"
                )
                await settled(lambda: len(sent) > 0)
                driver: Any = next(iter(server.service.drivers))  # type: ignore[union-attr]
                await settled(lambda: driver.write_blocked and bool(live_handlers(server)))
                (exchange,) = driver.live.values()
                await settled(lambda: exchange.blocked)
                assert len(sent) < 200
                writer.transport.abort()
                await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_a_peer_that_gives_small_credit_for_small_messages_is_no_attacker(run: Run) -> None:
    # HAProxy does so: a WINDOW_UPDATE below 256 bytes for each message. Autobahn 9.7 failed over it.
    async def main() -> None:
        async with (
            serving(app(echo)) as server,
            H2Peer.connected(port(server), gives_credit=False) as peer,
            open_websocket("h2", port(server), on=peer) as ws,
        ):
            for number in range(1500):
                ws.send(f"{number:05}")
                assert await ws.message() == f"{number:05}"
                peer.conn.increment_flow_control_window(7)
                peer.conn.increment_flow_control_window(7, ws.stream_id)
                peer.flush()
            await peer.ping()
            assert peer.goaways == []

    run(main())


# -- the end


@BOTH
def test_the_end_of_the_handler_closes_with_1000(run: Run, over: str) -> None:
    async def handler(ws: WebSocket) -> None:
        await ws.send("only this")

    async def main() -> None:
        async with serving(app(handler)) as server, open_websocket(over, port(server)) as ws:
            assert await ws.message() == "only this"
            assert await ws.close_frame() == (1000, "")
            await ws.until_ended()
            await settled(lambda: live_handlers(server) == 0)

    run(main())


@BOTH
def test_a_close_with_a_code_of_ones_own(run: Run, over: str) -> None:
    seen: list[Any] = []

    async def handler(ws: WebSocket) -> None:
        with pytest.raises(ValueError, match="1005"):
            await ws.close(1005, "no")
        await ws.close(4321, "because")
        seen.append((ws.close_code, ws.close_reason, ws.is_open))
        with pytest.raises(WebSocketClosed) as caught:
            await ws.send("late")
        seen.append(caught.value.code)
        await ws.close()

    async def main() -> None:
        async with serving(app(handler)) as server, open_websocket(over, port(server)) as ws:
            assert await ws.close_frame() == (4321, "because")
            await settled(lambda: live_handlers(server) == 0)
            assert seen == [(4321, "because", False), 4321]

    run(main())


@BOTH
def test_the_clients_close_ends_the_iteration_and_receive_raises(run: Run, over: str) -> None:
    seen: list[Any] = []

    async def handler(ws: WebSocket) -> None:
        seen.extend([message async for message in ws])
        seen.append((ws.close_code, ws.close_reason))
        with pytest.raises(WebSocketClosed) as caught:
            await ws.receive()
        seen.append((caught.value.code, caught.value.reason))

    async def main() -> None:
        async with serving(app(handler)) as server, open_websocket(over, port(server)) as ws:
            ws.send("last words")
            ws.say_close(3001, "weg")
            assert await ws.close_frame() == (3001, "weg")
            await settled(lambda: len(seen) == 3)
            assert seen == ["last words", (3001, "weg"), (3001, "weg")]

    run(main())


@BOTH
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"x", mask=None), 1002),
        (b"\x82\xff" + (2**40).to_bytes(8, "big"), 1009),
    ],
)
def test_a_violation_gets_its_close_code(run: Run, over: str, data: bytes, code: int) -> None:
    seen: list[Any] = []

    async def handler(ws: WebSocket) -> None:
        async for _ in ws:
            pass
        seen.append(ws.close_code)

    async def main() -> None:
        async with serving(app(handler)) as server, open_websocket(over, port(server)) as ws:
            ws.raw(data)
            assert (await ws.close_frame())[0] == code
            await ws.until_ended()
            await settled(lambda: seen == [code])

    run(main())


@BOTH
def test_a_tunnel_that_ends_without_a_close_frame_is_1006(run: Run, over: str) -> None:
    # RFC 6455 §7.1.5: without a close frame the code is 1006, also where the stream ends in good order.
    seen: list[Any] = []

    async def handler(ws: WebSocket) -> None:
        async for message in ws:
            seen.append(message)
        seen.append((ws.close_code, bool(ws.close_reason)))

    async def main() -> None:
        async with serving(app(handler)) as server:
            async with open_websocket(over, port(server)) as ws:
                ws.send("before")
                await settled(lambda: seen == ["before"])
                if over == "h2":
                    assert ws.h2 is not None
                    await ws.h2.send(ws.stream_id, b"", end=True)
                    await settled(lambda: len(seen) == 2)
            await settled(lambda: len(seen) == 2)
            assert seen[1] == (1006, True)
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_a_reset_in_the_middle_of_a_message_is_1006(run: Run) -> None:
    seen: list[Any] = []

    async def handler(ws: WebSocket) -> None:
        async for message in ws:
            seen.append(message)
        seen.append(ws.close_code)
        with pytest.raises(WebSocketClosed):
            await ws.send("nobody is there")

    async def main() -> None:
        async with serving(app(handler)) as server, open_websocket("h2", port(server)) as ws:
            assert ws.h2 is not None
            ws.send("whole")
            ws.send("half", fin=False)
            await settled(lambda: seen == ["whole"])
            ws.h2.reset(ws.stream_id)
            await settled(lambda: seen == ["whole", 1006])
            answer = await ws.h2.get("/plain")
            assert bytes(answer.body) == b"plain", "and the connection lives on"

    run(main())


@BOTH
def test_a_handler_that_fails_closes_1011_with_one_log_line(
    run: Run, over: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(ws: WebSocket) -> None:
        await ws.receive()
        raise LookupError("on purpose")

    async def main() -> None:
        async with serving(app(handler)) as server, open_websocket(over, port(server)) as ws:
            ws.send("go")
            assert await ws.close_frame() == (1011, "")
            await ws.until_ended()
            await settled(lambda: live_handlers(server) == 0)

    with caplog.at_level(logging.INFO):
        run(main())
    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert record.exc_info is not None
    assert "on purpose" in str(record.exc_info[1])


@BOTH
def test_a_handler_that_lets_the_close_go_through_is_no_failure(
    run: Run, over: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(ws: WebSocket) -> None:
        while True:
            await ws.send(await ws.receive())

    async def main() -> None:
        async with serving(app(handler)) as server, open_websocket(over, port(server)) as ws:
            ws.say_close()
            await ws.close_frame()
            await settled(lambda: live_handlers(server) == 0)

    with caplog.at_level(logging.INFO):
        run(main())
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


@BOTH
def test_a_handler_that_waits_for_something_else_is_cancelled_after_the_close(run: Run, over: str) -> None:
    # Tasks must not leak when nobody will ever tell them.
    seen: list[str] = []

    async def handler(ws: WebSocket) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main() -> None:
        async with serving(app(handler, close_timeout_s=0.01)) as server:
            async with open_websocket(over, port(server)) as ws:
                ws.say_close()
                await ws.close_frame()
                await settled(lambda: seen == ["cancelled"])
            async with open_websocket(over, port(server)) as ws:
                pass
            await settled(lambda: seen == ["cancelled"] * 2)
            await settled(lambda: live_handlers(server) == 0)

    run(main())


@BOTH
def test_a_peer_that_does_not_answer_the_close_is_left_after_a_time(run: Run, over: str) -> None:
    seen: list[Any] = []

    async def handler(ws: WebSocket) -> None:
        await ws.close(1000)
        seen.append((ws.close_code, ws.close_reason))

    async def main() -> None:
        async with serving(app(handler, close_timeout_s=0.05)) as server, open_websocket(over, port(server)) as ws:
            ws.protocol.send_frame = lambda frame: None  # deaf to the handshake
            await ws.until_ended()
            await settled(lambda: live_handlers(server) == 0)
            assert seen == [(1006, "no close frame came within 0.05 s")]

    run(main())


@BOTH
def test_a_silent_peer_gets_a_ping_and_then_the_end(run: Run, over: str) -> None:
    # A socket that is opened and left alone does not keep its slot.
    seen: list[Any] = []

    async def handler(ws: WebSocket) -> None:
        async for _ in ws:
            pass
        seen.append((ws.close_code, ws.close_reason))

    async def main() -> None:
        options = {"ping_interval_s": 0.02, "ping_timeout_s": 0.05, "close_timeout_s": 0.05}
        async with serving(app(handler, **options)) as server, open_websocket(over, port(server)) as ws:
            await ws.until(lambda: len(ws.pings) >= 3)
            assert seen == [], "who answers stays"
            ws.protocol.send_frame = lambda frame: None
            await ws.until_ended()
            assert seen == [(1006, "no answer to a ping within 0.05 s")]
            await settled(lambda: live_handlers(server) == 0)

    run(main())


@BOTH
def test_a_drain_says_1001_and_lets_the_handshake_finish(run: Run, over: str) -> None:
    seen: list[Any] = []

    async def handler(ws: WebSocket) -> None:
        async for message in ws:
            seen.append(message)
        seen.append(ws.close_code)

    async def main() -> None:
        async with serving(app(handler)) as server, open_websocket(over, port(server)) as ws:
            ws.send("before")
            await settled(lambda: seen == ["before"])
            server.begin_drain()
            assert await ws.close_frame() == (1001, "")
            await settled(lambda: seen == ["before", 1001])
            await server.wait_closed()

    run(main())


# -- the handshake


@BOTH
def test_a_request_for_something_else(run: Run, over: str) -> None:
    async def main(server: Server) -> None:
        if over == "h2":
            async with H2Peer.connected(port(server)) as peer:
                answer = await peer.get("/")
                assert answer.status == 400
                assert answer.header(b"upgrade") is None
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            writer.close()
            await writer.wait_closed()
            assert head.startswith(b"http/1.1 426")
            assert b"\r\nupgrade: websocket\r\n" in head

    async def with_server() -> None:
        async with serving(app(echo)) as server:
            await main(server)

    run(with_server())


@BOTH
def test_another_version_is_refused(run: Run, over: str) -> None:
    async def main() -> None:
        async with serving(app(echo)) as server:
            with pytest.raises(Refused) as caught:
                async with open_websocket(over, port(server), version="8"):
                    pass
            assert caught.value.status == (426 if over == "h1" else 400)
            assert caught.value.headers[b"sec-websocket-version"] == b"13"

    run(main())


@BOTH
@pytest.mark.parametrize(
    "check", [{}, {"check_origin": lambda request: request.header("origin") != "https://evil.example"}]
)
def test_a_foreign_origin_gets_403(run: Run, over: str, check: Any) -> None:
    # CSWSH: a page elsewhere opens a WebSocket with its visitor's cookies.
    async def main() -> None:
        async with serving(app(echo, **check)) as server:
            with pytest.raises(Refused) as caught:
                async with open_websocket(over, port(server), headers=[("origin", "https://evil.example")]):
                    pass
            assert caught.value.status == 403
            async with open_websocket(over, port(server), headers=[("origin", "http://localhost")]) as ws:
                ws.send("welcome")
                assert await ws.message() == "welcome"

    run(main())


@BOTH
def test_other_origins_may_where_the_application_says_so(run: Run, over: str) -> None:
    async def main() -> None:
        async with (
            serving(app(echo, check_origin=None)) as server,
            open_websocket(over, port(server), headers=[("origin", "https://elsewhere.example")]) as ws,
        ):
            ws.send("welcome")
            assert await ws.message() == "welcome"

    run(main())


@BOTH
def test_fields_of_the_handshake_may_hold_any_bytes(run: Run, over: str) -> None:
    async def main() -> None:
        fields = [("sec-websocket-protocol", "\xe9t\xe9, chat"), ("sec-websocket-extensions", "\xff;;\xfe")]
        async with (
            serving(app(echo, ("chat",))) as server,
            open_websocket(over, port(server), headers=fields) as ws,
        ):
            assert ws.headers[b"sec-websocket-protocol"] == b"chat"

    run(main())


def test_options_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="not a token"):
        WebSocketResponse(echo, ("a b",))
    with pytest.raises(ValueError, match="at least 1"):
        WebSocketResponse(echo, max_queue=0)


@BOTH
def test_an_application_may_refuse_with_an_ordinary_response(run: Run, over: str) -> None:
    async def refuse(request: Request) -> Response:
        return Response.text("not you", 401)

    refuse.takes_websockets = True  # type: ignore[attr-defined]

    async def main() -> None:
        async with serving(refuse) as server:
            with pytest.raises(Refused) as caught:
                async with open_websocket(over, port(server)):
                    pass
            assert (caught.value.status, caught.value.body) == (401, b"not you")

    run(main())


@BOTH
def test_a_close_behind_messages_that_wait_does_not_stop_the_server(run: Run, over: str) -> None:
    """More messages than the queue takes, and a close frame, in one write: when the handler had come to the close, the
    server looked for more input without end, and answered nobody any more."""

    async def main() -> None:
        go_on = asyncio.Event()
        seen: list[Any] = []

        async def late(ws: WebSocket) -> None:
            await go_on.wait()
            seen.extend([message async for message in ws])

        async with serving(app(late)) as server, open_websocket(over, port(server)) as ws:
            ws.raw(b"".join(frame(TEXT, b"%d" % number) for number in range(40)) + close(1000))
            async with open_websocket(over, port(server), on=ws.h2):
                pass
            go_on.set()
            assert await ws.close_frame() == (1000, "")
            assert seen == [str(number) for number in range(40)]

    run(main())


@BOTH
def test_a_message_behind_many_pings_is_received(run: Run, over: str) -> None:
    """More pings than the queue takes messages, and a message, in one write: control frames used the queue's limit up,
    and what stood behind them waited for ever."""

    async def main() -> None:
        async with serving(app(echo)) as server, open_websocket(over, port(server)) as ws:
            ws.raw(b"".join(frame(PING, b"%d" % number) for number in range(100)) + frame(TEXT, b"hello"))
            assert await ws.message() == "hello"

    run(main())
