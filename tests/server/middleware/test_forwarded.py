"""Forwarded: who is believed, and how far."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import Request, Response, Route, Router
from headrace.server.middleware import Forwarded

from tests.support.requests import answer, request

PEER = ("10.0.0.1", 5000)


def seen(
    headers: list[tuple[str, str]], peer: Any = PEER, trusted: Any = ("10.0.0.0/8", "2001:db8::/32"), **options: Any
) -> Any:
    """What the handler sees: client, scheme and authority; or the status that it never got to."""
    found: list[Any] = []

    def handler(request: Request) -> Response:
        found.append((request.client, request.scheme, request.authority))
        return Response(200)

    router = Router([Route("/", handler)], middleware=[Forwarded(trusted, **options)])

    async def outermost(request: Request, following: Any) -> Any:
        return await following(request)

    status = answer(Router([Route("/", router)], middleware=[outermost]), request(headers=headers, peer=peer)).status
    return found[0] if found else status


UNCHANGED = (PEER, "http", "example.com")


def x_for(*values: str) -> list[tuple[str, str]]:
    return [("x-forwarded-for", each) for each in values]


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["192.0.2.1"], ("192.0.2.1", None)),
        (["192.0.2.1:1234"], ("192.0.2.1", 1234)),
        (["192.0.2.1:99999"], ("192.0.2.1", None)),
        (["2001:4860::1"], ("2001:4860::1", None)),
        (["[2001:4860::1]"], ("2001:4860::1", None)),
        (["[2001:4860::1]:443"], ("2001:4860::1", 443)),
        (["::ffff:192.0.2.1"], ("192.0.2.1", None)),
        # The rightmost that is not trusted: what stands left of it, the client may have made up.
        (["6.6.6.6, 192.0.2.1"], ("192.0.2.1", None)),
        (["6.6.6.6", "192.0.2.1"], ("192.0.2.1", None)),
        (["10.9.9.9, 192.0.2.1"], ("192.0.2.1", None)),
        (["192.0.2.1, 10.0.0.2, 10.0.0.3"], ("192.0.2.1", None)),
        (["192.0.2.1,2001:db8::2"], ("192.0.2.1", None)),
        (["10.0.0.4, 10.0.0.3"], ("10.0.0.4", None)),  # all trusted: the farthest
        # What is no address ends the walk: the nearest one that is known stays.
        (["unknown"], PEER),
        (["_hidden"], PEER),
        (["192.0.2.1, evil, 10.0.0.3"], ("10.0.0.3", None)),
        (["192.0.2.1, , 10.0.0.3"], ("10.0.0.3", None)),
        (["127.1"], PEER),
        (["[192.0.2.1]"], ("192.0.2.1", None)),
        (["1.2.3.4 5.6.7.8"], PEER),
        ([""], PEER),
        (["\u00b2.0.0.1"], PEER),
    ],
)
def test_x_forwarded_for(values: list[str], client: Any) -> None:
    assert seen(x_for(*values)) == (client, "http", "example.com")


@pytest.mark.parametrize("peer", [("192.0.2.99", 1), ("11.0.0.1", 1), ("no address", 1), None])
def test_a_peer_that_is_not_trusted_changes_nothing(peer: Any) -> None:
    headers = [*x_for("192.0.2.1"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example")]
    assert seen(headers, peer) == (peer, "http", "example.com")


@pytest.mark.parametrize("peer", [("10.0.0.1", 1), ("::ffff:10.0.0.1", 1), ("2001:db8::9", 1)])
def test_a_peer_that_is_trusted(peer: Any) -> None:
    assert seen(x_for("192.0.2.1"), peer)[0] == ("192.0.2.1", None)


def test_unix_sockets_are_trusted_by_name() -> None:
    assert seen(x_for("192.0.2.1"), None, ["unix"])[0] == ("192.0.2.1", None)
    assert seen(x_for("192.0.2.1"), PEER, ["unix"])[0] == PEER


@pytest.mark.parametrize(
    ("headers", "scheme", "host"),
    [
        ([("x-forwarded-proto", "https")], "https", "example.com"),
        ([("x-forwarded-proto", "HTTPS")], "https", "example.com"),
        ([("x-forwarded-proto", "gopher")], "http", "example.com"),
        ([("x-forwarded-host", "real.example:8443")], "http", "real.example:8443"),
        ([("x-forwarded-host", "[2001:db8::1]:1")], "http", "[2001:db8::1]:1"),
        ([("x-forwarded-host", "a/b")], "http", "example.com"),
        ([("x-forwarded-host", "a b")], "http", "example.com"),
        # One a hop: that of the hop which the outermost trusted proxy took the request from.
        ([*x_for("6.6.6.6, 192.0.2.1, 10.0.0.2"), ("x-forwarded-proto", "http, https, http")], "https", "example.com"),
        # Not one a hop: the last, since only that one was surely written by a proxy of ours.
        ([*x_for("192.0.2.1"), ("x-forwarded-proto", "https, http")], "http", "example.com"),
        ([*x_for("192.0.2.1, 10.0.0.2"), ("x-forwarded-host", "real.example")], "http", "real.example"),
    ],
)
def test_scheme_and_host(headers: list[tuple[str, str]], scheme: str, host: str) -> None:
    assert seen(headers)[1:] == (scheme, host)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.60", (("192.0.2.60", None), "http", "example.com")),
        ("for=192.0.2.60;proto=https;by=203.0.113.43", (("192.0.2.60", None), "https", "example.com")),
        ('For="[2001:4860:cafe::17]:4711"', (("2001:4860:cafe::17", 4711), "http", "example.com")),
        ('for="192.0.2.43:47011";host="a.example:80"', (("192.0.2.43", 47011), "http", "a.example:80")),
        ("for=6.6.6.6;proto=https, for=198.51.100.17", (("198.51.100.17", None), "http", "example.com")),
        ("for=192.0.2.43;proto=https, for=10.0.0.2;proto=http", (("192.0.2.43", None), "https", "example.com")),
        ('for=192.0.2.43 , for="10.0.0.2"', (("192.0.2.43", None), "http", "example.com")),
        ("for=unknown;proto=https", (PEER, "https", "example.com")),
        ("for=_SEVKISEK;proto=https", (PEER, "https", "example.com")),
        ('for=192.0.2.1;host="a\\.example"', (("192.0.2.1", None), "http", "a.example")),
        ('for=192.0.2.1;ext="a,for=6.6.6.6;x"', (("192.0.2.1", None), "http", "example.com")),
        (",, for=192.0.2.1 ,;", (("192.0.2.1", None), "http", "example.com")),
        ("proto=https", (PEER, "https", "example.com")),
        ("", UNCHANGED),
        # Malformed: a client could otherwise hide behind the proxy that adds to it.
        ('for="192.0.2.1', 400),
        ('for=", for=192.0.2.1', 400),
        ("for=[2001:db8::1]", 400),
        ("for=192.0.2.1:80", 400),
        ("for", 400),
        ("for=a;for=b", 400),
        ("for = 192.0.2.1", 400),
        ("for=192.0.2.1 proto=https", 400),
        # A line's end is no end of the text: `$` would match before it, and nothing would go on from there.
        ("for=192.0.2.1\n", 400),
        ("for=192.0.2.1;\n", 400),
        ("\n", 400),
        ("for=192.0.2.1 \n", 400),
        ('for="192.0.2.1"\n', 400),
    ],
)
def test_forwarded(value: str, expected: Any) -> None:
    assert seen([("forwarded", value)], fields="forwarded") == expected


def test_the_two_kinds_are_never_mixed() -> None:
    """A proxy that writes the one hands on the other as the client sent it."""
    spoofed = [*x_for("192.0.2.1"), ("forwarded", "for=6.6.6.6;proto=https;host=evil.example")]
    assert seen(spoofed) == (("192.0.2.1", None), "http", "example.com")
    spoofed = [*x_for("6.6.6.6"), ("x-forwarded-host", "evil.example"), ("forwarded", "for=192.0.2.1")]
    assert seen(spoofed, fields="forwarded") == (("192.0.2.1", None), "http", "example.com")


def test_a_request_that_says_nothing_is_the_proxys_own() -> None:
    assert seen([]) == UNCHANGED
    assert seen([], fields="forwarded") == UNCHANGED


@pytest.mark.parametrize(
    ("trusted", "options", "sentence"),
    [
        ([], {}, "Forwarded needs a list of trusted networks"),
        ("10.0.0.0/8", {}, "Forwarded needs a list of trusted networks"),
        (
            ["10.0.0.1/8"],
            {},
            "a trusted proxy of Forwarded must be a network, an address or unix: 10.0.0.1/8 has host bits",
        ),
        (["proxy.example"], {}, "'proxy.example' does not appear to be"),
        (["10.0.0.1"], {"fields": "via"}, "the fields of Forwarded must be x-forwarded or forwarded, not 'via'"),
    ],
)
def test_what_cannot_be(trusted: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Forwarded(trusted, **options)
