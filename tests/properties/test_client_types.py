"""URL and Headers: invariants, and agreement with httpx2 where its users would expect it."""

from __future__ import annotations

import string
from typing import Any

import httpx2
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from headrace.client import URL, Headers, InvalidURL, QueryParams, Request, RequestError
from headrace.client.calls.redirects import redirect_request
from headrace.engine.fields import is_authority, is_field_name, is_field_value, is_path, is_token

from tests.properties.profile import tries

LABEL = st.text(string.ascii_letters + string.digits, min_size=1, max_size=6).map(lambda text: "a" + text)
HOST = st.one_of(
    st.lists(LABEL, min_size=1, max_size=3).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address.exploded}]"),
    st.sampled_from(["müller.de", "中国.icom.museum", "bücher.example", "faß.de", "xn--mller-kva.de"]),
)
WORD = st.text(string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@% ä€\"<>`{}|^[]", max_size=8)
PATH = st.lists(st.one_of(WORD, st.sampled_from(["", "..", "."])), max_size=5).map(lambda words: "/" + "/".join(words))


@st.composite
def urls(draw: st.DrawFn) -> str:
    """URLs as people write them."""
    user = draw(st.sampled_from(["", "user@", "us er:pass@", "u%40:p%3Aw@", "ü:ä@"]))
    port = draw(st.sampled_from(["", ":", ":80", ":443", ":8080", ":65535"]))
    path = draw(st.one_of(st.just(""), PATH))
    query = draw(st.one_of(st.just(""), WORD.map("?{}".format)))
    fragment = draw(st.one_of(st.just(""), WORD.map("#{}".format)))
    return f"{draw(st.sampled_from(['http', 'https', 'wss']))}://{user}{draw(HOST)}{port}{path}{query}{fragment}"


@tries(150)
@given(urls())
def test_a_normal_form_is_its_own_and_what_httpx2_makes_of_it(text: str) -> None:
    ours = URL(text)
    assert str(URL(str(ours))) == str(ours)
    assume("[" not in text or ":ffff:" not in text)  # Python writes mapped addresses in two ways
    theirs = httpx2.URL(text)
    if "/.." not in text and "/." not in text:  # it leaves "/a/.." without the slash that RFC 3986 §5.2.4 gives it
        assert ours.raw_path == theirs.raw_path
    if "[" not in text.partition("//")[2].partition("/")[0]:  # it keeps IPv6 as it was written
        assert (ours.raw_host, ours.netloc) == (theirs.raw_host, theirs.netloc)
        assert ours.host == theirs.host
    for name in ("scheme", "port", "username", "password", "query", "fragment"):
        assert getattr(ours, name) == getattr(theirs, name), name


@tries(150)
@given(urls())
def test_a_url_is_made_of_its_parts(text: str) -> None:
    url = URL(text)
    parts: dict[str, Any] = {name: getattr(url, name) for name in ("scheme", "host", "port", "userinfo", "raw_path")}
    made = URL(**parts)
    assert made.origin == url.origin and made.raw_path == url.raw_path and made.userinfo == url.userinfo
    assert url.copy_with(username=url.username, password=url.password).username == url.username


@tries(150)
@given(st.text(max_size=40).map("http://{}".format) | st.text(max_size=40) | urls().flatmap(
    lambda url: st.tuples(st.integers(0, len(url)), st.characters()).map(lambda at: url[: at[0]] + at[1] + url[at[0] :])
))  # fmt: skip
@example("http://a\r\nb/")
@example("http://a/ b")
@example("http://a/\x85")
@example("http://\u2100/")
def test_whatever_a_url_is_made_of_what_goes_out_is_clean(text: str) -> None:
    try:
        call = Request("GET", text).outgoing()
    except InvalidURL:
        return
    assert is_path(call.path) and b" " not in call.path and b"\\" not in call.path and call.path.isascii()
    assert is_authority(call.authority) and b"@" not in call.authority
    assert call.url.isascii() and call.url.isprintable()
    assert 0 <= call.origin.port <= 65_535 and call.origin.host == call.origin.host.lower()


