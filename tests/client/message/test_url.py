"""URLs: RFC 3986, the leniency of browsers, and refused text that two parsers could read in two ways."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from headrace.client import URL, InvalidURL, Origin


def test_the_parts_of_a_url() -> None:
    url = URL("HTTPS://jo%40email.com:a%20secret@Müller.de:1234/pa%20th?search=ab#anchor%20link")
    assert url.scheme == "https" and url.raw_scheme == b"https"
    assert url.username == "jo@email.com" and url.password == "a secret"
    assert url.userinfo == b"jo%40email.com:a%20secret"
    assert url.host == "müller.de" and url.raw_host == b"xn--mller-kva.de"
    assert url.port == 1234
    assert url.netloc == b"xn--mller-kva.de:1234"
    assert url.path == "/pa th"
    assert url.query == b"search=ab"
    assert url.raw_path == b"/pa%20th?search=ab"
    assert url.fragment == "anchor link"
    assert url.params["search"] == "ab"
    assert str(url) == "https://jo%40email.com:a%20secret@xn--mller-kva.de:1234/pa%20th?search=ab#anchor%20link"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("http://example.org:80/", "http://example.org/"),
        ("https://example.org:443", "https://example.org"),
        ("https://example.org:80", "https://example.org:80"),
        ("wss://example.org:443/", "wss://example.org/"),
        ("http://EXAMPLE.org/A", "http://example.org/A"),
        ("http://example.org:/", "http://example.org/"),
        ("http://example.org/a/./b/../c", "http://example.org/a/c"),
        ("http://example.org/../../a", "http://example.org/a"),
        ("http://example.org/a/..", "http://example.org/"),
        ("http://example.org/a/.", "http://example.org/a/"),
        ("http://example.org/a//b", "http://example.org/a//b"),
        ("http://example.org/.hidden", "http://example.org/.hidden"),
        ("http://example.org/a b", "http://example.org/a%20b"),
        ("http://example.org/a%20b", "http://example.org/a%20b"),
        ("http://example.org/ä", "http://example.org/%C3%A4"),
        ("http://example.org/a\\b", "http://example.org/a%5Cb"),
        ('http://example.org/"<>`{}', "http://example.org/%22%3C%3E%60%7B%7D"),
        ("http://example.org/?a b", "http://example.org/?a%20b"),
        ("http://example.org/?q=ü#ü", "http://example.org/?q=%C3%BC#%C3%BC"),
        ("http://example.org?", "http://example.org?"),
        ("http://example.org#", "http://example.org#"),
        ("http://u s:p@example.org/", "http://u%20s:p@example.org/"),
        ("http://u:p:q@example.org/", "http://u:p%3Aq@example.org/"),
        ("http://[::1]/", "http://[::1]/"),
        ("http://[0:0:0:0:0:0:0:1]:8080/", "http://[::1]:8080/"),
        ("http://[2001:DB8::1]/", "http://[2001:db8::1]/"),
        ("http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]/"),
        ("http://[fe80::1%eth0]/", "http://[fe80::1%25eth0]/"),
        ("http://ex%41mple.org/", "http://example.org/"),
        ("http://faß.de/", "http://xn--fa-hia.de/"),
        ("http://xn--mller-kva.de/", "http://xn--mller-kva.de/"),
        ("http://中国.icom.museum/", "http://xn--fiqs8s.icom.museum/"),
        ("http://ｅｘａｍｐｌｅ.org/", "http://example.org/"),
        ("http://a_b.example.org/", "http://a_b.example.org/"),
        ("http://192.0.2.1:81/", "http://192.0.2.1:81/"),
        ("/only/a/path?x", "/only/a/path?x"),
        ("path", "path"),
        ("", ""),
        ("mailto:someone@example.org", "mailto:someone@example.org"),
    ],
)
def test_normal_form(text: str, normal: str) -> None:
    assert str(URL(text)) == normal
    assert str(URL(normal)) == normal, "the normal form is its own"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://example.org/\r\nhost: evil", "control character"),
        ("http://example.org/\n", "control character"),
        ("http://example.org/\x00", "control character"),
        ("http://example.org/\t", "control character"),
        ("http://exa\x7fmple.org/", "control character"),
        (" http://example.org/", "begins with a space"),
        ("http://exam ple.org/", "not a valid host"),
        ("http://example.org\\@evil.example/", "backslash"),
        ("http://evil.example\\.example.org/", "backslash"),
        ("http://exa%2Fmple.org/", "not a valid host"),
        ("http://exa%00mple.org/", "not a valid host"),
        ("http://example.org:80:80/", "not a valid port"),
        ("http://example.org:port/", "not a valid port"),
        ("http://example.org:65536/", "not a valid port"),
        ("http://example.org:-1/", "not a valid port"),
        ("http://example.org:８０/", "not a valid port"),
        ("http://example.org:+80/", "not a valid port"),
        ("http://", "no host"),
        ("https:///path", "no host"),
        ("http://user@/path", "no host"),
        ("http://:80/", "no host"),
        ("http:example.org", "no host"),
        ("http://[::1/", "bracket"),
        ("http://[::1]x/", "after its host"),
        ("http://[1.2.3.4]/", "IPv6"),
        ("http://[::g]/", "IPv6"),
        ("http://[v1.x]/", "IPv6"),
        ("http://[fe80::1%25]/", "zone"),
        ("http://[fe80::1%a/b]/", "bracket"),
        ("http://127.1/", "ends in a number"),
        ("http://2130706433/", "ends in a number"),
        ("http://0x7f000001/", "ends in a number"),
        ("http://1.2.3.4.5/", "ends in a number"),
        ("http://example.0x1/", "ends in a number"),
        ("http://256.1.1.1/", "IPv4"),
        ("http://0127.0.0.1/", "IPv4"),
        ("http://exa<mple.org/", "not a valid host"),
        ("http://☃️.example..org/", "not a valid host"),
        ("1http://example.org", "scheme"),
        ("ht tp://example.org", "scheme"),
        ("//example.org" + "a" * 70_000, "characters"),
        ("http://example.org/\ud800", "surrogate"),
        ("////path", "two slashes"),
    ],
)
def test_what_is_refused_says_why(text: str, words: str) -> None:
    with pytest.raises(InvalidURL, match=words):
        URL(text)


def test_a_message_about_a_url_has_no_password() -> None:
    with pytest.raises(InvalidURL) as raised:
        URL("http://user:hunter2@example.org:port/")
    with pytest.raises(InvalidURL) as other:
        URL("http://user:hunter2@example.org\\/")
    assert "hunter2" not in str(raised.value) + str(other.value)
    assert "hunter2" not in repr(URL("http://user:hunter2@example.org/"))
    assert URL("http://user:hunter2@example.org/x?y#z").without_userinfo() == "http://example.org/x?y#z"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://example.org/x", Origin("http", "example.org", 80)),
        ("https://example.org/x", Origin("https", "example.org", 443)),
        ("ws://example.org/x", Origin("http", "example.org", 80)),
        ("wss://example.org:8443/x", Origin("https", "example.org", 8443)),
        ("https://[::1]:8443/x", Origin("https", "::1", 8443)),
        ("https://Bücher.example", Origin("https", "xn--bcher-kva.example", 443)),
    ],
)
def test_origin(text: str, origin: Origin) -> None:
    assert URL(text).origin == origin


@pytest.mark.parametrize(
    ("text", "words"),
    [("/path", "not absolute"), ("//example.org/", "not absolute"), ("file:///etc/passwd", "not absolute"),
     ("ftp://example.org/", "not http"), ("unix:/run/x", "not absolute")],
)  # fmt: skip
def test_where_no_request_can_go(text: str, words: str) -> None:
    with pytest.raises(InvalidURL, match=words):
        _ = URL(text).origin


@pytest.mark.parametrize(
    ("components", "text"),
    [
        ({"scheme": "https", "host": "example.org", "path": "/a"}, "https://example.org/a"),
        ({"scheme": "https", "netloc": b"example.org:8443"}, "https://example.org:8443"),
        ({"scheme": "https", "host": "::1", "port": 8443}, "https://[::1]:8443"),
        ({"scheme": "https", "host": "example.org", "raw_path": b"/a?b"}, "https://example.org/a?b"),
        ({"scheme": "https", "host": "example.org", "username": "a:b@c", "password": "d%41/"},
         "https://a%3Ab%40c:d%2541%2F@example.org"),
        ({"path": "/a", "query": b"x=1", "fragment": "f"}, "/a?x=1#f"),
        ({"path": "/a", "params": {"x": [1, True, None], "y": "ä b"}}, "/a?x=1&x=true&x=&y=%C3%A4+b"),
        ({"path": "/a", "params": {}}, "/a"),
    ],
)  # fmt: skip
def test_a_url_of_parts(components: dict[str, Any], text: str) -> None:
    assert str(URL(**components)) == text


def test_copies_with_other_parts() -> None:
    url = URL("https://user:secret@example.org:8443/path?x=1#top")
    assert url.copy_with(host="other.example") == "https://user:secret@other.example:8443/path?x=1#top"
    assert url.copy_with(port=None, userinfo=None) == "https://example.org/path?x=1#top"
    assert url.copy_with(username="new") == "https://new:secret@example.org:8443/path?x=1#top"
    assert url.copy_with(password=None) == "https://user@example.org:8443/path?x=1#top"
    assert url.copy_with(scheme="http", port=80) == "http://user:secret@example.org/path?x=1#top"
    assert url.copy_with(query=None, fragment=None) == "https://user:secret@example.org:8443/path"
    assert url.copy_with(username=url.username, password=url.password) == url
    assert str(url).endswith("#top"), "the first one has not changed"


@pytest.mark.parametrize(
    "components",
    [{"path": "/a?b"}, {"path": "/a\r\nb"}, {"path": "no-slash"}, {"query": b"a#b"}, {"host": "a/b"}, {"port": 65536},
     {"port": -1}, {"scheme": "1"}, {"netloc": b"a@b@c/d"}, {"fragment": "\n"}, {"username": "\x00"}, {"host": ""}],
)  # fmt: skip
def test_parts_that_no_url_has(components: dict[str, Any]) -> None:
    with pytest.raises(InvalidURL):
        URL("https://example.org/", **components)


def test_parts_of_the_wrong_name_or_type() -> None:
    with pytest.raises(TypeError, match="no part 'hots'"):
        URL("https://example.org/", hots="x")
    with pytest.raises(TypeError, match="port of a URL is int, not str"):
        URL("https://example.org/", port="80")
    with pytest.raises(TypeError, match="not of int"):
        URL(5)  # type: ignore[arg-type]


# RFC 3986 §5.4.1 and §5.4.2, without those whose result is no URL of http.
@pytest.mark.parametrize(
    ("reference", "target"),
    [
        ("g", "http://a/b/c/g"), ("./g", "http://a/b/c/g"), ("g/", "http://a/b/c/g/"), ("/g", "http://a/g"),
        ("//g", "http://g"), ("?y", "http://a/b/c/d;p?y"), ("g?y", "http://a/b/c/g?y"), ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"), ("g?y#s", "http://a/b/c/g?y#s"), (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"), ("g;x?y#s", "http://a/b/c/g;x?y#s"), ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"), ("./", "http://a/b/c/"), ("..", "http://a/b/"), ("../", "http://a/b/"),
        ("../g", "http://a/b/g"), ("../..", "http://a/"), ("../../", "http://a/"), ("../../g", "http://a/g"),
        ("../../../g", "http://a/g"), ("../../../../g", "http://a/g"), ("/./g", "http://a/g"), ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."), (".g", "http://a/b/c/.g"), ("g..", "http://a/b/c/g.."), ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"), ("./g/.", "http://a/b/c/g/"), ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"), ("g;x=1/./y", "http://a/b/c/g;x=1/y"), ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"), ("g#s/../x", "http://a/b/c/g#s/../x"), ("https://h/x", "https://h/x"),
    ],
)  # fmt: skip
def test_join_is_that_of_the_rfc(reference: str, target: str) -> None:
    assert URL("http://a/b/c/d;p?q").join(reference) == target


@pytest.mark.parametrize(
    ("base", "reference", "text"),
    [("../d", "./a:b", "./a:b"), ("d", "./a:b", "./a:b"), ("x/../", "./http://a/", "./http://a/"), ("d", "./:", "./:")],
)
def test_a_relative_url_is_not_read_as_one_with_a_scheme(base: str, reference: str, text: str) -> None:
    """A colon in the first segment of a relative path needs "./" in front of it (RFC 3986 §4.2), or the URL would be
    another one when its text is read again. (Found by tests/fuzz.)"""
    joined = URL(base).join(reference)
    assert str(joined) == text
    assert URL(str(joined)) == joined and URL(str(joined)).scheme == ""
    assert str(URL("d").copy_with(path="a:b")) == "./a:b"


def test_join_drops_the_default_port_of_the_base() -> None:
    assert URL("https://a/").join("//b:443/x") == "https://b/x"
    assert URL("http://a").join("x") == "http://a/x"


def test_params() -> None:
    url = URL("https://example.org/?a=1&b=%41&a=2")
    assert url.params.get_list("a") == ["1", "2"]
    assert url.copy_set_param("a", "3") == "https://example.org/?a=3&b=A"
    assert url.copy_add_param("a", 3) == "https://example.org/?a=1&b=%41&a=2&a=3"
    assert url.copy_remove_param("a") == "https://example.org/?b=A"
    assert url.copy_merge_params({"c": "x y"}) == "https://example.org/?a=1&b=%41&a=2&c=x+y"
    assert url.copy_merge_params({"b": 5}) == "https://example.org/?a=1&b=5&a=2"
    assert url.copy_merge_params(None) is url
    assert URL("https://example.org/?b").copy_remove_param("b") == "https://example.org/"


def test_as_a_value() -> None:
    url = URL("https://example.org/a")
    assert url == URL("https://EXAMPLE.org:443/a") and hash(url) == hash(URL("https://EXAMPLE.org:443/a"))
    assert url == "https://example.org/a" and url != "https://example.org/b" and url != "http://[" and url != 5
    assert {url: 1}[URL("https://example.org/a")] == 1
    assert pickle.loads(pickle.dumps(url)) == url
    assert URL(url) is url and URL("https://example.org/a") is url, "a URL that was read lately is not read again"
    with pytest.raises(AttributeError, match="copy_with"):
        url.host = "x"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del url._text
    assert repr(url) == "URL('https://example.org/a')"
    assert repr(URL("https://u:p@example.org/a")) == "URL('https://u:[secure]@example.org/a')"
    assert url.is_absolute_url and not url.is_relative_url
    assert URL("/a").is_relative_url


def test_a_zone_is_not_sent() -> None:
    assert URL("http://[fe80::1%25eth0]:81/").netloc == b"[fe80::1]:81"
    assert URL("http://[fe80::1%25eth0]/").origin.host == "fe80::1%eth0"
