"""Routes, middleware and static files, with the same assertions over every wire."""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from headrace import EventStream, HTTPError, Mount, Request, Response, Route, Router, Send, StaticFiles, StreamResponse
from headrace.server.middleware import CORS, BodyLimit, Compression, Forwarded, RateLimit, SecurityHeaders

from tests.protocols.conftest import Wire
from tests.support.serving import Run

TEXT = b"the same words again and again, " * 100
HTML = [("content-type", "text/html")]
BIG = bytes(range(256)) * 2048


def test_routes(run: Run, wire: Wire) -> None:
    async def show(request: Request) -> Response:
        return Response.text(f"{request.method} {dict(request.params)} {request.route.path}")

    async def upload(request: Request) -> Response:
        return Response(201, [], await request.read())

    router = Router([Route("/a/{id:int}", show), Mount("/m", [Route("/{rest:path}", upload, methods=["PUT"])])])

    async def main() -> None:
        async with wire.serving(router) as server, wire.peer(server) as peer:
            for _ in range(2):  # an answer that is shared, such as 404, is not used up
                assert (await peer.get("/a/7?x=%2F")).body == b"GET {'id': 7} /a/{id:int}"
                head = await peer.get("/a/7", "HEAD")
                assert (head.status, head.header(b"content-length"), bytes(head.body)) == (200, b"26", b"")
                assert (await peer.get("/a/x")).status == 404
                refused = await peer.get("/a/7", "DELETE")
                assert (refused.status, refused.header(b"allow")) == (405, b"GET, HEAD, OPTIONS")
                options = await peer.get("/m/x", "OPTIONS")
                assert (options.status, options.header(b"allow"), bytes(options.body)) == (204, b"OPTIONS, PUT", b"")
                number = await peer.open("/m/a/b", "PUT", [("content-length", "4")], end=False)
                await peer.send(number, b"body", end=True)
                assert (await peer.over(number)).body == b"body"

    run(main())