@tries(150)
@given(urls(), st.text(max_size=30) | urls())
def test_wherever_a_location_leads_no_credentials_go_to_another_origin(start: str, location: str) -> None:
    request = Request("GET", start, headers={"authorization": "secret", "cookie": "secret"})
    assume(request.url.scheme in ("http", "https"))
    try:
        target = redirect_request(request, 307, location)
    except RequestError:
        return  # and nothing else is raised, whatever a server sends
    assert target.url.userinfo == b"" or target.url.origin == request.url.origin
    if "authorization" in target.headers:
        same = request.url.origin == target.url.origin
        assert same or (request.url.origin.host == target.url.origin.host and target.url.scheme == "https")


@tries(150)
@given(urls(), st.sampled_from(["", "x", "../x", "./x", "/x/../y", "?q", "#f", "//other.example/z", "a/b/c?d#e"]))
def test_join_is_that_of_httpx2(text: str, reference: str) -> None:
    assume("/." not in text and "[" not in text and ":/" not in text.partition("//")[2])
    assume(not (reference.startswith(("#", "?")) or reference == ""))
    assume("//" not in text.partition("//")[2])
    assert str(URL(text).join(reference)) == str(httpx2.URL(text).join(reference))


PARAMS = st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=5)), max_size=6)


@tries(150)
@given(PARAMS, PARAMS)
def test_query_parameters_are_those_of_httpx2(first: list[Any], second: list[Any]) -> None:
    try:
        str(QueryParams(first + second))
    except UnicodeEncodeError:
        assume(False)
    ours, theirs = QueryParams(first), httpx2.QueryParams([*first])
    assert dict(ours) == dict(theirs) and sorted(ours.multi_items()) == sorted(theirs.multi_items())
    assert sorted(ours.merge(second).multi_items()) == sorted(theirs.merge([*second]).multi_items())
    assert sorted(ours.set("a", "x").multi_items()) == sorted(theirs.set("a", "x").multi_items())
    assert sorted(ours.remove("b").multi_items()) == sorted(theirs.remove("b").multi_items())
    assert QueryParams(str(ours)).multi_items() == ours.multi_items()


NAME = st.text(string.ascii_letters + "-", min_size=1, max_size=4)
VALUE = st.text(string.ascii_letters + "äé, ;=", max_size=6).map(str.strip)


CHANGE = st.tuples(st.sampled_from(["set", "del", "update"]), NAME, VALUE)


@tries(150)
@given(st.lists(st.tuples(NAME, VALUE), max_size=6), st.lists(CHANGE, max_size=6))
def test_headers_are_those_of_httpx2(pairs: list[tuple[str, str]], changes: list[tuple[str, str, str]]) -> None:
    ours = Headers(pairs)
    theirs = httpx2.Headers(pairs, encoding="utf-8")
    for what, name, value in changes:
        if what == "set":
            ours[name] = value
            theirs[name] = value
        elif what == "update":
            ours.update({name: value})
            theirs.update(httpx2.Headers({name: value}, encoding="utf-8"))
        elif name in theirs:
            del ours[name]
            del theirs[name]
        else:
            with pytest.raises(KeyError):
                del ours[name]
    assert ours.multi_items() == theirs.multi_items()
    assert dict(ours) == dict(theirs) and list(ours) == list(theirs) and len(ours) == len(theirs)
    assert ours.raw == [(name.lower(), value) for name, value in theirs.raw]
    for name, _ in pairs:
        assert ours.get(name.upper()) == theirs.get(name.upper())
        assert ours.get_list(name, split_commas=True) == theirs.get_list(name, split_commas=True)


@tries(150)
@given(st.text(max_size=10) | st.binary(max_size=10), st.text(max_size=10) | st.binary(max_size=10))
def test_whatever_headers_are_made_of_what_goes_out_is_clean(name: Any, value: Any) -> None:
    try:
        headers = Headers([(name, value)])
    except (ValueError, UnicodeError):
        return
    ((data, text),) = headers.raw
    assert is_field_name(data) and is_field_value(text)


@tries(150)
@given(st.text(max_size=10))
def test_whatever_a_method_is_made_of_what_goes_out_is_a_token(method: str) -> None:
    try:
        call = Request(method, "http://a/").outgoing()
    except ValueError:
        return
    assert is_token(call.method)
