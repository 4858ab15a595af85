"""WebSockets of the client: to our own server over every protocol, to other servers, and with faults."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
import websockets.asyncio.server
from websockets.typing import Subprotocol

from headrace.client import Client, ConnectError, RemoteProtocolError, TotalTimeout
from headrace.client.calls.websocket import REFUSAL_CONTENT, WebSocketOptions, WebSocketRefused, http_url
from headrace.client.connect.config import NetworkConfig
from headrace.client.testing.asgi import ASGITransport
from headrace.client.testing.mock import Answer, MockTransport
from headrace.client.timeouts import Timeouts
from headrace.server.app import Server
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.websocket.connection import WebSocket
from headrace.websocket.tunnel import WebSocketClosed

from tests.protocols.conftest import Wire, certificate, wire
from tests.support.process import free_port
from tests.support.serving import Run, live_handlers, port, settled

__all__ = ["certificate", "wire"]

Handler = Callable[[WebSocket], Any]


async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


def application(handler: Handler = echo, **options: Any) -> Any:
    async def app(request: Request) -> Response | WebSocketResponse:
        if request.path == "/no":
            return Response(403, [(b"x-why", b"because")], b"n" * 20_000)
        if request.path == "/plain":
            return Response.text("no WebSocket")
        if request.path == "/auth" and request.header("authorization") is None:
            return Response(401, [(b"www-authenticate", b'Digest realm="r", nonce="n", qop="auth"')], b"")
        if request.path == "/moved":
            return Response(307, [(b"location", b"/")], b"")
        return WebSocketResponse(handler, **options)

    app.takes_websockets = True  # type: ignore[attr-defined]
    return app


def client_of(wire: Wire, **options: Any) -> Client:
    verify: Any = True
    if wire.folder is not None:
        verify = str(wire.folder / "localhost-ca.pem")
    is_h2 = wire.protocol == "h2"
    return Client(network=NetworkConfig(http1=not is_h2, http2=is_h2, verify=verify), **options)


def address(wire: Wire, server: Server, path: str = "/") -> str:
    return f"{'ws' if wire.folder is None else 'wss'}://localhost:{port(server)}{path}"


@contextlib.asynccontextmanager
async def opened(wire: Wire, handler: Handler = echo, path: str = "/", **options: Any) -> AsyncIterator[WebSocket]:
    async with (
        wire.serving(application(handler)) as server,
        client_of(wire) as client,
        client.websocket(address(wire, server, path), **options) as ws,
    ):
        yield ws


# -- successes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [False, True])
def test_messages_of_every_kind(run: Run, wire: Wire, compression: bool) -> None:
    async def main() -> None:
        async with opened(wire, compression=compression) as ws:
            for message in ("text", b"octets", "", b"", "ä€𝄞", "x" * 500_000, bytes(range(256)) * 1_000):
                await ws.send(message)
                assert await ws.receive() == message

            async def pieces() -> AsyncIterator[str]:
                yield "one, "
                yield "two"

            await ws.send(pieces())
            assert await ws.receive() == "one, two"
            assert await ws.ping() >= 0
        assert (ws.close_code, ws.is_open) == (1000, False)
        with pytest.raises(WebSocketClosed):
            await ws.send("late")

    run(main())


def test_it_is_the_protocol_that_was_asked_for(run: Run, wire: Wire) -> None:
    seen: list[Any] = []

    async def handler(ws: WebSocket) -> None:
        seen.append((ws.request.http_version, ws.request.scheme, ws.request.header("x-token"), ws.request.raw_path))

    async def main() -> None:
        async with opened(wire, handler, "/chat?room=1", headers={"x-token": "t"}, params={"n": "2"}) as ws:
            assert [message async for message in ws] == []
        assert seen == [(wire.version, wire.scheme, "t", b"/chat?room=1&n=2")]

    run(main())


def test_subprotocols(run: Run, wire: Wire) -> None:
    async def main() -> None:
        async with wire.serving(application(subprotocols=["b", "c"])) as server, client_of(wire) as client:
            url = address(wire, server)
            async with client.websocket(url, subprotocols=["a", "b"]) as ws:
                assert ws.subprotocol == "b"
            async with client.websocket(url, subprotocols=["z"]) as ws:
                assert ws.subprotocol is None

    run(main())


def test_awaited_the_caller_closes(run: Run, wire: Wire) -> None:
    async def main() -> None:
        async with wire.serving(application()) as server, client_of(wire) as client:
            ws = await client.websocket(address(wire, server))
            await ws.send("x")
            assert await ws.receive() == "x"
            await ws.close(4321, "done")
            assert (ws.close_code, ws.close_reason) == (4321, "done")

    run(main())


def test_the_end_of_the_block_tells_the_server(run: Run, wire: Wire) -> None:
    codes: list[Any] = []

    async def handler(ws: WebSocket) -> None:
        await echo(ws)
        codes.append(ws.close_code)

    async def main() -> None:
        async with wire.serving(application(handler)) as server, client_of(wire) as client:
            async with client.websocket(address(wire, server)):
                pass
            with pytest.raises(KeyError):
                async with client.websocket(address(wire, server)):
                    raise KeyError
            await settled(lambda: len(codes) == 2)
            assert codes == [1000, 1001]
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_the_server_closes(run: Run, wire: Wire) -> None:
    async def leaves(ws: WebSocket) -> None:
        await ws.send("bye")
        await ws.close(4000, "enough")

    async def main() -> None:
        async with opened(wire, leaves) as ws:
            assert [message async for message in ws] == ["bye"]
            assert (ws.close_code, ws.close_reason) == (4000, "enough")
            with pytest.raises(WebSocketClosed) as raised:
                await ws.receive()
            assert raised.value.code == 4000

    run(main())


def test_a_slow_reader_holds_up_itself_alone(run: Run, wire: Wire) -> None:
    """Over HTTP/2 both tunnels and the requests share a connection."""
    sent = 0

    async def floods(ws: WebSocket) -> None:
        nonlocal sent
        if ws.request.path == "/echo":
            await echo(ws)
            return
        while True:
            await ws.send(bytes(65_536))
            sent += 65_536

    async def main() -> None:
        async with (
            wire.serving(application(floods)) as server,
            client_of(wire) as client,
            client.websocket(address(wire, server), compression=False) as slow,
        ):
            await settled(lambda: slow.waiting > 1)  # of 16 at most, and those within the window
            last = -1
            while last != sent:
                last = sent
                await asyncio.sleep(0.2)
            assert sent < 32 * 1_048_576
            assert slow.waiting <= 16 and slow.kept <= 2_097_152 + 32_768, "a window, and what is credited before"
            async with client.websocket(address(wire, server, "/echo")) as ws:
                await ws.send("quick")
                assert await ws.receive() == "quick"
            plain = address(wire, server, "/plain").replace("ws", "http", 1)
            assert (await client.get(plain)).text == "no WebSocket"
            assert last == sent
            while sent == last:
                await slow.receive()

    run(main())


def test_a_slow_server_slows_the_sender(run: Run, wire: Wire) -> None:
    async def main() -> None:
        go_on = asyncio.Event()

        async def slow(ws: WebSocket) -> None:
            await go_on.wait()
            await echo(ws)

        async with opened(wire, slow, compression=False) as ws:
            sent = 0

            async def send() -> None:
                nonlocal sent
                for _ in range(2_000):
                    await ws.send(bytes(65_536))
                    sent += 1

            sending = asyncio.create_task(send())
            last = -1
            while last != sent or not sent:
                last = sent
                await asyncio.sleep(0.2)
            assert sent < 500
            sending.cancel()
            go_on.set()
            assert len(await ws.receive()) == 65_536

    run(main())


def test_a_silent_server_is_noticed(run: Run) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(switching(head))
        with contextlib.suppress(OSError):
            while await reader.read(65_536):
                pass
        writer.close()

    async def main() -> None:
        async with raw_server(silent) as url, Client() as client:
            async with client.websocket(url, ping_interval_s=0.05, ping_timeout_s=0.05, close_timeout_s=0.05) as ws:
                with pytest.raises(WebSocketClosed) as raised:
                    await ws.receive()
            assert (raised.value.code, ws.close_reason) == (1006, "no answer to a ping within 0.05 s")

    run(main())


# -- refusals, and answers that break the rules ------------------------------------------------------------------------


def test_a_refusal_has_the_response(run: Run, wire: Wire) -> None:
    async def main() -> None:
        async with wire.serving(application()) as server, client_of(wire) as client:
            for path, status in (("/no", 403), ("/moved", 307), ("/plain", 200)):
                if path == "/plain" and wire.version == "2":
                    continue  # 200 opens a tunnel there, whatever the server meant
                with pytest.raises(WebSocketRefused) as raised:
                    await client.websocket(address(wire, server, path))
                assert raised.value.status == status
            with pytest.raises(WebSocketRefused, match="its answer is 403") as raised:
                async with client.websocket(address(wire, server, "/no")):
                    pass
            assert raised.value.headers["x-why"] == "because"
            assert raised.value.content == b"n" * REFUSAL_CONTENT
            async with client.websocket(address(wire, server)) as ws:  # and the client still works
                await ws.send("x")
                assert await ws.receive() == "x"

    run(main())


def test_redirects_are_followed_only_when_asked(run: Run, wire: Wire) -> None:
    async def main() -> None:
        async with (
            wire.serving(application()) as server,
            client_of(wire) as client,
            client.websocket(address(wire, server, "/moved"), follow_redirects=True) as ws,
        ):
            await ws.send("x")
            assert await ws.receive() == "x"

    run(main())


def test_the_clients_credentials_and_defaults_go_along(run: Run, wire: Wire) -> None:
    seen: list[Any] = []

    async def handler(ws: WebSocket) -> None:
        seen.append([ws.request.header(name) for name in ("authorization", "x-default", "cookie")])

    async def main() -> None:
        async with wire.serving(application(handler)) as server:
            base = f"{wire.scheme}://localhost:{port(server)}/under/"
            more: dict[str, Any] = {"headers": {"x-default": "d"}, "cookies": {"c": "1"}}
            async with client_of(wire, auth=("ann", "pw"), base_url=base, **more) as client:
                async with client.websocket("auth") as ws:
                    await ws.finish()
                assert seen == [["Basic YW5uOnB3", "d", "c=1"]]

    run(main())


def switching(head: bytes, *fields: bytes, accept: bytes | None = None) -> bytes:
    """Return 101 for a handshake of HTTP/1.1."""
    from websockets.utils import accept_key

    key = next(line[18:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    value = accept if accept is not None else accept_key(key.decode()).encode()
    lines = [b"HTTP/1.1 101 Switching Protocols", b"upgrade: websocket", b"connection: upgrade"]
    return b"\r\n".join([*lines, b"sec-websocket-accept: " + value, *fields, b"", b""])


@contextlib.asynccontextmanager
async def raw_server(handle: Any) -> AsyncIterator[str]:
    tasks: set[Any] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handle(reader, writer)

    server = await asyncio.start_server(tracked, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await server.wait_closed()


@pytest.mark.parametrize(
    ("fields", "accept", "text"),
    [
        ([], b"bm90IHRoYXQga2V5", "sec-websocket-accept"),
        ([b"sec-websocket-protocol: other"], None, "subprotocol that was not offered"),
        ([b"sec-websocket-extensions: x-webkit-deflate-frame"], None, "extension that was not offered"),
        ([b"sec-websocket-extensions: permessage-deflate; server_max_window_bits=99"], None, "cannot be used"),
    ],
)
def test_a_handshake_that_breaks_the_rules(run: Run, fields: list[bytes], accept: bytes | None, text: str) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(await reader.readuntil(b"\r\n\r\n"), *fields, accept=accept))
        await reader.read()
        writer.close()

    async def main() -> None:
        async with raw_server(handle) as url, Client() as client:
            with pytest.raises(RemoteProtocolError, match=text):
                await client.websocket(url, subprotocols=["chat"])

    run(main())


def test_extensions_that_were_not_offered(run: Run) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"extensions" not in head.lower()
        writer.write(switching(head, b"sec-websocket-extensions: permessage-deflate"))
        await reader.read()
        writer.close()

    async def main() -> None:
        async with raw_server(handle) as url, Client() as client:
            with pytest.raises(RemoteProtocolError, match="extension that was not offered"):
                await client.websocket(url, compression=False)

    run(main())


def test_frames_right_behind_the_handshake_are_not_lost(run: Run) -> None:
    """101 and the first message come in one read, and nothing is lost."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(await reader.readuntil(b"\r\n\r\n")) + b"\x81\x05hello\x88\x02\x03\xe8")
        await reader.readexactly(8)  # the close frame, masked
        writer.close()

    async def main() -> None:
        async with raw_server(handle) as url, Client() as client, client.websocket(url) as ws:
            assert [message async for message in ws] == ["hello"]
            assert ws.close_code == 1000

    run(main())


