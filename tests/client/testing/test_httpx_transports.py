"""headrace under httpx2 and httpx: what their own suites ask of a transport, over both protocols, async and plain.

The list follows httpx2's client/test_async_client.py, client/test_client.py, test_timeouts.py, test_exceptions.py and
test_pyreqwest_transport.py; the sentences are ours.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import pickle
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from headrace.client.testing.asgi import ASGITransport
from headrace.client.testing.mock import Answer, GoAway, Lost, MockTransport, Reset, Truncated
from headrace.client.transports import httpx as under_httpx
from headrace.client.transports import httpx2 as under_httpx2
from headrace.pytest_plugin import RunningServer
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse

from tests.support.process import free_port

APIS = {"httpx2": (httpx2, under_httpx2), "httpx": (httpx, under_httpx)}

CODED = {"/gzip": gzip.compress(b"Hello, " * 100), "/no-gzip": b"Hello"}


async def app(request: Request) -> Any:
    """The server of httpx's own tests."""
    path = request.path
    if path.startswith("/status/"):
        return Response.text("", int(path.removeprefix("/status/")))
    if path == "/echo_body":
        return Response(200, (), await request.read())
    if path == "/echo_headers":
        fields = {name.decode(): value.decode("latin-1") for name, value in request.headers}
        return Response.json({**fields, ":authority": request.authority, ":target": request.raw_path.decode()})
    if path == "/redirect":
        return Response(302, [(b"location", b"/echo_headers"), (b"set-cookie", b"seen=1")], b"")
    if path in CODED:
        return Response(200, [(b"content-encoding", b"gzip")], CODED[path])
    if path == "/digest" and request.header("authorization") is None:
        return Response(401, [(b"www-authenticate", b'Digest realm="r", nonce="n", qop="auth", algorithm=MD5')], b"")
    if path == "/slow":
        await asyncio.Event().wait()
    if path == "/trailers":
        return StreamResponse(200, (), with_trailers)
    if path == "/stream":
        return StreamResponse(200, (), without_end)
    if path == "/hints":
        await request.early_hints([("link", "</a.css>")])
    return Response.text("Hello, world!")


async def with_trailers(send: Send) -> None:
    await send(b"data")
    await send(end=True, trailers=[("x-sum", "1")])


async def without_end(send: Send) -> None:
    while True:
        await send(bytes(10_000))


@pytest.fixture(scope="module", params=["h1", "h2", "h1-tls", "h2-tls"])
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    protocol, _, tls = request.param.partition("-")
    running = RunningServer(app, tls=bool(tls), protocols="h2" if protocol == "h2" else "http/1.1")
    yield running
    running.stop()


def version(server: RunningServer) -> str:
    """Return the protocol in use, in httpx's words."""
    return "HTTP/2" if "h2" in server._server.config.protocols else "HTTP/1.1"


class Kit:
    """One library, async or synchronous: the same calls for the tests."""

    def __init__(self, name: str, is_async: bool) -> None:
        self.api: ModuleType = APIS[name][0]
        self.ours: ModuleType = APIS[name][1]
        self.is_async = is_async

    def transport(self, server: RunningServer | None = None, **options: Any) -> Any:
        if server is not None:
            is_h2 = version(server) == "HTTP/2"
            options = {"http1": not is_h2, "http2": is_h2, **options}
            if server.client_context is not None:
                options["verify"] = server.client_context
        return self.ours.AsyncTransport(**options) if self.is_async else self.ours.Transport(**options)

    def run(self, use: Callable[[Any], Any], server: RunningServer | None = None, **options: Any) -> Any:
        """Call `use` with a client of `Both`, and return its result. `transport` has the transport's options."""
        transport = options.pop("transport", {})
        if self.is_async:

            async def main() -> Any:
                carrier = self.transport(server, **transport)
                async with self.api.AsyncClient(transport=carrier, **options) as client:
                    return await use(Both(client))

            return asyncio.run(asyncio.wait_for(main(), 30))
        with self.api.Client(transport=self.transport(server, **transport), **options) as client:
            return asyncio.run(use(Both(client)))


