"""Users' code that has to type-check as it stands, by `mypy --strict` and by pyright; nothing of it is run."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import assert_type

import headrace
import headrace.client
from headrace import (
    BasicAuth,
    BearerAuth,
    Client,
    ClientRequest,
    ClientResponse,
    Event,
    EventStream,
    HTTPError,
    Mount,
    NetworkConfig,
    Request,
    Response,
    RetryPolicy,
    Route,
    Router,
    Send,
    Server,
    StreamResponse,
    SyncClient,
    Timeouts,
    WebSocket,
    WebSocketResponse,
)
from headrace.client import (
    URL,
    Auth,
    Cookies,
    Headers,
    HeadersLike,
    Incoming,
    Outgoing,
    QueryParams,
    SyncResponse,
    Transport,
)
from headrace.client.testing.mock import Answer, MockRequest, MockTransport, Reset
from headrace.server.middleware import Compression

# -- the client


class Token(Auth):
    def auth_flow(self, request: ClientRequest) -> Generator[ClientRequest, ClientResponse, None]:
        request.headers["authorization"] = "Bearer x"
        response = yield request
        if response.status == 401:
            yield request


class Counting:
    """A transport of one's own."""

    def __init__(self, below: Transport) -> None:
        self.below = below
        self.count = 0

    async def send(self, outgoing: Outgoing, *, whole: bool = False) -> Incoming:
        self.count += 1
        return await self.below.send(outgoing, whole=whole)

    async def aclose(self) -> None:
        await self.below.aclose()


def sign(request: ClientRequest) -> None:
    request.headers["x-signed"] = "yes"


async def on_response(response: ClientResponse) -> None:
    response.raise_for_status()


def pieces() -> Iterator[bytes]:
    yield b"a"


async def async_pieces() -> AsyncIterator[bytes]:
    yield b"a"


def options_of_a_client(context: ssl.SSLContext) -> None:
    Client()
    Client(
        base_url="https://example.org", headers={"a": "b"}, params={"page": 1, "tag": ["a", "b"]}, cookies={"a": "b"}
    )
    Client(
        base_url=URL("https://example.org"), headers=[("a", "b"), (b"c", b"d")], params=[("a", 1)], cookies=Cookies()
    )
    Client(headers=Headers({"a": "b"}), params=QueryParams("a=b"), auth=("name", "secret"), timeout=5, verify=context)
    Client(auth=BasicAuth("name", "secret"), timeout=Timeouts(connect=3.0), verify=Path("/ca.pem"), cert="/me.pem")
    Client(auth=BearerAuth(lambda: "token"), timeout=None, verify=False, proxy="http://127.0.0.1:3128")
    Client(auth=lambda request: request, proxy={"https": "socks5://127.0.0.1:1080", "http": None}, retry=RetryPolicy())
    Client(auth=Token(), network=NetworkConfig(http2=False, uds="/run/app.sock"), follow_redirects=False)
    Client(event_hooks={"request": [sign], "response": [on_response]})
    Client(transport=Counting(MockTransport([Answer(200, content=b"a"), Reset()])))


async def calls(client: Client, headers: HeadersLike) -> None:
    response = await client.get("https://example.org/", headers=headers, params={"a": None}, timeout=1.5, auth=None)
    assert_type(response, ClientResponse)
    assert_type(response.status, int)
    assert_type(response.headers["a"], str)
    assert_type(response.history, list[ClientResponse])
    with open("/tmp/a", "rb") as file:
        await client.post("/", content=file)
        await client.post("/", data={"a": "b", "c": [1, 2]}, files={"f": file, "g": ("name.txt", b"g", "text/plain")})
        await client.post("/", files=[("f", ("f", file)), ("f", b"octets")])
    await client.post("/", json={"a": [1, None]})
    await client.put("/", content=pieces(), trailers=lambda: {"x-sum": "1"})
    await client.put("/", content=async_pieces, trailers=[("x-sum", "1")])
    await client.put("/", content="text", on_upload=lambda sent, total: print(f"{sent} of {total}"))
    request = client.build_request("GET", "/")
    assert_type(request, ClientRequest)
    assert_type(await client.send(request, stream=True), ClientResponse)
    async with client.stream("GET", "/") as streamed:
        assert_type(streamed, ClientResponse)
        async for piece in streamed.iter_bytes():
            assert_type(piece, bytes)
    async with client.sse("/", reconnect=True) as events:
        async for event in events:
            assert_type(event.data, str)
    async with client.websocket("wss://example.org/", subprotocols=["chat"]) as socket:
        assert_type(socket, WebSocket)
        assert_type(await socket.receive(), str | bytes)
    client.headers = {"a": "b"}
    client.params = {"a": 1}
    client.auth = ("name", "secret")
    client.cookies = {"a": "b"}


def calls_without_asyncio(client: SyncClient) -> None:
    assert_type(client.get("/", headers={"a": "b"}), SyncResponse)
    assert_type(headrace.get("https://example.org/", params="a=b"), SyncResponse)
    with client.stream("POST", "/", content=[b"a"]) as response:
        for line in response.iter_lines():
            assert_type(line, str)
    with client.sse("/", reconnect=False) as events:
        for event in events:
            assert_type(event.id, str)
    with client.websocket("/", compression=False) as socket:
        assert_type(socket.receive(), str | bytes)


def answers(request: MockRequest) -> Answer:
    return Answer(200, content=request.content)


def both_names(request: headrace.client.Request, response: headrace.client.Response) -> None:
    assert_type(request, ClientRequest)
    assert_type(response, ClientResponse)


# -- the server


async def hello(request: Request) -> Response:
    assert_type(request.method, str)
    assert_type(await request.read(), bytes)
    if request.header("a") is None:
        raise HTTPError(400, "no a")
    return Response(200, [("content-type", "text/plain")], "hello")


def plain(request: Request) -> Response:
    return Response.json({"a": 1}, headers={"a": "b"})


async def streamed(request: Request) -> StreamResponse:
    async def produce(send: Send) -> None:
        await send(b"a")
        await send(b"b", end=True, trailers=[("x-sum", "1")])

    return StreamResponse(200, (), produce)


async def chat(request: Request) -> WebSocketResponse:
    async def talk(socket: WebSocket) -> None:
        async for message in socket:
            await socket.send(message)

    return WebSocketResponse(talk)


async def events(request: Request) -> EventStream:
    async def ticks() -> AsyncIterator[Event]:
        yield Event("tick")

    return EventStream(ticks())


router = Router(
    [Route("/", hello), Route("/plain", plain, methods=["GET", "POST"]), Mount("/more", [Route("/s", streamed)])],
    middleware=[Compression()],
)


@router.get("/decorated")
async def decorated(request: Request) -> Response:
    return Response(204)


def server() -> Server:
    return Server(router, headrace.Config(bind="127.0.0.1:0"))
