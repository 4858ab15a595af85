"""The proxy's parts where a whole proxy hardly ever comes: tunnels blocked at the end, clients without an address."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.client.errors import PoolTimeout
from headrace.client.testing.mock import MockTransport
from headrace.proxy import ReverseProxy
from headrace.proxy.fields import add_forwarded
from headrace.proxy.places import UpstreamPlaces, _time_out
from headrace.proxy.relay import Relay


class Tunnel:
    """One side of a relay, blocked and lost as the test says."""

    def __init__(self) -> None:
        self.blocked = False
        self.written: list[tuple[bytes, bool]] = []
        self.credit = 0
        self.aborted = 0
        self.writable = asyncio.Event()
        self.lost = False

    async def unblocked(self) -> None:
        await self.writable.wait()
        if self.lost:
            raise OSError("gone")

    def write(self, data: bytes, end: bool) -> None:
        self.written.append((data, end))

    def consumed(self, count: int) -> None:
        self.credit += count

    def abort(self) -> None:
        self.aborted += 1

    def abort_later(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self.abort)


@pytest.mark.parametrize("lost", [False, True])
def test_the_last_bytes_leave_before_the_end(lost: bool) -> None:
    async def main() -> None:
        relay, client, upstream = Relay(), Tunnel(), Tunnel()
        running = asyncio.ensure_future(relay.run(client, upstream))
        await asyncio.sleep(0)
        relay.up.on_bytes(b"last of the client", 18, True)
        upstream.blocked = True
        relay.down.on_bytes(b"last of the upstream", 20, True)
        for _ in range(3):
            await asyncio.sleep(0)
        assert not running.done()
        assert (client.written, upstream.written) == (
            [(b"last of the upstream", True)],
            [(b"last of the client", True)],
        )
        upstream.lost = lost
        upstream.writable.set()
        await running
        relay.look()
        relay.end()
        assert (client.aborted, upstream.aborted) == (1, 1)

    asyncio.run(main())


def test_a_relay_that_is_cancelled_ends_both() -> None:
    async def main() -> None:
        relay, client, upstream = Relay(), Tunnel(), Tunnel()
        running = asyncio.ensure_future(relay.run(client, upstream))
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (client.aborted, upstream.aborted) == (1, 1)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["x-forwarded", "forwarded"])
def test_a_client_without_an_address_is_unknown(kind: Any) -> None:
    given = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-for", b"192.0.2.9"), (b"a", b"1")]
    added = dict(add_forwarded(given, kind, True, None, "http", "a.example"))
    if kind == "x-forwarded":
        assert added[b"x-forwarded-for"] == b"192.0.2.9, unknown"
        assert added[b"x-forwarded-proto"] == b"https", "what a trusted proxy has said stays"
        assert added[b"x-forwarded-host"] == b"a.example"
    else:
        assert added[b"forwarded"].startswith(b"for=unknown;proto=http;host=")


# -- places ------------------------------------------------------------------------------------------------------------


def test_without_a_capacity_nobody_waits() -> None:
    async def main() -> None:
        places = UpstreamPlaces(lambda: None, 0.25, 0.5)
        holds = [await places.take("c", "a", None, "") for _ in range(1_000)]
        assert (places.held, places.waiting) == (1_000, 0)
        for each in holds:
            each.give_back()
        assert places.visitors == 0

    asyncio.run(main())


def test_a_place_that_comes_with_the_timeout_is_a_place() -> None:
    async def main() -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        _time_out(future, 1.0, "http://a.example/")
        assert future.result() is None
        late: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        _time_out(late, 1.5, "http://a.example/")
        with pytest.raises(PoolTimeout, match=r"for 1\.5 s"):
            await late

    asyncio.run(main())


def test_a_transport_of_ones_own_has_no_places_that_are_counted() -> None:
    async def main() -> None:
        proxy = ReverseProxy("http://a.example", transport=MockTransport([]))
        assert proxy.tunnel_places._capacity() is None
        with pytest.raises(TypeError, match="Request"):
            await proxy("no request")  # type: ignore[arg-type] # as where it is mounted in another framework
        await proxy.aclose()

    asyncio.run(main())
