"""What a caller of the client gets is its own: it breaks all of it, and the next equal request goes out, and its
response comes in, as with a fresh client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.client import Client, StreamReset, TruncatedBody
from headrace.client.connect.config import NetworkConfig
from headrace.client.interface import Origin, Outgoing
from headrace.client.pool.network import NetworkTransport
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, StreamResponse
from headrace.transport.tls import local_certificate

from tests.isolation.heads.vandal import MARK, picture, vandalize
from tests.support.serving import Run, port, serving

TIMES = 6
# What differs in an honest way: time, and which connection and stream it was.
OTHERS = frozenset({"stream_id", "peer", "local", "date"})


async def app(request: Request) -> Any:
    """Says what it was asked, so that a request that is not like the others is seen."""
    await request.early_hints([(b"link", b"</a>; rel=preload")])
    if request.path == "/redirect":
        return Response(302, [(b"location", b"/"), (b"x-a", b"1")], b"")
    fields = sorted(request.headers)

    async def producer(send: Any) -> None:
        await send(repr(fields).encode())
        if request.path == "/cut":
            raise RuntimeError("as it was asked to")
        await send(end=True, trailers=[(b"x-trailer", b"the end")])

    return StreamResponse(200, [(b"x-a", b"1"), (b"link", b"</b>; rel=next"), (b"date", b"now")], producer)


def told_by(told: list[Any]) -> Callable[[int, Any], None]:
    """A callback that keeps what it is told."""

    def tell(status: int, headers: Any) -> None:
        told.append((status, headers))

    return tell


def parts_of(response: Any) -> list[Any]:
    """All that can be asked of a response, and what is below it."""
    return [
        response.status,
        response.content,
        {name: value for name, value in response.headers.items() if name != "date"},
        [pair for pair in response.headers.raw if pair[0] != b"date"],
        response.trailers.raw,
        [(status, headers.raw) for status, headers in response.informational],
        [headers.raw for headers in response.early_hints],
        response.info,
        response.links,
        dict(response.cookies),
        response.request.headers.raw,
        response.request.extensions,
        [pair for pair in response._incoming.head.headers if pair[0] != b"date"],
        response._incoming.trailers,
        [parts_of(each) for each in response.history],
    ]


def break_all(response: Any) -> None:
    """Change all of it, by its methods and below them."""
    for headers in (response.headers, response.trailers, response.request.headers, *response.early_hints):
        headers["x-vandal"] = "was here"
        headers["x-a"] = "vandal"
        headers._pairs.append((b"x-vandal", b"was here"))
        vandalize(headers._pairs)
    for _, headers in response.informational:
        headers["link"] = "vandal"
        vandalize(headers._pairs)
    vandalize([response._incoming.head.headers, response._incoming.trailers, response.info, response.informational])
    vandalize(response.request.extensions)
    vandalize([response.links, response.headers.raw, response.trailers.raw, response.request.headers.raw])
    response.cookies.set("vandal", "was here")
    for each in response.history:
        break_all(each)
    response.history.append(MARK)


async def ask(version: str, server_port: int, path: str, verify: Any, times: int) -> list[Any]:
    """Pictures of responses to equal requests over one connection."""
    network = NetworkTransport(NetworkConfig(http1=version == "1.1", http2=version == "2", verify=verify))
    scheme = "https" if isinstance(verify, str) else "http"
    seen: list[Any] = []
    async with Client(transport=network, headers={"x-own": "default"}) as client:
        for _ in range(times):
            told: list[Any] = []
            mine = {"x-user": "alice"}
            response: Any = await client.get(
                f"{scheme}://localhost:{server_port}{path}",
                headers=mine,
                follow_redirects=True,
                on_informational=told_by(told),
            )
            seen.append(picture([*parts_of(response), [(status, each.raw) for status, each in told], mine], OTHERS))
            break_all(response)
            for _, headers in told:
                vandalize(headers._pairs)
            mine["x-vandal"] = "was here"
        assert len(network.links) == 1
    return seen


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("path", ["/", "/redirect"])
@pytest.mark.parametrize("is_tls", [False, True])
def test_nothing_of_a_broken_response_is_seen_in_the_next(
    run: Run, tmp_path: Path, version: str, path: str, is_tls: bool
) -> None:
    local_certificate(tmp_path)

    async def main() -> None:
        settings: dict[str, Any] = {"tls_cert": str(tmp_path / "localhost.pem")} if is_tls else {}
        verify: Any = str(tmp_path / "localhost-ca.pem") if is_tls else True
        async with serving(app, **settings) as server:
            (fresh,) = await ask(version, port(server), path, verify, 1)
            assert "x-vandal" not in repr(fresh) and "x-trailer" in repr(fresh) and "preload" in repr(fresh)
            for _ in range(2):
                assert await ask(version, port(server), path, verify, TIMES) == [fresh] * TIMES

    run(main())


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_nor_below_the_client(run: Run, version: str) -> None:
    """A transport's own lists: heads, trailers, informational responses, and the heads that errors carry."""

    async def main() -> None:
        async with serving(app) as server:
            network = NetworkTransport(NetworkConfig(http1=version == "1.1", http2=version == "2"))
            origin = Origin("http", "localhost", port(server))
            seen: list[Any] = []
            heads: list[Any] = []
            for _ in range(TIMES):
                told: list[Any] = []
                outgoing = Outgoing(
                    b"GET",
                    origin,
                    b"localhost",
                    b"/",
                    [(b"x-user", b"alice")],
                    on_informational=told_by(told),
                )
                incoming = await network.send(outgoing, whole=True)
                content = await incoming.read()
                seen.append(picture([incoming.head, content, incoming.trailers, incoming.info, told], OTHERS))
                vandalize([incoming.head, incoming.trailers, incoming.info, told, outgoing.headers])
            for _ in range(TIMES):
                cut = Outgoing(b"GET", origin, b"localhost", b"/cut", [(b"x-user", b"alice")])
                with pytest.raises((StreamReset, TruncatedBody)) as caught:
                    await network.send(cut, whole=True)
                heads.append(picture(caught.value.head))
                vandalize(caught.value.head)
            await network.aclose()
            assert seen == [seen[0]] * TIMES
            assert heads == [heads[0]] * TIMES and heads[0] is not None

    run(main())


def test_a_caller_that_breaks_its_own_list_harms_nobody_else(run: Run) -> None:
    """Two callers at once on one connection: what one does to its response, the other never sees."""

    async def main() -> None:
        async with serving(app) as server:
            network = NetworkTransport(NetworkConfig(http1=False))
            async with Client(transport=network) as client:
                url = f"http://localhost:{port(server)}/"
                await client.get(url)

                async def vandal() -> None:
                    for _ in range(20):
                        break_all(await client.get(url))

                async def other() -> None:
                    for _ in range(20):
                        response = await client.get(url)
                        await asyncio.sleep(0)
                        assert "vandal" not in repr(parts_of(response))

                await asyncio.gather(vandal(), other(), vandal(), other())

    run(main())
