"""`headrace get --ws` in a pipe: lines in, messages out, and the end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import environment
from tests.cli.get.fetching import answering, unused_port
from tests.support.process import Served, serving

PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving("tests.cli.get.fetched:app", tls=True) as served:
        yield served


def talk(*arguments: str, lines: bytes = b"", stdin: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run `headrace get ARGUMENTS` with `lines`, or a file, on stdin."""
    command = [sys.executable, "-m", "headrace", "get", *arguments]
    if stdin is None:
        return subprocess.run(command, input=lines, capture_output=True, env=environment(), timeout=PATIENCE_S)
    with stdin.open("rb") as file:
        return subprocess.run(command, stdin=file, capture_output=True, env=environment(), timeout=PATIENCE_S)


@pytest.mark.parametrize(
    ("flags", "url"),
    [((), "ws"), (("--http1",), "ws"), (("--h2c",), "ws"), (("-k",), "wss"), (("-k", "--http2"), "wss")],
)
def test_lines_are_messages(server: Served, flags: tuple[str, ...], url: str) -> None:
    scheme = "https" if url == "wss" else "http"
    address = server.url("/ws", scheme).replace(scheme, url)
    done = talk(*flags, address, lines="one\ntwö\r\n\nlast".encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, "one!\ntwö!\n!\nlast!\n".encode(), b"")


def test_the_flag_takes_http_urls_too(server: Served) -> None:
    done = talk("--ws", server.url("/ws"), lines=b"one\n")
    assert (done.returncode, done.stdout) == (0, b"one!\n")


def test_a_file_on_stdin(server: Served, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("".join(f"{number}\n" for number in range(1000)))
    done = talk("--ws", server.url("/ws"), stdin=tmp_path / "lines")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split("\n") == [*(f"{number}!" for number in range(1000)), ""]


def test_nothing_on_stdin(server: Served) -> None:
    done = talk("--ws", "--ws-wait", "0", server.url("/ws"), stdin=Path("/dev/null"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_no_stdin_at_all(server: Served) -> None:
    command = f"exec {sys.executable} -m headrace get --ws --ws-wait 0 {server.url('/ws')} <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, env=environment(), timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_bytes_come_out_as_they_are(server: Served) -> None:
    done = talk("--ws", server.url("/ws"), lines=b"binary\nescape\n")
    assert (done.returncode, done.stdout) == (0, b"\x00\x01\x02\x1b[31mred\nsecond\n")


def test_the_server_says_goodbye(server: Served) -> None:
    done = talk("--ws", "--ws-wait", "1h", server.url("/ws"), lines=b"bye\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_subprotocol_and_a_name(server: Served) -> None:
    done = talk("-v", "--h2c", "-u", "a:b", "--ws", "--ws-protocol", "chat", server.url("/ws"), lines=b"one\n")
    assert done.returncode == 0
    assert b"sec-websocket-protocol: chat" in done.stderr
    assert b"authorization: Basic [hidden, 4 bytes]" in done.stderr


def failed(done: subprocess.CompletedProcess[bytes], code: int, sentence: str) -> None:
    (line,) = done.stderr.decode().splitlines()
    assert (done.returncode, line[: len(sentence)]) == (code, sentence), done


def test_the_server_refuses(server: Served) -> None:
    failed(talk("--ws", server.url("/status/403")), 1, "headrace: the server refused the WebSocket: its answer is 403")


def test_the_server_ends_it_with_a_code_of_its_own(server: Served) -> None:
    done = talk("--ws", "--ws-wait", "1h", server.url("/ws-bad"), lines=b"one\n")
    failed(done, 56, "headrace: the WebSocket ended with 4000 go away")


def test_the_connection_is_lost() -> None:
    """A fixed answer to the handshake fits no key, so the script refuses it."""
    with answering() as url:
        done = talk("--ws", url, lines=b"one\n")
    assert done.returncode == 56, done


def test_28_it_lasts_too_long(server: Served) -> None:
    done = talk("--ws", "-m", "300ms", "--ws-wait", "1h", server.url("/ws"), lines=b"one\n")
    failed(done, 28, "headrace: the conversation has lasted 0.3 s")


def test_nobody_listens() -> None:
    assert talk(f"ws://127.0.0.1:{unused_port()}/").returncode == 7


def test_a_reader_that_leaves_ends_it(server: Served) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", "get", "--ws", server.url("/ws")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    with process:
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"one!\n"
        process.stdout.close()
        process.stdin.write(b"two\n")
        process.stdin.flush()
        assert process.wait(PATIENCE_S) == 23
        assert process.stderr.read() == b""
