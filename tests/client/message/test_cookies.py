"""Cookies are kept and sent where they belong (RFC 6265), and nowhere else."""

from __future__ import annotations

import threading
import warnings
from http.cookiejar import CookieJar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.client import URL, Client, Cookies
from headrace.client.message.cookies import MAX_COOKIES_PER_DOMAIN, CookieConflict
from headrace.engine.fields import is_field_value

from tests.client.support.fake import Answer, FakeTransport, redirect
from tests.properties.profile import tries
from tests.support.serving import Run


def kept(url: str, *set_cookie: str) -> Cookies:
    cookies = Cookies()
    cookies.extract(URL(url), [(b"set-cookie", value.encode()) for value in set_cookie])
    return cookies


@pytest.mark.parametrize(
    ("set_by", "set_cookie", "asked", "expected"),
    [
        ("https://a.example/", "s=1", "https://a.example/x", "s=1"),
        ("https://a.example/", "s=1", "https://b.a.example/", ""),
        ("https://a.example/", "s=1", "https://evil.example/", ""),
        ("https://b.a.example/", "s=1; domain=a.example", "https://c.a.example/", "s=1"),
        ("https://b.a.example/", "s=1; domain=.a.example", "https://a.example/", "s=1"),
        ("https://evil.example/", "s=1; domain=a.example", "https://a.example/", ""),
        ("https://a.example/", "s=1; domain=example", "https://b.example/", ""),
        ("https://a.co.uk/", "s=1; domain=co.uk", "https://b.co.uk/", ""),
        ("https://a.example/", "s=1; path=/x", "https://a.example/x/y", "s=1"),
        ("https://a.example/", "s=1; path=/x", "https://a.example/xy", ""),
        ("https://a.example/d/e", "s=1", "https://a.example/d/f", "s=1"),
        ("https://a.example/d/e", "s=1", "https://a.example/", ""),
        ("https://a.example/", "s=1; secure", "https://a.example/", "s=1"),
        ("https://a.example/", "s=1; secure", "http://a.example/", ""),
        ("http://a.example/", "s=1; secure", "https://a.example/", ""),
        ("https://a.example/", "s=1; max-age=0", "https://a.example/", ""),
        ("https://a.example/", "s=1; expires=Thu, 01 Jan 1970 00:00:00 GMT", "https://a.example/", ""),
        ("https://a.example/", "s=1; max-age=1000", "https://a.example/", "s=1"),
        ("https://a.example/", "__Secure-s=1", "https://a.example/", ""),
        ("https://a.example/", "__Secure-s=1; secure", "https://a.example/", "__Secure-s=1"),
        ("https://a.example/", "__Host-s=1; secure; path=/; domain=a.example", "https://a.example/", ""),
        ("https://a.example/", "__Host-s=1; secure; path=/", "https://a.example/", "__Host-s=1"),
        ("https://a.local/", "s=1; domain=local", "https://b.local/", ""),
        ("https://a.local/", "s=1; domain=.local", "https://a.local/", ""),
        ("https://a.com./", "s=1; domain=com.", "https://b.com./", ""),
        ("https://localhost/", "s=1; domain=local", "https://b.local/", ""),
        ("https://localhost/", "s=1; domain=localhost.local", "https://b.localhost.local/", ""),
        ("https://localhost/", "s=1; domain=localhost", "https://localhost/", "s=1"),
        ("https://localhost/", "s=1; domain=localhost", "https://b.localhost/", ""),
        ("http://192.0.2.1/", "s=1", "http://192.0.2.1/", "s=1"),
        ("http://192.0.2.1/", "s=1; domain=2.1", "http://9.0.2.1/", ""),
        ("http://localhost:81/", "s=1", "http://localhost:82/", "s=1"),
        ("http://[::1]/", "s=1", "http://[::1]/", "s=1"),
        ("https://a.example/", "s=" + "x" * 5000, "https://a.example/", ""),
        ("https://a.example/", "no-value", "https://a.example/", "no-value"),
        ("https://a.example/", "s=1; Max-Age", "https://a.example/", "s=1"),
        ("https://a.example/", "s=1; Max-Age=", "https://a.example/", "s=1"),
        ("https://a.example/", "s=1; Max-Age=never", "https://a.example/", "s=1"),
        ("https://a.example/", "s=1; Max-Age=1000x; Max-Age=0", "https://a.example/", ""),
        ("https://a.example/", "s=1; max-age=-" + "9" * 6_000, "https://a.example/", ""),
        ("https://a.example/", "s=1; max-age=" + "9" * 3_000, "https://a.example/", "s=1"),
        ("https://a.example/", "s=1; max-age=1000; expires=Thu, 01 Jan 1970 00:00:00 GMT", "https://a.example/", "s=1"),
        ("https://a.example/", "s=1; expires", "https://a.example/", "s=1"),
        ("https://a.example/", "s=1; expires=Fri, 31 Dec 99999 23:59:59 GMT", "https://a.example/", "s=1"),
        ("https://a.example/", "s=1; domain; path; port; version; secure=no", "https://a.example/", "s=1"),
        ("https://a.example/d/e", "s=1; path=x", "https://a.example/d/f", "s=1"),
        ("https://a.example/", "=1", "https://a.example/", ""),
        ("https://a.example/", ";;;=;", "https://a.example/", ""),
    ],
)
def test_where_a_cookie_goes(set_by: str, set_cookie: str, asked: str, expected: str) -> None:
    assert kept(set_by, set_cookie).header_for(URL(asked)) == expected


