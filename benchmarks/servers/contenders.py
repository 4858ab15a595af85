"""The servers of the race: how each is started, pinned to one core, waited for and stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.apps import asgi_app

APPS: Final = Path(__file__).resolve().parents[1] / "apps"
START_LIMIT_S: Final = 20.0
STOP_LIMIT_S: Final = 5.0


@dataclass(frozen=True)
class Contender:
    """A server by name. `command` and `tls` are its command line and what TLS adds; both may hold {placeholders}."""

    name: str
    command: str
    tls: str
    package: str = ""
    """The Python package that gives its version, or nothing for a program of the machine."""
    static: bool = False
    """True when it serves files and no application."""
    protocols: tuple[str, ...] = ("h1", "h2", "ws1")
    """What it takes part in: `ws1` and `ws2` are WebSocket over HTTP/1.1 and HTTP/2."""
    hello_only: bool = False
    """True when its application has no more than the greeting."""
    extra: tuple[tuple[str, str], ...] = ()
    """What its command line needs more, for a protocol."""


OURS_TLS: Final = "--tls-cert {cert} --tls-key {key}"
GRANIAN: Final = (
    "{peers}/granian --http {http} --host 127.0.0.1 --port {port} --workers 1 --runtime-threads 1 --backlog 4096"
    " --loop uvloop --working-dir {apps}"
)
GRANIAN_TLS: Final = "--ssl-certificate {cert} --ssl-keyfile {key}"
UVICORN: Final = "{peers}/uvicorn --port {port} --no-access-log --loop uvloop --app-dir {apps} asgi_app:app"
UVICORN_TLS: Final = "--ssl-certfile {cert} --ssl-keyfile {key}"
EVERYTHING: Final = ("h1", "h2", "ws1", "ws2")
CONTENDERS: Final = (
    Contender(
        "headrace",
        "{python} -m headrace serve asgi_app:app --app-dir {apps} --bind 127.0.0.1:{port} --log-level warning",
        OURS_TLS,
        "headrace",
        protocols=EVERYTHING,
    ),
    Contender(
        "headrace-native",
        "{python} -m headrace serve native_app:handler --app-dir {apps} --bind 127.0.0.1:{port} --log-level warning",
        OURS_TLS,
        "headrace",
        protocols=EVERYTHING,
    ),
    Contender(
        "granian",
        GRANIAN + " --interface asgi asgi_app:app",
        GRANIAN_TLS,
        "granian",
        extra=(("h1", "--no-ws"), ("h2", "--no-ws"), ("ws1", "--ws")),
    ),
    Contender(
        "granian-rsgi",
        GRANIAN + " --interface rsgi --no-ws rsgi_app:app",
        GRANIAN_TLS,
        "granian",
        protocols=("h1",),
        hello_only=True,
    ),
    Contender(
        "uvicorn",
        UVICORN + " --http httptools --ws websockets-sansio",
        UVICORN_TLS,
        "uvicorn",
        protocols=("h1", "ws1"),
    ),
    Contender("uvicorn-zttp", UVICORN + " --http zttp --http2", UVICORN_TLS, "uvicorn", protocols=("h1", "h2")),
    Contender(
        "hypercorn",
        "{peers}/hypercorn -k uvloop -b 127.0.0.1:{port} asgi_app:app",
        "--certfile {cert} --keyfile {key}",
        "hypercorn",
        protocols=EVERYTHING,
    ),
    Contender(
        "gunicorn",
        "{peers}/gunicorn -k asgi -w 1 -b 127.0.0.1:{port} --asgi-loop uvloop --no-control-socket asgi_app:app",
        "--certfile {cert} --keyfile {key}",
        "gunicorn",
        extra=(("h2", "--http-protocols h2,h1 --http2-cleartext prior-knowledge"),),
    ),
    Contender(
        "h2corn",
        "{peers}/h2corn asgi_app:app --port {port} --workers 1 --runtime-threads 1 --loop uvloop --no-access-log",
        "--certfile {cert} --keyfile {key}",
        "h2corn",
        protocols=EVERYTHING,
    ),
    Contender("nghttpd", "nghttpd {no_tls} -d {files} {port} {tls_files}", "", static=True, protocols=("h2",)),
)
BY_NAME: Final = {contender.name: contender for contender in CONTENDERS}


class Course:
    """Where the race is run: environments, files, cores. One object for the whole race."""

    def __init__(self, peers: Path, folder: Path, log_folder: Path) -> None:
        self.peers = peers
        self.folder = folder
        self.log_folder = log_folder
        self.files = folder / "files"
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        self.cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.pinned = len(self.cores) > 1 and shutil.which("taskset") is not None

    def prepare(self) -> None:
        """Writes the files that are served and the certificate."""
        self.log_folder.mkdir(parents=True, exist_ok=True)
        self.files.mkdir(exist_ok=True)
        (self.files / "index.html").write_bytes(asgi_app.HELLO)
        (self.files / "64k").write_bytes(asgi_app.PAGE)
        (self.files / "1m").write_bytes(asgi_app.LARGE)
        make_certificate(self.cert, self.key)

    def on_server_core(self, command: list[str]) -> list[str]:
        return ["taskset", "-c", str(self.cores[0]), *command] if self.pinned else command

    def on_load_core(self, command: list[str]) -> list[str]:
        return ["taskset", "-c", str(self.cores[1]), *command] if self.pinned else command

    def command(self, contender: Contender, port: int, tls: bool, protocol: str) -> list[str]:
        values = {
            "python": sys.executable,
            "peers": str(self.peers / "bin"),
            "apps": str(APPS),
            "files": str(self.files),
            "cert": str(self.cert),
            "key": str(self.key),
            "port": str(port),
            "http": "2" if protocol == "h2" else "1",
            "no_tls": "" if tls else "--no-tls",
            "tls_files": f"{self.key} {self.cert}" if tls else "",
        }
        text = " ".join((contender.command, contender.tls if tls else "", dict(contender.extra).get(protocol, "")))
        return [part.format(**values) for word in text.split() for part in word.format(**values).split()]


def make_certificate(cert: Path, key: Path) -> None:
    import trustme

    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())


@dataclass
class Running:
    """A contender that is up."""

    contender: Contender
    tls: bool
    process: subprocess.Popen[bytes]
    base: str

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.base.rpartition(":")[2])

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class NotRaced(Exception):
    """A contender cannot take part. The text says why."""


def start(course: Course, contender: Contender, tls: bool, protocol: str) -> Running:
    """Start a contender. Raises NotRaced when it is missing or does not come up."""
    port = free_port()
    command = course.command(contender, port, tls, protocol)
    if shutil.which(command[0]) is None:
        raise NotRaced(f"{Path(command[0]).name} is not installed")
    log = course.log_folder / f"{contender.name}-{protocol}{'-tls' if tls else ''}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            course.on_server_core(command), stdout=file, stderr=file, cwd=APPS, start_new_session=True
        )
    running = Running(contender, tls, process, f"{'https' if tls else 'http'}://127.0.0.1:{port}")
    if not listening(port, process):
        running.stop()
        last = log.read_text("utf-8", "replace").strip().rpartition("\n")[2][:200]
        raise NotRaced(f"it did not start: {last or 'it said nothing'}")
    return running


@contextlib.contextmanager
def all_running(
    course: Course, chosen: list[Contender], tls: bool, protocol: str, not_raced: dict[str, str]
) -> Iterator[list[Running]]:
    """Run all of `chosen` at once, and stop them at the end. `not_raced` gets the others, with the reason."""
    up: list[Running] = []
    try:
        for contender in chosen:
            try:
                up.append(start(course, contender, tls, protocol))
            except NotRaced as reason:
                not_raced[f"{contender.name}, {protocol}{' over TLS' if tls else ''}"] = str(reason)
                print(f"  not raced: {contender.name}: {reason}", flush=True)
        yield up
    finally:
        for running in up:
            running.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int, process: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False
