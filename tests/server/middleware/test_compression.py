"""Compression: who gets which coding (RFC 9110 §12.5.3), and what a coded response says of itself."""

from __future__ import annotations

import asyncio
import functools
import importlib
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import brotli
import pytest

from headrace import EventStream, FileResponse, HTTPError, Request, Response, Route, Router, Send, StreamResponse
from headrace.server.content_coding import available, choose, weights
from headrace.server.middleware import Compression

from tests.support.h2_peer import H2Peer
from tests.support.requests import answer, fields, request
from tests.support.serving import Run, port, serving

zstd: Any = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")

TEXT = b"all work and no play makes a server a dull server. " * 100
HTML = [("content-type", "text/html; charset=utf-8")]

DECODE: dict[str | None, Callable[[bytes], bytes]] = {
    "gzip": lambda data: zlib.decompress(data, 31),
    "br": brotli.decompress,
    "zstd": zstd.decompress,
    None: lambda data: data,
}


def app(response: Any, **options: Any) -> Router:
    return Router([Route("/", lambda _: response, methods=None)], middleware=[Compression(**options)])


def ask(router: Router, accept: str | None, method: str = "GET") -> Any:
    headers = [("accept-encoding", accept)] if accept is not None else []
    return answer(router, request("/", method, headers))


