"""How each peer is started, and what it offers."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.client.support.network_rig import authority
from tests.conftest import ROOT, need
from tests.interop.peers.app import BLOCK
from tests.support.process import free_port

HERE = Path(__file__).parent
START_LIMIT_S = 90.0  # Go builds its library first, where it has not yet

H2C, H2, H1, H1S = "HTTP/2", "HTTP/2 over TLS", "HTTP/1.1", "HTTP/1.1 over TLS"
WIRES = (H2C, H2, H1, H1S)
SMALL, LARGE = 160, 1_600  # blocks: 10 MiB, 100 MiB


@dataclass
class Running:
    """A peer that runs: the port of each wire that it offers."""

    ports: dict[str, int]
    upload: str = "/up"
    """Where an upload gets its size and digest as an answer; "" where it comes back itself."""


class Starter:
    """Starts processes in a folder, and ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "certificate.pem"
        issued = authority().issue_cert("localhost", "127.0.0.1")
        self.certificate.write_bytes(
            issued.private_key_pem.bytes() + b"".join(each.bytes() for each in issued.cert_chain_pems)
        )
        self.processes: list[subprocess.Popen[bytes]] = []

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def start(self, *command: str, says_ports: bool = False, listens: tuple[int, ...] = ()) -> list[int]:
        """Start a process and wait until it listens, or says the ports that it has chosen itself."""
        log = self.folder / f"{len(self.processes)}.log"
        path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": path}
            )
        self.processes.append(process)
        end = time.monotonic() + START_LIMIT_S
        while time.monotonic() < end and process.poll() is None:
            if says_ports:
                if log.read_bytes().endswith(b"\n"):
                    return [int(port) for port in log.read_text().split()]
            elif all(map(answers, listens)):
                return list(listens)
            time.sleep(0.02)
        raise RuntimeError(f"{command[0]} did not start:\n{log.read_text()}")

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def program_of(name: str) -> str:
    """Where a server is; not everybody has /usr/sbin in PATH."""
    return shutil.which(name, path="/usr/sbin") or need(name)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def write_files(folder: Path) -> None:
    """What peers serve that cannot make it up."""
    (folder / "down").mkdir(parents=True)
    (folder / "hello").write_text("hello")
    (folder / "trailers").write_text("content")
    for blocks in (SMALL, LARGE):
        with (folder / "down" / str(blocks)).open("wb") as file:
            for _ in range(blocks):
                file.write(BLOCK)


def headrace(starter: Starter) -> Running:
    cleartext, secure = free_port(), free_port()
    starter.start(
        *(sys.executable, "-m", "headrace", "serve", "tests.interop.peers.app:app", "--app-dir", str(ROOT)),
        *("--bind", f"127.0.0.1:{secure}", "--cleartext-bind", f"127.0.0.1:{cleartext}", "--no-access-log"),
        *("--tls-cert", str(starter.certificate), "--max-concurrent-streams", "1000"),
        listens=(cleartext, secure),
    )
    return Running({H2C: cleartext, H2: secure, H1: cleartext, H1S: secure})


def hypercorn(starter: Starter) -> Running:
    cleartext, secure = free_port(), free_port()
    config = starter.write(
        "hypercorn.toml",
        f'bind = ["127.0.0.1:{secure}"]\ninsecure_bind = ["127.0.0.1:{cleartext}"]\n'
        f'certfile = "{starter.certificate}"\nkeyfile = "{starter.certificate}"\nloglevel = "CRITICAL"\n'
        "keep_alive_max_requests = 100000\n",  # after 1,000 it goes away, and drops what it has begun
    )
    starter.start(
        *(sys.executable, "-m", "hypercorn", "--config", config, "tests.interop.peers.app:app"),
        listens=(cleartext, secure),
    )
    return Running({H2C: cleartext, H2: secure, H1: cleartext, H1S: secure})


def node(starter: Starter) -> Running:
    ports = starter.start(need("node"), str(HERE / "server.js"), str(starter.certificate), says_ports=True)
    return Running({H2C: ports[0], H2: ports[1], H1: ports[2], H1S: ports[1]})