def test_one_cookie_never_costs_another(recwarn: pytest.WarningsRecorder) -> None:
    """With `Max-Age` and no value, all cookies of the response were lost, with a warning (RFC 6265 §5.2.2: ignored)."""
    cookies = kept("https://a.example/", "a=1", "b=2; Max-Age", "c=3; Expires; Domain; Path; Port=x; Version=y", "d=4")
    assert dict(cookies) == {"a": "1", "b": "2", "c": "3", "d": "4"}
    assert not recwarn.list


@pytest.mark.parametrize(
    ("secure", "set_by", "cleartext", "asked", "expected"),
    [
        ("s=good; secure", "http://a.example/", "s=evil", "https://a.example/", "s=good"),
        ("s=good; secure", "http://a.example/", "s=evil; path=/x", "https://a.example/x", "s=good"),
        ("s=good; secure", "http://a.example/", "s=; max-age=0", "https://a.example/", "s=good"),
        ("s=good; secure", "http://a.example/", "s=evil; domain=a.example", "https://a.example/", "s=good"),
        ("s=good; secure", "http://b.a.example/", "s=evil; domain=a.example", "https://a.example/", "s=good"),
        ("s=good; secure; domain=a.example", "http://b.a.example/", "s=evil", "https://b.a.example/", "s=good"),
        ("s=good; secure; path=/x", "http://a.example/", "s=evil; path=/x/y", "https://a.example/x/y", "s=good"),
        ("s=good; secure; path=/x", "http://a.example/", "s=1; path=/xy", "https://a.example/xy", "s=1"),
        ("s=good; secure; path=/x", "http://a.example/", "s=1; path=/", "https://a.example/x", "s=good; s=1"),
        ("s=good; secure", "http://a.example/", "t=1", "https://a.example/", "s=good; t=1"),
        ("s=good; secure", "http://b.a.example/", "s=1", "https://b.a.example/", ""),  # as the draft says
        ("s=good; secure", "http://b.example/", "s=1", "https://b.example/", "s=1"),
        ("s=good; secure; max-age=0", "http://a.example/", "s=1", "https://a.example/", "s=1"),
        ("s=good", "http://a.example/", "s=1", "https://a.example/", "s=1"),
        ("s=good; secure", "https://a.example/", "s=1", "https://a.example/", "s=1"),
    ],
)
def test_cleartext_leaves_secure_cookies_alone(
    secure: str, set_by: str, cleartext: str, asked: str, expected: str
) -> None:
    """An attacker on a cleartext connection could log the caller in as another user, over https."""
    cookies = kept("https://a.example/", secure)
    cookies.extract(URL(set_by), [(b"set-cookie", cleartext.encode())])
    assert cookies.header_for(URL(asked)) == expected


