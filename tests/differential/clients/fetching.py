"""Plays sessions to headrace's client, to curl and to Go's: each asks twice, the second time once the script is over.

What came of the first request is told in a line: statuses, content, the field `x` and the trailer `x-t`; or `error`; or
`waits`, when nothing came for LIMIT_S.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from headrace.client import Client, NetworkConfig, RequestError, RequestTimeout

from tests.conftest import need
from tests.differential.clients.scripted import Scripted
from tests.differential.clients.session import Session
from tests.differential.peers.running import go_program

LIMIT_S = 4.0
"""Time that a client waits for a response: only for those that never come."""
AT_ONCE = 16
CLIENTS = ("go", "curl")


class Gate:
    """Answers a request for /NAME once the script of that session is over."""

    def __init__(self, servers: Mapping[str, Scripted]) -> None:
        numbered = list(servers.values())

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                numbered[int(self.path[1:])].done.wait(3 * LIMIT_S)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Job:
    """One session's place: what a client needs to know."""

    def __init__(self, played: Session, server: Scripted, gate: str) -> None:
        self.name = played.name
        self.method = played.method
        self.upload = played.upload
        self.http2 = played.http2
        self.url = f"http://127.0.0.1:{server.port}"
        self.gate = gate


@contextlib.contextmanager
def scripted(sessions: Sequence[Session], *, pings: bool) -> Iterator[tuple[dict[str, Scripted], list[Job]]]:
    """Run the servers of all sessions."""
    servers = {each.name: Scripted(each, pings=pings) for each in sessions}
    gate = Gate(servers)
    try:
        jobs = [Job(each, servers[each.name], f"{gate.url}/{at}") for at, each in enumerate(sessions)]
        yield servers, jobs
    finally:
        gate.close()
        for each in servers.values():
            each.close()


def outcomes(client: str, sessions: Sequence[Session], folder: Path) -> dict[str, str]:
    """Play sessions to a client; a line for each."""
    play = {"headrace": by_headrace, "go": by_go, "curl": by_curl}[client]
    with scripted(sessions, pings=client != "curl") as (servers, jobs):
        first = play(jobs, folder)
    return {name: f"{first[name]}; {server.told}" for name, server in servers.items()}


def without_goaway(outcome: str) -> str:
    """An outcome without the code of GOAWAY: Go and curl send one, but close before it is certain to leave."""
    return re.sub(r"GOAWAY \w+; ", "", outcome)


def by_headrace(jobs: Sequence[Job], folder: Path) -> dict[str, str]:
    """Ours, in this process."""

    async def ask(client: Client, method: str, url: str, upload: int) -> str:
        parts: list[str] = []
        content = bytes(upload) if upload else None
        options: dict[str, Any] = {"on_informational": lambda status, _: parts.append(str(status))}
        try:
            async with client.stream(method, url, content=content, **options) as response:
                body = b"".join([piece async for piece in response.iter_raw()])
        except RequestTimeout:
            return "waits"
        except RequestError:
            return "error"
        parts.append(str(response.status))
        found = [(name, value) for name, value in response.headers.multi_items() if name == "x"]
        trailers = [(name, value) for name, value in (response.trailers or {}).items() if name == "x-t"]
        return line(parts, body, [value for _, value in found], [value for _, value in trailers])

    async def one(job: Job, places: asyncio.Semaphore) -> str:
        network = NetworkConfig(http1=not job.http2, http2=job.http2, trust_env=False)
        async with places, Client(network=network, timeout=LIMIT_S, follow_redirects=False) as client:
            first = await ask(client, job.method, f"{job.url}/", job.upload)
            if first == "waits":
                return first
            async with Client(network=NetworkConfig(trust_env=False), timeout=None) as other:
                await other.get(job.gate)
            await ask(client, "GET", f"{job.url}/next", 0)
        return first

    async def main() -> dict[str, str]:
        places = asyncio.Semaphore(AT_ONCE)
        return dict(
            zip((job.name for job in jobs), await asyncio.gather(*(one(job, places) for job in jobs)), strict=True)
        )

    return asyncio.run(main())


def line(statuses: list[str], body: bytes, x: list[str], x_t: list[str]) -> str:
    parts = [*statuses, *([body.decode("latin-1")] if body else [])]
    parts += [f"x={'|'.join(x)}"[:40]] if x else []
    parts += [f"x-t={'|'.join(x_t)}"] if x_t else []
    return " ".join(parts)


def by_go(jobs: Sequence[Job], folder: Path) -> dict[str, str]:
    """Go's net/http, in one process."""
    keys = {"name": "Name", "url": "URL", "gate": "Gate", "method": "Method", "upload": "Upload", "http2": "HTTP2"}
    lines = [json.dumps({keys[k]: v for k, v in vars(job).items()} | {"Limit": LIMIT_S}) for job in jobs]
    done = subprocess.run(
        [go_program(folder), "fetch"], input="\n".join(lines).encode(), capture_output=True, check=True, timeout=60
    )
    found = [json.loads(each) for each in done.stdout.decode("utf-8", "surrogateescape").splitlines()]
    return {each["name"]: each["first"] for each in found}


def by_curl(jobs: Sequence[Job], folder: Path) -> dict[str, str]:
    """curl, a process for each session."""
    program = need("curl")

    def one(numbered: tuple[int, Job]) -> str:
        number, job = numbered
        head, body = folder / f"{number}.head", folder / f"{number}.body"
        version = "--http2-prior-knowledge" if job.http2 else "--http1.1"
        common = ["-sS", version, "--noproxy", "*", "--max-time", str(LIMIT_S), "-w", "%{exitcode}\n"]
        request = ["-I"] if job.method == "HEAD" else []
        if job.upload:
            (folder / f"{number}.upload").write_bytes(bytes(job.upload))
            request = ["-H", "Expect:", "--data-binary", f"@{folder / f'{number}.upload'}"]
        command = [program, "-q", *common, *request, "-D", str(head), "-o", str(body), f"{job.url}/"]
        command += ["--next", "-sS", "--noproxy", "*", "-o", "/dev/null", job.gate]
        if job.http2:  # with prior knowledge, curl 7.88 cannot use a connection again
            common[1] = "--http2"
        command += ["--next", *common, "-o", "/dev/null", f"{job.url}/next"]
        done = subprocess.run(command, capture_output=True, timeout=60)
        code = done.stdout.split(b"\n")[0]
        if code != b"0":
            return "waits" if code == b"28" else "error"
        return curl_line(head.read_bytes(), body.read_bytes() if body.exists() and job.method != "HEAD" else b"")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip((job.name for job in jobs), pool.map(one, enumerate(jobs)), strict=True))


def curl_line(head: bytes, body: bytes) -> str:
    """What curl has written with -D: heads, and behind the last empty line the trailers."""
    statuses: list[str] = []
    x: list[str] = []
    x_t: list[str] = []
    for each in re.split(rb"\r?\n(?![ \t])", head):  # curl writes folded lines as they came
        if found := re.match(rb"HTTP/[\d.]+ +(\d+)", each):
            statuses.append(found[1].decode())
        name, colon, value = each.partition(b":")
        if colon and name.lower() in (b"x", b"x-t"):
            value = re.sub(rb"[ \t]*\r?\n[ \t]+", b" ", value.strip(b" \t"))
            (x if name.lower() == b"x" else x_t).append(value.decode("latin-1"))
    return line(statuses, body, x, x_t)
