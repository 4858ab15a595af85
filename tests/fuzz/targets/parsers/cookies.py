"""Cookies: what servers set, and what goes back to them.

Property: no value of set-cookie raises. A cookie goes back only where RFC 6265 sends it (§5.4: domain, path, secure),
judged by rules written here; what is sent is one well-formed field, and a name and value come back as they were set.
Cookies of a domain, and of all, stay within their bounds.
"""

from __future__ import annotations

from http.cookiejar import Cookie

from headrace.client.message.cookies import MAX_COOKIES_PER_DOMAIN, Cookies
from headrace.client.message.url import URL
from headrace.engine.fields import is_field_value

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source

HOSTS = ("a.example", "b.a.example", "example", "127.0.0.1", "[::1]", "other.test", "xa.example", "localhost")
PATHS = ("/", "/a", "/a/b", "/ab", "/a/", "/%41?q=/a")
NAMES = (b"k", b"__Host-k", b"__Secure-k", b"l", b"", b"k k", b"\xe9")
VALUES = (b"v", b"", b'"q"', b"a=b", b"\xff", b"x" * 5_000, b" s ")
ATTRIBUTES = (
    b"Domain=a.example", b"Domain=.a.example", b"Domain=example", b"Domain=b.a.example", b"Domain=", b"Path=/a",
    b"Path=/a/b", b"Path=a", b"Secure", b"HttpOnly", b"Max-Age=0", b"Max-Age=-1", b"Max-Age=9999999999999999999999",
    b"Max-Age=60", b"max-age=x", b"Expires=Thu, 01 Jan 1970 00:00:00 GMT", b"Expires=Fri, 31 Dec 9999 23:59:59 GMT",
    b"Expires=99999-99-99", b"SameSite=Lax", b"Domain=127.0.0.1", b"Domain=localhost", b"Version=1", b"Port=80",
    b"Partitioned", b"=x", b"Domain=EXAMPLE.", b"Path=//",
)  # fmt: skip


def url_from(source: Source) -> URL:
    """Return where a request goes."""
    scheme = source.pick(("https", "http"))
    return URL(f"{scheme}://{source.pick(HOSTS)}{source.pick(PATHS)}")


def target(data: bytes) -> None:
    """Set cookies and send them."""
    source = Source(data)
    cookies = Cookies()
    set_by: dict[str, list[str]] = {}
    while source.more:
        url = url_from(source)
        if source.flag():
            field = cookies.header_for(url)
            check(cookies, url, field, set_by)
            continue
        value = value_from(source)
        secure = {identity(cookie) for cookie in cookies.jar if cookie.secure}
        Meter(data, calls_a_byte=20, bytes_a_byte=200).run(
            cookies.extract, url, [(b"set-cookie", value)], size=len(value)
        )
        if url.scheme == "http":
            now = {identity(cookie) for cookie in cookies.jar if cookie.secure}
            assert now == secure, "a cookie over cleartext became a secure one, or took the place of one"
        name, equals, content = value.partition(b";")[0].partition(b"=")
        if equals:
            set_by.setdefault(name.strip(b" \t").decode("latin-1"), []).append(content.strip(b" \t").decode("latin-1"))
    domains = [cookie.domain for cookie in cookies.jar]
    assert all(domains.count(domain) <= MAX_COOKIES_PER_DOMAIN for domain in set(domains))
    repr(cookies)


def identity(cookie: Cookie) -> tuple[str, str, str, str | None]:
    """Return what makes a cookie this one."""
    return cookie.domain, cookie.path, cookie.name, cookie.value


def value_from(source: Source) -> bytes:
    """Return a value of set-cookie."""
    if source.flag(8):
        return source.take(source.below(60))
    pair = source.pick(NAMES) + b"=" + source.pick(VALUES)
    return b"; ".join([pair, *(source.pick(ATTRIBUTES) for _ in range(source.below(4)))])


def check(cookies: Cookies, url: URL, field: str, set_by: dict[str, list[str]]) -> None:
    """Compare what goes out with what may (RFC 6265 §5.4)."""
    assert not field or is_field_value(field.encode("utf-8")), field
    host, path = url.origin.host, url.raw_path.decode().partition("?")[0]
    due = 0
    for cookie in cookies.jar:
        domain = cookie.domain.removeprefix(".")
        is_here = host in (
            domain,
            domain.removesuffix(".local").strip("[]"),
        )  # `.local`: http.cookiejar's, without a dot
        if cookie.domain_specified:
            is_here = is_here or host.endswith(f".{domain}")
        is_under = path == cookie.path or (
            path.startswith(cookie.path) and (cookie.path.endswith("/") or path[len(cookie.path)] == "/")
        )
        may_go = is_here and is_under and not cookie.is_expired() and (not cookie.secure or url.scheme == "https")
        pair = cookie.name if cookie.value is None else f"{cookie.name}={cookie.value}"
        due += may_go
        assert cookie.value is None or cookie.value in set_by.get(cookie.name, ()), f"{pair} was never set"
        if not may_go and not any(each.name == cookie.name and each is not cookie for each in cookies.jar):
            assert pair not in field.split("; "), f"{pair} of {cookie.domain}{cookie.path} goes to {url}"
    assert (field.count("; ") + 1 if field else 0) <= due


def seeds() -> list[bytes]:
    """Return each attribute once, set and sent back."""
    return [bytes((0, n % 8, n % 6, 0, 1, n % 7, (n * 3) % 7, 1, n, 0, n % 8, n % 6, 1, 0, 0, 0, 1)) for n in range(28)]