# -- what a client wants


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (None, "identity"),  # anything is acceptable, and this is what such a client surely understands
        ("", "identity"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, br", "br"),
        ("br, gzip", "br"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("deflate", "identity"),
        ("compress;q=0.5", "identity"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("gzip;q=0.001, br;q=0", "gzip"),
        ("gzip;q=0", "identity"),
        ("gzip ; q=0.5 , br ;q=0.4", "gzip"),
        ("*", "zstd"),
        ("*;q=0.1", "zstd"),
        ("zstd;q=0, *", "br"),
        ("gzip, *;q=0", "gzip"),
        ("gzip;q=0.5, *;q=0.9", "zstd"),
        ("identity", "identity"),
        ("identity, gzip", "gzip"),
        ("identity;q=1, gzip;q=0.5", "identity"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0.5, *;q=0", "identity"),
        ("gzip;q=0.3, *;q=0.5, zstd;q=0, br;q=0", "identity"),
        # Identity is refused.
        ("identity;q=0, gzip", "gzip"),
        ("identity;q=0", None),
        ("*;q=0", None),
        ("deflate, *;q=0", None),
        ("identity;q=0, *;q=0.2", "zstd"),
        # Malformed members say nothing.
        ("gzip;q=1.5, br;q=0.1", "br"),
        ("gzip;q=a", "identity"),
        ("gzip;q=0.1234", "identity"),
        ("gzip;level=9", "identity"),
        ("gzip;q=-1, ,;, br;q=0.2", "br"),
        ("gzip;q=0, gzip", "gzip"),
    ],
)
def test_the_coding_that_is_chosen(accept: str | None, coding: str | None) -> None:
    assert choose(accept, ("zstd", "br", "gzip")) == coding


def test_weights() -> None:
    assert weights("a, B;q=0.5,c;q=0.000 , x-compress;Q=1.000") == {"a": 1.0, "b": 0.5, "c": 0.0, "compress": 1.0}


def test_all_codings_are_there() -> None:
    assert available() == ("zstd", "br", "gzip")


# -- buffered responses


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("size", [1000, 100_000])  # the larger one is coded in a thread
def test_a_response_is_coded(coding: str, size: int) -> None:
    text = (TEXT * 30)[:size]
    headers = [*HTML, ("content-length", str(size)), ("ETag", '"v1"'), ("accept-ranges", "bytes"), ("vary", "cookie")]
    response = Response(200, headers, text)
    for _ in range(2):  # the handler's own object stays as it is
        coded = ask(app(response), coding)
        assert DECODE[coding](coded.body) == text
        assert len(coded.body) < len(text)
        assert fields(coded) == {
            "content-type": "text/html; charset=utf-8",
            "etag": 'W/"v1"',  # not the bytes that the tag names (RFC 9110 §8.8.1)
            "vary": "cookie, accept-encoding",
            "content-encoding": coding,
        }
    assert (response.body, response.headers) == (text, headers)


def test_without_a_coding_only_vary_is_added() -> None:
    for accept in (None, "identity", "deflate", "gzip;q=0"):
        same = ask(app(Response(200, [*HTML, ("etag", '"v1"')], TEXT)), accept)
        assert same.body == TEXT
        assert fields(same) == {"content-type": HTML[0][1], "etag": '"v1"', "vary": "accept-encoding"}


def test_a_weak_tag_stays_and_vary_is_not_doubled() -> None:
    headers = [*HTML, ("etag", 'W/"v1"'), ("Vary", "Accept-Encoding")]
    told = fields(ask(app(Response(200, headers, TEXT)), "gzip"))
    assert (told["etag"], told["vary"]) == ('W/"v1"', "Accept-Encoding")
    assert fields(ask(app(Response(200, [*HTML, ("vary", "*")], TEXT)), "gzip"))["vary"] == "*"


@pytest.mark.parametrize(
    ("content_type", "is_coded"),
    [
        ("text/plain", True),
        ("TEXT/HTML", True),
        ("application/json; charset=utf-8", True),
        ("application/problem+json", True),
        ("application/atom+xml", True),
        ("image/svg+xml", True),
        ("application/wasm", True),
        ("font/ttf", True),
        ("image/png", False),
        ("image/jpeg", False),
        ("video/mp4", False),
        ("font/woff2", False),
        ("application/zip", False),
        ("application/gzip", False),
        ("application/octet-stream", False),
        ("application/grpc+proto", False),
        ("", False),
        (None, False),
    ],
)
def test_what_is_compressed_already_is_left_alone(content_type: str | None, is_coded: bool) -> None:
    headers = [("content-type", content_type)] if content_type is not None else []
    response = Response(200, headers, TEXT)
    told = ask(app(response), "gzip")
    assert ("content-encoding" in fields(told)) == is_coded
    if not is_coded:
        assert told is response  # no vary either: it does not


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (204, HTML),
        (205, HTML),
        (304, HTML),
        (206, HTML),
        (200, [*HTML, ("content-range", "bytes 0-1/2")]),
        (200, [*HTML, ("Content-Encoding", "br")]),
        (200, [*HTML, ("content-encoding", "identity")]),
        (200, [*HTML, ("cache-control", "public, No-Transform")]),
        (200, [*HTML, ("content-digest", "sha-256=:AA==:")]),
    ],
)
def test_what_must_not_be_changed(status: int, headers: list[tuple[str, str]]) -> None:
    response = Response(status, headers, TEXT)
    assert ask(app(response), "gzip") is response


def test_small_contents_stay() -> None:
    small = Response(200, HTML, TEXT[:499])
    assert fields(ask(app(small), "gzip")) == {"content-type": HTML[0][1], "vary": "accept-encoding"}
    assert "content-encoding" in fields(ask(app(Response(200, HTML, TEXT[:500])), "gzip"))
    assert "content-encoding" in fields(ask(app(small, minimum_size=499), "gzip"))
    # Unless identity is refused (RFC 9110 §12.5.3).
    for accept in ("gzip, identity;q=0", "gzip, *;q=0"):
        assert DECODE["gzip"](ask(app(small), accept).body) == TEXT[:499]


def test_what_does_not_become_smaller_stays() -> None:
    noise = Response(200, HTML, bytes(range(256)))
    assert "content-encoding" not in fields(ask(app(noise, minimum_size=10), "gzip"))
    assert "content-encoding" in fields(ask(app(noise), "gzip, identity;q=0"))