def test_a_cookie_that_ends_takes_none_of_another_site() -> None:
    cookies = kept("https://a.example/", "s=1; domain=a.example", "t=1")
    cookies.extract(URL("https://evil.test/"), [(b"set-cookie", b"s=; domain=a.example; max-age=0")])
    assert cookies.header_for(URL("https://a.example/")) == "s=1; t=1"
    cookies.extract(URL("https://a.example/"), [(b"set-cookie", b"s=; domain=a.example; max-age=0")])
    assert cookies.header_for(URL("https://a.example/")) == "t=1"


ATTRIBUTES = st.sampled_from(
    ["Max-Age", "Expires", "Domain", "Path", "Secure", "HttpOnly", "SameSite", "Port", "Version", "Comment", "", "x"]
)
VALUES = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.integers().map(str),
    st.sampled_from(
        ["", "-", "-0", "00", "a.example", ".", "..", ".a.example", "/", "//", "Thu, 01 Jan 1970", '"', "%"]
    ),
    st.datetimes().map(lambda at: at.strftime("%a, %d %b %Y %H:%M:%S GMT")),
)
COOKIES = st.builds(
    lambda start, attributes: "; ".join(
        [start, *(name if value is None else f"{name}={value}" for name, value in attributes)]
    ),
    st.one_of(st.text(max_size=30), st.sampled_from(["s=1", "=", "s", "s=", "__Host-s=1", "s=a=b"])),
    st.lists(st.tuples(ATTRIBUTES, VALUES), max_size=6),
)


@given(values=st.lists(COOKIES, max_size=4), after=COOKIES)
@tries(300)
def test_whatever_stands_in_set_cookie(values: list[str], after: str) -> None:
    """Any value never raises, never warns, never costs another cookie, and becomes a field that can be sent."""
    url = URL("https://b.a.example/x/y")
    cookies = kept(str(url), "kept=1; path=/; domain=a.example", "own=1")
    headers = [(b"set-cookie", value.encode("utf-8", "replace")) for value in (*values, after)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cookies.extract(url, headers)
        field = cookies.header_for(url)
        assert len(list(cookies)) <= len(cookies) and repr(cookies)
    touched = {value.partition(";")[0].partition("=")[0].strip(" \t") for value in (*values, after)}
    for name in ("kept", "own"):
        assert name in touched or f"{name}=1" in field.split("; ")
    assert is_field_value(field.encode("utf-8", "surrogateescape"))


def test_a_jar_that_is_read_while_responses_come() -> None:
    """A SyncClient's jar is filled in its loop's thread, and read in any other."""
    cookies = Cookies()
    is_over = threading.Event()

    def fill() -> None:
        for number in range(3_000):
            url = URL(f"https://h{number % 40}.example/")
            cookies.extract(url, [(b"set-cookie", b"c%d=1; max-age=%d" % (number % 60, number % 3))])
        is_over.set()

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        while not is_over.is_set():
            assert len(list(cookies)) <= 60
            repr(cookies)
            len(cookies)
    finally:
        thread.join()


def test_several_cookies_and_the_more_specific_path_first() -> None:
    cookies = kept("https://a.example/", "a=1; path=/", "b=2; path=/x")
    assert cookies.header_for(URL("https://a.example/x")) == "b=2; a=1"


def test_as_a_mapping() -> None:
    cookies = Cookies({"a": "1"})
    cookies["b"] = "2"
    cookies.set("a", "3", domain="x.example")
    assert len(cookies) == 3 and list(cookies) == ["a", "b"] and bool(cookies)
    with pytest.raises(CookieConflict, match="several cookies"):
        cookies["a"]
    assert cookies.get("a", domain="x.example") == "3" and cookies.get("z", "d") == "d"
    cookies.delete("a", domain="x.example")
    assert cookies["a"] == "1" and dict(cookies) == {"a": "1", "b": "2"}
    with pytest.raises(KeyError):
        cookies["z"]
    with pytest.raises(KeyError):
        del cookies["z"]
    assert repr(cookies) == "Cookies(a for any site, b for any site)"
    cookies.clear()
    assert not cookies and not list(cookies.jar)


def test_a_jar_of_the_callers() -> None:
    jar = CookieJar()
    cookies = Cookies(jar)
    cookies.update({"a": "1"}, b="2")
    assert cookies.jar is jar and len(jar) == 2
    assert dict(Cookies(cookies)) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("name", "value"), [("a b", "1"), ("a=b", "1"), ("", "1"), ("a", "1; b=2"), ("a", "1\r\nx: y")]
)
def test_a_cookie_cannot_become_another(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="cookie"):
        Cookies({name: value})


