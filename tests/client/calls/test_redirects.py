"""Redirects (RFC 9110 §15.4): methods, content, limits; leaks: tests/security/client/test_content_live.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.client import (
    BodyConsumed,
    Client,
    HTTPStatusError,
    RemoteProtocolError,
    TooManyRedirects,
)

from tests.client.support.fake import Answer, FakeTransport, redirect
from tests.support.serving import Run

HERE = "https://example.org/a/b?x#top"


def go(run: Run, *answers: Any, method: str = "GET", **options: Any) -> Any:
    """Return the response, and the requests that were sent."""

    async def main() -> Any:
        transport = FakeTransport(*answers)
        async with Client(transport=transport) as client:
            if not options and method == "GET":
                return await client.get(HERE), transport
            return await client.request(method, HERE, **options), transport

    return run(main())


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "GET", "GET"), (301, "HEAD", "HEAD"), (301, "POST", "GET"), (301, "PUT", "PUT"), (302, "POST", "GET"),
        (302, "DELETE", "DELETE"), (303, "POST", "GET"), (303, "PUT", "GET"), (303, "HEAD", "HEAD"),
        (303, "GET", "GET"), (307, "POST", "POST"), (308, "POST", "POST"), (308, "PATCH", "PATCH"),
    ],
)  # fmt: skip
def test_what_becomes_of_the_method_and_the_content(run: Run, status: int, method: str, becomes: str) -> None:
    content = b"content" if method in ("POST", "PUT", "PATCH") else None
    headers = {"content-type": "text/x", "x-other": "1", "content-language": "de"}
    _, transport = go(run, redirect("/new", status), Answer(), method=method, content=content, headers=headers)
    second = transport.sent[1]
    assert (second.method, second.target) == (becomes, "/new")
    assert second.field("x-other") == "1"
    is_kept = method == becomes
    assert second.content == (content if is_kept and content else b"")
    assert second.field("content-type") == ("text/x" if is_kept else None)
    assert second.field("content-language") == ("de" if is_kept else None)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("c", "https://example.org/a/c#top"), ("/c?d", "https://example.org/c?d#top"), ("../c", "https://example.org/c#top"),
        ("https://other.example/", "https://other.example/#top"), ("//other.example/x", "https://other.example/x#top"),
        ("c#own", "https://example.org/a/c#own"), ("?y", "https://example.org/a/b?y#top"), ("/ä b", "https://example.org/%C3%A4%20b#top"),
        ("", "https://example.org/a/b?x#top"),
    ],
)  # fmt: skip
def test_where_a_location_leads(run: Run, location: str, url: str) -> None:
    response, _ = go(run, redirect(location), Answer(content=b"there"))
    assert response.url == url and response.content == b"there"


def test_history_and_elapsed(run: Run) -> None:
    response, transport = go(run, redirect("/1", content=b"moved"), redirect("/2", 307), Answer())
    assert [each.status for each in response.history] == [302, 307]
    assert [each.url.path for each in response.history] == ["/a/b", "/1"]
    assert response.history[0].content == b"moved" and response.history[1].history == [response.history[0]]
    assert response.url.path == "/2" and response.request.method == "GET"
    assert len(transport.sent) == 3


@pytest.mark.parametrize("status", [300, 304, 305, 306])
def test_statuses_that_are_no_redirects_to_follow(run: Run, status: int) -> None:
    response, transport = go(run, redirect("/new", status))
    assert response.status == status and len(transport.sent) == 1


def test_a_redirect_without_location_is_the_answer(run: Run) -> None:
    response, _ = go(run, Answer(302))
    assert response.status == 302 and not response.has_redirect_location


def test_not_followed_where_it_is_not_wanted(run: Run) -> None:
    response, transport = go(run, redirect("/new"), follow_redirects=False)
    assert response.status == 302 and len(transport.sent) == 1

    async def main() -> None:
        async with Client(
            transport=FakeTransport(redirect("/new"), redirect("/new")), follow_redirects=False
        ) as client:
            assert (await client.get(HERE)).status == 302
            assert (await client.get(HERE)).has_redirect_location
        async with Client(transport=FakeTransport(redirect("/new"), Answer()), follow_redirects=False) as client:
            assert (await client.get(HERE, follow_redirects=True)).status == 200

    run(main())


def test_20_are_followed_and_no_more(run: Run) -> None:
    answers = [redirect(f"/{number}") for number in range(20)]
    response, _ = go(run, *answers, Answer())
    assert response.url.path == "/19" and len(response.history) == 20
    answers = [redirect(f"/{number}") for number in range(21)]
    with pytest.raises(TooManyRedirects, match="redirected 21 times; max_redirects is 20") as raised:
        go(run, *answers, Answer())
    assert raised.value.url == "https://example.org/19#top"
    assert raised.value.head is not None and raised.value.head.status == 302


def test_a_circle_ends(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(respond=lambda sent: redirect("/"))
        async with Client(transport=transport, max_redirects=3) as client:
            with pytest.raises(TooManyRedirects):
                await client.get(HERE)
        assert len(transport.sent) == 4

    run(main())
    with pytest.raises(ValueError, match="1 or more"):
        Client(transport=FakeTransport(), max_redirects=0)


@pytest.mark.parametrize(
    "location", ["http://[", "https://exa mple.org/", "http://a:port/", "https://h\\@evil.example/"]
)
def test_a_location_that_is_no_url(run: Run, location: str) -> None:
    with pytest.raises(RemoteProtocolError, match="redirects to an invalid URL"):
        go(run, redirect(location))


def test_content_of_an_iterator_is_not_sent_on(run: Run) -> None:
    """A request whose iterator is used up is refused, with the reason."""

    async def once() -> AsyncIterator[bytes]:
        yield b"content"

    with pytest.raises(
        BodyConsumed, match=r"the answer 307 sends the request on to https://example.org/new#top, but"
    ) as raised:
        go(run, redirect("/new", 307), method="POST", content=once())
    assert not raised.value.retryable and raised.value.head is not None
    _, transport = go(run, redirect("/new", 307), Answer(), method="POST", content=once)
    assert [sent.content for sent in transport.sent] == [b"content", b"content"]
    _, transport = go(run, redirect("/new", 303), Answer(), method="POST", content=once())
    assert [sent.content for sent in transport.sent] == [b"content", b""], (
        "as GET it has none, so nothing is sent twice"
    )


def test_a_stream_that_is_redirected(run: Run) -> None:
    moved = redirect("/1", content=[b"x"] * 3)
    small = Answer(302, [("location", "/2"), ("content-length", "3")], b"abc", http_version="1.1")
    last = Answer(content=[b"a", b"b"])

    async def main() -> None:
        transport = FakeTransport(moved, small, last)
        async with Client(transport=transport) as client, client.stream("GET", HERE) as response:
            assert response.url.path == "/2"
            assert await response.aread() == b"ab"
        assert moved.is_closed, "on HTTP/2 the rest of it is given up"
        assert small.is_ended and not small.is_closed, "on HTTP/1.1 a little is rather read than the connection ended"

    run(main())


def test_the_last_answer_may_be_an_error(run: Run) -> None:
    response, _ = go(run, redirect("/new"), Answer(404))
    with pytest.raises(HTTPStatusError, match="404"):
        response.raise_for_status()


@pytest.mark.parametrize(
    "elsewhere", ["https://other.example/", "http://example.org/", "https://example.org:444/", None]
)
def test_secrets_stay_with_the_origin_that_was_asked(run: Run, elsewhere: str | None) -> None:
    """Also when the way leads back: the other origin chose it. A cookie with a domain goes wherever that belongs."""

    async def main() -> Any:
        back = [redirect("https://example.org/back")] if elsewhere else []
        transport = FakeTransport(redirect(elsewhere or "/new"), *back, Answer(), Answer())
        async with Client(transport=transport) as client:
            client.cookies.set("own", "1")
            client.cookies.set("wide", "2", domain="example.org")
            secrets = {"authorization": "Bearer x", "x-api-key": "x", "last-event-id": "7", "x-app": "mine"}
            await client.get(HERE, headers=secrets)
            await client.get(HERE)
        return transport.sent

    first, *led, last = run(main())
    assert first.field("cookie") == last.field("cookie") == "own=1; wide=2"
    for each in led:
        assert each.field("x-app") == "mine"
        for name in ("authorization", "x-api-key", "last-event-id"):
            assert (each.field(name) is None) == (elsewhere is not None), name
        kept = "wide=2" if "example.org" in str(each.origin) else None
        assert each.field("cookie") == (kept if elsewhere else "own=1; wide=2")


@pytest.mark.parametrize("location", ["ftp://example.org/", "mailto:a@b.example"])
def test_no_request_goes_to_another_scheme(run: Run, location: str) -> None:
    with pytest.raises(TooManyRedirects, match="a scheme that no request may have"):
        go(run, redirect(location), Answer())


def test_a_location_cannot_name_credentials(run: Run) -> None:
    _, transport = go(run, redirect("https://me:pw@other.example/"), Answer())
    assert transport.sent[1].field("authorization") is None
    assert "pw" not in transport.sent[1].url
