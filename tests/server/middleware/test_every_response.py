"""Every middleware around every kind of response: it arrives, with the fields that are its own request's."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import FileResponse, Request, Response, Router, StreamResponse
from headrace.proxy import ReverseProxy
from headrace.server.handlers.events import EventStream
from headrace.server.handlers.loop import STOP, LoopResponse
from headrace.server.handlers.response import AnyResponse
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.server.middleware import CORS, BodyLimit, Compression, Forwarded, RateLimit, SecurityHeaders, Writer

from tests.support.h1_peer import H1Peer
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving

TEXT = [(b"content-type", b"text/plain")]
PAGE = b"a page " * 200
ORIGINS = ("https://a.example", "https://b.example", None, "https://a.example")

MIDDLEWARE: dict[str, Callable[[], list[Any]]] = {
    "CORS": lambda: [CORS(origins=["https://a.example", "https://b.example"])],
    "SecurityHeaders": lambda: [SecurityHeaders()],
    "Compression": lambda: [Compression(["gzip"])],
    "Forwarded": lambda: [Forwarded(["127.0.0.1"])],
    "BodyLimit": lambda: [BodyLimit(10)],
    "RateLimit": lambda: [RateLimit(1_000, 1_000)],
}
MIDDLEWARE["all"] = lambda: [each for name in list(MIDDLEWARE) if name != "all" for each in MIDDLEWARE[name]()]


class Derived(Response):
    """A buffered response of a class of its own."""


class Own(AnyResponse):
    """A response of an application's own class, which sends its `headers`."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: Any = list(TEXT)

    async def send_on(self, request: Request, writer: Writer) -> None:
        await writer.respond(self.status, self.headers, PAGE)


class Slotted(Own):
    """The same, with slots."""

    __slots__ = ()


class Bare(AnyResponse):
    """A response without `headers`."""

    __slots__ = ()

    async def send_on(self, request: Request, writer: Writer) -> None:
        await writer.respond(200, TEXT, PAGE)


async def pieces() -> AsyncIterator[bytes]:
    yield PAGE[:100]
    yield PAGE[100:]


async def produce(send: Any) -> None:
    await send(PAGE, end=True)


def looping() -> LoopResponse:
    response = LoopResponse(200, TEXT, stop)
    response.mailbox.put(PAGE)
    return response


async def stop(_: Any, push: Any, state: Any) -> Any:
    await push(PAGE)
    return STOP


async def events() -> AsyncIterator[str]:
    yield "one"


def kinds(folder: Path) -> dict[str, Callable[[], AnyResponse]]:
    """What makes a response of each kind; constants are the same object each time."""
    file = folder / "page.txt"
    file.write_bytes(PAGE)
    constants: dict[str, AnyResponse] = {
        "Response": Response(200, TEXT, PAGE),
        "derived": Derived(200, TEXT, PAGE),
        "stream": StreamResponse(200, TEXT, produce),
        "generator": StreamResponse(200, TEXT, pieces),
        "file": FileResponse(200, [], file),
        "own": Own(),
        "slotted": Slotted(),
    }
    made: dict[str, Callable[[], AnyResponse]] = {
        "loop": looping,
        "started": lambda: LoopResponse(200, TEXT, lambda *_: STOP, on_start=stop),
        "events": lambda: EventStream(events()),
    }
    return {**{name: lambda each=each: each for name, each in constants.items()}, **made}  # type: ignore[misc]


def check(name: str, origin: str | None, answer: Any, content: bytes) -> None:
    """That an answer has what the middleware of this name adds for this request, and nothing of another's."""
    assert (answer.status, answer.ended) == (200, True)
    body = bytes(answer.body)
    assert (gzip.decompress(body) if answer.header(b"content-encoding") == b"gzip" else body) == content
    fields = [field for field, _ in answer.headers]
    assert len(fields) == len(set(fields)), "a field twice"
    has_cors, has_security = name in ("CORS", "all"), name in ("SecurityHeaders", "all")
    assert answer.header(b"access-control-allow-origin") == (origin.encode() if origin and has_cors else None)
    assert (b"origin" in (answer.header(b"vary") or b"")) == has_cors
    assert answer.header(b"x-content-type-options") == (b"nosniff" if has_security else None)


@pytest.mark.parametrize("peer_of", [H1Peer, H2Peer], ids=["h1", "h2"])
@pytest.mark.parametrize("name", MIDDLEWARE)
def test_each_response_goes_through_each_middleware(run: Run, tmp_path: Path, name: str, peer_of: Any) -> None:
    """One after the other for two origins and for none: a response that is a constant keeps nothing of them."""
    table = kinds(tmp_path)

    async def main() -> None:
        async with (
            serving(lambda _: Response(200, TEXT, PAGE)) as upstream,
            ReverseProxy(f"http://127.0.0.1:{port(upstream)}") as proxy,
        ):
            router = Router(middleware=MIDDLEWARE[name]())
            for kind, make in table.items():
                router.get(f"/{kind}")(lambda request, make=make: make())
            router.mount("/proxied", proxy)
            async with serving(router) as server, peer_of.connected(port(server)) as peer:
                await ask(peer)

    async def ask(peer: Any) -> None:
        for kind in (*table, "proxied/page"):
            for origin in ORIGINS:
                fields = [("accept-encoding", "gzip"), *([("origin", origin)] if origin else [])]
                answer = await peer.get(f"/{kind}", headers=fields)
                check(name, origin, answer, b"data: one\n\n" if kind == "events" else PAGE)

    run(main())


@pytest.mark.parametrize("name", MIDDLEWARE)
def test_a_refused_websocket_goes_through_each_middleware(run: Run, name: str) -> None:
    async def main() -> None:
        constant = WebSocketResponse(lambda ws: ws.send("never"))
        router = Router(middleware=MIDDLEWARE[name]())
        router.get("/")(lambda request: constant)
        async with serving(router) as server, H1Peer.connected(port(server)) as peer:
            for _ in ORIGINS:
                assert (await peer.get("/")).status == 426
        assert constant.headers == []

    run(main())


def test_a_response_without_headers_says_so(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """It would be sent without what an operator asked for, which nobody would notice."""

    async def main() -> None:
        router = Router(middleware=[SecurityHeaders()])
        router.get("/")(lambda request: Bare())
        async with serving(router) as server, H1Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 500

    run(main())
    assert "Bare has no headers, so middleware cannot add to them" in caplog.text
