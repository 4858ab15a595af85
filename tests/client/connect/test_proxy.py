"""Proxies: the variables of the environment, CONNECT over HTTP/1.1 and HTTP/2, forwarded requests, SOCKS5."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from headrace.client.connect.config import NetworkConfig
from headrace.client.connect.proxy import Proxy, ProxyRules
from headrace.client.errors import ProxyError
from headrace.client.interface import Origin
from headrace.client.pool.network import NetworkTransport
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response

from tests.client.support.network_rig import ask, authority, fetch, network, server_tls, trusting
from tests.client.support.peer import H1Peer, listening
from tests.client.support.proxies import TestProxy, h2_connect, http_connect, proxy, socks5
from tests.support.serving import Run, port, serving

BIG = bytes(range(256)) * 8_192  # 2 MiB: more than any window or buffer on the way


async def app(request: Request) -> Response:
    if request.path == "/upload":
        content = await request.read()
        return Response(200, (), str(len(content)))
    return Response(200, (), BIG if request.path == "/big" else request.path.encode())


# -- choosing a proxy


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy", Proxy("http", "proxy", 80)),
        ("proxy:3128", Proxy("http", "proxy", 3128)),
        ("HTTPS://Proxy/", Proxy("https", "proxy", 443)),
        ("socks5://[::1]", Proxy("socks5", "::1", 1080)),
        ("socks5h://u:p%40ss@h:9", Proxy("socks5h", "h", 9, b"u", b"p@ss")),
    ],
)
def test_a_proxys_url(text: str, proxy: Proxy) -> None:
    assert Proxy.parse(text) == proxy
    assert "p@ss" not in f"{proxy} {proxy!r}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://proxy", "the scheme 'ftp' of a proxy is unknown"),
        ("http://", "has no host"),
        ("http://proxy:port", "is invalid"),
        (f"socks5://{'u' * 256}@proxy", "longer than 255 bytes"),
    ],
)
def test_a_proxys_url_that_is_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Proxy.parse(text)


HTTP, HTTPS = Origin("http", "web.example", 80), Origin("https", "web.example", 443)


@pytest.mark.parametrize(
    ("environment", "origin", "host"),
    [
        ({}, HTTP, None),
        ({"http_proxy": "p"}, HTTP, "p"),
        ({"http_proxy": "p"}, HTTPS, None),
        ({"HTTPS_PROXY": "p"}, HTTPS, "p"),
        ({"HTTP_PROXY": "upper", "http_proxy": "lower"}, HTTP, "lower"),
        ({"HTTP_PROXY": "p", "http_proxy": ""}, HTTP, None),
        ({"ALL_PROXY": "socks5://p"}, HTTPS, "p"),
        ({"ALL_PROXY": "a", "https_proxy": "p"}, HTTPS, "p"),
        ({"HTTP_PROXY": "p", "REQUEST_METHOD": "GET"}, HTTP, None),  # httpoxy
        ({"http_proxy": "p", "REQUEST_METHOD": "GET"}, HTTP, "p"),
        ({"ALL_PROXY": "p", "NO_PROXY": "*"}, HTTP, None),
        ({"ALL_PROXY": "p"}, Origin("http", "localhost", 80), None),
        ({"ALL_PROXY": "p"}, Origin("http", "a.localhost", 80), None),
        ({"ALL_PROXY": "p"}, Origin("http", "127.0.0.9", 80), None),
        ({"ALL_PROXY": "p"}, Origin("http", "::1", 80), None),
    ],
)
def test_the_environment(environment: dict[str, str], origin: Origin, host: str | None) -> None:
    proxy = ProxyRules.from_environment(environment).choose(origin)
    assert (proxy.host if proxy else None) == host


@pytest.mark.parametrize(
    ("words", "host", "is_direct"),
    [
        ("web.example", "web.example", True),
        ("web.example", "a.web.example", True),
        ("web.example", "myweb.example", False),
        (".web.example", "a.web.example", True),
        ("*.web.example", "a.web.example", True),
        ("other, Web.Example ,", "web.example", True),
        ("web.example:443", "web.example", True),
        ("web.example:8443", "web.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("fe80::/10", "fe80::1", True),
        ("[fe80::1]:443", "fe80::1", True),
        ("0.0.0.0/0", "web.example", False),
        ("web.example:44²", "web.example", False),  # str.isdigit takes it, and int does not (found by tests/fuzz)
        ("", "web.example", False),
    ],
)
def test_no_proxy(words: str, host: str, is_direct: bool) -> None:
    rules = ProxyRules({"all": Proxy("http", "p", 80)}, words)
    assert (rules.choose(Origin("https", host, 443)) is None) == is_direct


def test_a_variable_with_nonsense_is_named() -> None:
    with pytest.raises(ValueError, match=r"^HTTPS_PROXY: the scheme 'quic'"):
        ProxyRules.from_environment({"HTTPS_PROXY": "quic://p"})
    with pytest.raises(ValueError, match="not for 'ftp'"):
        ProxyRules.of({"ftp": "http://p"})


def test_the_environment_is_read_when_it_is_to_be_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    for config, expected in (
        (NetworkConfig(), "http://p:1"),
        (NetworkConfig(trust_env=False), "None"),
        (NetworkConfig(proxy="http://q:2"), "http://q:2"),
        (NetworkConfig(proxy={"https": None}), "None"),
        (NetworkConfig(uds="/x"), "None"),
    ):
        connector: Any = NetworkTransport(config)._own_connector
        assert str(connector.proxy_for(HTTPS)) == expected


# -- through them


@pytest.fixture
def pem(tmp_path: Path) -> str:
    """A certificate for localhost with its key."""
    leaf = authority().issue_cert("localhost", "127.0.0.1")
    path = tmp_path / "server.pem"
    path.write_bytes(leaf.private_key_pem.bytes() + b"".join(each.bytes() for each in leaf.cert_chain_pems))
    return str(path)


@pytest.mark.parametrize(("kind", "secured"), [("http/1.1", True), ("h2", True), ("socks5", True), ("socks5", False)])
def test_a_tunnel_carries_everything_both_ways(run: Run, pem: str, kind: str, secured: bool) -> None:
    """An HTTP/2 connection to the origin, through each kind of proxy."""

    async def main() -> None:
        serve = {"http/1.1": http_connect, "h2": h2_connect, "socks5": socks5}[kind]
        tls = None if kind == "socks5" else server_tls(alpn=(kind,))
        scheme = "socks5" if kind == "socks5" else "https"
        async with (
            serving(app, tls_cert=pem if secured else None) as server,
            proxy(serve, tls=tls) as found,
            network(
                proxy={"all": f"{scheme}://127.0.0.1:{found.port}"},
                proxy_verify=trusting(),
                verify=trusting(),
                http1=False,
            ) as transport,
        ):
            number = port(server)
            options = {"scheme": "https", "host": "localhost"} if secured else {}
            asks = [
                ask(number, "/big", **options),
                ask(number, "/upload", "POST", BIG, **options),
                ask(number, "/x", **options),
            ]
            answers = await asyncio.gather(*(fetch(transport, each) for each in asks))
            assert answers == [BIG, str(len(BIG)).encode(), b"/x"]
            assert found.connections == len(found.asked) == 1
            incoming = await transport.send(asks[2], whole=True)
            assert incoming.info["peer"][1] == found.port
            assert (incoming.info["tls"] is not None) == secured

    run(main())


def test_tunnels_through_an_h2_proxy_share_one_connection_to_it(run: Run) -> None:
    async def main() -> None:
        async with (
            listening("http/1.1", tls=server_tls(alpn=("http/1.1",)), script=one_answer) as server,
            proxy(h2_connect, tls=server_tls(alpn=("h2",))) as found,
            network(proxy=f"https://localhost:{found.port}", proxy_verify=trusting(), verify=trusting()) as transport,
        ):
            asks = [ask(server.port, scheme="https", host="localhost") for _ in range(5)]
            assert await asyncio.gather(*(fetch(transport, each) for each in asks)) == [b"x"] * 5
            assert found.connections == 1 and len(found.asked) == 5
            assert found.asked[0] == {":method": "CONNECT", ":authority": f"localhost:{server.port}"}

    run(main())


async def one_answer(peer: H1Peer) -> None:
    await peer.request()
    peer.respond(b"x", fields=[(b"connection", b"close")])
    await peer.until_closed()


@pytest.mark.parametrize("user", ["", "name:pass%20word@"])
def test_a_proxy_is_told_name_and_password(run: Run, user: str) -> None:
    async def main() -> None:
        async with (
            listening("http/1.1", tls=server_tls(alpn=("http/1.1",)), script=one_answer) as server,
            listening("http/1.1", script=one_answer) as plain,
            proxy(http_connect) as found,
            network(proxy=f"http://{user}127.0.0.1:{found.port}", verify=trusting()) as transport,
        ):
            await fetch(transport, ask(plain.port, "/forwarded?q=1", host="localhost"))
            await fetch(transport, ask(server.port, scheme="https", host="localhost"))
            (method, target, fields), (tunnel, authority_form, tunnel_fields) = found.asked
            assert (method, target) == ("GET", f"http://localhost:{plain.port}/forwarded?q=1")
            assert (tunnel, authority_form) == ("CONNECT", f"localhost:{server.port}")
            credentials = "basic " + base64.b64encode(b"name:pass word").decode().lower() if user else None
            for each in (fields, tunnel_fields):
                assert each.get("proxy-authorization") == credentials
            request = server.peers[0].requests[0]
            assert request.field(b"proxy-authorization") is None, "that is not for the origin"

    run(main())


@pytest.mark.parametrize(
    ("reply", "message", "status"),
    [
        (b"HTTP/1.1 407 No\r\nproxy-authenticate: basic\r\ncontent-length: 0\r\n\r\n", "asks for a name and pass", 407),
        (
            b"HTTP/1.1 403 No\r\ncontent-length: 4\r\n\r\nnope",
            "made no connection to localhost:9: it answered 403",
            403,
        ),
        (b"HTTP/1.1 200", "opened no tunnel", 0),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "opened no tunnel", 0),
    ],
)
def test_a_proxy_that_does_not_connect(run: Run, reply: bytes, message: str, status: int) -> None:
    async def refuse(found: TestProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.write_eof()
        await reader.read()

    async def main() -> None:
        async with proxy(refuse) as found, network(proxy=f"http://127.0.0.1:{found.port}") as transport:
            with pytest.raises(ProxyError, match=message) as caught:
                await transport.send(ask(9, scheme="https", host="localhost"))
            assert caught.value.status == status and caught.value.url == "https://localhost:9/"

    run(main())


def test_a_proxy_that_cannot_be_reached(run: Run) -> None:
    async def main() -> None:
        async with proxy(http_connect) as found:
            pass
        for scheme in ("http", "https", "socks5"):
            async with network(proxy=f"{scheme}://127.0.0.1:{found.port}") as transport:
                for origin in ("http", "https"):
                    with pytest.raises(ProxyError, match="connection refused"):
                        await transport.send(ask(9, scheme=origin, host="localhost"))

    run(main())


# -- SOCKS5


@pytest.mark.parametrize(("host", "kind"), [("localhost", 3), ("127.0.0.1", 1), ("::1", 4)])
def test_socks5_leaves_names_to_the_proxy(run: Run, host: str, kind: int) -> None:
    async def main() -> None:
        async with (
            listening("http/1.1", script=one_answer) as server,
            proxy(socks5, password=b"u:p") as found,
            network(proxy=f"socks5://u:p@127.0.0.1:{found.port}") as transport,
        ):
            assert await fetch(transport, ask(server.port, host=host)) == b"x"
            assert found.asked == [(kind, host, server.port)]

    run(main())


@pytest.mark.parametrize(
    ("user", "reply", "message"),
    [
        ("", b"", "asks for a name and password"),
        ("u:wrong@", b"", "does not accept the name and password"),
        ("", b"HT", "does not speak SOCKS5"),
        ("", b"\x05\x07", "asks for a name and password"),
        ("", b"\x05\x00\x05\x05\x00\x01", "made no connection to localhost:9: the connection was refused"),
        ("", b"\x05\x00\x05\x63\x00\x01", "reply 99"),
        ("", b"\x05\x00\x05\x00\x00\x07", "unknown kind 7"),
    ],
)
def test_a_socks_proxy_that_does_not_connect(run: Run, user: str, reply: bytes, message: str) -> None:
    async def main() -> None:
        async with (
            proxy(socks5, password=b"u:p", reply=reply) as found,
            network(proxy=f"socks5://{user}127.0.0.1:{found.port}") as transport,
        ):
            with pytest.raises(ProxyError, match=message):
                await transport.send(ask(9, host="localhost"))

    run(main())


def test_a_socks_proxy_that_goes_away(run: Run) -> None:
    async def go(found: TestProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)

    async def main() -> None:
        async with proxy(go) as found, network(proxy=f"socks5://127.0.0.1:{found.port}") as transport:
            with pytest.raises(ProxyError, match=r"ended the connection before|broke"):
                await transport.send(ask(9, host="localhost"))

    run(main())
