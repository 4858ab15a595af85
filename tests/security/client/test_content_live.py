"""Content that inflates, announces or redirects, cookies and proxies, from a live hostile server.

As in test_live.py. What the client itself bounds has its control here.
"""

from __future__ import annotations

import itertools
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import brotli
import pytest

from headrace.client import Client, DigestAuth, RetryPolicy
from headrace.client import errors as er
from headrace.client.connect.config import NetworkConfig

from tests.security.support.client_attack import MB, OK, TIMEOUTS, Behave, attacked, h1_flooding
from tests.security.support.hostile import Link, hostile
from tests.support import wire
from tests.support.serving import Run

pytestmark = pytest.mark.slow

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# -- content -----------------------------------------------------------------------------------------------------


def bomb(coding: str) -> Iterator[bytes]:
    """Zeros, 32 MB in each unit, as many units as one likes."""
    zeros = bytes(32 * MB)
    if coding == "br":
        squeezed = brotli.Compressor(quality=1)
        while True:
            yield squeezed.process(zeros) + squeezed.flush()
    elif coding == "zstd":
        yield from itertools.repeat(zstd.compress(zeros))
    deflate = zlib.compressobj(9, zlib.DEFLATED, {"gzip": 31, "deflate": 15}[coding])
    yield deflate.compress(zeros) + deflate.flush(zlib.Z_FULL_FLUSH)
    # After a full flush, a piece stands by itself.
    yield from itertools.repeat(deflate.compress(zeros) + deflate.flush(zlib.Z_FULL_FLUSH))


def bombing(coding: str, units: int = 10) -> Behave:
    pieces = list(itertools.islice(bomb(coding), units))  # made before anything is measured

    def behave(link: Link) -> None:
        link.request()
        link.send(OK + b"content-encoding: " + coding.encode() + b"\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            link.send(b"%x\r\n" % len(piece) + piece + b"\r\n")
        link.wait()

    return behave


async def stream(client: Client, url: str) -> int:
    size = 0
    async with client.stream("GET", url) as response:
        async for piece in response.iter_bytes():
            size += len(piece)
    return size


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_decompression_bomb(run: Run, coding: str) -> None:
    """As a stream: beyond 16 MiB no more than a hundred times what came; never more than a step in memory."""
    it = run(attacked(bombing(coding), stream, http1=True))
    it.ended_in(er.DecodingError)
    it.was_bounded(memory=6.0)


def test_a_decompression_bomb_that_is_read_whole(run: Run) -> None:
    """A whole response is decoded when it is whole: 160 KB that would be 160 MB."""
    content = b"".join(itertools.islice(bomb("gzip"), 5))

    def behave(link: Link) -> None:
        link.request()
        link.send(OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(content) + content)
        link.wait()

    it = run(attacked(behave, http1=True, holds=True))
    it.ended_in(er.DecodingError)
    it.was_bounded(memory=25.0)


def test_control_a_bomb_without_its_limit(run: Run) -> None:
    """The same stream without a bound of the ratio goes on, still in constant memory."""

    async def ask(client: Client, url: str) -> int:
        size = 0
        async with client.stream("GET", url) as response:
            async for piece in response.iter_bytes():
                size += len(piece)
                if size == 320 * MB:
                    break
        return size

    it = run(attacked(bombing("gzip"), ask, http1=True, max_decompression_ratio=None))
    assert it.error is None
    assert it.result == 320 * MB
    it.was_bounded(memory=3.0)


def test_codings_upon_codings(run: Run) -> None:
    """More than five are not taken off."""

    def behave(link: Link) -> None:
        link.request()
        link.send(OK + b"content-encoding: " + b", ".join([b"gzip"] * 6) + b"\r\ncontent-length: 1\r\n\r\nx")
        link.wait()

    it = run(attacked(behave, http1=True, holds=True))
    it.ended_in(er.DecodingError, says="6 content codings")


@pytest.mark.parametrize("http1", [False, True], ids=["HTTP/2", "HTTP/1.1"])
def test_a_huge_content_length(run: Run, http1: bool) -> None:
    """Some 900 petabytes announced, a kilobyte sent: nothing is set aside for it, and the part is not the whole."""
    length = b"%d" % (9 * 10**17)

    def behave(link: Link) -> None:
        if http1:
            link.request()
            link.send(OK + b"content-length: " + length + b"\r\n\r\n" + b"x" * 1_000)
        else:
            stream_id = link.h2_request()
            link.send(wire.response(stream_id, extra=[(b"content-length", length)]))
            link.send(wire.data(stream_id, b"x" * 1_000, end_stream=True))
            link.wait()

    it = run(attacked(behave, http1=http1, holds=True))
    it.ended_in(er.TruncatedBody)
    it.was_bounded()


# -- redirects ---------------------------------------------------------------------------------------------------

SECRETS = {"authorization": "Bearer secret", "cookie": "sid=secret", "x-app": "mine"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("elsewhere", [True, False], ids=["another origin", "control: the same origin"])
def test_a_redirect_does_not_leak_credentials(run: Run, status: int, elsewhere: bool) -> None:
    """To another port of the same host, which is another origin: neither fields, nor `auth`, nor the jar's cookies of
    that host and path go along; to the same origin all of them do."""

    def catch(link: Link) -> None:
        link.request()
        link.send(OK + b"content-length: 0\r\n\r\n")
        link.wait()

    with hostile(catch) as catcher:

        def behave(link: Link) -> None:
            link.request()
            target = b"http://127.0.0.1:%d" % catcher.port if elsewhere else b""
            link.send(b"HTTP/1.1 %d Go\r\nlocation: %s/x\r\ncontent-length: 0\r\n\r\n" % (status, target))
            link.request()
            link.send(OK + b"content-length: 0\r\n\r\n")
            link.wait()

        async def ask(client: Client, url: str) -> Any:
            return await client.get(url, headers=SECRETS)

        it = run(attacked(behave, ask, http1=True, holds=True))
        assert it.result.status == 200
        (link,) = catcher.links if elsewhere else it.server.links
        head = link.head.lower()
        assert b"x-app: mine" in head
        assert (b"secret" in head) == (not elsewhere)


def test_a_redirect_does_not_leak_auth_and_userinfo(run: Run) -> None:
    """The same of credentials that were given as `auth`, and of those that the location names itself."""

    def catch(link: Link) -> None:
        link.request()
        link.send(OK + b"content-length: 0\r\n\r\n")
        link.wait()

    with hostile(catch) as catcher:

        def behave(link: Link) -> None:
            link.request()
            assert b"authorization: Basic" in link.head
            link.send(b"HTTP/1.1 302 Go\r\nlocation: http://me:pw@127.0.0.1:%d/x\r\n\r\n" % catcher.port)

        async def ask(client: Client, url: str) -> Any:
            return await client.get(url, auth=("user", "secret"))

        it = run(attacked(behave, ask, http1=True, holds=True))
        assert it.result.status == 200
        (link,) = catcher.links
        assert b"authorization" not in link.head.lower()


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "unix:/run/x.sock", "javascript:alert(1)", "ftp://127.0.0.1/"]
)
def test_a_redirect_leads_nowhere_but_to_http(run: Run, location: str) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(b"HTTP/1.1 302 Go\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n" % location.encode())
        link.wait()

    it = run(attacked(behave, http1=True, holds=True))
    it.ended_in(er.TooManyRedirects, says="a scheme that no request may have")


