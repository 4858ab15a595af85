"""Runs our WebSocket client against Autobahn|Testsuite's fuzzing server, over HTTP/1.1, or over HTTP/2 through HAProxy.

The server speaks HTTP/1.1 alone; HAProxy in front of it takes WebSockets over HTTP/2 (RFC 8441), and changes the host,
as the server wants to see its own port there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from headrace.client import Client
from headrace.client.connect.config import NetworkConfig
from headrace.websocket.connection import WebSocket
from headrace.websocket.tunnel import WebSocketClosed

from tests.conformance.autobahn import AGENT, LIMIT_S, Report, wait_open, wstest
from tests.conftest import need
from tests.support.process import free_port

LARGEST = 64 * 1024 * 1024
CASE_S = 120.0

HAPROXY = """
global
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  timeout tunnel 1h
frontend in
  bind 127.0.0.1:{front} proto h2
  http-request set-header host 127.0.0.1:{back}
  default_backend out
backend out
  server s 127.0.0.1:{back}
"""

Behave = Callable[[WebSocket], Awaitable[object]]


async def echo(ws: WebSocket) -> None:
    """What the fuzzing server expects of a client."""
    async for message in ws:
        await ws.send(message)


def run(over: str, cases: Sequence[str], behave: Behave = echo) -> Report:
    """Every case of `cases`, `over` h1 or h2."""
    program = wstest()
    with tempfile.TemporaryDirectory(prefix="autobahn-") as folder, _fuzzing_server(program, folder, cases) as back:
        if over == "h1":
            asyncio.run(_run_cases(back, NetworkConfig(http2=False), behave))
        else:
            with _haproxy(folder, back) as front:
                asyncio.run(_run_cases(front, NetworkConfig(http1=False), behave))
        found = json.loads(Path(folder, "report/index.json").read_text())[AGENT]
    return Report(
        {case: each["behavior"] for case, each in found.items()},
        {case: each["behaviorClose"] for case, each in found.items()},
    )


async def _run_cases(port: int, network: NetworkConfig, behave: Behave) -> None:
    url = f"ws://127.0.0.1:{port}"
    async with Client(network=network) as client:
        async with client.websocket(f"{url}/getCaseCount") as ws:
            count = int(await ws.receive())
        for number in range(1, count + 1):
            async with asyncio.timeout(CASE_S):
                path = f"{url}/runCase?case={number}&agent={AGENT}"
                async with client.websocket(path, max_message_size=LARGEST, close_timeout_s=2.0) as ws:
                    with contextlib.suppress(WebSocketClosed):
                        await behave(ws)
        async with client.websocket(f"{url}/updateReports?agent={AGENT}") as ws:
            with contextlib.suppress(WebSocketClosed):
                await ws.receive()


@contextlib.contextmanager
def _fuzzing_server(program: str, folder: str, cases: Sequence[str]) -> Iterator[int]:
    port = free_port()
    spec = Path(folder, "fuzzingserver.json")
    spec.write_text(
        json.dumps(
            {
                "url": f"ws://127.0.0.1:{port}",
                "outdir": folder + "/report",
                "cases": list(cases),
                "exclude-cases": [],
                "exclude-agent-cases": {},
            }
        )
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with _running([program, "-m", "fuzzingserver", "-u", "0", "-s", str(spec)], port, folder, environment):
        yield port


@contextlib.contextmanager
def _haproxy(folder: str, back: int) -> Iterator[int]:
    front = free_port()
    config = Path(folder, "haproxy.cfg")
    config.write_text(HAPROXY.format(front=front, back=back))
    with _running([need("haproxy"), "-db", "-f", str(config)], front, folder, dict(os.environ)):
        yield front


@contextlib.contextmanager
def _running(command: list[str], port: int, folder: str, environment: dict[str, str]) -> Iterator[None]:
    path = Path(folder, f"log-{port}")
    with path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        wait_open(port, process, path)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


if __name__ == "__main__":
    import sys

    start = time.monotonic()
    report = run(sys.argv[1], sys.argv[2:] or ["1.*"])
    print({verdict: len(report.cases(verdict)) for verdict in ("OK", "NON-STRICT", "INFORMATIONAL", "FAILED")})
    print("FAILED:", report.cases("FAILED", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT"))
    print(f"{len(report.behavior)} cases in {time.monotonic() - start:.0f} s, of {LIMIT_S:g} s at most")
