"""Who says whether a request came by https: the connection, never its client (RFC 9110 §7.4), over every wire.

Each client here claims the other scheme than its connection has: by `:scheme`, or by a target in absolute form.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace import Request, Response, Router, WebSocket, WebSocketResponse
from headrace.proxy import ReverseProxy
from headrace.server.middleware import Forwarded, SecurityHeaders

from tests.protocols.conftest import Peer, Wire
from tests.protocols.websocket.test_websocket import websocket
from tests.support.h2_peer import Answer
from tests.support.serving import Run, port, serving
from tests.support.ws_peer import Refused

CLAIMS = ("http", "https", "HTTPS", "Http")


async def ask(peer: Peer, claim: str, path: str = "/", headers: Any = ()) -> Answer:
    """The answer to a request that says of itself that it was made by `claim`."""
    if hasattr(peer.inner, "_scheme"):
        peer.inner._scheme = claim
        return await peer.inner.get(path, headers=headers)
    return await peer.inner.get(f"{claim}://localhost{path}", headers=headers)


def asked(run: Run, wire: Wire, app: Any, claims: tuple[str, ...] = CLAIMS, **settings: Any) -> list[Answer]:
    """The answers to requests with each of the claims: three times each, so that memories answer as well."""

    async def main() -> list[Answer]:
        async with wire.serving(app, **settings) as server, wire.peer(server) as peer:
            return [await ask(peer, claim) for claim in claims for _ in range(3)]

    found: list[Answer] = run(main())
    return found


def test_native_handlers_see_the_connections(run: Run, wire: Wire) -> None:
    async def app(request: Request) -> Response:
        return Response.text(f"{request.scheme} {request.connection.is_tls}")

    expected = f"{wire.scheme} {wire.scheme == 'https'}".encode()
    assert [answer.body for answer in asked(run, wire, app)] == [expected] * 12


def test_asgis_scope_has_the_connections(run: Run, wire: Wire) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["scheme"].encode()})

    assert [answer.body for answer in asked(run, wire, app, lifespan="off")] == [wire.scheme.encode()] * 12


def test_wsgis_environ_has_the_connections(run: Run, wire: Wire) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{environ['wsgi.url_scheme']} {environ.get('HTTPS')}".encode()]

    expected = f"{wire.scheme} {'on' if wire.scheme == 'https' else None}".encode()
    assert [answer.body for answer in asked(run, wire, app, interface="wsgi")] == [expected] * 12


def test_strict_transport_security_goes_out_over_tls_alone(run: Run, wire: Wire) -> None:
    app = Router(middleware=[SecurityHeaders(hsts_s=60)])
    app.get("/")(lambda request: Response.text(""))
    expected = b"max-age=60" if wire.scheme == "https" else None  # RFC 6797 §7.2
    assert [answer.header(b"strict-transport-security") for answer in asked(run, wire, app)] == [expected] * 12


def test_the_reverse_proxy_tells_the_upstream_the_connections(run: Run, wire: Wire) -> None:
    async def upstream(request: Request) -> Response:
        return Response.text(f"{request.header('x-forwarded-proto')} {request.scheme}")

    async def main() -> None:
        async with (
            serving(upstream) as behind,
            ReverseProxy(f"http://127.0.0.1:{port(behind)}") as proxy,
            wire.serving(proxy) as server,
            wire.peer(server) as peer,
        ):
            for claim in CLAIMS:
                assert (await ask(peer, claim)).body == f"{wire.scheme} http".encode()

    run(main())


def test_websockets_see_the_connections(run: Run, wire: Wire) -> None:
    async def native(request: Request) -> WebSocketResponse:
        async def tell(ws: WebSocket) -> None:
            await ws.send(ws.request.scheme)

        return WebSocketResponse(tell, check_origin="same-origin")

    native.takes_websockets = True  # type: ignore[attr-defined]

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": scope["scheme"]})

    other = "http" if wire.scheme == "https" else "https"

    async def main() -> None:
        async with wire.serving(native) as server:
            own = [("origin", f"{wire.scheme}://localhost")]
            async with websocket(wire, server, "/", scheme=other, headers=own) as ws:
                assert await ws.message() == wire.scheme
            with pytest.raises(Refused) as caught:  # the page of another scheme is another origin (RFC 6454 §5)
                async with websocket(wire, server, "/", scheme=other, headers=[("origin", f"{other}://localhost")]):
                    pass
            assert caught.value.status == 403
        async with (
            wire.serving(asgi, lifespan="off") as server,
            websocket(wire, server, "/", scheme=other) as ws,
        ):
            assert await ws.message() == ("ws" if wire.scheme == "http" else "wss")

    run(main())


def test_a_trusted_proxy_may_say_otherwise_and_nobody_else(run: Run, wire: Wire) -> None:
    def app(trusted: str) -> Router:
        table = Router(middleware=[Forwarded([trusted])])
        table.get("/")(lambda request: Response.text(request.scheme))
        return table

    async def main() -> None:
        other = "http" if wire.scheme == "https" else "https"
        for trusted, expected in (("127.0.0.0/8", other), ("192.0.2.0/24", wire.scheme)):
            async with wire.serving(app(trusted)) as server, wire.peer(server) as peer:
                said = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", other)]
                assert (await ask(peer, other, headers=said)).body == expected.encode()
                assert (await ask(peer, other)).body == wire.scheme.encode()

    run(main())


@pytest.mark.parametrize("claim", ["ftp", "javascript", "httpss", "ws", "coap+tcp", "a"])
def test_what_is_neither_http_nor_https_is_400(run: Run, wire: Wire, claim: str) -> None:
    seen: list[str] = []

    async def app(request: Request) -> Response:
        seen.append(request.scheme)
        return Response.text("")

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            for _ in range(3):
                answer = await ask(peer, claim)
                assert (answer.status, answer.ended) == (400, True)
            assert not seen
            assert (await ask(peer, "http")).status == 200

    run(main())


@pytest.mark.parametrize("client_tls", [False, True])
def test_a_load_balancers_proxy_header_says_whether_its_client_speaks_tls(run: Run, client_tls: bool) -> None:
    """Its extension PP2_TYPE_SSL, with PP2_CLIENT_SSL (HAProxy's specification, section 2.2.6); version 1 has none."""
    addresses = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + bytes([200, 34, 1, 187])
    extension = b"\x20\x00\x05" + bytes([client_tls]) + bytes(4)
    content = addresses + b"\x04\x00\x00" + extension
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + len(content).to_bytes(2) + content
    scheme = b"https" if client_tls else b"http"

    async def app(request: Request) -> Response:
        return Response.text(f"{request.scheme} {request.connection.is_tls}")

    async def main() -> None:
        async with serving(app, proxy_protocol="v2") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(header + b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            content = (await reader.read()).partition(b"\r\n\r\n")[2]
            assert content == scheme + (b" True" if client_tls else b" False")
            writer.close()
        async with serving(app, proxy_protocol="v2", proxy_protocol_from=["192.0.2.0/24"]) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(header + b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)  # who is not trusted says nothing at all
            writer.close()

    run(main())
