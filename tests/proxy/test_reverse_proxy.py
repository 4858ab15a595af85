"""What goes through the proxy, what stays behind, and what becomes of a failure on either side."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest

from headrace.client.timeouts import Timeouts
from headrace.proxy import ReverseProxy
from headrace.server.errors import ClientDisconnected
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse

from tests.proxy.conftest import Chain
from tests.support.process import free_port
from tests.support.serving import Run, live_handlers, port, settled

LARGE = bytes(range(256)) * 8_192


async def mirror(request: Request) -> Response:
    """What has arrived."""
    content = await request.read()
    fields = [(b"x-target", request.raw_path), (b"x-authority", request.authority.encode())]
    fields += [(b"got-" + name, value) for name, value in request.headers]
    return Response(200, fields, content)


def test_requests_and_responses(run: Run, chain: Chain) -> None:
    async def main() -> None:
        async with chain.proxied(mirror) as server, chain.peer(server) as peer:
            for _ in range(3):
                answer = await peer.get("/a%20b?q=1", headers=[("x-one", "1"), ("x-one", "2")])
                assert (answer.status, answer.body, answer.ended) == (200, b"", True)
                assert answer.header(b"x-target") == b"/a%20b?q=1"
                assert [value for name, value in answer.headers if name == b"got-x-one"] == [b"1", b"2"]
                length = [("content-length", str(len(LARGE)))] if chain.front.version == "2" else []
                answer = await peer.post("/up", LARGE, length)
                assert (answer.status, answer.body) == (200, LARGE)
                assert answer.header(b"got-content-length") == str(len(LARGE)).encode()
            answer = await peer.get("/", "HEAD")
            assert (answer.status, answer.body, answer.ended) == (200, b"", True)

    run(main())


def test_both_directions_go_on_at_once(run: Run, chain: Chain) -> None:
    async def echo(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            async for piece in request.stream():
                await send(piece)
            await send(end=True, trailers=[("x-sum", "1")])

        return StreamResponse(200, (), produce)

    async def main() -> None:
        async with chain.proxied(echo) as server, chain.peer(server) as peer:
            number = await peer.open("/", "POST", end=False)
            answer = await peer.started(number)
            assert answer.status == 200
            for piece in (b"one", b"two", b"three"):
                before = len(answer.body)
                await peer.send(number, piece)
                await peer.until(lambda before=before, piece=piece: bytes(answer.body[before:]) == piece)
            await peer.finish(number, b"last", [("x-in", "2")])
            await peer.over(number)
            assert answer.trailers == [(b"x-sum", b"1")]

    run(main())


def test_trailers_of_requests(run: Run, chain: Chain) -> None:
    async def app(request: Request) -> Response:
        await request.read()
        return Response(200, (), repr(request.trailers).encode())

    async def main() -> None:
        async with chain.proxied(app) as server, chain.peer(server) as peer:
            number = await peer.open("/", "POST", [("te", "trailers")], end=False)
            await peer.finish(number, b"content", [("x-sum", "1")])
            answer = await peer.over(number)
            assert bytes(answer.body) == b"[(b'x-sum', b'1')]"

    run(main())


def test_early_hints(run: Run, chain: Chain) -> None:
    async def app(request: Request) -> Response:
        await request.early_hints([("link", "</a.css>; rel=preload")])
        return Response(200, (), b"done")

    async def main() -> None:
        async with chain.proxied(app) as server, chain.peer(server) as peer:
            answer = await peer.get("/")
            assert [each[b":status"] for each in answer.informational] == [b"103"]
            assert answer.informational[0][b"link"] == b"</a.css>; rel=preload"
            assert bytes(answer.body) == b"done"

    run(main())


def test_100_continue_is_asked_of_the_upstream(run: Run, chain: Chain) -> None:
    async def app(request: Request) -> Response:
        if request.path == "/no":
            return Response(417, (), b"no")
        return Response(200, (), await request.read())

    async def main() -> None:
        async with chain.proxied(app) as server, chain.peer(server) as peer:
            number = await peer.open("/", "POST", [("expect", "100-continue"), ("content-length", "4")], end=False)
            answer = peer.answers[number]
            await peer.until(lambda: bool(answer.informational))
            assert answer.informational[0][b":status"] == b"100"
            await peer.send(number, b"body", end=True)
            assert bytes((await peer.over(number)).body) == b"body"
            number = await peer.open("/no", "POST", [("expect", "100-continue"), ("content-length", "4")], end=False)
            answer = await peer.started(number)
            assert (answer.status, answer.informational) == (417, [])

    run(main())


def test_fields_of_the_connection_stay_behind(run: Run, chain: Chain) -> None:
    """RFC 9110 §7.6.1: what `connection` names, and what is known to be of one connection only."""

    async def main() -> None:
        async with chain.proxied(mirror) as server, chain.peer(server) as peer:
            fields = [("proxy-authorization", "basic x"), ("x-keep", "1"), ("te", "trailers")]
            if chain.front.version == "1.1":
                fields += [("connection", "x-drop, keep-alive"), ("x-drop", "1"), ("keep-alive", "5")]
            answer = await peer.get("/", headers=fields)
            got = {name for name, _ in answer.headers if name.startswith(b"got-")}
            assert {b"got-x-keep", b"got-te", b"got-via"} <= got
            assert not got & {b"got-proxy-authorization", b"got-x-drop", b"got-keep-alive"}
            version, name = (answer.header(b"got-via") or b"").decode().split(" ")
            assert version == chain.front.version
            assert re.fullmatch("headrace-[0-9a-f]{8}", name)  # of this proxy alone: how it knows a circle
            assert answer.header(b"via") == f"{chain.back.version} {name}".encode()

    run(main())


def test_who_asked_and_for_what(run: Run, chain: Chain) -> None:
    async def main() -> None:
        async with chain.upstream(mirror) as upstream:
            name = f"127.0.0.1:{port(upstream)}".encode()
            claims = [("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1")]
            async with chain.to(port(upstream), "/under/") as server, chain.peer(server) as peer:
                answer = await peer.get("/x", headers=claims)
                assert answer.header(b"x-target") == b"/under/x"
                assert answer.header(b"x-authority") == name
                assert answer.header(b"got-x-forwarded-for") == b"127.0.0.1"
                assert answer.header(b"got-x-forwarded-proto") == b"http"
                assert answer.header(b"got-x-forwarded-host") == b"localhost"
                assert answer.header(b"got-forwarded") is None
            options: dict[str, Any] = {"host": "preserve", "append_forwarded": True}
            async with chain.to(port(upstream), **options) as server, chain.peer(server) as peer:
                answer = await peer.get("/x", headers=claims)
                assert answer.header(b"x-authority") == b"localhost"
                assert answer.header(b"got-x-forwarded-for") == b"10.0.0.1, 127.0.0.1"
            async with chain.to(port(upstream), forwarded="forwarded") as server, chain.peer(server) as peer:
                answer = await peer.get("/x", headers=claims)
                assert answer.header(b"got-forwarded") == b'for=127.0.0.1;proto=http;host="localhost"'
                assert answer.header(b"got-x-forwarded-for") is None
            async with chain.to(port(upstream), forwarded="none") as server, chain.peer(server) as peer:
                answer = await peer.get("/x", headers=claims)
                assert answer.header(b"got-forwarded") is answer.header(b"got-x-forwarded-for") is None

    run(main())


def test_a_slow_reader_stops_the_upstream(run: Run, chain: Chain) -> None:
    sent = 0

    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            nonlocal sent
            for _ in range(1024):
                await send(bytes(65_536))
                sent += 65_536

        return StreamResponse(200, (), produce)

    async def main() -> None:
        async with chain.proxied(app) as server, chain.peer(server) as peer:
            inner: Any = peer.inner
            if chain.front.version == "2":
                inner.gives_credit = False
            else:
                inner.writer.transport.pause_reading()
            number = await peer.open("/")
            last = -1
            while sent != last or not sent:
                last = sent
                await asyncio.sleep(0.3)
            assert sent < 32 * 1_048_576
            peer.reset(number)

    run(main())


def test_a_client_that_goes_resets_the_upstream(run: Run, chain: Chain) -> None:
    async def main() -> None:
        began, seen = asyncio.Event(), []

        async def app(request: Request) -> StreamResponse | Response:
            if request.path == "/before":
                began.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    seen.append("cancelled")

            async def produce(send: Send) -> None:
                await send(b"x")
                began.set()
                try:
                    while True:
                        await send(b"x" * 1000)
                        await asyncio.sleep(0.001)
                except (ClientDisconnected, asyncio.CancelledError):
                    seen.append("told")
                    raise

            return StreamResponse(200, (), produce)

        async with chain.upstream(app) as upstream, chain.to(port(upstream)) as server:
            for path in ("/before", "/within"):
                began.clear()
                async with chain.peer(server) as peer:
                    number = await peer.open(path)
                    await began.wait()
                    if path == "/within":
                        await peer.started(number)
                    peer.reset(number)
                    await settled(lambda: live_handlers(upstream) == 0)
                    await settled(lambda: live_handlers(server) == 0)
            assert seen == ["cancelled", "told"]

    run(main())


def test_an_upstream_that_resets_resets_the_client(run: Run, chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    async def app(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            await send(b"part")
            raise ValueError("of the upstream")

        return StreamResponse(200, (), produce)

    async def main() -> None:
        async with chain.proxied(app) as server, chain.peer(server) as peer:
            answer = await peer.get("/")
            assert answer.status == 200
            assert not answer.ended
            assert answer.reset is not None

    run(main())
    assert "the response broke off" in caplog.text


def test_no_upstream_is_502_and_one_that_is_silent_504(
    run: Run, chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    async def silent(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    async def main() -> None:
        async with chain.to(free_port()) as server, chain.peer(server) as peer:
            answer = await peer.get("/")
            assert (answer.status, bytes(answer.body)) == (502, b"The server behind this one cannot be reached.\n")
        timeouts = Timeouts(headers=0.05)
        async with chain.proxied(silent, timeouts=timeouts) as server, chain.peer(server) as peer:
            answer = await peer.get("/")
            assert (answer.status, bytes(answer.body)) == (504, b"The server behind this one did not answer in time.\n")

    caplog.set_level(logging.WARNING, "headrace.proxy")
    run(main())
    assert "ConnectError" in caplog.text and "HeadersTimeout" in caplog.text


def test_an_upstream_that_speaks_nonsense_is_502(run: Run, chain: Chain) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"220 mail.example.org ESMTP ready\r\n" * 4)
        writer.close()

    async def main() -> None:
        upstream = await asyncio.start_server(nonsense, "127.0.0.1", 0)
        async with upstream, chain.to(upstream.sockets[0].getsockname()[1]) as server, chain.peer(server) as peer:
            assert (await peer.get("/")).status == 502

    run(main())


def test_too_much_content_is_413(run: Run, chain: Chain) -> None:
    async def main() -> None:
        async with chain.proxied(mirror, max_body_size=1000) as server, chain.peer(server) as peer:
            assert (await peer.post("/", b"x" * 1000)).status == 200
            assert (await peer.post("/", b"x" * 1001)).status == 413
            number = await peer.open("/", "POST", end=False)
            await peer.send(number, b"x" * 1001)
            assert (await peer.started(number)).status == 413

    run(main())


def test_an_early_answer_wins(run: Run, chain: Chain) -> None:
    async def app(request: Request) -> Response:
        return Response(401, (), b"who?")

    async def main() -> None:
        async with chain.proxied(app) as server, chain.peer(server) as peer:
            number = await peer.open("/", "POST", end=False)
            await peer.send(number, b"begins")
            answer = await peer.started(number)
            assert answer.status == 401
            await peer.until(lambda: bytes(answer.body) == b"who?")

    run(main())


@pytest.mark.parametrize("url", ["ftp://x", "http://", "10.0.0.1:80", "http://x/?q=1", "http://user@x/"])
def test_what_is_no_upstream(url: str) -> None:
    with pytest.raises(ValueError, match="an upstream is a URL"):
        ReverseProxy(url)


def test_options_are_checked() -> None:
    for options in ({"host": "client"}, {"forwarded": "both"}):
        given: Any = options
        with pytest.raises(ValueError, match="the option"):
            ReverseProxy("http://127.0.0.1:1", **given)
