"""The ClientHello: which protocols a client offers in ALPN, read before OpenSSL reads it.

Property: no bytes raise. Any cut of them gives the same answer. A ClientHello that was built here by RFC 8446 §4.1.2
and RFC 7301 §3.1, in records of any size, is read as it was meant; nothing is kept beyond the limit.
"""

from __future__ import annotations

from headrace.transport.client_hello import ClientHello

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source, pieces

LONGEST = 3_000


def target(data: bytes) -> None:
    """Read a hello that is sound, one with bytes changed, and other bytes."""
    source = Source(data)
    size = 1 + source.below(60)
    hello, names = hello_from(source)
    assert read([hello], data) == (names, True), f"{hello!r}"
    assert read(pieces(hello, size), b"\0") == (names, True)
    changed = bytearray(hello)
    for _ in range(source.below(5)):
        changed[source.below(len(changed))] = source.byte()
    assert read([bytes(changed)], data) == read(pieces(bytes(changed), size), b"\0"), f"cut into {size}"
    noise = source.rest()
    assert read([noise], data) == read(pieces(noise, size), b"\0"), f"cut into {size}"


def read(parts: list[bytes], data: bytes) -> tuple[list[bytes] | None, bool]:
    """Return what is offered, and whether the message is over."""
    hello = ClientHello()
    meter = Meter(data, calls_a_byte=20, bytes_a_byte=50)
    for part in parts:
        found = meter.run(hello.feed, part, size=len(part))
        if found is not None or hello.is_over:
            return found, hello.is_over
    return None, False


def hello_from(source: Source) -> tuple[bytes, list[bytes] | None]:
    """Return a ClientHello in records, and the protocols that it offers."""
    names = [source.pick((b"h2", b"http/1.1", b"x" * 255, b"a")) for _ in range(source.below(4))]
    extensions = b""
    for _ in range(source.below(3)):
        extensions += extension(source.pick((0, 10, 43, 51)), source.take(source.below(40)))
    if names:
        alpn = b"".join(bytes((len(name),)) + name for name in names)
        extensions += extension(16, len(alpn).to_bytes(2, "big") + alpn)
    extensions += extension(21, b"\0" * source.below(90))
    session, suites = source.take(source.below(33)), b"\x13\x01" * (1 + source.below(9))
    body = b"\x03\x03" + source.take(32).ljust(32, b"\0") + bytes((len(session),)) + session
    body += len(suites).to_bytes(2, "big") + suites + b"\1\0" + len(extensions).to_bytes(2, "big") + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    records = pieces(message, source.pick((0, 0, 1, 50)))
    return b"".join(b"\x16\x03\x01" + len(each).to_bytes(2, "big") + each for each in records), names or None


def extension(kind: int, content: bytes) -> bytes:
    """Return an extension."""
    return kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content


def seeds() -> list[bytes]:
    """Return hellos of several shapes."""
    return [
        bytes((n, n % 4, n % 3, n % 4, n % 3, n % 4, n % 5, *range(n % 5), 9, n % 33, *range(60), n % 4, 3, 9, 9))
        for n in range(24)
    ]
