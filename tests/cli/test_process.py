"""The server process's parts that a whole process shows badly: event loops that are missing, its own Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import Any

import pytest

from headrace.cli import main as main_module
from headrace.cli.errors import UsageError
from headrace.cli.exits import EXIT_INTERRUPTED, FetchError
from headrace.cli.interrupt import interruptible
from headrace.cli.process import loop_factory
from headrace.cli.serve import command as serve_command
from headrace.server.settings.config import Config


class Broken:
    """Stands before all other finders: uvloop is there, but was built for another Python."""

    @staticmethod
    def find_spec(name: str, *_: Any) -> None:
        if name == "uvloop":
            raise ImportError("undefined symbol")


@pytest.fixture
def no_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.delitem(sys.modules, "uvloop")
    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])


def test_asyncio_stands_in_for_a_uvloop_that_does_not_load(no_uvloop: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert loop_factory("auto") == ("asyncio", None)
    assert caplog.messages == ["uvloop does not load here (undefined symbol); asyncio is the event loop instead"]
    with pytest.raises(UsageError, match="does not load here \\(undefined symbol\\); reinstall it, or choose asyncio"):
        loop_factory("uvloop")


def test_asyncio_stands_in_for_a_uvloop_that_is_absent_without_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    error = ModuleNotFoundError("No module named 'uvloop'", name="uvloop")

    class Absent:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name == "uvloop":
                raise error

    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.delitem(sys.modules, "uvloop")
    monkeypatch.setattr(sys, "meta_path", [Absent, *sys.meta_path])
    assert loop_factory("auto") == ("asyncio", None)
    assert caplog.messages == []
    with pytest.raises(UsageError, match="uvloop is not installed here; install it, or choose asyncio"):
        loop_factory("uvloop")


# -- Ctrl-C ----------------------------------------------------------------------------------------------------------


def test_ctrl_c_cancels_the_work_and_is_its_own_error() -> None:
    async def work() -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()

    with pytest.raises(FetchError, match="interrupted") as caught:
        asyncio.run(interruptible(work()))
    assert caught.value.exit_code == EXIT_INTERRUPTED


def test_another_cancellation_is_no_interrupt() -> None:
    async def main() -> None:
        task = asyncio.ensure_future(interruptible(asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_an_interrupt_outside_of_any_work_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module.cli, "main", interrupted)
    assert main_module.run(["--version"]) == 1
    assert capsys.readouterr().err == "headrace: interrupted\n"


# -- the limit of open files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "before", "after", "said"),
    [
        (OSError("not allowed"), 64, 64, ["the limit of open files (ulimit -n) stays 64: not allowed"]),
        (None, 64, 4096, ["the limit of open files (ulimit -n) is raised from 64 to 4096"]),
        (None, 64, 64, []),
    ],
)
@pytest.mark.parametrize("connections", [50, 5_000])
def test_what_is_said_of_the_limit_of_open_files(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: OSError | None,
    before: int,
    after: int,
    said: list[str],
    connections: int,
) -> None:
    limits = iter([before, after])
    monkeypatch.setattr(serve_command, "open_limit", lambda: next(limits))
    monkeypatch.setattr(serve_command, "raise_open_limit", lambda: failure)
    with caplog.at_level(logging.DEBUG, "headrace"):
        serve_command._raise_open_limit(Config(max_connections=connections))
    if after <= connections:
        said = [*said, f"at most {after} files and connections can be open (ulimit -n), fewer than max_connections"]
    assert caplog.messages == said
