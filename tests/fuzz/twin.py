"""The same input on the other build: a process that plays stories on the compiled engine, and says what it saw.

`python -m tests.fuzz.twin TARGET SOURCES` says READY, reads inputs from its standard input, each behind four bytes of
length, and answers each with a SHA-256 of its story. SOURCES is the package of the one who asks: where its modules are
not those that were compiled, a difference would say nothing.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import headrace

from tests.fuzz import running


def digest_of(story: str) -> bytes:
    """Return the 32 bytes by which stories are compared."""
    return hashlib.sha256(story.encode()).digest()


READY = b"ready\n"
SOURCES = Path(str(headrace.__file__)).parent


def first_difference(ours: Path, theirs: Path) -> Path | None:
    """Return the first module of the folder `ours` that is missing or another one in `theirs`; None for none."""
    for source in sorted(ours.rglob("*.py")):
        copy = theirs / source.relative_to(ours)
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            return source.relative_to(ours)
    return None


def check_sources(ours: Path, theirs: Path, *, chosen: bool) -> None:
    """Raise SystemExit where the two builds are of other sources; only say so of a build that was `chosen`."""
    differs = first_difference(ours, theirs)
    if differs is None:
        return
    text = f"the compiled build is of other sources ({differs} differs)"
    if not chosen:
        raise SystemExit(f"{text}: make .venv/installed-native")
    print(text, file=sys.stderr)


class Twin:
    """The process, from the side of the one who asks. Raises SystemExit if it cannot begin, after its own words why."""

    def __init__(self, name: str) -> None:
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        twin = os.environ.get("HEADRACE_FUZZ_TWIN")  # a folder with a compiled build, before what is installed
        if twin:
            env["PYTHONPATH"] = twin
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.twin", name, str(SOURCES)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
        )
        # Before any input is played, because an input of a twin that is not there would be kept as one that broke.
        assert self.process.stdout is not None
        if self.process.stdout.read(len(READY)) != READY:
            self.process.communicate()
            raise SystemExit(self.process.returncode or 1)

    def compare(self, data: bytes, story: str) -> None:
        """Raise AssertionError where the other build tells another story of `data`."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(len(data).to_bytes(4, "big") + data)
        self.process.stdin.flush()
        answer = self.process.stdout.read(32)
        assert len(answer) == 32, "the compiled engine's process has ended"
        assert answer == digest_of(story), "compiled and pure differ"


def main() -> None:
    """Answer until the input ends."""
    from headrace.engine.h2 import connection

    if str(connection.__file__).endswith(".py"):
        raise SystemExit(
            "no compiled engine is installed: make .venv/installed-native, or name one in HEADRACE_FUZZ_TWIN"
        )
    check_sources(Path(sys.argv[2]), SOURCES, chosen="HEADRACE_FUZZ_TWIN" in os.environ)
    module = running.load(sys.argv[1])
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    while head := sys.stdin.buffer.read(4):
        story = module.story(sys.stdin.buffer.read(int.from_bytes(head, "big")))
        sys.stdout.buffer.write(digest_of(story))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
