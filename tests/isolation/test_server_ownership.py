"""What an application is handed is its own: it breaks all of it, and the next equal request is as in a fresh process.

Requests with equal bytes share what was parsed and derived of them: on HTTP/1.1 from the second on, on HTTP/2 from the
fourth. So each application gets six of them on one connection, and one more on another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.limits import Limits
from headrace.server.connection.driver import ServerDriver
from headrace.server.connection.exchange import ServerExchange
from headrace.server.connection.service import Service
from headrace.server.handlers.loop import STOP, LoopResponse
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.server.interface import adapt
from headrace.server.routing.route import Route
from headrace.server.routing.router import Router
from headrace.server.settings.config import Config
from headrace.transport.tls import local_certificate

from tests.isolation.heads.vandal import picture, vandalize
from tests.properties.profile import tries
from tests.server.connection.test_fairness import Sink
from tests.server.test_tls_serving import client_context
from tests.support import wire
from tests.support.h1_peer import H1Peer
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving, settled

TIMES = 6
Fields = Sequence[tuple[bytes, bytes]]
PAIRS: Fields = [(b"x-user", b"alice"), (b"accept", b"*/*"), (b"cookie", b"a=1"), (b"x-user", b"again")]
CONTENT = b"the content"
TRAILERS: Fields = [(b"x-trailer", b"the end")]

# What differs from one request to the next in an honest way: where it came from, and objects of its own.
OTHERS = frozenset({"client", "REMOTE_PORT", "wsgi.input", "wsgi.errors"})


# -- the applications: each shows what it was handed, then breaks it -------------------------------------------------


class Applications:
    """`seen` has the picture of each request, and `broken` counts what could be changed."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.broken = 0
        self.steps = 1
        """Pictures that a request leads to."""

    def take(self, *handed: Any, leave_out: frozenset[Any] = OTHERS, leave_alone: frozenset[Any] = frozenset()) -> None:
        self.seen.append(picture(handed, leave_out))
        self.broken += vandalize(list(handed), leave_alone | {"wsgi.errors", "wsgi.input"})

    def _native_parts(self, request: Request) -> list[Any]:
        """All that a handler may ask of its request."""
        head = request._exchange.head
        return [
            {"headers": request.headers, "trailers": request.trailers, "params": request.params},
            [request.header("x-user"), request.method, request.path, request.raw_path, request.query_string],
            [request.scheme, request.authority, request.content_length, request.http_version, request.is_websocket],
            [head.headers, head.shared.headers, head.method, head.path, head.protocol],
            [request.connection.local, request.connection.is_tls, request.connection.server_addresses],
        ]

    async def native(self, request: Request) -> Response:
        content = await request.read()
        self.take(content, *self._native_parts(request))
        vandalize(request.client)
        vandalize(request.connection.stats())
        return Response(200, (), b"ok")

    async def loop(self, request: Request) -> LoopResponse:
        self.take(*self._native_parts(request))

        async def on_start(mailbox: Any, push: Any, state: Any) -> None:
            state["pushed"] = True
            self.take(state)
            mailbox.put(["a message"])

        async def on_message(message: Any, push: Any, state: Any) -> Any:
            self.take(message, state)
            await push(b"ok")
            return STOP

        return LoopResponse(on_message=on_message, state={}, on_start=on_start)

    async def websocket(self, request: Request) -> WebSocketResponse:
        async def talk(ws: Any) -> None:  # not before: without its fields it would be no request for a WebSocket
            self.take(ws.subprotocol, *self._native_parts(ws.request))

        return WebSocketResponse(talk, ["chat"])

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"].update(pool="the pool", members=["shared as ASGI has it"])
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        message = await receive()
        is_http = scope["type"] == "http"
        self.take(scope, message, leave_alone=frozenset({"members"}))
        if is_http:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})
        else:
            await send({"type": "websocket.accept", "subprotocol": "chat"})
            await send({"type": "websocket.close"})
            self.broken += vandalize(await receive())

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.take(environ["wsgi.input"].read(), environ)
        start_response("200 OK", [])
        return [b"ok"]

    def router(self) -> Router:
        return Router([Route("/users/{name}/{rest:path}", self.native), Route("/{rest:path}", self.native)])


# -- connections in memory -------------------------------------------------------------------------------------------


def request_of(version: str, number: int, fields: Fields, path: bytes, websocket: bool, content: bool) -> bytes:
    """The bytes of a request, which are equal for equal arguments but for the stream's number."""
    if websocket:
        fields = [(b"sec-websocket-version", b"13"), (b"sec-websocket-protocol", b"chat"), *fields]
    if version == "2":
        pseudo = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", path)]
        if websocket:
            pseudo = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *pseudo[1:]]
        raw = wire.headers(number, [*pseudo, *fields], end_stream=not content and not websocket)
        if content:
            raw += wire.data(number, CONTENT) + wire.headers(number, TRAILERS, end_stream=True)
        return raw
    lines = [b"GET " + path + b" HTTP/1.1", b"host: a", *(name + b": " + value for name, value in fields)]
    if websocket:
        lines += [b"upgrade: websocket", b"connection: upgrade", b"sec-websocket-key: c2l4dGVlbiBvY3RldHMhIQ=="]
    if content:
        lines.append(b"transfer-encoding: chunked")
    raw = b"\r\n".join([*lines, b"", b""])
    if content:
        trailers = b"".join(name + b": " + value + b"\r\n" for name, value in TRAILERS)
        raw += b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(CONTENT), CONTENT, trailers)
    return raw