def test_redirects_without_end(run: Run) -> None:
    """Each with 60 KB of fields and 1 MB of content: twenty are followed; `history` has their fields."""
    served = 0

    def behave(link: Link) -> None:
        nonlocal served
        while True:
            link.request()
            served += 1
            fields = b"".join(b"x-%d: %s\r\n" % (n, b"y" * 500) for n in range(100))
            link.send(b"HTTP/1.1 302 Go\r\nlocation: /%d\r\n%s" % (served, fields))
            link.send(b"content-length: 1000000\r\n\r\n" + b"z" * MB)

    it = run(attacked(behave, http1=True, holds=True))
    it.ended_in(er.TooManyRedirects)
    assert served == 21
    it.was_bounded(memory=28.0)


def endless(status: bytes, *fields: bytes, http1: bool) -> Behave:
    """Answers each request with this head, and content without end."""

    def behave(link: Link) -> None:
        while True:
            if http1:
                link.request()
                lines = b"".join(field + b"\r\n" for field in fields)
                link.send(b"HTTP/1.1 " + status + b" X\r\n" + lines + b"transfer-encoding: chunked\r\n\r\n")
                link.flood(itertools.repeat(b"4000\r\n" + b"z" * 16_384 + b"\r\n"))
            else:
                stream_id = link.h2_request()
                pairs = [tuple(field.split(b": ", 1)) for field in fields]
                link.send(wire.response(stream_id, status, extra=pairs))  # type: ignore[arg-type]
                link.send(wire.data(stream_id, b"z" * 16_384) * 100)  # nearly a window of 2 MiB

    return behave


BOTH = pytest.mark.parametrize("http1", [False, True], ids=["HTTP/2", "HTTP/1.1"])


@BOTH
@pytest.mark.parametrize("how", ["plain", "with options", "with hooks", "as a stream"])
def test_the_content_of_redirects_is_not_read(run: Run, http1: bool, how: str) -> None:
    """A location without end, and content without end with each: a little is read, and the rest is given up. (A client
    that reads them whole grew from 318 to 1,562 MB in three seconds.)"""

    async def ask(client: Client, url: str) -> Any:
        if how == "as a stream":
            async with client.stream("GET", url) as response:
                return response.status
        return await (client.get(url, headers={"a": "b"}) if how == "with options" else client.get(url))

    seen: list[int] = []
    hooks = {"response": [lambda response: seen.append(response.status)]} if how == "with hooks" else None
    it = run(attacked(endless(b"302", b"location: /x", http1=http1), ask, http1=http1, holds=True, event_hooks=hooks))
    it.ended_in(er.TooManyRedirects)
    assert hooks is None or 302 in seen
    it.was_bounded(memory=12.0)
    assert it.server.sent < 21 * 8 * MB


