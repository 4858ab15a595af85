"""`headrace get` on a pseudo-terminal, as a person sees it; and its end when its reader or the person leaves."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from headrace.cli.figures import byte_size
from headrace.cli.get.progress import DownloadProgress
from headrace.cli.terminal import CLEAR_LINE, is_terminal, wants_colour

from tests.cli.command import environment
from tests.cli.get.fetched import LARGE
from tests.support.process import Served, serving

PATIENCE_S = 20.0
MODULE = (sys.executable, "-m", "headrace", "get")


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving("tests.cli.get.fetched:app") as served:
        yield served


class Terminal:
    """A process on a terminal of its own: its screen, and its keyboard."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.master = master
        self.shown = b""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, pattern: str) -> str:
        """Return everything shown until the pattern is found in it."""
        end = time.monotonic() + PATIENCE_S
        while not re.search(pattern.encode(), self.shown):
            assert self._read(end), (pattern, self.shown)
        return self.shown.decode("utf-8", "replace")

    def wait(self) -> tuple[int, str]:
        """Return the exit code, and everything shown."""
        end = time.monotonic() + PATIENCE_S
        while self._read(end):
            pass
        return self.process.wait(PATIENCE_S), self.shown.decode("utf-8", "replace")

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return False
        try:
            bytes_shown = os.read(self.master, 65_536)
        except OSError:  # Linux: the other side is closed
            return False
        self.shown += bytes_shown
        return bool(bytes_shown)


@contextlib.contextmanager
def terminal(*arguments: str, extra: Mapping[str, str] | None = None, piped: str = "") -> Iterator[Terminal]:
    """Run `headrace get` with all three streams on a terminal, except the one that is `piped`."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    streams = {name: subprocess.PIPE if name == piped else slave for name in ("stdin", "stdout", "stderr")}
    env = {**environment({"TERM": "xterm", **(extra or {})})}
    if "NO_COLOR" not in (extra or {}):
        env.pop("NO_COLOR", None)

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(2, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [*MODULE, *arguments],
        env=env,
        preexec_fn=own_terminal,  # noqa: PLW1509 - it is safe where no other thread runs, as here
        **streams,  # type: ignore[call-overload] # streams have these types
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


# -- colour ----------------------------------------------------------------------------------------------------------


def test_on_a_terminal_it_is_in_colour(server: Served) -> None:
    with terminal("-vi", "--h2c", server.url("/hello/you")) as shown:
        code, text = shown.wait()
    assert code == 0
    assert "\x1b[32mHTTP/2 200\x1b[0m" in text
    assert "\x1b[34mcontent-type\x1b[0m: text/plain" in text
    assert "\x1b[36m>\x1b[0m" in text
    assert "hello you" in text


@pytest.mark.parametrize("extra", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_it_is_not_wanted(server: Served, extra: dict[str, str]) -> None:
    with terminal("-vi", server.url("/hello/you"), extra=extra) as shown:
        code, text = shown.wait()
    assert (code, "hello you" in text, "\x1b" in text) == (0, True, False)


def test_a_field_cannot_command_the_terminal(server: Served) -> None:
    with terminal("-i", server.url("/colours"), extra={"NO_COLOR": "1"}) as shown:
        code, text = shown.wait()
    assert code == 0
    assert r"x-evil: \x9b31m" in text


def test_binary_content_is_refused_on_a_terminal(server: Served) -> None:
    with terminal(server.url("/binary")) as shown:
        code, text = shown.wait()
    assert code == 23
    assert "headrace: this is binary content, which would confuse your terminal; use -o FILE" in text
    assert "\x00" not in text
    with terminal("-o", "-", server.url("/binary")) as shown:
        code, text = shown.wait()
    assert (code, "\x00\x01" in text) == (0, True)


def test_an_error_is_one_line(server: Served) -> None:
    with terminal("-f", server.url("/status/404")) as shown:
        code, text = shown.wait()
    assert code == 22
    assert text == f"headrace: the server answered 404 Not Found ({server.url('/status/404')})\r\n"


def test_a_missing_password_is_asked_for(server: Served) -> None:
    with terminal("-u", "name", server.url("/hidden")) as shown:
        shown.until("Password of name: ")
        shown.type("secret\n")
        code, text = shown.wait()
    assert (code, "found" in text, "secret" in text) == (0, True, False)


# -- progress --------------------------------------------------------------------------------------------------------


def test_a_download_to_a_file_shows_its_progress(server: Served, tmp_path: Path) -> None:
    with terminal("-o", str(tmp_path / "a"), server.url("/large")) as shown:
        code, text = shown.wait()
    assert code == 0
    assert (tmp_path / "a").read_bytes() == LARGE
    assert re.search(r"\x1b\[2K\S*a  1\.00 MiB in \S+ m?s  .*B/s\r\n$", text), text


@pytest.mark.parametrize("flag", ["-s", "-v"])
def test_no_progress_beside_verbose_or_silence(server: Served, tmp_path: Path, flag: str) -> None:
    with terminal(flag, "-o", str(tmp_path / "a"), server.url("/large")) as shown:
        _, text = shown.wait()
    assert "\x1b[2K" not in text


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Screen:
    """Keeps all that is drawn."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass

    @property
    def lines(self) -> list[str]:
        return self.text.split(CLEAR_LINE)[1:]