async def driven(applications: Applications, driver: ServerDriver, number: int, data: bytes) -> None:
    """Let a request come, and its handler show what it got; a WebSocket stays open."""
    count = len(applications.seen)
    driver.data_received(data)
    await settled(lambda: len(applications.seen) == count + applications.steps)
    await settled(lambda: not driver.live or cast("ServerExchange", driver.live[number]).head.protocol is not None)


async def ask(
    kind: str,
    version: str,
    fields: Fields = PAIRS,
    *,
    times: int = TIMES,
    path: bytes = b"/users/alice/a/b?q=1",
    content: bool = False,
    connections: int = 2,
) -> Applications:
    """Ask an application `times` on one connection, and once on each further one."""
    applications = Applications()
    websocket = "websocket" in kind
    name = kind.removesuffix("-websocket")
    applications.steps = 3 if kind == "loop" else 1
    app = applications.router() if name == "router" else getattr(applications, name)
    interface = {"asgi": "asgi", "wsgi": "wsgi"}.get(name, "native")
    config = Config(interface=interface, websockets="on", limits=Limits(max_concurrent_streams=1_000))
    application = adapt(app, config)
    service = Service(application, config)
    await application.startup()
    for times_here in [times, *[1] * (connections - 1)]:
        driver = ServerDriver(service, asyncio.get_running_loop())
        driver.connection_made(Sink())
        if version == "2":
            driver.data_received(wire.client_preface() + wire.settings_ack())
        turns = 1 if websocket and version == "1.1" else times_here
        for turn in range(turns):
            number = 2 * turn + 1
            await driven(applications, driver, number, request_of(version, number, fields, path, websocket, content))
            if websocket and version == "2":
                driver.data_received(wire.rst_stream(number))
        driver.connection_lost(None)
        await settled(lambda driver=driver: not driver.live)  # type: ignore[misc]
    await application.shutdown()
    return applications


KINDS = ["native", "router", "loop", "websocket", "asgi", "asgi-websocket", "wsgi"]
READERS = ["native", "router", "asgi", "wsgi"]


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize(
    ("kind", "content"), [*((k, False) for k in KINDS), *((k, True) for k in KINDS if k in READERS)]
)
def test_nothing_of_a_broken_request_is_seen_in_the_next(run: Run, kind: str, version: str, content: bool) -> None:
    async def main() -> None:
        fresh = await ask(kind, version, times=1, content=content, connections=1)
        broken = await ask(kind, version, content=content)
        step = len(fresh.seen)
        assert fresh.seen
        assert "x-vandal" not in repr(fresh.seen[0]), "an earlier test of this process has left its mark"
        if kind != "wsgi":
            assert broken.broken > len(broken.seen), "nothing could be broken: the test is blind"
        requests = [broken.seen[at : at + step] for at in range(0, len(broken.seen), step)]
        assert len(requests) == (2 if "websocket" in kind and version == "1.1" else TIMES + 1)
        for each in requests:
            assert each == fresh.seen

    run(main())


names = st.sampled_from([b"x-a", b"x-b", b"accept", b"cookie", b"authorization", b"priority", b"user-agent"])
values = st.text("abc =;,", max_size=12).map(lambda text: text.strip().encode())
paths = st.text("ab/?=", max_size=8).map(lambda text: b"/" + text.encode())


@given(
    st.sampled_from(KINDS),
    st.sampled_from(["1.1", "2"]),
    st.lists(st.tuples(names, values), max_size=6),
    paths,
    st.booleans(),
)
@tries(40)
def test_whatever_the_request(kind: str, version: str, fields: Fields, path: bytes, content: bool) -> None:
    content = content and kind in READERS

    async def main() -> None:
        fresh = await ask(kind, version, fields, path=path, times=1, content=content, connections=1)
        broken = await ask(kind, version, fields, path=path, content=content)
        assert broken.seen == fresh.seen * (len(broken.seen) // len(fresh.seen))

    asyncio.run(main())


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_the_tls_extension(run: Run, tmp_path: Path, version: str) -> None:
    local_certificate(tmp_path)

    async def main() -> None:
        applications = Applications()
        async with serving(applications.asgi, tls_cert=str(tmp_path / "localhost.pem")) as server:
            for _ in range(2):
                tls = client_context(tmp_path, "h2" if version == "2" else "http/1.1")
                connected: Any = H2Peer.connected if version == "2" else H1Peer.connected
                async with connected(port(server), tls=tls) as peer:
                    for _ in range(TIMES):
                        await peer.get("/")
        first, *others = applications.seen
        assert first[0]["extensions"]["tls"]["tls_version"] is not None
        assert others == [first] * (2 * TIMES - 1)

    run(main())


def test_the_hand_breaks_what_is_shared() -> None:
    """The control: a list that two requests share is seen to be shared."""
    shared: dict[str, Any] = {"headers": [("a", "b")], "extensions": {"x": {}}}
    before = picture(shared)
    assert vandalize([shared]) == 5
    assert picture(shared) != before
    assert picture(shared)["extensions"] != before["extensions"]