def test_middleware(run: Run, wire: Wire) -> None:
    async def page(request: Request) -> Response:
        return Response(200, HTML, TEXT)

    async def stream(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            await send(TEXT[:100])
            await send(TEXT[100:], end=True, trailers=[("x-end", "yes")])

        return StreamResponse(200, HTML, produce)

    async def events(request: Request) -> EventStream:
        async def source() -> AsyncIterator[str]:
            for number in range(3):
                yield f"event {number}"

        return EventStream(source(), heartbeat_s=None)

    async def fail(request: Request) -> Response:
        raise HTTPError(402, "Payment Required")

    async def upload(request: Request) -> Response:
        return Response(200, [], await request.read())

    router = Router(
        [
            Route("/page", page),
            Route("/stream", stream),
            Route("/events", events),
            Route("/fail", fail),
            Route("/upload", upload, methods=["POST"]),
        ],
        middleware=[
            Forwarded(["127.0.0.0/8"]),
            RateLimit(1.0, burst=50, clock=lambda: 0.0),
            SecurityHeaders(),
            CORS(["https://good.example"], methods=["POST"]),
            Compression(["gzip"]),
            BodyLimit(10),
        ],
    )
    asked = [("accept-encoding", "gzip"), ("origin", "https://good.example"), ("x-forwarded-proto", "https")]

    async def main() -> None:
        async with wire.serving(router) as server, wire.peer(server) as peer:
            contents = {
                "/page": TEXT,
                "/stream": TEXT,
                "/events": b"data: event 0\n\ndata: event 1\n\ndata: event 2\n\n",
            }
            for path, content in contents.items():
                answer = await peer.get(path, headers=asked)
                assert (answer.status, answer.header(b"content-encoding")) == (200, b"gzip")
                assert zlib.decompress(bytes(answer.body), 31) == content
                assert answer.header(b"vary") == b"accept-encoding, origin"
                assert answer.header(b"access-control-allow-origin") == b"https://good.example"
                assert answer.header(b"strict-transport-security") is not None  # the proxy says so
                if path == "/stream":
                    assert answer.trailers == [(b"x-end", b"yes")]
                head = await peer.get(path, "HEAD", headers=asked)
                assert (head.status, head.header(b"content-encoding"), bytes(head.body)) == (200, b"gzip", b"")
            failed = await peer.get("/fail", headers=asked)
            assert (failed.status, failed.header(b"x-frame-options")) == (402, b"DENY")
            preflight = [*asked, ("access-control-request-method", "POST")]
            told = await peer.get("/upload", "OPTIONS", preflight)
            assert (told.status, told.header(b"access-control-allow-methods")) == (204, b"POST")
            assert (await peer.post("/upload", b"0123456789")).status == 200
            assert (await peer.post("/upload", b"0123456789x", [("content-length", "11")])).status == 413
            statuses = [(await peer.get("/page")).status for _ in range(50)]
            assert statuses[-1] == 429
            assert set(statuses) == {200, 429}

    run(main())


def test_too_much_that_was_not_announced(run: Run, wire: Wire) -> None:
    async def upload(request: Request) -> Response:
        return Response(200, [], await request.read())

    router = Router([Route("/", upload, methods=["POST"], middleware=[BodyLimit(10)])])

    async def main() -> None:
        async with wire.serving(router) as server, wire.peer(server) as peer:
            assert (await peer.post("/", b"x" * 10)).body == b"x" * 10
            number = await peer.open("/", "POST", end=False)
            await peer.send(number, b"x" * 11)
            assert (await peer.over(number)).status == 413

    run(main())


def test_static_files(run: Run, wire: Wire, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_bytes(b"SECRET")
    root = tmp_path / "root"
    root.mkdir()
    for name, content in {"index.html": b"<h1>hi</h1>", "big.bin": BIG, "empty.txt": b""}.items():
        (root / name).write_bytes(content)
        os.utime(root / name, (1_700_000_000, 1_700_000_000))
    router = Router([Mount("/s", StaticFiles(root))])

    async def get(peer: Any, path: str, **headers: str) -> Any:
        return await peer.get(path, headers=[(name.replace("_", "-"), value) for name, value in headers.items()])

    async def main() -> None:
        async with wire.serving(router) as server, wire.peer(server) as peer:
            for path, content in (("/s/", b"<h1>hi</h1>"), ("/s/big.bin", BIG), ("/s/empty.txt", b"")):
                whole = await get(peer, path)
                assert (whole.status, bytes(whole.body)) == (200, content)
                assert whole.header(b"content-length") == b"%d" % len(content)
                etag = whole.header(b"etag").decode()
                head = await peer.get(path, "HEAD")
                assert (head.status, bytes(head.body)) == (200, b"")
                assert head.header(b"content-length") == b"%d" % len(content)
                same = await get(peer, path, if_none_match=etag)
                assert (same.status, bytes(same.body), same.header(b"content-length")) == (304, b"", None)
                assert (await get(peer, path, if_match='"other"')).status == 412
            part = await get(
                peer, "/s/big.bin", range="bytes=1000-400999", if_range=etag_of(await get(peer, "/s/big.bin"))
            )
            assert (part.status, bytes(part.body)) == (206, BIG[1000:401000])
            assert part.header(b"content-range") == b"bytes 1000-400999/%d" % len(BIG)
            several = await get(peer, "/s/big.bin", range="bytes=0-99999,200000-299999")
            assert several.status == 206
            assert several.header(b"content-length") == b"%d" % len(several.body)
            assert BIG[200_000:300_000] in bytes(several.body)
            beyond = await get(peer, "/s/big.bin", range="bytes=9999999-")
            assert (beyond.status, beyond.header(b"content-range")) == (416, b"bytes */%d" % len(BIG))
            for path in ("/s/../secret.txt", "/s/%2e%2e/secret.txt", "/s/..%2fsecret.txt", "/s/none"):
                missing = await get(peer, path)
                assert (missing.status, bytes(missing.body)) == (404, b"Not Found\n")

    def etag_of(answer: Any) -> str:
        return str(answer.header(b"etag").decode())

    run(main())