class Both:
    """A client whose calls can be awaited, async or not."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.is_async = hasattr(client, "aclose")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            result = method(*arguments, **options)
            return await result if self.is_async else result

        return call

    async def stream(self, *arguments: Any, take: int = -1, **options: Any) -> tuple[Any, bytes]:
        """Return the response of a stream, with `take` bytes or more of it, -1 for all."""
        content = b""
        if self.is_async:
            async with self.client.stream(*arguments, **options) as response:
                async for piece in response.aiter_bytes():
                    content += piece
                    if 0 <= take <= len(content):
                        break
        else:
            with self.client.stream(*arguments, **options) as response:
                for piece in response.iter_bytes():
                    content += piece
                    if 0 <= take <= len(content):
                        break
        return response, content

    def pieces(self, *pieces: bytes) -> Any:
        """Content in pieces."""

        async def coming() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        return coming() if self.is_async else iter(pieces)


@pytest.fixture(params=[(name, is_async) for name in APIS for is_async in (True, False)], ids=str)
def kit(request: pytest.FixtureRequest) -> Kit:
    return Kit(*request.param)


# -- clients -----------------------------------------------------------------------------------------------------------


def test_get(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        for _ in range(3):
            response = await client.get(server.url)
            assert (response.status_code, response.text) == (200, "Hello, world!")
            assert response.http_version == version(server)
            assert response.extensions["http_version"] == version(server).encode()
            assert response.headers["content-type"] == "text/plain; charset=utf-8"
            assert repr(response) == "<Response [200 OK]>"
            assert response.elapsed.total_seconds() >= 0

    kit.run(use, server)


def test_methods_and_content(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        url = server.url + "/echo_body"
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            assert (await client.request(method, url, content=b"octets")).content == b"octets"
        assert (await client.post(url, json={"a": 1})).json() == {"a": 1}
        assert (await client.post(url, data={"a": "1", "b": "2"})).text == "a=1&b=2"
        assert b'filename="f.txt"' in (await client.post(url, files={"f": ("f.txt", b"content")})).content
        assert (await client.post(url)).content == b""
        large = bytes(range(256)) * 10_000
        assert (await client.post(url, content=large)).content == large
        response = await client.head(server.url)
        assert (response.status_code, response.content, response.headers["content-length"]) == (200, b"", "13")

    kit.run(use, server)


def test_fields_go_out_as_they_are(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        given = {"X-Custom": "value", "Host": "example.org", "Connection": "keep-alive"}
        got = (await client.get(server.url + "/echo_headers?a=b", headers=given)).json()
        assert got["x-custom"] == "value"
        assert got[":authority"] == "example.org"
        assert got[":target"] == "/echo_headers?a=b"
        assert got["user-agent"].startswith("python-httpx")
        request = client.client.build_request("GET", server.url + "/echo_headers")
        request.headers.update({"late": "1"})
        assert (await client.send(request)).json()["late"] == "1"

    kit.run(use, server)


def test_streamed_requests(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        url = server.url + "/echo_body"
        assert (await client.post(url, content=client.pieces(b"Hello, ", b"world!"))).text == "Hello, world!"
        told = {"content-length": "4"}
        assert (await client.post(url, content=client.pieces(b"ab", b"cd"), headers=told)).text == "abcd"

    kit.run(use, server)


def test_streamed_responses(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        response, content = await client.stream("GET", server.url)
        assert (response.status_code, content) == (200, b"Hello, world!")
        for _ in range(3):
            _, content = await client.stream("GET", server.url + "/stream", take=100_000)
            assert 100_000 <= len(content) < 10_000_000
        assert (await client.get(server.url)).text == "Hello, world!"  # the place on the connection is free

    kit.run(use, server)


def test_a_stream_that_is_not_read_has_no_content(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        response, _ = await client.stream("GET", server.url + "/stream", take=0)
        with pytest.raises(kit.api.ResponseNotRead):
            _ = response.content

    kit.run(use, server)


def test_content_that_came_with_its_head_is_read_like_any_other(kit: Kit, server: RunningServer) -> None:
    """The shorter way of reading it makes no difference to the response."""

    async def use(client: Both) -> None:
        response = await client.get(server.url + "/gzip")
        assert response.content == b"Hello, " * 100
        assert response.num_bytes_downloaded == len(CODED["/gzip"])
        assert (response.is_closed, response.is_stream_consumed) == (True, True)
        again = response.aread() if client.is_async else response.read()
        assert (await again if client.is_async else again) == response.content
        assert pickle.loads(pickle.dumps(response)).content == response.content
        with pytest.raises(kit.api.DecodingError) as raised:
            await client.get(server.url + "/no-gzip")
        assert raised.value.request.url.path == "/no-gzip"

    kit.run(use, server)


def test_content_that_came_with_its_head_can_be_streamed(kit: Kit, server: RunningServer) -> None:
    async def plain(client: Any) -> None:
        with client.stream("GET", server.url + "/gzip") as response:
            assert b"".join(response.iter_raw()) == CODED["/gzip"]
            with pytest.raises(kit.api.StreamConsumed):
                response.read()
        assert response.elapsed.total_seconds() >= 0

    async def use(both: Both) -> None:
        if not both.is_async:
            await plain(both.client)
            return
        async with both.client.stream("GET", server.url + "/gzip") as response:
            assert b"".join([piece async for piece in response.aiter_raw()]) == CODED["/gzip"]
            with pytest.raises(kit.api.StreamConsumed):
                await response.aread()
        assert response.elapsed.total_seconds() >= 0
        async with both.client.stream("GET", server.url + "/gzip") as response:
            pass
        with pytest.raises(kit.api.StreamClosed):
            await response.aread()

    kit.run(use, server)


def test_statuses(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        for status in (200, 400, 404, 500, 505):
            response = await client.get(f"{server.url}/status/{status}")
            if status < 400:
                assert response.raise_for_status() is response
            else:
                with pytest.raises(kit.api.HTTPStatusError) as raised:
                    response.raise_for_status()
                assert raised.value.response is response

    kit.run(use, server)


def test_100_continue(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        response = await client.post(server.url + "/echo_body", headers={"Expect": "100-continue"}, content=b"body")
        assert (response.status_code, response.content) == (200, b"body")

    kit.run(use, server)


def test_redirects_cookies_and_digest(kit: Kit, server: RunningServer) -> None:
    """Cases of several requests: httpx sends them over the same transport."""

    async def use(client: Both) -> None:
        response = await client.get(server.url + "/redirect", follow_redirects=True)
        assert [each.status_code for each in response.history] == [302]
        assert response.json()["cookie"] == "seen=1"
        response = await client.get(server.url + "/digest", auth=kit.api.DigestAuth("ann", "pw"))
        assert response.status_code == 200

    kit.run(use, server)


def test_trailers_and_hints(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        response = await client.get(server.url + "/trailers")
        assert response.content == b"data"
        assert response.extensions["trailers"]() == [(b"x-sum", b"1")]
        told: list[Any] = []
        extensions = {"on_informational": lambda status, headers: told.append((status, headers))}
        await client.get(server.url + "/hints", extensions=extensions)
        assert told == [(103, [(b"link", b"</a.css>")])]

    kit.run(use, server)


def test_the_target_extension(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        response = await client.get(server.url, extensions={"target": b"/echo_headers?raw"})
        assert response.json()[":target"] == "/echo_headers?raw"

    kit.run(use, server)


def test_many_at_once_share_a_connection(server: RunningServer) -> None:
    async def main() -> None:
        transport = Kit("httpx2", True).transport(server)
        async with httpx2.AsyncClient(transport=transport) as client:
            responses = await asyncio.gather(*[client.get(server.url) for _ in range(50)])
            assert {response.text for response in responses} == {"Hello, world!"}
            if version(server) == "HTTP/2":
                assert transport.transport.pool.open == 1

    asyncio.run(main())


def test_threads_share_a_plain_client(server: RunningServer) -> None:
    texts: list[str] = []
    with httpx2.Client(transport=Kit("httpx2", False).transport(server)) as client:
        threads = [threading.Thread(target=lambda: texts.append(client.get(server.url).text)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert texts == ["Hello, world!"] * 20


# -- errors, in the library's own classes ------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["invalid://example.org", "://example.org", "http://"])
def test_urls_that_lead_nowhere(kit: Kit, url: str) -> None:
    async def use(client: Both) -> None:
        with pytest.raises((kit.api.UnsupportedProtocol, kit.api.LocalProtocolError)):
            await client.get(url)

    kit.run(use)


def test_timeouts(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        with pytest.raises(kit.api.ReadTimeout) as raised:
            await client.get(server.url + "/slow", timeout=kit.api.Timeout(None, read=0.02))
        assert raised.value.request.url.path == "/slow"
        with pytest.raises(kit.api.ReadTimeout):
            await client.get(server.url + "/slow", timeout=kit.api.Timeout(None, read=1e-9))
        assert (await client.get(server.url, timeout=None)).status_code == 200

    kit.run(use, server)


def test_write_timeout(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        with pytest.raises(kit.api.WriteTimeout):
            await client.put(server.url + "/slow", content=bytes(30_000_000), timeout=kit.api.Timeout(None, write=0.1))

    kit.run(use, server)


def test_connect_timeout(kit: Kit) -> None:
    """A TLS server that sends nothing: httpx counts the handshake as part of connecting."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"

        async def use(client: Both) -> None:
            with pytest.raises(kit.api.ConnectTimeout):
                await client.get(url, timeout=kit.api.Timeout(None, connect=0.05))

        kit.run(use)


