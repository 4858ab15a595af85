"""WSGI applications with the same assertions over every wire."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, request

from headrace.server.errors import ClientDisconnected

from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, settled

TEXT = [("Content-Type", "text/plain")]
LARGE = bytes(range(256)) * 8_192
UNSPOOLED = {"wsgi_spool_memory": 0, "wsgi_spool_size": 0}


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


@pytest.mark.parametrize("how", ["spooled", "unspooled"])
def test_uploads(run: Run, wire: Wire, how: str) -> None:
    """An upload whose length nobody said has one all the same once it is whole here, and otherwise has none.

    PEP 3333 lets CONTENT_LENGTH be absent, and applications take that for no content (Django, Flask). gunicorn and
    waitress differ in the same way: the first hands over a stream without a length, the second the length of what it
    has gathered.
    """
    settings: dict[str, Any] = {} if how == "spooled" else UNSPOOLED
    said = b"17" if how == "spooled" else b"none"

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        content = b"" if path == "/leave" else environ["wsgi.input"].read()
        start_response("200 OK", TEXT)
        return [content, environ.get("CONTENT_LENGTH", "none").encode()]

    async def main() -> None:
        async with wire.serving(app, **settings) as server, wire.peer(server) as peer:
            length = [] if wire.protocol == "http/1.1" else [("content-length", str(len(LARGE)))]
            assert (await peer.post("/", LARGE, length)).body == LARGE + str(len(LARGE)).encode()
            number = await peer.open("/", "POST", end=False)
            await peer.send(number, b"of no length said", end=True)
            assert (await peer.over(number)).body == b"of no length said" + said
            assert (await peer.post("/leave", b"x" * 1000)).status == 200
            assert (await peer.get("/")).body == b"none"

    run(main())


@pytest.mark.parametrize("how", ["unspooled", "expect", "writing", "blocked"])
def test_a_client_that_goes(run: Run, wire: Wire, how: str) -> None:
    """A thread whose client has gone learns it at its next read or write.

    It reads from its client where nothing is spooled, and where the client waits for 100 (Continue). It writes into a
    spool, or waits until there is room in that. What yields its pieces learns it as PEP 3333 has it: it is closed.
    """
    seen: list[str] = []
    go_on = threading.Event()
    reads = how in ("unspooled", "expect")

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", TEXT)
        try:
            yield b"begun"
            if how != "blocked":
                assert go_on.wait(10)
            if reads:
                environ["wsgi.input"].read()
            for _ in range(1_000):  # without an end to it, a server that tells nothing would hang the test
                if how == "blocked":
                    yield b"x" * 65_536
                else:
                    write(b"x" * 65_536)
        except ClientDisconnected:
            seen.append("told")
            raise
        except GeneratorExit:
            seen.append("ended")
            raise
        finally:
            seen.append("closed")

    async def main() -> None:
        settings: dict[str, Any] = {"blocked": {"wsgi_spool_size": 0}, "unspooled": UNSPOOLED}.get(how, {})
        async with wire.serving(app, **settings) as server, wire.peer(server) as peer:
            if reads:
                expect = [("expect", "100-continue")] if how == "expect" else []
                number = await peer.open("/", "POST", [("content-length", "1000000"), *expect], end=False)
            else:
                number = await peer.open("/")
            await peer.started(number)
            peer.reset(number)
            go_on.set()
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert seen == ["ended" if how == "blocked" else "told", "closed"]


def test_a_client_that_goes_with_its_upload(run: Run, wire: Wire) -> None:
    """The application is not called for a client that has gone before its content was here: nobody waits for that."""
    called: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        called.append(environ["PATH_INFO"])
        start_response("200 OK", TEXT)
        return [environ["wsgi.input"].read()]

    async def main() -> None:
        async with wire.serving(app) as server:
            async with wire.peer(server) as peer:
                number = await peer.open("/gone", "POST", [("content-length", "1000000")], end=False)
                await peer.send(number, b"x" * 1_000)
                await settled(lambda: live_handlers(server) == 1)
                peer.reset(number)
                await settled(lambda: live_handlers(server) == 0)
            async with wire.peer(server) as peer:
                assert (await peer.get("/there")).status == 200

    run(main())
    assert called == ["/there"]


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
