"""URLs: text of any kind, and references that are resolved against each other.

Property: text becomes a URL, or InvalidURL says why not. A URL's text is ASCII, has no space or control character, and
reads as the same URL again; so do its parts. urllib finds the same scheme, host, port, path and query in it. What a
reference resolves to is in normal form. What goes into a request has no whitespace.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from headrace.client.errors import InvalidURL
from headrace.client.message.url import URL
from headrace.client.message.url_parts.query import QueryParams

from tests.fuzz.meter import Meter

SAFE = re.compile(r"[!-~]*")
WORDS = (
    "http://", "https://", "a", "example.org", "@", ":", "/", "?", "#", "..", "/../", "%2e", "%", "[::1]",
    "[fe80::1%25eth0]", "127.0.0.1", "0x7f.1", ":80", ":443", "ws://", "user:pw@", "é", "例え", "xn--", "\\", " ", "\t",
    "//", "\u2028", "[::ffff:1.2.3.4]", "ß", "。", "mailto:", "+", "&", "=", ";", "\ud800", "%zz", "%C3%A9", "..%2f",
    "\U0001f600", "|", "^", "`", "{", "}", "http:", "1",
)  # fmt: skip


def text_of(data: bytes) -> str:
    """Return text: words and characters in any order."""
    return "".join(WORDS[byte - 128] if 128 <= byte < 128 + len(WORDS) else chr(byte) for byte in data)


def target(data: bytes) -> None:
    """Read text as a URL, and as a reference."""
    size = data[0] if data else 0
    first, second = text_of(data[1 : 1 + size]), text_of(data[1 + size :])
    url = read(first, data)
    other = read(second, data)
    if url is None or other is None:
        return
    try:
        joined = url.join(other)
    except InvalidURL:
        return
    check(joined)
    assert not joined.is_absolute_url or url.join(joined) == joined
    if other.is_absolute_url:
        assert joined == other


def read(text: str, data: bytes) -> URL | None:
    try:
        url = Meter(data, calls_a_byte=20, bytes_a_byte=200).run(URL, text, size=len(text))
    except InvalidURL as error:
        str(error).encode("utf-8", "surrogatepass")
        return None
    check(url)
    return url


def check(url: URL) -> None:
    """Hold a URL to its promises."""
    text = str(url)
    assert SAFE.fullmatch(text), text
    assert SAFE.fullmatch(url.raw_path.decode("ascii")) and SAFE.fullmatch(url.netloc.decode("ascii"))
    again = URL(text)
    assert again == url and str(again) == text and hash(again) == hash(url), f"{again!r} of {text!r}"
    for part in (
        "scheme",
        "userinfo",
        "raw_host",
        "port",
        "raw_path",
        "query",
        "fragment",
        "netloc",
        "path",
        "username",
    ):
        assert getattr(again, part) == getattr(url, part), part
    split = urlsplit(text)
    assert split.scheme == url.scheme
    assert split.query.encode() == url.query
    if url.scheme and url.raw_host:
        assert (split.hostname or "").partition("%")[0] == url.raw_host.decode().partition("%")[0], text
        assert split.port == url.port
        assert (split.path or "/").encode() == url.raw_path.partition(b"?")[0]
    params = QueryParams(url.params.multi_items())
    assert QueryParams(str(params)).multi_items() == params.multi_items()
    repr(url), url.host, url.password, url.without_userinfo()
    try:
        origin = url.origin
    except InvalidURL:
        return
    assert origin.host and 0 <= origin.port <= 65_535
    for changed in (url.copy_with(fragment=None), url.copy_with(path="/x"), url.copy_set_param("a", "b c&d")):
        assert changed.origin == origin
    assert url.copy_set_param("a", "b c&d").params["a"] == "b c&d"


def seeds() -> list[bytes]:
    """Return URLs and references."""
    texts = [
        "https://user:secret@example.org:8443/a%20b/../c?x=1&y#top", "http://[::1]/", "//b/c", "../d?e", "?f", "#g",
        "/h", "http://a/b;c=d/./e", "wss://example.org", "http://127.1/", "mailto:a@b", "http://a b/", "HTTP://EXAMPLE.ORG:80/~",
    ]  # fmt: skip
    encoded = [text.encode("latin-1") for text in texts]
    pairs = [bytes((len(one),)) + one + two for one in encoded for two in encoded[2:7]]
    words = [bytes((3, 128 + n, 131, 134, 128 + n * 7 % len(WORDS), 134, 132)) for n in range(len(WORDS))]
    return [*pairs, *words]
