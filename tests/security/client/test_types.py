"""Hostile servers, and hostile data of an honest caller, against the client: decompression, redirects, credentials,
cookies, injection."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import brotli
import pytest

from headrace.client import (
    URL,
    BearerAuth,
    Client,
    DecodingError,
    DigestAuth,
    RemoteProtocolError,
    Response,
    TooManyRedirects,
)
from headrace.client.calls.sse import EventParser

from tests.client.support.fake import Answer, FakeTransport, Sent, redirect
from tests.support.serving import Run, run

try:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from backports import zstd

__all__ = ["run"]

SECRET = "Basic " + b64encode(b"user:hunter2").decode()
MIB = 1_048_576


# -- redirects that leak credentials


def follow(run: Run, start: str, *locations: str, **options: Any) -> list[Sent]:
    """What is sent when `start` redirects along `locations`."""

    async def main() -> list[Sent]:
        transport = FakeTransport(*(redirect(each, 307) for each in locations), Answer())
        async with Client(transport=transport, **options.pop("client", {})) as client:
            await client.get(start, **options)
        return transport.sent

    sent: list[Sent] = run(main())
    return sent


OTHER_ORIGINS = [
    ("https://a.example/", "https://evil.example/"),
    ("https://a.example/", "https://a.example:8443/"),
    ("https://a.example/", "https://sub.a.example/"),
    ("https://a.example/", "https://a.example.evil.example/"),
    ("https://a.example/", "http://a.example/"),
    ("https://a.example:8443/", "http://a.example:8443/"),
    ("http://a.example:8080/", "https://a.example:8443/"),
    ("https://a.example/", "//evil.example/"),
    ("https://a.example/", "https://a.example@evil.example/"),
    ("https://a.example/", "https://user:hunter2@evil.example/"),
]


@pytest.mark.parametrize(("start", "location"), OTHER_ORIGINS)
@pytest.mark.parametrize(
    "options",
    [
        {"auth": ("user", "hunter2")},
        {"auth": BearerAuth("hunter2")},
        {"auth": lambda request: request.headers.update({"authorization": "hunter2"})},
        {"headers": {"Authorization": SECRET, "Cookie": "sid=hunter2", "Proxy-Authorization": SECRET}},
        {"cookies": {"sid": "hunter2"}},
        {"client": {"auth": ("user", "hunter2")}},
        {"client": {"headers": {"authorization": SECRET}}},
    ],
    ids=["auth", "bearer", "function", "headers", "cookies", "client-auth", "client-headers"],
)
def test_no_credentials_go_to_another_origin(run: Run, start: str, location: str, options: dict[str, Any]) -> None:
    first, second = follow(run, start, location, **dict(options))
    assert first.field("authorization") or first.field("cookie")
    for name in ("authorization", "cookie", "proxy-authorization"):
        assert second.field(name) is None
    assert "hunter2" not in second.url


@pytest.mark.parametrize(("start", "location"), OTHER_ORIGINS)
def test_no_credentials_of_the_url_go_to_another_origin(run: Run, start: str, location: str) -> None:
    first, second = follow(run, start.replace("://", "://user:hunter2@"), location)
    assert first.field("authorization") == SECRET and second.field("authorization") is None


def test_credentials_do_not_come_back_by_a_detour(run: Run) -> None:
    """Who sends the client away and back would have it say its password to a URL of the other's choice."""
    sent = follow(
        run, "https://a.example/", "https://evil.example/", "https://a.example/steal?to=evil", auth=("u", "p")
    )
    assert [each.field("authorization") is not None for each in sent] == [True, False, False]


@pytest.mark.parametrize(
    ("start", "location"),
    [
        ("https://a.example/", "/x"),
        ("https://a.example:443/", "https://A.example/x"),
        ("http://a.example/", "https://a.example/"),
        ("http://a.example:8080/", "//a.example:8080/x"),
    ],
)
def test_credentials_stay_within_the_origin_and_for_its_upgrade(run: Run, start: str, location: str) -> None:
    _, second = follow(run, start, location, auth=("user", "hunter2"))
    assert second.field("authorization") == SECRET


