"""Requests that RFC 9113 §8 calls malformed, or that come near it. Each ends a stream, never a connection."""

from __future__ import annotations

from tests.differential.servers.session import SYNC, Fields, Session, get, head, post, session
from tests.support.wire import data, headers

ABC = data(1, b"abc", end_stream=True)
PLAIN = head()
METHOD, SCHEME, AUTHORITY, PATH = PLAIN
CONNECT, WEBSOCKET = (b":method", b"CONNECT"), (b":protocol", b"websocket")


def fields(name: str, these: Fields) -> Session:
    return session(name, headers(1, these, end_stream=True))


def extra(name: str, *these: tuple[bytes, bytes]) -> Session:
    return session(name, get(1, b"/", *these))


def trailing(name: str, these: Fields, *, end_stream: bool = True) -> Session:
    return session(name, post(1, b"/", (b"trailer", b"x-t")), data(1, b"abc"), headers(1, these, end_stream=end_stream))


def length(name: str, value: bytes, *more: tuple[bytes, bytes], content: bytes = b"abc") -> Session:
    return session(name, post(1, b"/", (b"content-length", value), *more), SYNC, data(1, content, end_stream=True))


NAMES = (
    extra("name: upper case", (b"X", b"v")),
    extra("name: empty", (b"", b"v")),
    extra("name: a space", (b"a b", b"v")),
    extra("name: a space at its end", (b"x ", b"v")),
    extra("name: a colon", (b"a:b", b"v")),
    extra("name: NUL", (b"a\x00", b"v")),
    extra("name: CR LF", (b"a\r\nb", b"v")),
    extra("name: DEL", (b"a\x7f", b"v")),
    extra("name: a byte above 127", (b"a\xe9", b"v")),
    extra("name: a slash", (b"a/b", b"v")),
    extra("name: an underscore", (b"a_b", b"v")),
)
VALUES = (
    extra("value: NUL", (b"x", b"a\x00b")),
    extra("value: CR", (b"x", b"a\rb")),
    extra("value: LF", (b"x", b"a\nb")),
    extra("value: CR LF and a field", (b"x", b"a\r\ny: z")),
    extra("value: a space in front", (b"x", b" a")),
    extra("value: a space behind", (b"x", b"a ")),
    extra("value: a tab behind", (b"x", b"a\t")),
    extra("value: a control character", (b"x", b"a\x01b")),
    extra("value: DEL", (b"x", b"a\x7fb")),
)
CONNECTION = (
    extra("connection: close", (b"connection", b"close")),
    extra("connection: keep-alive", (b"connection", b"keep-alive")),
    extra("keep-alive", (b"keep-alive", b"timeout=5")),
    extra("proxy-connection", (b"proxy-connection", b"keep-alive")),
    extra("transfer-encoding", (b"transfer-encoding", b"chunked")),
    extra("upgrade", (b"upgrade", b"websocket")),
    extra("te: gzip", (b"te", b"gzip")),
    extra("te: trailers, gzip", (b"te", b"trailers, gzip")),
    extra("te: Trailers", (b"te", b"Trailers")),
    extra("http2-settings", (b"http2-settings", b"AAMAAABkAAQAAP__")),
)
PSEUDO = (
    fields("no :method", [SCHEME, AUTHORITY, PATH]),
    fields("no :scheme", [METHOD, AUTHORITY, PATH]),
    fields("no :path", [METHOD, SCHEME, AUTHORITY]),
    fields("no :authority and no host", [METHOD, SCHEME, PATH]),
    fields(":method twice", [METHOD, *PLAIN]),
    fields(":scheme twice", [SCHEME, *PLAIN]),
    fields(":authority twice", [AUTHORITY, *PLAIN]),
    fields(":path twice", [PATH, *PLAIN]),
    fields(":path twice, not the same", [(b":path", b"/other"), *PLAIN]),
    fields("an unknown pseudo-header field", [*PLAIN, (b":x", b"v")]),
    fields(":status in a request", [*PLAIN, (b":status", b"200")]),
    fields("a pseudo-header field behind a field", [METHOD, SCHEME, AUTHORITY, (b"x", b"v"), PATH]),
    fields(":protocol without CONNECT", [*PLAIN, WEBSOCKET]),
    fields("extended CONNECT", [CONNECT, WEBSOCKET, *PLAIN[1:]]),
    fields("extended CONNECT to a protocol that nobody knows", [CONNECT, (b":protocol", b"tea"), *PLAIN[1:]]),
    fields("extended CONNECT without :path", [CONNECT, WEBSOCKET, SCHEME, AUTHORITY]),
    fields("extended CONNECT without :scheme", [CONNECT, WEBSOCKET, AUTHORITY, PATH]),
    fields("extended CONNECT, :protocol twice", [CONNECT, WEBSOCKET, WEBSOCKET, *PLAIN[1:]]),
    fields("extended CONNECT, :protocol empty", [CONNECT, (b":protocol", b""), *PLAIN[1:]]),
    fields("CONNECT with :path", [CONNECT, AUTHORITY, PATH]),
    fields("CONNECT with :scheme and :path", [CONNECT, *PLAIN[1:]]),
    fields("CONNECT without :authority", [CONNECT]),
    session(":method empty", get(method=b"")),
    session(":method with a space", get(method=b"GE T")),
    session(":method with CR LF", get(method=b"GET\r\n")),
    session(":scheme empty", get(scheme=b"")),
    session(":scheme with a space", get(scheme=b"ht tp")),
    session(":scheme unknown", get(scheme=b"ftp")),
    session(":path empty", get(1, b"")),
    session(":path without a slash", get(1, b"index.html")),
    session(":path * with GET", get(1, b"*")),
    session(":path with a space", get(1, b"/a b")),
    session(":path with a fragment", get(1, b"/#a")),
    session(":path with NUL", get(1, b"/\x00")),
    session(":path with CR LF", get(1, b"/\r\nx: y")),
    session(":path with a byte above 127", get(1, b"/?\xe9")),
    session(":path in absolute form", get(1, b"http://a.example/")),
    session(":authority empty", get(authority=b"")),
    session(":authority with userinfo", get(authority=b"u:p@a.example")),
    session(":authority with a space", get(authority=b"a example")),
    session(":authority with a slash", get(authority=b"a.example/x")),
    session(":authority with a port that is none", get(authority=b"a.example:x")),
    session("host and :authority, not the same", get(1, b"/", (b"host", b"b.example"))),
    session("host twice, not the same", get(1, b"/", (b"host", b"a.example"), (b"host", b"b.example"), authority=None)),
    session("host twice, the same", get(1, b"/", (b"host", b"a.example"), (b"host", b"a.example"), authority=None)),
    session("host with a slash", get(1, b"/", (b"host", b"a/b"), authority=None)),
)  # fmt: skip
TRAILERS = (
    trailing("trailers without END_STREAM", [(b"x-t", b"v")], end_stream=False),
    trailing("trailers: a pseudo-header field", [(b":path", b"/"), (b"x-t", b"v")]),
    trailing("trailers: upper case", [(b"X-T", b"v")]),
    trailing("trailers: connection", [(b"connection", b"close")]),
    trailing("trailers: transfer-encoding", [(b"transfer-encoding", b"chunked")]),
    trailing("trailers: content-length", [(b"content-length", b"3")]),
    trailing("trailers: LF in a value", [(b"x-t", b"a\nb")]),
)
LENGTHS = (
    length("content-length: more than comes", b"4"),
    length("content-length: less than comes", b"2"),
    length("content-length: 0, and content comes", b"0"),
    session("content-length: no content comes", get(1, b"/", (b"content-length", b"3"), method=b"POST")),
    length("content-length: not a number", b"x"),
    length("content-length: negative", b"-3"),
    length("content-length: with a sign", b"+3"),
    length("content-length: in hexadecimal", b"0x3"),
    length("content-length: empty", b""),
    length("content-length: a list of the same", b"3, 3"),
    length("content-length: beyond 64 bits", b"18446744073709551619"),
    length("content-length: zeros in front", b"003"),
    length("content-length: two that differ", b"3", (b"content-length", b"4")),
    session("content-length: less with trailers", post(1, b"/", (b"content-length", b"5")), data(1, b"abc"),
            headers(1, [(b"x-t", b"v")], end_stream=True)),
    session("content-length: too much before the end", post(1, b"/", (b"content-length", b"2")), data(1, b"abc")),
)  # fmt: skip

MALFORMED: tuple[Session, ...] = (*NAMES, *VALUES, *CONNECTION, *PSEUDO, *TRAILERS, *LENGTHS)
