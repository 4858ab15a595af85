"""A request whose response had begun was processed: a policy sends it again only if its `methods` have the method.

By default that is so for a GET, and not for a POST, whatever the server sends afterwards.
"""

from __future__ import annotations

from typing import Any

import pytest

from headrace.client import Client, NetworkConfig, RequestError, RetryPolicy

from tests.client.support.peer import listening
from tests.support import wire
from tests.support.serving import Run

ENDS: dict[str, bytes] = {
    "REFUSED_STREAM": wire.rst_stream(1, wire.REFUSED_STREAM),
    "GOAWAY": wire.goaway(0),
    "GOAWAY, and the end of the content": wire.goaway(0) + wire.data(1, b"all", end_stream=True),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_post_that_was_answered_is_sent_once(run: Run, end: str) -> None:
    seen: list[int] = []

    async def pay(peer: Any) -> None:
        request = await peer.request()
        seen.append(request.stream_id)
        peer.begin(request.stream_id)
        peer.content(request.stream_id, b"a part")
        peer.send(ENDS[end])

    async def main() -> None:
        async with (
            listening(script=pay) as server,
            Client(network=NetworkConfig(http1=False), retry=RetryPolicy(attempts=3, backoff_s=0.001)) as client,
        ):
            with pytest.raises(RequestError) as caught:
                await client.post(f"http://127.0.0.1:{server.port}/pay", content=b"1 EUR")
            assert caught.value.head is not None and caught.value.head.status == 200
            assert not caught.value.retryable
            assert seen == [1]

    run(main())


@pytest.mark.parametrize(
    ("method", "policy"), [("GET", {}), ("POST", {"methods": {"POST"}})], ids=["GET", "POST, listed"]
)
@pytest.mark.parametrize("end", ENDS)
def test_control_a_method_of_the_policy_is_sent_again(run: Run, end: str, method: str, policy: Any) -> None:
    seen: list[int] = []

    async def pay(peer: Any) -> None:
        request = await peer.request()
        seen.append(request.stream_id)
        if len(seen) > 1:
            peer.respond(request.stream_id, b"whole")
            return
        peer.begin(request.stream_id)
        peer.content(request.stream_id, b"a part")
        peer.send(ENDS[end])
        if end == "REFUSED_STREAM":  # the connection goes on
            peer.respond((await peer.request()).stream_id, b"whole")
            seen.append(3)

    async def main() -> None:
        retry = RetryPolicy(attempts=3, backoff_s=0.001, **policy)
        async with (
            listening(script=pay) as server,
            Client(network=NetworkConfig(http1=False), retry=retry) as client,
        ):
            response = await client.request(method, f"http://127.0.0.1:{server.port}/pay")
            assert (response.content, len(seen)) == (b"whole", 2)

    run(main())


def test_control_a_post_that_was_refused_unanswered_is_sent_again(run: Run) -> None:
    seen: list[int] = []

    async def pay(peer: Any) -> None:
        for _ in range(2):
            request = await peer.request()
            seen.append(request.stream_id)
            if len(seen) == 1:
                peer.send(wire.rst_stream(request.stream_id, wire.REFUSED_STREAM))
            else:
                peer.respond(request.stream_id, b"paid")

    async def main() -> None:
        async with listening(script=pay) as server, Client(network=NetworkConfig(http1=False)) as client:
            response = await client.post(f"http://127.0.0.1:{server.port}/pay", content=b"1 EUR")
            assert response.content == b"paid" and len(seen) == 2

    run(main())