def test_a_client_that_accepts_nothing_we_have_gets_it_as_it_is() -> None:
    for accept in ("identity;q=0", "*;q=0", "deflate, identity;q=0"):
        assert ask(app(Response(200, HTML, TEXT)), accept).body == TEXT


def test_head_says_what_get_would() -> None:
    get, head = (ask(app(Response(200, HTML, TEXT)), "gzip", method) for method in ("GET", "HEAD"))
    assert fields(get) == fields(head)
    assert len(get.body) == len(head.body)  # the engine leaves the content out, and says its length
    assert "content-encoding" not in fields(ask(app(Response(200, HTML)), "gzip", "HEAD"))


def test_errors_are_coded_too() -> None:
    def fail(request: Request) -> Response:
        raise HTTPError(400, "x" * 1000)

    router = Router([Route("/", fail)], middleware=[Compression()])
    assert DECODE["gzip"](ask(router, "gzip").body) == b"x" * 1000 + b"\n"


def test_our_order_decides_between_equals() -> None:
    router = app(Response(200, HTML, TEXT), codings=["gzip", "br"])
    assert fields(ask(router, "br, gzip, zstd"))["content-encoding"] == "gzip"
    assert fields(ask(router, "br, gzip;q=0.9"))["content-encoding"] == "br"


def test_levels_and_types() -> None:
    light, hard = (len(ask(app(Response(200, HTML, TEXT), levels={"br": level}), "br").body) for level in (0, 11))
    assert hard < light
    odd = Response(200, [("content-type", "application/x-odd")], TEXT)
    assert "content-encoding" in fields(ask(app(odd, types=["application/x-odd"]), "br"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"codings": ["deflate"]}, "the content coding 'deflate' is not known; the known ones are zstd, br, gzip"),
        ({"codings": []}, "codings of Compression is a list"),
        ({"codings": "gzip"}, "codings of Compression is a list"),
        ({"levels": {"gzip": 10}}, "the level of gzip is 10; it must be from 1 to 9"),
        ({"levels": {"zstd": 20}}, "the level of zstd is 20; it must be from 1 to 19"),
        ({"codings": ["gzip"], "levels": {"br": 4}}, "Compression has a level for br, which is not among its codings"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Compression(**options)


def test_a_coding_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "headrace.server.content_coding._MODULES", {"zstd": (), "br": ("nothing_of_this_name",), "gzip": ("zlib",)}
    )
    assert available() == ("gzip",)
    assert fields(ask(app(Response(200, HTML, TEXT)), "br, zstd, gzip;q=0.1"))["content-encoding"] == "gzip"
    with pytest.raises(ValueError, match=r"the content coding br needs a package: pip install 'headrace\[brotli\]'"):
        Compression(["br"])


# -- streams


def served(handler: Any, accept: str, path: str = "/", method: str = "GET", **options: Any) -> Any:
    router = Router([Route("/", handler)], middleware=[Compression(**options)])

    async def main() -> Any:
        async with serving(router) as server, H2Peer.connected(port(server)) as peer:
            return await peer.get(path, method, [("accept-encoding", accept)])

    return main()


async def by_generator(request: Request) -> StreamResponse:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(TEXT), 100):
            yield TEXT[start : start + 100]

    return StreamResponse(200, [*HTML, ("etag", '"v"'), ("content-length", str(len(TEXT)))], pieces())


async def by_send(request: Request) -> StreamResponse:
    async def produce(send: Send) -> None:
        await send(TEXT[:1000])
        await send(b"")
        await send(TEXT[1000:], end=True)

    return StreamResponse(200, HTML, produce)


async def with_trailers(request: Request) -> StreamResponse:
    async def produce(send: Send) -> None:
        await send(TEXT[:1000])
        await send(TEXT[1000:], end=True, trailers=[("x-checked", "yes")])

    return StreamResponse(200, HTML, produce)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("handler", [by_generator, by_send, with_trailers])
