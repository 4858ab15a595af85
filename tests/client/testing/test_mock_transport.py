"""The server that exists only in tests: it answers, and each of its faults has the same effect as on a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest

from headrace.client import (
    Client,
    ConnectError,
    ConnectionLost,
    HeadersTimeout,
    ReadTimeout,
    RemoteProtocolError,
    RequestError,
    RetryPolicy,
    StreamReset,
    TruncatedBody,
    WriteTimeout,
)
from headrace.client.connect.config import NetworkConfig
from headrace.client.testing.mock import (
    Answer,
    Drain,
    Fault,
    GoAway,
    Lost,
    MockRequest,
    MockTransport,
    Raw,
    Refused,
    Reset,
    Stall,
    Truncated,
)
from headrace.client.timeouts import Timeouts
from headrace.engine.limits import Limits

from tests.support.serving import Run, settled

URL = "https://example.org/"
Version = Literal["1.1", "2"]
VERSIONS = pytest.mark.parametrize("version", ["1.1", "2"])


@VERSIONS
def test_an_answer_is_what_was_said(run: Run, version: Version) -> None:
    def handler(request: MockRequest) -> Answer:
        if request.path == "/json":
            return Answer(201, {"X-One": "1"}, json={"sum": 3})
        if request.path == "/text":
            return Answer(text="grün", trailers=[("x-sum", "1")], early_hints={"link": "</a.css>"})
        return Answer(content=b"octets")

    async def main() -> None:
        transport = MockTransport(handler, http_version=version)
        async with Client(transport=transport, base_url=URL) as client:
            response = await client.post("/json", params={"q": "a b"}, json=[1], headers={"x-two": "2"})
            assert (response.status, response.json(), response.headers["x-one"]) == (201, {"sum": 3}, "1")
            assert response.headers["content-type"] == "application/json"
            assert response.http_version == version
            response = await client.get("/text")
            assert response.text == "grün"
            assert dict(response.trailers) == {"x-sum": "1"}
            assert [status for status, _ in response.informational] == [103]
            response = await client.head("/")
            assert (response.content, response.headers["content-length"]) == (b"", "6")
            assert transport.connections == 1
        request = transport.requests[0]
        assert (request.method, request.path, request.target) == ("POST", "/json", "/json?q=a+b")
        assert (request.url, request.http_version) == ("https://example.org/json?q=a+b", version)
        assert (request.content, request.header("X-Two"), request.header("x-none")) == (b"[1]", "2", None)
        assert repr(request) == "<POST https://example.org/json?q=a+b>"

    run(main())


@VERSIONS
def test_a_script_is_answered_in_order_and_has_an_end(run: Run, version: Version) -> None:
    async def main() -> None:
        transport = MockTransport([Answer(200), Answer(404)], http_version=version)
        async with Client(transport=transport) as client:
            assert [(await client.get(URL)).status for _ in range(2)] == [200, 404]
            with pytest.raises(AssertionError, match="the script has 2 answers, and none for the next request, <GET"):
                await client.get(URL)

    run(main())


@VERSIONS
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_handler_raises_comes_out_of_the_request(run: Run, version: Version, is_async: bool) -> None:
    def fails(request: MockRequest) -> Answer:
        raise AssertionError(f"not that: {request.path}")

    async def fails_too(request: MockRequest) -> Answer:
        return fails(request)

    async def main() -> None:
        handler: Any = fails_too if is_async else fails
        async with Client(transport=MockTransport(handler, http_version=version)) as client:
            with pytest.raises(AssertionError, match="not that: /x"):
                await client.get(URL + "x")
        async with Client(transport=MockTransport(lambda request: "text", http_version=version)) as client:  # type: ignore[arg-type,return-value]
            with pytest.raises(TypeError, match="returns an Answer or a fault, not str"):
                await client.get(URL)

    run(main())


@VERSIONS
def test_a_coroutine_may_read_wait_and_answer_early(run: Run, version: Version) -> None:
    go_on = asyncio.Event()

    async def handler(request: MockRequest) -> Answer:
        if request.path == "/early":
            return Answer(413)
        await go_on.wait()
        return Answer(content=await request.read())

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(10_000)
            await asyncio.sleep(0)

    async def main() -> None:
        async with Client(transport=MockTransport(handler, http_version=version)) as client:
            sending = asyncio.ensure_future(client.post(URL, content=b"x" * 1_000_000))
            await asyncio.sleep(0.01)
            assert not sending.done()
            go_on.set()
            assert (await sending).content == b"x" * 1_000_000
            assert (await client.post(URL + "early", content=endless())).status == 413

    run(main())


CONTENT = b"x" * 100_000
ENDS: list[tuple[Fault, Version, type[RequestError]]] = [
    (Reset(), "2", StreamReset),
    (Reset(), "1.1", ConnectionLost),
    (Lost(), "2", ConnectionLost),
    (Lost(), "1.1", ConnectionLost),
    (GoAway(processed=True), "2", ConnectionLost),
    (Truncated(), "1.1", ConnectionLost),
    (Raw(data=b"\0\0\1\1\4\0\0\0\1\xff"), "2", RemoteProtocolError),  # HEADERS that HPACK cannot decode
    (Raw(data=b"nonsense\r\n\r\n"), "1.1", RemoteProtocolError),
]


@pytest.mark.parametrize(("fault", "version", "error"), ENDS)
def test_a_fault_in_place_of_an_answer(run: Run, fault: Fault, version: Version, error: type[Exception]) -> None:
    async def main() -> None:
        transport = MockTransport([fault, Answer(text="not again")], http_version=version)
        async with Client(transport=transport) as client:
            with pytest.raises(error) as raised:
                await client.post(URL, content=b"once")
            assert isinstance(raised.value, RequestError)
            assert not raised.value.retryable
            assert len(transport.requests) == 1
            assert (await client.get(URL)).text == "not again"

    run(main())


@pytest.mark.parametrize(
    ("fault", "version", "error"),
    [
        (Reset, "2", StreamReset),
        (Lost, "2", ConnectionLost),
        (Lost, "1.1", (ConnectionLost, TruncatedBody)),
        (Truncated, "2", TruncatedBody),
        (Truncated, "1.1", TruncatedBody),
    ],
)
@pytest.mark.parametrize("after", [0, 1, 50_000])
def test_a_fault_behind_so_many_bytes(run: Run, fault: Any, version: Version, error: Any, after: int) -> None:
    async def main() -> None:
        async with Client(
            transport=MockTransport([Answer(content=CONTENT, fault=fault(after))], http_version=version)
        ) as client:
            seen = 0

            async def read() -> None:
                nonlocal seen
                async with client.stream("GET", URL) as response:
                    assert response.status == 200
                    async for piece in response.iter_raw():
                        seen += len(piece)

            with pytest.raises(error):
                await read()
            assert seen <= after

    run(main())


def test_a_reset_has_its_code(run: Run) -> None:
    async def main() -> None:
        async with Client(transport=MockTransport([Reset(code=0x8)])) as client:
            with pytest.raises(StreamReset, match="CANCEL") as raised:
                await client.get(URL)
            assert raised.value.code == 8

    run(main())


@pytest.mark.parametrize("fault", [Refused(), GoAway()])
def test_what_was_not_processed_is_sent_again(run: Run, fault: Fault) -> None:
    """RFC 9113 §8.7: with any method."""

    async def main() -> None:
        transport = MockTransport([fault, Answer(text="second")])
        async with Client(transport=transport) as client:
            assert (await client.post(URL, content=b"content")).text == "second"
        assert [request.content for request in transport.requests] == [b"content"] * 2
        assert transport.connections == (2 if isinstance(fault, GoAway) else 1)

    run(main())


@VERSIONS
def test_a_drain_is_not_noticed(run: Run, version: Version) -> None:
    async def main() -> None:
        transport = MockTransport(lambda request: Answer(content=CONTENT, fault=Drain(10)), http_version=version)
        async with Client(transport=transport) as client:
            for _ in range(3):
                assert (await client.get(URL)).content == CONTENT
        if version == "2":
            assert transport.connections == 3

    run(main())


@VERSIONS
def test_a_stall_that_ends_and_one_that_does_not(run: Run, version: Version) -> None:
    async def main() -> None:
        timeouts = Timeouts(headers=0.1, read=0.1)
        slow = Answer(content=CONTENT, fault=Stall(10, 0.01))
        answers: list[Answer | Fault] = [slow, Stall(), Answer(content=CONTENT, fault=Stall(10))]
        transport = MockTransport(answers, http_version=version)
        async with Client(transport=transport, timeout=timeouts) as client:
            assert (await client.get(URL)).content == CONTENT
            with pytest.raises(HeadersTimeout):
                await client.get(URL)
            with pytest.raises(ReadTimeout):
                await client.get(URL)

    run(main())


@VERSIONS
def test_an_upload_that_nobody_reads_stalls(run: Run, version: Version) -> None:
    async def stalls(request: MockRequest) -> Stall:
        return Stall()

    async def main() -> None:
        limits = Limits(initial_stream_window=65_535)
        transport = MockTransport(stalls, http_version=version, limits=limits)
        async with Client(transport=transport, timeout=Timeouts(write=0.1)) as client:
            with pytest.raises(WriteTimeout):
                await client.post(URL, content=bytes(10_000_000))
            (request,) = transport.requests
            assert 65_535 <= len(request.content) < 1_000_000
            await settled(lambda: request.gone is not None)

    run(main())


def test_connections_that_fail(run: Run) -> None:
    async def main() -> None:
        error = ConnectError("nobody listens on 192.0.2.1:443")
        transport = MockTransport(lambda request: Answer(), attempts=[error, None])
        async with Client(transport=transport) as client:
            with pytest.raises(ConnectError, match=r"nobody listens on 192\.0\.2\.1:443"):
                await client.get(URL)
            assert (await client.get(URL)).status == 200
        assert transport.connections == 1

    run(main())


def test_a_retry_policy_against_a_script(run: Run) -> None:
    """Its purpose: to test a program's own code under faults."""

    async def main() -> None:
        transport = MockTransport([Answer(503), Lost(), Answer(200)])
        retry = RetryPolicy(attempts=3, backoff_s=0.001)
        async with Client(transport=transport, retry=retry) as client:
            assert (await client.get(URL)).status == 200
        assert len(transport.requests) == 3

    run(main())