@pytest.mark.parametrize("frame", [b"\x81\x81\0\0\0\0x", b"\xf1\x00", b"\x83\x00", b"\x81\x02\xff\xff"])
def test_frames_that_break_the_rules_close_with_their_code(run: Run, frame: bytes) -> None:
    """RFC 6455 §5.1: a client closes for masked frames, reserved bits and opcodes, and text that is not UTF-8."""
    seen = bytearray()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(await reader.readuntil(b"\r\n\r\n")) + frame)
        while data := await reader.read(65_536):
            seen.extend(data)
        writer.close()

    async def main() -> None:
        async with raw_server(handle) as url, Client() as client, client.websocket(url, compression=False) as ws:
            with pytest.raises(WebSocketClosed) as raised:
                await ws.receive()
            assert raised.value.code == (1007 if frame == b"\x81\x02\xff\xff" else 1002)
        assert seen[0] == 0x88

    run(main())


def test_a_message_that_is_too_large_closes_1009(run: Run, wire: Wire) -> None:
    async def large(ws: WebSocket) -> None:
        await ws.send(bytes(2_000))
        await echo(ws)

    async def main() -> None:
        async with opened(wire, large, max_message_size=1_000) as ws:
            with pytest.raises(WebSocketClosed) as raised:
                await ws.receive()
            assert raised.value.code == 1009

    run(main())


