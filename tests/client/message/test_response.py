"""Responses: the facts in their head; their content, whole and as a stream, as bytes, text, lines and JSON."""

from __future__ import annotations

import gzip
from datetime import timedelta
from typing import Any

import pytest

from headrace.client import (
    Client,
    DecodingError,
    HTTPStatusError,
    Request,
    Response,
    StreamConsumed,
    TruncatedBody,
)
from headrace.client.message.links import parse_links

from tests.client.support.fake import Answer, FakeTransport
from tests.support.serving import Run


def test_made_by_hand() -> None:
    request = Request("GET", "https://example.org/x")
    response = Response(200, {"X-A": "1"}, b"hello", http_version="1.1", trailers={"t": "u"}, request=request)
    assert (response.status, response.status_code, response.reason_phrase) == (200, 200, "OK")
    assert response.content == b"hello" and response.text == "hello" and response.http_version == "1.1"
    assert response.headers["x-a"] == "1" and response.trailers["T"] == "u"
    assert response.request is request and response.url == "https://example.org/x"
    assert response.history == [] and response.elapsed == timedelta(0) and response.informational == []
    assert response.is_closed and response.is_stream_consumed and response.num_bytes_downloaded == 5
    assert repr(response) == "<ClientResponse [200 OK]>" and repr(Response(299)) == "<ClientResponse [299]>"
    assert Response(200, json={"a": 1}).json() == {"a": 1}
    assert Response(200, {"content-encoding": "gzip"}, gzip.compress(b"x")).content == b"x"
    with pytest.raises(RuntimeError, match="without a request"):
        _ = Response(200).request
    with pytest.raises(ValueError, match="three digits"):
        Response(99)


@pytest.mark.parametrize(
    ("status", "name"),
    [(103, "is_informational"), (204, "is_success"), (302, "is_redirect"), (404, "is_client_error"),
     (503, "is_server_error")],
)  # fmt: skip
def test_what_a_status_says(status: int, name: str) -> None:
    response = Response(status)
    names = ("is_informational", "is_success", "is_redirect", "is_client_error", "is_server_error")
    assert [each for each in names if getattr(response, each)] == [name]
    assert response.is_error is (status >= 400)


def test_raise_for_status() -> None:
    fine = Response(302)
    assert fine.raise_for_status() is fine
    failed = Response(404, request=Request("GET", "https://user:pw@example.org/x"))
    with pytest.raises(
        HTTPStatusError, match=r"404 Not Found: an error of the request \(https://example.org/x\)"
    ) as raised:
        failed.raise_for_status()
    assert raised.value.response is failed and not raised.value.retryable
    with pytest.raises(HTTPStatusError, match="503 Service Unavailable: an error of the server"):
        Response(503).raise_for_status()


@pytest.mark.parametrize(
    ("content_type", "content", "text", "encoding"),
    [
        ("text/plain", "ä".encode(), "ä", "utf-8"),
        ("text/plain; charset=iso-8859-1", b"\xe4", "ä", "iso-8859-1"),
        ('text/plain; charset="UTF-8"', "ä".encode(), "ä", "UTF-8"),
        ("text/plain; CHARSET = latin-1 ; x=y", b"\xe4", "ä", "latin-1"),
        ("text/plain; charset=unheard-of", "ä".encode(), "ä", "utf-8"),
        ("text/plain; charset=", "ä".encode(), "ä", "utf-8"),
        ("text/plain; charset=zlib_codec", b"x", "x", "utf-8"),
        ("text/plain; charset=hex", b"x", "x", "utf-8"),
        ("text/plain; charset=\x83utf_16", b"xy", "xy", "utf-8"),
        ("text/plain", b"\xff", "�", "utf-8"),
        ("", b"\xef\xbb\xbfmark", "mark", "utf-8-sig"),
        ("", "mark".encode("utf-16"), "mark", "utf-16"),
    ],
)
def test_text(content_type: str, content: bytes, text: str, encoding: str) -> None:
    response = Response(200, {"content-type": content_type}, content)
    assert (response.text, response.encoding) == (text, encoding)


