"""Messages of the client at their edges: mappings of others, cookies on the short way, responses in memory."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from headrace.client import Client, Headers, Response
from headrace.client.message.content import IteratedContent
from headrace.client.message.cookies import _Asked
from headrace.client.message.encode import Multipart
from headrace.client.message.url import URL

from tests.client.support.fake import Answer, FakeTransport, redirect
from tests.client.support.two_pieces import TwoPieces

HERE = "https://example.org/a"


def test_cookies_come_and_go_on_the_short_way_too() -> None:
    """A plain `get` skips the journey; its cookies, also those of a redirect, are kept all the same."""

    async def main() -> None:
        transport = FakeTransport(
            Answer(200, [("set-cookie", "one=1")]),
            redirect("/b"),
            Answer(302, [("location", "/c"), ("set-cookie", "two=2")]),
            Answer(200, [("set-cookie", "three=3")]),
            Answer(304),
            Answer(),
        )
        async with Client(transport=transport) as client:
            await client.get(HERE)
            await client.get(HERE)
            assert {name: client.cookies[name] for name in client.cookies} == {"one": "1", "two": "2", "three": "3"}
            assert (await client.get(HERE)).status == 304
            await client.get(HERE)
        fields = [each.field("cookie") for each in transport.sent]
        assert fields[0] is None
        assert fields[1:3] == ["one=1"] * 2
        assert fields[3] == "one=1; two=2"
        assert fields[5] == "one=1; two=2; three=3"

    asyncio.run(main())


def test_content_beyond_the_limit_is_decoded_on_the_short_way() -> None:
    async def main() -> None:
        async with Client(transport=FakeTransport(Answer(200, (), b"x" * 100)), max_response_size=1_000) as client:
            assert len((await client.get(HERE)).content) == 100

    asyncio.run(main())


def test_headers_and_other_mappings() -> None:
    headers = Headers({"a": "1"})
    assert dict(headers | {"b": "2"}) == {"a": "1", "b": "2"}
    assert dict({"b": "2"} | headers) == {"a": "1", "b": "2"}
    number: Any = 5
    with pytest.raises(TypeError):
        headers | number
    with pytest.raises(TypeError):
        number | headers


def test_a_response_in_memory_has_bytes_or_text() -> None:
    assert Response(200, json={"a": 1}).headers["content-type"] == "application/json"
    with pytest.raises(TypeError, match="bytes or text"):
        Response(200, content=iter([b"a"]))  # type: ignore[arg-type] # that is the test


def test_a_part_may_bring_its_own_type(tmp_path: Path) -> None:
    form = Multipart({}, {"f": ("a.txt", b"x", None, {"Content-Type": "text/own"})})

    async def main() -> bytes:
        return b"".join([piece async for piece in form.open()])

    content = asyncio.run(main())
    assert content.count(b"content-type") == 1
    assert b"text/own" in content


def test_an_iterator_without_aclose_is_read_to_its_end() -> None:
    async def main() -> None:
        assert [piece async for piece in IteratedContent(TwoPieces()).open()] == [b"x", b"x"]

    asyncio.run(main())


def test_what_a_cookie_jar_asks_of_a_request() -> None:
    asked = _Asked(URL("https://user:pw@example.org:8443/a?b"))
    assert asked.get_full_url() == "https://example.org:8443/a?b"
    assert not asked.has_header("Cookie")
    asked.add_unredirected_header("X-Other", "1")
    asked.add_unredirected_header("Cookie", "a=1")
    assert (asked.cookie, asked.has_header("cookie")) == ("a=1", True)
    assert asked.get_header("Referer", "none") == "none"
    assert list(asked.header_items()) == []


def test_json_in_memory_comes_back() -> None:
    value: Any = {"a": [1, None]}
    assert json.loads(Response(200, json=value).content) == value
