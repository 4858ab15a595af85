"""WSGI where threads, files and loops are missing: each part by itself."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.server.errors import ClientDisconnected
from headrace.wsgi import environ as environ_module
from headrace.wsgi import files as files_module
from headrace.wsgi.addresses import ClientRecord
from headrace.wsgi.environ import _name, _split_authority
from headrace.wsgi.files import FileWrapper
from headrace.wsgi.line import Line
from headrace.wsgi.spools import SpoolFile, Spools
from headrace.wsgi.threads import Threads
from headrace.wsgi.upload import CollectedUpload

from tests.wsgi.test_call import called

PATIENCE_S = 10.0


# -- threads -----------------------------------------------------------------------------------------------------------


def test_a_request_without_a_thread_of_its_own_gets_the_next_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads(3)
    address = ClientRecord("192.0.2.1")
    running, go_on, done = threading.Event(), threading.Event(), threading.Event()
    ran: list[str] = []

    def first() -> None:
        running.set()
        go_on.wait(PATIENCE_S)
        ran.append("first")

    def second() -> None:
        ran.append("second")
        done.set()

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert not threads.start(first, address, "a")
    assert running.wait(PATIENCE_S)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert threads.start(second, address, "b"), "it waits"
    assert threads.stats()["queued"] == 1
    go_on.set()
    assert done.wait(PATIENCE_S)
    assert ran == ["first", "second"]
    threads.close()


def test_a_thread_has_nobody_to_ask_once_its_loop_has_ended() -> None:
    loop = asyncio.new_event_loop()
    line = Line(loop)
    loop.close()
    with pytest.raises(ClientDisconnected):
        line.ask("read")
    line.tell("look")  # raises nothing


def test_a_question_under_way_is_answered_when_the_line_is_cut() -> None:
    async def main() -> None:
        line = Line(asyncio.get_running_loop())
        ends: list[BaseException] = []

        def ask() -> None:
            try:
                line.ask("read")
            except ClientDisconnected as error:
                ends.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        question = await line.next()
        assert (question.verb, question.wants_answer) == ("read", True)
        line.cut()
        await asyncio.to_thread(asking.join, PATIENCE_S)
        assert len(ends) == 1
        with pytest.raises(ClientDisconnected):
            line.ask("read")

    asyncio.run(main())


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "found"),
    [
        ("a.example", ("a.example", "")), ("a.example:8080", ("a.example", "8080")), ("[::1]:443", ("[::1]", "443")),
        ("[::1]", ("[::1]", "")), ("a:x", ("a:x", "")), ("a:\u0663", ("a:\u0663", "")),
    ],
)  # fmt: skip
def test_the_name_and_the_port_of_an_authority(authority: str, found: tuple[str, str]) -> None:
    assert _split_authority(authority) == found


def test_a_full_memory_of_names_costs_only_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environ_module, "_NAMES_KEPT", 0)
    assert _name(b"x-never-seen-before") == "HTTP_X_NEVER_SEEN_BEFORE"
    assert b"x-never-seen-before" not in environ_module._names


# -- content -----------------------------------------------------------------------------------------------------------


def test_pieces_may_be_any_kind_of_bytes_and_empty_ones_after_the_end_are_nothing() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[Any]:
        start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", "2")])
        yield bytearray(b"a")
        yield memoryview(b"b")
        yield b""

    recorder = called(app)
    assert recorder.end() is None
    assert [each[:2] for each in recorder.told[:-1]] == [("send_piece", b"a"), ("finish", b"b")]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(bytes(1_000_000))
    return path


@pytest.mark.parametrize("kind", ["plain", "unbuffered", "temporary"])
def test_a_plain_file_is_read_by_its_descriptor(large: Path, kind: str) -> None:
    opened: Callable[[], Any] = {
        "plain": lambda: large.open("rb"),
        "unbuffered": lambda: large.open("rb", buffering=0),
        "temporary": lambda: tempfile.NamedTemporaryFile(buffering=0),  # noqa: SIM115 # closed below
    }[kind]
    with opened() as file:
        if kind == "temporary":
            file.write(bytes(1_000_000))
        file.seek(10)
        found = FileWrapper(file).part("a client")
        assert found is not None
        part, offset, size = found
        assert (offset, size) == (10, 999_990)
        assert part.read(999_998, 10) == bytes(2)
        part.close()


@pytest.mark.parametrize("why", ["small", "no place", "no descriptor", "closed", "in memory", "a pipe"])
def test_other_files_are_read_by_the_thread(large: Path, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    returned: list[str] = []

    class Place:
        def give_back(self) -> None:
            returned.append("place")

    class Places:
        def take(self, client: Any) -> Place | None:
            return None if why == "no place" else Place()

    monkeypatch.setattr(files_module, "PLACES", Places())
    file: Any = large.open("rb")
    if why == "small":
        file.seek(999_000)
    elif why == "no descriptor":

        def exhausted(number: int) -> int:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(os, "dup", exhausted)
    elif why == "closed":
        file.close()
    elif why == "in memory":
        file.close()
        file = io.BytesIO(bytes(1_000_000))
    elif why == "a pipe":
        file.close()
        read, write = os.pipe()
        os.close(write)
        file = open(read, "rb")  # noqa: SIM115 # closed below
    assert FileWrapper(file).part("a client") is None
    assert returned == (["place"] if why == "no descriptor" else [])
    file.close()


def test_a_temporary_file_that_was_cut_is_an_error() -> None:
    spools = Spools(1_000, 1_000_000, 1_000_000)
    file = SpoolFile(spools, ClientRecord("192.0.2.1"))
    with pytest.raises(OSError, match="shorter than its written content"):
        file.read(0, 10)
    assert file.write(memoryview(b"content"), 0) == 7
    assert file.read(0, 7) == b"content"
    with pytest.raises(OSError, match="shorter than its written content"):
        file.read(7, 1)
    file.close()
    with pytest.raises(OSError, match="is closed"):
        file.read(0, 7)
    assert file.write(memoryview(b"late"), 0) == 0
    assert spools.usage() == (0, 0, 0)


def test_an_upload_without_room_in_memory_goes_to_its_file_sooner() -> None:
    async def main() -> None:
        spools = Spools(1_000_000, 10_000_000, 10_000_000)
        address = ClientRecord("192.0.2.1")
        while spools.take_memory(address, 1_048_576):
            pass
        upload = CollectedUpload(spools, address)
        await upload.add(bytes(900_000), asyncio.get_running_loop())
        assert not upload.is_full
        assert spools.usage()[2] == 1
        reader = upload.reader(None)
        assert reader.read(10) == bytes(10)
        upload.close()
        with pytest.raises(OSError, match="given the request up"):
            reader.read()

    asyncio.run(main())


def test_a_file_wrapper_gives_pieces_until_the_end() -> None:
    wrapper = FileWrapper(io.BytesIO(bytes(600_000)))
    assert [len(piece) for piece in wrapper] == [262_144, 262_144, 75_712]
    wrapper.close()


def test_an_empty_piece_after_the_last_one_is_nothing_and_another_is_an_error() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", "1")])
        write(b"a")
        write(b"")
        with pytest.raises(RuntimeError, match="more content than its content-length says"):
            write(b"b")
        yield b""

    assert called(app).end() is None
