"""Try an installed headrace in a few seconds: `python smoke.py compiled` or `python smoke.py pure`.

It needs headrace with its extra dev-tls and nothing else, so a wheel can be tried in a bare environment. The argument
says how the engine must run. The script serves an application on loopback and calls it with the client: HTTP/1.1 and
HTTP/2, in cleartext and over TLS, with a body each way and a WebSocket, and then drains the server.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from headrace import Client, Config, Request, Response, Router, Server, WebSocket, WebSocketResponse
from headrace.engine.build import engine_is_compiled
from headrace.transport.tls import local_certificate

BODY = bytes(range(256)) * 2000  # more than the first window of a stream
PATIENCE_S = 60.0  # until a stuck try ends; emulated processors take most of it


async def echo(request: Request) -> Response:
    return Response(200, body=await request.read())


async def talk(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


def application() -> Router:
    app = Router()
    app.post("/echo")(echo)

    @app.get("/hello/{name}")
    async def hello(request: Request) -> Response:
        return Response.text(f"hello {request.params['name']}")

    @app.websocket("/talk")
    async def socket(request: Request) -> WebSocketResponse:
        return WebSocketResponse(talk)

    return app


async def call(url: str, version: str, verify: str | bool) -> None:
    """Use each service once at `url`, over one version of HTTP."""
    is_h2 = version == "2"
    async with Client(base_url=url, http1=not is_h2, http2=is_h2, verify=verify, trust_env=False) as client:
        answer = await client.get("/hello/wheel", params={"a": "ö"})
        assert (answer.status, answer.text, answer.http_version) == (200, "hello wheel", version), answer
        sent = await client.post("/echo", content=BODY)
        assert sent.content == BODY, f"{len(sent.content)} of {len(BODY)} bytes came back"
        assert (await client.get("/nowhere")).status == 404
        async with client.websocket("/talk") as ws:
            for message in ("text", b"bytes" * 5000):
                await ws.send(message)
                assert await ws.receive() == message


async def serve_and_call(certificate: Path) -> list[str]:
    """Return the combinations that were tried."""
    config = Config(bind="127.0.0.1:0", cleartext_bind="127.0.0.1:0", tls_cert=str(certificate))
    server = Server(application(), config)
    await server.start()
    tried = []
    for bind, address in server.addresses:
        scheme = "https" if bind.tls else "http"
        port = address.rpartition(":")[2]
        verify = str(certificate.with_name("localhost-ca.pem")) if bind.tls else True
        for version in ("1.1", "2"):
            await call(f"{scheme}://127.0.0.1:{port}", version, verify)
            tried.append(f"{scheme} with HTTP/{version}")
    server.begin_drain()
    await server.wait_closed()
    return tried


def command(*arguments: str) -> str:
    """Return the output of a headrace command."""
    done = subprocess.run([sys.executable, "-m", "headrace", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def main(wanted: str) -> None:
    said = command("--version")
    assert ("engine: compiled" in said) == engine_is_compiled() == (wanted == "compiled"), said
    loops: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if sys.platform != "win32" and sys.implementation.name == "cpython":
        import uvloop

        loops["uvloop"] = uvloop.new_event_loop
    with tempfile.TemporaryDirectory() as folder:
        certificate = local_certificate(Path(folder))
        for name, loop in loops.items():
            with asyncio.Runner(loop_factory=loop) as runner:
                tried = runner.run(asyncio.wait_for(serve_and_call(certificate), PATIENCE_S))
            print(f"{name}: {', '.join(tried)}")
    print(said.strip())


if __name__ == "__main__":
    if sys.argv[1:] not in (["compiled"], ["pure"]):
        sys.exit(f"python {sys.argv[0]} compiled|pure")
    main(sys.argv[1])