def go(starter: Starter) -> Running:
    built = str(starter.folder / "peer")
    subprocess.run([need("go"), "build", "-o", built, "."], check=True, cwd=HERE / "go")
    ports = starter.start(built, str(starter.certificate), says_ports=True)
    wires = {H2C: ports[0], H2: ports[1], H1: ports[2], H1S: ports[1]}
    return Running({wire: port for wire, port in wires.items() if port})


def nghttpd(starter: Starter) -> Running:
    program = program_of("nghttpd")
    files = starter.folder / "files"
    write_files(files)
    cleartext, secure = free_port(), free_port()
    flags = ("-d", str(files), "-m", "1000", "--trailer", "x-checksum: 7", "--echo-upload")
    pem = str(starter.certificate)
    starter.start(program, *flags, "--no-tls", str(cleartext), listens=(cleartext,))
    starter.start(program, *flags, str(secure), pem, pem, listens=(secure,))
    return Running({H2C: cleartext, H2: secure}, upload="")


NGINX = """
daemon off; {user} pid {folder}/nginx.pid; worker_processes 1; error_log {folder}/nginx.log;
events {{ worker_connections 2048; }}
http {{
  access_log off; client_max_body_size 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  http2_max_concurrent_streams 1000; keepalive_requests 100000; large_client_header_buffers 4 16k;
  ssl_certificate {certificate}; ssl_certificate_key {certificate};
  server {{
    listen 127.0.0.1:{h2c} http2; listen 127.0.0.1:{secure} ssl http2; listen 127.0.0.1:{h1};
    root {folder}/files; default_type text/plain;
    location = /hello {{ return 200 hello; }}
    location = /trailers {{ add_trailer x-checksum 7; }}
    location = /up {{ proxy_pass http://127.0.0.1:{h1}/stored; }}
    location = /stored {{ return 200 $content_length; }}
  }}
}}
"""


def nginx(starter: Starter) -> Running:
    program = program_of("nginx")
    h2c, secure, h1 = free_port(), free_port(), free_port()
    files = starter.folder / "files"
    write_files(files)
    user = "user root root;" if os.getuid() == 0 else ""  # else it becomes nobody, who may not read the folder
    text = NGINX.format(
        user=user, folder=starter.folder, certificate=starter.certificate, h2c=h2c, secure=secure, h1=h1
    )
    command = (program, "-e", str(starter.folder / "nginx.log"), "-c", starter.write("nginx.conf", text))
    starter.start(*command, listens=(h2c, secure, h1))
    return Running({H2C: h2c, H2: secure, H1: h1, H1S: secure})


HAPROXY = """
global
  maxconn 3000
  tune.h2.max-concurrent-streams 1000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
frontend in
  bind 127.0.0.1:{h2c} proto h2
  bind 127.0.0.1:{h1}
  bind 127.0.0.1:{secure} ssl crt {certificate} alpn h2,http/1.1
  http-request early-hint link "</style.css>; rel=preload" if {{ path /hints }}
  default_backend ours
backend ours
  server one 127.0.0.1:{back}
"""


def haproxy(starter: Starter) -> Running:
    """In front of headrace, which it asks over HTTP/1.1."""
    program = program_of("haproxy")
    back = headrace(starter).ports[H1]
    h2c, secure, h1 = free_port(), free_port(), free_port()
    text = HAPROXY.format(certificate=starter.certificate, h2c=h2c, secure=secure, h1=h1, back=back)
    starter.start(program, "-db", "-f", starter.write("haproxy.cfg", text), listens=(h2c, secure, h1))
    return Running({H2C: h2c, H2: secure, H1: h1, H1S: secure})


PEERS: dict[str, Callable[[Starter], Running]] = {
    "headrace": headrace,
    "hypercorn": hypercorn,
    "node": node,
    "go": go,
    "nghttpd": nghttpd,
    "nginx": nginx,
    "haproxy": haproxy,
}


@contextlib.contextmanager
def running(name: str, folder: Path) -> Iterator[Running]:
    """One of PEERS. Skips where it is not installed, or fails, see `need`."""
    starter = Starter(folder)
    try:
        yield PEERS[name](starter)
    finally:
        starter.stop()