def test_the_encoding_can_be_set() -> None:
    response = Response(200, {"content-type": "text/plain; charset=utf-8"}, b"\xe4")
    assert response.charset_encoding == "utf-8"
    response.encoding = "latin-1"
    assert response.text == "ä"
    with pytest.raises(ValueError, match="no text encoding"):
        response.encoding = "zlib_codec"
    with pytest.raises(ValueError, match="property name"):
        Response(200, {}, b"{").json()


@pytest.mark.parametrize(
    ("value", "links"),
    [
        ('<https://a/2>; rel="next", <https://a/9>; rel=last', [("https://a/2", "next"), ("https://a/9", "last")]),
        ('<a,b;c>; title="x, y; <z>"; rel=n', [("a,b;c", "n")]),
        ('<a>; rel="first"; rel="second"', [("a", "first")]),
        ("<a>", [("a", None)]),
        ("<a>;rel=x;flag,<b>;rel=y", [("a", "x"), ("b", "y")]),
        (r'<a>; rel="q\"uote"', [("a", 'q"uote')]),
        ("no link at all", []),
        ("<a", []),
        ("", []),
    ],
)
def test_links(value: str, links: list[tuple[str, str | None]]) -> None:
    assert [(link["url"], link.get("rel")) for link in parse_links([value])] == links
    assert Response(200, {"link": value}).links.keys() == {rel or url for url, rel in links}


def stream(run: Run, answer: Answer, use: Any, **options: Any) -> Any:
    async def main() -> Any:
        async with (
            Client(transport=FakeTransport(answer), **options) as client,
            client.stream("GET", "https://example.org/") as response,
        ):
            return await use(response)

    return run(main())


def test_a_stream_as_bytes_text_and_lines(run: Run) -> None:
    pieces = ["ä\r".encode()[:1], "ä\r".encode()[1:], b"\nb\nc\r", b"d", "\u2028e".encode()]

    async def data(response: Response) -> list[bytes]:
        return [piece async for piece in response.iter_bytes()]

    async def sized(response: Response) -> list[bytes]:
        return [piece async for piece in response.iter_bytes(4)]

    async def text(response: Response) -> str:
        return "".join([piece async for piece in response.iter_text()])

    async def lines(response: Response) -> list[str]:
        return [line async for line in response.iter_lines()]

    assert stream(run, Answer(content=pieces), data) == pieces
    assert stream(run, Answer(content=pieces), sized) == split(b"".join(pieces), 4)
    assert stream(run, Answer(content=pieces), text) == b"".join(pieces).decode()
    assert stream(run, Answer(content=pieces), lines) == ["ä", "b", "c", "d\u2028e"]


