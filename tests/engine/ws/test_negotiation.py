"""Subprotocols and origins (RFC 6455 §4.2, §10.2): bytes in, and never an exception."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.ws.negotiation import (
    choose_subprotocol,
    is_same_host,
    is_same_origin,
    is_token,
    offered_subprotocols,
)

from tests.properties.profile import tries

PROTOCOL = b"sec-websocket-protocol"


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        ([], []),
        ([(PROTOCOL, b"chat")], ["chat"]),
        ([(PROTOCOL, b"chat, superchat ,\tx")], ["chat", "superchat", "x"]),
        ([(PROTOCOL, b"a"), (b"other", b"b"), (PROTOCOL, b"c")], ["a", "c"]),
        ([(PROTOCOL, b",, a b ,\xffchat,good")], ["good"]),
    ],
)
def test_what_is_offered(fields: list[tuple[bytes, bytes]], offered: list[str]) -> None:
    assert offered_subprotocols(fields) == offered


@pytest.mark.parametrize(
    ("offer", "supported", "chosen"),
    [
        (b"a, b", ("b", "a"), "b"),
        (b"a, b", ("c",), None),
        (b"a", (), None),
        (b"Chat", ("chat",), None),
    ],
)
def test_what_is_chosen(offer: bytes, supported: tuple[str, ...], chosen: str | None) -> None:
    assert choose_subprotocol([(PROTOCOL, offer)], supported) == chosen


@given(st.binary(max_size=60))
@tries(100)
def test_no_bytes_raise(data: bytes) -> None:
    for name in offered_subprotocols([(PROTOCOL, data)]):
        assert is_token(name)
    is_same_origin([(b"origin", data)], b"https", data)


@pytest.mark.parametrize(
    ("origins", "scheme", "authority", "same"),
    [
        ([], b"https", b"example.org", True),
        ([b"https://example.org"], b"https", b"example.org", True),
        ([b"https://EXAMPLE.org"], b"https", b"example.org:443", True),
        ([b"https://example.org:443"], b"https", b"example.org", True),
        ([b"http://example.org:8000"], b"http", b"example.org:8000", True),
        ([b"http://[::1]:8000"], b"http", b"[::1]:8000", True),
        ([b"https://example.org"], b"http", b"example.org", False),
        ([b"http://example.org"], b"https", b"example.org", False),
        ([b"https://evil.example"], b"https", b"example.org", False),
        ([b"https://example.org.evil.example"], b"https", b"example.org", False),
        ([b"https://example.org:444"], b"https", b"example.org", False),
        ([b"null"], b"https", b"example.org", False),
        ([b""], b"https", b"example.org", False),
        ([b"https://example.org", b"https://evil.example"], b"https", b"example.org", False),
        ([b"https://"], b"https", b"", False),
    ],
)
def test_same_origin(origins: list[bytes], scheme: bytes, authority: bytes, same: bool) -> None:
    assert is_same_origin([(b"origin", each) for each in origins], scheme, authority) is same


@pytest.mark.parametrize(
    ("origin", "scheme", "authority", "same"),
    [
        (b"https://example.org", b"http", b"example.org", True),
        (b"https://example.org:443", b"http", b"example.org", True),
        (b"https://example.org:8443", b"http", b"example.org:8443", True),
        (b"http://example.org", b"http", b"example.org", True),
        (b"https://evil.example", b"http", b"example.org", False),
        (b"http://example.org", b"https", b"example.org", False),
        (b"null", b"http", b"example.org", False),
    ],
)
def test_a_host_behind_a_proxy_that_ends_tls(origin: bytes, scheme: bytes, authority: bytes, same: bool) -> None:
    assert is_same_host([(b"origin", origin)], scheme, authority) is same
