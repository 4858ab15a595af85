"""The size of kept content: `max_response_size`, and responses that only lead to another one."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from headrace.client import Client, DigestAuth, ResponseTooLarge, RetryPolicy, StreamConsumed, SyncClient, TruncatedBody
from headrace.client.testing.asgi import ASGITransport
from headrace.client.testing.mock import Answer as Scripted
from headrace.client.testing.mock import MockTransport
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response as Served

from tests.client.support.fake import Answer, FakeTransport
from tests.support.serving import Run, port, serving

URL = "http://a.example/"
BOTH = pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])


def client(http2: bool, **options: Any) -> Client:
    return Client(**options, http1=not http2, http2=http2, trust_env=False)


async def app(request: Request) -> Served:
    kind, _, size = request.path.strip("/").partition("-")
    content = b"x" * int(size or 0)
    await request.read()
    if kind == "redirect":
        return Served(302, [("location", "/ok-3")], content)
    if kind == "nowhere":
        return Served(302, [], content)
    if kind == "challenge":
        return Served(401, [("www-authenticate", 'Digest realm="r", nonce="n", qop="auth"')], content)
    return Served({"busy": 503, "misdirected": 421}.get(kind, 200), [], content)


@BOTH
@pytest.mark.parametrize("size", [0, 10, 65_536, 65_537, 3_000_000])
@pytest.mark.parametrize("way", ["plain", "with options", "with a hook"])
def test_redirects(run: Run, http2: bool, size: int, way: str) -> None:
    """Small content is read, and the connection goes on. Large content is dropped, and no part passes for the whole."""

    async def main() -> None:
        hooks = {"response": [lambda _: None]} if way == "with a hook" else None
        async with serving(app) as server, client(http2, event_hooks=hooks) as one:
            url = f"http://127.0.0.1:{port(server)}/redirect-{size}"
            for _ in range(2):
                response = await (one.get(url, headers={"a": "b"}) if way == "with options" else one.get(url))
                assert response.content == b"xxx" and [each.status for each in response.history] == [302]
                (redirect,) = response.history
                if size <= 65_536:
                    assert redirect.content == b"x" * size
                else:
                    assert redirect.is_closed
                    with pytest.raises(StreamConsumed):
                        _ = redirect.content
            assert one.transport.stats().connections == 1  # type: ignore[attr-defined]

    run(main())


@BOTH
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_what_looked_like_an_answer_on_the_way_and_is_the_last_one_is_whole(run: Run, http2: bool, size: int) -> None:
    async def main() -> None:
        policy = RetryPolicy(attempts=2, backoff_s=0.0, budget=None)
        for hooks in (None, {"response": [lambda _: None]}):
            async with serving(app) as server, client(http2, event_hooks=hooks, retry=policy) as one:
                several: list[tuple[str, Any]] = [
                    ("nowhere", {}),
                    ("challenge", {"auth": DigestAuth("me", "wrong")}),
                    ("busy", {}),
                    ("misdirected", {}),
                    ("redirect", {"follow_redirects": False}),
                ]
                for kind, options in several:
                    response = await one.get(f"http://127.0.0.1:{port(server)}/{kind}-{size}", **options)
                    assert response.content == b"x" * size, kind
            async with serving(app) as server, client(http2, event_hooks=hooks) as one:
                assert (await one.get(f"http://127.0.0.1:{port(server)}/nowhere-{size}")).content == b"x" * size

    run(main())


@BOTH
def test_the_limit_is_the_last_byte_that_may_come(run: Run, http2: bool) -> None:
    async def main() -> None:
        async with serving(app) as server, client(http2, max_response_size=100_000) as one:
            url = f"http://127.0.0.1:{port(server)}/ok-"
            for size in (99_999, 100_000):
                assert len((await one.get(url + str(size))).content) == size
                assert len((await one.get(url + str(size), headers={"a": "b"})).content) == size
            for size in (100_001, 3_000_000):
                with pytest.raises(ResponseTooLarge, match=r"more than 100,000 bytes \(max_response_size\)") as caught:
                    await one.get(url + str(size))
                assert caught.value.url == url + str(size)
                assert caught.value.head is not None
                assert caught.value.head.status == 200
                with pytest.raises(ResponseTooLarge):
                    await one.post(url + str(size), content=b"x")
                assert len((await one.get(url + str(size), max_response_size=None)).content) == size
                assert len((await one.get(url + str(size), max_response_size=size)).content) == size
                async with one.stream("GET", url + str(size)) as response:
                    assert sum([len(piece) async for piece in response.iter_bytes()]) == size, "a stream has no limit"
                async with one.stream("GET", url + str(size)) as response:
                    for _ in range(2):
                        with pytest.raises(ResponseTooLarge):
                            await response.aread()

    run(main())


@pytest.mark.parametrize("is_plain", [True, False])
def test_it_bounds_what_the_content_becomes(run: Run, is_plain: bool) -> None:
    packed = zlib.compress(bytes(1_000_000), wbits=31)

    async def main() -> None:
        options: Any = {} if is_plain else {"headers": {"a": "b"}}
        transport = FakeTransport(respond=lambda _: Answer(200, [("content-encoding", "gzip")], packed))
        async with Client(transport=transport, max_response_size=999_999) as one:
            with pytest.raises(ResponseTooLarge):
                await one.get(URL, **options)
        async with Client(transport=transport, max_response_size=1_000_000) as one:
            assert len((await one.get(URL, **options)).content) == 1_000_000

    run(main())


def test_other_transports_have_it_too(run: Run) -> None:
    sent = 0

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        assert scope["type"] == "http"
        is_redirect = scope["path"] == "/redirect"
        headers = [(b"location", b"/redirect")] if is_redirect else []
        await send({"type": "http.response.start", "status": 302 if is_redirect else 200, "headers": headers})
        while True:
            await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})
            sent += 10_000

    async def main() -> None:
        async with Client(transport=ASGITransport(endless, lifespan="off"), max_response_size=100_000) as one:
            with pytest.raises(ResponseTooLarge):
                await one.get(URL)
            assert sent <= 110_000
            with pytest.raises(Exception, match="redirected 21 times"):
                await one.get(URL + "redirect")
            assert sent < 21 * 300_000
        script = MockTransport([Scripted(200, content=bytes(200_000))] * 2)
        async with Client(transport=script, max_response_size=100_000) as one:
            with pytest.raises(ResponseTooLarge):
                await one.get(URL)
            assert len((await one.get(URL, max_response_size=None)).content) == 200_000

    run(main())


def test_the_plain_client() -> None:
    transport = FakeTransport(respond=lambda _: Answer(content=bytes(1_000)))
    with SyncClient(transport=transport, max_response_size=999) as one:
        with pytest.raises(ResponseTooLarge):
            one.get(URL)
        assert len(one.get(URL, max_response_size=None).content) == 1_000
    with pytest.raises(ValueError, match="max_response_size is -1"):
        Client(max_response_size=-1)


def test_a_part_is_never_the_whole(run: Run) -> None:
    """After an error, and after it was given up, the part that has come is not the content."""

    async def main() -> None:
        transport = FakeTransport(Answer(content=[b"part", TruncatedBody("cut")]))
        async with Client(transport=transport) as one, one.stream("GET", URL) as response:
            with pytest.raises(TruncatedBody):
                await response.aread()
            with pytest.raises(StreamConsumed):
                await response.aread()

    run(main())