def test_pool_timeout() -> None:
    async def main() -> None:
        answers = MockTransport(waiting, http_version="1.1", config=one_connection())
        async with httpx2.AsyncClient(transport=under_httpx2.AsyncTransport(answers)) as client:
            first = asyncio.ensure_future(client.get("http://example.org/"))
            await asyncio.sleep(0)
            with pytest.raises(httpx2.PoolTimeout):
                await client.get("http://example.org/", timeout=httpx2.Timeout(None, pool=0.02))
            first.cancel()
            await asyncio.wait((first,))

    async def waiting(request: Any) -> Answer:
        await asyncio.Event().wait()
        return Answer()

    def one_connection() -> Any:
        from headrace.client.connect.config import NetworkConfig

        return NetworkConfig(max_connections=1)

    asyncio.run(main())


def test_nobody_listens(kit: Kit) -> None:
    async def use(client: Both) -> None:
        with pytest.raises(kit.api.ConnectError) as raised:
            await client.get(f"http://127.0.0.1:{free_port()}/")
        assert isinstance(raised.value.__cause__, OSError)

    kit.run(use)


def test_a_certificate_that_is_not_trusted(kit: Kit) -> None:
    server = RunningServer(app, tls=True)
    try:

        async def use(client: Both) -> None:
            with pytest.raises(kit.api.ConnectError, match="certificate"):
                await client.get(server.url)

        kit.run(use)
        kit.run(reached(server), transport={"verify": server.client_context})
        kit.run(reached(server), transport={"verify": False})
    finally:
        server.stop()