def test_a_fault_of_one_connection_is_no_fault_of_another(run: Run) -> None:
    async def handler(request: MockRequest) -> Answer | Fault:
        return Lost() if request.path == "/lost" else Answer()

    async def main() -> None:
        transport = MockTransport(handler)
        async with Client(transport=transport) as client:
            assert (await client.get("https://one.example/")).status == 200
            assert (await client.get("https://two.example/")).status == 200
            with pytest.raises(ConnectionLost):
                await client.get("https://one.example/lost")
            assert (await client.get("https://two.example/")).status == 200
        assert transport.connections == 2

    run(main())


@VERSIONS
def test_large_content_both_ways(run: Run, version: Version) -> None:
    """More than any window: the pair in memory has back-pressure."""

    async def main() -> None:
        content = bytes(20_000_000)
        transport = MockTransport(lambda request: Answer(content=request.content), http_version=version)
        async with Client(transport=transport) as client:
            assert (await client.post(URL, content=content)).content == content

    run(main())


def test_the_pools_limits_hold(run: Run) -> None:
    running = most = 0

    async def handler(request: MockRequest) -> Answer:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return Answer()

    async def main() -> None:
        config = NetworkConfig(max_h1_connections_per_origin=3)
        async with Client(transport=MockTransport(handler, http_version="1.1", config=config)) as client:
            await asyncio.gather(*[client.get(URL) for _ in range(20)])
        assert most == 3

    run(main())


def test_an_answer_has_one_content() -> None:
    with pytest.raises(ValueError, match="one content"):
        Answer(content=b"x", text="y")


def test_closing_leaves_nothing_behind(run: Run) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        transport = MockTransport([Stall(), Stall()])
        client = Client(transport=transport)
        requests = [asyncio.ensure_future(client.get(URL)) for _ in range(2)]
        await settled(lambda: len(transport.requests) == 2)
        for request in requests:
            request.cancel()
        await asyncio.wait(requests)
        await client.aclose()
        await settled(lambda: asyncio.all_tasks() == before)

    run(main())
