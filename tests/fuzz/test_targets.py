"""Every fuzz target over its corpus, the inputs that once broke it, and mutations that are the same on every run."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.differential.test_compiled_and_pure import skip_unless_installed_compiled_and_current
from tests.fuzz import running
from tests.fuzz.__main__ import input_of, telling
from tests.fuzz.twin import Twin, check_sources

MUTATIONS = 150
COMPARED = 100


@pytest.mark.parametrize("name", running.names())
def test_the_corpus_holds(name: str) -> None:
    """No input of the corpus breaks its target, nor one that once did, nor a mutation of them."""
    for data in [*running.corpus(name), *running.mutations(name, MUTATIONS)]:
        running.check(name, data)


@pytest.mark.parametrize("name", running.names())
def test_the_target_says_its_property(name: str) -> None:
    """The docstring of a target says what must hold, in a paragraph that a reader can find."""
    assert "\nProperty: " in (running.load(name).__doc__ or "")


def test_a_kept_input_belongs_to_a_target() -> None:
    """A folder of kept inputs has the name of its target, so that it is run."""
    assert {path.name for path in running.FOUND.iterdir() if path.is_dir()} <= set(running.names())


def stories(pythonpath: str | None) -> dict[str, str]:
    """Play the corpora of all targets in another process, on the engine that `pythonpath` leads to."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env["PYTHONHASHSEED"] = "0"
    if pythonpath is not None:
        env["PYTHONPATH"] = pythonpath
    command = [sys.executable, "-m", "tests.fuzz.digests", str(COMPARED)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, str] = json.loads(done.stdout)
    return answer


@pytest.mark.slow
def test_compiled_and_pure_tell_the_same_stories() -> None:
    """The pure build is the contract: each target's corpus and mutations look the same on both."""
    skip_unless_installed_compiled_and_current()
    compiled, pure = stories(None), stories(str(ROOT / "src"))
    assert compiled.pop("engine") == "compiled"
    assert pure.pop("engine") == "pure"
    assert compiled == pure, [name for name in pure if compiled[name] != pure[name]]


def test_a_twin_that_cannot_begin_keeps_no_input(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Pure Python instead of a compiled build is said before any input is played, which would be kept as broken."""
    monkeypatch.setenv("HEADRACE_FUZZ_TWIN", str(ROOT / "src"))
    with pytest.raises(SystemExit) as ended:
        Twin("url")
    assert ended.value.code == 1
    assert "no compiled engine is installed" in capfd.readouterr().err


def test_a_twin_of_other_sources_plays_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An edited source is said before any input is played; a build that was named for that is only remarked on."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        (folder / "engine").mkdir(parents=True)
        (folder / "engine" / "a.py").write_text("A = 1")
    check_sources(ours, theirs, chosen=False)
    assert capsys.readouterr().err == ""
    (ours / "engine" / "a.py").write_text("A = 2")
    with pytest.raises(SystemExit, match=r"a\.py differs\): make \.venv/installed-native"):
        check_sources(ours, theirs, chosen=False)
    check_sources(ours, theirs, chosen=True)
    assert "a.py differs" in capsys.readouterr().err
    (theirs / "engine" / "a.py").unlink()
    with pytest.raises(SystemExit):
        check_sources(ours, theirs, chosen=False)


@pytest.mark.parametrize("twin", [False, True])
def test_an_input_that_breaks_is_told_as_a_command(twin: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """With atheris and without: the command that plays it again, as it was played."""

    def play(data: bytes) -> None:
        assert data != b"\x02\x86"

    told = telling(argparse.Namespace(target="url", twin=twin), play)
    told(b"\x02")
    assert capsys.readouterr().err == ""
    with pytest.raises(AssertionError):
        told(b"\x02\x86")
    assert capsys.readouterr().err == f"again: make fuzz TARGET=url INPUT=0286{' FUZZ_ARGS=--twin' * twin}\n"


def test_an_input_is_a_file_or_hexadecimal(tmp_path: Path) -> None:
    (tmp_path / "crash-1").write_bytes(b"\x02\x86")
    assert [input_of(each) for each in (str(tmp_path / "crash-1"), "0286", "-")] == [b"\x02\x86", b"\x02\x86", b""]
