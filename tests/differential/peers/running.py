"""Starts the servers that sessions are played against."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CI_STRICT, missing, need
from tests.support import process
from tests.support.process import free_port

HERE = Path(__file__).parent
START_LIMIT_S = 90.0  # Go builds its library first, where it has not yet
ENVIRONMENT = {"GODEBUG": "http2xconnect=1"}  # Go offers extended CONNECT only when asked to
PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin"
VERSIONS = {
    "go": (("go", "version"), "go1.26"),
    "node": (("node", "--version"), "v20."),
    "nghttpd": (("nghttpd", "--version"), "nghttp2/1.52."),
    "nginx": (("nginx", "-v"), "nginx/1.22."),
    "haproxy": (("haproxy", "-v"), "version 2.6."),
    "curl": (("curl", "--version"), "curl 7.88."),
}
SERVERS = ("go", "node", "nghttpd")
FILES = ("index.html", "big", "early", "hints", "trailers", "hold", "204", "304")


def need_version(name: str) -> None:
    """Skip where a peer is another one than the tables are of, unless HEADRACE_CI_STRICT=1; see `need` where it lacks.

    Other versions have other faults, and whoever has one of them did not ask to look into it.
    """
    command, version = VERSIONS[name]
    said = version_of(name) or need(command[0])
    if version not in said and not CI_STRICT:
        pytest.skip(f"the table is of {version}, and this is {said}")


def is_usable(name: str) -> bool:
    """Whether `need_version` would let a test go on."""
    said = version_of(name)
    return bool(said) and (CI_STRICT or VERSIONS[name][1] in said)


def version_of(name: str) -> str:
    """The first line that a peer says of its version, "" where it lacks."""
    command, _ = VERSIONS[name]
    program = shutil.which(command[0], path=PLACES)
    if program is None:
        return ""
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=True)
    return (done.stdout or done.stderr).partition("\n")[0]  # nginx says it on stderr


def go_program(folder: Path) -> str:
    """Build the program of peers/go."""
    built = str(folder / "peer")
    subprocess.run([need("go"), "build", "-o", built, "."], check=True, cwd=HERE / "go")
    return built


def nghttpd_command(folder: Path, port: int) -> list[str]:
    """Files in place of an application; for other methods than GET the content comes back."""
    program = shutil.which("nghttpd", path=PLACES) or need("nghttpd")
    files = folder / "files"
    files.mkdir()
    for name in FILES:
        (files / name).write_text("a" * 100_000 if name == "big" else "content")
    return [program, "-d", str(files), "--echo-upload", "--no-tls", str(port)]


@contextlib.contextmanager
def serving(name: str, folder: Path) -> Iterator[int]:
    """Run headrace or one of SERVERS, with the application of app.py. Yields its port; see `need` where it lacks."""
    if name == "headrace":
        flags = ("--interface", "native", "--websockets", "on", "--no-access-log")
        with process.serving("tests.differential.peers.app:app", *flags) as served:
            yield served.ports["http"]
        return
    port = 0
    if name == "go":
        command = [go_program(folder)]
    elif name == "node":
        command = [need("node"), str(HERE / "server.js")]
    else:
        port = free_port()
        command = nghttpd_command(folder, port)
    log = folder / "log"
    with log.open("wb") as out:
        started = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env={**os.environ, **ENVIRONMENT})
    try:
        port = listening(started, log, port)
        if not port:
            missing("Go 1.24, the first with HTTP/2 by prior knowledge,")
        yield port
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def listening(started: subprocess.Popen[bytes], log: Path, port: int) -> int:
    """Wait until a server listens on `port`, or has said the port that it has chosen."""
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end and started.poll() is None:
        if not port and log.read_bytes().endswith(b"\n"):
            return int(log.read_text())
        if port and process_answers(port):
            return port
        time.sleep(0.02)
    raise RuntimeError(f"{started.args!r} did not start: {log.read_text()}")


def process_answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