def test_a_server_cannot_fill_the_jar() -> None:
    cookies = kept("https://a.example/", *(f"c{number}=1" for number in range(MAX_COOKIES_PER_DOMAIN + 50)))
    assert len(cookies) == MAX_COOKIES_PER_DOMAIN


def test_the_client_keeps_and_sends_them(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(
            Answer(200, [("set-cookie", "a=1; path=/"), ("set-cookie", "b=2; path=/")]),
            Answer(),
            Answer(),
            Answer(),
        )
        async with Client(transport=transport) as client:
            first = await client.get("https://a.example/")
            assert dict(first.cookies) == {"a": "1", "b": "2"} == dict(client.cookies)
            await client.get("https://a.example/")
            await client.get("https://a.example/", cookies={"c": "3"}, headers={"x": "y"})
            await client.get("https://other.example/")
        assert [sent.field("cookie") for sent in transport.sent] == [None, "a=1; b=2", "c=3; a=1; b=2", None]

    run(main())


def test_cookies_of_the_client(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(respond=lambda sent: Answer())
        async with Client(transport=transport, cookies={"a": "1"}) as client:
            await client.get("https://a.example/")
            client.cookies["b"] = "2"
            await client.get("https://a.example/")
            client.cookies = {}
            await client.get("https://a.example/")
        assert [sent.field("cookie") for sent in transport.sent] == ["a=1", "a=1; b=2", None]

    run(main())


def test_a_login_by_redirect(run: Run) -> None:
    def respond(sent: Any) -> Answer:
        if sent.target == "/login":
            return redirect("/home", 303, content=b"")
        return Answer(content=(sent.field("cookie") or "").encode())

    async def main() -> None:
        def with_cookie(sent: Any) -> Answer:
            answer = respond(sent)
            if sent.target == "/login":
                answer.head.headers.append((b"set-cookie", b"sid=9; path=/; httponly"))
            return answer

        async with Client(transport=FakeTransport(respond=with_cookie)) as client:
            response = await client.post("https://a.example/login", data={"user": "x"})
            assert response.text == "sid=9" and response.url == "https://a.example/home"
            assert response.request.method == "GET" and len(response.history) == 1

    run(main())


def test_cookies_are_forgotten_by_domain_and_path() -> None:
    cookies = Cookies()
    for name, domain, path in (("a", "a.example", "/"), ("b", "a.example", "/x"), ("c", "b.example", "/")):
        cookies.set(name, "1", domain=domain, path=path)
    cookies.clear("a.example", "/x")
    assert sorted(cookies) == ["a", "c"]
    cookies.clear("a.example")
    assert sorted(cookies) == ["c"]
    cookies.update(None, d="2")
    cookies.update([("e", "3")])
    assert {name: cookies[name] for name in cookies} == {"c": "1", "d": "2", "e": "3"}
    cookies.extract(URL("https://a.example/"), [(b"x-other", b"f=1")])
    assert sorted(cookies) == ["c", "d", "e"]