def test_a_connection_that_is_lost_is_1006(run: Run) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(await reader.readuntil(b"\r\n\r\n")) + b"\x81\x05hello")
        await reader.read(1)
        writer.transport.abort()

    async def main() -> None:
        async with raw_server(handle) as url, Client() as client, client.websocket(url) as ws:
            assert await ws.receive() == "hello"
            await ws.send("x")
            with pytest.raises(WebSocketClosed) as raised:
                await ws.receive()
            assert raised.value.code == 1006

    run(main())


def test_nobody_listens_and_nobody_answers(run: Run) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        async with Client() as client:
            with pytest.raises(ConnectError):
                await client.websocket(f"ws://127.0.0.1:{free_port()}/")
            async with raw_server(silent) as url:
                with pytest.raises(TotalTimeout):
                    await client.websocket(url, timeout=Timeouts(total=0.05))

    run(main())


def test_a_handshake_that_is_cancelled_leaves_nothing(run: Run, wire: Wire) -> None:
    async def main() -> None:
        began = asyncio.Event()

        async def app(request: Request) -> Response:
            began.set()
            await asyncio.Event().wait()
            return Response()

        app.takes_websockets = True  # type: ignore[attr-defined]
        async with wire.serving(app) as server, client_of(wire) as client:
            opening = asyncio.ensure_future(client.websocket(address(wire, server)).__aenter__())
            await began.wait()
            opening.cancel()
            await asyncio.wait((opening,))
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="is not a token"):
        WebSocketOptions(subprotocols=["a b"])
    with pytest.raises(ValueError, match="offered twice"):
        WebSocketOptions(subprotocols=["a", "a"])
    with pytest.raises(TypeError, match="a list of names"):
        WebSocketOptions(subprotocols="chat")
    assert str(http_url("wss://a:443/b")) == "https://a/b"


