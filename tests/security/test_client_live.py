"""SECURITY.md 3, the rows that concern a client, against a live hostile server: the whole client, over real sockets.

Each attack ends in a typed error that names the request. Meanwhile memory grows by no more than M megabytes, the
connection is ended where it is what is attacked, and requests to another server go on as before. What the engine bounds
has its controls in `test_client_engine`; those of what the client itself bounds stand here.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from headrace.client import Client, RequestError, Timeouts
from headrace.client import errors as er
from headrace.client.network_config import NetworkConfig
from headrace.server.response import Response

from tests import wire
from tests.security.hostile import Hostile, Link, hostile
from tests.serving import Run, port, serving

MB = 1_000_000
TIMEOUTS = Timeouts(pool=5.0, connect=5.0, tls=1.0, headers=1.0, read=1.0, write=1.0)
STATUS = wire.literal(b":status", b"200")

Behave = Callable[[Link], object]
Ask = Callable[[Client, str], Awaitable[Any]]


async def get(client: Client, url: str) -> Any:
    return await client.get(url)


class Attack:
    """What came of it."""

    def __init__(self) -> None:
        self.error: RequestError | None = None
        self.result: Any = None
        self.peak = 0
        self.others = 0
        self.server: Hostile

    def ended_in(self, *kinds: type[RequestError], says: str = "") -> None:
        assert isinstance(self.error, kinds), repr(self.error or self.result)
        assert self.error.url.startswith("http://127.0.0.1:")
        assert says in str(self.error), str(self.error)

    def was_bounded(self, memory: float = 2.0) -> None:
        """M, in megabytes."""
        assert self.peak < memory * MB, f"memory grew by {self.peak / MB:.1f} MB"


async def attacked(
    behave: Behave, ask: Ask = get, *, http1: bool = False, holds: bool = False, **options: Any
) -> Attack:
    """Ask a server that behaves so, while somebody asks an honest one with the same client. With `holds` the connection
    may stay, as only a request was attacked."""
    it = Attack()
    over = asyncio.Event()
    options.setdefault("timeout", TIMEOUTS)
    network = NetworkConfig(http1=http1, http2=not http1, trust_env=False)

    async def honest(_: Any) -> Response:
        return Response(200, (), b"fine")

    async with serving(honest) as other, Client(network=network, **options) as client:
        url = f"http://127.0.0.1:{port(other)}/"

        async def bystander() -> None:
            while not over.is_set() or it.others < 3:
                response = await client.get(url)
                assert response.content == b"fine"
                it.others += 1
                await asyncio.sleep(0.005)

        with hostile(behave) as it.server:
            watching = asyncio.create_task(bystander())
            await asyncio.sleep(0.02)
            gc.collect()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            try:
                it.result = await ask(client, f"http://127.0.0.1:{it.server.port}/")
            except RequestError as error:
                it.error = error
            finally:
                it.peak = tracemalloc.get_traced_memory()[1] - before
                tracemalloc.stop()
                over.set()
            await watching
            if holds:
                await client.aclose()
            await asyncio.to_thread(it.server.settle)
            assert all(link.is_ended_by_client for link in it.server.links)
    return it


# -- HTTP/2: what a server may send without end ----------------------------------------------------------------


def flooding(unit: Callable[[int, int], bytes], first: bytes = b"") -> Behave:
    """After a request send `first`, then units for its stream and a running number, without end."""

    def behave(link: Link) -> None:
        stream_id = link.h2_request()
        link.send(first)
        link.flood(unit(stream_id, n) for n in itertools.count())

    return behave


def extension(kind: int, payload: bytes) -> Behave:
    frame = wire.frame(kind, 0, 0, payload)
    return flooding(lambda stream_id, n: frame)


BEGUN = wire.response(1)
H2_FLOODS: dict[str, Behave] = {
    "interim responses": flooding(lambda stream_id, n: wire.response(stream_id, b"103", extra=[(b"link", b"</a>")])),
    "CONTINUATION": flooding(
        lambda _, n: wire.continuation(1, wire.literal(b"a", b"b" * 16_000)),
        wire.headers(1, STATUS, end_headers=False),
    ),
    "empty CONTINUATION": flooding(lambda _, n: wire.continuation(1), wire.headers(1, STATUS, end_headers=False)),
    "trailers that never end": flooding(
        lambda _, n: wire.continuation(1, wire.literal(b"a", b"b" * 16_000)),
        BEGUN + wire.headers(1, wire.literal(b"a", b"b"), end_stream=True, end_headers=False),
    ),
    "pushes": flooding(
        lambda stream_id, n: wire.push_promise(stream_id, 2 * n + 2, wire.literals(wire.request_fields()))
    ),
    "ORIGIN": extension(0xC, b"".join(b"\0\x11https://%d.example" % n for n in range(100, 900))),
    "ALTSVC": extension(0xA, b'\0\x09a.exampleh3=":443"'),
    "unknown frames": extension(0xEE, b"x" * 100),
    "SETTINGS": flooding(lambda _, n: wire.settings({wire.INITIAL_WINDOW_SIZE: 65_535 + n % 2})),
    "large SETTINGS": flooding(lambda _, n: wire.settings([(wire.INITIAL_WINDOW_SIZE, 1 + m) for m in range(2_000)])),
    "PING": flooding(lambda _, n: wire.ping(n.to_bytes(8, "big"))),
    "WINDOW_UPDATE": flooding(lambda _, n: wire.window_update(0, 1)),
    "WINDOW_UPDATE of the stream": flooding(lambda stream_id, n: wire.window_update(stream_id, 1)),
    "PRIORITY": flooding(lambda stream_id, n: wire.priority(stream_id)),
    "GOAWAY": flooding(lambda _, n: wire.goaway(2**31 - 1, debug=b"x" * 100)),
    "empty DATA": flooding(lambda stream_id, n: wire.data(stream_id), BEGUN),
    "windows that overflow": flooding(lambda _, n: wire.window_update(0, 2**31 - 1)),
    "responses to nobody": flooding(lambda _, n: wire.response(2 * n + 3)),
    "HPACK integers": flooding(lambda _, n: wire.headers(1, b"\xff" + b"\x80" * 1_000)),
}


@pytest.mark.parametrize("what", H2_FLOODS)
def test_a_flood_over_http2_ends_the_connection(run: Run, what: str) -> None:
    """Rows of 3.1: each is cut off after a second's worth of it, by GOAWAY, and says which rule or budget it was."""
    it = run(attacked(H2_FLOODS[what]))
    it.ended_in(er.RemoteProtocolError, says="the server broke the protocol")
    it.was_bounded()


