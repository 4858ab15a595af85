"""The client over a transport of a test: defaults, the short way and the long one, hooks, timeouts, errors."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest

from headrace.client import (
    URL,
    Client,
    ConnectionLost,
    DecodingError,
    InvalidURL,
    NetworkConfig,
    PoolError,
    Request,
    Response,
    Timeouts,
    TotalTimeout,
)
from headrace.client.message.decoding import accept_encoding
from headrace.client.pool.network import NetworkTransport

from tests.client.support.fake import Answer, FakeTransport
from tests.support.serving import Run

HERE = "https://example.org/a?b=c#d"


def echo(sent: Any) -> Answer:
    return Answer(content=f"{sent.method} {sent.origin} {sent.target}".encode())


def test_the_short_way_and_the_long_one_are_the_same(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(respond=echo)
        async with Client(transport=transport) as client:
            responses = [await client.get(HERE), await client.get(HERE), await client.request("GET", HERE, headers={})]
        for sent in transport.sent:
            assert (sent.method, sent.target, sent.url, sent.whole) == ("GET", "/a?b=c", HERE, True)
            assert sent.outgoing.authority == b"example.org"
            assert sent.headers == [
                (b"user-agent", b"headrace"), (b"accept", b"*/*"), (b"accept-encoding", accept_encoding().encode()),
            ]  # fmt: skip
        assert transport.sent[1].outgoing.headers is not transport.sent[0].outgoing.headers
        for response in responses:
            assert response.text == "GET https://example.org:443 /a?b=c"
            assert response.url == HERE and response.request.method == "GET" and response.elapsed.total_seconds() > 0
            assert response.request.headers["user-agent"] == "headrace"
        assert transport.is_closed

    run(main())


def test_the_short_way_shares_one_list_of_fields(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(respond=echo)
        async with Client(transport=transport) as client:
            for url in (HERE, HERE, HERE, URL(HERE), URL(HERE)):
                await client.get(url)
        lists = [sent.outgoing.headers for sent in transport.sent]
        assert lists[0] is not lists[1]
        assert lists[1] is lists[2] is lists[3] is lists[4], "a URL is found by its text, and the other way round"

    run(main())


def test_every_method(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(respond=echo)
        async with Client(transport=transport) as client:
            for name in ("get", "head", "options", "delete", "post", "put", "patch"):
                await getattr(client, name)(HERE)
            await client.request("query", HERE)
        assert [sent.method for sent in transport.sent] == [
            "GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH", "query",
        ]  # fmt: skip

    run(main())


def test_what_changes_on_the_client_counts_from_then_on(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(respond=lambda sent: Answer())
        async with Client(transport=transport) as client:
            for _ in range(2):
                await client.get("https://a.example/")
            client.headers["x-a"] = "1"
            await client.get("https://a.example/")
            client.headers.add("x-a", "2")
            await client.get("https://a.example/")
            client.headers = {"x-b": "3"}
            await client.get("https://a.example/")
            client.params = {"p": "q"}
            await client.get("https://a.example/")
            assert client.params["p"] == "q"
            client.params = None
            client.timeout = 5
            await client.get("https://a.example/")
            assert client.timeout == Timeouts.of(5)
            client.headers["host"] = "other.example"
            await client.get("https://a.example/")
        sent = transport.sent
        assert (b"x-a", b"1") in sent[2].headers and (b"x-a", b"2") in sent[3].headers
        assert sent[4].headers == [(b"x-b", b"3")]
        assert sent[5].target == "/?p=q" and sent[6].target == "/"
        assert sent[6].outgoing.timeouts.read == 5
        assert sent[7].outgoing.authority == b"other.example"

    run(main())


@pytest.mark.parametrize(
    ("base", "url", "result"),
    [
        ("https://a.example/v1", "users", "https://a.example/v1/users"),
        ("https://a.example/v1/", "/users", "https://a.example/v1/users"),
        ("https://a.example/v1", "users?x=1#f", "https://a.example/v1/users?x=1#f"),
        ("https://a.example/v1", "", "https://a.example/v1"),
        ("https://a.example", "x/../y", "https://a.example/y"),
        ("https://a.example/v1", "https://b.example/z", "https://b.example/z"),
        ("https://u:p@a.example/v1", "x", "https://u:p@a.example/v1/x"),
        ("", "https://b.example/z", "https://b.example/z"),
    ],
)
def test_base_url(base: str, url: str, result: str) -> None:
    client = Client(transport=FakeTransport(), base_url=base)
    assert client.build_request("GET", url).url == result
    client.base_url = "https://c.example"
    assert client.build_request("GET", "/x").url == "https://c.example/x" and client.base_url.host == "c.example"


def test_params_of_client_url_and_request() -> None:
    client = Client(transport=FakeTransport(), params={"a": "1", "b": "2"})
    assert client.build_request("GET", "https://x/?a=0&z=%41", params={"b": "3"}).url == "https://x/?a=1&z=A&b=3"
    assert client.build_request("GET", "https://x/?z=%41").url == "https://x/?z=%41&a=1&b=2"


def test_hooks(run: Run) -> None:
    told: list[str] = []

    def on_request(request: Request) -> None:
        told.append(f"request {request.url.path}")
        request.headers["x-hook"] = "1"

    async def on_response(response: Response) -> None:
        told.append(f"response {response.status} {response.request.url.path}")

    async def main() -> None:
        transport = FakeTransport(
            respond=lambda sent: Answer(302, [("location", "/2")]) if sent.target == "/1" else Answer()
        )
        hooks: Any = {"request": [on_request], "response": [on_response]}
        async with Client(transport=transport, event_hooks=hooks) as client:
            await client.get("https://a.example/1")
            assert client.event_hooks == hooks
            client.event_hooks = {}
            await client.get("https://a.example/3")
        assert told == ["request /1", "response 302 /1", "request /2", "response 200 /2"]
        assert [sent.field("x-hook") for sent in transport.sent] == ["1", "1", None]

    run(main())
    with pytest.raises(ValueError, match="unknown event 'requests'"):
        Client(transport=FakeTransport(), event_hooks={"requests": []})


def test_a_hook_that_fails_gives_the_response_up(run: Run) -> None:
    def fail(response: Response) -> None:
        raise KeyError("hook")

    answer = Answer(content=[b"a", b"b"])

    async def main() -> None:
        async with Client(transport=FakeTransport(answer), event_hooks={"response": [fail]}) as client:
            with pytest.raises(KeyError):
                async with client.stream("GET", HERE):
                    pass
        assert answer.is_closed

    run(main())


def test_codings_are_taken_off_on_both_ways(run: Run) -> None:
    made = gzip.compress(b"hello")

    async def main() -> None:
        transport = FakeTransport(respond=lambda sent: Answer(200, [("content-encoding", "gzip")], made))
        async with Client(transport=transport) as client:
            for _ in range(2):
                assert (await client.get(HERE)).text == "hello"
            assert (await client.post(HERE)).text == "hello"
        wrong = FakeTransport(respond=lambda sent: Answer(200, [("content-encoding", "gzip")], b"nonsense"))
        async with Client(transport=wrong) as client:
            for _ in range(2):
                with pytest.raises(DecodingError) as raised:
                    await client.get(HERE)
                assert raised.value.url == HERE and raised.value.head is not None
        unknown = FakeTransport(respond=lambda sent: Answer(200, [("content-encoding", "unheard-of")], made))
        async with Client(transport=unknown) as client:
            assert (await client.get(HERE)).content == made

    run(main())


def test_errors_have_the_url(run: Run) -> None:
    async def main() -> None:
        async with Client(transport=FakeTransport(respond=lambda sent: ConnectionLost("gone"))) as client:
            for _ in range(2):
                with pytest.raises(ConnectionLost) as raised:
                    await client.get("https://u:p@example.org/x")
                assert str(raised.value) == "gone (https://example.org/x)"
                with pytest.raises(ConnectionLost) as raised:
                    await client.get(HERE)
                assert raised.value.url == HERE

    run(main())


@pytest.mark.parametrize(
    "url", ["/relative", "example.org", "ftp://example.org/", "file:///etc/passwd", "https://", "mailto:a"]
)
def test_where_no_request_goes(run: Run, url: str) -> None:
    async def main() -> None:
        transport = FakeTransport()
        async with Client(transport=transport) as client:
            with pytest.raises(InvalidURL):
                await client.get(url)
            with pytest.raises(InvalidURL):
                await client.post(url)
        assert not transport.sent

    run(main())


def test_after_its_end(run: Run) -> None:
    async def main() -> None:
        client = Client(transport=FakeTransport(respond=echo))
        for _ in range(2):
            await client.get(HERE)
        await client.aclose()
        await client.aclose()
        assert client.is_closed
        for method in ("GET", "POST"):
            with pytest.raises(PoolError, match="closed"):
                await client.request(method, HERE)
        with pytest.raises(PoolError, match="closed"):
            await client.get(HERE)

    run(main())


def test_the_timeout_for_all_of_it(run: Run) -> None:
    async def main() -> None:
        never = asyncio.get_running_loop().create_future()
        transport = FakeTransport(respond=lambda sent: never)
        async with Client(transport=transport) as client:
            with pytest.raises(TotalTimeout, match=r"total timeout \(https://example.org/") as raised:
                await client.get(HERE, timeout=Timeouts(total=0.01))
            assert isinstance(raised.value, TimeoutError) and raised.value.phase == "total"
        assert never.cancelled()

    run(main())


def test_the_timeout_for_all_of_it_is_over_a_streams_content_too(run: Run) -> None:
    async def main() -> None:
        answer = Answer(content=[b"a"])
        never = asyncio.get_running_loop().create_future()
        first = answer.receive

        async def stalled() -> bytes:
            return await first() or await never

        answer.receive = stalled  # type: ignore[method-assign]
        timeout = Timeouts(total=0.05)
        async with (
            Client(transport=FakeTransport(answer)) as client,
            client.stream("GET", HERE, timeout=timeout) as response,
        ):
            with pytest.raises(TotalTimeout):
                await response.aread()
        assert answer.is_closed

    run(main())


def test_what_a_client_cannot_be_made_of() -> None:
    with pytest.raises(TypeError, match="not both"):
        Client(transport=FakeTransport(), network=NetworkConfig())
    with pytest.raises(TypeError):
        Client(transport=FakeTransport(), auth=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout"):
        Client(transport=FakeTransport(), timeout=-1)
    with pytest.raises(InvalidURL):
        Client(transport=FakeTransport(), base_url="https://exa mple.org")


def test_a_request_that_is_built_and_sent(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(respond=echo)
        async with Client(transport=transport, headers={"x": "1"}) as client:
            request = client.build_request("PUT", HERE, json={"a": 1})
            request.headers["x"] = "2"
            response = await client.send(request)
            assert response.request.url == HERE and transport.sent[0].field("x") == "2"
            streamed = await client.send(request, stream=True)
            async with streamed:
                assert await streamed.aread() == b"PUT https://example.org:443 /a?b=c"

    run(main())


def test_upload_progress(run: Run) -> None:
    told: list[tuple[int, int | None]] = []

    async def main() -> None:
        async with Client(transport=FakeTransport(respond=echo)) as client:
            await client.put(HERE, content=[b"ab", b"c"], on_upload=lambda done, total: told.append((done, total)))
            await client.put(HERE, content=b"abcd", on_upload=lambda done, total: told.append((done, total)))

    run(main())
    assert told == [(2, None), (3, None), (4, 4)]


def test_many_urls_do_not_fill_memory(run: Run) -> None:
    from headrace.client.calls.defaults import CACHED_TARGETS

    async def main() -> None:
        async with Client(transport=FakeTransport(respond=lambda sent: Answer())) as client:
            for number in range(CACHED_TARGETS + 10):
                await client.get(f"https://a.example/{number}")
            assert len(client._targets) <= CACHED_TARGETS

    run(main())


# -- settings of the network ---------------------------------------------------------------------------------------


def test_what_is_asked_for_most_of_the_network_is_said_to_the_client() -> None:
    client = Client(http1=False, max_connections=7, keepalive_ping_s=3.0)
    assert isinstance(client.transport, NetworkTransport)
    config = client.transport.config
    assert (config.http1, config.max_connections, config.keepalive_ping_s, config.idle_timeout_s) == (False, 7, 3.0, 60)


def test_it_goes_before_the_settings_as_a_whole() -> None:
    client = Client(network=NetworkConfig(http2=False, idle_timeout_s=9, trust_env=False), http2=True)
    assert isinstance(client.transport, NetworkTransport)
    config = client.transport.config
    assert (config.http2, config.idle_timeout_s, config.trust_env) == (True, 9, False)


def test_it_is_not_said_to_another_transport() -> None:
    with pytest.raises(TypeError, match="not both"):
        Client(transport=FakeTransport(), verify=False)
