"""The agreement before a WebSocket opens: extensions, subprotocols, origins.

Property: no field raises, but ValueError for a server's answer that was not offered. What is agreed on was offered, and
can be read again; a subprotocol is one that both have; a page of another site is never taken for our own.
"""

from __future__ import annotations

from headrace.engine.ws import negotiation

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source

FIELD = b"sec-websocket-extensions"
WORDS = (
    b"permessage-deflate", b"; ", b"client_max_window_bits", b"server_max_window_bits", b"=", b"12", b"15", b"8",
    b'"10"', b",", b"client_no_context_takeover", b"server_no_context_takeover", b" ", b"x-other", b"\xe9", b"\t",
    b'"', b"0", b"7", b"16", b"chat", b"superchat", b"a b", b"", b"\\",
)  # fmt: skip
HOSTS = (
    b"a.example",
    b"a.example:80",
    b"a.example:443",
    b"A.example",
    b"evil.example",
    b"a.example.evil",
    b"",
    b"xa.example",
)


def story(data: bytes) -> str:
    """Return what was agreed on."""
    return repr(play(Source(data)))


def target(data: bytes) -> None:
    """Negotiate."""
    play(Source(data))


def play(source: Source) -> list[object]:
    value = b"".join(source.pick(WORDS) for _ in range(source.below(40)))
    fields = [(FIELD, value), (b"sec-websocket-protocol", value)]
    if source.flag(4):
        fields.append((FIELD, source.take(source.below(60))))
    meter = Meter(source.data, calls_a_byte=20, bytes_a_byte=300)
    answer, extensions = meter.run(negotiation.accept_deflate, fields, size=len(value))
    assert bool(answer) == bool(extensions)
    if answer:
        assert b"permessage-deflate" in negotiation.field_values(fields, FIELD)
        assert answer.startswith(b"permessage-deflate") and answer.isascii()
    try:
        confirmed = len(negotiation.confirm_deflate(fields))
    except ValueError:
        confirmed = -1
    offered = negotiation.offered_subprotocols(fields)
    assert all(negotiation.is_token(name) for name in offered)
    chosen = negotiation.choose_subprotocol(fields, ["superchat", "chat"])
    assert chosen is None or (chosen in offered and chosen.encode() in value)
    scheme, own = source.pick((b"http", b"https")), source.pick(HOSTS[:4])
    page, host = source.pick((b"http", b"https", b"HTTPS", b"null")), source.pick(HOSTS)
    origin = page + b"://" + host if page != b"null" else page
    same = negotiation.is_same_origin([(b"origin", origin)], scheme, own)
    if same:
        assert page.lower() == scheme and plain(host, scheme) == plain(own, scheme), f"{origin!r} for {own!r}"
    elif page.lower() == scheme and host == own:
        raise AssertionError(f"{origin!r} is {own!r}'s own, and is refused")
    return [answer, confirmed, offered, chosen, same]


def plain(authority: bytes, scheme: bytes) -> bytes:
    """Return an authority without the port that goes without saying."""
    return authority.lower().removesuffix(b":80" if scheme == b"http" else b":443")


def seeds() -> list[bytes]:
    """Return offers of each parameter."""
    return [bytes((6, 0, 1, 2 + n % 11, 4, 5 + n % 4, n % 23, 0, n % 2, n % 4, n % 4, n % 8)) for n in range(40)]