def split(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_a_stream_with_a_coding(run: Run) -> None:
    made = gzip.compress(b"hello" * 100)

    async def both(response: Response) -> None:
        assert b"".join([piece async for piece in response.iter_bytes()]) == b"hello" * 100
        assert response.num_bytes_downloaded == len(made) and response.is_closed

    async def raw(response: Response) -> None:
        assert b"".join([piece async for piece in response.iter_raw()]) == made

    coded = [("content-encoding", "gzip")]
    stream(run, Answer(200, coded, split(made, 7)), both)
    stream(run, Answer(200, coded, split(made, 7)), raw)


def test_a_stream_is_read_once(run: Run) -> None:
    async def use(response: Response) -> None:
        with pytest.raises(StreamConsumed, match="has not been read"):
            _ = response.content
        before = response.is_stream_consumed, response.is_closed
        assert [piece async for piece in response.iter_bytes()] == [b"a", b"b"]
        assert (before, response.is_stream_consumed, response.is_closed) == ((False, False), True, True)
        with pytest.raises(StreamConsumed, match="already"):
            [piece async for piece in response.iter_raw()]
        with pytest.raises(StreamConsumed):
            await response.aread()

    stream(run, Answer(content=[b"a", b"b"]), use)


def test_a_stream_that_was_read_whole_can_be_read_again(run: Run) -> None:
    async def use(response: Response) -> None:
        assert await response.aread() == b"ab" == await response.aread() == response.content
        assert [piece async for piece in response.iter_bytes()] == [b"ab"]
        assert [line async for line in response.iter_lines()] == ["ab"]

    stream(run, Answer(content=[b"a", b"b"]), use)


def test_a_whole_response_gives_its_content_as_a_stream(run: Run) -> None:
    async def main() -> None:
        response = Response(200, {}, b"one\ntwo")
        assert [piece async for piece in response.iter_bytes(4)] == [b"one\n", b"two"]
        assert [line async for line in response.iter_lines()] == ["one", "two"]
        with pytest.raises(StreamConsumed, match="whole"):
            response.iter_raw()
        await response.aclose()

    run(main())


def test_leaving_the_block_gives_up_the_rest(run: Run) -> None:
    answer = Answer(content=[b"a", b"b"])

    async def nothing(response: Response) -> None:
        pass

    stream(run, answer, nothing)
    assert answer.is_closed
    answer = Answer(content=[b"a", b"b"])

    async def some(response: Response) -> None:
        async for piece in response.iter_bytes():
            assert piece == b"a"
            break
        async for _ in response.iter_bytes():
            raise AssertionError("it was begun already")

    with pytest.raises(StreamConsumed):
        stream(run, answer, some)
    assert answer.is_closed
    answer = Answer(content=[b"a", b"b"])

    async def all_of_it(response: Response) -> None:
        await response.aread()

    stream(run, answer, all_of_it)
    assert answer.is_ended and not answer.is_closed


def test_a_body_that_is_cut_off_is_an_error_with_url_and_head(run: Run) -> None:
    async def use(response: Response) -> None:
        pieces = response.iter_bytes()
        assert await anext(pieces) == b"half"
        with pytest.raises(TruncatedBody, match=r"ended \(https://example.org/\)") as raised:
            await anext(pieces)
        assert raised.value.head is not None and raised.value.head.status == 200

    stream(run, Answer(content=[b"half", TruncatedBody("the content ended")]), use)


def test_content_that_is_not_what_it_says(run: Run) -> None:
    async def use(response: Response) -> None:
        with pytest.raises(DecodingError, match="not gzip") as raised:
            await response.aread()
        assert raised.value.url == "https://example.org/"

    answer = Answer(200, [("content-encoding", "gzip")], [b"this is not gzip at all", b"more"])
    stream(run, answer, use)
    assert answer.is_closed, "nothing more is read of it"


def test_trailers_and_interim_responses(run: Run) -> None:
    def respond(sent: Any) -> Answer:
        sent.outgoing.on_informational(103, [(b"link", b"</a.css>; rel=preload")])
        sent.outgoing.on_informational(102, [])
        return Answer(content=b"x", trailers=[(b"x-sum", b"1")])

    told: list[int] = []

    async def main() -> None:
        async with Client(transport=FakeTransport(respond=respond)) as client:
            for _ in range(2):  # the second time by the short way
                response = await client.get("https://example.org/")
                assert [status for status, _ in response.informational] == [103, 102]
                assert response.early_hints[0]["link"] == "</a.css>; rel=preload"
                assert response.trailers["x-sum"] == "1"
            await client.get("https://example.org/", on_informational=lambda status, headers: told.append(status))

    run(main())
    assert told == [103, 102]


def test_interim_responses_without_end_are_not_kept(run: Run) -> None:
    def respond(sent: Any) -> Answer:
        for _ in range(1000):
            sent.outgoing.on_informational(103, [])
        return Answer()

    told: list[int] = []

    async def main() -> None:
        async with Client(transport=FakeTransport(respond=respond)) as client:
            response = await client.get("https://a/", on_informational=lambda status, _: told.append(status))
            assert len(response.informational) == 32 and len(told) == 1000

    run(main())


def test_download_progress(run: Run) -> None:
    told: list[tuple[int, int | None]] = []

    async def main() -> None:
        made = gzip.compress(b"hello")
        answer = Answer(200, [("content-encoding", "gzip"), ("content-length", str(len(made)))], [made[:5], made[5:]])
        async with Client(transport=FakeTransport(answer)) as client:
            response = await client.get("https://a/", on_download=lambda done, total: told.append((done, total)))
            assert response.content == b"hello"
            assert response.num_bytes_downloaded == len(made)
            assert told == [(5, len(made)), (len(made), len(made))]

    run(main())
