"""Servers of the garden that run as processes: those of Python, Node, Go, and nginx and HAProxy as proxies.

Each answers with the field `x-report`, see `inside.read_reports`. Behind the proxies stands Node's server, so
that what it sees is what they made of the bytes. A peer that is not installed is left out. `GARDEN_BIN` is a
folder of programs to look in first, such as a virtual environment's `bin`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.conformance.garden.inside import Reading, read_reports
from tests.conftest import ROOT
from tests.support.process import free_port

QUIET_S = 0.6  # so long without a byte, and a server has said all that it will
AT_ONCE = 16
START_LIMIT_S = 60.0
APP = "tests.conformance.garden.app:report"

AIOHTTP = """
import asyncio, sys
from aiohttp import web

async def report(request):
    content = await request.read()
    target = request.raw_path.encode("utf-8", "surrogateescape").hex()
    field = f"{request.method} /{target} .{content.hex()}"
    return web.Response(status=404 if request.method == "CONNECT" else 200, text=".", headers={"x-report": field})

async def main():
    runner = web.ServerRunner(web.Server(report))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()

asyncio.run(main())
"""

WSGI = """
def report(environ, start_response):
    content = environ["wsgi.input"].read()
    target = environ["RAW_URI"].encode("latin-1")
    field = f"{environ['REQUEST_METHOD']} /{target.hex()} .{content.hex()}"
    start_response("200 OK", [("x-report", field), ("content-length", "1")])
    return [b"."]
"""

NODE = """
const http = require("http");
const server = http.createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const target = Buffer.from(request.url, "latin1").toString("hex");
    response.setHeader("x-report", `${request.method} /${target} .${Buffer.concat(pieces).toString("hex")}`);
    response.end(".");
  });
});
server.listen(Number(process.argv[2]), "127.0.0.1");
"""

GO = """
package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "", 400)
			return
		}
		target := hex.EncodeToString([]byte(r.RequestURI))
		w.Header().Set("x-report", fmt.Sprintf("%s /%s .%s", r.Method, target, hex.EncodeToString(content)))
		w.Write([]byte("."))
	}))
}
"""

NGINX = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  large_client_header_buffers 4 16k;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{back}; proxy_http_version 1.1; }} }}
}}
"""

HAPROXY = """
global
  maxconn 500
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen all
  bind 127.0.0.1:{port}
  server s 127.0.0.1:{back}
"""

Start = Callable[[Path, int, int], Sequence[str] | None]


def program(name: str) -> str | None:
    """A program's path: from `GARDEN_BIN`, beside this Python, or from the usual places."""
    places = (os.environ.get("GARDEN_BIN"), os.path.dirname(sys.executable), None)
    return next((found for place in places if (found := shutil.which(name, path=place))), None)


def command(name: str, *arguments: str) -> Sequence[str] | None:
    found = program(name)
    return None if found is None else [found, *arguments]


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def aiohttp(folder: Path, port: int, back: int) -> Sequence[str] | None:
    python = os.path.join(os.environ.get("GARDEN_BIN", os.path.dirname(sys.executable)), "python")
    has_it = subprocess.run([python, "-c", "import aiohttp"], capture_output=True, check=False).returncode == 0
    return [python, written(folder / "aio.py", AIOHTTP), str(port)] if has_it else None


def go(folder: Path, port: int, back: int) -> Sequence[str] | None:
    found = program("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        return None
    built = str(folder / "go-server")
    subprocess.run([found, "build", "-o", built, written(folder / "main.go", GO)], check=True, cwd=folder)
    return [built, str(port)]


def node(folder: Path, port: int, back: int) -> Sequence[str] | None:
    return command("node", written(folder / "server.js", NODE), str(port))


def gunicorn(folder: Path, port: int, back: int) -> Sequence[str] | None:
    written(folder / "garden_wsgi.py", WSGI)
    threads = ("-k", "gthread", "--threads", "16", "--keep-alive", "20", "--log-level", "critical")
    return command("gunicorn", "-b", f"127.0.0.1:{port}", *threads, "--chdir", str(folder), "garden_wsgi:report")


def nginx(folder: Path, port: int, back: int) -> Sequence[str] | None:
    text = NGINX.format(folder=folder, port=port, back=back)
    found = program("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        return None
    return [found, "-e", str(folder / "nginx.log"), "-c", written(folder / "nginx.conf", text)]


def haproxy(folder: Path, port: int, back: int) -> Sequence[str] | None:
    text = HAPROXY.format(port=port, back=back)
    found = program("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    return None if found is None else [found, "-db", "-f", written(folder / "haproxy.cfg", text)]


PEERS: dict[str, Start] = {
    # Ours once more, with all that stands around the engine.
    "headrace-served": lambda _, port, __: [
        *(sys.executable, "-m", "headrace", "serve", APP, "--app-dir", str(ROOT), "--bind", f"127.0.0.1:{port}")
    ],
    "hypercorn": lambda _, port, __: command("hypercorn", APP, "-b", f"127.0.0.1:{port}", "--log-level", "CRITICAL"),
    "granian": lambda _, port, __: command(
        "granian", "--interface", "asginl", "--port", str(port), "--log-level", "critical", APP
    ),
    "gunicorn": gunicorn,
    "aiohttp": aiohttp,
    "node": node,
    "go": go,
    "nginx": nginx,
    "haproxy": haproxy,
}


@contextlib.contextmanager
def running(name: str, folder: Path, back: int) -> Iterator[int | None]:
    """A peer's port, None when it is not installed."""
    port = free_port()
    arguments = PEERS[name](folder, port, back)
    if arguments is None:
        yield None
        return
    path = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log, env=environment)
    try:
        wait_for(port, process, folder / f"{name}.log")
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"it does not listen; its log:\n{log.read_text()}")


async def ask(port: int, data: bytes) -> Reading:
    """Send bytes, and read until the server has ended or says nothing any more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    ended = False
    try:
        writer.write(data)
        while True:
            more = await asyncio.wait_for(reader.read(65_536), QUIET_S)
            if not more:
                ended = True
                break
            got += more
    except TimeoutError:
        pass
    except OSError:
        ended = True
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return read_reports(got, ended)


async def ask_all(port: int, inputs: Mapping[str, bytes]) -> dict[str, Reading]:
    places = asyncio.Semaphore(AT_ONCE)

    async def one(data: bytes) -> Reading:
        async with places:
            return await ask(port, data)

    return dict(zip(inputs, await asyncio.gather(*(one(data) for data in inputs.values())), strict=True))


def read(inputs: Mapping[str, bytes], wanted: Sequence[str] = ()) -> dict[str, dict[str, Reading]]:
    """The readings of the peers that are installed, or of those that are wanted."""
    readings: dict[str, dict[str, Reading]] = {}
    with tempfile.TemporaryDirectory(prefix="headrace-garden-") as name, running("node", Path(name), 0) as back:
        for peer in PEERS:
            if wanted and peer not in wanted:
                continue
            with running(peer, Path(name), back or 0) as port:
                if port is None:
                    print(f"{peer} is not installed", file=sys.stderr)
                else:
                    readings[peer] = asyncio.run(ask_all(port, inputs))
    return readings
