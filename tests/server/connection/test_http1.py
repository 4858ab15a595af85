"""HTTP/1.1's own: what the connection does between and around requests, through real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from headrace.server.app import Server
from headrace.server.connection.driver import ServerDriver
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse

from tests.support.serving import Run, port, serving, settled


async def exchange(number: int, data: bytes, *, one_by_one: bool = False) -> bytes:
    """Everything that comes back until the server closes; a reset is seen as such."""
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    try:
        for start in range(0, len(data), 1 if one_by_one else len(data)):
            writer.write(data[start : start + 1] if one_by_one else data)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 10.0)
    finally:
        writer.close()


async def app(request: Request) -> Response | StreamResponse:
    if request.path == "/stream":

        async def produce(send: Send) -> None:
            await send(b"a part")
            if request.query_string == b"fail":
                raise RuntimeError("boom")

        return StreamResponse(200, (), produce)
    return Response(200, [(b"x-path", request.raw_path)], b"hello")


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_short_request_in_single_bytes_is_answered(run: Run, one_by_one: bool) -> None:
    async def main() -> None:
        async with serving(app) as server:
            answer = await exchange(port(server), b"GET / HTTP/1.0\r\n\r\n", one_by_one=one_by_one)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nhello")

    run(main())


def test_pipelined_requests_are_answered_in_order_and_in_few_writes(run: Run) -> None:
    """RFC 9112 §9.3.2."""

    async def main() -> None:
        async with serving(app) as server:
            asked = b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % n for n in range(1_000))
            asked += b"GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
            answer = await exchange(port(server), asked)
            paths = [line[8:] for line in answer.split(b"\r\n") if line.startswith(b"x-path: ")]
            assert paths == [b"/%d" % n for n in range(1_000)] + [b"/last"]

    run(main())


def test_a_response_that_the_end_of_the_connection_ends_is_cut_off_by_a_reset(run: Run) -> None:
    """RFC 9112 §8: to HTTP/1.0 an orderly end would say that the content is whole."""

    async def main() -> None:
        async with serving(app) as server:
            whole = await exchange(port(server), b"GET /stream HTTP/1.0\r\n\r\n")
            assert whole.endswith(b"\r\n\r\na part")
            with pytest.raises(ConnectionResetError):
                await exchange(port(server), b"GET /stream?fail HTTP/1.0\r\n\r\n")

    run(main())


LARGE = 300_000


def unread(pieces: int) -> Callable[[Request], StreamResponse]:
    """An app whose response is more than the kernel keeps for a client that does not read, and ends the connection."""

    def app(request: Request) -> StreamResponse:
        transport = request._exchange.driver.transport
        assert transport is not None
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)

        async def produce(send: Send) -> None:
            for left in range(pieces, 0, -1):
                await send(bytes(LARGE), end=left == 1)

        return StreamResponse(200, (), produce)

    return app


async def slow_client(number: int) -> socket.socket:
    """A client that has asked over HTTP/1.0, and whose kernel takes little."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", number))
    await loop.sock_sendall(client, b"GET / HTTP/1.0\r\n\r\n")
    return client


async def read_all(client: socket.socket) -> bytes:
    octets = b""
    while piece := await asyncio.get_running_loop().sock_recv(client, 65_536):
        octets += piece
    return octets


def drivers_of(server: Server) -> list[ServerDriver]:
    assert server.service is not None
    return [driver for driver in server.service.drivers if isinstance(driver, ServerDriver)]


def test_a_slow_client_gets_the_end_of_its_last_response(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine has ended long before the kernel has taken everything: the end waits for the client."""
    monkeypatch.setattr("headrace.transport.connection_parts.transport_end.LINGER_S", 0.0)
    monkeypatch.setattr("headrace.transport.connection_parts.transport_end.CLOSE_TIMEOUT_S", 0.0)

    async def main() -> None:
        async with serving(unread(1), limits={"max_stream_send_buffer": LARGE}) as server:
            with await slow_client(port(server)) as client:
                await settled(lambda: [driver.engine.closed for driver in drivers_of(server)] == [True])
                for _ in range(100):  # turns of the loop, in which timers of no time would have ended the transport
                    await asyncio.sleep(0)
                assert (await read_all(client)).endswith(b"\r\n\r\n" + bytes(LARGE))

    run(main())


def test_a_client_that_takes_nothing_of_its_last_response_gets_a_reset(run: Run) -> None:
    """RFC 9112 §8: an orderly end would say that the content is whole, also where the engine had ended in order."""

    async def main() -> None:
        limits = {"max_stream_send_buffer": LARGE, "stalled_send_timeout_s": 0.05}
        async with serving(unread(1), limits=limits) as server:
            with await slow_client(port(server)) as client:
                await settled(lambda: len(drivers_of(server)) == 1)
                await settled(lambda: not drivers_of(server))
                with pytest.raises(ConnectionResetError):
                    await read_all(client)

    run(main())


def test_a_client_that_ends_its_side_before_its_response_is_complete_gets_a_reset(run: Run) -> None:
    """It counts as gone; should it read on all the same, it must not take the content for whole."""

    async def main() -> None:
        async with serving(unread(5)) as server:
            with await slow_client(port(server)) as client:
                await settled(lambda: [driver.write_blocked for driver in drivers_of(server)] == [True])
                client.shutdown(socket.SHUT_WR)
                await settled(lambda: not drivers_of(server))
                with pytest.raises(ConnectionResetError):
                    await read_all(client)

    run(main())


def test_tls_on_a_cleartext_port_is_named(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "headrace.protocol")

    async def main() -> None:
        async with serving(app) as server:
            assert await exchange(port(server), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") == b""

    run(main())
    assert "a TLS handshake on an address that speaks cleartext" in caplog.text


def test_only_what_is_configured_is_served(run: Run) -> None:
    async def main() -> None:
        async with serving(app, protocols="h2") as server:
            assert b"200" not in await exchange(port(server), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        async with serving(app, protocols="http/1.1") as server:
            assert b"505" in await exchange(port(server), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    run(main())
