"""The PROXY header, versions 1 and 2: what load balancers send, and anything else.

Property: it raises nothing but ProxyProtocolError. Any cut of the input gives the same answer, or the same refusal;
after the header not a byte is lost. A header that was built here by the specification's words is read as it was meant.
No more than a header's longest form is waited for.
"""

from __future__ import annotations

import ipaddress

from headrace.transport.proxy_protocol import V2_LIMIT, Proxied, ProxyHeader, ProxyProtocolError

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source, pieces

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
REST = b"GET / HTTP/1.1\r\n"
LONGEST = 6_000
Given = tuple[tuple[str, int] | str | None, tuple[str, int] | str | None, bool]


def target(data: bytes) -> None:
    """Read a header that is sound, and one with bytes changed."""
    source = Source(data)
    versions = source.pick(("on", "v1", "v2"))
    size = 1 + source.below(40)
    header, meant, version = header_from(source)
    answer = read([header + REST], versions, data)
    if meant is not None and versions in ("on", version):
        assert isinstance(answer, Proxied), f"{header!r}: {answer}"
        assert answer == Proxied(meant[0], meant[1], REST, meant[2])
    changed = bytearray(header + REST)
    for _ in range(source.below(4)):
        changed[source.below(len(changed))] = source.byte()
    raw = bytes(changed) if source.flag() else source.rest()
    whole, cut = read([raw], versions, data), read(pieces(raw, size), versions, b"\0")
    assert whole == cut, f"cut into {size}: {cut} in place of {whole}"
    if whole is None:
        assert len(raw) < 16 + V2_LIMIT, "it waits for more than the longest header"


def read(parts: list[bytes], versions: str, data: bytes) -> Proxied | str | None:
    """Return the header, its refusal, or None."""
    header = ProxyHeader(versions)
    meter = Meter(data, calls_a_byte=10, bytes_a_byte=50)
    for number, part in enumerate(parts):
        try:
            found = meter.run(header.feed, part, size=len(part))
        except ProxyProtocolError as error:
            return str(error)
        if found is not None:
            return found._replace(rest=found.rest + b"".join(parts[number + 1 :]))
    return None


def header_from(source: Source) -> tuple[bytes, Given | None, str]:
    """Return a header, what it means (None: it is not sound), and its version."""
    v6 = source.flag()
    width = 16 if v6 else 4
    one, two = source.take(width).ljust(width, b"\1"), source.take(width).ljust(width, b"\2")
    ports = source.number(2), source.number(2)
    names = str(ipaddress.ip_address(one)), str(ipaddress.ip_address(two))
    meant: Given = ((names[0], ports[0]), (names[1], ports[1]), False)
    if source.flag():
        if source.flag(8):
            return b"PROXY UNKNOWN\r\n", (None, None, False), "v1"
        family = "TCP6" if v6 else "TCP4"
        return f"PROXY {family} {names[0]} {names[1]} {ports[0]} {ports[1]}\r\n".encode(), meant, "v1"
    extensions, is_tls, is_sound = extensions_from(source)
    if source.flag(4):
        body = b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0") + extensions
        head, meant = b"\x21\x31", ("/run/a", "/run/b", is_tls)
    elif source.flag(4):
        body, head, meant = extensions, b"\x20\x00", (None, None, False)
        is_sound = True  # LOCAL: the rest is skipped
    else:
        body = one + two + ports[0].to_bytes(2, "big") + ports[1].to_bytes(2, "big") + extensions
        head, meant = (b"\x21\x21" if v6 else b"\x21\x11"), (*meant[:2], is_tls)
    is_sound = is_sound and len(body) <= V2_LIMIT
    return SIGNATURE + head + min(len(body), 65_535).to_bytes(2, "big") + body, meant if is_sound else None, "v2"


def extensions_from(source: Source) -> tuple[bytes, bool, bool]:
    """Return extensions (section 2.2), whether they say TLS, and whether they are sound."""
    data, is_tls, is_sound = b"", False, True
    for _ in range(source.below(4)):
        kind = source.pick((0x01, 0x04, 0x20, 0x30))
        content = source.take(source.below(12)) * source.pick((1, 1, 1, 200))
        data += bytes((kind,)) + len(content).to_bytes(2, "big") + content
        if kind == 0x20:
            is_sound = is_sound and len(content) >= 5
            is_tls = is_tls or bool(content and content[0] & 1)
    return data, is_tls, is_sound


def seeds() -> list[bytes]:
    """Return both versions, families, and extensions."""
    found = [
        bytes((0, n, n % 2, *range(1, 9), 31, 144, 1, 187, n // 2 % 2, n % 5, 2, n % 4, 6, *range(7), n % 4, 0))
        for n in range(24)
    ]
    return [*found, b"\0\5" + b"\0" * 40 + b"\1PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"\2\1\1" + SIGNATURE * 2]
