"""Messages that cases of both protocols have in common."""

from __future__ import annotations

from typing import Final

Fields = list[tuple[bytes, bytes]]

REQUESTS: Final = 100  # one full set of streams
HELLO: Final = b"Hello, World!"
POST: Final = b"p" * 1_024
BODY: Final = b"x" * 1_048_576
FRAME: Final = 16_384
PIECES: Final = [BODY[i : i + FRAME] for i in range(0, len(BODY), FRAME)]
RESPONSE: Final[Fields] = [
    (b"content-type", b"text/plain"),
    (b"content-length", b"13"),
    (b"date", b"Sat, 21 Nov 2026 10:00:00 GMT"),
]
BROWSER: Final[Fields] = [
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"en-GB,en;q=0.9"),
    (b"cookie", b"session=0123456789abcdef0123456789abcdef; theme=dark"),
]
PATHS: Final = [b"/api/v1/users/%d/orders?page=%d" % (i * 7919, i) for i in range(REQUESTS)]


def section(path: bytes, method: bytes = b"GET") -> Fields:
    """Return the field section of a browser's request for HTTP/2."""
    pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", b"example.com"), (b":path", path)]
    return [*pseudo, *BROWSER]


def head(path: bytes, method: bytes = b"GET", length: int | None = None) -> bytes:
    """Return the head of the same request for HTTP/1.1."""
    lines = b"".join(name.title() + b": " + value + b"\r\n" for name, value in BROWSER)
    if length is not None:
        lines += b"Content-Length: %d\r\n" % length
    return method + b" " + path + b" HTTP/1.1\r\nHost: example.com\r\n" + lines + b"\r\n"


SAME: Final = [section(b"/")] * REQUESTS
VARIED: Final = [section(path) for path in PATHS]
