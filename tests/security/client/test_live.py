"""What a client has to bear from a live hostile server: the whole client, over real sockets.

Each attack ends in a typed error that names the request. Meanwhile memory grows by no more than M megabytes, the
connection is ended where it is what is attacked, and requests to another server go on as before. What the engine bounds
has its controls in test_engine.py. Content, redirects and proxies are in test_content_live.py.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from headrace.client import Client, RequestError, Timeouts
from headrace.client import errors as er

from tests.security.support.client_attack import MB, OK, Behave, attacked, h1_flooding
from tests.security.support.hostile import Link
from tests.support import wire
from tests.support.serving import Run

pytestmark = pytest.mark.slow

STATUS = wire.literal(b":status", b"200")


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
    """An upload into a window of 0, or one that opens by a byte at a time: the write timeout holds, as drips do not
    make a piece accepted."""

    def behave(link: Link) -> None:
        stream_id = link.h2_request({wire.INITIAL_WINDOW_SIZE: 0})
        while drips:
            link.send(wire.window_update(stream_id, 1))
            drip.wait(0.01)
        link.wait()

    drip = threading.Event()
    it = run(
        attacked(
            behave, lambda client, url: client.post(url, content=b"x" * MB), holds=True, timeout=Timeouts(write=0.4)
        )
    )
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


# -- HTTP/1.1: what a server may send without end ----------------------------------------------------------------


CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
H1_FLOODS: dict[str, Behave] = {
    "interim responses": h1_flooding(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    "100 (Continue)": h1_flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "status line": h1_flooding(b"HTTP/1.1 200 ", b"x" * 1_000),
    "one field": h1_flooding(OK + b"a: ", b"x" * 1_000),
    "fields": h1_flooding(OK, b"a: b\r\n"),
    "empty lines": h1_flooding(b"", b"\r\n"),
    "chunk extensions": h1_flooding(CHUNKED + b"5", b";a=b"),
    "a chunk's size": h1_flooding(CHUNKED, b"0"),
    "trailers": h1_flooding(CHUNKED + b"0\r\n", b"a: b\r\n"),
    "nonsense": h1_flooding(b"", b"\0\1\2\3"),
    "frames": h1_flooding(b"", wire.settings()),
}


@pytest.mark.parametrize("what", H1_FLOODS)
def test_a_flood_over_http1_ends_the_connection(run: Run, what: str) -> None:
    """Rows of 3.4, by a server."""
    it = run(attacked(H1_FLOODS[what], http1=True))
    it.ended_in(er.RemoteProtocolError)
    it.was_bounded()


def test_answers_to_nobody(run: Run) -> None:
    """A thousand responses to one request: the first is its answer, and the connection is used no more."""

    def behave(link: Link) -> None:
        link.request()
        link.flood(itertools.repeat(OK + b"content-length: 2\r\n\r\nno"))

    async def ask(client: Client, url: str) -> list[bytes]:
        return [(await client.get(url)).content for _ in range(3)]

    it = run(attacked(behave, ask, http1=True))
    assert it.error is None
    assert it.result == [b"no"] * 3
    assert len(it.server.links) == 3
    it.was_bounded()


# -- time --------------------------------------------------------------------------------------------------------


def dripping(first: bytes, unit: bytes) -> Behave:
    """After a request send `first`, then a unit each 20 ms, as long as the client bears it. (A test that fails waits;
    one that passes does not depend on how long a drip takes.)"""

    def behave(link: Link) -> None:
        link.request() if first.startswith(b"HTTP/1.1") else link.h2_request()
        link.send(first)
        drip = threading.Event()
        for _ in range(500):
            link.send(unit)
            drip.wait(0.02)

    return behave


HINT = b"HTTP/1.1 103 -\r\n\r\n"
DRIPS: dict[str, tuple[Behave, type[RequestError]]] = {
    "a head over HTTP/1.1": (dripping(OK + b"a: ", b"x"), er.HeadersTimeout),
    "interim responses over HTTP/1.1": (dripping(HINT, HINT), er.HeadersTimeout),
    "a head over HTTP/2": (dripping(wire.headers(1, bytes(10_000))[:9], b"\0"), er.HeadersTimeout),
    "interim responses over HTTP/2": (dripping(b"", wire.response(1, b"103")), er.HeadersTimeout),
    "PING while a response is waited for": (dripping(b"", wire.ping()), er.HeadersTimeout),
    "PING while content is waited for": (dripping(BEGUN, wire.ping()), er.ReadTimeout),
    "empty DATA": (dripping(BEGUN, wire.data(1)), er.ReadTimeout),
    "WINDOW_UPDATE": (dripping(BEGUN, wire.window_update(0, 10_000)), er.ReadTimeout),
}


@pytest.mark.parametrize("what", DRIPS)
def test_drips_that_bring_nothing_extend_nothing(run: Run, what: str) -> None:
    """Slow drips: only the final response's head ends the wait for it, only its content the wait for content."""
    behave, kind = DRIPS[what]
    timeout = Timeouts(headers=0.4) if kind is er.HeadersTimeout else Timeouts(read=0.4)
    it = run(attacked(behave, http1="HTTP/1.1" in what, holds=True, timeout=timeout))
    it.ended_in(kind)
    it.was_bounded()


@pytest.mark.parametrize("http1", [False, True], ids=["HTTP/2", "HTTP/1.1"])
def test_content_by_the_byte_is_ended_by_the_total_timeout(run: Run, http1: bool) -> None:
    """Each byte is progress to the read timeout, and none to the total one."""
    behave = dripping(OK + b"content-length: 1000\r\n\r\n", b"x") if http1 else dripping(BEGUN, wire.data(1, b"x"))
    it = run(attacked(behave, http1=http1, holds=True, timeout=Timeouts(read=0.4, total=1.0)))
    it.ended_in(er.TotalTimeout)


def test_a_handshake_that_is_never_done(run: Run) -> None:
    """TCP answers, TLS does not: the timeout of that phase."""

    async def ask(client: Client, url: str) -> Any:
        return await client.get(url.replace("http:", "https:"), timeout=Timeouts(tls=0.2))

    it = run(attacked(lambda link: link.wait(), ask))
    assert isinstance(it.error, er.TLSTimeout)


def test_a_handshake_of_nonsense(run: Run) -> None:
    """Not TLS at all, and no end of it."""

    async def ask(client: Client, url: str) -> Any:
        return await client.get(url.replace("http:", "https:"))

    def behave(link: Link) -> None:
        link.receive()
        link.flood(itertools.repeat(b"HTTP/1.1 400 Bad Request\r\n\r\n"))

    it = run(attacked(behave, ask))
    assert isinstance(it.error, er.TLSError), repr(it.error)
    it.was_bounded()