BOMBS = {
    "fat": wire.literal(b"a", b"x" * 4_000, index=True) + wire.indexed(62) * 11_000,
    "thin": wire.literal(b"a", b"", index=True) + wire.indexed(62) * 15_000,
    "cookies": wire.literal(b"set-cookie", b"", index=True) + wire.indexed(62) * 15_000,
}


@pytest.mark.parametrize("is_trailer", [False, True], ids=["head", "trailers"])
@pytest.mark.parametrize("how", BOMBS)
def test_fields_that_inflate(run: Run, how: str, is_trailer: bool) -> None:
    """HPACK bomb, HTTP/2 Bomb (3.2), in a response: M(2)."""
    block = (b"" if is_trailer else STATUS) + BOMBS[how]

    def behave(link: Link) -> None:
        stream_id = link.h2_request()
        begin = wire.response(stream_id) if is_trailer else b""
        link.send(begin + wire.headers(stream_id, block[:16_000], end_stream=True))
        link.wait()

    it = run(attacked(behave))
    it.ended_in(er.RemoteProtocolError, says="four times the limit")
    it.was_bounded()


def test_every_server_goes_away_at_once(run: Run) -> None:
    """GOAWAY(0) on each connection, so that no request is ever processed: max_replays bounds it."""

    def behave(link: Link) -> None:
        link.h2_request()
        link.send(wire.goaway(0))
        link.wait()

    it = run(attacked(behave))
    it.ended_in(er.ConnectionLost, says="may be sent again")
    assert it.error is not None and it.error.retryable
    assert len(it.server.links) == 11


def test_every_request_is_refused(run: Run) -> None:
    """REFUSED_STREAM without end: max_replays bounds it."""
    refused = 0

    def behave(link: Link) -> None:
        nonlocal refused
        while True:
            link.send(wire.rst_stream(link.h2_request(), wire.REFUSED_STREAM))
            refused += 1

    it = run(attacked(behave, holds=True))
    it.ended_in(er.StreamReset)
    assert refused == 11


def test_no_stream_is_ever_allowed(run: Run) -> None:
    """MAX_CONCURRENT_STREAMS of 0: the pool's timeout holds."""

    def behave(link: Link) -> None:
        link.send(wire.settings({wire.MAX_CONCURRENT_STREAMS: 0}) + wire.settings_ack())
        link.wait()

    async def ask(client: Client, url: str) -> None:
        for _ in range(2):  # on each of two connections, sent before SETTINGS had come; nobody answers
            with pytest.raises(er.HeadersTimeout):
                await client.get(url, timeout=0.2)
        await client.get(url, timeout=0.2)

    it = run(attacked(behave, ask, holds=True))
    it.ended_in(er.PoolTimeout)


@pytest.mark.parametrize("drips", [False, True])
def test_windows_that_do_not_open(run: Run, drips: bool) -> None:
    """An upload into a window of 0, or one that opens by an octet at a time: the write timeout holds, as drips do not
    make a piece accepted."""

    def behave(link: Link) -> None:
        stream_id = link.h2_request({wire.INITIAL_WINDOW_SIZE: 0})
        while drips:
            link.send(wire.window_update(stream_id, 1))
            drip.wait(0.01)
        link.wait()

    drip = threading.Event()
    it = run(attacked(behave, lambda client, url: client.post(url, content=b"x" * MB), holds=True, timeout=0.4))
    it.ended_in(er.WriteTimeout)
    it.was_bounded()


def test_data_on_a_response_that_is_not_read(run: Run) -> None:
    """Beyond the window: the connection ends. Within it: 2 MiB are held, and no more."""

    async def ask(client: Client, url: str) -> None:
        async with client.stream("GET", url) as response:
            await asyncio.sleep(0.3)
            await response.aread()

    it = run(attacked(flooding(lambda stream_id, n: wire.data(stream_id, b"x" * 16_000), BEGUN), ask))
    it.ended_in(er.RemoteProtocolError, says="FLOW_CONTROL_ERROR")
    it.was_bounded(memory=8.0)
