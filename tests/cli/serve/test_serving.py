"""`headrace serve` as a process: what it says when it starts, signals, and the exit code of each way to end."""

from __future__ import annotations

import re
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.server.open_limit import MOST, open_limit, raise_open_limit

from tests.cli.command import run, serving
from tests.support import wire
from tests.support.fetch import fetch

LOOPS = ("asyncio", "uvloop")
ANY_PORT = ("--bind", "127.0.0.1:0")

APPS = {
    "apps.py": """
import asyncio, sys
from headrace.server.handlers.response import Response

def say(text):
    print(text, file=sys.stderr, flush=True)

async def hello(request):
    return Response.text("hello")

async def open_limit(request):
    import resource
    return Response.text(str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))

async def until_drain(request):
    say("the handler runs")
    while request.connection.drain_deadline is None:
        await asyncio.sleep(0.005)
    return Response.text("finished")

async def for_ever(request):
    say("the handler runs")
    await asyncio.Event().wait()

async def busy(request):
    say("the handler runs")
    while True:
        pass

async def lifespan_fails(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})

async def lifespan(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say("the application shuts down")
        await send({"type": "lifespan.shutdown.complete"})

async def lifespan_hangs(scope, receive, send):
    say("the application starts")
    await asyncio.Event().wait()

def four(a, b, c, d): ...
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in APPS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


class InFlight:
    """A request that was sent, on a connection of its own, by a client that obeys nothing but PING."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._socket.sendall(wire.client_preface() + wire.settings_ack() + wire.request(1, b"/"))

    def answer(self) -> list[wire.Frame]:
        """All frames that came until the server closed the connection."""
        reader = wire.FrameReader()
        frames: list[wire.Frame] = []
        with self._socket:
            try:
                while data := self._socket.recv(65_536):
                    new = reader.feed(data)
                    frames += new
                    for each in new:
                        if each.type == wire.PING and not each.ack:
                            self._socket.sendall(wire.ping(each.payload, ack=True))
            except ConnectionError:
                pass  # the process is gone
        return frames


def content(frames: list[wire.Frame]) -> bytes:
    """The bytes of all DATA frames."""
    return b"".join(each.content for each in frames if each.type == wire.DATA)


# -- the start


@pytest.mark.smoke
def test_one_line_a_bind_says_address_protocol_app_engine_loop_and_pid(folder: Path) -> None:
    binds = ("--dev-tls", *ANY_PORT, "--cleartext-bind", "127.0.0.1:0", "--cleartext-bind", "unix:a.sock")
    extra = {"XDG_STATE_HOME": str(folder)}
    with serving("apps:hello", *binds, "--loop", "asyncio", cwd=folder, extra=extra) as server:
        engine = r"headrace \S+, engine (compiled|pure), asyncio"
        rest = rf"\| app apps:hello \(native\) \| {engine} \| pid {server.process.pid}$"
        server.wait_for(rf"info headrace: the certificate for localhost is {folder}/headrace/localhost\.pem; ")
        server.wait_for(rf"info headrace: https://127\.0\.0\.1:[1-9]\d* \(HTTP/2 and HTTP/1\.1 over TLS\) {rest}")
        cleartext = rf"\(HTTP/2 and HTTP/1\.1 in cleartext\) {rest}"
        port = int(server.wait_for(rf"info headrace: http://127\.0\.0\.1:(\d+) {cleartext}")[1])
        server.wait_for(rf"info headrace: unix:a\.sock {cleartext}")
        assert fetch(port, "/").text == "hello"
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    assert not (folder / "a.sock").exists()
    assert (folder / "headrace" / "localhost.pem").exists()


@pytest.fixture
def few_open_files() -> Iterator[int]:
    """Let processes that are started here have 256 descriptors at first; gives their hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_of_open_files_is_raised_for_the_process(folder: Path, few_open_files: int) -> None:
    """256 connections, or files that clients leave unread, would be all that it can have."""
    most = MOST if few_open_files == resource.RLIM_INFINITY else min(few_open_files, MOST)
    with serving("apps:open_limit", *ANY_PORT, "--log-level", "debug", cwd=folder) as server:
        server.wait_for(rf"debug headrace: the limit of open files \(ulimit -n\) is raised from 256 to {most}$")
        assert fetch(server.port(), "/").text == str(most)


@pytest.mark.parametrize("hard", [resource.RLIM_INFINITY, 2 * MOST, 300])
def test_the_limit_of_open_files_is_raised_within_bounds(hard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(256, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: limits.append(pair))
    assert raise_open_limit() is None
    assert limits[1:] == [(300 if hard == 300 else MOST, hard)]
    assert raise_open_limit() is None
    assert open_limit() == (300 if hard == 300 else MOST)
    assert len(limits) == 2


def test_a_limit_of_open_files_that_cannot_be_raised_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: int, pair: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 4_096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert "exceeds" in str(raise_open_limit())


def test_an_inherited_socket_is_served(folder: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        number = listening.fileno()
        with serving("apps:hello", "--bind", f"fd:{number}", cwd=folder, pass_fds=(number,)) as server:
            server.wait_for(rf" 127\.0\.0\.1:{listening.getsockname()[1]} \(HTTP/2 and HTTP/1\.1 in cleartext\) ")
            assert fetch(listening.getsockname()[1], "/").text == "hello"


@pytest.mark.parametrize("loop", LOOPS)
def test_the_event_loop_asked_for_is_the_one_that_runs(folder: Path, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with serving("apps:hello", *ANY_PORT, "--loop", loop, cwd=folder) as server:
        server.wait_for(rf", {loop} \| pid ")


def test_a_uvloop_that_does_not_load_is_a_warning_for_auto_and_an_error_if_it_was_asked_for(folder: Path) -> None:
    (folder / "uvloop.py").write_text("raise ImportError('built for another Python')\n")
    with serving("apps:hello", *ANY_PORT, cwd=folder) as server:
        server.wait_for(r"uvloop does not load here \(built for another Python\); asyncio is the event loop instead$")
        server.wait_for(r", asyncio \| pid ")
    done = run("serve", "apps:hello", *ANY_PORT, "--loop", "uvloop", cwd=folder)
    assert done.returncode == 2
    said = "headrace: --loop: uvloop does not load here (built for another Python); reinstall it, or choose asyncio\n"
    assert done.stderr == said


def test_an_application_whose_start_fails_ends_with_3_and_one_sentence(folder: Path) -> None:
    done = run("serve", "apps:lifespan_fails", *ANY_PORT, cwd=folder)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("headrace: apps:lifespan_fails: ")
    assert "no database" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_what_is_no_application_ends_with_3_and_one_sentence(folder: Path) -> None:
    done = run("serve", "apps:four", *ANY_PORT, cwd=folder)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("headrace: apps:four: the application takes 4 parameters")


# -- the access log


@pytest.mark.parametrize("asked", [True, False])
def test_the_access_log_has_a_line_a_request_if_asked_for(folder: Path, asked: bool) -> None:
    with serving("apps:hello", *ANY_PORT, "--access-log" if asked else "--no-access-log", cwd=folder) as server:
        fetch(server.port(), '/a"b')
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    lines = [line for line in server.lines if "GET" in line]
    assert len(lines) == asked
    for line in lines:
        assert re.fullmatch(r'127\.0\.0\.1 - - \[.*\] "GET /a\\x22b HTTP/2" 200 5 \d+\.\dms', line)


# -- the end


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_0(folder: Path, number: signal.Signals, loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with serving("apps:until_drain", *ANY_PORT, "--loop", loop, cwd=folder) as server:
        request = InFlight(server.port())
        server.wait_for("the handler runs")
        server.signal(number)
        server.wait_for(f"{number.name}: draining, for 30 s at most; a second signal ends now")
        frames = request.answer()
        assert server.wait() == 0
    assert content(frames) == b"finished"
    assert [each.last_stream_id for each in frames if each.type == wire.GOAWAY] == [2**31 - 1, 1]
    assert server.lines[-1].endswith("info headrace: stopped")


def test_the_drain_ends_at_its_deadline_with_0(folder: Path) -> None:
    with serving("apps:for_ever", *ANY_PORT, "--drain-timeout", "0.1", cwd=folder) as server:
        request = InFlight(server.port())
        server.wait_for("the handler runs")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    resets = [each.code for each in request.answer() if each.type == wire.RST_STREAM]
    assert resets == [wire.CANCEL]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("handler", ["for_ever", "busy"])
def test_a_second_signal_ends_now_with_1_also_when_a_handler_blocks_the_loop(
    folder: Path, handler: str, loop: str
) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with serving(f"apps:{handler}", *ANY_PORT, "--bind", "unix:b.sock", "--loop", loop, cwd=folder) as server:
        request = InFlight(server.port())
        server.wait_for("the handler runs")
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGINT)  # another one than the first: two equal signals may arrive as one
        assert server.wait() == 1
    assert server.lines[-1] == "headrace: ended by a second signal"
    assert content(request.answer()) == b""
    assert not (folder / "b.sock").exists()


def test_a_signal_while_the_application_starts_ends_with_0(folder: Path) -> None:
    with serving("apps:lifespan_hangs", *ANY_PORT, cwd=folder) as server:
        server.wait_for("the application starts")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    assert server.lines[-1].endswith("info headrace: stopped before it had started")


def test_the_application_is_told_of_the_end(folder: Path) -> None:
    with serving("apps:lifespan", *ANY_PORT, cwd=folder) as server:
        server.port()
        server.signal(signal.SIGTERM)
        server.wait_for("the application shuts down")
        assert server.wait() == 0
