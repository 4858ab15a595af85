"""Fields that servers send and the client reads: link, www-authenticate, retry-after, content-type; proxies, and lines.

Property: no value raises. What is read in one cut is read in any other. A challenge, a link or a proxy that was written
here is read as it was meant; the answer to a digest challenge is a well-formed field. Work grows with the length of a
value.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from headrace.client.calls.digest import DigestAuth, choose, parse_challenges
from headrace.client.calls.retry import RetryPolicy
from headrace.client.connect.proxy import Proxy, ProxyRules
from headrace.client.errors import InvalidURL
from headrace.client.interface import Origin
from headrace.client.message.headers import Headers
from headrace.client.message.links import parse_links
from headrace.client.message.request import ClientRequest
from headrace.client.message.text import LineSplitter, charset_by_mark, charset_of, is_text_codec, split_lines
from headrace.engine.fields import is_field_value

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source

WORDS = (
    "Digest ", "Basic ", "realm=", '"', "nonce=", '"abc"', "qop=", '"auth"', "auth-int", "algorithm=", "MD5",
    "SHA-256-sess", "\\", ",", " ", "=", "<", ">", "; ", "rel=", "next", "title*=", "</a?b>", "stale=true",
    "userhash=true", "opaque=", "é", "\t", "120", "Fri, 31 Dec 1999 23:59:59 GMT",
    "Fri, 31 Dec 99999999999 23:59:59 GMT", "-1", "1e9", "text/plain", "; charset=", "utf-8", "latin-1", "zlib",
    "utf_16", "http://", "socks5://", "user:pw@", "proxy.example:3128", ".example", "*", "[::1]", ":1", "/8",
    "localhost", "\x7f", "\r", "\n", "\r\n", "\u2028", "x" * 60, "+0000", "Jan", "²",
)  # fmt: skip
ORIGIN = Origin("http", "a.example", 80)


def target(data: bytes) -> None:
    """Read a value as each of the fields."""
    source = Source(data)
    quoted = source.take(source.below(12)).decode("latin-1")
    size = 1 + source.below(9)
    value = ""
    while source.more and len(value) < 3_000:
        kind = source.byte()
        value += WORDS[kind % len(WORDS)] if kind < 230 else source.take(2).decode("latin-1")
    meter = Meter(data, calls_a_byte=20, bytes_a_byte=300)
    for read in (parse_challenges, choose_one, links_of, retry_after, charset, proxies):
        meter.run(read, value, size=len(value))
    lines = list(split_lines([value]))
    splitter = LineSplitter()
    assert lines == [line for part in pieces_of(value, size) for line in splitter.feed(part)] + splitter.finish()
    assert "\n".join(lines).rstrip("\n") == value.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    round_trip(quoted)


def choose_one(value: str) -> None:
    """Choose a challenge, and answer it."""
    data = value.strip().encode()
    if choose([value], True) is None or not is_field_value(data):
        return
    request = ClientRequest("GET", "http://a.example/x?y")
    flow = DigestAuth("user", "secret", nonce=lambda: "mine").auth_flow(request)
    next(flow)
    response: Any = SimpleNamespace(status=401, headers=Headers.received([(b"www-authenticate", data)]))
    try:
        again = flow.send(response)
    except StopIteration:
        return
    assert is_field_value(again.headers["authorization"].encode())


def links_of(value: str) -> None:
    """Read links."""
    for link in parse_links([value]):
        assert "url" in link and all(name == name.lower() for name in link)


def retry_after(value: str) -> None:
    """Read a time to wait."""
    found = RetryPolicy(now=lambda: 0.0).retry_after(value)
    assert found is None or found >= 0


def charset(value: str) -> None:
    """Read a charset."""
    name = charset_of(value)
    assert name is None or is_text_codec(name)
    charset_by_mark(value.encode())


def proxies(value: str) -> None:
    """Read a proxy, and a list of hosts that need none."""
    try:
        proxy = Proxy.parse(value)
    except ValueError:
        proxy = None
    if proxy is not None:
        assert Proxy.parse(str(proxy)).origin == proxy.origin
    try:
        rules = ProxyRules.from_environment({"http_proxy": "http://p.example", "no_proxy": value})
    except (ValueError, InvalidURL):
        return
    rules.choose(ORIGIN)


def pieces_of(text: str, size: int) -> list[str]:
    """Cut text into pieces."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def round_trip(text: str) -> None:
    """What is quoted is read as it was."""
    written = text.replace("\\", "\\\\").replace('"', '\\"')
    if "\n" not in text:
        challenges = parse_challenges(f'Other x=y, Digest realm="{written}", nonce="n"')
        assert challenges == [("other", {"x": "y"}), ("digest", {"realm": text, "nonce": "n"})]
        assert parse_links([f'</a>; title="{written}"; rel=next']) == [{"url": "/a", "title": text, "rel": "next"}]


def seeds() -> list[bytes]:
    """Return values with each word."""
    found = [bytes((0, 3, n, 14, 2, 5, 13, 4, 5, 13, n, 6, 7)) for n in range(len(WORDS))]
    return [
        *found,
        bytes((5, 97, 34, 92, 98, 99, 2, 0, 2, 3, 97, 3, 13, 4, 5, 13, 6, 7, 13, 9, 11)),
        bytes((0, 1, 22, 18, 19, 20)),
    ]