def test_a_stream_is_coded(run: Run, coding: str, handler: Any) -> None:
    answered = run(served(handler, coding))
    assert answered.status == 200
    assert answered.ended
    assert DECODE[coding](bytes(answered.body)) == TEXT
    assert (answered.header(b"content-encoding"), answered.header(b"vary")) == (coding.encode(), b"accept-encoding")
    assert answered.header(b"content-length") is None
    if handler is by_generator:
        assert answered.header(b"etag") == b'W/"v"'
    if handler is with_trailers:
        assert answered.trailers == [(b"x-checked", b"yes")]


def test_a_stream_for_head_has_the_fields_alone(run: Run) -> None:
    answered = run(served(by_generator, "gzip", method="HEAD"))
    assert (answered.status, answered.header(b"content-encoding"), bytes(answered.body)) == (200, b"gzip", b"")


def test_a_stream_that_says_it_is_small_stays(run: Run) -> None:
    async def small(request: Request) -> StreamResponse:
        async def produce(send: Send) -> None:
            await send(b"12345")

        return StreamResponse(200, [*HTML, ("content-length", "5")], produce)

    answered = run(served(small, "gzip"))
    assert (bytes(answered.body), answered.header(b"content-encoding")) == (b"12345", None)
    answered = run(served(small, "gzip, identity;q=0"))
    assert DECODE["gzip"](bytes(answered.body)) == b"12345"


def test_a_stream_that_fails_is_reset_and_not_ended(run: Run) -> None:
    async def failing(request: Request) -> StreamResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield TEXT
            raise RuntimeError("out of text")

        return StreamResponse(200, HTML, pieces())

    answered = run(served(failing, "gzip"))
    assert (answered.ended, answered.reset) == (False, 2)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_an_event_stream_is_flushed_with_each_event(run: Run, coding: str) -> None:
    """The client reads each event before the next one is made."""
    seen = asyncio.Event()

    async def events() -> AsyncIterator[str]:
        for number in range(3):
            seen.clear()
            yield f"event {number}"
            await seen.wait()

    async def handler(request: Request) -> EventStream:
        return EventStream(events(), heartbeat_s=None)

    decoder: Any = {"gzip": zlib.decompressobj(31), "br": brotli.Decompressor(), "zstd": zstd.ZstdDecompressor()}[
        coding
    ]
    decode = decoder.process if coding == "br" else decoder.decompress
    router = Router([Route("/", handler)], middleware=[Compression()])

    async def main() -> None:
        async with serving(router) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/", headers=[("accept-encoding", coding)])
            answered = peer.answers[stream_id]
            text = b""

            def has(event: bytes) -> bool:
                nonlocal text
                text += decode(bytes(answered.body))
                answered.body.clear()
                return event in text

            for number in range(3):
                await peer.until(functools.partial(has, b"data: event %d\n\n" % number))
                seen.set()
            await peer.over(stream_id)
            text += decode(bytes(answered.body))
            assert text == b"".join(b"data: event %d\n\n" % number for number in range(3))
            assert answered.header(b"content-encoding") == coding.encode()

    run(main())


def test_other_streams_are_not_flushed_with_each_piece(run: Run) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"tick\n"

    async def handler(request: Request) -> StreamResponse:
        return StreamResponse(200, [("content-type", "text/plain")], pieces())

    answered = run(served(handler, "gzip"))
    assert DECODE["gzip"](bytes(answered.body)) == b"tick\n" * 1000
    assert len(answered.body) < 200


def test_files_are_left_alone(run: Run, tmp_path: Any) -> None:
    (tmp_path / "page.html").write_bytes(TEXT)

    async def handler(request: Request) -> FileResponse:
        return FileResponse(200, [], tmp_path / "page.html")

    answered = run(served(handler, "gzip"))
    assert (bytes(answered.body), answered.header(b"content-encoding")) == (TEXT, None)
