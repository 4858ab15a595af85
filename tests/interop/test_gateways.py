"""Other people's gateways in front of ours and behind it: what they may say of a request, and where it may lead."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace import Request, Response, Route, Router
from headrace.proxy import ReverseProxy
from headrace.server.middleware import Forwarded, SecurityHeaders

from tests.conftest import need
from tests.interop.peers.servers import NGINX, Starter, program_of
from tests.support.process import free_port
from tests.support.serving import Run, port, run, serving

__all__ = ["run"]

pytestmark = [pytest.mark.tool, pytest.mark.slow]


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    found = Starter(tmp_path)
    try:
        yield found
    finally:
        found.stop()


async def output(*command: str) -> str:
    """What a program says on stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return said.decode("utf-8", "replace")


async def curl(url: str, *flags: str) -> str:
    """Head and content of an answer."""
    return await output(need("curl"), "-s", "-i", "-k", "--path-as-is", "--max-time", "20", *flags, url)


def tells_its_scheme(*middleware: Forwarded) -> Router:
    table = Router(middleware=[*middleware, SecurityHeaders(hsts_s=60)])
    table.get("/")(lambda request: Response.text(f"scheme {request.scheme}"))
    return table


HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend clear
  bind 127.0.0.1:{clear}
  default_backend ours
frontend secure
  bind 127.0.0.1:{secure} ssl crt {certificate} alpn h2,http/1.1
  default_backend ours
backend ours
  server one 127.0.0.1:{back} {options}
"""


@pytest.mark.parametrize("protocol", ["proto h2", ""])
@pytest.mark.parametrize(
    ("options", "setting", "told"),
    [
        ("", "off", False),
        ("send-proxy", "v1", False),  # which cannot say it
        ("send-proxy-v2", "v2", False),
        ("send-proxy-v2-ssl", "v2", True),
    ],
)
def test_haproxy_says_by_the_proxy_protocol_who_speaks_tls(
    run: Run, starter: Starter, options: str, setting: str, told: bool, protocol: str
) -> None:
    """Its `:scheme https` of a client over TLS is no reason to refuse a request, and none to believe it."""

    async def main() -> None:
        async with serving(tells_its_scheme(), proxy_protocol=setting) as server:
            clear, secure = free_port(), free_port()
            text = HAPROXY.format(
                clear=clear,
                secure=secure,
                back=port(server),
                options=f"{options} {protocol}",
                certificate=starter.certificate,
            )
            command = (program_of("haproxy"), "-db", "-q", "-f", starter.write("haproxy.cfg", text))
            await asyncio.to_thread(starter.start, *command, listens=(clear, secure))
            for flags in (("--http1.1",), ("--http2",)):
                answer = await curl(f"https://127.0.0.1:{secure}/", *flags)
                assert answer.endswith(f"scheme {'https' if told else 'http'}"), answer
                assert ("strict-transport-security" in answer) == told
            answer = await curl(f"http://127.0.0.1:{clear}/")
            assert answer.endswith("scheme http"), answer
            assert "strict-transport-security" not in answer

    run(main())


@pytest.mark.parametrize("trusted", [False, True])
def test_nghttpx_in_front_is_believed_where_it_is_trusted(run: Run, starter: Starter, trusted: bool) -> None:
    async def main() -> None:
        middleware = [Forwarded(["127.0.0.0/8"])] if trusted else []
        async with serving(tells_its_scheme(*middleware)) as server:
            secure = free_port()
            await asyncio.to_thread(
                starter.start,
                *(need("nghttpx"), "--conf=/dev/null", "--workers=1", "--errorlog-file=/dev/null", "--accesslog-file="),
                *(f"-f127.0.0.1,{secure}", f"-b127.0.0.1,{port(server)};;proto=h2", "--add-x-forwarded-for"),
                *(str(starter.certificate), str(starter.certificate)),
                listens=(secure,),
            )
            answer = await curl(f"https://127.0.0.1:{secure}/", "--http2")
            assert answer.endswith("scheme https" if trusted else "scheme http"), answer
            assert ("strict-transport-security" in answer) == trusted

    run(main())


def test_a_circle_through_nginx_ends_at_once(run: Run, starter: Starter) -> None:
    """RFC 9110 §7.6.3: it hands `via` on, and we find our name in it."""

    async def main() -> None:
        ours, theirs = free_port(), free_port()
        text = NGINX.format(
            user="user root root;" if os.getuid() == 0 else "",
            folder=starter.folder,
            certificate=starter.certificate,
            h2c=free_port(),
            secure=free_port(),
            h1=theirs,
        )
        (starter.folder / "files").mkdir()
        text = text.replace(
            "location = /hello", f"location = /circle {{ proxy_pass http://127.0.0.1:{ours}; }} location = /hello"
        )
        command = (program_of("nginx"), "-e", str(starter.folder / "nginx.log"), "-c", starter.write("n.conf", text))
        await asyncio.to_thread(starter.start, *command, listens=(theirs,))
        asked = 0

        async with ReverseProxy(f"http://127.0.0.1:{theirs}") as proxy:

            async def app(request: Request) -> Response:
                nonlocal asked
                asked += 1
                return await proxy(request)  # type: ignore[return-value]

            async with serving(app, bind=f"127.0.0.1:{ours}"):
                answer = await curl(f"http://127.0.0.1:{ours}/circle")
                assert answer.startswith("HTTP/1.1 508"), answer
                assert asked == 2
                assert (await curl(f"http://127.0.0.1:{ours}/hello")).endswith("hello")

    run(main())


def test_curl_does_not_get_out_of_a_route(run: Run) -> None:
    async def upstream(request: Request) -> Response:
        return Response.text(f"upstream {request.path}")

    async def main() -> None:
        async with serving(upstream) as behind, ReverseProxy(f"http://127.0.0.1:{port(behind)}/base") as proxy:
            table = Router([Route("/public/{rest:path}", proxy, methods=None)])
            async with serving(table) as server:
                base = f"http://127.0.0.1:{port(server)}"
                for flags in ((), ("--http2-prior-knowledge",)):
                    assert (await curl(f"{base}/public/a", *flags)).endswith("upstream /base/public/a")
                    for path in ("/public/../admin", "/public/%2e%2e/admin", "/public/..%2fadmin", "/public/..;/admin"):
                        answer = await curl(base + path, *flags)
                        assert " 400" in answer.partition("\n")[0], answer
                        assert "upstream" not in answer

    run(main())


@pytest.mark.parametrize(
    ("offered", "expected"), [("foo", "alert number 120"), ("foo,http/1.1", "ALPN protocol: http/1.1")]
)
def test_openssl_is_told_that_there_is_no_common_protocol(
    run: Run, starter: Starter, offered: str, expected: str
) -> None:
    """RFC 7301 §3.2."""

    async def main() -> None:
        async with serving(tells_its_scheme(), tls_cert=str(starter.certificate)) as server:
            said = await output(need("openssl"), "s_client", "-connect", f"127.0.0.1:{port(server)}", "-alpn", offered)
            assert expected in said, said

    run(main())
