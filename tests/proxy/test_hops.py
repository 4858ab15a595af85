"""How far a request goes: circles by `via`, `max-forwards`, and what neither route nor upstream may be led past."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import Route, Router
from headrace.proxy import ReverseProxy
from headrace.proxy.hops import has_passed
from headrace.proxy.target import leaves_its_base
from headrace.server.handlers.request import Request

from tests.proxy.conftest import Chain
from tests.proxy.test_reverse_proxy import mirror
from tests.support.process import free_port
from tests.support.serving import Run, port


@pytest.mark.parametrize(
    "value",
    [
        b"1.1 edge",
        b"1.1 EDGE",
        b"HTTP/1.1 edge",
        b"2 other, 1.1 edge",
        b"1.1 edge, 2 other",
        b"1.1\tedge (some \\) software, 2)",
        b"1.0 a (b (c), d) ,1.1  edge(x)",
        b"1.1 a, " * 101,  # nobody's way is that long
        b"1.1 a" + b"(" * 101,
        b"1.1 a" + b"\\a" * 101,
    ],
)
def test_a_request_that_has_passed(value: bytes) -> None:
    assert has_passed([(b"x", b"y"), (b"via", value)], "edge")
    assert has_passed([(b"via", b"1.1 first"), (b"via", value)], "Edge")


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"edge",
        b"1.1 edge-2",
        b"1.1 edge:80",
        b"1.1 other (1.1 edge)",
        b"1.1 other (a, 1.1 edge)",
        b"1.1 other (a \\) , 1.1 edge)",
        b"edge 1.1",
        b", ,",
        b"((((",
        b"1.1 a, " * 99 + b"1.1 b (c) \\(",
        b"1.1 other (never closed, 1.1 edge",
    ],
)
def test_a_request_that_has_not(value: bytes) -> None:
    assert not has_passed([(b"via", value), (b"x-via", b"1.1 edge")], "edge")


def test_a_request_that_goes_in_a_circle_is_508(run: Run, chain: Chain) -> None:
    """RFC 9110 §7.6.3, RFC 5842 §7.2: two proxies that lead to each other, else until all ports are taken."""

    async def main() -> None:
        first = free_port()
        async with (
            chain.to(first) as second,
            chain.to(port(second), listen=first) as server,
            chain.peer(server) as peer,
        ):
            answer = await peer.get("/")
            assert answer.status == 508
            answer = await peer.post("/", b"content")
            assert answer.status == 508

    run(main())


def test_proxies_behind_one_another_are_no_circle(run: Run, chain: Chain) -> None:
    async def main() -> None:
        async with (
            chain.proxied(mirror) as inner,
            chain.to(port(inner)) as middle,
            chain.to(port(middle)) as server,
            chain.peer(server) as peer,
        ):
            answer = await peer.get("/")
            assert answer.status == 200
            assert len({value for name, value in answer.headers if name == b"got-via"}) == 3

    run(main())


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a(b)", "é", "a/b"])
def test_a_name_that_via_cannot_have(name: str) -> None:
    with pytest.raises(ValueError, match="via"):
        ReverseProxy("http://127.0.0.1:1", via=name)


def test_max_forwards(run: Run, chain: Chain) -> None:
    """RFC 9110 §7.6.2: OPTIONS and TRACE at 0 are answered here, others go on with one less."""

    async def main() -> None:
        async with chain.proxied(mirror, via="edge") as server, chain.peer(server) as peer:
            for method, status in (("OPTIONS", 204), ("TRACE", 501)):
                for zero in ("0", "000"):
                    answer = await peer.get("/", method, [("max-forwards", zero)])
                    assert (answer.status, answer.header(b"x-target")) == (status, None)
                for given, left in (("1", b"0"), ("0010", b"9"), ("1000000000", b"999999999"), ("9" * 5_000, b"9" * 9)):
                    answer = await peer.get("/", method, [("max-forwards", given)])
                    assert (answer.status, answer.header(b"got-max-forwards")) == (200, left)
                for malformed in ("-1", "1.0", "a", "+1", "1, 1"):
                    assert (await peer.get("/", method, [("max-forwards", malformed)])).status == 400
                assert (await peer.get("/", method, [("max-forwards", "1"), ("max-forwards", "1")])).status == 400
                assert (await peer.get("/", method)).header(b"got-max-forwards") is None
            answer = await peer.get("/", "GET", [("max-forwards", "0")])
            assert (answer.status, answer.header(b"got-max-forwards")) == (200, b"0")

    run(main())


LEAVES = [
    "/public/../admin",
    "/public/..",
    "/public/./a",
    "/..",
    "/public/%2e%2e/admin",
    "/public/.%2E/admin",
    "/public/%2e/a",
    "/public/%252e%252e/admin",
    "/public/..%2fadmin",
    "/public/%2e%2e%2Fadmin",
    "/public/..%5cadmin",
    "/public/..\\admin",
    "/public\\..\\admin",
    "/public/..;/admin",
    "/public/..;a=b/admin",
    "/public/%2e%2e%3b/admin",
    "/public//../admin",
    "/public/%2%65%2%45/admin",
    "/public/%2%65./admin",
    "/public/.%%32e/admin",
    "/public%5c%2e%2E%5Cadmin",
    "/public%252f%252e%252E%252Fadmin",
    "/public/a/../../admin",
]
STAYS = [
    "/public/a",
    "/public/...",
    "/public/..a/a..",
    "/public/.well-known/x",
    "/public/a.b/.c",
    "/public//a",
    "//public/a",
    "/public/a%2fb",
    "/public/a%5Cb",
    "/public/a\\b",
    "/public/%20%25%2e%2ea",
    "/public/a;b=..",
    "/public/?a=../..",
    "/public/?%2e%2e/",
    "/public/%25252e%25252e/a",
    "/public/%",
    "/public/%zz.%2",
]


@pytest.mark.parametrize("path", LEAVES)
def test_a_path_that_leaves_its_base(path: str) -> None:
    assert leaves_its_base(path.encode())


@pytest.mark.parametrize("path", STAYS)
def test_a_path_that_stays(path: str) -> None:
    assert not leaves_its_base(path.partition("?")[0].encode())


def test_a_route_to_the_proxy_leads_nowhere_else(run: Run, chain: Chain) -> None:
    async def main() -> None:
        async with chain.upstream(mirror) as upstream:
            to = f"http://127.0.0.1:{port(upstream)}/base"
            async with ReverseProxy(to, transport=chain.transport()) as proxy:
                table = Router([Route("/public/{rest:path}", proxy, methods=None)])
                async with chain.front.serving(table) as server, chain.peer(server) as peer:
                    for path in LEAVES:
                        answer = await peer.get(path)
                        assert answer.status in (400, 404), path
                        assert answer.header(b"x-target") is None
                    for path in STAYS:
                        answer = await peer.get(path)
                        if answer.status != 404:  # the route's own to say
                            assert answer.header(b"x-target") == b"/base" + path.encode()

    run(main())


DENIED = [
    *("authorization", "cookie", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-client-cert", "forwarded"),
    *("x-real-ip", "x_forwarded_for", "content-type", "content-encoding", "cache-control", "range", "if-match", "via"),
    *("set-cookie", "location", "max-forwards", "proxy-authorization", "origin", "sec-fetch-site", "content_type"),
]
ALLOWED = ["x-checksum", "grpc-status", "grpc-message", "server-timing", "content-digest", "etag", "x_sum"]


def test_trailers_that_belong_before_the_content_stay_behind(run: Run, chain: Chain) -> None:
    """RFC 9110 §6.5.1: both ways; what is of the application goes on."""

    async def echo(request: Request) -> Any:
        from headrace.server.handlers.response import Send, StreamResponse

        await request.read()
        names = ",".join(name.decode() for name, _ in request.trailers)

        async def produce(send: Send) -> None:
            await send(names.encode())
            await send(end=True, trailers=[(name, "1") for name in DENIED + ALLOWED])

        return StreamResponse(200, (), produce)

    async def main() -> None:
        async with (
            chain.upstream(echo, underscore_fields=True) as upstream,
            ReverseProxy(f"http://127.0.0.1:{port(upstream)}", transport=chain.transport()) as proxy,
            chain.front.serving(proxy, underscore_fields=True) as server,
            chain.peer(server) as peer,
        ):
            number = await peer.open("/", "POST", [("te", "trailers")], end=False)
            await peer.finish(number, b"content", [(name, "1") for name in DENIED + ALLOWED])
            answer = await peer.over(number)
            assert answer.status == 200
            assert set(answer.body.decode().split(",")) == set(ALLOWED)
            assert {name.decode() for name, _ in answer.trailers or ()} == set(ALLOWED)

    run(main())


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("forwarded", ["x-forwarded", "forwarded", "none"])
def test_who_asked_is_said_by_us_alone(run: Run, chain: Chain, kept: bool, forwarded: Any) -> None:
    """Whatever the name: with underscores it would be the same variable of the upstream's application."""
    claims = ["x-forwarded-for", "x-forwarded-port", "x-forwarded-client-cert", "x-real-ip", "forwarded"]
    claims += [name.replace("-", "_") for name in claims] + ["x_forwarded-for", "X_FORWARDED_PROTO".lower()]
    claims += ["content_length", "transfer_encoding", "proxy_authorization"]

    async def main() -> None:
        async with (
            chain.upstream(mirror, underscore_fields=True) as upstream,
            ReverseProxy(
                f"http://127.0.0.1:{port(upstream)}", transport=chain.transport(), forwarded=forwarded
            ) as proxy,
            chain.front.serving(proxy, underscore_fields=kept) as server,
            chain.peer(server) as peer,
        ):
            answer = await peer.get("/", headers=[*((name, "evil") for name in set(claims)), ("x_own", "1")])
            assert answer.status == 200
            got = [(name, value) for name, value in answer.headers if name.startswith(b"got-")]
            assert not [name for name, value in got if b"evil" in value]
            assert ((b"got-x_own", b"1") in got) == kept

    run(main())