def test_the_bar_has_share_speed_and_time_left() -> None:
    clock, screen = Clock(), Screen()
    progress = DownloadProgress(screen, clock, 100)  # type: ignore[arg-type] # it writes and flushes
    progress.begin("file.bin", 10 * 2**20)
    for _ in range(5):
        clock.now += 1.0
        progress.add("file.bin", 2**20)
    assert screen.lines[-1] == (
        "file.bin  [============            ]  50%  5.00 MiB of 10.0 MiB  1.00 MiB/s  5.00 s left"
    )
    progress.finish()
    assert screen.lines[-1] == "file.bin  5.00 MiB in 5.00 s  1.00 MiB/s\n"


def test_the_bar_is_drawn_ten_times_a_second_at_most_and_fits() -> None:
    clock, screen = Clock(), Screen()
    progress = DownloadProgress(screen, clock, 60)  # type: ignore[arg-type] # it writes and flushes
    progress.begin("a-very-long-name-of-a-file.bin", 2**40)
    for _ in range(1000):
        clock.now += 0.001
        progress.add("a-very-long-name-of-a-file.bin", 2**20)
    assert len(screen.lines) in (10, 11)
    assert max(map(len, screen.lines)) <= 59


def test_several_downloads_are_one_line_and_an_unknown_length_has_no_bar() -> None:
    clock, screen = Clock(), Screen()
    progress = DownloadProgress(screen, clock, 100)  # type: ignore[arg-type] # it writes and flushes
    progress.begin("a", 1000)
    progress.begin("b", 3000)
    clock.now += 1.0
    progress.add("a", 1000)
    assert screen.lines[-1].startswith("2 files  [======                  ]  25%")
    progress.begin("c", None)
    clock.now += 1.0
    progress.add("c", 500)
    assert screen.lines[-1].startswith(f"3 files  {byte_size(1500)}")
    progress.finish()
    assert screen.lines[-1].startswith(f"3 files  {byte_size(1500)} in 2.00 s")


def test_nothing_is_drawn_of_nothing() -> None:
    screen = Screen()
    DownloadProgress(screen, Clock(), 100).finish()  # type: ignore[arg-type] # it writes and flushes
    assert screen.text == ""


def test_who_is_a_terminal() -> None:
    with open(os.devnull) as nowhere:
        assert not is_terminal(nowhere)
        assert not wants_colour(nowhere, {})
    assert not is_terminal(nowhere)


# -- readers and watchers that leave ---------------------------------------------------------------------------------


def test_a_reader_that_has_seen_enough_is_not_told_of_it(server: Served) -> None:
    with terminal(server.url("/large"), server.url("/large"), piped="stdout") as shown:
        assert shown.process.stdout is not None
        assert shown.process.stdout.read(5) == LARGE[:5]
        shown.process.stdout.close()
        code, text = shown.wait()
    assert (code, text) == (23, "")


@pytest.mark.parametrize("path", ["/slow", "/trickle", "/large"])
def test_ctrl_c_ends_it_with_one_line(server: Served, path: str) -> None:
    """Before the answer, within it, and while our reader takes nothing."""
    with terminal("-v", server.url(path), piped="stdout") as shown:
        shown.until("GET /" if path == "/slow" else "HTTP/1.1 200 OK")
        shown.process.send_signal(signal.SIGINT)
        code, text = shown.wait()
    assert code == 130
    assert text.endswith("headrace: interrupted\r\n")
    assert "Traceback" not in text


def test_a_slow_reader_gets_everything(server: Served) -> None:
    with terminal(server.url("/large"), server.url("/hello/end"), piped="stdout") as shown:
        assert shown.process.stdout is not None
        got = b""
        while piece := os.read(shown.process.stdout.fileno(), 1000):
            got += piece
        code, text = shown.wait()
    assert (code, text) == (0, "")
    assert got == LARGE + b"hello end\n"


# -- conversations ---------------------------------------------------------------------------------------------------


def test_a_websocket_on_a_terminal(server: Served) -> None:
    with terminal(server.url("/ws").replace("http:", "ws:"), extra={"NO_COLOR": "1"}) as shown:
        shown.type("one\n")
        shown.until("< one!")
        shown.type("binary\n")
        shown.until("< 3 bytes: 00 01 02")
        shown.type("escape\n")
        shown.until("< .x1b.31mred\r\n  second")
        shown.type("bye\n")
        code, text = shown.wait()
    assert code == 0
    assert "\x1b" not in text


def test_the_end_of_input_closes_a_websocket(server: Served) -> None:
    with terminal("-v", "--ws", "--ws-wait", "0", server.url("/ws")) as shown:
        shown.type("one\n")
        shown.until("one!")
        shown.type("\x04")
        code, text = shown.wait()
    assert code == 0
    assert "the WebSocket was closed: 1000" in text


def test_ctrl_c_closes_a_websocket(server: Served) -> None:
    with terminal("--ws", server.url("/ws")) as shown:
        shown.type("one\n")
        shown.until("one!")
        shown.type("\x03")
        code, text = shown.wait()
    assert code == 130
    assert "Traceback" not in text