def test_digest_credentials_do_not_answer_another_origin(run: Run) -> None:
    """After a cross-origin redirect, a challenge of the other server is not met."""

    async def main() -> None:
        challenge = Answer(401, [("www-authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256')])
        transport = FakeTransport(redirect("https://evil.example/"), challenge)
        async with Client(transport=transport, auth=DigestAuth("user", "hunter2")) as client:
            assert (await client.get("https://a.example/")).status == 401
        assert [sent.field("authorization") for sent in transport.sent] == [None, None]

    run(main())


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "unix:/run/docker.sock", "ftp://a.example/", "data:text/html,x", "javascript:alert(1)",
     "gopher://a.example/", "ws://a.example/", "FILE:/etc/passwd", "about:blank"],
)  # fmt: skip
def test_redirects_lead_only_to_http(run: Run, location: str) -> None:
    with pytest.raises(TooManyRedirects, match="a scheme that no request may have") as raised:
        follow(run, "https://a.example/", location)
    assert raised.value.url == "https://a.example/"


def test_credentials_in_a_location_are_not_used(run: Run) -> None:
    """A server could make the client log in somewhere, as whom the server chooses."""
    for location in ("https://admin:admin@a.example/", "https://admin:admin@intranet.example/"):
        _, second = follow(run, "https://a.example/", location)
        assert second.field("authorization") is None and "admin" not in second.url


# -- cookies across origins


def test_a_site_can_neither_set_nor_see_the_cookies_of_another(run: Run) -> None:
    def respond(sent: Sent) -> Answer:
        domain = "; domain=bank.example" if "evil" in sent.origin else ""
        return Answer(200, [("set-cookie", f"sid={sent.origin[8:12]}; path=/{domain}")])

    async def main() -> None:
        transport = FakeTransport(respond=respond)
        async with Client(transport=transport) as client:
            for host in ("bank.example", "evil.example", "bank.example", "evil.example", "sub.bank.example"):
                await client.get(f"https://{host}/")
        assert [sent.field("cookie") for sent in transport.sent] == [None, None, "sid=bank", None, None]

    run(main())


def test_cookies_do_not_follow_a_redirect_to_another_site(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(
            Answer(200, [("set-cookie", "sid=1; path=/; secure")]),
            redirect("https://evil.example/"),
            redirect("https://a.example/"),
            redirect("http://a.example/"),
            Answer(),
        )
        async with Client(transport=transport) as client:
            await client.get("https://a.example/")
            await client.get("https://a.example/")
        assert [sent.field("cookie") for sent in transport.sent] == [None, "sid=1", None, "sid=1", None]

    run(main())


# -- decompression bombs


def deflated(wbits: int, size: int) -> bytes:
    made = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join([made.compress(bytes(MIB)) for _ in range(size // MIB)] + [made.flush()])


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: deflated(31, 96 * MIB),
    "deflate": lambda: deflated(15, 96 * MIB),
    "br": lambda: brotli.compress(bytes(96 * MIB), quality=1),
    "zstd": lambda: zstd.compress(bytes(96 * MIB)),
    "gzip, gzip": lambda: gzip.compress(deflated(31, 96 * MIB)),
    "gzip, gzip, gzip": lambda: gzip.compress(gzip.compress(deflated(31, 96 * MIB))),
}


@cache
def made_bomb(codings: str) -> bytes:
    return BOMBS[codings]()


@pytest.mark.parametrize("codings", BOMBS)
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_a_bomb_ends_in_an_error_with_memory_flat(run: Run, codings: str, is_stream: bool) -> None:
    """96 MiB out of a tenth of one, or of a few bytes: what has been made by then is a fraction."""
    bomb = made_bomb(codings)
    answer = Answer(
        200, [("content-encoding", codings)], [bomb[at : at + 65_536] for at in range(0, len(bomb), 65_536)]
    )
    made = 0

    async def main() -> None:
        nonlocal made
        async with Client(transport=FakeTransport(answer)) as client:
            if not is_stream:
                await client.get("https://a.example/")
            async with client.stream("GET", "https://a.example/") as response:
                async for piece in response.iter_bytes():
                    made = max(made, len(piece))

    tracemalloc.start()
    try:
        with pytest.raises(DecodingError, match="more than 100 times") as raised:
            run(main())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert raised.value.url == "https://a.example/"
    assert peak < 64 * MIB
    assert made <= MIB
    assert not is_stream or answer.is_closed


def test_a_coding_that_swallows_what_another_inflates_is_no_way_round(run: Run) -> None:
    """The outer gzip makes zeros without end, which the inner one takes for padding and gives nothing of."""
    inner = gzip.compress(b"x") + bytes(64 * MIB)
    answer = Answer(200, [("content-encoding", "gzip, gzip")], gzip.compress(inner, 1))

    async def main() -> None:
        async with Client(transport=FakeTransport(answer)) as client:
            await client.get("https://a.example/")

    with pytest.raises(DecodingError, match="more than 100 times"):
        run(main())


def test_a_pile_of_codings_is_refused(run: Run) -> None:
    answer = Answer(200, [("content-encoding", "gzip, " * 100 + "gzip")], [b"x"])

    async def main() -> None:
        async with Client(transport=FakeTransport(answer)) as client, client.stream("GET", "https://a.example/"):
            raise AssertionError("not reached")

    with pytest.raises(DecodingError, match="101 content codings; at most 5"):
        run(main())
    assert answer.is_closed


def test_a_window_of_zstd_beyond_what_the_web_needs_is_refused(run: Run) -> None:
    """RFC 9659: 8 MiB. A frame may ask for gigabytes."""
    big = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    made = big.compress(bytes(1000)) + big.flush()

    async def main() -> None:
        transport = FakeTransport(Answer(200, [("content-encoding", "zstd")], made))
        async with Client(transport=transport) as client:
            await client.get("https://a.example/")

    with pytest.raises(DecodingError, match="not zstd"):
        run(main())


@pytest.mark.parametrize("charset", ["zlib_codec", "bz2", "hex", "base64", "rot13", "punycode", "idna", "undefined",
                                     "unicode_escape", "raw-unicode-escape", "\0", "../../x", "x" * 5000])  # fmt: skip
def test_a_charset_cannot_choose_a_codec_that_harms(charset: str) -> None:
    content = b"a-" * 200_000
    response = Response(200, {"content-type": f"text/plain; charset={charset}".replace("\0", "%00")}, content)
    assert response.text == content.decode()


def test_an_event_that_never_ends_is_an_error_and_not_memory() -> None:
    parser = EventParser()

    def feed(pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            parser.feed(piece)

    with pytest.raises(RemoteProtocolError, match="more than 1048576 characters"):
        feed(b"x" * 1000 for _ in range(2_000))


# -- injection: whatever is put in, no byte of it becomes another field, another request or another host

EVIL = ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0b", "\r\n\r\nGET /evil HTTP/1.1\r\n"]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize(
    "call",
    [
        lambda client, evil: client.get(f"https://a.example/{evil}"),
        lambda client, evil: client.get(f"https://a.example/?{evil}"),
        lambda client, evil: client.get(f"https://a.example/#{evil}"),
        lambda client, evil: client.get(f"https://{evil}.example/"),
        lambda client, evil: client.get(f"https://u{evil}:p@a.example/"),
        lambda client, evil: client.get(f"https://a.example:80{evil}/"),
        lambda client, evil: client.get(f"https{evil}://a.example/"),
        lambda client, evil: client.get("https://a.example/", headers={"x": evil}),
        lambda client, evil: client.get("https://a.example/", headers={evil: "x"}),
        lambda client, evil: client.get("https://a.example/", headers=[(b"x", evil.encode())]),
        lambda client, evil: client.get("https://a.example/", headers={"host": evil}),
        lambda client, evil: client.get("https://a.example/", cookies={"c": evil}),
        lambda client, evil: client.get("https://a.example/", cookies={evil: "c"}),
        lambda client, evil: client.get("https://a.example/", auth=BearerAuth(evil)),
        lambda client, evil: client.request(evil, "https://a.example/"),
        lambda client, evil: client.post("https://a.example/", files={"f": ("f", b"", evil)}),
        lambda client, evil: client.post("https://a.example/", files={"f": ("f", b"", None, {"x": evil})}),
        lambda client, evil: client.post("https://a.example/", content=b"", trailers={"x": evil}),
    ],
)  # fmt: skip
def test_line_breaks_are_refused_before_anything_is_sent(run: Run, evil: str, call: Any) -> None:
    async def main() -> None:
        transport = FakeTransport(respond=lambda sent: Answer())
        async with Client(transport=transport) as client:
            with pytest.raises(ValueError):  # noqa: PT011 - InvalidURL is one too
                await call(client, evil)
        assert transport.sent == []

    run(main())


@pytest.mark.parametrize("evil", EVIL)
def test_line_breaks_where_they_can_be_encoded_are(run: Run, evil: str) -> None:
    async def main() -> None:
        transport = FakeTransport(respond=lambda sent: Answer())
        async with Client(transport=transport) as client:
            await client.get("https://a.example/", params={"q": evil, evil: "q"})
            await client.post("https://a.example/", data={"q": evil})
            await client.get("https://a.example/", auth=("u", evil))
            await client.post("https://a.example/", files={evil: (evil, b"octets")})
        for sent in transport.sent:
            assert not any(byte in sent.target for byte in "\r\n\0 ")
            assert not any(byte in value for _, value in sent.headers for byte in b"\r\n\0")
        assert b"\nx-evil: 1" not in transport.sent[3].content

    run(main())


def test_a_location_cannot_inject(run: Run) -> None:
    """An engine lets no CR or LF through in a field; were there one, it would end here."""
    for evil in EVIL:
        with pytest.raises(RemoteProtocolError, match="an invalid URL"):
            follow(run, "https://a.example/", f"/x{evil}")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("https://good.example\\@evil.example/", None),
        ("https://good.example%5C@evil.example/", "evil.example"),
        ("https://good.example%00.evil.example/", None),
        ("https://good.example%2F.evil.example/", None),
        ("https://good.example#@evil.example/", "good.example"),
        ("https://good.example?@evil.example/", "good.example"),
        ("https://evil.example@good.example/", "good.example"),
        ("https://good.example:443@evil.example/", "evil.example"),
        ("https://①②⑦.0.0.1/", "127.0.0.1"),
        ("https://ⓔvil.example/", "evil.example"),
        ("https://evil。example/", "evil.example"),
        ("https://evil.example℀/", None),
        ("https://0x7f.1/", None),
        ("https://2130706433/", None),
        ("https://[::ffff:127.0.0.1]/", "::ffff:7f00:1"),
        ("https://good.example /", None),
        ("https:good.example", None),
    ],
)  # fmt: skip
def test_there_are_no_two_ways_to_read_where_a_url_leads(text: str, host: str | None) -> None:
    """What filters and clients have read differently. Each ends in the host that browsers see, or in InvalidURL."""
    try:
        found: str | None = URL(text).raw_host.decode()
    except ValueError:
        found = None
    assert found == host


def test_secrets_are_not_in_messages(run: Run) -> None:
    from headrace.client import ConnectionLost

    async def main() -> None:
        async with Client(transport=FakeTransport(respond=lambda sent: ConnectionLost("gone"))) as client:
            with pytest.raises(ConnectionLost) as raised:
                await client.get("https://user:hunter2@a.example/", headers={"authorization": "hunter2"})
            request = client.build_request("GET", "https://user:hunter2@a.example/", headers={"cookie": "hunter2"})
            shown = (
                f"{raised.value!s} {raised.value!r} {request!r} {request.headers!r} {request.url!r} {client.cookies!r}"
            )
            assert "hunter2" not in shown

    run(main())
