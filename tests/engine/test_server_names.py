"""The names that a server answers for (RFC 9110 §7.4), as an operator writes them, and what they cover."""

from __future__ import annotations

import pytest

from headrace.engine.server_names import ServerNames

NAMES = ["example.com", "*.example.com", "Other.Example", "192.0.2.1", "[2001:db8::1]"]


@pytest.mark.parametrize(
    "authority",
    [
        b"example.com",
        b"EXAMPLE.com",
        b"example.com:443",
        b"example.com.",
        b"example.com.:8443",
        b"a.example.com",
        b"other.example:1",
        b"192.0.2.1:80",
        b"[2001:db8::1]",
        b"[2001:DB8::1]:443",
        b"",
    ],
)
def test_what_is_ours(authority: bytes) -> None:
    assert ServerNames(NAMES).covers(authority)


@pytest.mark.parametrize(
    "authority",
    [
        b"example.org",
        b"com",
        b"a.b.example.com",
        b".example.com",
        b"notexample.com",
        b"example.com.evil.org",
        b"a.other.example",
        b"192.0.2.2",
        b"[2001:db8::2]",
        b"*.example.com.org",
        b"localhost",
    ],
)
def test_what_is_not(authority: bytes) -> None:
    assert not ServerNames(NAMES).covers(authority)


@pytest.mark.parametrize(
    "name", ["", "a b", "http://a", "a:80", "*", "*.", "a.*.b", "*.*.a", "*a.b", "a/", "é.com", "a."]
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a host"):
        ServerNames([name])