# -- servers that are not ours -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [False, True])
def test_the_websockets_library(run: Run, compression: bool) -> None:
    async def main() -> None:
        async def handler(ws: Any) -> None:
            async for message in ws:
                await ws.send(message)

        server = await websockets.asyncio.server.serve(
            handler,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol("chat")],
            compression="deflate" if compression else None,
        )
        async with server, Client() as client:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            async with client.websocket(url, subprotocols=["chat"]) as ws:
                assert ws.subprotocol == "chat"
                for message in ("text", b"octets", "x" * 300_000):
                    await ws.send(message)
                    assert await ws.receive() == message
                assert await ws.ping() >= 0
            assert ws.close_code == 1000

    run(main())


def test_uvicorn(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        if scope["path"] == "/no":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept", "subprotocol": "chat"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})

    async def main() -> None:
        config = uvicorn.Config(app, port=0, lifespan="off", log_config=None, ws="websockets-sansio")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        await settled(lambda: server.started)
        url = f"ws://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        async with Client() as client:
            async with client.websocket(url + "/", subprotocols=["chat"]) as ws:
                assert ws.subprotocol == "chat"
                for message in ("text", b"octets", "x" * 300_000):
                    await ws.send(message)
                    assert await ws.receive() == message
            with pytest.raises(WebSocketRefused) as raised:
                await client.websocket(url + "/no")
            assert raised.value.status == 403
        server.should_exit = True
        await serving

    run(main())


# -- other transports --------------------------------------------------------------------------------------------------


def test_an_application_in_memory(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "chat"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})

    async def main() -> None:
        async with (
            Client(transport=ASGITransport(app, lifespan="off")) as client,
            client.websocket("wss://example.org/", subprotocols=["chat"]) as ws,
        ):
            await ws.send("hello")
            assert (await ws.receive(), ws.subprotocol) == ("hello", "chat")

    run(main())


def test_a_transport_without_tunnels_says_so(run: Run) -> None:
    async def main() -> None:
        async with Client(transport=MockTransport(lambda request: Answer())) as client:
            with pytest.raises(TypeError, match="MockTransport carries no WebSockets"):
                await client.websocket("ws://example.org/")

    run(main())


def test_tls_that_is_not_trusted_is_an_error(run: Run, wire: Wire) -> None:
    async def main() -> None:
        if wire.folder is None:
            return
        async with wire.serving(application()) as server, Client() as client:
            with pytest.raises(ConnectError) as raised:
                await client.websocket(address(wire, server))
            assert isinstance(raised.value.__cause__, ssl.SSLError) or "certificate" in str(raised.value)

    run(main())