@BOTH
def test_the_content_of_challenges_is_not_read(run: Run, http1: bool) -> None:
    """401 with a nonce, and content without end; the second one is the caller's, within its limit."""
    behave = endless(b"401", b'www-authenticate: Digest realm="r", nonce="n", qop="auth"', http1=http1)

    async def ask(client: Client, url: str) -> Any:
        return await client.get(url, auth=DigestAuth("me", "secret"), max_response_size=MB)

    it = run(attacked(behave, ask, http1=http1, holds=True))
    it.ended_in(er.ResponseTooLarge)
    it.was_bounded(memory=12.0)


@BOTH
def test_the_content_of_what_is_tried_again_is_not_read(run: Run, http1: bool) -> None:
    async def ask(client: Client, url: str) -> Any:
        policy = RetryPolicy(attempts=5, backoff_s=0.0, budget=None)
        return await client.get(url, retry=policy, max_response_size=MB)

    it = run(attacked(endless(b"503", http1=http1), ask, http1=http1, holds=True))
    it.ended_in(er.ResponseTooLarge)
    it.was_bounded(memory=12.0)


@BOTH
@pytest.mark.parametrize("limit", [1_000, 4 * MB])
@pytest.mark.parametrize("of", ["the client", "the request"])
def test_a_response_without_end_has_one_where_it_is_read_whole(run: Run, http1: bool, limit: int, of: str) -> None:
    async def ask(client: Client, url: str) -> Any:
        return await (client.get(url) if of == "the client" else client.get(url, max_response_size=limit))

    def behave(link: Link) -> None:
        if http1:
            link.request()
            link.send(OK + b"transfer-encoding: chunked\r\n\r\n")
            link.flood(itertools.repeat(b"4000\r\n" + b"z" * 16_384 + b"\r\n"))
        else:
            stream_id = link.h2_request()
            link.send(wire.response(stream_id))
            for _ in range(20 * limit // 16_384 + 2):
                link.send(wire.data(stream_id, b"z" * 16_384))  # the client gives credit as it comes, so windows hold
            link.wait()

    options: Any = {"max_response_size": limit} if of == "the client" else {}
    it = run(attacked(behave, ask, http1=http1, holds=True, **options))
    it.ended_in(er.ResponseTooLarge, says=f"more than {limit:,} bytes (max_response_size)")
    it.was_bounded(memory=12.0)


def test_a_cookie_jar_is_not_filled(run: Run) -> None:
    """A hundred cookies a response, 100 responses: no more than 180 of a host are kept."""
    served = 0

    def behave(link: Link) -> None:
        nonlocal served
        while True:
            link.request()
            served += 1
            cookies = b"".join(b"set-cookie: c%d-%d=%s\r\n" % (served, n, b"v" * 300) for n in range(100))
            link.send(OK + cookies + b"content-length: 0\r\n\r\n")

    async def ask(client: Client, url: str) -> int:
        for _ in range(20):
            await client.get(url)
        return len(list(client.cookies.jar))

    it = run(attacked(behave, ask, http1=True, holds=True))
    assert it.error is None, it.error
    assert it.result == 180


# -- proxies -----------------------------------------------------------------------------------------------------

PROXY_FLOODS = {
    "http": h1_flooding(OK, b"a: b\r\n"),
    "interim": h1_flooding(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("what", PROXY_FLOODS)
def test_a_hostile_proxy(run: Run, what: str) -> None:
    """CONNECT that is answered without end."""

    async def ask(_: Client, url: str) -> Any:
        network = NetworkConfig(proxy=url, trust_env=False)
        async with Client(network=network, timeout=TIMEOUTS) as client:
            return await client.get("https://example.invalid/")

    it = run(attacked(PROXY_FLOODS[what], ask, http1=True))
    assert isinstance(it.error, er.ProxyError), repr(it.error)
    it.was_bounded()


def test_a_socks_proxy_that_says_nothing(run: Run) -> None:
    """The connect timeout covers what a proxy has to say."""

    async def ask(_: Client, url: str) -> Any:
        network = NetworkConfig(proxy=url.replace("http", "socks5"), trust_env=False)
        async with Client(network=network, timeout=0.3) as client:
            return await client.get("http://example.invalid/")

    def behave(link: Link) -> None:
        link.receive()
        link.send(b"\x05\x00")
        link.wait()

    it = run(attacked(behave, ask, http1=True))
    assert isinstance(it.error, er.ConnectTimeout), repr(it.error)
