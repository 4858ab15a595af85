"""WSGI applications with the same assertions over every wire."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, request

from headrace.server.exchange import ClientDisconnected

from tests.protocols.conftest import Wire
from tests.serving import Run, live_handlers, settled

TEXT = [("Content-Type", "text/plain")]
LARGE = bytes(range(256)) * 8_192


def test_responses(run: Run, wire: Wire) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        match environ["PATH_INFO"]:
            case "/large":
                start_response("200 OK", [*TEXT, ("Content-Length", str(len(LARGE)))])
                return iter([LARGE])
            case "/stream":
                start_response("200 OK", TEXT)
                return (LARGE[start : start + 100_000] for start in range(0, len(LARGE), 100_000))
            case "/empty":
                start_response("204 No Content", [])
                return []
            case "/crash":
                raise RuntimeError("boom")
        start_response("200 OK", TEXT)
        return [f"{environ['SERVER_PROTOCOL']} {environ['wsgi.url_scheme']} {environ['HTTP_HOST']}".encode()]

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            for _ in range(2):
                assert (await peer.get("/")).body == f"HTTP/{wire.version} {wire.scheme} localhost".encode()
                assert (await peer.get("/large")).body == LARGE
                assert (await peer.get("/stream")).body == LARGE
                answer = await peer.get("/large", "HEAD")
                assert (answer.body, answer.header(b"content-length")) == (b"", str(len(LARGE)).encode())
                answer = await peer.get("/stream", "HEAD")
                assert (answer.status, answer.body, answer.ended) == (200, b"", True)
                answer = await peer.get("/empty")
                assert (answer.status, answer.body, answer.ended) == (204, b"", True)
                assert (await peer.get("/crash")).status == 500
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_uploads(run: Run, wire: Wire) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        content = b"" if path == "/leave" else environ["wsgi.input"].read()
        start_response("200 OK", TEXT)
        return [content, environ.get("CONTENT_LENGTH", "none").encode()]

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            length = [] if wire.protocol == "http/1.1" else [("content-length", str(len(LARGE)))]
            assert (await peer.post("/", LARGE, length)).body == LARGE + str(len(LARGE)).encode()
            number = await peer.open("/", "POST", end=False)
            await peer.send(number, b"of no length said", end=True)
            assert (await peer.over(number)).body == b"of no length saidnone"
            assert (await peer.post("/leave", b"x" * 1000)).status == 200
            assert (await peer.get("/")).body == b"none"

    run(main())


def test_a_client_that_goes(run: Run, wire: Wire) -> None:
    seen: list[str] = []
    go_on = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        try:
            yield b"begun"
            assert go_on.wait(10)
            environ["wsgi.input"].read()
        except ClientDisconnected:
            seen.append("told")
            raise
        finally:
            seen.append("closed")

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            number = await peer.open("/", "POST", [("content-length", "1000000")], end=False)
            await peer.started(number)
            peer.reset(number)
            go_on.set()
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert seen == ["told", "closed"]


def test_flask(run: Run, wire: Wire) -> None:
    app = Flask(__name__)

    @app.post("/json")
    def json() -> Any:
        return {"got": request.get_json(), "secure": request.is_secure, "host": request.host}

    @app.get("/stream")
    def stream() -> Response:
        return Response(f"{number}\n" for number in range(1000))

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            fields = [("content-type", "application/json")]
            if wire.protocol == "h2":
                fields.append(("content-length", "9"))
            answer = await peer.post("/json", b'{"a":"b"}', fields)
            secure = "true" if wire.scheme == "https" else "false"
            assert answer.body.strip() == b'{"got":{"a":"b"},"host":"localhost","secure":%s}' % secure.encode()
            assert (await peer.get("/stream")).body == b"".join(b"%d\n" % number for number in range(1000))

    run(main())