def reached(server: RunningServer) -> Callable[[Both], Any]:
    async def use(client: Both) -> None:
        assert (await client.get(server.url)).http_version == "HTTP/2"

    return use


@pytest.mark.parametrize("http_version", ["2", "1.1"])
@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (Lost(), "ReadError"),
        (Lost(10), "ReadError"),
        (Reset(10), "RemoteProtocolError"),
        (Truncated(10), "RemoteProtocolError"),
        (GoAway(10, processed=True), "ReadError"),
    ],
)
def test_faults_of_the_server(kit: Kit, http_version: Any, fault: Any, name: str) -> None:
    if http_version == "1.1":  # one connection, one request: both end together
        name = {"Reset": "ReadError", "GoAway": "RemoteProtocolError"}.get(type(fault).__name__, name)

    async def use(client: Both) -> None:
        with pytest.raises(getattr(kit.api, name)) as raised:
            await client.get("http://example.org/")
        assert raised.value.__cause__.retryable is False
        assert raised.value.request.url.host == "example.org"

    answers = MockTransport([Answer(content=b"x" * 100, fault=fault)], http_version=http_version)
    kit.run(use, transport={"transport": answers})


def test_fields_that_must_not_be_sent(kit: Kit, server: RunningServer) -> None:
    async def use(client: Both) -> None:
        with pytest.raises(kit.api.LocalProtocolError):
            await client.get(server.url, headers={"x-bad": "a\r\nb: c"})

    kit.run(use, server)


def test_a_request_that_is_cancelled_gives_its_place_back(server: RunningServer) -> None:
    async def main() -> None:
        async with httpx2.AsyncClient(transport=Kit("httpx2", True).transport(server)) as client:
            asking = asyncio.ensure_future(client.get(server.url + "/slow"))
            await asyncio.sleep(0.05)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert (await client.get(server.url)).status_code == 200

    asyncio.run(main())


def test_cancellation_during_a_stream_closes_it(server: RunningServer) -> None:
    """encode/httpx issue 2139."""

    async def main() -> None:
        async with httpx2.AsyncClient(transport=Kit("httpx2", True).transport(server)) as client:

            async def interrupted() -> None:
                async with client.stream("GET", server.url + "/stream") as response:
                    async for _ in response.aiter_bytes():
                        raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                await interrupted()
            assert (await client.get(server.url)).status_code == 200

    asyncio.run(main())


# -- the transport itself ----------------------------------------------------------------------------------------------


def test_it_is_opened_and_closed_with_the_client(kit: Kit) -> None:
    events: list[str] = []

    class Carrier:
        async def send(self, outgoing: Any, *, whole: bool = False) -> Any:
            raise NotImplementedError

        async def aclose(self) -> None:
            events.append("closed")

    async def use(client: Both) -> None:
        assert events == []

    kit.run(use, transport={"transport": Carrier()})
    assert events == ["closed"]


def test_an_application_in_memory(kit: Kit) -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        content = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps([scope["path"], content.decode()]).encode()})

    async def use(client: Both) -> None:
        assert (await client.post("http://example.org/path", content=b"hello")).json() == ["/path", "hello"]

    kit.run(use, transport={"transport": ASGITransport(asgi, lifespan="off")})


def test_options_for_two() -> None:
    with pytest.raises(TypeError, match="the options http1 need a transport that is made here"):
        under_httpx2.AsyncTransport(MockTransport([]), http1=False)


def test_options_are_those_of_the_network(kit: Kit) -> None:
    config = kit.transport(http1=False, verify=False).transport.config
    assert (config.http1, config.verify) == (False, False)
