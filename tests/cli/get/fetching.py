"""`headrace get` and `headrace bench` in this process, and servers that answer with a test's bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from headrace.cli.main import run

from tests.support import wire

PATIENCE_S = 20.0


class Done(NamedTuple):
    """The end of a command: exit code and output."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


def runner(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command line to its end. stdin is that of the tests."""

    def run_it(*arguments: str) -> Done:
        capfd.readouterr()
        code = run(list(arguments))
        out, err = capfd.readouterr()
        return Done(code, out.replace("\r\n", "\n"), err)

    return run_it


@contextlib.contextmanager
def answering(*pieces: bytes, closes: bool = True, until: bytes = b"\r\n\r\n") -> Iterator[str]:
    """An HTTP server with one script for each connection: it reads up to `until`, writes `pieces`, then closes or
    waits."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE_S)
    is_over = threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(PATIENCE_S)
                with contextlib.suppress(OSError):
                    heard = b""
                    while until not in heard and (data := connection.recv(65_536)):
                        heard += data
                    for piece in pieces:
                        connection.sendall(piece)
                    if not closes:
                        while connection.recv(65_536):
                            pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        is_over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE_S)


def h2_answer(*frames: bytes) -> bytes:
    """Return the output of an HTTP/2 server, beginning with its SETTINGS."""
    return wire.settings({}) + b"".join(frames)


def unused_port() -> int:
    """Return a port on which no server listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
