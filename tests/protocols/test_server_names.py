"""What is asked of another server than this one: 421 where the operator says which names it has (RFC 9110 §7.4)."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import Request, Response, WebSocketResponse
from headrace.server.settings.config import Config, ConfigError

from tests.protocols.conftest import Peer, Wire
from tests.protocols.websocket.test_websocket import websocket
from tests.support.h2_peer import Answer, H2Peer
from tests.support.serving import Run
from tests.support.ws_peer import Refused

NAMES = ["example.com", "*.example.com", "Other.Example", "192.0.2.1", "[2001:db8::1]"]


@pytest.mark.parametrize(
    "name", ["", "a b", "http://a", "a:80", "*", "*.", "a.*.b", "*.*.a", "*a.b", "a/", "é.com", "a."]
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ConfigError, match="server_names"):
        Config(server_names=[name])


async def ask(peer: Peer, authority: str, path: str = "/") -> Any:
    """The answer to a request for this authority."""
    inner = peer.inner
    if isinstance(inner, H2Peer):
        stream_id = int(inner.conn.get_next_available_stream_id())
        inner.answers[stream_id] = Answer()
        pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path)]
        inner.conn.send_headers(stream_id, pseudo, end_stream=True)
        inner.flush()
        return await inner.over(stream_id)
    return await inner.get(f"http://{authority}{path}")


async def app(request: Request) -> Response:
    return Response.text(request.authority)


def test_a_request_for_somebody_else_is_421(run: Run, wire: Wire) -> None:
    """Of each authority several, so that remembered heads answer as well; the connection of HTTP/2 goes on."""

    async def main() -> None:
        names = ["localhost", "*.example.com"]
        async with wire.serving(app, server_names=names) as server, wire.peer(server) as peer:
            for _ in range(4):
                for authority in ("localhost", "a.example.com:80"):
                    answer = await ask(peer, authority)
                    assert (answer.status, answer.body.decode()) == (200, authority)
                for authority in ("evil.example", "example.com", "127.0.0.1"):
                    assert (await ask(peer, authority)).status == 421
            if isinstance(peer.inner, H2Peer):
                for n in range(300):  # a scanner behind a proxy, whose other visitors do not pay for it
                    assert (await ask(peer, "evil.example", f"/{n}")).status == 421
                assert (await ask(peer, "localhost")).status == 200

    run(main())


def test_the_host_of_http1_counts_where_the_target_has_none(run: Run, wire: Wire) -> None:
    async def main() -> None:
        async with wire.serving(app, server_names=["example.com"]) as server, wire.peer(server) as peer:
            for _ in range(3):
                assert (await peer.get("/")).status == 421  # for localhost
                assert (await peer.get("/other")).status == 421

    run(main())


def test_websockets_for_somebody_else_are_421(run: Run, wire: Wire) -> None:
    async def talk(request: Request) -> WebSocketResponse:
        async def say(ws: Any) -> None:
            await ws.send("hello")

        return WebSocketResponse(say)

    talk.takes_websockets = True  # type: ignore[attr-defined]

    async def main() -> None:
        async with wire.serving(talk, server_names=["localhost"]) as server, websocket(wire, server, "/") as ws:
            assert await ws.message() == "hello"
        async with wire.serving(talk, server_names=["example.com"]) as server:
            with pytest.raises(Refused) as caught:
                async with websocket(wire, server, "/"):
                    pass
            assert caught.value.status == 421

    run(main())


def test_without_names_every_request_is_for_us(run: Run, wire: Wire) -> None:
    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            assert (await ask(peer, "anything.example")).status == 200

    run(main())
